"""
The most expensive misses of a week: bounded, and without text.
"""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from savemode_cli.core.budget.charge import Settlement
from savemode_cli.core.exchange.dearest import MOST_SHOWN, DearestMisses, DearMiss, dear_miss
from tests.builders import a_verdict, an_exchange

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def a_miss(nusd: int = 1, *, days: float = 0) -> DearMiss:
    """
    A miss that cost so much, some days after noon.
    """
    verdict = a_verdict("system_changed")
    verdict = replace(verdict, misses=(replace(verdict.misses[0], cost_nusd=nusd),))
    return DearMiss(f"req_{nusd}_{days}", NOON + timedelta(days=days), "s", "", "m", 10 * nusd, verdict)


def test_the_dearest_of_the_week_come_first() -> None:
    """
    Those that are older than seven days are gone, however dear they were.
    """
    kept = DearestMisses()
    for miss in (a_miss(900), a_miss(5, days=3), a_miss(7, days=6.9)):
        kept.add(miss)

    assert [one.verdict.cost_nusd for one in kept.of_week(NOON + timedelta(days=6.95))] == [900, 7, 5]
    assert [one.verdict.cost_nusd for one in kept.of_week(NOON + timedelta(days=7))] == [7, 5]


def test_so_many_are_kept() -> None:
    """
    The dearest of each day, of no more than eight days.
    """
    kept = DearestMisses()
    for number in range(3 * MOST_SHOWN):
        kept.add(a_miss(number + 1, days=number % 30))
    for number in range(3 * MOST_SHOWN):
        kept.add(a_miss(number + 1, days=29))

    assert len(kept._days) == 8
    assert max(map(len, kept._days.values())) == MOST_SHOWN
    found = kept.of_week(NOON + timedelta(days=29, hours=1))
    assert len(found) == MOST_SHOWN
    assert found[0].verdict.cost_nusd == 3 * MOST_SHOWN


def test_of_an_exchange() -> None:
    """
    Its place and sizes, in JSON too; an exchange that missed nothing is none.
    """
    missed = an_exchange(verdict=a_verdict("expired", "system_changed"), settlement=Settlement(70, "reported"))
    found = dear_miss(missed, session="s", agent="a")

    assert dear_miss(an_exchange(), session=None, agent="") is None
    assert found is not None
    shown = json.loads(json.dumps(found.to_json()))
    assert (shown["session"], shown["agent"], shown["compared_with"]) == ("s", "a", "req_sm_0")
    assert (shown["request_cost_nusd"], shown["cost_nusd"]) == (70, 6000 * 5000)
    assert [one["at"] for one in shown["misses"]] == ["system[1].text"] * 2
