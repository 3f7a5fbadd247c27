"""
Steps of several bills and requests.
"""

import sqlite3
import tempfile
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from savemode_cli.core.budget.admission import Allowed, Balance, Hold
from savemode_cli.core.budget.budget import Budget, Limit, limit_of
from savemode_cli.core.budget.ledger import Reserve, Settle
from savemode_cli.core.budget.memory_ledger import MemoryLedger
from savemode_cli.core.budget.window import Window
from savemode_cli.ledgers.posting import post
from savemode_cli.ledgers.sqlite import SqliteLedger
from savemode_cli.ledgers.sums import moment_of, text_of
from tests.ledgers.worker import NOW
from tests.support.examples import examples

LIMIT = limit_of(Budget("b", 1000), "", NOW)
STRICT = limit_of(Budget("s", 900, strict=True), "", NOW)
ROLLING = limit_of(Budget("r", 1000, Window("rolling", hours=1)), "", NOW)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqliteLedger]:
    """
    A new ledger file.
    """
    made = SqliteLedger(tmp_path / "ledger.db")
    yield made
    made.close()


def asked(number: int, ask_nusd: int, limits: list[Limit], now: datetime, minutes: int = 10, **more: Any) -> Reserve:
    """
    A request whose hold runs out after some minutes.
    """
    hold = Hold(f"h{number}", tuple(one.key for one in limits), ask_nusd, now + minutes * MINUTE, "m", **more)
    return Reserve(hold, limits, now)


def test_a_hold_that_runs_out_between_two_requests_of_a_step(ledger: SqliteLedger) -> None:
    """
    The first request sees its money held, the second sees it unsettled.
    """
    specification = MemoryLedger()
    early = asked(0, 100, [LIMIT], NOW, minutes=5)
    step = [asked(1, 10, [LIMIT], NOW + 4 * MINUTE), asked(2, 10, [LIMIT], NOW + 5 * MINUTE)]
    for one in (ledger, specification):
        one.post((), [early])

    posted = ledger.post((), step)

    assert posted == specification.post((), step)
    balances = [decision.standings[0].balance for decision in posted.decisions if isinstance(decision, Allowed)]
    assert balances == [Balance(held_nusd=100), Balance(unsettled_nusd=100, held_nusd=10)]


LIMITS = st.lists(st.sampled_from([LIMIT, STRICT, ROLLING]), min_size=1, max_size=3, unique=True)
REQUESTS = st.lists(
    st.tuples(LIMITS, st.integers(0, 300), st.integers(0, 90), st.integers(-1, 20), st.booleans()),
    min_size=2,
    max_size=10,
)


@examples(60)
@given(
    st.lists(st.tuples(REQUESTS, st.lists(st.integers(0, 30), max_size=8)), min_size=1, max_size=4), st.integers(0, 60)
)
def test_steps_of_many_are_those_of_the_specification(steps: list[Any], lifted_minutes: int) -> None:
    """
    Times that run to and fro, holds that run out within a step, a cap that is lifted, bills that come twice or for nothing.
    """
    with tempfile.TemporaryDirectory() as folder:
        specification, ledger = MemoryLedger(), SqliteLedger(Path(folder, "ledger.db"))
        for one in (specification, ledger):
            one.allow(NOW + lifted_minutes * MINUTE, "b")
        number = 0
        for requests, bills in steps:
            settles = [
                Settle(f"h{bill}", 7 * bill, "reported", NOW + bill * MINUTE, (LIMIT.key, ROLLING.key))
                for bill in bills
            ]
            reserves = []
            for limits, ask_nusd, at, minutes, override in requests:
                reserves.append(asked(number, ask_nusd, limits, NOW + at * MINUTE, minutes, override=override))
                number += 1
            expected = specification.post(settles, reserves)

            assert ledger.post(settles, reserves) == expected
            for now in (NOW, NOW + 30 * MINUTE):
                assert ledger.balances(now) == specification.balances(now)
            assert ledger.charges() == specification.charges()
            assert ledger.holds(NOW) == specification.holds(NOW)
        ledger.close()


def statements(db: sqlite3.Connection, settles: list[Settle], reserves: list[Reserve]) -> list[str]:
    """
    The first three words of each statement of a step, apart from those of triggers.
    """
    traced: list[str] = []
    db.set_trace_callback(traced.append)
    post(db, settles, reserves)
    db.set_trace_callback(None)
    return [" ".join(one.split()[:3]) for one in traced if not one.startswith("--")]


def test_what_a_step_of_many_reads_and_writes(tmp_path: Path) -> None:
    """
    Requests under the same budget read its balance once, and their bills add to it once.
    """
    SqliteLedger(tmp_path / "ledger.db").close()
    db = sqlite3.connect(tmp_path / "ledger.db")
    reserves = [asked(number, 1, [LIMIT], NOW) for number in range(16)]
    settles = [Settle(one.hold.id, 1, "reported", NOW, (LIMIT.key,)) for one in reserves]

    held, settled = statements(db, [], reserves), statements(db, settles, [])

    assert sum(one.startswith(("SELECT", "WITH")) for one in held) == 3
    assert sum(one.startswith("SELECT") for one in settled) == 2
    assert settled.count("INSERT INTO balances") == 1
    db.close()


def test_times_are_texts_that_sort() -> None:
    """
    In UTC, to the microsecond.
    """
    moment = datetime(2026, 11, 24, 13, tzinfo=timezone(timedelta(hours=1)))

    assert text_of(moment) == "2026-11-24T12:00:00.000000+00:00"
    assert moment_of(text_of(moment)) == moment
