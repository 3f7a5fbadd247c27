"""
The page in a real browser: its numbers are those of `/-/summary`, and it follows what happens.

It needs Playwright and Chromium, which `.ci/run` installs where it may; without them it is skipped. Playwright does not bring the
browser: SAVEMODE_TEST_CHROMIUM names another one than /usr/bin/chromium.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.upstream import RunningProxy, Upstream
from tests.support.waiting import LONG_S, until
from tests.support.wire import exchange, request

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
CHROMIUM = Path(os.environ.get("SAVEMODE_TEST_CHROMIUM", "/usr/bin/chromium"))
pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason="Chromium is not installed")
ARGUMENTS = ["--no-sandbox", "--disable-background-networking", "--disable-dev-shm-usage"]


@pytest.fixture
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


@pytest.mark.parametrize("width", [360, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_small_and_large_light_and_dark(
    upstream: Upstream, proxy: RunningProxy, browser: Any, width: int, scheme: str
) -> None:
    """
    Only elements with their own scroll bar are wider than the screen, and the background follows the color scheme.
    """
    call(proxy)
    size = {"width": width, "height": 800}
    page, _ = opened(browser, proxy, viewport=size, color_scheme=scheme)

    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") is (scheme == "dark")
