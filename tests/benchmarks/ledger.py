"""
What a ledger adds to a request: `python -m tests.benchmarks.ledger` prints a table. Nothing is asserted.

One reserve and one settle are one request. Microseconds; eight processes share one SQLite file and never pause, which
no real traffic does: their figures are the wait for each other.
"""

import json
import platform
import sqlite3
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from savemode_cli.core.budget.admission import Hold
from savemode_cli.core.budget.budget import Budget, Limit, limit_of
from savemode_cli.core.budget.ledger import Ledger, Reserve, reserve, settle
from savemode_cli.core.budget.memory_ledger import MemoryLedger
from savemode_cli.core.budget.window import Window
from savemode_cli.core.money.amounts import MOST_NUSD
from savemode_cli.ledgers.sqlite import SqliteLedger

REQUESTS = 5_000
PROCESSES = 8
ABANDONED = 10_000
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
EXPIRES = NOW + timedelta(minutes=10)

Timings = tuple[list[float], list[float]]


def measure(ledger: Ledger, limits: list[Limit], requests: int, name: str = "r") -> Timings:
    """
    Seconds of each reserve and of each settle.
    """
    reserves, settles = [], []
    keys = tuple(limit.key for limit in limits)
    for number in range(requests):
        hold = Hold(f"{name}-{number:08}-{number * 2654435761 % 2**32:08x}", keys, 1_000, EXPIRES, "claude-opus-5-5")
        begun = time.perf_counter()
        reserve(ledger, hold, limits, NOW)
        reserved = time.perf_counter()
        settle(ledger, hold.id, 900, "reported", NOW)
        settles.append(time.perf_counter() - reserved)
        reserves.append(reserved - begun)
    return reserves, settles


def abandon(ledger: Ledger, limits: list[Limit], number: int = ABANDONED) -> Ledger:
    """
    Leave holds behind that nobody settles, as killed proxies do; the same ledger.
    """
    keys = tuple(limit.key for limit in limits)
    for first in range(0, number, 500):
        holds = [Hold(f"abandoned-{first + n}", keys, 1_000, NOW - timedelta(hours=1)) for n in range(500)]
        ledger.post((), [Reserve(hold, (), NOW) for hold in holds])
    return ledger


def row(name: str, timings: Timings) -> str:
    """
    One line of the table: p50 and p99 of each step and of both together.
    """
    both = [reserve + settle for reserve, settle in zip(*timings, strict=True)]
    cells = []
    for column in (*timings, both):
        ordered = sorted(column)
        cells += [ordered[len(ordered) // 2], ordered[len(ordered) * 99 // 100]]
    return f"{name:<34}" + "".join(f"{cell * 1e6:>10.1f}" for cell in cells)


def budgets(number: int) -> list[Limit]:
    """
    One budget by month, or three at once.
    """
    some = [
        Budget("month", MOST_NUSD),
        Budget("day", MOST_NUSD, Window("day")),
        Budget("week", MOST_NUSD, Window("week")),
    ]
    return [limit_of(one, "", NOW) for one in some[:number]]


def processes(path: Path, number: int) -> Timings:
    """
    The timings of several processes on one file, taken together.
    """
    command = [sys.executable, "-m", "tests.benchmarks.ledger", str(path)]
    running = [
        subprocess.Popen([*command, str(n)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for n in range(number)
    ]
    for one in running:
        assert one.stdout is not None
        one.stdout.readline()
    outputs = []
    for one in running:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    outputs = [json.loads(one.communicate()[0]) for one in running]
    return [t for out in outputs for t in out[0]], [t for out in outputs for t in out[1]]


def worker(path: str, name: str) -> None:
    """
    One of several processes.
    """
    ledger = SqliteLedger(Path(path), busy_s=30)
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps(measure(ledger, budgets(1), REQUESTS // PROCESSES, name)))


def main() -> None:
    """
    The table.
    """
    print(f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {REQUESTS} requests, microseconds")
    print(f"{'':<34}" + "".join(f"{step:>20}" for step in ("reserve p50/p99", "settle p50/p99", "both p50/p99")))
    print(row("memory, 1 budget", measure(MemoryLedger(), budgets(1), REQUESTS)))
    print(
        row(
            f"memory, {ABANDONED:,} abandoned holds", measure(abandon(MemoryLedger(), budgets(1)), budgets(1), REQUESTS)
        )
    )
    with tempfile.TemporaryDirectory() as folder:
        ledger = SqliteLedger(Path(folder, "abandoned.db"))
        timings = measure(abandon(ledger, budgets(1)), budgets(1), REQUESTS)
        print(row(f"sqlite, {ABANDONED:,} abandoned holds", timings))
        ledger.close()
        for number in (1, 3):
            ledger = SqliteLedger(Path(folder, f"{number}.db"))
            print(row(f"sqlite, {number} budget{'s' * (number > 1)}", measure(ledger, budgets(number), REQUESTS)))
            ledger.close()
        for number in (2, PROCESSES):
            print(row(f"sqlite, {number} processes, 1 budget", processes(Path(folder, f"p{number}.db"), number)))


if __name__ == "__main__":
    worker(*sys.argv[1:]) if len(sys.argv) > 1 else main()
