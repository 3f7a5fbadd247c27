"""
`savemode demo`: a working day of a coding agent, as it is and with Save Mode, without a key and without a network.

Rule of this file: everything is real but the model and the time. Requests travel over HTTP on loopback through the proxy
that `serve` runs, to the simulated upstream and its cache; both go by a clock that the script turns.
"""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from savemode_cli.cli.serve import compose
from savemode_cli.cli.workday import DAY, Agent, Scene, script
from savemode_cli.core.errors import SavemodeError

if TYPE_CHECKING:
    import httpx

    from savemode_cli.cli.serve import Proxy
    from savemode_cli.core.exchange import Exchange
    from savemode_cli.proxy.simulated.clock import Clock
    from savemode_cli.views.demo import Day, Screen

CAP_USD = "1.45"
_MORNING = datetime(2026, 11, 23, 9)  # wherever it is shown
_ANSWER_S, _TOOL_S = 11, 3
_FLAG = "x-posthog-flag-llm-gateway-cost-controls"


def demo() -> None:
    """
    Watch a day of a coding agent, as it is and with Save Mode: what it saves, what it costs, how a cap stops it.
    """
    from savemode_cli.cli.screen import console
    from savemode_cli.proxy.server import run_in_loop
    from savemode_cli.views.demo import Screen

    screen = Screen(console(), CAP_USD)
    screen.begin()
    plain = run_in_loop(lambda: _day(None))
    screen.first_day(plain)
    saving = run_in_loop(lambda: _day(screen))
    screen.compare(plain, saving)


async def _day(screen: "Screen | None") -> "Day":
    """
    One day: on a screen with the gate open and under the cap, without one as it is.
    """
    import asyncio

    import httpx

    from savemode_cli.config import Settings
    from savemode_cli.config.values import SIMULATED
    from savemode_cli.core.caller import PRODUCTS, Products
    from savemode_cli.core.tiers import parse_usd
    from savemode_cli.proxy.simulated.clock import Clock

    person = Products(PRODUCTS.idle_prone, PRODUCTS.aliases, default="posthog_code")
    settings = Settings(
        port=0,
        upstream=SIMULATED,
        ledger="memory:",
        product=person.default,
        products=person,
        budget_nusd=None if screen is None else parse_usd(CAP_USD),
    )
    seen: list[Exchange] = []
    clock = Clock(_MORNING.astimezone())
    proxy = compose(settings, seen.append, lambda _event, _text: None, handle_signals=False, now=clock)
    running = asyncio.create_task(proxy.serve())
    headers = {"x-api-key": "made-up", "anthropic-version": "2023-06-01", _FLAG: "false" if screen is None else "true"}
    try:
        async with httpx.AsyncClient(base_url=proxy.url, headers=headers, trust_env=False) as client:
            return await _Play(client, proxy, clock, seen, screen).play()
    finally:
        proxy.server.should_exit = True
        await running
        proxy.close()


class _Play:
    """
    The day's script, played.
    """

    def __init__(
        self,
        client: "httpx.AsyncClient",
        proxy: "Proxy",
        clock: "Clock",
        seen: "list[Exchange]",
        screen: "Screen | None",
    ) -> None:
        from savemode_cli.proxy.simulated.script import parse_script

        assert proxy.simulated is not None  # noqa: S101 - the settings say so
        proxy.simulated.app.script = parse_script(script())
        self._client = client
        self._clock = clock
        self._seen = seen
        self._screen = screen
        self._agent = Agent("demo")

    async def play(self) -> "Day":
        """
        All scenes; the exchanges of each.
        """
        from savemode_cli.views.demo import Day

        day = Day()
        for scene in DAY:
            self._clock.advance(scene.pause_min * 60)
            first = len(self._seen)
            if self._screen is not None:
                self._screen.scene(scene.title, scene.pause_min, self._clock())
            await self._play(scene)
            day = day.add(scene.title, scene.pause_min, self._seen[first:])
        return day

    async def _play(self, scene: Scene) -> None:
        agent = Agent("demo", "finder") if scene.speaker == "sub-agent" else self._agent
        agent.ask(scene.asks)
        answer = await self._ask(agent)
        while answer is not None and agent.hear(answer, scene.result_chars):
            self._clock.advance(_TOOL_S)
            answer = await self._ask(agent)
        if answer is not None and scene.speaker == "compaction":
            agent.compact(answer)

    async def _ask(self, agent: Agent) -> dict[str, Any] | None:
        """
        One request; None if it was refused, which ends the turn as it does in a client.
        """
        number = len(self._seen)
        response = await self._client.post("/v1/messages", content=agent.body(), headers=agent.headers)
        while len(self._seen) == number:  # the record comes after the last byte
            await _moment()
        self._clock.advance(_ANSWER_S)
        answer: dict[str, Any] = response.json()
        if self._screen is not None:
            self._screen.exchange(self._seen[-1], answer)
        if response.status_code == 200:
            return answer
        if response.status_code != 429:
            raise SavemodeError(f"the simulated upstream refused the demonstration: {answer['error']['message']}")
        return None


async def _moment() -> None:
    import asyncio

    await asyncio.sleep(0.001)
