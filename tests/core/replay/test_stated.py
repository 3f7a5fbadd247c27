"""
A client's count is cumulative and handed on: what only it tells is found once, and never added up.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from savemode_cli.core.replay.recording import Recorded, Session, StatedCost
from savemode_cli.core.replay.stated import Account, Reading, Unlisted, account, unlisted
from savemode_cli.core.wire.usage import Usage
from tests.support.examples import examples
from tests.support.replayed import NOON

CENT = 10_000_000


def at(minute: float) -> datetime:
    """
    So many minutes after noon.
    """
    return NOON + timedelta(minutes=minute)


def counted(
    session: str,
    *readings: tuple[int, int, float],
    began: float = 0,
    counter: float | None = None,
    copied: Sequence[tuple[str, float]] = (),
) -> Account:
    """
    The account of a session in cents: what was stated, what is known, and the minute of the answer before it.
    """
    points = tuple(Reading(stated * CENT, known * CENT, at(after), at(after)) for stated, known, after in readings)
    return Account(session, at(began), counter, tuple((name, at(minute)) for name, minute in copied), points)


@pytest.mark.parametrize(
    ("accounts", "cents"),
    [
        pytest.param([], {}, id="nothing stated"),
        pytest.param([counted("a", (10, 10, 1))], {}, id="all is known"),
        pytest.param([counted("a", (10, 8, 1))], {"a": 2}, id="a compaction"),
        pytest.param([counted("a", (10, 8, 1), (10, 8, 1))], {"a": 2}, id="the line is written twice"),
        pytest.param([counted("a", (10, 8, 1), (15, 13, 2), (20, 18, 3))], {"a": 2}, id="resumed, and no more of it"),
        pytest.param([counted("a", (10, 8, 1), (15, 12, 2))], {"a": 3}, id="resumed, with another"),
        pytest.param([counted("a", (10, 8, 1), (15, 20, 3))], {"a": 2}, id="a run between them wrote no count"),
        pytest.param([counted("a", (5, 9, 1))], {}, id="less is stated than is known"),
        pytest.param([counted("a", (10, 8, 1), (3, 9, 2))], {"a": 4}, id="the count began anew"),
        pytest.param([counted("a", (10, 8, 1)), counted("b", (9, 5, 1))], {"a": 2, "b": 4}, id="two sessions"),
        pytest.param(
            [counted("a", (10, 8, 1)), counted("b", (15, 5, 3), began=2, copied=[("a", 1)])],
            {"a": 2},
            id="a fork goes on with its origin's",
        ),
        pytest.param(
            [counted("a", (10, 8, 1)), counted("b", (18, 5, 3), began=2, copied=[("a", 1)])],
            {"a": 2, "b": 3},
            id="a fork with a compaction of its own",
        ),
        pytest.param(
            [counted("a", (10, 8, 1), (30, 22, 5)), counted("b", (15, 5, 3), began=2, copied=[("a", 1)])],
            {"a": 8},
            id="the origin went on after the fork",
        ),
        pytest.param(
            [counted("a", (8, 8, 1), (10, 8, 1)), counted("b", (16, 5, 3), began=2, copied=[("a", 1)])],
            {"a": 2, "b": 1},
            id="forked before the origin's compaction, which fits",
        ),
        pytest.param(
            [counted("a", (8, 8, 1), (20, 8, 1)), counted("b", (13, 5, 3), began=2, copied=[("a", 1)])],
            {"a": 12},
            id="forked before the origin's compaction",
        ),
        pytest.param(
            [
                counted("a", (10, 8, 1)),
                counted("b", (15, 5, 3), began=2, copied=[("a", 1)]),
                counted("c", (21, 6, 5), began=4, copied=[("a", 1), ("b", 3)]),
            ],
            {"a": 2},
            id="a fork of a fork",
        ),
        pytest.param(
            [
                counted("a", (10, 8, 1), counter=7),
                counted("b", (15, 5, 3), began=2, copied=[("a", 1)], counter=7),
                counted("c", (16, 6, 3), began=2, copied=[("a", 1)], counter=7),
            ],
            {"a": 2},
            id="two forks of one origin",
        ),
        pytest.param(
            [counted("a", (10, 8, 1)), counted("b", (6, 5, 3), began=2, copied=[("a", 1)])],
            {"a": 2, "b": 1},
            id="a fork whose count begins at nothing",
        ),
        pytest.param(
            [counted("b", (15, 5, 3), began=2, copied=[("a", 1)])], {"b": 10}, id="a fork whose origin is not there"
        ),
        pytest.param(
            [counted("a", (10, 8, 1), counter=7), counted("b", (16, 5, 3), began=2, counter=7)],
            {"a": 2, "b": 1},
            id="another session of the same process",
        ),
        pytest.param(
            [counted("a", (10, 8, 1), counter=7), counted("b", (7, 5, 3), began=2, counter=7)],
            {"a": 2, "b": 2},
            id="one that began its count anew",
        ),
        pytest.param(
            [counted("a", (10, 8, 5), counter=7), counted("b", (16, 5, 3), began=2, counter=7)],
            {"a": 2, "b": 11},
            id="one that was over before the other",
        ),
    ],
)
def test_what_only_the_count_tells(accounts: list[Account], cents: dict[str, int]) -> None:
    """
    In cents, for each session; in any order.
    """
    for order in (accounts, accounts[::-1]):
        assert {one.session: one.nusd // CENT for one in unlisted(order)} == cents


def test_floating_point_dollars_are_no_difference() -> None:
    """
    Nor is what is rounded up in each bill.
    """
    one = counted("a", (10, 10, 1))
    near = [replace(one, readings=(replace(one.readings[0], stated_nusd=10 * CENT + more),)) for more in (1000, 1001)]

    assert unlisted(near[:1]) == []
    assert unlisted(near[1:]) == [Unlisted("a", at(1), 1001)]


def a_request(minute: float, **more: object) -> Recorded:
    """
    One that took a minute.
    """
    return Recorded("s", "", "m", at(minute), at(minute + 1), Usage(), **more)  # type: ignore[arg-type]


def test_what_was_known_when_the_count_was_written() -> None:
    """
    Every answer until the next record of the main conversation: sub-agents may end after its last answer. Not copies.
    """
    requests = (a_request(0), a_request(1, copy=True), a_request(2), a_request(5))
    counts = (
        StatedCost(9 * CENT, at(1), None, at(2.5), 7.0),
        StatedCost(11 * CENT, at(3), at(3), at(5), 7.0),
        StatedCost(20 * CENT, at(7), at(6), None, 7.0),
    )
    made = account(Session("s", requests, stated=counts, copied=(("o", at(2)),)), lambda _: 3 * CENT)

    assert made is not None
    assert [(one.stated_nusd // CENT, one.known_nusd // CENT, one.after) for one in made.readings] == [
        (9, 3, None),
        (11, 6, at(3)),
        (20, 9, at(6)),
    ]
    assert (made.session, made.began_at, made.counter, made.copied) == ("s", at(0), 7.0, (("o", at(2)),))


def test_what_cannot_be_compared() -> None:
    """
    A session without a count, one with a model that has no price, one whose client does not know a price.
    """
    count = StatedCost(9 * CENT, at(1), None, None, None)

    assert account(Session("s", (a_request(0),)), lambda _: 1) is None
    assert account(Session("s", (a_request(0),), stated=(count,)), lambda _: None) is None
    assert account(Session("s", (a_request(0),), stated=(replace(count, certain=False),)), lambda _: 1) is None
    alone = account(Session("s", (), stated=(count,)), lambda _: 1)
    assert alone is not None
    assert alone.began_at == at(1)


@dataclass
class Made:
    """
    A session as it is made up: what it spent, and what its client says.
    """

    name: str
    count: int
    counter: float
    copied: dict[str, float] = field(default_factory=dict)
    known: int = 0
    hidden: int = 0
    readings: list[tuple[int, int, float]] = field(default_factory=list)
    last: float = 0
    began: float = 0


@examples(200)
@given(st.data())
def test_never_added_up(data: st.DataObject) -> None:
    """
    Whatever is resumed and forked: all that was hidden is found, and nothing twice.
    """
    made: list[Made] = []
    minute = 0.0
    for number in range(data.draw(st.integers(1, 12))):
        origin = data.draw(st.sampled_from([None, *made]))
        resumed = origin is not None and data.draw(st.booleans())
        if origin is None or not resumed:
            copied = {} if origin is None else {**origin.copied, origin.name: origin.last}
            count, counter = (0, number) if origin is None else (origin.readings[-1][0], origin.counter)
            run = Made(f"s{number}", count, counter, copied)
            made.append(run)
        else:
            run = origin
        for _ in range(data.draw(st.integers(1, 3))):
            minute += 1
            run.began = run.began or minute
            cost = data.draw(st.integers(1, 50))
            run.known, run.count, run.last = run.known + cost, run.count + cost, minute
            if data.draw(st.booleans()):
                hidden = data.draw(st.integers(1, 50))
                run.hidden, run.count = run.hidden + hidden, run.count + hidden
        run.readings += [(run.count, run.known, run.last)] * data.draw(st.integers(1, 2))
    accounts = [
        counted(run.name, *run.readings, began=run.began, counter=run.counter, copied=list(run.copied.items()))
        for run in made
    ]

    found = {one.session: one.nusd // CENT for one in unlisted(accounts)}
    assert found == {run.name: run.hidden for run in made if run.hidden}
