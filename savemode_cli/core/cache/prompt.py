"""
A request as the prompt cache sees it: a digest of every prefix, the breakpoints, and estimated tokens.

Rule of this file: two prefixes have the same digest exactly if the API treats them as the same prefix. `blocks` decides
which parts of a body are hashed.
Source: https://platform.claude.com/docs/en/build-with-claude/prompt-caching (checked 2026-11-23). Where that page gives
no rule, the code says "assumed".
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha1
from itertools import accumulate

from savemode_cli.core.cache.block import Block
from savemode_cli.core.cache.blocks import Parameter, RequestBlocks, read_blocks
from savemode_cli.core.cache.lifetimes import Lifetime
from savemode_cli.core.cache.tokens import DEFAULT_ESTIMATE, BlockKind, TokenEstimate
from savemode_cli.core.wire.breakpoints import lifetime_of


@dataclass(frozen=True, slots=True)
class Mark:
    """
    A breakpoint: the API caches the prefix up to and including this block, for this long.
    """

    block: int
    lifetime: Lifetime


@dataclass(frozen=True, slots=True)
class Prompt:
    """
    The blocks of a request in evaluation order, as parallel tuples. Token counts are estimates.
    """

    model: str
    digests: tuple[bytes, ...]
    """The digest of each block's own content; empty for a block that the cache does not hash."""
    chain: tuple[bytes, ...]
    """The digest of everything up to and including each block, with the model and the parameters that it depends on."""
    kinds: tuple[BlockKind, ...]
    sizes: tuple[int, ...]
    """The bytes of each block."""
    positions: tuple[int, ...]
    """The position of each block for the look-back: neighbouring tool calls share one position."""
    marks: tuple[Mark, ...]
    """
    The breakpoints in order, including that of automatic caching. Breakpoints that the API refuses or ignores are left
    out.
    """
    prefix_tokens: tuple[int, ...]
    """The tokens of everything up to and including each block."""
    total_tokens: int

    def tokens_before(self, block: int) -> int:
        """
        The tokens of the first `block` blocks.
        """
        return self.prefix_tokens[block - 1] if block else 0

    def estimated(self, estimate: TokenEstimate) -> "Prompt":
        """
        The same prompt with a different estimate of its tokens.
        """
        prefix_tokens, total_tokens = _token_counts(self.kinds, self.sizes, estimate)
        return replace(self, prefix_tokens=prefix_tokens, total_tokens=total_tokens)


def prompt_of(body: bytes, estimate: TokenEstimate = DEFAULT_ESTIMATE) -> Prompt:
    """
    Read a request body. The time is linear in its length.

    Raises:
        BadInput: it is not the body of a messages call: it is not JSON, or it has no model or no messages.
    """
    return prompt_from(read_blocks(body), estimate)


def prompt_from(request: RequestBlocks, estimate: TokenEstimate = DEFAULT_ESTIMATE) -> Prompt:
    """
    The prompt of a request whose blocks were already read.
    """
    blocks = request.blocks
    prefix_tokens, total_tokens = _added_up(_tokens(blocks, estimate), estimate)
    chain: list[bytes] = []
    digest = b""
    for level in request.levels:
        digest = level_digest(digest, level.parameters)
        chain += _links(digest, level.blocks)
        digest = chain[-1] if level.blocks else digest
    return Prompt(
        model=request.model,
        digests=tuple([block.digest for block in blocks]),
        chain=tuple(chain),
        kinds=tuple([block.kind for block in blocks]),
        sizes=tuple([block.size for block in blocks]),
        positions=tuple(_positions(blocks)),
        marks=_marks(breakpoints(blocks), blocks, request.control),
        prefix_tokens=prefix_tokens,
        total_tokens=total_tokens,
    )


def grown(
    prompt: Prompt, kept: int, more: Sequence[Block], before: Block, marks: Sequence[Mark], control: object
) -> Prompt:
    """
    A prompt that begins like another one, of which nothing is computed again.

    Args:
        prompt: the other one, with the default estimate.
        kept: how many of its blocks are at the beginning of this one, with everything that they depend on.
        more: the blocks that follow.
        before: the last block that is kept.
        marks: the breakpoints of the blocks that are kept, without that of automatic caching.
        control: see `RequestBlocks.control`.
    """
    tokens = accumulate(_tokens(more, DEFAULT_ESTIMATE), initial=prompt.prefix_tokens[kept - 1])
    prefix_tokens = (*prompt.prefix_tokens[: kept - 1], *tokens)
    positions = _positions(more, prompt.positions[kept - 1], before.type)
    return Prompt(
        model=prompt.model,
        digests=(*prompt.digests[:kept], *[block.digest for block in more]),
        chain=(*prompt.chain[:kept], *_links(prompt.chain[kept - 1], more)),
        kinds=(*prompt.kinds[:kept], *[block.kind for block in more]),
        sizes=(*prompt.sizes[:kept], *[block.size for block in more]),
        positions=(*prompt.positions[:kept], *positions),
        marks=_marks((*marks, *breakpoints(more, kept)), more, control, kept),
        prefix_tokens=prefix_tokens,
        total_tokens=prefix_tokens[-1] + DEFAULT_ESTIMATE.tail_tokens,
    )


def _token_counts(
    kinds: Sequence[BlockKind], sizes: Sequence[int], estimate: TokenEstimate
) -> tuple[tuple[int, ...], int]:
    return _added_up(map(estimate.tokens, kinds, sizes), estimate)


def _added_up(tokens: Iterable[int], estimate: TokenEstimate) -> tuple[tuple[int, ...], int]:
    prefix_tokens = tuple(accumulate(tokens))
    return prefix_tokens, (prefix_tokens[-1] if prefix_tokens else 0) + estimate.tail_tokens


def _tokens(blocks: Sequence[Block], estimate: TokenEstimate) -> Iterator[int]:
    """
    The tokens of each block. A block keeps those by the default estimate, for it may be part of the next prompt, too.
    """
    if estimate is not DEFAULT_ESTIMATE:
        yield from (estimate.tokens(block.kind, block.size) for block in blocks)
        return
    for block in blocks:
        tokens = block.tokens
        if tokens is None:
            tokens = block.tokens = estimate.tokens(block.kind, block.size)
        yield tokens


def _digest(content: bytes) -> bytes:
    return sha1(content, usedforsecurity=False).digest()


def level_digest(digest: bytes, parameters: tuple[Parameter, ...]) -> bytes:
    """
    The digest with which a level begins.

    Args:
        digest: that of everything before it.
        parameters: what the level depends on.
    """
    return _digest(digest + repr(parameters).encode())


def _links(digest: bytes, blocks: Iterable[Block]) -> Iterator[bytes]:
    """
    A digest for each block: of everything before it, of what its level depends on, and of its own content.
    """
    for block in blocks:
        if block.digest:
            digest = _digest(digest + block.digest)
        yield digest


def _positions(blocks: Sequence[Block], position: int = -1, before: str = "") -> Iterator[int]:
    """
    The position of each block for the look-back. A run of tool calls is one position, and so is a run of tool results.

    Assumed: nested blocks have positions of their own, and separate the blocks around them. In recorded traffic, six
    results of two texts each put the last entry out of reach; ten plain results did not.

    Args:
        blocks: the blocks.
        position: the position of the block before them.
        before: its type.
    """
    for block in blocks:
        if block.type not in _RUNS or block.type != before:
            position += 1
        before = block.type
        yield position


_RUNS = frozenset({"tool_use", "tool_result"})


def breakpoints(blocks: Sequence[Block], first: int = 0) -> list[Mark]:
    """
    The breakpoints of blocks that stand behind so many others, without that of automatic caching.
    """
    return [Mark(index, block.lifetime) for index, block in enumerate(blocks, first) if block.lifetime is not None]


def _marks(own: Sequence[Mark], blocks: Sequence[Block], control: object, first: int = 0) -> tuple[Mark, ...]:
    """
    The breakpoints in order. Automatic caching marks the last block that can carry a breakpoint, unless it has one
    already.

    Args:
        own: those of the blocks.
        blocks: the last blocks, of which at least one can carry a breakpoint if any block can.
        control: see `RequestBlocks.control`.
        first: how many blocks stand before them.
    """
    marks = list(own)
    automatic = lifetime_of(control)
    if automatic is not None:
        last = next((index for index in reversed(range(len(blocks))) if blocks[index].carries), None)
        if last is not None and (not marks or marks[-1].block != first + last):
            marks.append(Mark(first + last, automatic))
    return tuple(sorted(marks, key=_block_of))


def _block_of(mark: Mark) -> int:
    return mark.block
