"""
The dearest cache misses of the last week on the page of a running proxy: what each cost, why, and where the prompts differ.

Rule of this file: it shows paths and sizes. It has no text of a prompt; `savemode why ID` prints that, where it is captured.
"""

from collections.abc import Iterator, Sequence

from savemode_cli.core.diagnosis.causes import ADVICE, Miss
from savemode_cli.core.exchange.dearest import DearMiss
from savemode_cli.core.exchange.totals import Totals
from savemode_cli.views.misses import describe
from savemode_cli.views.money import span
from savemode_cli.views.page_html import clock, money, section, table, text
from savemode_cli.views.report import short_count

_SHORT_ID = 12
_MOST_OPEN = 8


def misses(dearest: Sequence[DearMiss]) -> Iterator[str]:
    """
    The part of the page about single misses.

    Args:
        dearest: those of the last week, the dearest first.
    """
    yield from section(
        "dearest", "Dearest mistakes of the week", _rows(dearest), "open one to see where the prompts differ"
    )


def causes(total: Totals) -> Iterator[str]:
    """
    The part of the page about the sums of all misses.

    Args:
        total: the sums since the proxy started.
    """
    if total.missed:
        found = sorted(total.missed.items(), key=lambda item: -item[1].nusd)
        cells = ((words(cause), f"{one.requests:,}", short_count(one.tokens), money(one.nusd)) for cause, one in found)
        rows = table("missed", ("cause", "requests", "tokens", "cost"), cells)
        yield from section("causes", "Missed cache reads by cause", rows)


def words(cause: str) -> str:
    """
    A cause in words: `system changed`.
    """
    return text(str(cause).replace("_", " "))


def _rows(dearest: Sequence[DearMiss]) -> Iterator[str]:
    if not dearest:
        yield '<p class="quiet">Nothing of note was missed in the last seven days.</p>'
        return
    yield '<div id="dearest">'
    for miss in dearest[:_MOST_OPEN]:
        yield from _row(miss)
    if len(dearest) > _MOST_OPEN:
        yield f'<details id="more-misses"><summary class="quiet">{len(dearest) - _MOST_OPEN} more</summary>'
        for miss in dearest[_MOST_OPEN:]:
            yield from _row(miss)
        yield "</details>"
    yield "</div>"


def _row(dear: DearMiss) -> Iterator[str]:
    main = dear.verdict.misses[0]
    yield f'<details class="miss" id="miss-{text(dear.id)}"><summary>'
    yield f'<b class="cost">{money(dear.verdict.cost_nusd)}</b>'
    yield f"<span>{words(main.cause)} {_where(main)}</span>"
    yield f'<span class="who">{text(dear.session or "-")[:_SHORT_ID]}{" sub-agent" if dear.agent else ""}</span>'
    yield f'<time datetime="{dear.at.isoformat(timespec="seconds")}">{clock(dear.at, "%a %H:%M")}</time></summary><dl>'
    verdict = dear.verdict
    facts = [
        ("missed", f"{verdict.missed_tokens:,} of {verdict.expected_tokens:,} tokens that could have been read"),
        ("request", f"{text(dear.id)}, {text(dear.model or '-')}, {money(dear.request_nusd)} in all"),
        ("compared with", text(verdict.base) if verdict.base else "no earlier request; it was not seen"),
    ]
    for miss in verdict.misses:
        facts += _facts(miss)
    facts.append(("in a terminal", f"<code>savemode why {text(dear.id)}</code> shows the text of both, if captured"))
    yield from (f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts)
    yield "</dl></details>"


def _where(miss: Miss) -> str:
    """
    Where the prompts differ; for a cache that ended, how long the pause was.
    """
    if _differs(miss):
        return f"<code>{text(miss.at)}</code>"
    return f'<span class="quiet">after {span(miss.idle)}</span>' if miss.idle is not None else ""


def _differs(miss: Miss) -> bool:
    return bool(miss.at) and (miss.change is not None or bool(miss.parameter))


def _facts(miss: Miss) -> Iterator[tuple[str, str]]:
    yield "why", f"{text(describe(miss).replace('_', ' ', 1))} ({miss.tokens:,} tokens, {money(miss.cost_nusd)})"
    if _differs(miss):
        yield "differs at", f"<code>{text(miss.at)}</code>"
    yield "what to do", text(ADVICE[miss.cause])
