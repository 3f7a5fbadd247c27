"""
What the upgrader would do with recorded bodies: a row for each, and the totals by reason.

Rule of this file: it shows what is known without a model of the cache, and no money.
"""

from collections.abc import Iterator
from typing import Any

from savemode_cli.core.replay.bodies import Judged, Upgrades
from savemode_cli.views.printable import printable

_PLACE = 28
_MODEL = 20


def row(one: Judged) -> str:
    """
    One body on a line: place, model, breakpoints that would be upgraded, and the codes of the reasons for others.
    """
    place = printable(one.call.place)
    place = place if len(place) <= _PLACE else f"…{place[1 - _PLACE :]}"
    model = printable(one.known.model or "-")[:_MODEL]
    skips = ", ".join(f"{code} {count}" if count > 1 else code for code, count in _codes(one).items())
    return f"{place:<{_PLACE}}  {model:<{_MODEL}}  {one.upgraded} of {len(one.known.breakpoints)} upgraded  {skips}".rstrip()


def row_json(one: Judged) -> dict[str, Any]:
    """
    One body as JSON.
    """
    return {
        "place": one.call.place,
        "model": one.known.model,
        "body_bytes": len(one.call.body),
        "breakpoints": len(one.known.breakpoints),
        "raised": one.upgraded,
        "skips": _codes(one),
    }


def _codes(one: Judged) -> dict[str, int]:
    codes: dict[str, int] = {}
    for skip in one.done.skips:
        codes[skip.code] = codes.get(skip.code, 0) + 1
    return codes


def lines(found: Upgrades) -> Iterator[str]:
    """
    The totals, the most frequent reason first.
    """
    bodies = "1 body" if found.bodies == 1 else f"{found.bodies:,} bodies"
    yield f"{bodies}, {found.body_bytes / 1e6:,.1f} MB: {found.changed:,} would change"
    yield f"  {found.upgraded:,} of {found.breakpoints:,} breakpoints upgraded to 1 hour"
    for code, count in sorted(found.skips.items(), key=lambda item: (-item[1], item[0])):
        yield f"  {count:,} left alone: {code}"


def to_json(found: Upgrades) -> dict[str, Any]:
    """
    The totals as JSON.
    """
    return {
        "bodies": found.bodies,
        "body_bytes": found.body_bytes,
        "would_change": found.changed,
        "breakpoints": found.breakpoints,
        "raised": found.upgraded,
        "skips": found.skips,
    }
