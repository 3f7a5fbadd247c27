"""
The budgets in force and the limits of requests, without a ledger.
"""

from datetime import UTC, datetime, timedelta

import pytest

from savemode_cli.core.budget.budget import Budget, Limit
from savemode_cli.core.budget.overview import InForce
from savemode_cli.core.budget.personal import PersonalLimit
from savemode_cli.core.budget.scopes import Process
from savemode_cli.core.budget.window import Window
from savemode_cli.core.wire.caller import Caller
from savemode_cli.proxy.request_limits import UNCAPPED, RequestLimits
from tests.builders import a_call_in_progress

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
TEAM = Budget("team", 9, Window("none"), scope="session")


def keys(limits: tuple[Limit, ...] | list[Limit]) -> list[str]:
    """
    The keys under which spend is counted.
    """
    return [one.key for one in limits]


def test_no_budget() -> None:
    """
    The spend of a request is counted although nothing limits it, and no budget is reported.
    """
    limits = RequestLimits()

    (limit,) = limits.of_call(a_call_in_progress(), NOW)

    assert (limit.budget, limit.key, limit.capped) == (UNCAPPED, "default/month:2026-11-01/all", False)
    assert limits.origins == ()


def test_learn() -> None:
    """
    A budget that was set later than the configured one replaces it, and the configured one returns when it is dropped.
    """
    configured = Budget("default", 5, set_at_us=20)
    limits = RequestLimits((configured,))
    call = a_call_in_progress()
    assert [one.nusd for one in limits.of_call(call, NOW)] == [5]

    limits.learn([Budget("default", 7, set_at_us=10)], ())
    assert [one.nusd for one in limits.of_call(call, NOW)] == [5]
    limits.learn([Budget("default", 7, set_at_us=30)], ())
    assert [one.nusd for one in limits.of_call(call, NOW)] == [7]
    assert limits.origins == (InForce(Budget("default", 7), "ledger", configured),)
    limits.learn([], ())
    assert [one.nusd for one in limits.of_call(call, NOW)] == [5]


def test_same_budgets_set_again() -> None:
    """
    A later time of the same amount is another version, and the same version keeps the objects that limits are cached for.
    """
    configured = Budget("default", 7, set_at_us=20)
    limits = RequestLimits((configured,))
    limits.learn([Budget("default", 7, set_at_us=10)], ())
    before = limits.budgets

    limits.learn([Budget("default", 7, set_at_us=10)], ())
    assert limits.budgets is before
    limits.learn([Budget("default", 7, set_at_us=30)], ())
    assert [one.source for one in limits.origins] == ["ledger"]


def test_personal_limit() -> None:
    """
    A limit of one person in the ledger applies to that person only.
    """
    limits = RequestLimits((TEAM,))
    limits.learn([], (PersonalLimit("team", "s-1", 3, set_at_us=1),))

    found = [limits.of_caller(Caller("", idle_prone=False, session_id=who), (), NOW) for who in ("s-1", "s-2")]

    assert [(one.who, one.nusd) for (one,) in found] == [("s-1", 3), ("s-2", 9)]


def test_personal() -> None:
    """
    Limits of persons are listed once a request used them, and until their window ends.
    """
    limits = RequestLimits((Budget("day", 9, Window("day"), scope="session"), Budget("all", 9)))
    assert limits.personal(NOW) == []

    limits.of_caller(Caller("", idle_prone=False, session_id="s-1"), (), NOW)

    assert keys(limits.personal(NOW)) == ["day/day:2026-11-24/session=s-1"]
    assert limits.personal(NOW + timedelta(days=1)) == []


def test_shared() -> None:
    """
    All requests of this process share the budgets of everybody and of its run.
    """
    budgets = (Budget("all", 9, Window("none")), Budget("run", 9, Window("none"), scope="run"), TEAM)

    limits = RequestLimits(budgets, Process("r-1"))

    assert keys(limits.shared(NOW)) == ["all/none/all", "run/none/run=r-1"]


@pytest.mark.parametrize(("rolling", "same"), [(False, True), (True, False)])
def test_limit_is_kept_until_its_window_ends(rolling: bool, same: bool) -> None:
    """
    The limit of a calendar window is computed once, and again in the next window. A rolling window ends later with each
    request.
    """
    limits = RequestLimits((Budget("b", 9, Window("rolling", hours=5) if rolling else Window("day")),))
    call = a_call_in_progress()
    ((first,), (second,), (next_day,)) = (
        limits.of_call(call, NOW + passed) for passed in (timedelta(0), timedelta(hours=1), timedelta(days=1))
    )

    assert (second is first) is same
    assert next_day.resets_at > first.resets_at
    assert (second.resets_at == first.resets_at) is same


def test_limits_kept_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Callers choose the names of sessions, so there can be any number of them.
    """
    monkeypatch.setattr("savemode_cli.proxy.request_limits._REMEMBERED_LIMITS", 3)
    limits = RequestLimits((TEAM,))

    for number in range(20):
        (limit,) = limits.of_caller(Caller("", idle_prone=False, session_id=f"s-{number}"), (), NOW)
        assert limit.who == f"s-{number}"
        assert len(limits.personal(NOW)) <= 4
