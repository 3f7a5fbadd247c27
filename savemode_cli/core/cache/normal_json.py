"""
JSON in one spelling: without whitespace, and with one form for each character.

Rule of this file: two texts get the same bytes if a JSON parser reads the same values from them, with the same order of
keys and the same spelling of numbers. Nothing else is changed.
"""

import re

import msgspec

_decode_text = msgspec.json.Decoder(str).decode


_ODD_ESCAPE = rb"\\(?:/|u(?!00(?:0[0-7bef]|1[0-9a-f]))[0-9a-fA-F]{4})"
_ODD_ESCAPES = re.compile(_ODD_ESCAPE + b"(?:" + _ODD_ESCAPE + b")*")  # not (...)+, which is searched 50x slower
"""
Escapes that an encoder does not need. `\u001b` and similar ones have no other spelling, and logs contain many of them.
"""


def normal_json(body: bytes) -> bytes:
    """
    A JSON text without whitespace between tokens and with one form for each character. The time is linear in its
    length.

    Raises:
        DecodeError: it is not JSON.
        UnicodeDecodeError: it is not UTF-8.
    """
    compact = msgspec.json.format(body, indent=-1)
    if b"\\u" in compact or b"\\/" in compact:
        compact = _ODD_ESCAPES.sub(_respelled, compact)
    return compact


def _respelled(match: re.Match[bytes]) -> bytes:
    start = match.start()
    while match.string[start - 1 : start] == b"\\":
        start -= 1
    # Behind an odd number of backslashes the first is no escape: it is the second half of an escaped backslash.
    plain = 0 if (match.start() - start) % 2 == 0 else len(rb"\/" if match[0][1:2] == b"/" else rb"\u0000")
    spelled = msgspec.json.encode(_decode_text(b'"' + match[0][plain:] + b'"'))[1:-1]
    return match[0][:plain] + spelled
