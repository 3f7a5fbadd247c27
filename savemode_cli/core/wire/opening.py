"""
How a conversation begins, which identifies one that carries no id.

Rule of this file: what it returns stays the same while a conversation grows. Long texts are replaced by their digests.
"""

import hashlib
from collections.abc import Iterable

from msgspec import UNSET

from savemode_cli.core.wire.request_body import RequestBlock, RequestBody, RequestMessage, list_items


def opening_of(read: RequestBody, user: tuple[bytes, ...] | None) -> tuple[bytes, ...]:
    """
    The system text, the tools' names and the first user message.

    Args:
        read: the body.
        user: what `first_user_texts` says of its messages.
    """
    names = [
        bytes(tool.name) for tool in list_items(read.tools) if isinstance(tool, RequestBlock) and tool.name is not UNSET
    ]
    return (*_texts(read.system), b"tools", _shortened(b"\0".join(names)), b"user", *(user or ()))


def first_user_texts(messages: Iterable[object]) -> tuple[bytes, ...] | None:
    """
    The digest of the texts of the first user message: one item, or none if it has no text. None without such a message.
    """
    first = next((one for one in messages if isinstance(one, RequestMessage) and one.role == "user"), None)
    if first is None:
        return None
    texts = _texts(first.content)
    return (hashlib.sha256(b"\0".join(texts)).digest(),) if texts else ()


_TEXTS_THAT_IDENTIFY = 16
"""How many blocks of the system prompt, and of the first message, tell one conversation from another."""

_LONGEST_TEXT_BYTES = 64 * 1024
"""A longer text is told from others by its digest, so that it need not be kept."""


def _texts(value: object) -> list[bytes]:
    if isinstance(value, str):
        return [_shortened(value.encode("utf-8", "surrogatepass"))]
    return [
        _shortened(bytes(block.text))
        for block in list_items(value)[:_TEXTS_THAT_IDENTIFY]
        if isinstance(block, RequestBlock) and block.text is not UNSET
    ]


def _shortened(text: bytes) -> bytes:
    return text if len(text) <= _LONGEST_TEXT_BYTES else hashlib.sha256(text).digest()
