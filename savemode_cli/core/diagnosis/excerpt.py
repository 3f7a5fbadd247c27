"""
The shortest useful difference between two requests, as text, for people who have both bodies.

Rule of this file: it is called only if the user asked to see the text of their own requests.
"""

import json
from dataclasses import dataclass
from typing import Any

import msgspec

from savemode_cli.core.diagnosis.causes import Miss
from savemode_cli.core.wire.messages import CONTROL, Path

_BEFORE_CHARS, _LONGEST_CHARS = 24, 72


@dataclass(frozen=True, slots=True)
class Excerpt:
    """
    The old and the new text at a place.
    """

    before: str
    """"" if it was inserted."""
    after: str
    """"" if it was removed."""


def excerpt(before: bytes, after: bytes, miss: Miss) -> Excerpt | None:
    """
    What changed at the place of a miss.

    Args:
        before: the body of the request before.
        after: the body of the request that missed.
        miss: the miss.

    Returns:
        Both sides from shortly before the first difference on; None if no content changed, or it cannot be found.
    """
    if miss.change is None:
        return None
    old = None if miss.change == "inserted" else _text_in(before, miss.path)
    new = None if miss.change == "removed" else _text_in(after, miss.path)
    return excerpt_of(old, new)


def excerpt_of(old: str | None, new: str | None) -> Excerpt | None:
    """
    Both texts from shortly before their first difference on; None without any.

    Args:
        old: what stood there; None if nothing did.
        new: what stands there now; None if nothing does.
    """
    if old is None and new is None:
        return None
    if old is None or new is None:
        return Excerpt(_cut(old or ""), _cut(new or ""))
    start = max(common_start(old, new) - _BEFORE_CHARS, 0)
    lead = "..." if start else ""
    return Excerpt(lead + _cut(old[start:]), lead + _cut(new[start:]))


def _text_in(body: bytes, path: Path) -> str | None:
    try:
        return text_at(msgspec.json.decode(body), path)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def text_at(body: Any, path: Path) -> str | None:
    """
    What stands at a place as JSON; a text, and the text of a block of text, without its quotes. Breakpoints are left out.

    Args:
        body: a body as JSON.
        path: the place.

    Returns:
        The text; None if there is nothing.
    """
    place = body
    try:
        for step in path:
            place = place[step]
    except (LookupError, TypeError):
        return None
    if isinstance(place, dict):
        place = {name: value for name, value in place.items() if name != CONTROL}
        place = place["text"] if place.keys() == {"type", "text"} else place
    text = json.dumps(place, ensure_ascii=False, separators=None if isinstance(place, str) else (",", ":"))
    return text[1:-1] if isinstance(place, str) else text


def common_start(old: str, new: str) -> int:
    """
    How many characters two texts have in common at their beginning.
    """
    pairs = enumerate(zip(old, new, strict=False))
    return next((at for at, (one, other) in pairs if one != other), min(len(old), len(new)))


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_CHARS else f"{text[:_LONGEST_CHARS]}..."
