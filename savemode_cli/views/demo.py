"""
The demonstration on a screen: request lines as `serve` prints them, then two days side by side.

Rule of this file: it fits 80 columns, and each figure is a fold over the exchanges; none is computed here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from savemode_cli.core.admission import Refused
from savemode_cli.core.exchange import Exchange
from savemode_cli.core.summary import Summary
from savemode_cli.core.tiers import dollars
from savemode_cli.views.money import STYLES
from savemode_cli.views.terminal import Ink, in_words, printable, request_line


@dataclass(frozen=True, slots=True)
class Part:
    """
    One scene of a day: the pause before it, and the calls that were made in it.
    """

    title: str
    pause_min: int
    exchanges: tuple[Exchange, ...]


@dataclass(frozen=True, slots=True)
class Day:
    """
    A day's scenes in order. `refused` are calls that a cap kept from being made; they are in no part.
    """

    parts: tuple[Part, ...] = ()
    refused: int = 0

    def add(self, title: str, pause_min: int, exchanges: Sequence[Exchange]) -> "Day":
        """
        The day with one scene more.
        """
        made = tuple(one for one in exchanges if one.outcome != "refused")
        return Day((*self.parts, Part(title, pause_min, made)), self.refused + len(exchanges) - len(made))


def folded(exchanges: Sequence[Exchange]) -> Summary:
    """
    What they came to.
    """
    total = Summary()
    for one in exchanges:
        total = total.add(one)
    return total


class Screen:
    """
    Shows the second day as it goes, and remembers the state of the cap to say when it changes.
    """

    def __init__(self, console: Console, cap_usd: str) -> None:
        """
        Nothing is shown yet.
        """
        self._console = console
        self._cap_usd = cap_usd
        self._state = ""

    def begin(self) -> None:
        """
        What this is.
        """
        self._say("savemode demo: a working day of a coding agent, twice", "bold")
        self._say("No key and no network: real proxy, real HTTP, a simulated upstream with a true", "dim")
        self._say("prompt cache. Tokens are estimates; prices are those of claude-opus-5-5.\n", "dim")

    def first_day(self, day: Day) -> None:
        """
        The day that nobody watched.
        """
        total = folded([one for part in day.parts for one in part.exchanges])
        self._say(f"1. as it is: {total.requests} calls, {dollars(total.cost_nusd)}, nothing edited", "bold")
        self._say(f"2. with Save Mode: breakpoints at 1h, and a cap of ${self._cap_usd}", "bold")

    def scene(self, title: str, pause_min: int, at: datetime) -> None:
        """
        The heading of a scene.
        """
        pause = f", {_pause(pause_min)} later" if pause_min else ""
        self._say(f"\n{at:%H:%M} {title}{pause}", "cyan")

    def exchange(self, exchange: Exchange, answer: Mapping[str, Any]) -> None:
        """
        A request's line, cut at the margin; then what the cap says, if that is new.
        """
        line = Text.from_ansi(request_line(exchange, Ink(colour=True)))
        self._console.print(line, no_wrap=True, overflow="ellipsis", crop=True)
        decision = exchange.decision
        if decision is None:
            return
        if isinstance(decision, Refused):
            self._say(f"         refused  {printable(str(answer['error']['message']))}", "red")
            self._say("         the client is told not to retry; running requests are never cut", "dim")
            return
        after = exchange.decision_after
        standing = None if after is None else after.standing
        if standing is not None and standing.advice.state != self._state:
            self._state = standing.advice.state
            mode = standing.advice.recommended_mode
            advice = "" if mode == "off" else f"; clients are advised: {mode}"
            words = f"{self._state}, {dollars(standing.left_nusd)} left{advice}"
            self._say(f"         budget   {words}", STYLES.get(self._state, ""))

    def compare(self, plain: Day, saving: Day) -> None:
        """
        Both days side by side: where the upgrade won, and where it lost.
        """
        self._say("\n3. the two days side by side\n", "bold")
        table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
        table.add_column("scene", no_wrap=True)
        for name in ("pause", "calls", "as it is", "Save Mode"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("difference", justify="left", no_wrap=True)
        pairs = [pair for pair in zip(plain.parts, saving.parts, strict=True) if pair[1].exchanges]
        for before, after in pairs:
            was, now = folded(before.exchanges), folded(after.exchanges)
            table.add_row(after.title, _pause(after.pause_min), str(now.requests), *_costs(was, now))
        was, now = (folded([one for pair in pairs for one in pair[side].exchanges]) for side in (0, 1))
        table.add_section()
        table.add_row("the day", "", str(now.requests), *_costs(was, now), style="bold")
        self._console.print(table)
        self._tokens(was, now)
        self._say(f"what the receipts of the second day say: {in_words(now.difference_nusd)}")
        self._say(f"refused by the cap: {saving.refused}, at no cost", "dim")
        self._say("\nA pause of 5 to 60 minutes is where 1h wins: what a 5m cache would have lost is")
        self._say("read. Without one (sub-agents, quick replies), or after a longer one, it costs.")
        self._say("\nnext: savemode serve --upstream simulated, or savemode run -- claude", "dim")

    def _tokens(self, was: Summary, now: Summary) -> None:
        table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
        table.add_column("tokens (estimated)", no_wrap=True)
        for name in ("read", "written for 5m", "written for 1h", "uncached"):
            table.add_column(name, justify="right", no_wrap=True)
        for title, used in (("as it is", was.usage), ("Save Mode", now.usage)):
            counts = (
                used.cache_read_tokens,
                used.cache_write_5m_tokens,
                used.cache_write_1h_tokens,
                used.input_tokens,
            )
            table.add_row(title, *(f"{count:,}" for count in counts))
        self._console.print()
        self._console.print(table)
        self._console.print()

    def _say(self, text: str, style: str = "") -> None:
        self._console.print(Text(text, style=style))


def _costs(was: Summary, now: Summary) -> tuple[str, str, Text]:
    difference = now.cost_nusd - was.cost_nusd
    words = Text(in_words(difference), style="green" if difference <= 0 else "yellow")
    return dollars(was.cost_nusd), dollars(now.cost_nusd), words


def _pause(minutes: int) -> str:
    return f"{minutes} min" if minutes else ""
