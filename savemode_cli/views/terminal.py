"""
Exchanges and summaries as lines of text.

Rule of this file: one line per request that can be grepped, details below it; nothing that came over the wire is
printed without its control characters escaped.
"""

import json
import re
from collections.abc import Iterator, Sequence
from datetime import datetime

from savemode_cli.core.exchange import Exchange
from savemode_cli.core.gate import GateState
from savemode_cli.core.messages import dotted
from savemode_cli.core.summary import Summary

_PLAIN = re.compile(r"[\w./:@+\[\]-]+")
_STYLES = {"dim": "2", "bold": "1", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
_INDENT = " " * 9


class Ink:
    """
    Colour where there is a terminal, plain text elsewhere.
    """

    def __init__(self, *, colour: bool) -> None:
        """
        `colour` is decided by whoever knows the stream.
        """
        self._colour = colour

    def __call__(self, text: str, style: str) -> str:
        """
        The text in one of the styles dim, bold, red, green, yellow, cyan.
        """
        return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if self._colour and text else text


def printable(text: str) -> str:
    """
    The text on one line, with every control character escaped: a model id must not be able to paint the terminal.
    """
    text = re.sub(r"[\r\n\t]+ *", " ", text)
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def request_line(exchange: Exchange, ink: Ink) -> str:
    """
    The line of one request: local time, a constant name, then facts.
    """
    good = exchange.outcome == "ok"
    word = "would_upgrade" if exchange.observed else "upgraded"
    facts: list[tuple[str, object]] = [
        ("outcome", exchange.outcome),
        ("status", exchange.status if exchange.status is not None else "-"),
        ("model", exchange.model or "-"),
        (word, len(exchange.edits) if exchange.observed else exchange.upgraded),
        ("skipped", len(exchange.skips)),
        ("ms", round(exchange.duration_ms)),
        ("first_ms", "-" if exchange.first_byte_ms is None else round(exchange.first_byte_ms)),
        ("product", exchange.product or "-"),
        ("gate", "on" if exchange.gate.on else "off"),
        ("why", exchange.gate.why),
        ("method", exchange.method),
        ("path", exchange.path),
        ("id", exchange.id),
    ]
    if exchange.error:
        facts.append(("error", exchange.error))
    shown = " ".join(f"{name}={_value(value)}" for name, value in facts)
    name = ink("request.done", "green" if good else "red" if exchange.outcome != "client_gone" else "yellow")
    return f"{ink(_clock(exchange.started_at), 'dim')} {name} {shown}"


def detail_lines(exchange: Exchange, ink: Ink, *, verbose: bool = False) -> Iterator[str]:
    """
    One line per edit and per skip; with `verbose` also what identifies the exchange.
    """
    word = "would" if exchange.observed else "edit "
    for edit in exchange.edits:
        place = printable(dotted(edit.path[:-1]))
        yield f"{_INDENT}{ink(word, 'green')} {place} {ink(printable(edit.was), 'dim')} -> {printable(edit.becomes)}"
    for skip in exchange.skips:
        yield f"{_INDENT}{ink('skip ', 'yellow')} {printable(dotted(skip.path))} {skip.code}: {printable(skip.why)}"
    if exchange.resent:
        yield f"{_INDENT}{ink('note ', 'red')} the upstream refused the edited body; it got the original"
    if verbose:
        known = {
            "session": exchange.session,
            "trace_id": exchange.trace_id,
            "upstream_request_id": exchange.upstream_request_id,
            "request_bytes": exchange.request_bytes,
            "response_bytes": exchange.response_bytes,
        }
        yield _INDENT + ink("info  " + " ".join(f"{name}={_value(v)}" for name, v in known.items()), "dim")


def banner(
    version: str, url: str, upstream: str, gate: GateState, policy: str, product: str, hints: Sequence[str], ink: Ink
) -> str:
    """
    What `serve` says at start, with the line to copy last.
    """
    rows = [
        ("address", url),
        ("upstream", upstream),
        ("gate", f"{'on' if gate.on else 'off'}: {gate.why}" + ("" if gate.on else " (each request decides)")),
        ("policy", policy),
        ("product", product),
    ]
    lines = [ink(f"savemode {version}", "bold")]
    lines += [f"  {ink(f'{name:<9}', 'dim')}{printable(value)}" for name, value in rows]
    lines += [f"  {ink('hint     ', 'dim')}{hint}" for hint in hints]
    return "\n".join([*lines, "", f"  export ANTHROPIC_BASE_URL={url}", ""])


def receipt(summary: Summary, ink: Ink, gate: GateState) -> str:
    """
    What `run` says at the end. The gate's reason is given where nothing was upgraded, because it may be why.
    """
    calls, others = _count(summary.requests, "model call"), _count(summary.others, "other request")
    lines = [ink("savemode receipt", "bold"), f"  {calls}, {others}"]
    if summary.breakpoints_observed:
        lines.append(
            f"  {_count(summary.breakpoints_observed, 'breakpoint')} would have been raised to 1h (observing only)"
        )
    else:
        raised = _count(summary.breakpoints_upgraded, "breakpoint")
        lines.append(f"  {raised} raised to 1h in {_count(summary.upgraded_requests, 'call')}")
    if not summary.breakpoints_upgraded and not summary.breakpoints_observed and not gate.on:
        lines.append(ink(f"  the gate was closed: {gate.why}", "yellow"))
    if summary.resent:
        lines.append(ink(f"  {summary.resent} refused by the upstream and sent again as they were", "red"))
    lines += [f"  left alone: {code} {count}x" for code, count in sorted(summary.skips.items(), key=_by_count)]
    odd = {name: count for name, count in summary.outcomes.items() if name != "ok"}
    lines += [ink(f"  {name}: {count}x", "yellow") for name, count in sorted(odd.items(), key=_by_count)]
    return "\n".join(lines)


def _count(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"


def _by_count(item: tuple[str, int]) -> tuple[int, str]:
    return (-item[1], item[0])


def _value(value: object) -> str:
    text = str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=True)


def _clock(moment: datetime) -> str:
    return moment.astimezone().strftime("%H:%M:%S")
