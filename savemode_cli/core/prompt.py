"""
A request body as the prompt cache sees it: blocks in evaluation order, and a digest of every prefix.

Rule of this file: two prefixes have the same digest exactly if the API would take one for the other. What the cache does
not look at is left out (markers, whitespace, how a character is escaped, the order of a block's own keys); what it does
look at stays as it was sent (the order of keys inside a tool's input or schema, how a number is spelled).
Source: https://platform.claude.com/docs/en/build-with-claude/prompt-caching (checked 2026-11-23). What that page does
not say is marked "assumed" where it is decided.

Longer than most, for each assumption about the cache stands beside what it decides.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha1
from itertools import accumulate
from typing import Any, Literal

import msgspec
from msgspec import DecodeError, Raw, Struct

from savemode_cli.core.errors import BadInput
from savemode_cli.core.messages import CONTROL, lifetime_of
from savemode_cli.core.model_ids import other_spellings
from savemode_cli.core.tokens import DEFAULT_ESTIMATE, KINDS, Kind, Sizes, TokenEstimate

Lifetime = Literal["5m", "1h"]


@dataclass(frozen=True, slots=True)
class Mark:
    """
    A breakpoint: the prefix up to and including this block is to be cached for so long.
    """

    block: int
    lifetime: Lifetime


@dataclass(frozen=True, slots=True)
class Prompt:
    """
    The blocks of a request in evaluation order, as parallel tuples; token counts are estimates.

    `chain[i]` is the digest of everything up to and including block i, the model and the parameters that matter there
    included. `prefix_tokens[i]` is the size of the same. `positions[i]` is its number for the look-back: neighbouring
    calls share one. `marks` are the breakpoints in order, automatic caching's included; those that the API refuses or
    ignores are not among them.
    """

    model: str
    chain: tuple[bytes, ...]
    kinds: tuple[Kind, ...]
    sizes: tuple[int, ...]
    positions: tuple[int, ...]
    marks: tuple[Mark, ...]
    prefix_tokens: tuple[int, ...]
    total_tokens: int

    def tokens_before(self, block: int) -> int:
        """
        Tokens of the first `block` blocks.
        """
        return self.prefix_tokens[block - 1] if block else 0

    def stretch(self, first: int, end: int) -> Sizes:
        """
        What calibration needs to know of the blocks from `first` up to and excluding `end`.
        """
        sizes: dict[Kind, int] = dict.fromkeys(KINDS, 0)
        blocks: dict[Kind, int] = dict.fromkeys(KINDS, 0)
        for kind, size in zip(self.kinds[first:end], self.sizes[first:end], strict=True):
            sizes[kind] += size
            blocks[kind] += 1
        return Sizes(sizes, blocks)

    def estimated(self, estimate: TokenEstimate) -> "Prompt":
        """
        The same prompt, its tokens estimated otherwise.
        """
        prefix_tokens, total_tokens = _token_counts(self.kinds, self.sizes, estimate)
        return replace(self, prefix_tokens=prefix_tokens, total_tokens=total_tokens)


class _Message(Struct, gc=False):
    role: str
    content: str | list[Raw]


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


_decode_body = msgspec.json.Decoder(_Body).decode
_decode_members = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_items = msgspec.json.Decoder(list[Raw]).decode
_decode_text = msgspec.json.Decoder(str).decode
_decode_any = msgspec.json.Decoder().decode


@dataclass(slots=True)
class _Block:
    """
    One block before it is chained. `content` is what the cache hashes of it.
    """

    content: bytes
    kind: Kind
    size: int
    type: str
    lifetime: Lifetime | None = None
    depth: int = 0
    carries: bool = True
    """Whether automatic caching may mark it."""


def prompt_of(body: bytes, estimate: TokenEstimate = DEFAULT_ESTIMATE) -> Prompt:
    """
    Read a request body. Linear in its length.

    Raises:
        BadInput: it is no body of a messages call: not JSON, or without a model and messages.
    """
    try:
        read = _decode_body(_normal(body))
        return _prompt(read, estimate)
    except RecursionError as error:
        raise BadInput("the body is nested too deeply to be read") from error
    except (DecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"no body of a messages call: {error}") from error


def _prompt(read: _Body, estimate: TokenEstimate) -> Prompt:
    tools = [_tool(raw) for raw in read.tools or ()]
    system = list(_blocks(read.system or [], "system"))
    messages = list(_conversation(read))
    levels = (
        ((read.model,), tools),
        (_system_parameters(read, tools, messages), system),
        (_message_parameters(read, system, messages), messages),
    )
    blocks = [*tools, *system, *messages]
    kinds = tuple(block.kind for block in blocks)
    sizes = tuple(block.size for block in blocks)
    prefix_tokens, total_tokens = _token_counts(kinds, sizes, estimate)
    return Prompt(
        model=read.model,
        chain=tuple(_chain(levels)),
        kinds=kinds,
        sizes=sizes,
        positions=tuple(_positions(blocks)),
        marks=_marks(blocks, read.control),
        prefix_tokens=prefix_tokens,
        total_tokens=total_tokens,
    )


def _token_counts(kinds: Sequence[Kind], sizes: Sequence[int], estimate: TokenEstimate) -> tuple[tuple[int, ...], int]:
    prefix_tokens = tuple(accumulate(map(estimate.tokens, kinds, sizes)))
    return prefix_tokens, (prefix_tokens[-1] if prefix_tokens else 0) + estimate.tail_tokens


def _chain(levels: Sequence[tuple[Sequence[object], Sequence[_Block]]]) -> Iterator[bytes]:
    """
    A digest for each block: of what came before, what its level depends on, and its own content.
    """
    digest = b""
    for parameters, blocks in levels:
        digest = sha1(digest + repr(parameters).encode(), usedforsecurity=False).digest()
        for block in blocks:
            if block.content:
                digest = sha1(digest + block.content, usedforsecurity=False).digest()
            yield digest


def _system_parameters(read: _Body, tools: Sequence[_Block], messages: Sequence[_Block]) -> tuple[object, ...]:
    """
    What the system prompt and all behind it depend on besides themselves: speed, web search and citations on or off.
    """
    searches = any(tool.type.startswith("web_search") for tool in tools)
    cites = any(_CITES.search(block.content) for block in messages if block.kind in ("document", "text"))
    return read.speed or "standard", searches, cites


def _message_parameters(read: _Body, system: Sequence[_Block], messages: Sequence[_Block]) -> tuple[object, ...]:
    """
    What the messages depend on besides themselves: tool choice, images present or absent, thinking, effort and format.

    An absent tool choice is `auto`, which is its documented default; with `disable_parallel_tool_use` it is another one.
    """
    choice = _members(read.tool_choice or {})
    config = read.output_config or {}
    return (
        b"" if choice == _AUTO else choice,
        any(block.kind == "image" for block in (*system, *messages)),
        _members(read.thinking or {}),
        _members({key: config[key] for key in ("effort", "format") if key in config}),
    )


_AUTO = b'type\0"auto"\0'
_CITES = re.compile(rb'\0citations\0\{"enabled":true\}\0')


def _tool(raw: Raw) -> _Block:
    """
    A tool's definition. Web search's is part of the system level: switching it keeps what is cached of the tools.
    """
    members = _decode_members(raw)
    lifetime = _lifetime(members)
    name = _string(members.get("type"))
    content = b"" if name.startswith("web_search") else b"tool\0" + _members(members)
    return _Block(content, "tool", sum(memoryview(raw).nbytes for raw in members.values()), name, lifetime)


def _lifetime(members: dict[str, Raw]) -> Lifetime | None:
    """
    Take a block's marker out of its members: it is no content.
    """
    control = members.pop(CONTROL, None)
    return None if control is None else lifetime_of(_decode_any(control))


def _conversation(read: _Body) -> Iterator[_Block]:
    """
    The blocks of the messages. Neighbouring messages of one role are one turn to the API, so no block starts a message.

    Older models are not shown the thinking that came before the last message of a person: there it does not count.
    """
    forgotten = _last_spoken(read.messages) if _forgets_thinking(read.model) else 0
    for index, message in enumerate(read.messages):
        for block in _blocks(message.content, message.role):
            if index < forgotten and block.kind == "thinking":
                continue
            yield block


def _last_spoken(messages: Sequence[_Message]) -> int:
    """
    The index of the last user message that is no answer to a tool call; 0 if there is none.
    """
    for index in reversed(range(len(messages))):
        message = messages[index]
        if message.role != "user":
            continue
        if isinstance(message.content, str) or not any(_is_tool_result(raw) for raw in message.content):
            return index
    return 0


def _is_tool_result(raw: Raw) -> bool:
    return _string(_decode_members(raw).get("type")) == "tool_result"


_FORGETS_THINKING = re.compile(r"claude-(?:3.*|opus-4(?:-[01])?|sonnet-4(?:-[05])?|haiku-4.*)")


def _forgets_thinking(model: str) -> bool:
    """
    Whether a model strips earlier thinking: those before Opus 4.5 and Sonnet 4.6, and Haiku up to 4.5.
    """
    return any(_FORGETS_THINKING.fullmatch(name) for name, _ in other_spellings(model))


def _blocks(content: str | Sequence[Raw], role: str) -> Iterator[_Block]:
    """
    Blocks of one list, each after what is nested in it. A string is short for one block of text.
    """
    if isinstance(content, str):
        if content:
            text = msgspec.json.encode(content)
            members = {"text": Raw(text), "type": Raw(b'"text"')}
            yield _Block(_content(role, 0, members), "text", _utf8_length(content), "text")
        return
    for raw in content:
        yield from _block(raw, role, 0, "text")


def _block(raw: Raw | bytes, role: str, depth: int, text_kind: Kind) -> Iterator[_Block]:
    members = _decode_members(raw)
    lifetime = _lifetime(members)
    name = _string(members.get("type"))
    inner_kind: Kind = "text" if name == "document" else "data"
    for nested in _nested(members):
        yield from _block(nested, role, depth + 1, inner_kind)
    kind, size = _measured(name, members, text_kind)
    carries = kind != "thinking" and not (name == "text" and size == 0)
    yield _Block(
        _content(role, depth, members), kind, size, name, lifetime if carries else None, depth, carries and depth == 0
    )


def _content(role: str, depth: int, members: dict[str, Raw]) -> bytes:
    return b"%b\0%d\0%b" % (role.encode(), depth, _members(members))


def _nested(members: dict[str, Raw]) -> list[Raw]:
    """
    Take the blocks inside a block out of its members: the content of a tool's result, or of a document's source.
    """
    content = members.get("content")
    if content is not None and _begins(content, b"[{"):
        del members["content"]
        return _decode_items(content)
    source = members.get("source")
    if source is not None and b'"content":[{' in bytes(source):
        inner = _decode_members(source)
        items = inner.pop("content", None)
        if items is not None and _begins(items, b"[{"):
            members["source"] = Raw(_members(inner))
            return _decode_items(items)
    return []


def _begins(raw: Raw, opening: bytes) -> bool:
    """
    Whether a value is of the kind that opens like this; without a copy, as it may be a megabyte.
    """
    return memoryview(raw)[: len(opening)] == opening


def _measured(name: str, members: dict[str, Raw], text_kind: Kind) -> tuple[Kind, int]:
    """
    What a block is made of, and how many bytes of it.
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
"""Assumed not to reach the model as text of their own; they are a block's fixed cost."""

_SIGNATURE_SHARE = 0.5
"""Assumed: a signature is the thinking it stands for, encrypted and in base64, with what that adds."""


def _thinking_length(members: dict[str, Raw]) -> int:
    """
    Bytes of thinking; where the text is withheld, what its signature or ciphertext suggests.
    """
    length = _text_length(members.get("thinking"))
    return length or int(
        _SIGNATURE_SHARE * (_text_length(members.get("signature")) + _text_length(members.get("data")))
    )


def _document(members: dict[str, Raw]) -> tuple[Kind, int]:
    source = members.get("source")
    inner = _decode_members(source) if source is not None and _begins(source, b"{") else {}
    size = _text_length(inner.get("data"))
    return ("text" if _string(inner.get("type")) == "text" else "document"), size


def _text_length(raw: Raw | None) -> int:
    """
    Bytes of a JSON string in UTF-8; 0 for what is no string.
    """
    if raw is None or not _begins(raw, b'"'):
        return 0
    return _utf8_length(_decode_text(raw))


def _utf8_length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _string(raw: Raw | None) -> str:
    return _decode_text(raw) if raw is not None and _begins(raw, b'"') else ""


def _members(members: dict[str, Raw]) -> bytes:
    """
    A block's own members in the order of their names: assumed, as the API reads a block into a type of its own.

    No JSON text holds a NUL, so nothing in a value can be taken for the end of it.
    """
    parts: list[bytes | Raw] = []
    for key in sorted(members):
        parts += (key.encode("utf-8", "surrogatepass"), b"\0", members[key], b"\0")
    return b"".join(parts)


def _positions(blocks: Sequence[_Block]) -> Iterator[int]:
    """
    The number of each block for the look-back: a run of calls is one position, as is a run of results.

    Assumed: nested blocks are positions of their own, and part what they stand between. In recorded traffic six results
    of two texts each, which would otherwise be one position, put the last entry out of sight; ten plain results did not.
    """
    position = -1
    before = ""
    for block in blocks:
        if block.type not in _RUNS or block.type != before:
            position += 1
        before = block.type
        yield position


_RUNS = frozenset({"tool_use", "tool_result"})


def _marks(blocks: Sequence[_Block], control: object) -> tuple[Mark, ...]:
    """
    The breakpoints in order; automatic caching marks the last block that can carry one, unless that is marked already.
    """
    marks = [Mark(index, block.lifetime) for index, block in enumerate(blocks) if block.lifetime is not None]
    automatic = lifetime_of(control)
    if automatic is not None:
        last = next((index for index in reversed(range(len(blocks))) if blocks[index].carries), None)
        if last is not None and (not marks or marks[-1].block != last):
            marks.append(Mark(last, automatic))
    return tuple(sorted(marks, key=_block_of))


def _block_of(mark: Mark) -> int:
    return mark.block


_ODD_ESCAPE = rb"\\(?:/|u(?!00(?:0[0-7bef]|1[0-9a-f]))[0-9a-fA-F]{4})"
_ODD_ESCAPES = re.compile(_ODD_ESCAPE + b"(?:" + _ODD_ESCAPE + b")*")  # not (...)+, which is searched 50x slower
"""Escapes that no encoder needs; `\\u001b` and its like have no other spelling, and logs are full of them."""


def _normal(body: bytes) -> bytes:
    """
    The body without whitespace between tokens and with each character spelled one way.
    """
    compact = msgspec.json.format(body, indent=-1)
    if b"\\u" in compact or b"\\/" in compact:
        compact = _ODD_ESCAPES.sub(_respelled, compact)
    return compact


def _respelled(match: re.Match[bytes]) -> bytes:
    start = match.start()
    while match.string[start - 1 : start] == b"\\":
        start -= 1
    # Behind an odd number of backslashes the first is no escape: it is the second half of an escaped backslash.
    plain = 0 if (match.start() - start) % 2 == 0 else len(rb"\/" if match[0][1:2] == b"/" else rb"\u0000")
    spelled = msgspec.json.encode(_decode_text(b'"' + match[0][plain:] + b'"'))[1:-1]
    return match[0][:plain] + spelled
