"""
A tree of 200 sub-agents that starts at once, on three processes with one ledger, against a budget of 20 calls' worth.
"""

import asyncio
import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from savemode_cli.core.budget.budget import Budget
from savemode_cli.core.budget.window import Window
from savemode_cli.ledgers import open_ledger
from tests.support.calling import CALL, send
from tests.support.processes import post, serving
from tests.support.upstream import Received, Upstream, reply, running_proxy
from tests.support.waiting import until

AGENTS, WORTH, PROCESSES = 200, 20, 3
NOW = datetime(2026, 11, 24, tzinfo=UTC)
BODY = json.dumps(CALL).encode()
ROOT = "root"


def of_agent(number: int) -> list[tuple[str, str]]:
    """
    The headers of an agent: number 0 is the one that started all others.
    """
    parent = [("x-claude-code-parent-agent-id", ROOT)] if number else []
    name = f"agent-{number}" if number else ROOT
    return [("x-claude-code-session-id", "s"), ("x-claude-code-agent-id", name), *parent]


def held_for_a_call(upstream: Upstream, **terms: Any) -> int:
    """
    What is held for one such call, in nano-USD.
    """
    budgets = (Budget("tree", 10**12, Window("none"), scope="agent", **terms),)
    with running_proxy(upstream.url, further_budgets=budgets) as proxy:
        headers = {name.replace("-", "_"): value for name, value in of_agent(1)}
        assert send(proxy, **headers).status == 200
        held = proxy.exchange().bill.held_nusd
    upstream.received.clear()
    return held


@pytest.mark.parametrize("strict", [False, True])
def test_exactly_as_many_start_as_the_budget_is_worth(upstream: Upstream, tmp_path: Path, *, strict: bool) -> None:
    """
    By either rule. The others are refused at once, and none of those that started is charged twice or not at all.
    """
    held = held_for_a_call(upstream, strict=strict)
    go_on = upstream.event()

    async def script(_: Received, writer: asyncio.StreamWriter) -> None:
        await go_on.wait()
        writer.write(reply())

    upstream.script = script
    config = tmp_path / "config.toml"
    config.write_text(
        f'[budgets.tree]\nlimit_usd = "{held * WORTH / 10**9:.9f}"\nwindow = "none"\nscope = "agent"\n'
        f"strict = {str(strict).lower()}\n"
    )
    url = f"sqlite:///{tmp_path}/ledger.db"
    options = ("--config", str(config), "--ledger", url, "--refusal", "429")
    statuses: Counter[int] = Counter()
    with ExitStack() as stack, ThreadPoolExecutor(AGENTS) as pool:
        servers = [stack.enter_context(serving(upstream.url, *options)) for _ in range(PROCESSES)]

        def call(number: int) -> None:
            status, _ = post(servers[number % PROCESSES][1], BODY, of_agent(number))
            statuses[status] += 1

        calls = [pool.submit(call, number) for number in range(AGENTS)]
        until(lambda: statuses[429] == AGENTS - WORTH)
        assert len(upstream.received) == WORTH
        upstream.set(go_on)
        for one in calls:
            one.result()
        for server, _ in servers:
            assert server.end() == 0  # once every bill is written

    assert statuses == {200: WORTH, 429: AGENTS - WORTH}
    ledger = open_ledger(url)
    balance = ledger.balance(Budget("tree", 1, Window("none"), scope="agent").key(ROOT, NOW), NOW)
    charges = ledger.charges()
    assert (len(charges), len(ledger.holds(datetime.now(UTC)))) == (WORTH, 0)
    assert balance.used_nusd == balance.settled_nusd == sum(charge.nusd for charge in charges)
    ledger.close()
