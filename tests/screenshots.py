"""
The pictures of docs/live.md: the page in a browser, dark and light, and `savemode top`.

    scripts/screenshots

It plays two invented days of two agents against the simulated upstream, on a clock of its own. It needs Playwright and
Chromium, as the tests of the page do.
"""

import asyncio
import json
import os
import re
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from savemode_cli.cli.compose import Proxy, compose
from savemode_cli.config import Settings
from savemode_cli.config.addresses import SIMULATED
from savemode_cli.core.budget.admission import Hold
from savemode_cli.core.budget.budget import Budget
from savemode_cli.core.budget.ledger import reserve, settle
from savemode_cli.core.budget.window import parse_window
from savemode_cli.ledgers import open_ledger
from savemode_cli.simulated.clock import Clock
from savemode_cli.simulated.script import parse_script
from savemode_cli.simulated.workday import Agent, script

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs" / "images"
CHROMIUM = os.environ.get("SAVEMODE_TEST_CHROMIUM", "/usr/bin/chromium")
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]
_BEGIN = datetime(2026, 11, 26, 8, tzinfo=UTC)
_PAUSES_MIN = (1, 2, 12, 1, 45, 2, 1, 75, 3, 1, 9, 2)
_DOLLAR = 10**9


def seed(url: str, days: int = 30) -> None:
    """
    A ledger with the spend of the days before.
    """
    ledger = open_ledger(url)
    budget = Budget("default", 1, parse_window("month"))
    for day in range(days, 0, -1):
        at = _BEGIN - timedelta(days=day) + timedelta(hours=6)
        nusd = (3 if at.weekday() < 5 else 1) * _DOLLAR // 2 + day % 4 * _DOLLAR // 5
        reserve(ledger, Hold(f"d{day}", (budget.key("", at),), nusd, at + timedelta(minutes=9)), [], at)
        settle(ledger, f"d{day}", nusd, "reported", at)
    ledger.close()


@asynccontextmanager
async def playing(folder: Path) -> AsyncIterator[tuple[Proxy, Clock]]:
    """
    A proxy in front of the simulated upstream.
    """
    ledger = f"sqlite:///{folder / 'ledger.db'}"
    seed(ledger)
    settings = Settings(
        port=0,
        upstream=SIMULATED,
        ledger=ledger,
        product="posthog_code",
        budget_nusd=60 * _DOLLAR,
        save=True,
        debug=True,
    )
    clock = Clock(_BEGIN)
    proxy = compose(settings, lambda _: None, lambda _event, _text: None, handle_signals=False, now=clock)
    assert proxy.simulated is not None
    proxy.simulated.app.script = parse_script(script())
    running = asyncio.create_task(proxy.serve())
    try:
        yield proxy, clock
    finally:
        proxy.server.should_exit = True
        await running
        proxy.close()


async def play(proxy: Proxy, clock: Clock) -> None:
    """
    Two days of work in a few sessions, with some habits that are dear.
    """
    names = [f"{number}e1c7{number}04-5a2b" for number in range(3, 9)]
    headers = {
        "x-api-key": "made-up",
        "anthropic-version": "2023-06-01",
        "x-posthog-flag-llm-gateway-cost-controls": "true",
    }
    async with httpx.AsyncClient(base_url=proxy.url, headers=headers, trust_env=False, timeout=60) as client:
        for number, name in enumerate(names):
            agent = Agent(name)
            for turn, pause in enumerate(_PAUSES_MIN[: 7 + number]):
                clock.advance(pause * 60)
                await _turn(client, clock, agent, _habit(number, turn))
                if turn == 3:
                    finder = Agent(name, f"finder-{number}")
                    await _turn(client, clock, finder, lambda body: body)
            clock.advance(3600 * (15 if number == 2 else 1))


def _habit(number: int, turn: int) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """
    What this agent does differently in a turn.
    """

    def changed(body: dict[str, Any]) -> dict[str, Any]:
        if number == 1 and turn >= 4:
            body["system"][1]["text"] = f"Today is day {turn}. {body['system'][1]['text']}"
        if number == 3 and turn == 5:
            body["tools"] = body["tools"][::-1]
        if number == 4 and turn >= 6:
            body["model"] = "claude-sonnet-5"
        return body

    return changed


async def _turn(
    client: httpx.AsyncClient, clock: Clock, agent: Agent, habit: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    agent.ask("Go on with the next part.")
    while True:
        body = habit(json.loads(agent.body()))
        answer = await client.post("/v1/messages", content=json.dumps(body), headers=agent.headers)
        if answer.status_code != 200:
            raise SystemExit(f"the simulated upstream answered {answer.status_code}: {answer.text[:300]}")
        clock.advance(14)
        if not agent.add_answer(answer.json(), 6_000):
            return


async def photograph(url: str, folder: Path) -> None:
    """
    The page, dark and light, and `top` as an SVG.
    """
    from playwright.async_api import async_playwright

    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        for scheme in ("light", "dark"):
            sizes = [("page", 1100, 960), *([("page-small", 360, 900)] if scheme == "dark" else [])]
            for name, width, height in sizes:
                options: dict[str, Any] = {"viewport": {"width": width, "height": height}, "color_scheme": scheme}
                page = await (await browser.new_context(**options)).new_page()
                await page.goto(f"{url}/-/", wait_until="load")
                await page.wait_for_function("document.querySelectorAll('.uplot').length === 2")
                if name == "page":
                    await page.locator("details.miss summary").first.click()
                await page.mouse.move(0, 0)
                await page.wait_for_timeout(600)
                await page.screenshot(path=folder / f"{name}-{scheme}.png")
        await browser.close()


async def photograph_top(url: str, folder: Path) -> None:
    """
    `savemode top` in 100 x 30.
    """
    from savemode_cli.views.top.app import TopApp
    from savemode_cli.views.top.source import ProxySource

    app = TopApp([ProxySource(url)])
    async with app.run_test(size=(100, 30)) as pilot:
        for _ in range(200):
            await pilot.pause(0.05)
            if app.query_one("#sessions-table").row_count:  # type: ignore[attr-defined]
                break
        await pilot.pause(0.3)
        drawn = re.sub(r"@font-face \{.*?\}", "", app.export_screenshot(title="savemode top"), flags=re.DOTALL)
        (folder / "top.svg").write_text(drawn, encoding="utf-8")  # without fonts from elsewhere


async def take(folder: Path, *parts: Callable[[str, Path], Awaitable[None]]) -> None:
    """
    Play the days and take the pictures.
    """
    with tempfile.TemporaryDirectory(prefix="savemode-screenshots-") as home:
        os.environ |= {"HOME": home, "XDG_STATE_HOME": home, "XDG_CONFIG_HOME": home, "XDG_DATA_HOME": home}
        async with playing(Path(home)) as (proxy, clock):
            await play(proxy, clock)
            async with httpx.AsyncClient(trust_env=False) as client:  # the first answer begins a forecast
                for _ in range(100):
                    summary = (await client.get(f"{proxy.url}/-/summary")).json()
                    if all(budget["forecast"] for budget in summary["budgets"]):
                        break
                    await asyncio.sleep(0.05)
            for part in parts:
                await part(proxy.url, folder)


if __name__ == "__main__":
    DOCS.mkdir(exist_ok=True)
    asyncio.run(take(DOCS, photograph, photograph_top))
