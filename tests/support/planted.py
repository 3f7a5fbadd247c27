"""
Text that steers a terminal, reorders or hides what is read there, or forges a line; and the ways to plant and to find it.
"""

import copy
import re
from collections.abc import Iterator
from typing import Any

from savemode_cli.views.printable import _COLOURS

CONTROLS = "".join(map(chr, [*range(0x20), *range(0x7F, 0xA0)]))
"""C0 with ESC, DEL, and C1."""

HIDDEN = "".join(
    map(chr, [*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x2028, 0x2029, 0x200B, 0x200F, 0xFEFF, 0xE0041])
)
"""Bidirectional controls, line and paragraph separator, zero-width characters, a tag character."""

FORGED = "FORGED"
PLANT = f"\x1b[2J\x1b]0;title\x07\x1b[8mhidden\x9b8m{CONTROLS}{HIDDEN}\r\n{FORGED} line"
"""What a program of somebody else's might say."""

EVIL = 'opus\x1b[2J\x1b]0;title\x07\n12:00:00 request.done outcome=ok\r\t\u202e\x9b31m" id=forged'
"""What would clear the screen and forge a request line."""

UNPRINTED = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""A character that must not reach a terminal."""

NAME = PLANT.replace("\0", "").replace("/", "")
"""The same, as the name of a file or an argument of a command."""


def planted(document: Any) -> Iterator[Any]:
    """
    Copies of a JSON value, each with the text in one place: behind a string, behind a key, or in a value's place.
    """
    for path in _places(document):
        changed = copy.deepcopy(document)
        yield _plant(changed, path)


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield (*path, key, "key")
            yield from _places(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _places(inner, (*path, index))
    if path:
        yield (*path, "value")


def _plant(document: Any, path: tuple[Any, ...]) -> Any:
    *way, last, what = path
    holder = document
    for step in way:
        holder = holder[step]
    if what == "key":
        holder[f"{last}{PLANT}"] = holder[last]
    else:
        holder[last] = f"{holder[last]}{PLANT}" if isinstance(holder[last], str) else PLANT
    return document


def unprintable(output: bytes) -> set[str]:
    """
    What in an output should not be there: characters that are not printable, and a line that somebody else began.
    """
    text = _COLOURS.sub("", output.decode())
    found = {one for one in text if not one.isprintable() and one != "\n"}
    return found | ({FORGED} if re.search(rf"^{FORGED}", text, re.MULTILINE) else set())
