"""
What the Messages API looks like on the wire.

Rule of this file: every field name of the API is spelled here and nowhere else.
Source: https://platform.claude.com/docs/en/build-with-claude/prompt-caching and .../api/messages (checked 2026-11-23).

How a breakpoint's place in the bytes is found. In valid JSON the bytes `"cache_control"`, not preceded by a backslash
and followed by a colon, are always a key: inside a string every quote is escaped. So *that* a key stands at an offset
is known locally, and only *whose* key it is needs a parser. Each such key is therefore numbered: a copy of the body is
made in which it reads `"I~...":7,"C~...":`, and one typed decode of that copy, which skips everything it was not asked
for, hands back each block with the number of its key. Nothing is guessed from order or count; a key the decode does not
hand back is user data, or hidden by a duplicate key, and then the body is left alone.

Longer than most, for a field of a request is spelled in one file only.

Longer than most, for the shape of a request is known here and nowhere else.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Union

import msgspec
from msgspec import UNSET, DecodeError, Raw, Struct, UnsetType, field

Path = tuple[str | int, ...]

MESSAGES_PATH = "/v1/messages"
COUNT_TOKENS_PATH = "/v1/messages/count_tokens"
BATCHES_PATH = "/v1/messages/batches"

MAX_BODY_BYTES = 32 * 1024 * 1024
"""The API's own limit for messages and count_tokens; a larger body is answered 413 by the API."""

MAX_MODEL_CHARS = 256
"""Longer than the longest ARN; the rest of a model's name is not read, for names are remembered."""

EXTENDED_TTL_BETA = "extended-cache-ttl-2025-04-11"
"""Not needed since the 1-hour TTL is generally available, but the vendor's own client sends it with its 1-hour bodies."""

CONTROL = "cache_control"
TTL = "ttl"
ONE_HOUR = "1h"
FIVE_MINUTES = "5m"

_NEEDLE = b'"cache_control"'  # with its closing quote, which is escaped in a decoy inside a string: those do not match
_COLON = re.compile(rb"[ \t\r\n]*:")
_FLAT_OBJECT = re.compile(rb'[ \t\r\n]*:[ \t\r\n]*(\{[^{}"]*(?:"[^"\\]*(?:\\.[^"\\]*)*"[^{}"]*)*\})', re.DOTALL)
_INNER_KEY = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"[ \t\r\n]*:', re.DOTALL)
_LONGEST_MARKER_BYTES = 4096  # a real one is about 40 bytes; the bound keeps a hostile one from being scanned at length

# The two names only have to be ones that the author of a body cannot spell in it. Plainly spelled they would be found
# with the needle; spelled with escapes they would have to be guessed. They are seen nowhere outside this file.
_NONCE = f"{abs(hash('savemode')) ^ id(object()):x}"
_NUMBER = f"I~{_NONCE}"
_RENAMED = f"C~{_NONCE}"
_TAG = b'"' + _NUMBER.encode() + b'":%d,"' + _RENAMED.encode() + b'"'

_OPAQUE = frozenset({"input", "input_schema", "input_examples", "text"})
"""Keys of a block or tool whose value is the user's own data: a `cache_control` inside is no breakpoint."""

_CANNOT_CARRY = ("thinking", "redacted_thinking")  # no set: the `type` looked up here may be a list or an object


Kind = Literal["bare", "5m", "1h", "null", "persistent", "unknown", "ignored"]
"""
`bare` and `null` live 5 minutes. The API refuses `persistent` and `unknown`. `ignored` is no object, so no breakpoint.
"""

_TTLS: dict[str | None, Kind] = {None: "null", FIVE_MINUTES: "5m", ONE_HOUR: "1h"}


class _Block(Struct, gc=False):
    """
    A tool, a system block, a message or a content block: the parts of it that breakpoints are made of.
    """

    number: int | UnsetType = field(default=UNSET, name=_NUMBER)
    control: Any = field(default=UNSET, name=_RENAMED)
    escaped: Any = field(default=UNSET, name=CONTROL)  # every plainly spelled key was renamed
    type: Any = None
    text: Raw | UnsetType = UNSET
    content: Union["_Block", list["_Item"], str, int, float, bool, None] = None
    source: Union["_Block", list[Any], str, int, float, bool, None] = None


class _Message(_Block, gc=False):
    role: Any = None


class _Tool(_Block, gc=False):
    name: Raw | UnsetType = UNSET


_Item = _Block | list[Any] | str | int | float | bool | None
_Items = _Block | list[_Item] | str | int | float | bool | None
_Tools = _Tool | list[_Tool | list[Any] | str | int | float | bool | None] | str | int | float | bool | None
_Messages = _Message | list[_Message | list[Any] | str | int | float | bool | None] | str | int | float | bool | None


class _Body(Struct, gc=False):
    number: int | UnsetType = field(default=UNSET, name=_NUMBER)
    control: Any = field(default=UNSET, name=_RENAMED)
    escaped: Any = field(default=UNSET, name=CONTROL)
    model: Any = None
    stream: Any = None
    max_tokens: Any = None
    speed: Any = None
    metadata: Any = None
    tools: _Tools = None
    system: _Items = None
    messages: _Messages = None


_decode_body = msgspec.json.Decoder(_Body).decode
_decode_any = msgspec.json.Decoder().decode


@dataclass(frozen=True, slots=True)
class Breakpoint:
    """
    One `cache_control` object, in the order in which the API evaluates them.

    `path` leads to the block that holds it (`()` is the request itself: automatic caching). `text` is the object as it
    stands in the body and `start` its offset in bytes; both are None where its place is not known. `trouble` says what is
    wrong with an `unknown` one. `nested` is true inside another block's content.
    """

    path: Path
    kind: Kind
    nested: bool
    text: bytes | None
    start: int | None
    trouble: str = ""
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
        How long the API keeps what is cached here; None where it refuses the object. Absent and null mean 5 minutes.
        """
        return _lifetime(self.kind)


def _lifetime(kind: Kind) -> Literal["5m", "1h"] | None:
    match kind:
        case "1h":
            return "1h"
        case "bare" | "5m" | "null":
            return "5m"
        case _:
            return None


@dataclass(frozen=True, slots=True)
class Facts:
    """
    What judgement needs to know of a request body; nothing else looks inside it.

    `problem` is empty, or says why the body must go out as it came. `automatic_target` is the path of the block that
    automatic caching marks, None without it. `opening` are the texts that identify a conversation which carries no id.
    """

    problem: str = ""
    model: str | None = None
    stream: bool = False
    max_tokens: int | None = None
    fast: bool = False
    user_id: object = None
    breakpoints: tuple[Breakpoint, ...] = ()
    automatic_target: Path | None = None
    opening: tuple[bytes, ...] = ()


def facts(body: bytes) -> Facts:
    """
    Read a request body. Never raises: what cannot be read has a `problem`.

    Linear in the length of the body, whatever it holds.
    """
    numbered, offsets = _number_keys(body)
    try:
        read = _decode_body(numbered)
        found = _holders(read)
        strays = _strays(numbered, found, len(offsets))
        automatic_target = _automatic_target(body) if _is_automatic(read) else None
    except (DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Facts(problem=_problem(error))
    if strays is None:
        return Facts(problem=f"a duplicate key hides a {CONTROL}")
    breakpoints = [_breakpoint(path, holder, body, offsets) for path, holder in found if _is_marked(holder)]
    if strays:
        breakpoints = sorted(breakpoints + strays, key=_evaluation_order)
    return Facts(
        model=read.model[:MAX_MODEL_CHARS] if isinstance(read.model, str) else None,
        stream=read.stream is True,
        max_tokens=read.max_tokens if isinstance(read.max_tokens, int) else None,
        fast=read.speed == "fast",
        user_id=read.metadata.get("user_id") if isinstance(read.metadata, dict) else None,
        breakpoints=tuple(breakpoints),
        automatic_target=automatic_target,
        opening=_opening(read),
    )


def may_have_breakpoints(body: bytes) -> bool:
    """
    False only if no `cache_control` is spelled in the body: one search, no parse.
    """
    return _NEEDLE in body


def order_errors(lifetimes: Sequence[tuple[Path, str | None]]) -> list[str]:
    """
    The API's own sentence for each 1-hour breakpoint that follows a 5-minute one; empty for a legal order.
    """
    errors = []
    shorter = False
    for path, lifetime in lifetimes:
        if lifetime == FIVE_MINUTES:
            shorter = True
        elif lifetime == ONE_HOUR and shorter:
            place = dotted((*path, CONTROL, TTL))
            errors.append(
                f"{place}: a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block. Note that "
                "blocks are processed in the following order: `tools`, `system`, `messages`."
            )
    return errors


def lifetime_of(control: object) -> Literal["5m", "1h"] | None:
    """
    How long what is cached at a `cache_control` value lives; None where it is absent or the API refuses it.
    """
    if not isinstance(control, dict):
        return None
    kind, _ = _kind(control)
    return _lifetime(kind)


def dotted(path: Path) -> str:
    """
    A path as people and the API write it: `messages.0.content.1`; the request itself is `(request)`.
    """
    return ".".join(str(step) for step in path) or "(request)"


def with_beta(value: str | None) -> str:
    """
    An `anthropic-beta` value that also names the extended cache TTL; unchanged if it already does.
    """
    if not value or not value.strip():
        return EXTENDED_TTL_BETA
    if EXTENDED_TTL_BETA in (one.strip() for one in value.split(",")):
        return value
    return f"{value},{EXTENDED_TTL_BETA}"


def error_body(api_type: str, message: str, request_id: str) -> bytes:
    """
    The API's error envelope, in which our own answers are given too.
    """
    return msgspec.json.encode(
        {"type": "error", "error": {"type": api_type, "message": message}, "request_id": request_id}
    )


def blames_cache_control(answer: bytes) -> bool:
    """
    Whether an error body of the upstream complains about a TTL or about `cache_control` at all.
    """
    try:
        read = _decode_any(answer)
        text = read["error"]["message"]
    except (DecodeError, UnicodeDecodeError, RecursionError, TypeError, KeyError):
        text = answer.decode("utf-8", "replace")
    return isinstance(text, str) and (CONTROL in text or re.search(r"\bttl\b", text) is not None)


def _number_keys(body: bytes) -> tuple[bytes, list[int]]:
    """
    The copy with numbered keys, and for each number the offset just behind the key.
    """
    offsets: list[int] = []
    view = memoryview(body)
    out: list[bytes | memoryview] = []
    position = 0
    start = body.find(_NEEDLE)
    while start >= 0:
        end = start + len(_NEEDLE)
        if body[start - 1 : start] != b"\\" and _COLON.match(body, end):
            out += (view[position:start], _TAG % len(offsets))
            offsets.append(end)
            position = end
        start = body.find(_NEEDLE, end)
    if not offsets:
        return body, offsets
    out.append(view[position:])
    return b"".join(out), offsets


_Link = tuple["_Link", str | int] | None
"""A path while walking, last step outermost: one small tuple a step, made into a path only where something is found."""


def _holders(read: _Body) -> list[tuple[Path, _Block | _Body]]:
    """
    Everything that holds a `cache_control` key where the API looks for one, in evaluation order.
    """
    out: list[tuple[Path, _Block | _Body]] = []
    for section, value in (("tools", read.tools), ("system", read.system), ("messages", read.messages)):
        _collect(value, (None, section), out)
    if _has_key(read):
        out.append(((), read))
    return out


def _collect(value: object, link: _Link, out: list[tuple[Path, _Block | _Body]]) -> None:
    if isinstance(value, list):
        for index, item in enumerate(value):
            if not isinstance(item, _Block):
                continue
            # A body may have 100,000 blocks and hold four markers: most are done with here.
            if item.content is None and item.source is None and item.number is UNSET and item.escaped is UNSET:
                continue
            _collect(item, (link, index), out)
    elif isinstance(value, _Block):
        _collect(value.content, (link, "content"), out)
        if isinstance(value.source, _Block):
            _collect(value.source, (link, "source"), out)
        if _has_key(value):
            out.append((_path(link), value))


def _path(link: _Link) -> Path:
    steps: list[str | int] = []
    while link is not None:
        link, step = link
        steps.append(step)
    return tuple(reversed(steps))


def _has_key(holder: _Block | _Body) -> bool:
    return holder.number is not UNSET or holder.escaped is not UNSET


def _is_marked(holder: _Block | _Body) -> bool:
    """
    False for `"cache_control": null`, which the API treats as absent.
    """
    return holder.control not in (UNSET, None) or holder.escaped not in (UNSET, None)


def _is_automatic(read: _Body) -> bool:
    """
    Whether the request asks for automatic caching. A value that is no object does not; one spelled with escapes may.
    """
    return read.escaped not in (UNSET, None) or isinstance(read.control, dict)


def _breakpoint(path: Path, holder: _Block | _Body, body: bytes, offsets: Sequence[int]) -> Breakpoint:
    # A message's content belongs to it, tools and system blocks have none: only what lies deeper is nested.
    nested = len(path) > (len(("messages", 0, "content", 0)) if path[:1] == ("messages",) else len(("system", 0)))
    if holder.escaped is not UNSET:
        return Breakpoint(path, "unknown", nested, None, None, f"the key {CONTROL} is spelled with escapes")
    control = holder.control
    if not isinstance(control, dict):
        return Breakpoint(path, "ignored", nested, None, None, f"{CONTROL} is not an object")
    assert isinstance(holder.number, int)  # noqa: S101 - a renamed key always comes with its number
    offset = offsets[holder.number]
    match = _FLAT_OBJECT.match(body, offset, offset + _LONGEST_MARKER_BYTES)
    if match is None:
        return Breakpoint(path, "unknown", nested, None, None, f"{CONTROL} is not the flat object the API documents")
    kind, trouble = _kind(control)
    if len(_INNER_KEY.findall(match[1])) != len(control):
        kind, trouble = "unknown", f"a key stands twice in {CONTROL}"
    elif isinstance(holder, _Block) and holder.type in _CANNOT_CARRY:
        kind, trouble = "unknown", f"a {holder.type} block cannot carry a breakpoint"
    return Breakpoint(
        path, kind, nested, match[1], match.start(1), trouble, control.get("type"), control.get(TTL, UNSET)
    )


def _kind(control: dict[str, object]) -> tuple[Kind, str]:
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


def _strays(numbered: bytes, found: Sequence[tuple[Path, _Block | _Body]], count: int) -> list[Breakpoint] | None:
    """
    The breakpoints in places this file does not know, among the keys that no known place holds.

    The rest of those keys are the user's own data. None: a key is nowhere to be found, so a duplicate hides it, or two
    places claim the same key. Costs a second, full parse, which only bodies with such keys pay.
    """
    seen = [holder.number for _, holder in found if holder.number is not UNSET]
    missing = set(range(count)).difference(seen)
    if not missing:
        return [] if len(seen) == count else None
    strays = []
    for path, holder, opaque in _numbered(_decode_any(numbered)):
        if holder[_NUMBER] not in missing:
            continue
        missing.discard(holder[_NUMBER])
        if not opaque and holder[_RENAMED] is not None:
            strays.append(Breakpoint(path, "unknown", True, None, None, f"no known place for a {CONTROL}"))  # noqa: FBT003
    return None if missing else strays


def _numbered(read: object) -> Iterator[tuple[Path, dict[str, Any], bool]]:
    """
    What holds a numbered key, where that is, and whether it is inside the user's own data.
    """
    stack: list[tuple[Path, object, bool]] = [((), read, False)]
    while stack:
        path, value, opaque = stack.pop()
        if isinstance(value, dict):
            if _NUMBER in value:
                yield path, value, opaque
            for key, inner in value.items():
                if isinstance(inner, dict | list):
                    hidden = key in _OPAQUE or key == _RENAMED or (not path and key not in _SECTIONS)
                    stack.append(((*path, key), inner, opaque or hidden))
        elif isinstance(value, list):
            stack.extend(((*path, index), inner, opaque) for index, inner in enumerate(value))


_SECTIONS = {"tools": 0, "system": 1, "messages": 2}
_INSIDE = {"content": 0, "source": 1}


def _evaluation_order(one: Breakpoint) -> tuple[float, ...]:
    """
    Sorts tools, system, messages, the request; within each by position, what is nested before what holds it.

    A block's content comes before its source, as `_collect` has it, and both before places without a name here.
    """
    if not one.path:
        return (len(_SECTIONS),)
    steps = (step if isinstance(step, int) else _INSIDE.get(step, len(_INSIDE)) for step in one.path[1:])
    return (_SECTIONS[str(one.path[0])], *steps, float("inf"))


def _automatic_target(body: bytes) -> Path | None:
    """
    The block that automatic caching marks: the last one that can carry a breakpoint; None if that is no block.
    """
    read = _decode_any(body)
    for index, message in reversed(list(enumerate(_items(read.get("messages"))))):
        content = message.get("content") if isinstance(message, dict) else None
        if isinstance(content, str) and content:
            return None
        for place, block in reversed(list(enumerate(_items(content)))):
            if _can_carry(block):
                return ("messages", index, "content", place)
    for section in ("system", "tools"):
        for index, block in reversed(list(enumerate(_items(read.get(section))))):
            if _can_carry(block):
                return (section, index)
    return None


def _items(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _can_carry(block: object) -> bool:
    if not isinstance(block, dict) or block.get("type") in _CANNOT_CARRY:
        return False
    return not (block.get("type") == "text" and block.get("text") == "")


def _opening(read: _Body) -> tuple[bytes, ...]:
    """
    The system text, the tools' names and the first user message: what stays the same while a conversation grows.
    """
    first = next((one for one in _items(read.messages) if isinstance(one, _Message) and one.role == "user"), None)
    tools = (bytes(one.name) for one in _items(read.tools) if isinstance(one, _Tool) and one.name is not UNSET)
    return (*_texts(read.system), b"tools", *tools, b"user", *_texts(first.content if first is not None else None))


_TEXTS_THAT_IDENTIFY = 16
"""How many blocks of the system prompt, and of the first message, tell one conversation from another."""


def _texts(value: object) -> Iterator[bytes]:
    if isinstance(value, str):
        yield value.encode("utf-8", "surrogatepass")
    for one in _items(value)[:_TEXTS_THAT_IDENTIFY]:
        if isinstance(one, _Block) and one.text is not UNSET:
            yield bytes(one.text)


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
