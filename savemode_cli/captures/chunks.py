"""
Where to cut a body into chunks, so that consecutive turns of a conversation share most chunks.

Rule of this file: only the bytes around a position decide whether it is a cut, so inserted text only changes the cuts
next to it. The body is never parsed. Any cut is correct, because the joined chunks are always the body.

The cuts are at places between JSON objects, `},{"` and `}],"`, which cannot occur inside a string, because a quote is
escaped there. The cut is before the braces that close a block, and around a cache breakpoint. So a block is the same
chunk with and without a breakpoint at its end. Bodies of one conversation differ in little else.
"""

import re
from collections.abc import Iterator, Sequence

MIN_CHUNK_BYTES = 384
"""The shortest chunk, in bytes, except around breakpoints: each chunk costs a row in the store."""

MAX_CHUNK_BYTES = 64 * 1024
"""The longest chunk, in bytes. Data without cuts, such as images and streams, is divided at this length."""

MIN_GROUP, MAX_GROUP = 8, 128
"""The smallest and the largest number of chunks in a group."""

_SEARCHED_BYTES = 64 * 1024
"""How many bytes one search reads at most."""

_OVERLAP_BYTES = 1024
"""How many bytes of a part are searched again with the next one, because a place may be at the edge."""

_SEAM = re.compile(rb'\}(?:,\s*\{\s*"|\s*\]\s*(?:\}|,\s*"))')
_KEY = b'"cache_control"'
_VALUE = re.compile(rb"\s*:\s*(?:\{[^{}]{0,200}\}|null)")
_CLOSING = b"}] \t\r\n"
_COMMA = b", \t\r\n"


def chunks(body: bytes, start: int = 0) -> list[bytes]:
    """
    The chunks of a body from `start` on, in order; `b"".join(chunks(body)) == body` always holds.
    """
    found: list[bytes] = []
    for place, is_breakpoint_edge in _cuts(body, start):
        if is_breakpoint_edge or place - start >= MIN_CHUNK_BYTES:
            found += _divided(body, start, place)
            start = place
    found += _divided(body, start, len(body))
    return found


def groups(ids: Sequence[int]) -> list[Sequence[int]]:
    """
    Divide a long list of chunk numbers into groups. Only the numbers decide where a group ends, so two lists with the
    same beginning or end share groups.
    """
    found = []
    start = 0
    for position, number in enumerate(ids, 1):
        length = position - start
        if length >= MAX_GROUP or (length >= MIN_GROUP and _ends_a_group(number)):
            found.append(ids[start:position])
            start = position
    if start < len(ids):
        found.append(ids[start:])
    return found


def _ends_a_group(number: int) -> bool:
    # About one number in 16, by Knuth's multiplicative hash: the numbers of one body are consecutive, so they are spread.
    return not (number * 2654435761 >> 16) & 15


def _cuts(body: bytes, floor: int) -> Iterator[tuple[int, bool]]:
    """
    The positions of cuts in ascending order, and whether each is the edge of a breakpoint. The search never goes back
    before `floor`, so the time stays linear even for a megabyte of braces.
    """
    for start, end in [*_breakpoints(body, floor), (len(body), len(body))]:
        for seam in _seams(body, floor, start):
            yield _before(body, seam.start(), floor, _CLOSING), False
            floor = seam.end() - 1
        yield _before(body, start, floor, _CLOSING), False
        yield start, True
        yield end, True
        floor = end


def _seams(body: bytes, start: int, end: int) -> Iterator["re.Match[bytes]"]:
    """
    The places between objects. Each search is over a part of the body: one search holds the interpreter's lock, and a body of
    31 MB without a single place would stop all other threads for a second. Of a place with more than `_OVERLAP_BYTES` of white
    space in it, which no client writes, a cut may be missed.
    """
    at = start
    while at < end:
        stop = min(at + _SEARCHED_BYTES, end)
        for seam in _SEAM.finditer(body, at, stop):
            yield seam
            at = seam.end()
        at = end if stop == end else max(at, stop - _OVERLAP_BYTES)


def _breakpoints(body: bytes, floor: int) -> Iterator[tuple[int, int]]:
    """
    The start and end of each breakpoint, including the comma before it.
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


def _before(body: bytes, place: int, floor: int, skipped: bytes) -> int:
    while place > floor and body[place - 1] in skipped:
        place -= 1
    return place


def _divided(body: bytes, start: int, end: int) -> Iterator[bytes]:
    while start < end:
        stop = min(start + MAX_CHUNK_BYTES, end)
        yield body[start:stop]
        start = stop
