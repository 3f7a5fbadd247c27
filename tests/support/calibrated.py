"""
Fits the estimate of tokens to recorded usage.

Rule of this file: the product does not calibrate. Tests and benchmarks do, to measure how close the estimate is.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from savemode_cli.core.cache.prompt import Prompt
from savemode_cli.core.cache.tokens import DEFAULT_ESTIMATE, KINDS, BlockKind, TokenEstimate


@dataclass(frozen=True, slots=True)
class Sizes:
    """
    What is known of a stretch of a prompt without a tokenizer: bytes of each kind, and blocks of each kind.
    """

    sizes: Mapping[BlockKind, int]
    blocks: Mapping[BlockKind, int]


def stretch_of(prompt: Prompt, first: int, end: int) -> Sizes:
    """
    The sizes of the blocks from `first` up to and excluding `end`.
    """
    sizes: dict[BlockKind, int] = dict.fromkeys(KINDS, 0)
    blocks: dict[BlockKind, int] = dict.fromkeys(KINDS, 0)
    for kind, size in zip(prompt.kinds[first:end], prompt.sizes[first:end], strict=True):
        sizes[kind] += size
        blocks[kind] += 1
    return Sizes(sizes, blocks)


def tokens_of(estimate: TokenEstimate, stretch: Sizes) -> float:
    """
    Tokens of a whole stretch, estimated and unrounded.
    """
    return sum(parts(estimate, stretch))


def parts(estimate: TokenEstimate, stretch: Sizes) -> list[float]:
    """
    What makes up `tokens_of`: the content of each kind, then the blocks as such.
    """
    content = [
        estimate.image_tokens * stretch.blocks[kind]
        if kind == "image"
        else stretch.sizes[kind] / float(getattr(estimate, kind))
        for kind in KINDS
    ]
    return [*content, estimate.block_tokens * sum(stretch.blocks.values())]


_PULL = 0.01
"""How much a part is held at its default: as much as a hundredth of a sample that is made of nothing else."""

_LEAST, _MOST = 0.02, 50.0
"""A fit that wants more than this has been given something else than what it thinks it has; it stops here."""


def calibrated(samples: Iterable[tuple[Sizes, int]], start: TokenEstimate = DEFAULT_ESTIMATE) -> TokenEstimate:
    """
    The estimate that fits recorded token counts best: one factor for each part, by least squares of relative errors.

    A part of which the samples say little stays near where it started. Samples without tokens say nothing.
    """
    rows = [[part / tokens for part in parts(start, stretch)] for stretch, tokens in samples if tokens > 0]
    return _scaled(start, [min(max(factor, _LEAST), _MOST) for factor in _least_squares(rows)])


def _least_squares(rows: Sequence[Sequence[float]]) -> list[float]:
    """
    The factors x with rows . x nearest to one everywhere, each pulled a little towards one: (R'R + p) x = R'1 + p.
    """
    count = len(KINDS) + 1
    matrix = [
        [sum(row[i] * row[j] for row in rows) + (_PULL if i == j else 0.0) for j in range(count)] for i in range(count)
    ]
    right = [sum(row[i] for row in rows) + _PULL for i in range(count)]
    return _solved(matrix, right)


def _solved(matrix: list[list[float]], right: list[float]) -> list[float]:
    """
    Elimination without pivoting, which a symmetric matrix with a positive diagonal added does not need.
    """
    count = len(right)
    for i in range(count):
        for j in range(i + 1, count):
            factor = matrix[j][i] / matrix[i][i]
            right[j] -= factor * right[i]
            for k in range(i, count):
                matrix[j][k] -= factor * matrix[i][k]
    found = [0.0] * count
    for i in reversed(range(count)):
        rest = sum(matrix[i][k] * found[k] for k in range(i + 1, count))
        found[i] = (right[i] - rest) / matrix[i][i]
    return found


def _scaled(estimate: TokenEstimate, factors: Sequence[float]) -> TokenEstimate:
    """
    The estimate whose every part is so many times as large.
    """
    text, data, tool, thinking, document, image, block = factors
    return replace(
        estimate,
        text=estimate.text / text,
        data=estimate.data / data,
        tool=estimate.tool / tool,
        thinking=estimate.thinking / thinking,
        document=estimate.document / document,
        image_tokens=estimate.image_tokens * image,
        block_tokens=estimate.block_tokens * block,
    )
