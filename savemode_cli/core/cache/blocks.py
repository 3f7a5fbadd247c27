"""
A request body as blocks in evaluation order, with the parameters that each level of the prompt depends on.

Rule of this file: a prompt is read here and nowhere else. `block` says what counts of a block.
Source: https://platform.claude.com/docs/en/build-with-claude/prompt-caching (checked 2026-11-23). Where that page gives
no rule, the code says "assumed".
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter, eq
from typing import Any, Protocol

import msgspec
from msgspec import UNSET, DecodeError, Raw, Struct, UnsetType

from savemode_cli.core.cache.block import Block, blocks_of_list, json_text, object_text, tool_block
from savemode_cli.core.cache.block_sizes import decode_members, string
from savemode_cli.core.cache.normal_json import normal_json
from savemode_cli.core.errors import BadInput
from savemode_cli.core.remembered import remembered
from savemode_cli.core.wire.message_ends import STAND_IN
from savemode_cli.core.wire.messages import CONTROL
from savemode_cli.core.wire.models import other_spellings
from savemode_cli.core.wire.reading_work import ReadingWork

Parameter = tuple[str, str]
"""The name of a parameter, and its value as text: JSON without whitespace, or a word."""


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
    messages: list[Raw]
    tools: Raw | UnsetType = UNSET
    system: Raw | UnsetType = UNSET
    control: Any = msgspec.field(default=None, name=CONTROL)
    tool_choice: dict[str, Raw] | None = None
    thinking: dict[str, Raw] | None = None
    output_config: dict[str, Raw] | None = None
    speed: str | None = None


class _WholeBody(Struct, gc=False):
    """
    A body with every type checked at once.
    """

    model: str
    messages: list[_Message]
    tools: list[Raw] | None = None
    system: str | list[Raw] | None = None


_decode_body = msgspec.json.Decoder(_Body).decode
_decode_whole = msgspec.json.Decoder(_WholeBody).decode
_decode_message = msgspec.json.Decoder(_Message).decode
_decode_tools = msgspec.json.Decoder(list[Raw] | None).decode
_decode_system = msgspec.json.Decoder(str | list[Raw] | None).decode


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
    return read_parts(body, most_steps).request


@dataclass(slots=True, eq=False)
class MessageBlocks:
    """
    The blocks of one message.
    """

    key: int | None
    """The digest of the message as JSON in one spelling; None if its blocks do not count in every request."""
    blocks: tuple[Block, ...]
    listed: int
    """How many items its content has; 0 if that is a string."""
    steps: int
    """What it takes to read the items, see `read_blocks`."""
    cited: bool
    images: bool
    thinks: bool


@dataclass(frozen=True, slots=True)
class RequestParts:
    """
    What was read of a request. A section or message that was known already is the same object.
    """

    model: str
    parameters: tuple[tuple[Parameter, ...], tuple[Parameter, ...], tuple[Parameter, ...]]
    """What tools, system and messages depend on."""
    tools: tuple[Block, ...]
    system: tuple[Block, ...]
    messages: tuple[MessageBlocks, ...]
    control: object

    @property
    def request(self) -> RequestBlocks:
        """
        The same as blocks in evaluation order.
        """
        tools, system, messages = self.parameters
        blocks = tuple([block for message in self.messages for block in message.blocks])
        levels = Level(tools, self.tools), Level(system, self.system), Level(messages, blocks)
        return RequestBlocks(self.model, levels, self.control)


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


@dataclass(frozen=True, slots=True)
class KnownMessages:
    """
    What is known of the messages of a body before it is read.
    """

    cut: tuple[MessageBlocks, ...] = ()
    """Those in whose place the body has one message, `STAND_IN`."""
    steps: int = 0
    """What it took to read those, see `read_blocks`."""
    earlier: Sequence[Sequence[MessageBlocks]] = ()
    """The messages of earlier requests, from the first on. Those that the body has at the same place are not read again."""


NOTHING_KNOWN = KnownMessages()


class NotAsKnown(Exception):
    """
    The messages that were cut out do not count in this body.
    """


def read_parts(
    body: bytes, most_steps: int, known: KnownMessages = NOTHING_KNOWN, sections: Sections | None = None
) -> RequestParts:
    """
    Read what is new in a request body.

    Args:
        body: the body, maybe without its first messages.
        most_steps: see `read_blocks`; what the whole body takes.
        known: what is known of its messages.
        sections: where tools and system prompts are remembered; None: they are read.

    Raises:
        BadInput, TooMuchWork: see `read_blocks`.
        NotAsKnown: the body has to be read whole.
    """
    work = ReadingWork(most_steps, quick=False)
    work.spend(known.steps + body.count(b"\\u"))
    try:
        compact = normal_json(body)
        try:
            read = _decode_body(compact)
            return _parts(read, _Messages(read, known), work, sections)
        except DecodeError:
            _decode_whole(compact)  # its error names the place of a wrong type
            raise
    except RecursionError as error:
        raise BadInput("the body is nested too deeply to be read") from error
    except (DecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"no body of a messages call: {error}") from error


class _Messages:
    """
    The messages of a body that were not cut out of it: those that are known, and the others decoded.
    """

    __slots__ = ("cut", "items", "keys", "listed")

    def __init__(self, read: _Body, known: KnownMessages) -> None:
        """
        Raises:
            DecodeError, NotAsKnown: see `read_parts`.
        """
        raws = read.messages
        if known.cut:
            if not raws or bytes(raws[0]) != STAND_IN:
                raise NotAsKnown
            raws = raws[1:]
        self.cut = known.cut
        self.keys = [hash(bytes(raw)) for raw in raws]
        # Which blocks count for the older models depends on what follows.
        earlier = () if forgets_thinking(read.model) else _most_alike(known.earlier, len(known.cut), self.keys)
        self.items: list[MessageBlocks | _Message] = []
        self.listed = 0
        """How many items the contents of all of them have."""
        for at, (key, raw) in enumerate(zip(self.keys, raws, strict=True)):
            if at < len(earlier) and earlier[at].key == key:
                self.items.append(earlier[at])
                self.listed += earlier[at].listed
                continue
            message = _decode_message(raw)
            self.items.append(message)
            self.listed += len(message.content) if isinstance(message.content, list) else 0


_KEY = attrgetter("key")


def _most_alike(earlier: Sequence[Sequence[MessageBlocks]], first: int, keys: Sequence[int]) -> Sequence[MessageBlocks]:
    """
    The messages from `first` on of the earlier request that has most of these at the same place.
    """
    best: Sequence[MessageBlocks] = ()
    most = 0
    for messages in earlier:
        own = messages[first:]
        same = sum(map(eq, map(_KEY, own), keys))
        if same > most:
            best, most = own, same
    return best


def _parts(read: _Body, messages: _Messages, work: ReadingWork, sections: Sections | None) -> RequestParts:
    if any(isinstance(one, _Message) and one.content is UNSET and one.role != "system" for one in messages.items):
        raise BadInput("no body of a messages call: a message has no content")
    work.spend(len(messages.items))
    tools, system = _head(read, work, sections)
    if forgets_thinking(read.model) and any(message.thinks for message in messages.cut):
        raise NotAsKnown
    said = (*messages.cut, *_conversation(read.model, messages, work))
    parameters = (
        (("model", read.model),),
        _system_parameters(read, tools, said),
        _message_parameters(read, system, said),
    )
    return RequestParts(read.model, parameters, tools, system, said, read.control)


def _head(read: _Body, work: ReadingWork, sections: Sections | None) -> tuple[tuple[Block, ...], tuple[Block, ...]]:
    """
    The blocks of the tools and of the system prompt.
    """

    def tools(work: ReadingWork) -> tuple[Block, ...]:
        raws = _decode_tools(read.tools) if isinstance(read.tools, Raw) else None
        work.spend(len(raws or ()))
        return tuple([tool_block(raw, index) for index, raw in enumerate(raws or ())])

    def system(work: ReadingWork) -> tuple[Block, ...]:
        return _system(_decode_system(read.system) if isinstance(read.system, Raw) else None, work)

    if sections is None:
        return tools(work), system(work)
    keys = [hash((name, *map(bytes, _given(raw)))) for name, raw in (("tools", read.tools), ("system", read.system))]
    return sections.blocks(keys[0], tools, work), sections.blocks(keys[1], system, work)


def _given(raw: Raw | UnsetType) -> tuple[Raw, ...]:
    return (raw,) if isinstance(raw, Raw) else ()


_ATTRIBUTION = b"x-anthropic-billing-header:"


def _system(system: str | Sequence[Raw] | None, work: ReadingWork) -> tuple[Block, ...]:
    """
    The blocks of the system prompt. The cache ignores the client's attribution if it is the first block: Claude Code writes its
    version and a checksum there, which change with a compaction.

    Source: https://code.claude.com/docs/en/llm-gateway-protocol (checked 2026-11-29). Other providers may cache it.
    """
    blocks = blocks_of_list(system or (), "system", ("system",), work)
    if len(blocks) > 1 and blocks[0].type == "text" and _ATTRIBUTION in blocks[0].content[:_LONGEST_START]:
        blocks[0].content = blocks[0].digest = b""
    return blocks


_LONGEST_START = 64
"""More than what stands before the text in the content of a block."""


def _system_parameters(read: _Body, tools: Sequence[Block], messages: Sequence[MessageBlocks]) -> tuple[Parameter, ...]:
    """
    What the system prompt and everything after it depend on, in addition to their own content.
    """
    searches = any(tool.type.startswith("web_search") for tool in tools)
    cites = any(map(_CITED, messages))
    return (("speed", read.speed or "standard"), ("web_search", _on(searches)), ("citations", _on(cites)))


def _message_parameters(
    read: _Body, system: Sequence[Block], messages: Sequence[MessageBlocks]
) -> tuple[Parameter, ...]:
    """
    What the messages depend on, in addition to their own content.

    Without a tool choice the documented default `auto` applies. `disable_parallel_tool_use` makes a different choice of
    it.
    """
    config = read.output_config or {}
    shows_images = any(block.kind == "image" for block in system) or any(map(_IMAGES, messages))
    return (
        ("tool_choice", object_text(read.tool_choice or _AUTO)),
        ("images", _on(shows_images)),
        ("thinking", object_text(read.thinking or {})),
        *((name, json_text(config[name])) for name in ("effort", "format") if name in config),
    )


_CITED, _IMAGES = attrgetter("cited"), attrgetter("images")


def _on(present: bool) -> str:
    return "on" if present else "off"


_AUTO = {"type": Raw(b'"auto"')}


def _conversation(model: str, messages: _Messages, work: ReadingWork) -> list[MessageBlocks]:
    """
    The messages that were not cut out.

    The API merges neighbouring messages of one role into one turn, so no block begins a message.

    Older models do not see the thinking before the last message of a person, so it is left out for them.
    """
    work.spend(messages.listed)
    forgets = forgets_thinking(model)
    forgotten = _last_spoken(messages.items) if forgets else 0
    out: list[MessageBlocks] = []
    first = len(messages.cut)
    for index, (key, item) in enumerate(zip(messages.keys, messages.items, strict=True)):
        if isinstance(item, MessageBlocks):
            work.spend(item.steps)
            out.append(item)
        else:
            out.append(_message(item, key, first + index, work, is_forgotten=index < forgotten, forgets=forgets))
    return out


def _message(
    message: _Message, key: int, index: int, work: ReadingWork, *, is_forgotten: bool, forgets: bool
) -> MessageBlocks:
    spent = work.spent
    content = message.content or ""
    blocks = blocks_of_list(content, message.role, ("messages", index, "content"), work)
    kinds = {block.kind for block in blocks}
    thinks = "thinking" in kinds
    if thinks and is_forgotten:
        blocks = tuple([block for block in blocks if block.kind != "thinking"])
    return MessageBlocks(
        None if thinks and forgets else key,
        blocks,
        len(content) if isinstance(content, list) else 0,
        work.spent - spent,
        any(map(_CITED, blocks)),
        "image" in kinds,
        thinks,
    )


def _last_spoken(messages: Sequence[MessageBlocks | _Message]) -> int:
    """
    The index of the last user message that is not a tool result; 0 if there is none.
    """
    for index in reversed(range(len(messages))):
        message = messages[index]
        if isinstance(message, MessageBlocks) or message.role != "user":
            continue
        if isinstance(message.content, str) or not any(_is_tool_result(raw) for raw in message.content or ()):
            return index
    return 0


def _is_tool_result(raw: Raw) -> bool:
    return string(decode_members(raw).get("type")) == "tool_result"


_FORGETS_THINKING = re.compile(r"claude-(?:3.*|opus-4(?:-[01])?|sonnet-4(?:-[05])?|haiku-4.*)")


@remembered
def forgets_thinking(model: str) -> bool:
    """
    Whether a model strips earlier thinking: models before Opus 4.5 and Sonnet 4.6, and Haiku up to 4.5.
    """
    return any(_FORGETS_THINKING.fullmatch(name) for name, _ in other_spellings(model))
