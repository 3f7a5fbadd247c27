"""
How many tokens a piece of a prompt is, estimated.

Rule of this file: every number that comes out of it is an estimate, because no tokenizer of these models is public. What
is estimated can be calibrated: recorded usage says what a prompt came to, and `calibrated` fits the estimate to it.

A size is counted in bytes of UTF-8, which for English and code is characters; other scripts take more bytes and more
tokens per character alike, so bytes need no table of scripts.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

Kind = Literal["text", "data", "tool", "thinking", "document", "image"]
"""
What a block is made of: prose; code, JSON and tool output; a tool's definition; thinking; base64 documents; an image.
"""

KINDS: tuple[Kind, ...] = ("text", "data", "tool", "thinking", "document", "image")


@dataclass(frozen=True, slots=True)
class Sizes:
    """
    What is known of a stretch of a prompt without a tokenizer: bytes of each kind, and blocks of each kind.
    """

    sizes: Mapping[Kind, int]
    blocks: Mapping[Kind, int]


@dataclass(frozen=True, slots=True)
class TokenEstimate:
    """
    Bytes per token by kind of content, and what a block costs besides. All of it is an estimate.

    The defaults for text and data are what recorded usage of Fable 5 and Sonnet 5 came to (the first half of the trace in
    `tests/recorded.py`); older models take about a quarter fewer tokens. The rest are rules of thumb. An image is charged
    whole: its pixels decide, up to about 1,600 tokens, and its base64 says little of them. A document's bytes are mostly
    fonts and compression. `tail_tokens` stand behind the last block: what opens the model's turn is in every prompt, and
    is why `input_tokens` is 1 to 3 and not 0 where everything else was cached.
    """

    text: float = 2.9
    data: float = 2.5
    tool: float = 3.0
    thinking: float = 2.9
    document: float = 30.0
    image_tokens: float = 1500.0
    block_tokens: float = 4.0
    tail_tokens: int = 2

    def __post_init__(self) -> None:
        """
        Refuse what would divide by zero or run backwards.
        """
        if min(self.text, self.data, self.tool, self.thinking, self.document) <= 0:
            raise ValueError("bytes per token must be positive")
        if min(self.image_tokens, self.block_tokens, self.tail_tokens) < 0:
            raise ValueError("tokens must not be negative")

    def tokens(self, kind: Kind, size: int) -> int:
        """
        Tokens of one block, estimated; never less than one, because no block is free.
        """
        return max(1, round(self.block_tokens + self._content_tokens(kind, size, 1)))

    def tokens_of(self, stretch: Sizes) -> float:
        """
        Tokens of a whole stretch, estimated and unrounded.
        """
        return sum(self.parts(stretch))

    def parts(self, stretch: Sizes) -> list[float]:
        """
        What makes up `tokens_of`: the content of each kind, then the blocks as such.
        """
        content = [self._content_tokens(kind, stretch.sizes[kind], stretch.blocks[kind]) for kind in KINDS]
        return [*content, self.block_tokens * sum(stretch.blocks.values())]

    def scaled(self, factors: Sequence[float]) -> "TokenEstimate":
        """
        The estimate whose every part is so many times as large.
        """
        text, data, tool, thinking, document, image, block = factors
        return replace(
            self,
            text=self.text / text,
            data=self.data / data,
            tool=self.tool / tool,
            thinking=self.thinking / thinking,
            document=self.document / document,
            image_tokens=self.image_tokens * image,
            block_tokens=self.block_tokens * block,
        )

    def _content_tokens(self, kind: Kind, size: int, blocks: int) -> float:
        if kind == "image":
            return self.image_tokens * blocks
        return size / float(getattr(self, kind))


DEFAULT_ESTIMATE = TokenEstimate()

_PULL = 0.01
"""How much a part is held at its default: as much as a hundredth of a sample that is made of nothing else."""

_LEAST, _MOST = 0.02, 50.0
"""A fit that wants more than this has been given something else than what it thinks it has; it stops here."""


def calibrated(samples: Iterable[tuple[Sizes, int]], start: TokenEstimate = DEFAULT_ESTIMATE) -> TokenEstimate:
    """
    The estimate that fits recorded token counts best: one factor for each part, by least squares of relative errors.

    A part of which the samples say little stays near where it started. Samples without tokens say nothing.
    """
    rows = [[part / tokens for part in start.parts(stretch)] for stretch, tokens in samples if tokens > 0]
    return start.scaled([min(max(factor, _LEAST), _MOST) for factor in _least_squares(rows)])


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
