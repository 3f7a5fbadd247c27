"""
Where to cut a body so that what one turn of a conversation shares with the next is the same pieces.

Rule of this file: a cut is chosen by the bytes around it and by nothing else, so an insertion moves no cut but its
neighbours; and any cut is right, for the pieces put together are the body, whatever it is. Nothing is parsed.

The places are the seams of JSON, `},{"` and `}],"`, which cannot stand inside a string: a quote is escaped there. The
cut is before the braces that close a block, and around a cache marker, so that a block is the same piece whether or not
a marker stands at its end. Bodies of one conversation differ in little else.
"""

import re
from collections.abc import Iterator, Sequence

SHORTEST_BYTES = 384
"""Seams are skipped until a piece is so long: what a piece costs beside its bytes has to be worth it."""

LONGEST_BYTES = 64 * 1024
"""Pieces without a seam are cut every so many bytes: a picture, a stream, whatever is not JSON."""

FEWEST, MOST = 8, 128
"""How many pieces a group has."""

_SEAM = re.compile(rb'\}(?:,\s*\{\s*"|\s*\]\s*(?:\}|,\s*"))')
_KEY = b'"cache_control"'
_VALUE = re.compile(rb"\s*:\s*(?:\{[^{}]{0,200}\}|null)")
_CLOSING = b"}] \t\r\n"
_COMMA = b", \t\r\n"


def pieces(body: bytes, start: int = 0) -> list[bytes]:
    """
    The body from `start` on in pieces, in order; `b"".join(pieces(body)) == body`, always.
    """
    found: list[bytes] = []
    for place, is_marker in _places(body, start):
        if is_marker or place - start >= SHORTEST_BYTES:
            found += _bounded(body, start, place)
            start = place
    found += _bounded(body, start, len(body))
    return found


def groups(ids: Sequence[int]) -> list[Sequence[int]]:
    """
    A long list of piece numbers in shorter ones, cut by the numbers themselves: a list that begins or ends like another
    has its groups in common with it.
    """
    found = []
    start = 0
    for place, one in enumerate(ids, 1):
        length = place - start
        if length >= MOST or (length >= FEWEST and _ends_a_group(one)):
            found.append(ids[start:place])
            start = place
    if start < len(ids):
        found.append(ids[start:])
    return found


def _ends_a_group(number: int) -> bool:
    # One of 16, spread: neighbouring numbers are of one body. Knuth's multiplicative hash.
    return not (number * 2654435761 >> 16) & 15


def _places(body: bytes, floor: int) -> Iterator[tuple[int, bool]]:
    """
    Where to cut, ascending, and whether that is the edge of a marker. Nothing before `floor` is looked at: no brace is
    looked at twice, or a megabyte of them would take for ever.
    """
    for start, end in [*_markers(body, floor), (len(body), len(body))]:
        for seam in _SEAM.finditer(body, floor, start):
            yield _before(body, seam.start(), floor, _CLOSING), False
            floor = seam.end() - 1
        yield _before(body, start, floor, _CLOSING), False
        yield start, True
        yield end, True
        floor = end


def _markers(body: bytes, floor: int) -> Iterator[tuple[int, int]]:
    """
    Where markers stand, each with the comma before it.
    """
    key = body.find(_KEY, floor)
    while key >= 0:
        end = key + len(_KEY)
        value = _VALUE.match(body, end)
        if value is not None:
            end = value.end()
            yield _before(body, key, floor, _COMMA), end
            floor = end
        key = body.find(_KEY, end)


def _before(body: bytes, place: int, floor: int, these: bytes) -> int:
    while place > floor and body[place - 1] in these:
        place -= 1
    return place


def _bounded(body: bytes, start: int, end: int) -> Iterator[bytes]:
    while start < end:
        stop = min(start + LONGEST_BYTES, end)
        yield body[start:stop]
        start = stop
