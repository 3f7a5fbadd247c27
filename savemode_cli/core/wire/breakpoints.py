"""
The breakpoints of a request body: their places, their kinds, and the order in which the API evaluates them.

Rule of this file: a `cache_control` that differs from the API's documentation is reported as such, and never repaired.

The work is bounded: `ReadingWork` counts the items that are read, and a body with more than `MAX_BREAKPOINTS` is not judged.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from msgspec import UNSET, Struct

from savemode_cli.core.wire.messages import CONTROL, FIVE_MINUTES, ONE_HOUR, TTL, Path
from savemode_cli.core.wire.reading_work import ReadingWork
from savemode_cli.core.wire.request_body import (
    NEEDLE,
    NUMBER,
    RENAMED,
    RequestBlock,
    RequestBody,
    decode_json,
    list_items,
)

MAX_BREAKPOINTS = 64
"""The most breakpoints in a body that is judged. The API accepts 4; so many more are not an accident."""

PLAIN_MARKER = b'{"type":"ephemeral"}'
"""What most clients send."""

_PLAIN_VALUE = b":" + PLAIN_MARKER

_FLAT_OBJECT = re.compile(rb'[ \t\r\n]*:[ \t\r\n]*(\{[^{}"]*(?:"[^"\\]*(?:\\.[^"\\]*)*"[^{}"]*)*\})', re.DOTALL)
_INNER_KEY = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"[ \t\r\n]*:', re.DOTALL)
_LONGEST_MARKER_BYTES = 4096  # a real one is about 40 bytes; the bound keeps a hostile one from being scanned at length

_OPAQUE = frozenset({"input", "input_schema", "input_examples", "text"})
"""Keys of a block or tool whose value is the user's own data: a `cache_control` inside is not a breakpoint."""

_CANNOT_CARRY = ("thinking", "redacted_thinking")  # not a set, because a `type` may be a list or an object

BreakpointKind = Literal["bare", "5m", "1h", "null", "persistent", "unknown", "ignored"]
"""
`bare` and `null` last 5 minutes. The API refuses `persistent` and `unknown`. An `ignored` one is not an object, so it is not a
breakpoint.
"""

_TTLS: dict[str | None, BreakpointKind] = {None: "null", FIVE_MINUTES: "5m", ONE_HOUR: "1h"}


class Breakpoint(Struct, frozen=True, gc=False):
    """
    One `cache_control` object, in the order in which the API evaluates them.
    """

    path: Path
    """The path to the block that contains it; `()` is the request itself, which is automatic caching."""
    kind: BreakpointKind
    nested: bool
    """Whether it is inside the content of another block."""
    text: bytes | None
    """The object as the body contains it; None if its place is unknown."""
    start: int | None
    """The offset of the object in the body, in bytes; None if its place is unknown."""
    trouble: str = ""
    """What is wrong with an `unknown` one."""
    type: object = None
    ttl: object = UNSET

    @property
    def control_path(self) -> Path:
        """
        The path of the `cache_control` object itself.
        """
        return (*self.path, CONTROL)

    @property
    def lifetime(self) -> Literal["5m", "1h"] | None:
        """
        How long the API keeps what is cached here; None if it refuses the object. An absent TTL and null mean 5 minutes.
        """
        return _lifetime(self.kind)


def _lifetime(kind: BreakpointKind) -> Literal["5m", "1h"] | None:
    match kind:
        case "1h":
            return "1h"
        case "bare" | "5m" | "null":
            return "5m"
        case _:
            return None


def may_have_breakpoints(body: bytes) -> bool:
    """
    Whether the body may have breakpoints. False only if it contains no `cache_control`: one search, no parse.
    """
    return NEEDLE in body


def lifetime_of(control: object) -> Literal["5m", "1h"] | None:
    """
    The lifetime at a `cache_control` value; None if it is absent or the API refuses it.
    """
    if not isinstance(control, dict):
        return None
    kind, _ = _kind(control)
    return _lifetime(kind)


Holders = list[tuple[Path, RequestBlock | RequestBody]]
"""What contains a `cache_control` key, and its path."""

_Link = tuple["_Link", str | int] | None
"""
A path during a walk, with the last step outermost: one small tuple per step. It becomes a path only if something is found.
"""


def section_holders(
    section: str, value: object, out: Holders, work: ReadingWork, sources: list[RequestBlock], first: int = 0
) -> None:
    """
    Everything in a section that holds a `cache_control` key where the API looks for one, in evaluation order.

    Args:
        section: its name.
        value: what the body has there.
        out: what is found is added to it.
        work: how much may be looked at.
        sources: what has a source, or names a file, is added to it.
        first: the index of the first item in the section, where others were left out.
    """
    _collect(value, (None, section), out, work, sources, first)


def request_holder(read: RequestBody, out: Holders) -> None:
    """
    Add the request itself, if it contains such a key. The API evaluates it last.
    """
    if _has_key(read):
        out.append(((), read))


def _collect(
    value: object, link: _Link, out: Holders, work: ReadingWork, sources: list[RequestBlock], first: int = 0
) -> None:
    if len(out) > MAX_BREAKPOINTS:
        return  # too many already, so the body is not judged
    if isinstance(value, list):
        work.spend(len(value))
        for index, item in enumerate(value, first):
            if not isinstance(item, RequestBlock):
                continue
            content = item.content
            # A body may have 100,000 blocks and hold four markers: most are done with here.
            if (
                (content is None or isinstance(content, str))
                and item.source is None
                and item.number is UNSET
                and item.escaped is UNSET
                and item.file_id is UNSET
            ):
                continue
            _collect_block(item, (link, index), out, work, sources)
    elif isinstance(value, RequestBlock):
        _collect_block(value, link, out, work, sources)


def _collect_block(
    block: RequestBlock, link: _Link, out: Holders, work: ReadingWork, sources: list[RequestBlock]
) -> None:
    content, source = block.content, block.source
    if isinstance(content, list | RequestBlock):
        _collect(content, (link, "content"), out, work, sources)
    if isinstance(source, RequestBlock):
        _collect(source, (link, "source"), out, work, sources)
    if isinstance(source, RequestBlock) or block.file_id is not UNSET:
        sources.append(block)
    if _has_key(block) and len(out) <= MAX_BREAKPOINTS:
        out.append((_path(link), block))


def _path(link: _Link) -> Path:
    steps: list[str | int] = []
    while link is not None:
        link, step = link
        steps.append(step)
    return tuple(reversed(steps))


def count_keys(found: Holders) -> int:
    """
    How many of the numbered keys these contain.
    """
    return sum(holder.number is not UNSET for _, holder in found)


def _has_key(holder: RequestBlock | RequestBody) -> bool:
    return holder.number is not UNSET or holder.escaped is not UNSET


def is_marked(holder: RequestBlock | RequestBody) -> bool:
    """
    False for `"cache_control": null`, which the API treats as absent.
    """
    return holder.control not in (UNSET, None) or holder.escaped not in (UNSET, None)


def is_automatic(read: RequestBody) -> bool:
    """
    Whether the request asks for automatic caching. A value that is not an object does not; a key that is written with escapes
    may.
    """
    return read.escaped not in (UNSET, None) or isinstance(read.control, dict)


def read_breakpoint(path: Path, holder: RequestBlock | RequestBody, body: bytes, offsets: Sequence[int]) -> Breakpoint:
    """
    Judge one `cache_control`.

    Args:
        path: where its holder is.
        holder: what holds it.
        body: the request body.
        offsets: for each number of a key, the offset of the byte after the key.
    """
    # A message's content belongs to it, tools and system blocks have none: only what lies deeper is nested.
    nested = len(path) > (len(("messages", 0, "content", 0)) if path[:1] == ("messages",) else len(("system", 0)))
    if holder.escaped is not UNSET:
        return Breakpoint(path, "unknown", nested, None, None, f"the key {CONTROL} is spelled with escapes")
    control = holder.control
    if not isinstance(control, dict):
        return Breakpoint(path, "ignored", nested, None, None, f"{CONTROL} is not an object")
    assert isinstance(holder.number, int)  # noqa: S101 - a renamed key always comes with its number
    offset = offsets[holder.number]
    if body.startswith(_PLAIN_VALUE, offset) and not (
        isinstance(holder, RequestBlock) and holder.type in _CANNOT_CARRY
    ):
        return Breakpoint(path, "bare", nested, PLAIN_MARKER, offset + 1, "", "ephemeral")
    match = _FLAT_OBJECT.match(body, offset, offset + _LONGEST_MARKER_BYTES)
    if match is None:
        return Breakpoint(path, "unknown", nested, None, None, f"{CONTROL} is not the flat object the API documents")
    kind, trouble = _kind(control)
    if len(_INNER_KEY.findall(match[1])) != len(control):
        kind, trouble = "unknown", f"a key stands twice in {CONTROL}"
    elif isinstance(holder, RequestBlock) and holder.type in _CANNOT_CARRY:
        kind, trouble = "unknown", f"a {holder.type} block cannot carry a breakpoint"
    return Breakpoint(
        path, kind, nested, match[1], match.start(1), trouble, control.get("type"), control.get(TTL, UNSET)
    )


def _kind(control: dict[str, object]) -> tuple[BreakpointKind, str]:
    name = control.get("type")
    if name == "persistent":
        return "persistent", ""
    if name != "ephemeral":
        return "unknown", f"the API knows no {CONTROL} of this type"
    if TTL not in control:
        return "bare", ""
    ttl = control[TTL]
    if isinstance(ttl, str | None) and ttl in _TTLS:
        return _TTLS[ttl], ""
    return "unknown", "the API knows no such ttl"


def stray_breakpoints(
    numbered: bytes, found: Sequence[tuple[Path, RequestBlock | RequestBody]], count: int, work: ReadingWork
) -> list[Breakpoint] | None:
    """
    The breakpoints in unknown places, among the keys that no known place contains. The other such keys are the user's own data.

    Returns:
        The breakpoints. None if a key was not found, because a duplicate hides it, or if two places claim the same key.
        This takes a second, full parse, but only for bodies with such keys.
    """
    seen = [holder.number for _, holder in found if holder.number is not UNSET]
    missing = set(range(count)).difference(seen)
    if not missing:
        return [] if len(seen) == count else None
    work.parse_again(len(numbered))
    strays = []
    for path, holder, opaque in _numbered(decode_json(numbered)):
        if holder[NUMBER] not in missing:
            continue
        missing.discard(holder[NUMBER])
        if not opaque and holder[RENAMED] is not None:
            strays.append(Breakpoint(path, "unknown", True, None, None, f"no known place for a {CONTROL}"))  # noqa: FBT003
    return None if missing else strays


def _numbered(read: object) -> Iterator[tuple[Path, dict[str, Any], bool]]:
    """
    What contains a numbered key, its path, and whether it is inside the user's own data.
    """
    stack: list[tuple[_Link, object, bool]] = [(None, read, False)]
    while stack:
        link, value, opaque = stack.pop()
        if isinstance(value, dict):
            if NUMBER in value:
                yield _path(link), value, opaque
            for key, inner in value.items():
                if isinstance(inner, dict | list):
                    hidden = key in _OPAQUE or key == RENAMED or (link is None and key not in _SECTIONS)
                    stack.append(((link, key), inner, opaque or hidden))
        elif isinstance(value, list):
            stack.extend(
                ((link, index), inner, opaque) for index, inner in enumerate(value) if isinstance(inner, dict | list)
            )


_SECTIONS = {"tools": 0, "system": 1, "messages": 2}
_INSIDE = {"content": 0, "source": 1}


def evaluation_order(one: Breakpoint) -> tuple[float, ...]:
    """
    Sorts by tools, system, messages, the request; within each by position, and nested blocks before the block that contains
    them.

    The content of a block comes before its source, as in `_collect`, and both before unknown places.
    """
    if not one.path:
        return (len(_SECTIONS),)
    steps = (step if isinstance(step, int) else _INSIDE.get(step, len(_INSIDE)) for step in one.path[1:])
    return (_SECTIONS[str(one.path[0])], *steps, float("inf"))


def message_target(messages: object, first: int = 0) -> tuple[Path | None] | None:
    """
    The block that automatic caching marks, if one of these messages decides that: the last one that can carry a breakpoint.

    Args:
        messages: the last messages of a body.
        first: the index of the first of them.

    Returns:
        Its path, or None for what is not a block, in a tuple. None if none of the messages decides it.
    """
    for index, message in _from_the_end(messages):
        content = message.content if isinstance(message, RequestBlock) else None
        if isinstance(content, str) and content:
            return (None,)
        for place, block in _from_the_end(content):
            if _can_carry(block):
                return (("messages", first + index, "content", place),)
    return None


def head_target(read: RequestBody) -> Path | None:
    """
    The same if no message decides it; None if there is no such block.
    """
    for section, blocks in (("system", read.system), ("tools", read.tools)):
        for index, block in _from_the_end(blocks):
            if _can_carry(block):
                return (section, index)
    return None


def _from_the_end(value: object) -> Iterator[tuple[int, Any]]:
    items = list_items(value)
    return ((index, items[index]) for index in reversed(range(len(items))))


def _can_carry(block: object) -> bool:
    if not isinstance(block, RequestBlock) or block.type in _CANNOT_CARRY:
        return False
    # Decoded, not compared as bytes: what is not text is not a body that the API takes.
    return not (block.type == "text" and block.text is not UNSET and decode_json(block.text) == "")
