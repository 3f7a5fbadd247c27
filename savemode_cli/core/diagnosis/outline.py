"""
A short checksum of what a block says, regardless of how it is written. It tells a change of words from a change of
form.

Rule of this file: an outline is compared only with an outline of the same kind of block. It never proves that two
blocks are equal for the cache; digests do that.

Outlines of texts in the system prompt and in the first message ignore numbers, dates and hexadecimal IDs. If two
different blocks have the same outline, only such values changed. Outlines of everything else ignore the order of keys,
whitespace, and whether a text is a string or a block of text. If two different blocks have the same outline, the same
words were written in another form.
"""

import re
from collections.abc import Sequence
from zlib import crc32

import msgspec

from savemode_cli.core.cache.block import Block, members_of

NO_OUTLINE = 0
"""The outline of a block for which none was computed."""

_decode = msgspec.json.Decoder().decode
_encode_sorted = msgspec.json.Encoder(order="sorted").encode
_UNREADABLE = (msgspec.DecodeError, UnicodeError, RecursionError)

_DIGITS = b"0123456789"
"""With names and IDs, what changes from one request to the next without an edit: numbers, dates and times."""

_ID = re.compile(rb"[0-9a-fA-F]{8}[0-9a-fA-F-]{4,}")
_IN_IDS = bytes(ord("x") if byte in b"0123456789abcdefABCDEF-" else ord(" ") for byte in range(256))
_SHORTEST_ID = b"x" * 12

_WORD = re.compile(rb"[a-zA-Z]+")
_NAMES = frozenset(
    b"jan january feb february mar march apr april may jun june jul july aug august sep sept september oct october nov"
    b" november dec december".split()
).union(
    name + ending
    for name in (b"mon", b"tue", b"tues", b"wed", b"wednes", b"thu", b"thurs", b"fri", b"sat", b"satur", b"sun")
    for ending in (b"", b"day")
)
_TO_WORDS = bytes(byte if chr(byte).isascii() and chr(byte).isalpha() else ord(" ") for byte in range(256)).lower()

_LONGEST_TEXT_CHARS = 256 * 1024
_EDGE_BYTES = 256
_SHORTEST_EDGED_BYTES = 1024


def text_outline(block: Block) -> int:
    """
    The outline of a text without its numbers (in the digits 0 to 9), dates and IDs.
    """
    text = _text_in(members_of(block).get("text", b""))
    words = text[:_LONGEST_TEXT_CHARS].encode("utf-8", "surrogatepass")
    # Most texts have no ID and name no day or month, which is found out much faster than where they do.
    if _SHORTEST_ID in words.translate(_IN_IDS):
        words = _ID.sub(b"", words)
    if not _NAMES.isdisjoint(words.translate(_TO_WORDS).split()):
        words = _WORD.sub(_without_name, words)
    return _checksum(words.translate(None, _DIGITS))


def _without_name(word: re.Match[bytes]) -> bytes:
    return b"" if word[0].lower() in _NAMES else word[0]


def form_outline(block: Block, nested: Sequence[Block] = ()) -> int:
    """
    The outline of a block that is not text: its members, with keys sorted and texts without their whitespace.

    Args:
        block: the block.
        nested: the blocks nested in it. A list of texts counts as one string with these texts.
    """
    members = members_of(block)
    content = members.pop("content", b"")
    texts = [_text_in(members_of(text).get("text", b"")) for text in nested] or [_text_in(content)]
    members["content"] = _words("\n".join(texts)) if nested or content.startswith(b'"') else _sorted(content)
    parts = (name.encode("utf-8", "surrogatepass") + b"\0" + _sorted(members[name]) for name in sorted(members))
    return _checksum(b"\0".join(parts))


def edges(block: Block) -> tuple[int, int] | None:
    """
    Checksums of the first and the last 256 bytes of a long text. A text that was edited at one place
    still has at least one of them.

    Returns:
        Both checksums; None for a text of less than 1 KiB.
    """
    if block.size < _SHORTEST_EDGED_BYTES:
        return None
    text = members_of(block).get("text", b"")
    return crc32(text[:_EDGE_BYTES]), crc32(text[-_EDGE_BYTES:])


def _text_in(raw: bytes) -> str:
    if not raw.startswith(b'"'):
        return ""
    try:
        text = _decode(raw)
    except _UNREADABLE:
        return raw.decode("utf-8", "replace")  # a string that the API does not take
    return text if isinstance(text, str) else ""


def _words(text: str) -> bytes:
    """
    A text without its whitespace. JSON also gets sorted keys.
    """
    if text.lstrip()[:1] in ("{", "["):
        try:
            return b"json" + _encode_sorted(_decode(text.encode("utf-8", "surrogatepass")))
        except _UNREADABLE:
            pass
    return " ".join(text.split()).encode("utf-8", "surrogatepass")


def _sorted(raw: bytes) -> bytes:
    if raw[:1] not in (b"{", b"["):
        return raw
    try:
        return _encode_sorted(_decode(raw))
    except _UNREADABLE:
        return raw


def _checksum(content: bytes) -> int:
    return crc32(content) or 1
