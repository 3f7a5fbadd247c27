"""
Which budgets count, and how they stand; the figures worked out by hand.
"""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from savemode_cli.core.budget.admission import Balance, Hold, Standing
from savemode_cli.core.budget.budget import Budget, limit_of
from savemode_cli.core.budget.ledger import reserve, settle
from savemode_cli.core.budget.memory_ledger import MemoryLedger
from savemode_cli.core.budget.overview import (
    Asked,
    InForce,
    Line,
    in_force,
    merged,
    origin_json,
    overview,
    permille,
    read_origin,
    standing_json,
)
from savemode_cli.core.budget.window import Window

USD = 10**9
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
CAP = Budget("default", 20 * USD)
TEAM = Budget("team", 5 * USD, Window("week"), scope="team")


def spend(ledger: MemoryLedger, key: str, nusd: int) -> None:
    """
    Charge so much under one key.
    """
    hold = Hold(f"{key}{nusd}", (key,), nusd, NOW + timedelta(hours=1))
    reserve(ledger, hold, [], NOW)
    settle(ledger, hold.id, nusd, "reported", NOW)


@pytest.mark.parametrize(
    ("configured_at", "stored_at", "stored_wins"),
    [(0, 1, True), (5, 6, True), (6, 6, False), (7, 6, False), (0, 0, False)],
)
def test_what_was_set_later_wins(configured_at: int, stored_at: int, stored_wins: bool) -> None:
    """
    The amounts do not matter: setting a limit again to its earlier value sets it. The other budget is shown too.
    """
    for nusd in (30 * USD, CAP.limit_nusd):
        cap, raised = replace(CAP, set_at_us=configured_at), Budget("default", nusd, set_at_us=stored_at)
        origin, team, other = in_force([cap, TEAM], [Budget("a", 1), raised])

        assert (origin.budget is raised, origin.source) == (stored_wins, "ledger" if stored_wins else "configuration")
        assert origin.hidden is (cap if stored_wins else raised)
        assert (team, other) == (InForce(TEAM, "configuration"), InForce(Budget("a", 1), "ledger"))


@pytest.mark.parametrize("hidden", [None, CAP])
def test_what_a_proxy_says_is_read_back(hidden: Budget | None) -> None:
    """
    Every field of a budget comes back through JSON, including when and where it was set.
    """
    budget = replace(TEAM, strict=True, zone="Asia/Tokyo", warn_at=Decimal("0.5"), set_at_us=7, source="x.toml: budget")
    said = json.loads(json.dumps(origin_json(InForce(budget, "ledger", hidden))))
    read = read_origin(said, "http://127.0.0.1:1")

    assert read == InForce(budget, "ledger", hidden, ("http://127.0.0.1:1",))
    assert (read.budget.set_at_us, read.budget.source) == (7, "x.toml: budget")


@pytest.mark.parametrize("said", [None, 3, "x", [], {}, {"source": "ledger", "name": "a", "limit_nusd": "x"}])
def test_what_is_not_a_budget_of_a_proxy(said: object) -> None:
    """
    The answer of another program raises one error.
    """
    with pytest.raises(ValueError, match="not a budget"):
        read_origin(said, "http://127.0.0.1:1")


def test_proxies_that_say_the_same_are_one_line() -> None:
    """
    Proxies that report different budgets have separate lines.
    """
    one, same, other = (
        InForce(budget, "configuration", None, (url,))
        for budget, url in ((CAP, "a"), (CAP, "b"), (replace(CAP, limit_nusd=1), "c"))
    )

    assert merged([one, other, same]) == (replace(one, proxies=("a", "b")), other)


def test_what_the_next_proxy_would_go_by() -> None:
    """
    It is in force if no proxy runs, and a difference is shown if one does.
    """
    running, following = InForce(CAP, "configuration", None, ("a",)), InForce(TEAM, "ledger")

    assert Asked(next=(following,)).in_force == (following,)
    assert Asked(next=(following,)).differing == ()
    assert Asked(("a",), (), (running,), (running, following)).in_force == (running,)
    assert Asked(("a",), (), (running,), (running, following)).differing == (following,)


def test_spend_of_budgets_that_are_not_listed() -> None:
    """
    What was counted in a window of now under a name that no budget in force has is told, capped by nothing known here;
    windows of before, empty balances and keys of no budget are not.
    """
    ledger = MemoryLedger()
    nightly, team, billed = (
        Budget("nightly", 1, Window("day")),
        Budget("own", 1, Window("week"), scope="header:x-a"),
        Budget("bill", 1, Window("month", 15)),
    )
    spend(ledger, nightly.key("", NOW), 3 * USD)
    spend(ledger, nightly.key("", NOW - timedelta(days=1)), 2 * USD)
    spend(ledger, team.key("a=b/c", NOW), 1 * USD)
    spend(ledger, billed.key("", NOW), 4 * USD)
    spend(ledger, Budget("empty", 1).key("", NOW), 0)
    for key in ("strange", "a/day:2026-99-99/all", "a/day:2026-11-24/planet", "-/day:2026-11-24/all"):
        spend(ledger, key, 1)
    seen = overview(in_force([CAP], []), ledger, NOW)

    assert [
        (line.standing.limit.budget.name, line.origin.source, line.standing.limit.who, line.standing.balance.spent_nusd)
        for line in seen.lines
    ] == [
        ("default", "configuration", "", 0),
        ("bill", "spend", "", 4 * USD),
        ("nightly", "spend", "", 3 * USD),
        ("own", "spend", "a=b/c", 1 * USD),
    ]
    assert not seen.refuses


def test_standing_for_machines() -> None:
    """
    Limit, spent, held and left as integers and as exact text; both scales; when it resets.
    """
    standing = Standing(limit_of(CAP, "", NOW), Balance(13_999_999_999, 1, 2 * USD))

    read = standing_json(standing)

    assert (read["spent_nusd"], read["spent_usd"]) == (14 * USD, "14.000000000")
    assert (read["unsettled_nusd"], read["held_usd"], read["remaining_usd"]) == (1, "2.000000000", "4.000000000")
    assert (read["guard_status"], read["client_state"], read["used_permille"]) == ("ok", "warn", 800)
    assert (read["resets_at"], read["limit_usd"], read["key"]) == (
        "2026-12-01T00:00:00Z",
        "20.000000000",
        "default/month:2026-11-01/all",
    )


def test_lines() -> None:
    """
    One line for a budget that all share, one for each team of a scoped one, the most used first.
    """
    ledger = MemoryLedger()
    spend(ledger, CAP.key("", NOW), 17 * USD)
    spend(ledger, TEAM.key("a", NOW), 1 * USD)
    spend(ledger, TEAM.key("b", NOW), 6 * USD)
    spend(ledger, TEAM.key("b", NOW - timedelta(days=7)), 3 * USD)
    seen = overview(in_force([CAP, TEAM], []), ledger, NOW)

    assert [
        (line.standing.limit.who, line.remaining_nusd, line.over_nusd, line.used_permille, line.refusal)
        for line in seen.lines
    ] == [
        ("", 3 * USD, 0, 850, None),
        ("b", 0, 1 * USD, 1200, "spent"),
        ("a", 4 * USD, 0, 200, None),
    ]
    assert seen.refuses


def test_nobody_yet() -> None:
    """
    A budget for each person has a line before anybody has used it. A budget without a limit has nothing left.
    """
    seen = overview(in_force([TEAM, Budget("free", 0)], []), MemoryLedger(), NOW)

    assert [(line.standing.limit.who, line.remaining_nusd, line.over_nusd) for line in seen.lines] == [
        ("", 5 * USD, 0),
        ("", None, 0),
    ]
    assert not seen.refuses


def test_allowance() -> None:
    """
    While every request is allowed, nothing is refused. When that time is over, it is not shown.
    """
    ledger = MemoryLedger()
    spend(ledger, CAP.key("", NOW), 20 * USD)
    ledger.allow(NOW + timedelta(hours=1))
    during = overview(in_force([CAP], []), ledger, NOW)
    after = overview(in_force([CAP], []), ledger, NOW + timedelta(hours=1))

    assert (during.refuses, during.allowed_until) == (False, NOW + timedelta(hours=1))
    assert (after.refuses, after.allowed_until) == (True, None)


def test_holds() -> None:
    """
    An expired hold is distinguished from a running one. Both reduce what is left.
    """
    ledger = MemoryLedger()
    for name, minutes, nusd in (("old", -1, 2 * USD), ("new", 1, 3 * USD)):
        reserve(ledger, Hold(name, (CAP.key("", NOW),), nusd, NOW + timedelta(minutes=minutes)), [], NOW)
    seen = overview(in_force([CAP], []), ledger, NOW)

    assert [one.hold.id for one in seen.unsettled] == ["old"]
    assert [one.hold.id for one in seen.running] == ["new"]
    assert seen.lines[0].remaining_nusd == 15 * USD


@pytest.mark.parametrize(
    ("used", "limit", "wanted"),
    [
        (20 * USD, 20 * USD, 30 * USD),
        (20_100_000_000, 20 * USD, 31 * USD),
        (0, 20 * USD, 30 * USD),
        (30_000_000, 50_000_000, 80_000_000),
        (0, 2**53 - 1, 2**53 - 1),
    ],
)
def test_next_limit(used: int, limit: int, wanted: int) -> None:
    """
    One and a half times what is used or allowed, in whole dollars, or in cents below one dollar, up to the largest
    amount.
    """
    budget = Budget("b", limit)
    line = Line(InForce(budget, "ledger"), Standing(limit_of(budget, "", NOW), Balance(used)), None)

    assert line.next_limit_nusd == wanted


@pytest.mark.parametrize(
    ("nusd", "limit", "share"),
    [
        (13_999_999_999, 20 * USD, 699),
        (14 * USD, 20 * USD, 700),
        (25 * USD, 20 * USD, 1250),
        (1, 0, None),
        (1, -1, None),
    ],
)
def test_permille(nusd: int, limit: int, share: int | None) -> None:
    """
    The share is rounded down, so that a threshold never appears to be reached before it is.
    """
    assert permille(nusd, limit) == share
