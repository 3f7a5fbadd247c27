"""
The screen of `savemode top`, driven by Textual's pilot.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable

import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable, Input, Static, TabbedContent

from savemode_cli.views.top.app import TopApp
from savemode_cli.views.top.snapshot import Snapshot
from tests.views.top.answers import URL, session, snapshot


class Given:
    """
    A proxy that answers what a test says.
    """

    def __init__(self, answer: Snapshot) -> None:
        """
        Args:
            answer: what it answers until the test changes it.
        """
        self.answer = answer
        self._happened = threading.Event()
        self.closed = False

    def happen(self, answer: Snapshot) -> None:
        """
        Another answer from now on, and everybody who waits is told.
        """
        self.answer = answer
        self._happened.set()

    def load(self) -> Snapshot:
        """
        The answer.
        """
        self._happened.clear()
        return self.answer

    def wait(self) -> None:
        """
        Wait for the test.
        """
        self._happened.wait(60)

    def close(self) -> None:
        """
        End a `wait`.
        """
        self.closed = True
        self._happened.set()


Act = Callable[[TopApp, "Pilot[None]"], Awaitable[None]]


def drive(act: Act, *sources: Given, size: tuple[int, int] = (80, 24)) -> None:
    """
    Show the screen, do what the test does, and quit.
    """

    async def run() -> None:
        app = TopApp(sources)
        async with app.run_test(size=size) as pilot:
            await shown(app, pilot, "#heading", "savemode")
            await act(app, pilot)
            await pilot.press("escape", "q")

    asyncio.run(run())


def said(app: TopApp, selector: str) -> str:
    """
    The text of a part of the screen.
    """
    return str(app.query_one(selector, Static).content)


async def shown(app: TopApp, pilot: "Pilot[None]", selector: str, text: str) -> None:
    """
    Wait until a part of the screen has a text.
    """
    async with asyncio.timeout(60):
        while text not in said(app, selector):
            await pilot.pause(0.01)


def rows(app: TopApp, name: str) -> list[str]:
    """
    The first cell of each row of a table.
    """
    table = app.query_one(f"#{name}-table", DataTable)
    return [str(table.get_row_at(number)[0]) for number in range(table.row_count)]


@pytest.mark.parametrize("size", [(80, 24), (60, 20), (160, 50)])
def test_all_parts_are_on_the_screen(size: tuple[int, int]) -> None:
    """
    Heading, totals, budgets, spend per hour and a table, at every size.
    """

    async def act(app: TopApp, pilot: "Pilot[None]") -> None:
        await shown(app, pilot, "#totals", "spent $1.7000")
        assert "left of $5.0000" in said(app, "#budgets")
        assert "spend per hour" in said(app, "#hours-label")
        assert rows(app, "sessions") == ["11111111", "99999999"]
        table = app.query_one("#sessions-table", DataTable)
        assert table.region.height >= 5
        assert size[0] < 80 or table.virtual_size.width <= size[0]

    drive(act, Given(snapshot()), size=size)


def test_keys() -> None:
    """
    A number chooses a table, Tab the next one, and s another order.
    """

    async def act(app: TopApp, pilot: "Pilot[None]") -> None:
        await shown(app, pilot, "#totals", "spent")
        tables = app.query_one("#tables", TabbedContent)
        await pilot.press("3")
        assert (tables.active, len(rows(app, "requests"))) == ("requests", 1)
        await pilot.press("tab")
        assert (tables.active, rows(app, "misses")) == ("misses", ["system changed", "expired"])
        await pilot.press("tab", "tab")
        assert tables.active == "sessions"
        heads = [str(column.label) for column in app.query_one("#sessions-table", DataTable).ordered_columns]
        assert "last ▾" in heads
        await pilot.press("s")
        heads = [str(column.label) for column in app.query_one("#sessions-table", DataTable).ordered_columns]
        assert "cost ▾" in heads

    drive(act, Given(snapshot()))


def test_filter() -> None:
    """
    / asks for words, and only rows with them stay; Escape shows all again.
    """

    async def act(app: TopApp, pilot: "Pilot[None]") -> None:
        await shown(app, pilot, "#totals", "spent")
        await pilot.press("slash", *"haiku")
        await pilot.pause()
        assert rows(app, "sessions") == ["99999999"]
        await pilot.press("enter")
        assert app.query_one("#filter", Input).value == "haiku"
        await pilot.press("escape")
        await pilot.pause()
        assert rows(app, "sessions") == ["11111111", "99999999"]

    drive(act, Given(snapshot()))


def test_what_happens_is_shown() -> None:
    """
    A new answer replaces the old one, and the row under the cursor stays the same row number.
    """
    proxy = Given(snapshot())

    async def act(app: TopApp, pilot: "Pilot[None]") -> None:
        await shown(app, pilot, "#totals", "spent $1.7000")
        await pilot.press("down")
        total = {**(proxy.answer.summary or {})["total"], "cost_nusd": 9_000_000_000}
        sessions = [session(name, 1) for name in ("a", "b", "c")]
        proxy.happen(snapshot(total=total, sessions=sessions))
        await shown(app, pilot, "#totals", "spent $9.0000")
        assert rows(app, "sessions") == ["a", "b", "c"]
        assert app.query_one("#sessions-table", DataTable).cursor_row == 1

    drive(act, proxy)


def test_proxy_that_ends() -> None:
    """
    The heading says that it does not answer, and the last figures stay.
    """
    proxy = Given(snapshot())

    async def act(app: TopApp, pilot: "Pilot[None]") -> None:
        await shown(app, pilot, "#totals", "spent $1.7000")
        proxy.happen(Snapshot(URL))
        await shown(app, pilot, "#heading", "does not answer")
        assert "spent $1.7000" in said(app, "#totals")

    drive(act, proxy)


def test_next_proxy() -> None:
    """
    p shows the next one, and all are closed at the end.
    """
    first, second = Given(snapshot()), Given(Snapshot("http://127.0.0.1:9999", snapshot().summary))

    async def act(app: TopApp, pilot: "Pilot[None]") -> None:
        await shown(app, pilot, "#heading", URL)
        await pilot.press("p")
        await shown(app, pilot, "#heading", "9999")

    drive(act, first, second)

    assert first.closed
    assert second.closed


def test_markup_of_others_stays_text() -> None:
    """
    A model whose name looks like Textual's markup is shown as it is.
    """

    async def act(app: TopApp, pilot: "Pilot[None]") -> None:
        await shown(app, pilot, "#totals", "spent")
        assert str(app.query_one("#sessions-table", DataTable).get_row_at(0)[1]) == "[red]x[/]"

    drive(act, Given(snapshot(sessions=[session("s", 1, model="[red]x[/]")])))
