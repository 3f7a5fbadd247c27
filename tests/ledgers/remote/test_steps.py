"""
What a server is asked, and what is done where it does not answer.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from savemode_cli.core.budget.admission import Balance, Hold
from savemode_cli.core.budget.ledger import Reserve, Settle
from savemode_cli.core.errors import LedgerUnavailable
from savemode_cli.ledgers.remote.questions import NoAnswer, NotAsked, Question, ReadTerms, Step, Undo
from savemode_cli.ledgers.remote.steps import Asking, Steps
from savemode_cli.ledgers.remote.texts import Terms

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
SETTLED = ["ok", ["0", "0"], ["charged"], [], []]
RESERVED = ["ok", ["0", "0"], [], [], [["1", []]]]
LOST = NoAnswer("closed", is_stale=True)


def played(asking: Asking[Any], answers: Sequence[Any]) -> tuple[Any, list[Question]]:
    """
    The result of a call that gets these answers, and what it asked.
    """
    asked = [next(asking)]
    for answer in answers:
        try:
            asked.append(asking.throw(answer) if isinstance(answer, Exception) else asking.send(answer))
        except StopIteration as done:
            return done.value, asked
    raise AssertionError(f"it asks on: {asked[-1]}")


def settle(name: str) -> list[Settle]:
    """
    One bill.
    """
    return [Settle(name, 1, "reported", NOW)]


def reserve(name: str) -> list[Reserve]:
    """
    One request under no limit.
    """
    return [Reserve(Hold(name, ("k",), 1, NOW), (), NOW)]


def test_step_that_was_lost_is_undone_before_it_is_repeated() -> None:
    """
    By another name, which says what it repeats.
    """
    posted, (first, undo, second) = played(Steps("x").post(settle("a"), ()), [LOST, ["ok", ["0", "0"]], SETTLED])

    assert isinstance(first, Step)
    assert isinstance(second, Step)
    assert undo == Undo(((first.arguments[0], ()),))
    assert second.arguments[0] != first.arguments[0] == second.arguments[1]
    assert posted.settled == ["charged"]


def test_step_that_was_lost_twice_is_undone_by_the_next_call() -> None:
    """
    Whoever asked is told that nothing was held, and it becomes true before anything else is asked.
    """
    steps = Steps("x")
    with pytest.raises(LedgerUnavailable, match="closed"):
        played(steps.post((), reserve("a")), [Terms(""), LOST, ["ok", ["0", "0"]], LOST])

    answers = [["ok", ["0", "0"]], ["ok", ["0", "0"], [], [["5", "0", "expired", [], [], [], "0"]], []]]
    balance, (undo, _) = played(steps.balance("k", NOW), answers)

    assert balance == Balance(5)
    assert isinstance(undo, Undo)
    assert [ids for _, ids in undo.steps] == [("a",)]


def test_step_that_was_not_asked_needs_no_undoing() -> None:
    """
    The server said so, or was never reached.
    """
    steps = Steps("x")
    with pytest.raises(LedgerUnavailable, match="full"):
        played(steps.post(settle("a"), ()), [NotAsked("full")])

    _, asked = played(steps.post(settle("a"), ()), [SETTLED])
    assert [type(one) for one in asked] == [Step]


def test_terms_are_read_once_and_when_they_are_others() -> None:
    """
    A step costs one question afterwards.
    """
    steps = Steps("x")
    _, first = played(steps.post((), reserve("a")), [Terms("1"), RESERVED])
    _, second = played(steps.post((), reserve("b")), [RESERVED])
    _, third = played(steps.post((), reserve("c")), [["terms"], Terms("2"), RESERVED])

    assert [[type(one) for one in asked] for asked in (first, second, third)] == [
        [ReadTerms, Step],
        [Step],
        [Step, ReadTerms, Step],
    ]


def test_fenced_step_is_asked_again_by_another_name() -> None:
    """
    It was given up by mistake.
    """
    _, (first, second) = played(Steps("x").post(settle("a"), ()), [["fenced"], SETTLED])

    assert isinstance(first, Step)
    assert isinstance(second, Step)
    assert first.arguments[1:] == second.arguments[1:]


@pytest.mark.parametrize(("answer", "why"), [(["full"], "billion"), (["foreign", "2"], "format 2")])
def test_server_that_cannot_count(answer: list[str], why: str) -> None:
    """
    The error says what to do.
    """
    with pytest.raises(LedgerUnavailable, match=why) as error:
        played(Steps("x").post(settle("a"), ()), [answer])

    assert "?name=" in error.value.hint


def test_balances_are_read_in_parts() -> None:
    """
    However many keys there are.
    """
    keys = [f"k{number:03}" for number in range(300)]
    standing = ["5", "0", "expired", [], [], [], "0"]
    answers = [["ok", ["0", "0"], [], [standing] * count, []] for count in (200, 100)]

    found, asked = played(Steps("x").balances(keys, NOW), answers)

    assert found == dict.fromkeys(keys, Balance(5))
    assert all(isinstance(one, Step) and one.is_read for one in asked)
