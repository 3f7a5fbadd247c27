"""
When a hold has run out, and that a balance reads no other hold that has.
"""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from savemode_cli.core.budget import open_holds
from savemode_cli.core.budget.admission import Balance, Hold
from savemode_cli.core.budget.ledger import reserve
from savemode_cli.core.budget.memory_ledger import MemoryLedger
from savemode_cli.core.budget.open_holds import OpenHolds, is_expired

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
TICK = timedelta(microseconds=1)


def test_hold_runs_out_at_its_very_moment() -> None:
    """
    Held until then, spent from then on.
    """
    assert [is_expired(NOW, moment) for moment in (NOW - TICK, NOW, NOW + TICK)] == [False, True, True]


def test_balance_reads_no_hold_that_ran_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Except the last one, which tells that all before it ran out too.
    """
    ledger = MemoryLedger()
    for number in range(1_000):
        reserve(ledger, Hold(f"h{number}", ("k",), 1, NOW - number * TICK), (), NOW)
    reserve(ledger, Hold("running", ("k",), 5, NOW + TICK), (), NOW)
    asked: list[datetime] = []

    def expired(expires_at: datetime, now: datetime) -> bool:
        asked.append(expires_at)
        return is_expired(expires_at, now)

    monkeypatch.setattr(open_holds, "is_expired", expired)

    assert ledger.balance("k", NOW) == Balance(0, 1_000, 5)
    assert asked == [NOW + TICK, NOW]


HOLDS = st.builds(
    lambda name, ask, ticks: Hold(name, ("k",), ask, NOW + ticks * TICK),
    st.text("ab", min_size=1, max_size=3),
    st.integers(0, 9),
    st.integers(-2, 2),
)


@given(added=st.lists(HOLDS, unique_by=lambda one: one.id), data=st.data())
def test_sums_are_those_of_the_holds(added: list[Hold], data: st.DataObject) -> None:
    """
    Whatever is added and removed, in any order.
    """
    holds = OpenHolds()
    for one in added:
        holds.add(one)
    removed = data.draw(st.lists(st.sampled_from(added), unique_by=lambda one: one.id)) if added else []
    for one in removed:
        holds.remove(one)
    left = [one for one in added if one not in removed]

    assert (bool(holds), holds.nusd) == (bool(left), sum(one.ask_nusd for one in left))
    assert holds.held_nusd(NOW) == sum(one.ask_nusd for one in left if one.expires_at > NOW)
