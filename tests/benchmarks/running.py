"""
What the running sums of a proxy cost: the time for each exchange, and the memory after very many of other sessions.
"""

import time
from collections import deque
from datetime import UTC, datetime, timedelta
from pathlib import Path

from msgspec.structs import replace

from savemode_cli.core.budget.charge import Settlement
from savemode_cli.core.exchange.exchange import Exchange
from savemode_cli.core.exchange.observed import Observed
from savemode_cli.core.exchange.running import RunningSummary
from savemode_cli.core.upgrade.receipt import Receipt
from savemode_cli.core.wire.caller import Caller
from savemode_cli.core.wire.usage import Tokens, Usage
from savemode_cli.proxy.live_pages import Watch
from savemode_cli.serving.process import tune_process
from tests.benchmarks.tables import columns, fixed, options, show_json
from tests.builders import a_skip, an_allowance, an_edit, an_exchange

MB = 2**20
START = datetime(2026, 1, 1, tzinfo=UTC)
_KEPT_EXCHANGES = 200


def main() -> None:
    """
    Add up exchanges, and print a table.
    """
    chosen = options(__doc__).parse_args()
    figures = measure(100_000 if chosen.quick else 1_000_000)
    if chosen.json:
        show_json(figures)
    else:
        rows = [[name, fixed(value, 1)] for name, value in figures.items()]
        print(columns("The sums of a running proxy", ["", ""], rows))


def measure(exchanges: int) -> dict[str, float]:
    """
    The figures. Each exchange is a second after the one before it; there are 60 models, 80 sub-agents in turn, and new
    sessions all the time.
    """
    watch, recent, pattern = Watch(RunningSummary(START)), deque[Exchange](maxlen=_KEPT_EXCHANGES), _pattern()
    tune_process()
    before, spent_ns = _resident_bytes(), 0
    for number in range(exchanges):
        observed = _observed(pattern, number)
        begin = time.thread_time_ns()
        watch.hear(observed)
        spent_ns += time.thread_time_ns() - begin
        recent.append(observed.exchange.shortened())
    return {
        "exchanges": exchanges,
        "memory, MB": (_resident_bytes() - before) / MB,
        "CPU for each, us": spent_ns / 1000 / exchanges,
    }


def _pattern() -> Exchange:
    return an_exchange(
        edits=(an_edit(),),
        skips=(a_skip(),),
        usage=Usage(Tokens(100, 0, 300, 400, 50)),
        settlement=Settlement(123_456, "reported"),
        receipt=Receipt(cost_nusd=5, counterfactual_nusd=9),
        decision=an_allowance(),
        decision_after=an_allowance(),
    )


def _observed(pattern: Exchange, number: int) -> Observed:
    at, session = START + timedelta(seconds=number), f"session-{number // 100}-{number % 7}"
    call = replace(pattern.call, model=f"claude-x-{number % 60}", session=session)
    caller = Caller(
        "claude-code", idle_prone=True, session_id=session, agent_id=f"a{number % 80}" if number % 3 else None
    )
    return Observed(replace(pattern, id=f"req_{number}", started_at=at, call=call), at, caller, None)


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


if __name__ == "__main__":
    main()
