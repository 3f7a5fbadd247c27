"""
A prompt without its text. It contains enough to say where another prompt differs from it.

Rule of this file: no text of a prompt is kept, only digests, sizes and places. Fingerprints stay in memory and are
small: 24 bytes per block, shared with the earlier prompt of the same conversation where both are equal.

The columns of a fingerprint are divided into segments of 32 blocks. A segment that is equal to one of the earlier
prompt is the same object. So a conversation of 400 blocks that grows by 4 adds about as much as 36 blocks, and outlines
are computed for new blocks only.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, islice
from struct import Struct
from typing import NamedTuple
from zlib import crc32

import msgspec

from savemode_cli.core.cache.block import Block
from savemode_cli.core.cache.blocks import Parameter, RequestBlocks
from savemode_cli.core.cache.lifetimes import Lifetime
from savemode_cli.core.cache.prompt import Prompt
from savemode_cli.core.diagnosis.outline import NO_OUTLINE, edges, form_outline, text_outline
from savemode_cli.core.wire.messages import Path

DIGEST_BYTES = 8
SEGMENT_BLOCKS = 32
MAX_BLOCKS = 8192
"""A prompt with more blocks gets no fingerprint. Recorded prompts have a few hundred."""

TYPES = ("", "tool", "text", "tool_use", "tool_result", "thinking", "image", "document", "compaction")
"""The types of blocks that are distinguished; "" is any other type."""

_NUMBERS = {name: number for number, name in enumerate(TYPES)}
_DETAILS = Struct("<IIIHH")  # outline, type and tokens, item, place in the item, place in the block
_TOKEN_BITS = 24
_MOST_TOKENS = (1 << _TOKEN_BITS) - 1
_NO_ITEM = 0xFFFF_FFFF
_NO_PLACE = 0xFFFF
_SOURCE_BIT = 0x8000
_MOST_EDGES = 32
_BLOCK_STEPS = len(("messages", 0, "content", 0))

_COMPACTED = b"This session is being continued from a previous conversation"
"""The beginning of the message with which Claude Code replaces a compacted history."""


@dataclass(frozen=True, slots=True)
class Entry:
    """
    A breakpoint: what the cache keeps after the request.
    """

    block: int
    """The last block of its prefix."""
    lifetime: Lifetime
    digest: bytes
    """The digest of its prefix, including the parameters."""
    tokens: int
    """The length of its prefix in estimated tokens."""


@dataclass(frozen=True, slots=True)
class Position:
    """
    One block of a prompt.
    """

    type: str
    """One of `TYPES`."""
    path: Path
    """The place in the body. Only the first level of nesting is kept."""
    tokens: int
    """Estimated tokens."""
    outline: int
    """See `outline`; `NO_OUTLINE` if no outline was computed."""
    nested: bool
    """Whether it is inside another block."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """
    A prompt without its text.
    """

    parameters: tuple[tuple[Parameter, ...], ...]
    """The parameters of tools, system and messages. Long values are replaced by a checksum."""
    tools: int
    """How many blocks are tools."""
    system: int
    """How many blocks belong to the system prompt."""
    blocks: int
    opening: int
    """How many blocks there are up to the end of the first message."""
    asked_tokens: int
    """
    Estimated tokens before the last answer in the prompt, which are the request for that answer. 0 if there is no
    answer.
    """
    total_tokens: int
    """Estimated tokens of the whole prompt."""
    entries: tuple[Entry, ...]
    compacted: bool
    """Whether the client says that the conversation replaces an earlier one."""
    edges: dict[int, tuple[int, int]] = field(hash=False)
    """Checksums of both ends of long texts in the system prompt and in the first message, by block."""
    digest_segments: tuple[bytes, ...]
    detail_segments: tuple[bytes, ...]

    def digests(self) -> list[bytes]:
        """
        The digest of each block.
        """
        column = b"".join(self.digest_segments)
        return [column[at : at + DIGEST_BYTES] for at in range(0, len(column), DIGEST_BYTES)]

    def position(self, block: int) -> Position:
        """
        What is known about a block.
        """
        segment, place = divmod(block, SEGMENT_BLOCKS)
        outline, typed, item, content, nested = _DETAILS.unpack_from(
            self.detail_segments[segment], place * _DETAILS.size
        )
        path = self._path(block, item, content, nested)
        return Position(TYPES[typed >> _TOKEN_BITS], path, typed & _MOST_TOKENS, outline, nested != _NO_PLACE)

    def type_of(self, block: int) -> str:
        """
        The type of a block, one of `TYPES`.
        """
        segment, place = divmod(block, SEGMENT_BLOCKS)
        return TYPES[_DETAILS.unpack_from(self.detail_segments[segment], place * _DETAILS.size)[1] >> _TOKEN_BITS]

    def outlines(self) -> list[int]:
        """
        The outline of each block, see `Position.outline`.
        """
        return [outline for outline, *_ in _DETAILS.iter_unpack(b"".join(self.detail_segments))]

    def tokens(self) -> list[int]:
        """
        The estimated tokens of each block.
        """
        column = b"".join(self.detail_segments)
        return [typed & _MOST_TOKENS for _, typed, _, _, _ in _DETAILS.iter_unpack(column)]

    def prefix_tokens(self) -> list[int]:
        """
        The estimated tokens of each prefix, from the empty one to the whole prompt without its tail.
        """
        return [0, *accumulate(self.tokens())]

    def level(self, block: int) -> int:
        """
        0 for a tool, 1 for the system prompt, 2 for a message.
        """
        return (block >= self.tools) + (block >= self.tools + self.system)

    def segments(self) -> Iterator[bytes]:
        """
        The segments of its columns. Other fingerprints may share them.
        """
        yield from self.digest_segments
        yield from self.detail_segments

    def _path(self, block: int, item: int, content: int, nested: int) -> Path:
        section = ("tools", "system", "messages")[self.level(block)]
        path: Path = (section,) if item == _NO_ITEM else (section, item)
        if section == "messages":
            path = (*path, "content") if content == _NO_PLACE else (*path, "content", content)
        if nested == _NO_PLACE:
            return path
        return (*path, *(("source",) if nested & _SOURCE_BIT else ()), "content", nested & ~_SOURCE_BIT)


FIXED_BYTES = 700
"""About how many bytes a fingerprint takes in addition to its columns: the object, parameters and entries."""

OBJECT_BYTES = 100
"""About how many bytes a segment takes in addition to its content: the object, a reference to it, and its count."""


def fingerprint_of(request: RequestBlocks, prompt: Prompt, earlier: Sequence[Fingerprint] = ()) -> Fingerprint | None:
    """
    The fingerprint of a request; None if it has too many blocks.

    Args:
        request: the request's blocks.
        prompt: its prompt, made from the same blocks.
        earlier: earlier prompts of the same lane. Equal segments are shared with the prompt that has most of them.
    """
    if len(prompt.chain) > MAX_BLOCKS:
        return None
    rows = _hashed(request, prompt)
    blocks = [row.block for row in rows]
    tools = sum([block.kind == "tool" for block in blocks])
    head = tools + sum([bool(block.digest) for block in request.levels[1].blocks])
    opening = _opening(blocks, head)
    columns = [
        b"".join([row.digest for row in rows[first : first + SEGMENT_BLOCKS]])
        for first in range(0, len(rows), SEGMENT_BLOCKS)
    ]
    origin = max(earlier, key=lambda one: _equal_segments(one, columns), default=None)
    digest_segments, detail_segments = _segments(rows, columns, opening, origin)
    parameters = _parameters([level.parameters for level in request.levels])
    ends = dict(_edges(blocks[:opening]))
    if origin is not None:
        parameters = origin.parameters if parameters == origin.parameters else parameters
        ends = origin.edges if ends == origin.edges else ends
    return Fingerprint(
        parameters=parameters,
        tools=tools,
        system=head - tools,
        blocks=len(blocks),
        opening=opening,
        asked_tokens=_asked_tokens(reversed(request.levels[2].blocks), prompt),
        total_tokens=prompt.total_tokens,
        entries=tuple(_entries(prompt)),
        compacted=any(map(_is_compacted, blocks[head:opening])),
        edges=ends,
        digest_segments=digest_segments,
        detail_segments=detail_segments,
    )


def grown_fingerprint(
    fingerprint: Fingerprint, kept: int, more: Sequence[Block], backwards: Iterable[Block], prompt: Prompt
) -> Fingerprint:
    """
    The fingerprint of a prompt that begins like another one, of which nothing is computed again.

    Args:
        fingerprint: that of the other one.
        kept: how many of its blocks are at the beginning of this one, with everything that they depend on: at least those of
            its first message.
        more: the blocks that follow.
        backwards: the blocks of all messages, the last one first.
        prompt: this prompt.
    """
    prefix_tokens = prompt.prefix_tokens[len(prompt.prefix_tokens) - len(more) - 1 :]
    details = [
        _packed(block, sketch(more, at, in_head=False).outline, after - before)
        for at, (block, before, after) in enumerate(zip(more, prefix_tokens, prefix_tokens[1:], strict=False))
    ]
    digests = [block.digest[:DIGEST_BYTES] for block in more]
    return Fingerprint(
        parameters=fingerprint.parameters,
        tools=fingerprint.tools,
        system=fingerprint.system,
        blocks=kept + len(more),
        opening=fingerprint.opening,
        asked_tokens=_asked_tokens(backwards, prompt),
        total_tokens=prompt.total_tokens,
        entries=tuple(_entries(prompt)),
        compacted=fingerprint.compacted,
        edges=fingerprint.edges,
        digest_segments=_continued(fingerprint.digest_segments, kept, digests, DIGEST_BYTES),
        detail_segments=_continued(fingerprint.detail_segments, kept, details, _DETAILS.size),
    )


def _continued(segments: tuple[bytes, ...], kept: int, more: Sequence[bytes], size: int) -> tuple[bytes, ...]:
    """
    The segments of a column that begins like another one.

    Args:
        segments: those of the other one.
        kept: how many blocks of it are at the beginning.
        more: what follows, for each block.
        size: the bytes of a block.
    """
    if not more and kept * size == sum(map(len, segments)):
        return segments
    full, rest = divmod(kept, SEGMENT_BLOCKS)
    tail = b"".join((segments[full][: rest * size] if rest else b"", *more))
    step = SEGMENT_BLOCKS * size
    return (*segments[:full], *[tail[first : first + step] for first in range(0, len(tail), step)])


def _parameters(levels: Iterable[tuple[Parameter, ...]]) -> tuple[tuple[Parameter, ...], ...]:
    return tuple([tuple([(name, _shown(name, value)) for name, value in level]) for level in levels])


class _Row(NamedTuple):
    """
    One block that the cache hashes.
    """

    block: Block
    digest: bytes
    tokens: int


def _hashed(request: RequestBlocks, prompt: Prompt) -> list[_Row]:
    """
    All blocks except the definition of web search, which counts as a parameter of the system prompt.
    """
    befores = (0, *prompt.prefix_tokens)
    return [
        _Row(block, digest[:DIGEST_BYTES], after - before)
        for block, digest, before, after in zip(
            request.blocks, prompt.digests, befores, prompt.prefix_tokens, strict=False
        )
        if digest
    ]


def _entries(prompt: Prompt) -> Iterator[Entry]:
    for mark in prompt.marks:
        last = mark.block - prompt.digests[: mark.block + 1].count(b"")
        if last >= 0:
            tokens = prompt.prefix_tokens[mark.block]
            yield Entry(last, mark.lifetime, prompt.chain[mark.block][:DIGEST_BYTES], tokens)


def shared_blocks(one: Fingerprint, other: Fingerprint) -> int:
    """
    How many leading blocks of two prompts have the same content.
    """
    shared = 0
    for mine, yours in zip(one.digest_segments, other.digest_segments, strict=False):
        if mine is yours or mine == yours:
            shared += len(mine) // DIGEST_BYTES
            continue
        least = min(len(mine), len(yours))
        at = 0
        while at < least and mine[at : at + DIGEST_BYTES] == yours[at : at + DIGEST_BYTES]:
            at += DIGEST_BYTES
        return shared + at // DIGEST_BYTES
    return shared


def _equal_segments(one: Fingerprint, columns: Sequence[bytes]) -> int:
    equal = 0
    for mine, yours in zip(one.digest_segments, columns, strict=False):
        if mine != yours:
            break
        equal += 1
    return equal


def _segments(
    rows: Sequence[_Row], columns: Sequence[bytes], opening: int, origin: Fingerprint | None
) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    shared = 0 if origin is None else _equal_segments(origin, columns)
    blocks = [row.block for row in rows]
    details = [
        b"".join(_details(blocks, rows[at], at, opening) for at in range(first, end))
        for number in range(shared, len(columns))
        for first, end in [(number * SEGMENT_BLOCKS, min((number + 1) * SEGMENT_BLOCKS, len(rows)))]
    ]
    if origin is None:
        return tuple(columns), tuple(details)
    return (
        (*origin.digest_segments[:shared], *columns[shared:]),
        (*origin.detail_segments[:shared], *details),
    )


def _details(blocks: Sequence[Block], row: _Row, at: int, opening: int) -> bytes:
    return _packed(row.block, sketch(blocks, at, in_head=at < opening).outline, row.tokens)


def _packed(block: Block, outline: int, tokens: int) -> bytes:
    kind = _NUMBERS.get(_name(block), 0)
    return _DETAILS.pack(outline, kind << _TOKEN_BITS | min(tokens, _MOST_TOKENS), *_place(block.path))


class Sketch(msgspec.Struct, frozen=True, gc=False):
    """
    What a fingerprint needs of a block's content.
    """

    outline: int
    edges: tuple[int, int] | None = None
    compacted: bool = False


_NO_SKETCH = Sketch(NO_OUTLINE)


def sketch(blocks: Sequence[Block], at: int, *, in_head: bool) -> Sketch:
    """
    The sketch of a block, which it keeps from then on.

    Args:
        blocks: the block and, before it, those nested in it.
        at: its place among them.
        in_head: whether it is in the tools, the system prompt or the first message.
    """
    block = blocks[at]
    known: Sketch | None = block.sketch
    if known is None:
        outline = _outline(blocks, at, in_head=in_head)
        if in_head:
            is_text = block.type == "text" and block.depth == 0
            known = Sketch(outline, edges(block) if is_text else None, _is_compaction(block))
        else:
            known = Sketch(outline) if outline else _NO_SKETCH
        block.sketch = known
    return known


def _name(block: Block) -> str:
    return block.kind if block.kind in ("tool", "thinking") else block.type


def _outline(blocks: Sequence[Block], at: int, *, in_head: bool) -> int:
    block = blocks[at]
    name = _name(block)
    if name == "text":
        return text_outline(block) if in_head and block.depth == 0 else NO_OUTLINE
    if name in ("image", "thinking") or block.depth:
        return NO_OUTLINE
    first = at
    while first and blocks[first - 1].depth > block.depth:
        first -= 1
    return form_outline(block, blocks[first:at])


def _place(path: Path) -> tuple[int, int, int]:
    """
    A path as three numbers: the item of its section, the place in a message's content, and the place in a block.
    """
    if len(path) == _BLOCK_STEPS and path[0] == "messages":
        return int(path[1]), min(int(path[3]), _NO_PLACE - 1), _NO_PLACE  # most blocks
    numbers = [step for step in path if isinstance(step, int)]
    item = numbers[0] if numbers else _NO_ITEM
    inner = numbers[1:]
    content = min(inner.pop(0), _NO_PLACE - 1) if path[0] == "messages" and inner else _NO_PLACE
    if not inner:
        return item, content, _NO_PLACE
    return item, content, min(inner[0], _SOURCE_BIT - 2) | (_SOURCE_BIT if "source" in path else 0)


def _opening(blocks: Sequence[Block], head: int) -> int:
    """
    How many blocks there are up to the end of the first message.
    """
    end = head
    while end < len(blocks) and blocks[end].path[:2] == blocks[head].path[:2]:
        end += 1
    return end


def _asked_tokens(backwards: Iterable[Block], prompt: Prompt) -> int:
    """
    The tokens before the last answer that is followed by something. An answer at the end of a prompt is one to be
    continued.

    Args:
        backwards: the blocks of all messages, the last one first.
        prompt: the prompt.
    """
    end = len(prompt.prefix_tokens)
    parts = iter((True, False, True))
    is_answer = next(parts)
    for block in backwards:
        while (block.role == "assistant") != is_answer:
            following = next(parts, None)
            if following is None:
                return prompt.prefix_tokens[end - 1]
            is_answer = following
        end -= 1
    return 0


def _is_compaction(block: Block) -> bool:
    return block.type == "compaction" or (block.type == "text" and _COMPACTED in block.content)


def _is_compacted(block: Block) -> bool:
    known: Sketch | None = block.sketch
    return _is_compaction(block) if known is None else known.compacted


def _edges(blocks: Sequence[Block]) -> Iterator[tuple[int, tuple[int, int]]]:
    long = ((row, _edges_of(block)) for row, block in enumerate(blocks) if block.type == "text" and block.depth == 0)
    yield from islice(((row, ends) for row, ends in long if ends is not None), _MOST_EDGES)


def _edges_of(block: Block) -> tuple[int, int] | None:
    known: Sketch | None = block.sketch
    return edges(block) if known is None else known.edges


_LONGEST_VALUE = 80


def _shown(name: str, value: str) -> str:
    """
    The value of a parameter, or a checksum of it if it may contain the user's own words.
    """
    if name != "format" and len(value) <= _LONGEST_VALUE:
        return value
    return f"#{crc32(value.encode('utf-8', 'surrogatepass')):08x}"
