"""
`savemode demo`: a working day of a coding agent, without savemode and with it, without an API key or a network.

Rule of this file: everything is real except the model and the time. Requests go over HTTP on loopback through the same
proxy that `serve` runs to the simulated upstream and its cache. Both use a clock that the script advances.
"""

import sys
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from savemode_cli.cli.compose import compose
from savemode_cli.core.errors import SavemodeError
from savemode_cli.simulated.workday import DAY, Agent, Scene, script

if TYPE_CHECKING:
    import asyncio

    import httpx

    from savemode_cli.cli.compose import Proxy
    from savemode_cli.core.exchange.exchange import Exchange
    from savemode_cli.simulated.clock import Clock
    from savemode_cli.views.demo import Day, Screen

CAP_USD = "1.45"
_MORNING = datetime(2026, 11, 23, 9)  # in the time zone of whoever watches
_ANSWER_S, _TOOL_S = 11, 3
_FLAG = "x-posthog-flag-llm-gateway-cost-controls"


def demo(
    pace: Annotated[
        float, typer.Option(min=0, max=60, metavar="SECONDS", help="Wait this long after each request that is shown.")
    ] = 0,
    save: Annotated[
        bool,
        typer.Option("--save/--always", help="Upgrade as --save does, by the policy auto, or every request."),
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Output JSON.")] = False,
) -> None:
    """
    Watch a day of a coding agent, without savemode and with it: what it costs, what it saves, how a cap stops it.
    """
    from savemode_cli.cli.screen import console, echo_json, say
    from savemode_cli.serving.process import run_in_loop
    from savemode_cli.views.demo import Screen, to_json

    if as_json:
        plain = run_in_loop(lambda: _day(saves=False))
        echo_json(to_json(plain, run_in_loop(lambda: _day(saves=True, save=save)), _cap_nusd()))
        return
    screen = Screen(console(), lambda text: say(sys.stdout, text), CAP_USD)
    screen.begin()
    plain = run_in_loop(lambda: _day(saves=False))
    screen.first_day(plain, by_auto=save)
    saving = run_in_loop(lambda: _day(saves=True, save=save, screen=screen, pace_s=pace))
    screen.compare(plain, saving)


def _cap_nusd() -> int:
    from savemode_cli.core.money.amounts import parse_usd

    return parse_usd(CAP_USD) or 0


async def _day(*, saves: bool, save: bool = False, screen: "Screen | None" = None, pace_s: float = 0) -> "Day":
    """
    Play one day.

    Args:
        saves: whether caching is upgraded and the cap is set.
        save: whether upgrades are switched on by `--save`, with its policy, and not by a flag.
        screen: shows the requests; None shows nothing.
        pace_s: how long to wait after each request, in seconds.
    """
    import asyncio

    import httpx

    from savemode_cli.config import Settings
    from savemode_cli.config.addresses import SIMULATED
    from savemode_cli.core.upgrade.policy import SAVE_POLICY
    from savemode_cli.core.wire.products import PRODUCTS, Products
    from savemode_cli.simulated.clock import Clock

    person = Products(PRODUCTS.idle_prone, PRODUCTS.aliases, default="posthog_code")
    settings = Settings(
        port=0,
        upstream=SIMULATED,
        ledger="memory:",
        product=person.default,
        products=person,
        budget_nusd=_cap_nusd() if saves else None,
        save=save,
        debug=save,
        ttl_policy=SAVE_POLICY if save else "product",
    )
    exchanges: asyncio.Queue[Exchange] = asyncio.Queue()
    clock = Clock(_MORNING.astimezone())
    proxy = compose(settings, exchanges.put_nowait, lambda _event, _text: None, handle_signals=False, now=clock)
    running = asyncio.create_task(proxy.serve())
    headers = {"x-api-key": "made-up", "anthropic-version": "2023-06-01", _FLAG: "true" if saves else "false"}
    try:
        async with httpx.AsyncClient(base_url=proxy.url, headers=headers, trust_env=False) as client:
            return await _Play(client, proxy, clock, exchanges, screen, pace_s).play()
    finally:
        proxy.server.should_exit = True
        await running
        proxy.close()


class _Play:
    """
    The script of a day, while it is played.
    """

    def __init__(
        self,
        client: "httpx.AsyncClient",
        proxy: "Proxy",
        clock: "Clock",
        exchanges: "asyncio.Queue[Exchange]",
        screen: "Screen | None",
        pace_s: float,
    ) -> None:
        from savemode_cli.simulated.script import parse_script

        assert proxy.simulated is not None  # noqa: S101 - the settings say so
        proxy.simulated.app.script = parse_script(script())
        self._client = client
        self._clock = clock
        self._exchanges = exchanges
        self._seen: list[Exchange] = []
        self._screen = screen
        self._pace_s = pace_s
        self._agent = Agent("demo")

    async def play(self) -> "Day":
        """
        Play all scenes.
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
        while answer is not None and agent.add_answer(answer, scene.result_chars):
            self._clock.advance(_TOOL_S)
            answer = await self._ask(agent)
        if answer is not None and scene.speaker == "compaction":
            agent.compact(answer)

    async def _ask(self, agent: Agent) -> dict[str, Any] | None:
        """
        Send one request. None if it was refused, which ends the turn as it does in a client.
        """
        import asyncio

        from savemode_cli.core.budget.refusal import REFUSED_STATUS, UNPAID_STATUS

        response = await self._client.post("/v1/messages", content=agent.body(), headers=agent.headers)
        self._seen.append(await self._exchanges.get())  # it comes after the last byte of the answer
        self._clock.advance(_ANSWER_S)
        answer: dict[str, Any] = response.json()
        if self._screen is not None:
            self._screen.exchange(self._seen[-1], answer)
            await asyncio.sleep(self._pace_s)
        if response.status_code == 200:
            return answer
        if response.status_code not in (REFUSED_STATUS, UNPAID_STATUS):
            raise SavemodeError(f"the simulated upstream refused a request of the demo: {answer['error']['message']}")
        return None
