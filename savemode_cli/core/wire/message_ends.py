"""
Where in a body its messages end.

Rule of this file: a place is given only if it is certain. A parser says what the messages are and not where, and a search
finds places that may be something else; so what the search finds is proved by the parser.
"""

import re

import msgspec
from msgspec import UNSET, DecodeError, Raw, Struct, UnsetType

STAND_IN = b'"%d"' % abs(hash("messages") ^ id(object()))
"""A message that stands for those left out. It contains a number that nobody can guess, so nobody else can write it."""

MOST_MESSAGES = 2_000
"""The most messages whose ends are looked for: about 3 ms."""

_KEY = b'"messages"'
_OPENS = re.compile(rb"[ \t\r\n]*:[ \t\r\n]*\[")
_CLOSES = re.compile(rb"[ \t\r\n]*(?:,[ \t\r\n]*|\])")
_SPACE = re.compile(rb"[ \t\r\n]*")
_MOST_PLACES = 4


class _Listed(Struct, gc=False):
    messages: list[Raw] | UnsetType = UNSET


class _Whole(Struct, gc=False):
    messages: Raw | UnsetType = UNSET


_decode_listed = msgspec.json.Decoder(_Listed).decode
_decode_whole = msgspec.json.Decoder(_Whole).decode


def messages_start(body: bytes) -> int | None:
    """
    Where the list of messages begins.

    Returns:
        The offset of the byte after its bracket; None if that is not certain. A list of this name that is hidden by a later
        one counts: what is read with `without_messages` tells.
    """
    place = -1
    for _ in range(_MOST_PLACES):
        place = body.find(_KEY, place + 1)
        if place < 0:
            return None
        opens = _OPENS.match(body, place + len(_KEY))
        if opens is not None and _is_start(body, opens.end()):
            return opens.end()
    return None


def _is_start(body: bytes, place: int) -> bool:
    """
    Whether a list closed here, and an object closed behind it, are the whole of a body with these messages.
    """
    try:
        read = _decode_whole(body[:place] + STAND_IN + b"]}")
    except (DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return read.messages is not UNSET and bytes(read.messages) == b"[" + STAND_IN + b"]"


def message_ends(body: bytes, start: int) -> list[int]:
    """
    The offset of the byte after each message.

    Args:
        body: a body that can be read.
        start: what `messages_start` says of it, or a body of the same beginning.

    Returns:
        The ends in order, as far as they are certain.
    """
    try:
        listed = _decode_listed(body).messages
    except DecodeError:
        return []  # the list is hidden by something else
    if listed is UNSET or len(listed) > MOST_MESSAGES:
        return []
    ends: list[int] = []
    opening = _SPACE.match(body, start)
    for raw in listed:
        if opening is None or not body.startswith(bytes(raw), opening.end()):
            break
        end = opening.end() + memoryview(raw).nbytes
        opening = _CLOSES.match(body, end)
        if opening is not None:
            ends.append(end)
    return ends


def without_messages(body: bytes, start: int, end: int) -> bytes:
    """
    The body with one message, `STAND_IN`, in the place of those between two offsets.

    It is valid JSON exactly if the body is, provided that what stands between the offsets is the beginning of a list.
    """
    return b"".join((memoryview(body)[:start], STAND_IN, memoryview(body)[end:]))
