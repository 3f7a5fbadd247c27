"""
Which budgets count, and how they stand; the figures worked out by hand.
"""

from datetime import UTC, datetime, timedelta

import pytest

from savemode_cli.core.admission import Balance, Hold, Standing
from savemode_cli.core.budget import Budget, Window, limit_of
from savemode_cli.core.ledger import MemoryLedger
from savemode_cli.core.overview import InForce, Line, in_force, overview, permille, standing_json

USD = 10**9
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
CAP = Budget("default", 20 * USD)
TEAM = Budget("team", 5 * USD, Window("week"), scope="team")


def spend(ledger: MemoryLedger, key: str, nusd: int) -> None:
    """
    Charge so much under one key.
    """
    hold = Hold(f"{key}{nusd}", (key,), nusd, NOW + timedelta(hours=1))
    ledger.reserve(hold, [], NOW)
    ledger.settle(hold.id, nusd, "reported", NOW)


def test_the_ledger_wins() -> None:
    """
    A budget set in the ledger takes the place of the configured one, and stands where that stood.
    """
    raised = Budget("default", 30 * USD)

    assert in_force([CAP, TEAM], [Budget("a", 1), raised]) == (
        InForce(raised, "ledger", CAP),
        InForce(TEAM, "configuration"),
        InForce(Budget("a", 1), "ledger"),
    )


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
    A scoped budget that nobody has used has a line all the same; one that caps nothing has nothing left.
    """
    seen = overview(in_force([TEAM, Budget("free", 0)], []), MemoryLedger(), NOW)

    assert [(line.standing.limit.who, line.remaining_nusd, line.over_nusd) for line in seen.lines] == [
        ("", 5 * USD, 0),
        ("", None, 0),
    ]
    assert not seen.refuses


def test_allowance() -> None:
    """
    While every request is let through nothing is refused; when it is over, it is not mentioned.
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
    A hold that ran out is told from one under way; both leave less.
    """
    ledger = MemoryLedger()
    for name, minutes, nusd in (("old", -1, 2 * USD), ("new", 1, 3 * USD)):
        ledger.reserve(Hold(name, (CAP.key("", NOW),), nusd, NOW + timedelta(minutes=minutes)), [], NOW)
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
    Half again what is used or allowed, in whole dollars, in cents below one, and never more than there is.
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
    Rounded down: a tier that is not reached never reads as reached.
    """
    assert permille(nusd, limit) == share
