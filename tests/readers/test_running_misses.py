"""
The verdicts of running proxies.
"""

import os
from datetime import UTC, datetime
from pathlib import Path

import httpx

from savemode_cli.core.diagnosis.report import Diagnosed
from savemode_cli.readers.running_misses import running_misses
from savemode_cli.serving.running import RunningProxy, registered
from savemode_cli.simulated.clock import Clock
from tests.support.mutations import conversation, replaced
from tests.support.prompts import encoded
from tests.support.simulated import running_simulated
from tests.support.upstream import running_proxy
from tests.support.waiting import until

HEADERS = {"x-api-key": "k", "anthropic-version": "2023-06-01"}


def test_verdicts_come_back_as_they_were(tmp_path: Path) -> None:
    """
    Everything that is shown of a verdict.
    """
    clock = Clock(datetime(2026, 11, 24, 12, tzinfo=UTC))
    with running_simulated(clock=clock) as upstream, running_proxy(upstream.url, now=clock) as proxy:
        for day in ("24", "25"):
            body = conversation(0)
            replaced("11-24", f"11-{day}", "system", 1, "text")(body)
            httpx.post(f"{proxy.url}/v1/messages", content=encoded(body), headers=HEADERS, timeout=60)
            clock.advance(5)
        recorded = [one.bill.verdict for one in proxy.exchanges]
        found: list[Diagnosed] = []
        with registered(tmp_path, RunningProxy(proxy.url, os.getpid(), "")):
            # A busy machine may take longer than a command waits.
            def both() -> bool:
                if len(found) < 2:
                    found.extend(running_misses(tmp_path))
                return len(found) >= 2

            until(both)

    assert [one.place for one in found] == [one.id for one in proxy.recorded]
    assert [one.verdict.to_json() for one in found] == [one.to_json() for one in recorded if one is not None]
    assert found[1].verdict.misses[0].at == "system[1].text"
    assert found[1].cost_nusd > found[1].verdict.cost_nusd > 0


def test_no_proxy(tmp_path: Path) -> None:
    """
    Nothing is found.
    """
    assert list(running_misses(tmp_path)) == []
