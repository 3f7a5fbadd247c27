"""
May a request start: both rules, several budgets, the override; and what the client is told.
"""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from savemode_cli.core.admission import (
    Allowed,
    Balance,
    Hold,
    Refused,
    Standing,
    check_limits,
    check_nusd,
    decide,
    refusal,
    refusal_message,
    unaccounted,
)
from savemode_cli.core.budget import Budget, Window, limit_of
from savemode_cli.core.tiers import MOST_NUSD, guard

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
USD = 10**9
HOLD = Hold("h", ("k",), 2 * USD, NOW + timedelta(minutes=10))
RAISE = ("savemode budget set", "savemode budget allow --for 1h", "x-posthog-budget-override: true")


def standing(spent: int, held: int = 0, limit: int = 20, name: str = "b", **more: Any) -> Standing:
    """
    A budget and where it stands, in whole dollars.
    """
    return Standing(limit_of(Budget(name, limit * USD, **more), "ann", NOW), Balance(spent * USD, 0, held * USD))


def headers_of(decision: Allowed | Refused) -> dict[str, str]:
    """
    The headers as text, without their common start.
    """
    return {name.decode().removeprefix("x-posthog-budget"): value.decode() for name, value in decision.headers()}


@pytest.mark.parametrize(
    ("spent", "held", "strict", "reason"),
    [
        (0, 0, False, None),
        (19, 0, False, None),
        (20, 0, False, "spent"),
        (25, 3, False, "spent"),
        (19, 1, False, "held"),
        (0, 20, False, "held"),
        (18, 0, True, None),
        (17, 1, True, None),
        (19, 0, True, "ask"),
        (17, 2, True, "held"),
        (20, 0, True, "spent"),
    ],
)
def test_rule(spent: int, held: int, strict: bool, reason: str | None) -> None:
    """
    By default a request starts while anything is left; strict only if all it may cost fits. Waiting helps where only
    holds stand in the way.
    """
    decision = decide(HOLD, [standing(spent, held, strict=strict)], override=False)

    assert reason == (decision.reason if isinstance(decision, Refused) else None)


@settings(deadline=None)
@given(st.integers(-5, 50), st.integers(0, 50), st.integers(-1, 30))
def test_default_rule_is_the_guards_table(spent: int, held: int, limit: int) -> None:
    """
    What the ledger admits is what the table allows, with what is held counted as spent.
    """
    decision = decide(HOLD, [standing(spent, held, limit)], override=False)
    verdict = guard(limit * USD, (spent + held) * USD)

    assert verdict.allow == isinstance(decision, Allowed)
    assert verdict.status == decision.status


def test_unsettled_counts_as_spent() -> None:
    """
    A hold that ran out is no longer something to wait for.
    """
    limit = standing(0).limit

    decision = decide(HOLD, [Standing(limit, Balance(10 * USD, 10 * USD, 0))], override=False)

    assert isinstance(decision, Refused)
    assert decision.permanent


def test_headers_of_an_allowed_request() -> None:
    """
    Both scales, what is left and until when; what others hold is not left.
    """
    assert headers_of(decide(HOLD, [standing(12, 2)], override=False)) == {
        "": "ok",
        "-remaining-usd": "6.00",
        "-state": "warn",
        "-recommended-mode": "balanced",
        "-resets-at": "2026-12-01T00:00:00Z",
    }


def test_no_budget_no_headers() -> None:
    """
    Without a cap the answer carries no budget header at all.
    """
    decision = decide(HOLD, [standing(12, limit=0)], override=False)

    assert (decision, headers_of(decision)) == (Allowed(HOLD, None), {})


@pytest.mark.parametrize(("hold", "override"), [(HOLD, True), (replace(HOLD, override=True), False)])
def test_override(hold: Hold, override: bool) -> None:
    """
    By header or for a while: the request starts, is labelled, and has a hold to charge.
    """
    decision = decide(hold, [standing(25)], override=override)

    assert isinstance(decision, Allowed)
    assert decision.hold == replace(HOLD, override=True)
    assert headers_of(decision) == {
        "": "override",
        "-state": "blocked",
        "-recommended-mode": "max_save",
        "-resets-at": "2026-12-01T00:00:00Z",
    }


def test_override_without_budget() -> None:
    """
    There is nothing to report but the label.
    """
    assert headers_of(decide(HOLD, [], override=True)) == {"": "override"}


def test_all_budgets_must_pass() -> None:
    """
    One refusal refuses, whatever the others say.
    """
    decision = decide(HOLD, [standing(1), standing(5, limit=5, name="small")], override=False)

    assert isinstance(decision, Refused)
    assert decision.standing == standing(5, limit=5, name="small")


def test_tightest_budget_is_reported() -> None:
    """
    The one of which the largest share is used; of equal ones that with the least left.
    """
    order = [standing(18, name="a"), standing(9, limit=10, name="c"), standing(90, limit=100, name="b"), standing(1)]

    decision = decide(HOLD, order, override=False)

    assert isinstance(decision, Allowed)
    assert [one.limit.budget.name for one in decision.standings] == ["c", "a", "b", "b"]
    assert headers_of(decision)["-remaining-usd"] == "1.00"


def test_refusal_that_lasts_longest_is_reported() -> None:
    """
    Nobody is told to come back tomorrow, or in a moment, when the month is spent.
    """
    day = standing(9, limit=5, name="day", window=Window("day"))
    month = standing(20, name="month")
    held = standing(0, 20, name="held", window=Window("month", 20))

    for order in ([day, month, held], [held, month, day]):
        decision = decide(HOLD, order, override=False)

        assert isinstance(decision, Refused)
        assert decision.standing == month


def test_permanent_refusal() -> None:
    """
    429 in the API's envelope, which no SDK retries and no other client sleeps on.
    """
    decision = decide(HOLD, [standing(25, zone="Europe/Berlin")], override=False)
    assert isinstance(decision, Refused)

    status, headers, body = refusal(decision, "req_1")

    assert status == 429
    assert dict(headers) == {
        b"content-type": b"application/json",
        b"request-id": b"req_1",
        b"x-should-retry": b"false",
        b"x-posthog-budget": b"exceeded",
        b"x-posthog-budget-remaining-usd": b"0.00",
        b"x-posthog-budget-state": b"blocked",
        b"x-posthog-budget-recommended-mode": b"max_save",
        b"x-posthog-budget-resets-at": b"2026-11-30T23:00:00Z",
    }
    read = json.loads(body)
    message = read["error"].pop("message")
    assert read == {"type": "error", "error": {"type": "budget_exceeded"}, "request_id": "req_1"}
    assert message.startswith(
        'spend limit reached (monthly; resets 2026-12-01 00:00 Europe/Berlin): $25.00 of $20.00 is spent in budget "b". '
    )
    assert all(way in message for way in RAISE)


def test_temporary_refusal() -> None:
    """
    Retried in a few seconds, and says what it waits for.
    """
    decision = decide(HOLD, [standing(15, 5, scope="user")], override=False)
    assert isinstance(decision, Refused)

    _, headers, body = refusal(decision, "req_1")

    assert dict(headers)[b"x-should-retry"] == b"true"
    assert dict(headers)[b"retry-after"] == b"5"
    message = json.loads(body)["error"]["message"]
    assert '$20.00 in budget "b" (user ann), $15.00 is spent and $5.00 is held' in message


def test_strict_refusal() -> None:
    """
    Permanent, for waiting does not make the request smaller; what is left is said, for a smaller one may fit.
    """
    decision = decide(HOLD, [standing(19, strict=True)], override=False)
    assert isinstance(decision, Refused)

    assert decision.permanent
    assert headers_of(decision)[""] == "exceeded"
    assert headers_of(decision)["-remaining-usd"] == "1.00"
    assert "may cost up to $2.00" in refusal_message(decision)


def test_strict_refusal_for_the_moment() -> None:
    """
    `exceeded` says that this request may not start; the amount is what is left all the same, for a smaller one may.

    Only where nothing is left, and so without `--strict` always, is it 0.00.
    """
    strict = decide(HOLD, [standing(16, 3, strict=True)], override=False)
    held = decide(HOLD, [standing(16, 4)], override=False)
    assert isinstance(strict, Refused)
    assert isinstance(held, Refused)

    assert (strict.reason, strict.permanent, held.reason, held.permanent) == ("held", False, "held", False)
    assert (headers_of(strict)[""], headers_of(strict)["-remaining-usd"]) == ("exceeded", "1.00")
    assert (headers_of(held)[""], headers_of(held)["-remaining-usd"]) == ("exceeded", "0.00")


def test_refusal_for_somebody_unnamed() -> None:
    """
    The pot of those who do not say who they are is called that.
    """
    limit = replace(standing(0, scope="team").limit, who="")
    decision = Refused("spent", Standing(limit, Balance(20 * USD)), 0)

    assert "(team not given)" in refusal_message(decision)


@pytest.mark.parametrize(
    ("limit", "override", "fail", "status", "allowed"),
    [
        (20, False, "open", "unknown", True),
        (20, False, "closed", "unknown", False),
        (20, True, "closed", "override", True),
        (0, False, "closed", None, True),
    ],
)
def test_without_a_ledger(limit: int, override: bool, fail: Any, status: str | None, allowed: bool) -> None:
    """
    The guard's first rows: override, no budget, unknown; nothing is held that would have to be settled.
    """
    decision = unaccounted([standing(0, limit=limit).limit], override=override, fail=fail)

    assert (status, allowed) == (decision.status, isinstance(decision, Allowed))
    assert headers_of(decision) == ({} if status is None else {"": status})


def test_refusal_without_a_ledger() -> None:
    """
    Says whose choice it was, and is not retried: a broken ledger does not heal in seconds.
    """
    decision = unaccounted([standing(0).limit], override=False, fail="closed")
    assert isinstance(decision, Refused)

    _, headers, body = refusal(decision, "req_1")

    assert dict(headers)[b"x-should-retry"] == b"false"
    message = json.loads(body)["error"]["message"]
    assert "--fail closed" in message
    assert [way in message for way in RAISE] == [False, False, True]


@pytest.mark.parametrize(
    "wrong",
    [
        {"keys": ()},
        {"keys": ("k", "k")},
        {"ask_nusd": -1},
        {"ask_nusd": 2**53},
        {"expires_at": datetime(2026, 11, 24)},
    ],
)
def test_hold_no_ledger_could_keep(wrong: dict[str, Any]) -> None:
    """
    A bug in the caller is said where it is made.
    """
    with pytest.raises(ValueError, match=r"hold|amount|time zone"):
        replace(HOLD, **wrong)


def test_limit_without_key() -> None:
    """
    A limit that is judged but never charged would be no limit.
    """
    with pytest.raises(ValueError, match="not counted under"):
        check_limits(HOLD, [standing(0).limit])


@pytest.mark.parametrize(
    ("spent", "held", "ask", "strict", "reason"),
    [
        (9, 0, 99, False, None),
        (10, 0, 1, False, "spent"),
        (9, 1, 1, False, "held"),
        (10, 1, 1, False, "spent"),
        (9, 0, 1, True, None),
        (9, 0, 2, True, "ask"),
        (9, 1, 1, True, "held"),
        (9, 1, 2, True, "ask"),
        (8, 1, 2, True, "held"),
    ],
)
def test_rule_to_the_nano_dollar(spent: int, held: int, ask: int, strict: bool, reason: str | None) -> None:
    """
    A cap of ten nano-dollars: what exactly fits fits, what exactly waits is waited for.
    """
    one = Standing(limit_of(Budget("b", 10, strict=strict), "", NOW), Balance(spent, 0, held))

    assert one.reason(ask) == reason
    assert one.left_nusd == max(0, 10 - spent - held)


def test_of_two_budgets_used_alike_the_smaller_rest_is_reported() -> None:
    """
    Half of each is used; the one with less left is the tighter.
    """
    small, large = standing(5, limit=10, name="small"), standing(50, limit=100, name="large")

    for order in ((small, large), (large, small)):
        decision = decide(HOLD, order, override=False)
        assert isinstance(decision, Allowed)
        assert decision.standing == small


def test_tightness_is_the_share_and_not_the_sum() -> None:
    """
    A small budget nearly used up is tighter than a large one of which more is spent.
    """
    small, large = standing(9, limit=10, name="small"), standing(50, limit=100, name="large")
    decision = decide(HOLD, (large, small), override=False)

    assert isinstance(decision, Allowed)
    assert decision.standing == small


def test_later_standings() -> None:
    """
    The same limits with other balances: the status is that of the tightest then, and an override stays one.
    """
    small, large = standing(1, limit=10, name="small"), standing(10, limit=100, name="large")
    allowed = decide(HOLD, (small, large), override=False)
    assert isinstance(allowed, Allowed)
    moved = {"small": Balance(2 * USD), "large": Balance(90 * USD)}
    after = allowed.after([moved[one.limit.budget.name] for one in allowed.standings])
    assert after.standing is not None

    assert (after.status, after.standing.limit.budget.name) == ("warn", "large")
    let_through = replace(allowed, status="override")
    assert let_through.after([Balance(99 * USD)] * 2).status == "override"
    assert Allowed(None, "unknown").after([]).status == "unknown"


@pytest.mark.parametrize("nusd", [0, 1, MOST_NUSD])
def test_an_amount_is_one(nusd: int) -> None:
    """
    From nothing to the most there is.
    """
    assert check_nusd(nusd) == nusd


@pytest.mark.parametrize("nusd", [-1, MOST_NUSD + 1])
def test_what_is_no_amount(nusd: int) -> None:
    """
    One less, one more.
    """
    with pytest.raises(ValueError, match="no amount"):
        check_nusd(nusd)
