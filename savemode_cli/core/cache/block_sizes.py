"""
What a block of a prompt consists of, and how many bytes of it reach the model.

Rule of this file: no text is copied or decoded if its length can be known without that. Where the documentation gives no rule,
the code says "assumed".
"""

import msgspec
from msgspec import Raw

from savemode_cli.core.cache.tokens import BlockKind

decode_members = msgspec.json.Decoder(dict[str, Raw]).decode
decode_text = msgspec.json.Decoder(str).decode


def begins(raw: Raw, opening: bytes) -> bool:
    """
    Whether a JSON text begins with some character. The text is not copied, because it may be a megabyte long.
    """
    return memoryview(raw)[: len(opening)] == opening


def measured(name: str, members: dict[str, Raw], text_kind: BlockKind) -> tuple[BlockKind, int]:
    """
    What a block consists of, and how many bytes of it.
    """
    match name:
        case "text":
            return text_kind, _text_length(members.get("text"))
        case "thinking" | "redacted_thinking":
            return "thinking", _thinking_length(members)
        case "image":
            return "image", 0
        case "document":
            return _document(members)
        case "tool_result":
            return "data", _text_length(members.get("content"))
        case _:
            return "data", sum(memoryview(raw).nbytes for key, raw in members.items() if key not in _NOT_SHOWN)


_NOT_SHOWN = frozenset({"id", "type", "caller", "tool_use_id"})
"""Assumed: these do not reach the model as text; they are part of the fixed cost of a block."""

_SIGNATURE_SHARE = 0.5
"""Assumed: a signature is the thinking itself, encrypted and in base64, plus a fixed overhead."""


def _thinking_length(members: dict[str, Raw]) -> int:
    """
    The bytes of thinking. Where the text is withheld, its signature or ciphertext gives an estimate.
    """
    length = _text_length(members.get("thinking"))
    return length or int(
        _SIGNATURE_SHARE * (_text_length(members.get("signature")) + _text_length(members.get("data")))
    )


def _document(members: dict[str, Raw]) -> tuple[BlockKind, int]:
    source = members.get("source")
    inner = decode_members(source) if source is not None and begins(source, b"{") else {}
    size = _text_length(inner.get("data"))
    return ("text" if string(inner.get("type")) == "text" else "document"), size


def _text_length(raw: Raw | None) -> int:
    """
    The bytes of a JSON string in UTF-8; 0 for a value that is not a string.

    Each escape, except a Unicode escape, is one byte longer than the character. In a run of backslashes each pair is
    one escape. So the length is known without decoding the string, which takes most of the time for a large body.
    """
    if raw is None or not begins(raw, b'"'):
        return 0
    text = bytes(raw)
    if b"\\u" in text:
        return utf8_length(decode_text(text))
    return len(text) - 2 - text.count(b"\\") + text.count(b"\\\\")


def utf8_length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def string(raw: Raw | None) -> str:
    return decode_text(raw) if raw is not None and begins(raw, b'"') else ""
