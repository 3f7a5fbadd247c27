"""
Requests to the simulated upstream, each with its verdict.
"""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from savemode_cli.core.diagnosis.causes import Verdict
from savemode_cli.core.diagnosis.history import History
from savemode_cli.prices import load_prices
from savemode_cli.readers.calls import metered
from savemode_cli.simulated.clock import Clock
from savemode_cli.simulated.upstream import Behaviour, SimulatedUpstream
from tests.support.prompts import Object, encoded

PRICES = load_prices(None)
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


class Diagnosed:
    """
    One program, its requests and the upstream that it sends them to.
    """

    def __init__(self, **behaviour: Any) -> None:
        self.clock = Clock(NOON)
        self.history = History(PRICES)
        self.behaviour = Behaviour(**behaviour)
        self.workspaces: dict[str, SimulatedUpstream] = {}
        self.verdicts: list[Verdict] = []

    def wait(self, **span: float) -> None:
        """
        Let time pass.
        """
        self.clock.advance(timedelta(**span).total_seconds())

    def forget(self) -> None:
        """
        Remove everything from the cache, as a provider may.
        """
        for workspace in self.workspaces.values():
            workspace.reset()

    def ask(self, *bodies: Object, **more: Any) -> Verdict:
        """
        Send requests at the same time, and wait for 5 seconds.

        Returns:
            The verdict on the last one.
        """
        verdict = asyncio.run(self._together(bodies, **more))
        self.wait(seconds=5)
        return verdict

    async def _together(self, bodies: tuple[Object, ...], **more: Any) -> Verdict:
        return (await asyncio.gather(*(self._ask(body, **more) for body in bodies)))[-1]

    async def _ask(
        self,
        body: Object,
        *,
        session: str = "s",
        agent: str = "",
        named: bool = True,
        payer: str = "a",
        betas: str = "",
        fault: str = "",
    ) -> Verdict:
        raw = encoded(body)
        asked = self.history.asked(
            f"{len(self.history.lanes)}",
            raw,
            session,
            started_at=self.clock(),
            named=named,
            agent=agent,
            payer=payer,
            betas=filter(None, [betas]),
        )
        assert asked is not None
        start = asked.sent.started_at
        usage = metered(await self._post(raw, payer, betas, fault))
        verdict = self.history.answered(
            asked, usage, began_at=start + timedelta(seconds=1), ended_at=start + timedelta(seconds=3)
        )
        assert verdict is not None
        self.verdicts.append(verdict)
        return verdict

    async def _post(self, raw: bytes, payer: str, betas: str, fault: str) -> bytes:
        upstream = self.workspaces.setdefault(payer, SimulatedUpstream(self.behaviour, clock=self.clock))
        headers = {"x-api-key": payer, "anthropic-version": "2023-06-01"}
        headers |= {"anthropic-beta": betas} if betas else {}
        headers |= {"x-savemode-fault": fault} if fault else {}
        async with httpx.AsyncClient(transport=httpx.ASGITransport(upstream), base_url="http://simulated") as client:
            answer = await client.post("/v1/messages", content=raw, headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.content


def copied(body: Object) -> Object:
    """
    A body that can be changed.
    """
    changed: Object = json.loads(json.dumps(body))
    return changed
