"""
What the API adds to a prompt that the body only names.

Rule of this file: it says what is added. It gives numbers of tokens only where the API documents a limit.

"No token is shorter than a byte" bounds the prompt by the length of the body only if the whole prompt is in the body.
This is not so if the body continues a conversation that the API holds (a message thread), refers to an uploaded file or
a container by its ID, names a document by its address, or contains pages and pictures whose tokens do not depend on
their bytes.
Source: https://platform.claude.com/docs/en/build-with-claude/message-threads, .../files, .../vision, .../pdf-support
and .../refusals-and-fallback, and the request types of the official SDK, version 2.14.0 (checked 2026-11-30).
"""

from collections.abc import Iterable
from typing import Any, Literal

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

_MAX_FIELD_BYTES = 64 * 1024
"""The largest field that names something. A larger one is not decoded, because the API would not accept it."""

_MAX_ID_CHARS = 256

IMAGE_TOKENS = 5_000
"""More tokens than an image can have (4,784, after the API has scaled it down), whatever its size in bytes."""

TOOLS_TOKENS = 1_000
"""More tokens than the API's own instructions for the use of tools (346 to 804)."""

BUILT_IN_TOOL_TOKENS = 5_000
"""More tokens than the definition of a tool that the API knows by its type (bash: 245, computer use: 735)."""


class Fallback(Struct, frozen=True, gc=False):
    """
    An attempt with another model, after the previous one declined.
    """

    model: str | None = None
    """None if the API chooses it."""
    max_tokens: int | None = None
    """None for the value of the request."""
    fast: bool = False


class Additions(Struct, frozen=True, gc=False):
    """
    What a prompt contains in addition to its body, and which further attempts the call may make.
    """

    thread: Literal["", "create", "continue"] = ""
    """Whether the API begins to hold the conversation, or continues one that it holds."""
    previous_id: str = ""
    """The ID of the answer that a thread continues; "" if unknown."""
    files: tuple[str, ...] = ()
    """The IDs of uploaded files."""
    container: bool = False
    """Whether the body names a container, or skills that are loaded into one."""
    documents: bool = False
    """Whether there is a PDF, or a document that is named by its address."""
    unread: bool = False
    """Whether the body contains something of this kind that could not be read."""
    tokens: int = 0
    """The most tokens of pictures, and of what the API says about tools."""
    fallbacks: tuple[Fallback, ...] = ()
    compacts: bool = False
    """Whether the API may summarise the conversation in a separate pass."""


UNREAD = Additions(unread=True)
"""For a body that could not be read."""

Field = Raw | UnsetType
Source = tuple[object, object, Field]
"""Of a block with a source: its type, its source's type, and the `file_id` of either."""


class Sourced(Struct, frozen=True, gc=False):
    """
    What the blocks with a source refer to.
    """

    files: tuple[str, ...] = ()
    """The IDs of files, each once."""
    pictures: int = 0
    documents: bool = False
    """Whether there are documents of unknown size."""
    unread: bool = False
    """Whether there is something else in the place of a file ID."""

    def __add__(self, other: "Sourced") -> "Sourced":
        """
        Combine these blocks with those that follow them.
        """
        if other is NO_SOURCES:
            return self
        if self is NO_SOURCES:
            return other
        return Sourced(
            tuple(dict.fromkeys(self.files + other.files)),
            self.pictures + other.pictures,
            self.documents or other.documents,
            self.unread or other.unread,
        )


NO_SOURCES = Sourced()


_NONE_GIVEN = (UNSET,) * 5


def additions(
    *,
    thread: Field,
    container: Field,
    fallbacks: Field,
    compaction: Field,
    context_management: Field,
    tools: object,
    sourced: Sourced,
) -> Additions:
    """
    Read what a body names.

    Args:
        thread, container, fallbacks, compaction, context_management: The fields of the request.
        tools: Its tools, as far as they were read: objects with a `type`.
        sourced: What its blocks with a source or a `file_id` refer to.
    """
    if (thread, container, fallbacks, compaction, context_management) == _NONE_GIVEN and sourced is NO_SOURCES:
        return Additions(tokens=_tool_tokens(tools))
    kind, previous_id, is_read = _thread(thread)
    attempts = _fallbacks(fallbacks)
    return Additions(
        thread=kind,
        previous_id=previous_id,
        files=sourced.files,
        container=_names_container(container),
        documents=sourced.documents,
        unread=not is_read or sourced.unread or attempts is None,
        tokens=sourced.pictures * IMAGE_TOKENS + _tool_tokens(tools),
        fallbacks=attempts or (),
        compacts=_value(compaction) is not None or _compacts(context_management),
    )


def _value(field: Field) -> Any:
    """
    The value of a field; None if it is missing, null or too large.
    """
    if not isinstance(field, Raw) or memoryview(field).nbytes > _MAX_FIELD_BYTES:
        return None
    return msgspec.json.decode(field)


def _is_too_large(field: Field) -> bool:
    return isinstance(field, Raw) and memoryview(field).nbytes > _MAX_FIELD_BYTES


def _thread(field: Field) -> tuple[Literal["", "create", "continue"], str, bool]:
    """
    How a thread is used, the ID of the answer that it continues, and whether that could be read.
    """
    value = _value(field)
    if value is None:
        return "", "", not _is_too_large(field)
    kind = value.get("type") if isinstance(value, dict) else None
    if kind == "create":
        return "create", "", True
    previous = value.get("previous_message_id") if isinstance(value, dict) else None
    known = isinstance(previous, str) and len(previous) <= _MAX_ID_CHARS
    return "continue", str(previous) if known else "", kind == "continue"


def read_sources(sources: Iterable[Source]) -> Sourced:
    """
    What blocks that have a source or a `file_id` refer to.
    """
    files: dict[str, None] = {}
    pictures, documents, all_known = 0, False, True
    for block_type, source_type, file_id in sources:
        if source_type is None and block_type != "container_upload":
            continue  # a file that a tool has made is named in its result, and is not part of the prompt
        if isinstance(file_id, Raw):
            name = _value(file_id)
            if isinstance(name, str) and len(name) <= _MAX_ID_CHARS:
                files[name] = None
            else:
                all_known = False
        elif block_type == "image":
            pictures += 1
        else:
            documents = documents or source_type not in ("text", "content")
    return Sourced(tuple(files), pictures, documents, not all_known)


def _names_container(field: Field) -> bool:
    value = _value(field)
    if isinstance(value, dict):
        return any(value.values())
    return bool(value) or _is_too_large(field)


def _fallbacks(field: Field) -> tuple[Fallback, ...] | None:
    """
    The further attempts; None if they could not be read.
    """
    value = _value(field)
    if value is None:
        return None if _is_too_large(field) else ()
    if not isinstance(value, list):
        return (Fallback(),)
    return tuple(_fallback(one) if isinstance(one, dict) else Fallback() for one in value)


def _fallback(entry: dict[str, Any]) -> Fallback:
    model, most = entry.get("model"), entry.get("max_tokens")
    return Fallback(
        model if isinstance(model, str) else None,
        most if isinstance(most, int) and not isinstance(most, bool) else None,
        entry.get("speed") == "fast",
    )


def _compacts(field: Field) -> bool:
    value = _value(field)
    edits = value.get("edits") if isinstance(value, dict) else None
    kinds = [one.get("type") for one in edits if isinstance(one, dict)] if isinstance(edits, list) else []
    return any(isinstance(kind, str) and kind.startswith("compact_") for kind in kinds)


def _tool_tokens(tools: object) -> int:
    if not isinstance(tools, list) or not tools:
        return 0
    built_in = sum(getattr(one, "type", None) not in (None, "custom") for one in tools)
    return TOOLS_TOKENS + built_in * BUILT_IN_TOOL_TOKENS
