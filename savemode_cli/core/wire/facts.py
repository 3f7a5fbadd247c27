"""
The facts of a request body: everything that the rest of the program knows about it.

Rule of this file: reading a body raises nothing, and takes time linear in its length. A body that cannot be read has a
`problem`. A body with more keys, objects or list items than allowed is read, but its breakpoints are not judged.
"""

from collections.abc import Sequence

import msgspec
from msgspec import UNSET, DecodeError, Struct
from msgspec.structs import replace

from savemode_cli.core.wire.additions import NO_SOURCES, UNREAD, Additions, Source, Sourced, additions, read_sources
from savemode_cli.core.wire.breakpoints import (
    MAX_BREAKPOINTS,
    Breakpoint,
    Holders,
    count_keys,
    evaluation_order,
    head_target,
    is_automatic,
    is_marked,
    message_target,
    read_breakpoint,
    request_holder,
    section_holders,
    stray_breakpoints,
)
from savemode_cli.core.wire.message_ends import STAND_IN
from savemode_cli.core.wire.messages import CONTROL, Path
from savemode_cli.core.wire.opening import first_user_texts, opening_of
from savemode_cli.core.wire.reading_work import ReadingWork, TooMuchWork
from savemode_cli.core.wire.repeats import NO_CALL, NO_ROW, RepeatedCall, SeenRow, repeated_call
from savemode_cli.core.wire.request_body import (
    MAX_KEYS,
    RequestBlock,
    RequestBody,
    RequestHead,
    decode_body,
    decode_head,
    decode_json,
    list_items,
    number_keys,
)
from savemode_cli.core.wire.turns import opens_turn

MAX_MODEL_CHARS = 256
"""Longer than the longest ARN. The rest of a model's name is not read, because names are kept in memory."""

MAX_CONTAINERS = 1_000_000
"""
The most objects and arrays in a body that is judged, and the most items in its lists of blocks. Braces and brackets in
texts count too. The API accepts 100,000 messages, and this many braces are more tokens than the largest context window
has.
"""

_NOTHING_ADDED = Additions()


class Facts(Struct, frozen=True, gc=False):
    """
    What judgement needs to know of a request body; nothing else looks inside it.

    `problem` is empty, or says why the body cannot be read. `unjudged` is empty, or says why the breakpoints of a body
    that can be read were not judged. Either way the body must be sent as it came. `automatic_target` is the path of the
    block that automatic caching marks, None without it. `opening` identifies a conversation that carries no id: its first
    texts, the long ones as their digests. `added` is what the prompt holds beyond the body. `last_call` is the tool call that
    the conversation has made last, and how often in a row.
    """

    problem: str = ""
    """Why the body cannot be read; "" if it can. Such a body is sent unchanged."""
    unjudged: str = ""
    """
    Why the breakpoints were not judged, although the body can be read; "" if they were. Such a body is sent unchanged.
    """
    model: str | None = None
    stream: bool = False
    max_tokens: int | None = None
    fast: bool = False
    user_id: object = None
    breakpoints: tuple[Breakpoint, ...] = ()
    automatic_target: Path | None = None
    """The path of the block that automatic caching marks; None without automatic caching."""
    opening: tuple[bytes, ...] = ()
    """Identifies a conversation without an ID: its first texts, the long ones as digests."""
    added: Additions = _NOTHING_ADDED
    """What the prompt contains in addition to the body."""
    last_call: RepeatedCall = NO_CALL
    """The last tool call of the conversation, and how often it was made in a row."""
    opens_turn: bool = True
    """Whether a person's message precedes the request; False after a tool result. True if that is unknown."""


NO_FACTS = Facts()
"""The facts of a request whose body was not read."""


class SeenMessages(Struct, frozen=True, gc=False):
    """
    The facts of the first messages of a body, so that these need not be read again. It contains no text.
    """

    start: int = 0
    """The offset at which these messages begin."""
    end: int = 0
    """The offset at which they end."""
    messages: int = 0
    """How many messages these are."""
    held: int = 0
    """How many `cache_control` keys they contain, all of them where the API looks for one."""
    steps: int = 0
    """How many steps it took to read them."""
    braces: int = 0
    """How many braces and brackets they contain."""
    breakpoints: tuple[Breakpoint, ...] = ()
    sourced: Sourced = NO_SOURCES
    opening: tuple[bytes, ...] | None = None
    """None if none of them is a person's."""
    target: tuple[Path | None] | None = None
    """None if none of them decides which block automatic caching marks."""
    row: SeenRow = NO_ROW
    """The tool call at their end."""
    opens_turn: bool = True
    """Whether a person's message is at their end."""


NOTHING_SEEN = SeenMessages()


class NotAsSeen(Exception):
    """
    The messages that were seen before are not the messages of this body.
    """


class Reading(Struct, frozen=True, gc=False):
    """
    The facts of a body and what they were read from: the messages that were not seen before and, for each key of a
    breakpoint, the offset of the byte after it. There are no messages if the body was not judged.
    """

    facts: Facts
    messages: tuple[object, ...] = ()
    offsets: Sequence[int] = ()


def facts(body: bytes) -> Facts:
    """
    Read a request body. It raises nothing: a body that cannot be read has a `problem`.

    The time is linear in the length of the body, whatever it contains.
    """
    try:
        return _reading(body, ReadingWork(MAX_CONTAINERS, quick=False), NOTHING_SEEN).facts
    except TooMuchWork:
        return _unjudged(decode_head(body), (), f"more than {MAX_CONTAINERS:,} items in its lists")


def quick_facts(body: bytes) -> Facts | None:
    """
    Read a request body if that takes few steps.

    Returns:
        The same as `facts`. None if the body has so many blocks, or such `cache_control` keys, that reading it takes
        long for its size. Then `facts` must be called where it delays no other request.
    """
    known = quick_reading(body)
    return None if known is None else known.facts


def quick_reading(body: bytes, seen: SeenMessages = NOTHING_SEEN) -> Reading | None:
    """
    The same, with what the facts were read from.

    Args:
        body: the body, with one message, `STAND_IN`, in the place of those that were seen.
        seen: what is known about those.

    Raises:
        NotAsSeen: the body must be read as a whole.
    """
    work = ReadingWork(_QUICK_STEPS, quick=True)
    try:
        known = _reading(body, work, seen)
    except TooMuchWork:
        return None
    if seen.steps + work.spent > MAX_CONTAINERS:
        raise NotAsSeen
    return known


_QUICK_STEPS = 20_000
"""How many items of lists are read in a quick reading: about 3 ms. The body of an agent has 400 per megabyte."""


def _reading(body: bytes, work: ReadingWork, seen: SeenMessages) -> Reading:
    try:
        if len(body) + seen.end - seen.start > 2 * MAX_CONTAINERS and count_braces(body) + seen.braces > MAX_CONTAINERS:
            return Reading(_unjudged(decode_head(body), (), f"more than {MAX_CONTAINERS:,} objects and arrays"))
        numbered = number_keys(body)
        if numbered is None:
            read = decode_body(body)
            return Reading(_unjudged(read, _opening(read, seen), f"more than {MAX_KEYS:,} {CONTROL} keys"))
        if seen.held + len(numbered[1]) > MAX_KEYS:
            raise NotAsSeen
        return _judged(body, *numbered, work, seen)
    except (DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Reading(Facts(problem=_problem(error)))


def count_braces(body: bytes, start: int = 0, end: int | None = None) -> int:
    """
    How many objects and arrays begin in a part of a body, including braces and brackets in texts.
    """
    return body.count(b"{", start, end) + body.count(b"[", start, end)


def _unjudged(read: RequestHead | RequestBody, opening: tuple[bytes, ...], why: str) -> Facts:
    return Facts(
        unjudged=f"the body has {why}",
        model=_model(read),
        stream=read.stream is True,
        max_tokens=_max_tokens(read),
        fast=read.speed == "fast",
        user_id=_user_id(read),
        opening=opening,
        added=UNREAD,
    )


def _judged(body: bytes, numbered: bytes, offsets: Sequence[int], work: ReadingWork, seen: SeenMessages) -> Reading:
    read = decode_body(numbered)
    messages = _unseen(read, seen)
    found: Holders = []
    head_sources: list[RequestBlock] = []
    sources: list[RequestBlock] = []
    section_holders("tools", read.tools, found, work, head_sources)
    section_holders("system", read.system, found, work, head_sources)
    section_holders("messages", messages, found, work, sources, seen.messages)
    request_holder(read, found)
    if len(found) + seen.held > MAX_BREAKPOINTS:
        return Reading(_unjudged(read, _opening(read, seen), _TOO_MANY))
    if seen is not NOTHING_SEEN and count_keys(found) != len(offsets):
        raise NotAsSeen  # the whole body has to be parsed again, which is stricter
    strays = stray_breakpoints(numbered, found, len(offsets), work)
    if strays is None:
        return Reading(Facts(problem=f"a duplicate key hides a {CONTROL}"))
    if len(found) + len(strays) + seen.held > MAX_BREAKPOINTS:
        return Reading(_unjudged(read, _opening(read, seen), _TOO_MANY))
    breakpoints = [read_breakpoint(path, holder, body, offsets) for path, holder in found if is_marked(holder)]
    sourced = sourced_by(head_sources) + seen.sourced + sourced_by(sources)
    known = Facts(
        model=_model(read),
        stream=read.stream is True,
        max_tokens=_max_tokens(read),
        fast=read.speed == "fast",
        user_id=_user_id(read),
        breakpoints=_ordered(breakpoints, strays, seen),
        automatic_target=_automatic_target(read, messages, seen) if is_automatic(read) else None,
        opening=_opening(read, seen),
        added=_additions(read, sourced),
        last_call=repeated_call(messages, seen.row),
        opens_turn=opens_turn(messages, seen.opens_turn),
    )
    return Reading(known, tuple(list_items(messages)), offsets)


def _unseen(read: RequestBody, seen: SeenMessages) -> object:
    """
    The messages after those that were seen.

    Raises:
        NotAsSeen: a second list hides the list that contains those.
    """
    messages = read.messages
    if seen is NOTHING_SEEN:
        return messages
    if not isinstance(messages, list) or not messages or messages[0] != _STAND_IN_TEXT:
        raise NotAsSeen
    return messages[1:]


_STAND_IN_TEXT = STAND_IN.decode().strip('"')


def _ordered(breakpoints: list[Breakpoint], strays: list[Breakpoint], seen: SeenMessages) -> tuple[Breakpoint, ...]:
    """
    All breakpoints in evaluation order, with their places in the whole body.
    """
    if seen is not NOTHING_SEEN:
        breakpoints = [_moved(one, seen) for one in breakpoints]
    if strays:
        breakpoints = sorted(breakpoints + strays, key=evaluation_order)
    if not seen.breakpoints:
        return tuple(breakpoints)
    first = next(
        (at for at, one in enumerate(breakpoints) if one.path[:1] in ((), ("messages",))),
        len(breakpoints),
    )
    return (*breakpoints[:first], *seen.breakpoints, *breakpoints[first:])


def _moved(one: Breakpoint, seen: SeenMessages) -> Breakpoint:
    if one.start is None or one.start < seen.start:
        return one
    return replace(one, start=one.start + seen.end - seen.start - len(STAND_IN))


def _automatic_target(read: RequestBody, messages: object, seen: SeenMessages) -> Path | None:
    """
    The block that automatic caching marks: the last one that can carry a breakpoint; None if that is not a block.
    """
    target = message_target(messages, seen.messages) or seen.target
    return head_target(read) if target is None else target[0]


def _additions(read: RequestBody, sourced: Sourced) -> Additions:
    return additions(
        thread=read.thread,
        container=read.container,
        fallbacks=read.fallbacks,
        compaction=read.compaction,
        context_management=read.context_management,
        tools=read.tools,
        sourced=sourced,
    )


def _source(block: RequestBlock) -> Source:
    source = block.source if isinstance(block.source, RequestBlock) else None
    file_id = block.file_id if source is None or source.file_id is UNSET else source.file_id
    return block.type, None if source is None else source.type, file_id


def sourced_by(blocks: Sequence[RequestBlock]) -> Sourced:
    """
    What blocks that have a source, or name a file, refer to.
    """
    return read_sources(map(_source, blocks)) if blocks else NO_SOURCES


_TOO_MANY = f"more than {MAX_BREAKPOINTS} breakpoints"


def _model(read: RequestHead | RequestBody) -> str | None:
    return read.model[:MAX_MODEL_CHARS] if isinstance(read.model, str) else None


def _max_tokens(read: RequestHead | RequestBody) -> int | None:
    return read.max_tokens if isinstance(read.max_tokens, int) else None


_MAX_METADATA_BYTES = 64 * 1024
"""The API accepts a `user_id` of 256 characters and no other metadata. Longer metadata identifies nobody."""


def _user_id(read: RequestHead | RequestBody) -> object:
    if read.metadata is UNSET or memoryview(read.metadata).nbytes > _MAX_METADATA_BYTES:
        return None
    metadata = decode_json(read.metadata)
    return metadata.get("user_id") if isinstance(metadata, dict) else None


def _opening(read: RequestBody, seen: SeenMessages) -> tuple[bytes, ...]:
    user = first_user_texts(list_items(read.messages)) if seen.opening is None else seen.opening
    return opening_of(read, user)


def _problem(error: Exception) -> str:
    match error:
        case RecursionError():
            return "nested too deeply to be judged"
        case UnicodeDecodeError():
            return "not valid UTF-8"
        case msgspec.ValidationError():
            return "a number is out of range" if "out of range" in str(error) else "not a JSON object"
        case _:
            return "not valid JSON"
