"""
A request body as blocks in evaluation order, with the parameters that each level of the prompt depends on.

Rule of this file: a prompt is read here and nowhere else. The content of a block leaves out what the cache ignores:
breakpoints, whitespace, how a character is escaped, the order of the keys of the block itself. It keeps what the cache
compares as it was sent: the order of keys inside the input or schema of a tool, and how a number is spelled.
Source: https://platform.claude.com/docs/en/build-with-claude/prompt-caching (checked 2026-11-23). Where that page gives
no rule, the code says "assumed".

Longer than most, because what is ignored and what counts is decided in one place.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha1
from typing import Any, Protocol

import msgspec
from msgspec import UNSET, DecodeError, Raw, Struct, UnsetType

from savemode_cli.core.cache.block_sizes import begins, decode_members, measured, string, utf8_length
from savemode_cli.core.cache.lifetimes import Lifetime
from savemode_cli.core.cache.normal_json import normal_json
from savemode_cli.core.cache.tokens import BlockKind
from savemode_cli.core.errors import BadInput
from savemode_cli.core.wire.breakpoints import lifetime_of
from savemode_cli.core.wire.message_ends import STAND_IN
from savemode_cli.core.wire.messages import CONTROL, Path
from savemode_cli.core.wire.models import other_spellings
from savemode_cli.core.wire.reading_work import ReadingWork

Parameter = tuple[str, str]
"""The name of a parameter, and its value as text: JSON without whitespace, or a word."""


@dataclass(slots=True)
class Block:
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
    link: tuple[bytes, bytes] | None = None
    """The digest of a prefix that ends before it, and of the same prefix with it; the latest that were needed."""
    sketch: Any = None
    """What `core.diagnosis` has read in its content, so that the content need not be kept."""


@dataclass(frozen=True, slots=True)
class Level:
    """
    One of the three parts of a prompt: tools, system, messages. A change in one level invalidates this level and all
    later ones.
    """

    parameters: tuple[Parameter, ...]
    """What all blocks of the level depend on, in addition to their own content."""
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class RequestBlocks:
    """
    The blocks of a request in evaluation order.
    """

    model: str
    levels: tuple[Level, Level, Level]
    """Tools, system, messages."""
    control: object
    """The request's own `cache_control`; None without automatic caching."""

    @property
    def blocks(self) -> tuple[Block, ...]:
        """
        The blocks of all levels.
        """
        tools, system, messages = self.levels
        return (*tools.blocks, *system.blocks, *messages.blocks)


class _Message(Struct, gc=False):
    role: str
    content: str | list[Raw] | UnsetType = UNSET


class _Body(Struct, gc=False):
    model: str
    messages: list[_Message]
    tools: list[Raw] | None = None
    system: str | list[Raw] | None = None
    control: Any = msgspec.field(default=None, name=CONTROL)
    tool_choice: dict[str, Raw] | None = None
    thinking: dict[str, Raw] | None = None
    output_config: dict[str, Raw] | None = None
    speed: str | None = None


class _Grown(_Body, gc=False):
    """
    A body with a stand-in for the messages that were read before.
    """

    messages: list[_Message | str]  # type: ignore[assignment]


_decode_body = msgspec.json.Decoder(_Body).decode
_decode_grown = msgspec.json.Decoder(_Grown).decode
_decode_items = msgspec.json.Decoder(list[Raw]).decode
_decode_any = msgspec.json.Decoder().decode


UNBOUNDED = 2**62
"""More steps than any body needs."""


def read_blocks(body: bytes, most_steps: int = UNBOUNDED) -> RequestBlocks:
    """
    Read a request body. The time is linear in its length.

    Args:
        body: the body.
        most_steps: how many blocks, keys of blocks and escaped characters may be read. The body of an agent has about
            2,000 per megabyte; 10,000 take about 30 ms.

    Raises:
        BadInput: it is not the body of a messages call: it is not JSON, or it has no model or no messages.
        TooMuchWork: it has more than `most_steps` of them.
    """
    return read_more_blocks(body, most_steps).request


@dataclass(frozen=True, slots=True)
class SeenBlocks:
    """
    What is needed of the first messages of a body, so that they need not be read again. The blocks have no content.
    """

    start: int = 0
    """The offset of the byte after the bracket of the list of messages."""
    end: int = 0
    """The offset of the byte after the last of these messages."""
    messages: int = 0
    steps: int = 0
    """What it took to read them, see `read_blocks`."""
    own: tuple[Block, ...] = ()
    """The blocks of the last of them."""
    before: "SeenBlocks | None" = None
    """What is known of those before."""

    def blocks(self) -> list[Block]:
        """
        The blocks of all of them.
        """
        parts: list[tuple[Block, ...]] = []
        seen: SeenBlocks | None = self
        while seen is not None:
            parts.append(seen.own)
            seen = seen.before
        return [block for part in reversed(parts) for block in part]


NOTHING_SEEN = SeenBlocks()


@dataclass(frozen=True, slots=True)
class MoreBlocks:
    """
    The blocks of a request, and what was read of each message that was not seen before: its blocks and the steps they took,
    None where some of them do not count in this request.
    """

    request: RequestBlocks
    read: tuple[tuple[tuple[Block, ...], int | None], ...]


class Sections(Protocol):
    """
    Remembers tools and system prompts by their digests, and gives their blocks without content.
    """

    def blocks(
        self, key: int, read: Callable[[ReadingWork], tuple[Block, ...]], work: ReadingWork
    ) -> tuple[Block, ...]:
        """
        The blocks of a section.

        Args:
            key: the digest of what it is.
            read: reads it.
            work: how much may be looked at; what it took to read the section counts each time.
        """


class NotAsSeen(Exception):
    """
    The messages that were seen before do not count in this body.
    """


def read_more_blocks(
    body: bytes, most_steps: int, seen: SeenBlocks = NOTHING_SEEN, sections: Sections | None = None
) -> MoreBlocks:
    """
    Read what is new in a request body.

    Args:
        body: the body, with one message, `STAND_IN`, in the place of those that were seen.
        most_steps: see `read_blocks`; what the whole body takes.
        seen: what is known of them.
        sections: where tools and system prompts are remembered; None: they are read.

    Raises:
        BadInput, TooMuchWork: see `read_blocks`.
        NotAsSeen: the body has to be read whole.
    """
    work = ReadingWork(most_steps, quick=False)
    work.spend(seen.steps + body.count(b"\\u"))
    try:
        if seen is NOTHING_SEEN:
            read = _decode_body(normal_json(body))
            return _blocks_of(read, read.messages, work, seen, sections)
        grown = _decode_grown(normal_json(body))
        messages = [one for one in grown.messages if isinstance(one, _Message)]
        if not grown.messages or grown.messages[0] != _STAND_IN_TEXT or len(messages) + 1 != len(grown.messages):
            raise NotAsSeen
        return _blocks_of(grown, messages, work, seen, sections)
    except RecursionError as error:
        raise BadInput("the body is nested too deeply to be read") from error
    except (DecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"no body of a messages call: {error}") from error


_STAND_IN_TEXT = STAND_IN.decode().strip('"')


def _blocks_of(
    read: _Body, said: Sequence[_Message], work: ReadingWork, seen: SeenBlocks, sections: Sections | None
) -> MoreBlocks:
    if any(message.content is UNSET and message.role != "system" for message in said):
        raise BadInput("no body of a messages call: a message has no content")
    work.spend(len(said))
    tools, system = _head(read, work, sections)
    more = tuple(_conversation(read.model, said, seen.messages, work))
    earlier = seen.blocks()
    if forgets_thinking(read.model) and any(block.kind == "thinking" for block in earlier):
        raise NotAsSeen  # which of it counts depends on what follows
    messages = (*earlier, *(block for blocks, _ in more for block in blocks))
    levels = (
        Level((("model", read.model),), tools),
        Level(_system_parameters(read, tools, messages), system),
        Level(_message_parameters(read, system, messages), messages),
    )
    return MoreBlocks(RequestBlocks(read.model, levels, read.control), more)


def _head(read: _Body, work: ReadingWork, sections: Sections | None) -> tuple[tuple[Block, ...], tuple[Block, ...]]:
    """
    The blocks of the tools and of the system prompt.
    """

    def tools(work: ReadingWork) -> tuple[Block, ...]:
        work.spend(len(read.tools or ()))
        return tuple(_tool(raw, index) for index, raw in enumerate(read.tools or ()))

    def system(work: ReadingWork) -> tuple[Block, ...]:
        return _system(read.system or [], work)

    if sections is None:
        return tools(work), system(work)
    said = read.system if isinstance(read.system, str) else tuple(map(bytes, read.system or ()))
    keys = hash(("tools", *map(bytes, read.tools or ()))), hash(("system", said))
    return sections.blocks(keys[0], tools, work), sections.blocks(keys[1], system, work)


_ATTRIBUTION = b"x-anthropic-billing-header:"


def _system(system: str | Sequence[Raw], work: ReadingWork) -> tuple[Block, ...]:
    """
    The blocks of the system prompt. The cache ignores the client's attribution if it is the first block: Claude Code writes its
    version and a checksum there, which change with a compaction.

    Source: https://code.claude.com/docs/en/llm-gateway-protocol (checked 2026-11-29). Other providers may cache it.
    """
    blocks = tuple(_blocks(system, "system", ("system",), work))
    if len(blocks) > 1 and blocks[0].type == "text" and _ATTRIBUTION in blocks[0].content[:_LONGEST_START]:
        blocks[0].content = blocks[0].digest = b""
    return blocks


_LONGEST_START = 64
"""More than what stands before the text in the content of a block."""


def _system_parameters(read: _Body, tools: Sequence[Block], messages: Sequence[Block]) -> tuple[Parameter, ...]:
    """
    What the system prompt and everything after it depend on, in addition to their own content.
    """
    searches = any(tool.type.startswith("web_search") for tool in tools)
    cites = any(block.cited for block in messages)
    return (("speed", read.speed or "standard"), ("web_search", _on(searches)), ("citations", _on(cites)))


def _message_parameters(read: _Body, system: Sequence[Block], messages: Sequence[Block]) -> tuple[Parameter, ...]:
    """
    What the messages depend on, in addition to their own content.

    Without a tool choice the documented default `auto` applies. `disable_parallel_tool_use` makes a different choice of
    it.
    """
    config = read.output_config or {}
    shows_images = any(block.kind == "image" for block in (*system, *messages))
    return (
        ("tool_choice", _object(read.tool_choice or _AUTO)),
        ("images", _on(shows_images)),
        ("thinking", _object(read.thinking or {})),
        *((name, _text_of(config[name])) for name in ("effort", "format") if name in config),
    )


def _on(present: bool) -> str:
    return "on" if present else "off"


_AUTO = {"type": Raw(b'"auto"')}
_CITES = re.compile(rb'\0citations\0\{"enabled":true\}\0')


def _object(members: dict[str, Raw]) -> str:
    """
    The value of a parameter, with its keys sorted by name.
    """
    pairs = (f"{msgspec.json.encode(key).decode()}:{_text_of(members[key])}" for key in sorted(members))
    return f"{{{','.join(pairs)}}}"


def _text_of(raw: Raw) -> str:
    return bytes(raw).decode("utf-8", "surrogatepass")


def _tool(raw: Raw, index: int) -> Block:
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


def _conversation(
    model: str, messages: Sequence[_Message], first: int, work: ReadingWork
) -> Iterator[tuple[tuple[Block, ...], int | None]]:
    """
    The blocks of each message, and the steps that they took; None where some of its blocks are left out.

    The API merges neighbouring messages of one role into one turn, so no block begins a message.

    Older models do not see the thinking before the last message of a person, so it is left out for them.
    """
    for message in messages:
        if isinstance(message.content, list):
            work.spend(len(message.content))
    forgotten = _last_spoken(messages) if forgets_thinking(model) else 0
    for index, message in enumerate(messages):
        spent = work.spent
        path: Path = ("messages", first + index, "content")
        blocks = tuple(_blocks(message.content or "", message.role, path, work))
        seen = blocks if index >= forgotten else tuple(block for block in blocks if block.kind != "thinking")
        listed = len(message.content) if isinstance(message.content, list) else 0
        yield seen, (1 + listed + work.spent - spent if len(seen) == len(blocks) else None)


def _last_spoken(messages: Sequence[_Message]) -> int:
    """
    The index of the last user message that is not a tool result; 0 if there is none.
    """
    for index in reversed(range(len(messages))):
        message = messages[index]
        if message.role != "user":
            continue
        if isinstance(message.content, str) or not any(_is_tool_result(raw) for raw in message.content or ()):
            return index
    return 0


def _is_tool_result(raw: Raw) -> bool:
    return string(decode_members(raw).get("type")) == "tool_result"


_FORGETS_THINKING = re.compile(r"claude-(?:3.*|opus-4(?:-[01])?|sonnet-4(?:-[05])?|haiku-4.*)")


def forgets_thinking(model: str) -> bool:
    """
    Whether a model strips earlier thinking: models before Opus 4.5 and Sonnet 4.6, and Haiku up to 4.5.
    """
    return any(_FORGETS_THINKING.fullmatch(name) for name, _ in other_spellings(model))


def _blocks(content: str | Sequence[Raw], role: str, path: Path, work: ReadingWork) -> Iterator[Block]:
    """
    The blocks of one list. The blocks nested in a block come before it. A string is one block of text.
    """
    if isinstance(content, str):
        if content:
            text = msgspec.json.encode(content)
            members = {"text": Raw(text), "type": Raw(b'"text"')}
            hashed = _content(role, 0, members)
            size = utf8_length(content)
            yield Block(hashed, "text", size, "text", path, digest=_digest(hashed), role=role)
        return
    for index, raw in enumerate(content):
        yield from _block(raw, role, 0, "text", (*path, index), work)


def _block(
    raw: Raw | bytes, role: str, depth: int, text_kind: BlockKind, path: Path, work: ReadingWork
) -> Iterator[Block]:
    members = decode_members(raw)
    work.spend(1 + len(members))
    lifetime = _lifetime(members)
    name = string(members.get("type"))
    inner_kind: BlockKind = "text" if name == "document" else "data"
    inner_path, nested = _nested(members)
    work.spend(len(nested))
    for index, item in enumerate(nested):
        yield from _block(item, role, depth + 1, inner_kind, (*path, *inner_path, index), work)
    kind, size = measured(name, members, text_kind)
    carries = kind != "thinking" and not (name == "text" and size == 0)
    content = _content(role, depth, members)
    yield Block(
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
        cited=kind in ("document", "text") and _CITES.search(content) is not None,
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
            members["source"] = Raw(_object(inner).encode("utf-8", "surrogatepass"))
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
