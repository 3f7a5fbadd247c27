"""
One block of a prompt, and how it is read.

Rule of this file: the content of a block leaves out what the cache ignores: breakpoints, whitespace, how a character is
escaped, the order of the keys of the block itself. It keeps what the cache compares as it was sent: the order of keys inside
the input or schema of a tool, and how a number is spelled.
Source: https://platform.claude.com/docs/en/build-with-claude/prompt-caching (checked 2026-11-23). Where that page gives
no rule, the code says "assumed".
"""

from collections.abc import Sequence
from hashlib import sha1
from typing import Any

import msgspec
from msgspec import Raw, Struct

from savemode_cli.core.cache.block_sizes import begins, decode_members, measured, string, utf8_length
from savemode_cli.core.cache.lifetimes import Lifetime
from savemode_cli.core.cache.tokens import BlockKind
from savemode_cli.core.wire.breakpoints import lifetime_of
from savemode_cli.core.wire.messages import CONTROL, Path
from savemode_cli.core.wire.reading_work import ReadingWork


class Block(Struct, gc=False):
    """
    One block of a prompt.
    """

    content: bytes
    """The bytes of which the cache makes a hash; empty where only their digest is kept."""
    kind: BlockKind
    size: int
    """The bytes of its text, or of what represents its text."""
    type: str
    """The API's name of its type; "" for a tool that the user defined."""
    path: Path
    """The place in the body."""
    lifetime: Lifetime | None = None
    """How long its breakpoint lasts; None without a breakpoint."""
    depth: int = 0
    """How many blocks it is nested in."""
    carries: bool = True
    """Whether automatic caching may put a breakpoint on it."""
    digest: bytes = b""
    """The digest of its content; empty for a block of which the cache makes no hash."""
    role: str = ""
    """The role of its message; empty for a tool."""
    cited: bool = False
    """Whether it asks for citations."""
    tokens: int | None = None
    """Its tokens by the default estimate; None until they are needed."""
    sketch: Any = None
    """What `core.diagnosis` has read in its content, so that the content need not be kept."""


_decode_items = msgspec.json.Decoder(list[Raw]).decode
_decode_any = msgspec.json.Decoder().decode


def tool_block(raw: Raw, index: int) -> Block:
    """
    The definition of a tool. The tool for web search belongs to the level of the system prompt: turning it on or off
    keeps the cache of the tools.
    """
    members = decode_members(raw)
    lifetime = _lifetime(members)
    name = string(members.get("type"))
    content = b"" if name.startswith("web_search") else b"tool\0000\0" + _members(members)
    size = sum(memoryview(raw).nbytes for raw in members.values())
    digest = _digest(content) if content else b""
    return Block(content, "tool", size, name, ("tools", index), lifetime, digest=digest)


def _digest(content: bytes) -> bytes:
    return sha1(content, usedforsecurity=False).digest()


def _lifetime(members: dict[str, Raw]) -> Lifetime | None:
    """
    Remove the breakpoint of a block from its members, because it is not content.
    """
    control = members.pop(CONTROL, None)
    return None if control is None else lifetime_of(_decode_any(control))


_CITED = b'{"enabled":true}'


def blocks_of_list(content: str | Sequence[Raw], role: str, path: Path, work: ReadingWork) -> tuple[Block, ...]:
    """
    The blocks of one list. The blocks nested in a block come before it. A string is one block of text.
    """
    out: list[Block] = []
    if not isinstance(content, str):
        for index, raw in enumerate(content):
            _read_block(raw, role, 0, "text", (*path, index), work, out)
    elif content:
        text = msgspec.json.encode(content)
        hashed = _content(role, 0, {"text": Raw(text), "type": Raw(b'"text"')})
        size = utf8_length(content)
        out.append(Block(hashed, "text", size, "text", path, digest=_digest(hashed), role=role))
    return tuple(out)


def _read_block(
    raw: Raw | bytes,
    role: str,
    depth: int,
    text_kind: BlockKind,
    path: Path,
    work: ReadingWork,
    out: list[Block],
) -> None:
    members = decode_members(raw)
    work.spend(1 + len(members))
    lifetime = _lifetime(members)
    name = string(members.get("type"))
    inner_path, nested = _nested(members)
    if nested:
        work.spend(len(nested))
        inner_kind: BlockKind = "text" if name == "document" else "data"
        for index, item in enumerate(nested):
            _read_block(item, role, depth + 1, inner_kind, (*path, *inner_path, index), work, out)
    kind, size = measured(name, members, text_kind)
    carries = kind != "thinking" and not (name == "text" and size == 0)
    content = _content(role, depth, members)
    cites = members.get("citations")
    out.append(
        Block(
            content,
            kind,
            size,
            name,
            path,
            lifetime if carries else None,
            depth,
            carries and depth == 0,
            _digest(content),
            role,
            cited=cites is not None and kind in ("document", "text") and bytes(cites) == _CITED,
        )
    )


def _content(role: str, depth: int, members: dict[str, Raw]) -> bytes:
    return b"%b\0%d\0%b" % (role.encode(), depth, _members(members))


def members_of(block: Block) -> dict[str, bytes]:
    """
    The members of a block of which the cache makes a hash, as JSON texts by name. Nested blocks are not among them.
    """
    parts = block.content.split(b"\0")[2:-1]
    return {name.decode("utf-8", "surrogatepass"): value for name, value in zip(parts[::2], parts[1::2], strict=False)}


_CONTENT: Path = ("content",)
_SOURCE: Path = ("source", "content")


def _nested(members: dict[str, Raw]) -> tuple[Path, list[Raw]]:
    """
    Remove the nested blocks from a block's members: the content of a tool result, or of a document's source.

    Returns:
        The path from the block to their list, and the blocks.
    """
    content = members.get("content")
    if content is not None and begins(content, b"[{"):
        del members["content"]
        return _CONTENT, _decode_items(content)
    source = members.get("source")
    if source is not None and b'"content":[{' in bytes(source):
        inner = decode_members(source)
        items = inner.pop("content", None)
        if items is not None and begins(items, b"[{"):
            members["source"] = Raw(object_text(inner).encode("utf-8", "surrogatepass"))
            return _SOURCE, _decode_items(items)
    return _CONTENT, []


def _members(members: dict[str, Raw]) -> bytes:
    """
    The members of a block, sorted by name. Assumed: the API reads a block into a type of its own, so their order does
    not matter.

    JSON texts contain no NUL, so no value can contain the separator.
    """
    parts: list[bytes | Raw] = []
    for key in sorted(members):
        parts += (key.encode("utf-8", "surrogatepass"), b"\0", members[key], b"\0")
    return b"".join(parts)


def object_text(members: dict[str, Raw]) -> str:
    """
    The value of a parameter, with its keys sorted by name.
    """
    pairs = (f"{msgspec.json.encode(key).decode()}:{json_text(members[key])}" for key in sorted(members))
    return f"{{{','.join(pairs)}}}"


def json_text(raw: Raw) -> str:
    return bytes(raw).decode("utf-8", "surrogatepass")
