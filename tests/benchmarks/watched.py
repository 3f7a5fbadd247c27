"""
The real proxy as `savemode serve` composes it, in a process that tells how much it holds on to.

Rule of this file: it looks and counts; a line of JSON on stdout for each SIGUSR1, and one with the port at the start.
"""

import argparse
import asyncio
import gc
import json
import os
import signal
import sys
import tracemalloc
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from savemode_cli.cli.compose import Proxy, compose
from savemode_cli.config import Settings
from savemode_cli.core.exchange.exchange import Exchange
from savemode_cli.serving.process import run_in_loop

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Tally:
    """
    What was recorded: how many by outcome, what they cost, what their receipts say, by model.
    """

    def __init__(self) -> None:
        """
        Nothing yet.
        """
        self.outcomes: Counter[str] = Counter()
        self.cost_nusd: Counter[str] = Counter()
        self.receipts_nusd: Counter[str] = Counter()
        self.upgraded = 0

    def __call__(self, exchange: Exchange) -> None:
        """
        One more.
        """
        model = exchange.call.model or ""
        self.outcomes[exchange.answer.outcome] += 1
        self.cost_nusd[model] += exchange.bill.cost_nusd or 0
        self.upgraded += exchange.upgrade.upgraded
        if exchange.bill.receipt is not None:
            self.receipts_nusd[model] += exchange.bill.receipt.cost_nusd or 0


def main() -> None:
    """
    Serve until SIGTERM.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("upstream")
    parser.add_argument("ledger")
    parser.add_argument("--cap-nusd", type=int, default=None)
    parser.add_argument("--strict", action="store_true")
    parser.add_argument("--trace", action="store_true")
    chosen = parser.parse_args()
    if chosen.trace:
        tracemalloc.start()
    settings = Settings(
        port=0,
        upstream=chosen.upstream,
        ledger=chosen.ledger,
        budget_nusd=chosen.cap_nusd,
        strict=chosen.strict,
        ttl_policy="always",
        grace_s=2,
    )
    tally = Tally()
    proxy = compose(settings, tally, lambda event, text: print(event, text, file=sys.stderr, flush=True))
    say({"port": proxy.listener.getsockname()[1]})
    run_in_loop(_watched(proxy, tally))
    proxy.close()


def _watched(proxy: Proxy, tally: Tally) -> Callable[[], Any]:
    async def serve() -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, lambda: say(_look(proxy, tally)))
        await proxy.serve()

    return serve


def _look(proxy: Proxy, tally: Tally) -> dict[str, Any]:
    gc.collect()
    return {
        "in_flight": proxy.relay.in_flight,
        "tasks": len(asyncio.all_tasks()),
        "sockets": len(os.listdir("/proc/self/fd")),  # noqa: PTH208 - names are all that is wanted
        "resident_bytes": int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES,
        "traced_bytes": tracemalloc.get_traced_memory()[0] if tracemalloc.is_tracing() else None,
        "recorded": tally.outcomes.total(),
        "upgraded": tally.upgraded,
        "outcomes": tally.outcomes,
        "cost_nusd": tally.cost_nusd,
        "receipts_nusd": tally.receipts_nusd,
    }


def say(line: dict[str, Any]) -> None:
    """
    One line of JSON.
    """
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
