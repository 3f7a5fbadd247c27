"""
The demonstration: the rows that `serve` prints on a terminal, then the two days side by side.

Rule of this file: each figure is a sum over exchanges (`Summary`); none is computed here but their differences.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.text import Text
from typer import style

from savemode_cli.core.exchange.exchange import SCHEMA_VERSION, Exchange
from savemode_cli.core.exchange.summary import Summary
from savemode_cli.core.money.amounts import amounts, dollars
from savemode_cli.views.money import STYLES, saved, signed
from savemode_cli.views.printable import printable
from savemode_cli.views.request import INDENT, heading, row
from savemode_cli.views.tables import Column, Sheet, right

NEXT = "savemode run --save -- claude"
"""A command that saves, for a person with an API key."""


@dataclass(frozen=True, slots=True)
class Part:
    """
    One scene of a day.
    """

    title: str
    pause_min: int
    """How long nothing was sent before it, in minutes."""
    exchanges: tuple[Exchange, ...]
    """The model calls that were made in it."""


@dataclass(frozen=True, slots=True)
class Day:
    """
    A day's scenes in order.
    """

    parts: tuple[Part, ...] = ()
    refused: int = 0
    """How many calls the cap refused; they are in no part."""

    def add(self, title: str, pause_min: int, exchanges: Sequence[Exchange]) -> "Day":
        """
        The day with one more scene.
        """
        made = tuple(exchange for exchange in exchanges if exchange.answer.outcome != "refused")
        return Day((*self.parts, Part(title, pause_min, made)), self.refused + len(exchanges) - len(made))

    def summary(self) -> Summary:
        """
        The sum of all scenes.
        """
        return summed([exchange for part in self.parts for exchange in part.exchanges])


def summed(exchanges: Sequence[Exchange]) -> Summary:
    """
    The sum of exchanges.
    """
    total = Summary()
    for exchange in exchanges:
        total = total.add(exchange)
    return total


def compared(plain: Day, saving: Day) -> tuple[Summary, Summary]:
    """
    The sums of both days over the calls that the cap of the second day let pass.
    """
    pairs = _pairs(plain, saving)
    first, second = ([exchange for pair in pairs for exchange in pair[side].exchanges] for side in (0, 1))
    return summed(first), summed(second)


def _pairs(plain: Day, saving: Day) -> list[tuple[Part, Part]]:
    pairs = zip(plain.parts, saving.parts, strict=True)
    return [(_begun(before, len(after.exchanges)), after) for before, after in pairs if after.exchanges]


def _begun(part: Part, calls: int) -> Part:
    """
    The first calls of a scene.
    """
    return replace(part, exchanges=part.exchanges[:calls])


def to_json(plain: Day, saving: Day, cap_nusd: int) -> dict[str, Any]:
    """
    Both days as JSON, and what the second one saved.
    """
    was, now = compared(plain, saving)
    return {
        "schema_version": SCHEMA_VERSION,
        **amounts(cap=cap_nusd, saved=was.cost_nusd - now.cost_nusd),
        "refused": saving.refused,
        "days": [
            {"name": name, "upgraded": upgraded, **_day_json(day)}
            for name, upgraded, day in (("without", False, plain), ("with", True, saving))
        ],
        "next": NEXT,
    }


def _day_json(day: Day) -> dict[str, Any]:
    return {
        "summary": day.summary().to_json(),
        "scenes": [
            {"title": part.title, "pause_min": part.pause_min, "summary": summed(part.exchanges).to_json()}
            for part in day.parts
        ],
    }


class Screen:
    """
    Shows the second day while it runs, then both days.
    """

    def __init__(self, console: Console, say: Callable[[str], None], cap_usd: str) -> None:
        """
        Args:
            console: for tables.
            say: prints lines, without their colours where there is no terminal.
            cap_usd: the cap of the second day.
        """
        self._console = console
        self._say = say
        self._cap_usd = cap_usd
        self._state = "ok"

    def begin(self) -> None:
        """
        Say what this is.
        """
        self._say(style("savemode demo: a working day of a coding agent, played twice", bold=True))
        self._text(
            "No API key and no network: a real proxy, real HTTP, and a simulated API with a true prompt cache. Tokens are "
            "estimates; prices are those of claude-opus-5-5.",
            "dim",
        )

    def first_day(self, day: Day, *, by_auto: bool) -> None:
        """
        The day without savemode, in one line, and what is different on the second day.

        Args:
            day: the first day.
            by_auto: whether the policy `auto` decides on the second day; else every request is upgraded.
        """
        total = day.summary()
        self._say("")
        self._text(f"1. Without savemode: {total.requests} calls cost {dollars(total.cost_nusd)}.", "bold")
        ttl = "the policy auto chooses the cache's TTL" if by_auto else "cache for 1 hour in place of 5 minutes"
        self._text(f"2. With savemode: {ttl}, and a cap of ${self._cap_usd}.", "bold")
        self._say("")
        self._say("\n".join(heading(self._console.width)))

    def scene(self, title: str, pause_min: int, at: datetime) -> None:
        """
        The heading of a scene.
        """
        pause = f", {_pause(pause_min)} later" if pause_min else ""
        self._say("")
        self._say(style(f"{at:%H:%M} {title}{pause}", fg="cyan"))

    def exchange(self, exchange: Exchange, answer: Mapping[str, Any]) -> None:
        """
        A request's row; then the state of the cap, if it has changed, or the refusal.
        """
        self._say(row(exchange, self._console.width))
        report, after = exchange.bill.budget, exchange.bill.budget_after
        if report is not None and not report.allowed:
            self._text(f"{INDENT}the client is told: {printable(str(answer['error']['message']))}", "red")
            self._text(f"{INDENT}and not to retry. Requests that already run are never stopped.", "dim")
            return
        if after is not None and after.state not in (None, self._state):
            self._state = after.state or ""
            text = f"{INDENT}budget: {self._state}; clients are told to use the mode {after.recommended_mode}"
            self._text(text, STYLES.get(self._state, ""))

    def compare(self, plain: Day, saving: Day) -> None:
        """
        Both days side by side: where the upgrade saved, where it cost, and the total.
        """
        was, now = compared(plain, saving)
        self._say("")
        self._say(style("3. Both days side by side", bold=True))
        self._say("")
        self._costs(_pairs(plain, saving), was, now)
        self._say("")
        self._tokens(was, now)
        self._say("")
        self._conclusion(was, now, saving.refused)

    def _costs(self, pairs: Sequence[tuple[Part, Part]], was: Summary, now: Summary) -> None:
        numbers = (right("pause"), right("calls", rank=1), right("without"), right("with"), right("difference"))
        sheet = Sheet(Column("scene"), *numbers)
        for before, after in pairs:
            sums = summed(before.exchanges), summed(after.exchanges)
            sheet.add(after.title, _pause(after.pause_min), str(sums[1].requests), *_costs(*sums))
        sheet.add("the day", "", str(now.requests), *_costs(was, now), style="bold")
        sheet.show(self._console)

    def _tokens(self, was: Summary, now: Summary) -> None:
        columns = ("read", "written for 5m", "written for 1h", "uncached")
        sheet = Sheet(Column("tokens"), *map(right, columns))
        for title, used in (("without", was.usage.tokens), ("with", now.usage.tokens)):
            counts = (
                used.read,
                used.write_5m,
                used.write_1h,
                used.input,
            )
            sheet.add(title, *(f"{count:,}" for count in counts))
        sheet.show(self._console)

    def _conclusion(self, was: Summary, now: Summary, refused: int) -> None:
        difference = now.cost_nusd - was.cost_nusd
        share = f" ({abs(difference) * 100 / was.cost_nusd:.1f} %)" if was.cost_nusd else ""
        words = f"The same calls cost {dollars(now.cost_nusd)} instead of {dollars(was.cost_nusd)}: {saved(difference)}{share}."
        self._text(words, "bold green" if difference <= 0 else "bold yellow")
        self._text(f"The receipts of the second day say the same: {saved(now.difference_nusd)}.")
        self._text(f"{refused} more {'call was' if refused == 1 else 'calls were'} refused by the cap, at no cost.")
        self._say("")
        self._text(
            "A 1-hour cache saves where a pause of 5 to 60 minutes follows: the prompt is read from the cache and not "
            "written again. It costs more where no such pause follows, as in quick replies and sub-agents."
        )
        self._say("")
        self._say("To save on your own calls (with an API key):")
        self._say(f"  {NEXT}")

    def _text(self, text: str, style: str = "") -> None:
        self._console.print(Text(text, style=style))


def _costs(was: Summary, now: Summary) -> tuple[str, str, Text]:
    difference = now.cost_nusd - was.cost_nusd
    return (
        dollars(was.cost_nusd),
        dollars(now.cost_nusd),
        Text(signed(difference), style="green" if difference <= 0 else "yellow"),
    )


def _pause(minutes: int) -> str:
    return f"{minutes} min" if minutes else ""
