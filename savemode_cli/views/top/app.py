"""
The screen of `savemode top`: it asks for snapshots and shows them.

Rule of this file: it is the only one that imports Textual. What it shows is made in `snapshot`.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

from rich.text import Text
from textual import work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import DataTable, Footer, Input, Sparkline, Static, TabbedContent, TabPane
from textual.worker import get_current_worker

from savemode_cli.views.money import STYLES
from savemode_cli.views.top import snapshot as shown
from savemode_cli.views.top.snapshot import SORTS, Snapshot, Table

_MOST_BUDGETS = 4
_TABS = ("sessions", "agents", "requests", "misses", "receipts")


class Source(Protocol):
    """
    A proxy that can be asked.
    """

    def load(self) -> Snapshot:
        """
        What it answers now.
        """

    def wait(self) -> None:
        """
        Wait until something happens at the proxy, or for a bounded time.
        """

    def close(self) -> None:
        """
        End the connection. A `wait` in another thread ends too.
        """


class TopApp(App[None]):
    """
    A full screen about one of some proxies.
    """

    TITLE = "savemode top"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #heading { text-style: bold; }
    #heading, #totals { height: 1; }
    #budgets { height: auto; max-height: 4; }
    #hours { height: 2; }
    #hours-label { height: 1; color: $text-muted; }
    #filter { display: none; height: 1; border: none; }
    #filter.shown { display: block; }
    TabbedContent { height: 1fr; }
    TabPane { padding: 0; }
    DataTable { height: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(str(number), f"tab('{name}')", name, show=False) for number, name in enumerate(_TABS, start=1)),
        Binding("tab", "next_tab", "next table", priority=True),
        Binding("s", "sort", "sort"),
        Binding("slash", "filter", "filter"),
        Binding("escape", "clear_filter", "all", show=False),
        Binding("p", "next_proxy", "next proxy"),
        Binding("q", "quit", "quit"),
    ]

    def __init__(self, sources: Sequence[Source]) -> None:
        """
        Args:
            sources: the proxies; the first is shown first. At least one.
        """
        super().__init__()
        self._sources = sources
        self._place = 0
        self._sort = next(iter(SORTS))
        self._snapshot: Snapshot | None = None

    def compose(self) -> ComposeResult:
        """
        The parts of the screen, from top to bottom.
        """
        yield Static(id="heading", markup=False)
        yield Static(id="totals", markup=False)
        yield Static(id="budgets", markup=False)
        yield Sparkline([0.0] * shown.HOURS, id="hours", summary_function=max)
        yield Static(id="hours-label", markup=False)
        with TabbedContent(id="tables"):
            for name in _TABS:
                with TabPane(name, id=name):
                    yield DataTable(id=f"{name}-table", cursor_type="row", zebra_stripes=True)
        yield Input(id="filter", placeholder="only rows with these words", compact=True)
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """
        Begin to ask.
        """
        self.query_one("#sessions-table").focus()
        self._follow()

    def on_unmount(self) -> None:
        """
        End every connection, which ends the thread that waits for one.
        """
        for source in self._sources:
            source.close()

    @work(thread=True, exclusive=True)
    def _follow(self) -> None:
        worker, source = get_current_worker(), self._sources[self._place]
        while not worker.is_cancelled:
            snapshot = source.load()
            if worker.is_cancelled:
                return
            self.call_from_thread(self._take, snapshot)
            source.wait()

    def _take(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._show()

    def _show(self) -> None:
        snapshot = self._snapshot
        if snapshot is None or not self.is_running:
            return
        words = self.query_one("#filter", Input).value.strip().lower()
        self._say("#heading", Text(shown.heading(snapshot), "bold" if snapshot.summary is not None else "bold red"))
        if snapshot.summary is None:
            return  # the last figures stay on the screen
        self._say("#totals", Text(shown.totals(snapshot)))
        lines = [Text(line, STYLES.get(state, "")) for line, state in shown.budgets(snapshot, _MOST_BUDGETS)]
        self._say("#budgets", Text("\n").join(lines))
        hours = shown.spend_per_hour(snapshot)
        self.query_one("#hours", Sparkline).data = hours
        self._say("#hours-label", Text(f"spend per hour, the last {shown.HOURS}; the dearest ${max(hours):,.4f}"))
        self._fill("sessions", shown.sessions(snapshot, self._sort, words), sort=self._sort)
        self._fill("agents", shown.agents(snapshot, self._sort, words), sort=self._sort)
        self._fill("requests", shown.requests(snapshot, words))
        self._fill("misses", shown.misses(snapshot, words))
        self._fill("receipts", shown.receipts(snapshot, words))

    def _say(self, selector: str, text: Text) -> None:
        self.query_one(selector, Static).update(text)

    def _fill(self, name: str, table: Table, *, sort: str = "") -> None:
        """
        Put new rows into a table. The row under the cursor and what is scrolled to stay where they are.
        """
        widget: DataTable[Text] = self.query_one(f"#{name}-table", DataTable)
        row, scrolled = widget.cursor_row, widget.scroll_offset
        widget.clear(columns=True)
        on_left = {table.heads[0], *table.left}
        justify: list[Any] = ["left" if head in on_left else "right" for head in table.heads]
        for head, side in zip(table.heads, justify, strict=True):
            widget.add_column(Text(f"{head} ▾" if head == sort else head, justify=side))
        for cells in table.rows:
            widget.add_row(*(Text(cell, justify=side) for cell, side in zip(cells, justify, strict=True)))
        widget.move_cursor(row=min(row, max(0, len(table.rows) - 1)), animate=False, scroll=False)
        widget.scroll_to(*scrolled, animate=False)

    def action_tab(self, name: str) -> None:
        """
        Show a table.
        """
        self.query_one("#tables", TabbedContent).active = name
        self.query_one(f"#{name}-table").focus()

    def action_next_tab(self) -> None:
        """
        Show the next table.
        """
        active = self.query_one("#tables", TabbedContent).active
        self.action_tab(_TABS[(_TABS.index(active) + 1) % len(_TABS)])

    def action_sort(self) -> None:
        """
        Sort sessions and sub-agents by the next column.
        """
        names = [*SORTS]
        self._sort = names[(names.index(self._sort) + 1) % len(names)]
        self._show()

    def action_filter(self) -> None:
        """
        Ask for words.
        """
        asked = self.query_one("#filter", Input)
        asked.add_class("shown")
        asked.focus()

    def action_clear_filter(self) -> None:
        """
        Show every row again.
        """
        asked = self.query_one("#filter", Input)
        asked.value = ""
        asked.remove_class("shown")
        self.action_tab(self.query_one("#tables", TabbedContent).active)

    def action_next_proxy(self) -> None:
        """
        Show the next proxy of this machine.
        """
        self._place = (self._place + 1) % len(self._sources)
        self._follow()

    def on_input_changed(self, _event: Input.Changed) -> None:
        """
        Show the rows with the words that are there so far.
        """
        self._show()

    def on_input_submitted(self, _event: Input.Submitted) -> None:
        """
        Go back to the table.
        """
        self.action_tab(self.query_one("#tables", TabbedContent).active)


def run(sources: Sequence[Source]) -> None:
    """
    Show the proxies until the person quits.
    """
    TopApp(sources).run()
