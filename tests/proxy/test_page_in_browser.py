"""
The page in a real browser: its numbers are those of `/-/summary`, and it follows what happens.

It needs Playwright and Chromium, which `.ci/run` installs where it may; without them it is skipped. Playwright does not bring the
browser: SAVEMODE_TEST_CHROMIUM names another one than /usr/bin/chromium. SAVEMODE_TEST_AXE names the file axe.min.js of the npm
package axe-core, which looks for what people cannot use.
"""

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.upstream import ANSWER, Received, RunningProxy, Upstream, reply
from tests.support.waiting import LONG_S, until
from tests.support.wire import exchange, request

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
CHROMIUM = Path(os.environ.get("SAVEMODE_TEST_CHROMIUM", "/usr/bin/chromium"))
pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason="Chromium is not installed")
AXE = Path(os.environ.get("SAVEMODE_TEST_AXE") or "/none")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]
SYSTEM = "You are careful. " * 4000


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """
    Chromium.
    """
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS, timeout=LONG_S * 1000)
        yield opened
        opened.close()


def opened(browser: Any, proxy: RunningProxy, **options: Any) -> tuple[Any, list[str]]:
    """
    The page, and the messages of its console.
    """
    page = browser.new_context(**options).new_page()
    page.set_default_timeout(LONG_S * 1000)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(f"http://127.0.0.1:{proxy.port}/", wait_until="load")
    return page, said


def call(proxy: RunningProxy, model: str = "claude-opus-5-5", session: str = "s-1") -> None:
    """
    A billed call.
    """
    body = json.dumps({"model": model}).encode()
    sent = request("POST", "/v1/messages", body, ("x-claude-code-session-id", session))
    assert exchange(proxy.port, sent).status == 200


def missed_call(upstream: Upstream, proxy: RunningProxy) -> str:
    """
    Two calls of one conversation, of which the second has another system prompt and reads nothing.

    Returns:
        The ID of the second one.
    """
    usage = {"input_tokens": 3, "output_tokens": 1, "cache_creation_input_tokens": 18_000, "cache_read_input_tokens": 0}

    async def written(_received: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(json.dumps(json.loads(ANSWER) | {"usage": usage}).encode()))

    upstream.script = written
    for text in (SYSTEM, "Today is Tuesday. " + SYSTEM):
        system = [{"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}]
        messages = [{"role": "user", "content": "a secret question"}]
        body = json.dumps(
            {"model": "claude-opus-5-5", "max_tokens": 9, "system": system, "messages": messages}
        ).encode()
        sent = request("POST", "/v1/messages", body, ("x-claude-code-session-id", "s-missed"))
        assert exchange(proxy.port, sent).status == 200
    last = proxy.exchanges[-1]
    assert last.bill.verdict is not None
    assert [miss.cause for miss in last.bill.verdict.misses] == ["system_changed"]
    return last.id


def spent(page: Any) -> int:
    """
    The first amount on the page.
    """
    return int(page.locator("#total [data-nusd]").first.get_attribute("data-nusd"))


def summary(proxy: RunningProxy) -> dict[str, Any]:
    """
    The answer of `/-/summary`.
    """
    got: dict[str, Any] = json.loads(exchange(proxy.port, request("GET", "/-/summary")).body)
    return got


def test_it_follows_what_happens(upstream: Upstream, proxy: RunningProxy, browser: Any) -> None:
    """
    The page shows each call without a reload; a model with a name like a script tag is text, and the console stays empty.
    """
    call(proxy)
    page, said = opened(browser, proxy)
    assert page.url.endswith("/-/")
    assert spent(page) == summary(proxy)["total"]["cost_nusd"] > 0
    page.wait_for_function("document.getElementById('state').textContent === 'live'")

    page.evaluate("window.stays = true")
    call(proxy, model="<img src=x onerror=alert(1)>", session="s-2")
    total = summary(proxy)["total"]["cost_nusd"]
    until(lambda: spent(page) == total)
    assert page.evaluate("window.stays") is True
    assert page.locator("main img").count() == 0
    assert "<img src=x onerror=alert(1)>" in page.locator("#requests").inner_text()
    rows = page.locator("#sessions tbody tr [data-nusd]").evaluate_all("all => all.map(one => +one.dataset.nusd)")
    assert sum(rows) == total
    assert said == []


def test_without_a_script(upstream: Upstream, proxy: RunningProxy, browser: Any) -> None:
    """
    All numbers are shown, and sessions can be sorted with the keyboard.
    """
    call(proxy)
    page, _ = opened(browser, proxy, java_script_enabled=False)
    assert spent(page) == summary(proxy)["total"]["cost_nusd"]

    page.locator("#sort-cost").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/-/?sort=cost")
    assert page.locator("[aria-current=true]").inner_text().startswith("cost")


@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (1440, "dark")])
def test_small_and_large_light_and_dark(
    upstream: Upstream, proxy: RunningProxy, browser: Any, width: int, scheme: str
) -> None:
    """
    Only elements with their own scroll bar are wider than the screen, the colors follow the scheme, and axe-core finds nothing
    serious.
    """
    missed_call(upstream, proxy)
    size = {"width": width, "height": 800}
    page, said = opened(browser, proxy, viewport=size, color_scheme=scheme, bypass_csp=AXE.exists())
    page.locator("details.miss summary").first.click()

    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") is (scheme == "dark")
    back = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert (back == "rgb(16, 20, 26)") is (scheme == "dark")
    assert said == []
    if AXE.exists():
        page.add_script_tag(path=str(AXE))
        found = page.evaluate("axe.run().then((result) => result.violations.map((one) => [one.impact, one.id]))")
        assert [one for one in found if one[0] in ("serious", "critical")] == []


def test_a_miss_opens_with_the_keyboard(upstream: Upstream, proxy: RunningProxy, browser: Any) -> None:
    """
    It says where the two requests differ, stays open and focused when the page follows, and has no text of a prompt.
    """
    number = missed_call(upstream, proxy)
    page, said = opened(browser, proxy)
    page.wait_for_function("document.getElementById('state').textContent === 'live'")
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("!!document.activeElement.closest('details.miss')"):
            break
    page.keyboard.press("Enter")
    details = page.locator(f"#miss-{number}")
    assert "differs at" in details.inner_text()
    assert "system[0].text" in details.inner_text()

    call(proxy, session="s-other")
    until(lambda: page.locator("#requests tbody tr").count() == 3)
    assert details.get_attribute("open") is not None
    assert page.evaluate("document.activeElement.closest('details').id") == f"miss-{number}"
    assert not [word for word in ("Tuesday", "careful", "secret") if word in page.content()]
    assert said == []


def test_the_charts_show_the_numbers_of_the_table(upstream: Upstream, proxy: RunningProxy, browser: Any) -> None:
    """
    uPlot draws what `/-/summary` says, follows, and no request goes anywhere else.
    """
    call(proxy)
    asked: list[str] = []
    page, said = opened(browser, proxy)
    page.on("request", lambda one: asked.append(one.url))
    page.reload(wait_until="load")
    page.wait_for_function("charts.size === 2")
    spend = "charts.get('spend').plot.data[1].reduce((sum, one) => sum + one, 0)"
    total = summary(proxy)["total"]
    assert page.evaluate(spend) == pytest.approx(total["cost_nusd"] / 1e9)
    call(proxy)
    until(lambda: page.evaluate(spend) == pytest.approx(2 * total["cost_nusd"] / 1e9))
    assert page.locator(".uplot").count() == 2
    assert {url.split("/-/")[0] for url in asked} == {f"http://127.0.0.1:{proxy.port}"}
    assert said == []


def test_first_paint_has_the_numbers(upstream: Upstream, proxy: RunningProxy, browser: Any) -> None:
    """
    They are in the page itself, not in something that a script fetches afterwards.
    """
    call(proxy)
    page, _ = opened(browser, proxy)
    shown = page.evaluate("fetch('/-/').then((one) => one.text())")
    assert f'data-nusd="{summary(proxy)["total"]["cost_nusd"]}"' in shown
    assert page.evaluate("performance.getEntriesByType('paint').length") > 0
