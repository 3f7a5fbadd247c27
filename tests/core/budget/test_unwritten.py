"""
What is kept for a ledger that does not answer: whole bills, then sums, and always counted.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from savemode_cli.core.budget.admission import Balance, Hold
from savemode_cli.core.budget.ledger import Reserve, Settle
from savemode_cli.core.budget.memory_ledger import MemoryLedger
from savemode_cli.core.budget.unwritten import Batch, Unwritten
from savemode_cli.core.money.amounts import MOST_NUSD

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
LATER = NOW + timedelta(minutes=30)


def a_hold(name: str, ask: int = 10, *keys: str) -> Hold:
    """
    A hold that runs for a while.
    """
    return Hold(name, keys or ("k",), ask, LATER, "m")


def a_bill(name: str, nusd: int, *keys: str, ask: int = 10, basis: Any = "reported") -> Settle:
    """
    A bill with its hold.
    """
    return Settle(name, nusd, basis, NOW, (), a_hold(name, ask, *keys))


def drained(unwritten: Unwritten, most: int = 3) -> list[Batch]:
    """
    The batches in which a ledger is told everything.
    """
    batches = []
    while batch := unwritten.next_batch(most):
        assert unwritten.next_batch(most) == batch  # it may be asked for again, if the ledger did not answer
        batches.append(batch)
        unwritten.written(batch)
    assert len(unwritten) == 0
    return batches


def test_balance_is_the_last_one_known_and_what_came_since() -> None:
    """
    A call let through meanwhile is held, and then costs what its bill says; so does one that the ledger holds money for.
    """
    unwritten = Unwritten()
    assert unwritten.balance("k") == Balance()
    unwritten.learn([("k", Balance(1, 2, 3)), ("k", Balance(100, 5, 20)), ("other", Balance(7))])

    unwritten.hold(a_hold("new", 30))
    assert unwritten.balance("k") == Balance(100, 5, 50)
    unwritten.keep(a_bill("new", 4, ask=30))
    assert unwritten.balance("k") == Balance(104, 5, 20)
    unwritten.keep(a_bill("old", 6, ask=20))
    assert unwritten.balance("k") == Balance(110, 5, 0)
    unwritten.keep(a_bill("ran out", 1, ask=3))
    assert unwritten.balance("k") == Balance(111, 2, 0)
    assert unwritten.balance("other") == Balance(7)


def test_bill_counts_once() -> None:
    """
    The first bill counts.
    """
    unwritten = Unwritten()
    for nusd in (4, 9):
        unwritten.keep(a_bill("a", nusd))

    assert (unwritten.calls, unwritten.nusd) == (1, 4)
    assert [bill.settle.nusd for batch in drained(unwritten) for bill in batch.bills] == [4]
    assert (unwritten.calls, unwritten.nusd) == (0, 0)


def test_hold_counts_once() -> None:
    """
    However often it is told, and forgetting a batch twice changes nothing.
    """
    unwritten = Unwritten()
    for _ in range(2):
        unwritten.hold(a_hold("a"))
    assert unwritten.balance("k") == Balance(held_nusd=10)

    unwritten.keep(a_bill("a", 4))
    batch = unwritten.next_batch(1)
    for _ in range(2):
        unwritten.written(batch)
    assert (unwritten.calls, unwritten.nusd, len(unwritten)) == (0, 0, 0)


def test_bills_come_before_holds() -> None:
    """
    A hold whose bill came meanwhile is not written.
    """
    unwritten = Unwritten()
    for name in "abcd":
        unwritten.hold(a_hold(name))
    for name in "bcde":
        unwritten.keep(a_bill(name, 1))
    batches = drained(unwritten)

    assert [[bill.settle.hold_id for bill in batch.bills] for batch in batches] == [["b", "c", "d"], ["e"]]
    assert [[hold.id for hold in batch.holds] for batch in batches] == [[], ["a"]]


def test_what_comes_while_the_ledger_is_told_is_kept() -> None:
    """
    Only what was written is forgotten.
    """
    unwritten = Unwritten(most_bills=1)
    for name in "abc":
        unwritten.keep(a_bill(name, 1))
    first = unwritten.next_batch(5)
    unwritten.written(first)
    second = unwritten.next_batch(5)
    unwritten.keep(a_bill("d", 5))
    unwritten.written(second)

    assert [(bill.settle.hold_id, bill.settle.nusd, bill.calls) for bill in second.bills] == [("b_and_later", 2, 2)]
    assert [(bill.settle.hold_id, bill.settle.nusd) for bill in unwritten.next_batch(5).bills] == [("d_and_later", 5)]
    assert (unwritten.calls, unwritten.nusd) == (1, 5)


def test_later_bills_are_added_up_by_keys_and_basis() -> None:
    """
    Each sum is entered like one bill, without a model and a hold.
    """
    unwritten = Unwritten(most_bills=1)
    unwritten.keep(a_bill("first", 1))
    for number, (key, basis) in enumerate((("k", "reported"), ("k", "held"), ("k", "reported"), ("l", "reported"))):
        unwritten.keep(a_bill(f"b{number}", 10**number, key, basis=basis))
    assert (unwritten.calls, unwritten.nusd, len(unwritten)) == (5, 1112, 4)

    batches = drained(unwritten, 10)
    sums = [(one.settle.hold_id, one.settle.nusd, one.settle.basis, one.calls) for one in batches[1].bills]
    assert sums == [
        ("b0_and_later", 101, "reported", 2),
        ("b1_and_later", 10, "held", 1),
        ("b3_and_later", 1000, "reported", 1),
    ]
    hold = batches[1].bills[0].settle.hold
    assert hold == Hold("b0_and_later", ("k",), 0, LATER)


def test_sum_is_never_more_than_a_charge_may_be() -> None:
    """
    A ledger would refuse it.
    """
    unwritten = Unwritten(most_bills=0)
    for name in "abc":
        unwritten.keep(a_bill(name, MOST_NUSD - 1))

    told = [(bill.settle.nusd, bill.calls) for batch in drained(unwritten) for bill in batch.bills]
    assert told == [(MOST_NUSD - 1, 1)] * 3


def test_bills_beyond_all_bounds_are_counted() -> None:
    """
    Callers choose keys, so their number is limited too. What does not fit is counted as lost.
    """
    unwritten = Unwritten(most_bills=1, most_sums=2, most_keys=2)
    for number in range(6):
        unwritten.keep(a_bill(f"b{number}", 2, f"k{number}"))

    assert (unwritten.calls, unwritten.nusd) == (3, 6)
    assert unwritten.forget_lost() == (3, 6)
    assert unwritten.forget_lost() == (0, 0)
    assert [unwritten.balance(f"k{number}").settled_nusd for number in range(4)] == [2, 2, 0, 0]
    unwritten.learn((f"l{number}", Balance(1)) for number in range(3))
    assert [unwritten.balance(f"l{number}").settled_nusd for number in range(3)] == [1, 1, 0]


def test_what_the_ledger_has_is_known_afterwards() -> None:
    """
    If it stops answering again at once, nothing is forgotten and nothing counts twice.
    """
    unwritten = Unwritten()
    unwritten.learn([("k", Balance(100))])
    unwritten.keep(a_bill("a", 5, ask=0))
    drained(unwritten)
    unwritten.end()
    assert unwritten.balance("k") == Balance(105)

    unwritten.keep(a_bill("b", 1, ask=0))
    assert unwritten.balance("k") == Balance(106)


CALLS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.sampled_from("kl"), st.booleans()), max_size=30)


@given(calls=CALLS, most_bills=st.integers(0, 5), most=st.integers(1, 4), again=st.booleans())
def test_ledger_has_everything_in_the_end(
    calls: list[tuple[int, int, str, bool]], most_bills: int, most: int, again: bool
) -> None:
    """
    Whatever the bounds, and also where a ledger is told a batch twice: the balances are those that were counted here.
    """
    ledger, unwritten = MemoryLedger(), Unwritten(most_bills=most_bills)
    for number, (ask, nusd, key, is_over) in enumerate(calls):
        hold = a_hold(f"h{number}", ask, key)
        unwritten.hold(hold)
        if is_over:
            unwritten.keep(Settle(hold.id, nusd, "reported", NOW, (), hold))
    counted = {key: unwritten.balance(key) for key in "kl"}
    for batch in drained(unwritten, most):
        for _ in range(1 + again):
            ledger.post([bill.settle for bill in batch.bills], ())
        ledger.post((), [Reserve(hold, (), NOW) for hold in batch.holds])

    assert {key: ledger.balance(key, NOW) for key in "kl"} == counted
    assert unwritten.lost == 0


@pytest.mark.parametrize("bills", [0, 1])
def test_batch_is_true_if_there_is_something_in_it(bills: int) -> None:
    """
    A loop ends with the first that is not.
    """
    unwritten = Unwritten()
    for number in range(bills):
        unwritten.keep(a_bill(str(number), 1))

    assert bool(unwritten.next_batch(9)) == bool(bills)
