"""
What several budgets add to a request: `python -m tests.benchmarks.budgets [--charges N]`. Nothing is asserted.

A ledger file with a long history is asked to reserve and settle, under one calendar budget and under five, of which two have
rolling windows. Requests of both kinds take turns, so that what else the machine does meets both. CPU time of the process, and
time on the clock, in microseconds.

In the second table the clock of the requests goes on as fast as the history did, so that each request finds a charge that has
just left each rolling window, and subtracts it. In the first one no charge leaves.
"""

import argparse
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

from savemode_cli.core.budget.admission import Hold
from savemode_cli.core.budget.budget import Budget, Limit, limit_of
from savemode_cli.core.budget.ledger import reserve, settle
from savemode_cli.core.budget.window import Window
from savemode_cli.core.money.amounts import MOST_NUSD
from savemode_cli.ledgers.sqlite import SqliteLedger
from savemode_cli.ledgers.sums import text_of

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
HISTORY = timedelta(days=40)
REQUESTS = 1500
BUDGETS = (
    Budget("month", MOST_NUSD),
    Budget("day", MOST_NUSD, Window("day")),
    Budget("total", MOST_NUSD, Window("none")),
    Budget("five-hours", MOST_NUSD, Window("rolling", hours=5)),
    Budget("week", MOST_NUSD, Window("rolling", hours=168)),
)


def limits() -> list[Limit]:
    """
    The budgets as they apply to everybody.
    """
    return [limit_of(one, "", NOW) for one in BUDGETS]


def rows(charges: int, keys: list[str]) -> Iterator[tuple[str, int, str, str]]:
    """
    So many charges, evenly over 40 days, each request under all keys.
    """
    requests = charges // len(keys)
    for number in range(requests):
        settled_at = text_of(NOW - HISTORY + HISTORY * number / requests)
        for place, key in enumerate(keys):
            yield f"history-{number:08}", place, key, settled_at


def fill(path: Path, charges: int) -> None:
    """
    Write the history of a file, and what it adds up to.
    """
    db = sqlite3.connect(path)
    db.executemany(
        "INSERT INTO charges (hold_id, place, key, nusd, basis, model, settled_at, override) "
        "VALUES (?, ?, ?, 1000, 'reported', 'claude-opus-5-5', ?, 0)",
        rows(charges, [one.key for one in limits()]),
    )
    # Of a rolling window only what is in it counts, and as in a ledger that was used, nothing older is kept for it.
    for limit in limits():
        span = limit.budget.window.span
        if span is not None:
            gone = text_of(NOW - span)
            db.execute("DELETE FROM rolling_charges WHERE key = ? AND settled_at <= ?", (limit.key, gone))
    db.execute(
        "INSERT INTO balances SELECT key, sum(nusd) FROM charges WHERE key NOT IN (SELECT key FROM rolling_charges) GROUP BY key "
        "UNION ALL SELECT key, sum(nusd) FROM rolling_charges GROUP BY key"
    )
    db.commit()
    db.close()


def request(ledger: SqliteLedger, some: list[Limit], number: int, now: datetime) -> tuple[float, float]:
    """
    The CPU time and the time on the clock of one reserve and one settle.
    """
    hold = Hold(
        f"request-{number:08}", tuple(one.key for one in some), 1000, now + timedelta(minutes=30), "claude-opus-5-5"
    )
    cpu, clock = time.process_time(), time.perf_counter()
    reserve(ledger, hold, some, now)
    settle(ledger, hold.id, 900, "reported", now)
    return time.process_time() - cpu, time.perf_counter() - clock


def measured(charges: int, pace: timedelta) -> dict[int, list[tuple[float, float]]]:
    """
    The times of requests under one budget and under five, on a new ledger with a history.

    Args:
        charges: how many the history has.
        pace: how far the clock of the requests goes on with each pair of them.
    """
    taken: dict[int, list[tuple[float, float]]] = {1: [], 5: []}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "ledger.db")
        SqliteLedger(path).close()
        fill(path, charges)
        ledger = SqliteLedger(path)
        for pair in range(REQUESTS):
            now = NOW + pair * pace
            taken[1].append(request(ledger, limits()[:1], 2 * pair, now))
            taken[5].append(request(ledger, limits(), 2 * pair + 1, now))
        ledger.close()
    return taken


def main() -> None:
    """
    Print the medians and their ratio.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--charges", type=int, default=1_000_000)
    charges = parser.parse_args().charges
    paces = {
        "no charge leaves": timedelta(milliseconds=1),
        "a charge leaves with each request": HISTORY / (charges // len(BUDGETS)),
    }
    print(f"{charges:,} charges; one reserve and one settle, microseconds, median of {REQUESTS}")
    for name, pace in paces.items():
        taken = measured(charges, pace)
        print(name)
        for at, what in enumerate(("CPU", "clock")):
            one, five = (median(pair[at] for pair in taken[count]) * 1e6 for count in (1, 5))
            print(f"  {what:<6} 1 budget {one:7.1f}   5 budgets {five:7.1f}   ratio {five / one:.2f}")


if __name__ == "__main__":
    main()
