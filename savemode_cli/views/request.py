"""
One request on a line: a row for people, `name=value` pairs (logfmt) for programs.

Rule of this file: one request is one line, and what else is known stands below it only where it was asked for. Control
characters in what came over the wire are escaped. Lines have colours; whoever prints them removes those where there is no
terminal.
"""

from collections.abc import Iterator
from typing import NamedTuple

from typer import style

from savemode_cli.core.exchange.exchange import Exchange
from savemode_cli.core.money.amounts import dollars
from savemode_cli.core.wire.messages import dotted
from savemode_cli.core.wire.models import other_spellings
from savemode_cli.views.labelled import labelled
from savemode_cli.views.logfmt import clock, pairs
from savemode_cli.views.misses import describe
from savemode_cli.views.money import STYLES, amount, saved
from savemode_cli.views.printable import printable, without_colours

INDENT = " " * 9


class _Field(NamedTuple):
    """
    A column of the rows: its heading, where it begins, and for a number, which is flush right, where it ends.
    """

    heading: str
    start: int
    end: int = 0


_WIDE = (
    _Field("time", 0),
    _Field("model", 9),
    _Field("cost", 21, 29),
    _Field("vs 5m", 31),
    _Field("cache", 46),
    _Field("budget", 53, 67),
    _Field("status", 69),
)
_NARROW = (
    _Field("time", 0),
    _Field("model", 9),
    _Field("cost", 20, 28),
    _Field("vs 5m", 29),
    _Field("budget", 43, 56),
    _Field("status", 57),
)
"""Below 80 columns: what `cache` says is left out, unless the longer TTL was denied, which the status says then."""


def _fields(width: int) -> tuple[_Field, ...]:
    return _WIDE if width >= 80 else _NARROW


def heading(width: int) -> Iterator[str]:
    """
    What the columns of `row` mean, and their names.

    Args:
        width: of the screen, in columns.
    """
    names = {field.heading: field.heading for field in _WIDE}
    if width < 80:
        names["status"] = ""  # three columns are enough for a status, not for its name
    for name, meaning in _MEANINGS:
        if name in {field.heading for field in _fields(width)}:
            yield from labelled(name, meaning, width)
    yield ""
    yield style(_line(names, {}, width), dim=True)


_MEANINGS = (
    ("cost", "what the request cost; with ~ it is an estimate"),
    ("vs 5m", "what it saved or lost compared with 5-minute caching"),
    (
        "cache",
        "1h ok: billed as 1-hour caching. not 1h: billed as 5 minutes. 1h ?: the bill does not say. dry 1h: --observe",
    ),
    ("budget", "what is left of the budget that is closest to its cap"),
)


def row(exchange: Exchange, width: int) -> str:
    """
    A request on one line: local time, model, cost, what the upgrade saved or lost, the TTL of the cache, what is left of
    the budget, and the status.

    Args:
        exchange: the request and its answer.
        width: of the screen, in columns. A row is wider only where an amount needs it; no amount is ever cut.
    """
    if not exchange.call.is_model_call:
        return _other_row(exchange, width)
    texts, colours = _cells(exchange)
    if width < 80:
        texts, colours = _narrowed(texts, colours)
    line = _line(texts, colours, width)
    if len(without_colours(line)) > width:
        line = _line({**texts, "budget": texts["budget"].removesuffix(" left")}, colours, width)
    return line


def _line(texts: dict[str, str], colours: dict[str, str], width: int) -> str:
    """
    The texts in their columns. One that is too wide for its column moves the next ones, as far as there is no room between.
    """
    line, length = "", 0
    for field in _fields(width):
        text = texts[field.heading]
        if text:
            start = max(field.start, field.end - len(text), length + 1 if length else 0)
            line += " " * (start - length) + _coloured(text, colours.get(field.heading, ""))
            length = start + len(text)
    return line


def _other_row(exchange: Exchange, width: int) -> str:
    """
    A request that asks no model for an answer, such as one that counts tokens: its method and path, and the status.
    """
    ending = status(exchange)
    if exchange.call.is_uncounted and exchange.answer.outcome != "refused":
        ending += ", cost unknown"
    room = max(_LEAST_PATH, width - len(f"00:00:00  {ending}"))
    name = _cut(printable(f"{exchange.call.method} {exchange.call.path}"), room)
    return f"{clock(exchange.started_at)} {name} {_coloured(ending, _status_colour(exchange))}"


_LEAST_PATH = 20


def _cells(exchange: Exchange) -> tuple[dict[str, str], dict[str, str]]:
    """
    The texts of a row and the colours of those that have one, by the headings of their columns.
    """
    (ttl, ttl_colour), (left, left_colour) = _ttl(exchange), _left(exchange)
    texts = {
        "time": clock(exchange.started_at),
        "model": _cut(short_model(exchange.call.model), 11),
        "cost": _cost(exchange),
        "vs 5m": _saved(exchange),
        "cache": ttl,
        "budget": left,
        "status": status(exchange),
    }
    lost = (exchange.difference_nusd or 0) > 0
    colours = {
        "vs 5m": "yellow" if lost else "green",
        "cache": ttl_colour,
        "budget": left_colour,
        "status": _status_colour(exchange),
    }
    return texts, colours


def _narrowed(texts: dict[str, str], colours: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """
    The same for a narrow screen. A status in words stands where the comparison would be.
    """
    texts, colours = {**texts, "model": _cut(texts["model"], 10)}, dict(colours)
    if texts["cache"] == _DENIED:
        texts["status"], colours["status"] = texts["cache"], colours["cache"]
    if not texts["status"].isdigit():
        texts["vs 5m"], colours["vs 5m"], texts["status"] = texts["status"], colours["status"], ""
    return texts, colours


def _coloured(text: str, colour: str) -> str:
    return style(text, fg=colour) if text and colour else text


def short_model(model: str | None) -> str:
    """
    A model without its vendor, cloud and date: `opus-5-5`; `-` if the request named none.
    """
    if not model:
        return "-"
    *_, plain = [model, *(spelling for spelling, _ in other_spellings(model))]
    return printable(plain).removeprefix("claude-")


def status(exchange: Exchange) -> str:
    """
    The HTTP status, and how the request ended where the status does not say it.
    """
    code = "-" if exchange.answer.status is None else str(exchange.answer.status)
    if exchange.upgrade.resent:
        return f"{code} resent"
    return {
        "ok": code,
        "upstream_error": code,
        "refused": f"{code} refused",
        "unreachable": "unreachable",
        "client_gone": "client left",
        "broken": "broken off",
    }[exchange.answer.outcome]


def _status_colour(exchange: Exchange) -> str:
    if exchange.upgrade.resent or exchange.answer.outcome == "client_gone":
        return "yellow"
    return "" if exchange.answer.outcome == "ok" else "red"


def _cost(exchange: Exchange) -> str:
    """
    What was charged, `~` before it if that is an estimate.
    """
    settlement = exchange.bill.settlement
    if settlement is None:
        return "-"
    is_estimate = settlement.basis in ("estimated", "held") or exchange.bill.price_state == "unpriced"
    return f"{'~' if is_estimate and settlement.nusd else ''}{dollars(settlement.nusd)}"


def _saved(exchange: Exchange) -> str:
    difference = exchange.difference_nusd
    return "" if difference is None else saved(0 if dollars(abs(difference)).startswith("<") else difference)


def _ttl(exchange: Exchange) -> tuple[str, str]:
    """
    Whether the longer TTL was asked for and granted, and the colour of that.
    """
    if exchange.upgrade.observed and exchange.upgrade.edits:
        return "dry 1h", "cyan"
    if not exchange.upgrade.upgraded:
        return "", ""
    verified = None if exchange.bill.receipt is None else exchange.bill.receipt.verified
    return {True: ("1h ok", "green"), False: (_DENIED, "red"), None: ("1h ?", "")}[verified]


_DENIED = "not 1h"


def _left(exchange: Exchange) -> tuple[str, str]:
    """
    What is left of the budget with this request paid, and the colour of its state.
    """
    after = exchange.bill.budget_after
    if after is None or after.status is None:
        return "", ""
    if after.left_nusd is None or after.status == "override":
        return after.status, STYLES.get(after.status, "")
    return f"{amount(after.left_nusd)} left", STYLES.get(after.status, "")


def trouble(exchange: Exchange) -> Iterator[str]:
    """
    What a person must know beside the row of a request: what the cache missed, and what did not go well.
    """
    miss = None if exchange.bill.verdict is None else exchange.bill.verdict.main
    if miss is not None:
        yield f"{INDENT}{style('miss', fg='yellow')} {dollars(miss.cost_nusd)} {printable(describe(miss))}"
    if exchange.call.keep_warm:
        yield f"{INDENT}{style('note', fg='yellow')} sent by savemode to keep the cache warm"
    if exchange.upgrade.resent:
        yield f"{INDENT}{style('note', fg='yellow')} the upstream refused the upgraded request and got the original one"
    budget, alarm = exchange.bill.budget, exchange.bill.alarm
    if alarm is not None:
        colour = "red" if alarm.refused else "yellow"
        yield f"{INDENT}{style('guard', fg=colour)} the conversation has run away: {printable(alarm.words())}"
    if budget is not None and budget.reason == "guard":
        return
    if budget is not None and not budget.allowed:
        words = _REFUSALS.get(budget.reason or "", "the budget ledger did not answer")
        yield f"{INDENT}{style(words.format(name=printable(budget.title()) or '?'), fg='red')}"
    elif exchange.answer.error:
        yield f"{INDENT}{style(printable(exchange.answer.error), fg='red')}"


_REFUSALS = {
    "spent": "the cap of budget {name} is reached",
    "ask": "the request could exceed the cap of budget {name}",
    "held": "running requests hold all that is left of budget {name}",
    "unidentified": "the request does not say whose it is, and budget {name} asks for it",
    "uncounted": "budget {name} is strict, and the cost of the request would not be known",
}


def details(exchange: Exchange) -> Iterator[str]:
    """
    A line for each edit and each skip, and what identifies the exchange.
    """
    word = "would" if exchange.upgrade.observed else "edit "
    for edit in exchange.upgrade.edits:
        place = printable(dotted(edit.path[:-1]))
        yield (
            f"{INDENT}{style(word, fg='green')} {place} "
            f"{style(printable(edit.was), dim=True)} -> {printable(edit.becomes)}"
        )
    for skip in exchange.upgrade.skips:
        yield f"{INDENT}{style('skip ', fg='yellow')} {printable(dotted(skip.path))} {skip.code}: {printable(skip.why)}"
    if exchange.upgrade.edits_left_out or exchange.upgrade.skips_left_out:
        more = f"{exchange.upgrade.edits_left_out} more edits and {exchange.upgrade.skips_left_out} more skips"
        yield f"{INDENT}{style('more ', fg='yellow')} {more} are not shown"
    facts = {
        "id": exchange.id,
        "session": exchange.call.session,
        "trace_id": exchange.call.trace_id,
        "upstream_request_id": exchange.answer.upstream_request_id,
        "product": exchange.call.product or "-",
        "gate": f"{'on' if exchange.upgrade.gate.on else 'off'}: {exchange.upgrade.gate.why}",
        "ms": round(exchange.answer.duration_ms),
        "request_bytes": exchange.call.request_bytes,
        "response_bytes": exchange.answer.response_bytes,
    }
    yield INDENT + style(f"info  {pairs(list(facts.items()))}", dim=True)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
