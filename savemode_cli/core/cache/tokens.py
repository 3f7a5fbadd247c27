"""
An estimate of the tokens of a part of a prompt.

Rule of this file: every number is an estimate, because no tokenizer of these models is public.

A size is counted in bytes of UTF-8. For English and code these are characters. Other scripts take more bytes and more
tokens for each character, so bytes need no table of scripts.
"""

from dataclasses import dataclass
from typing import Literal

BlockKind = Literal["text", "data", "tool", "thinking", "document", "image"]
"""
What a block consists of. `text`: prose. `data`: code, JSON and tool output. `tool`: the definition of a tool.
`thinking`: thinking. `document`: a document in base64. `image`: an image.
"""

KINDS: tuple[BlockKind, ...] = ("text", "data", "tool", "thinking", "document", "image")


@dataclass(frozen=True, slots=True)
class TokenEstimate:
    """
    Bytes per token by kind of content, and the fixed cost of a block. All numbers are estimates.

    The defaults for text and data come from recorded usage of Fable 5 and Sonnet 5 (the first half of the trace in
    `tests/support/recorded.py`). Older models take about a quarter fewer tokens. The other defaults are rules of thumb.
    An image has a fixed size, because its tokens depend on its pixels (up to about 1,600) and not on its base64. The
    bytes of a document are mostly fonts and compression. `tail_tokens` is what the API adds after the last block of
    every prompt: it explains why `input_tokens` is 1 to 3 and not 0 where everything else was cached.
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
        Refuse values that would divide by zero or give negative counts.

        Raises:
            ValueError: a value is out of range.
        """
        if min(self.text, self.data, self.tool, self.thinking, self.document) <= 0:
            raise ValueError("bytes per token must be positive")
        if min(self.image_tokens, self.block_tokens, self.tail_tokens) < 0:
            raise ValueError("tokens must not be negative")

    def tokens(self, kind: BlockKind, size: int) -> int:
        """
        The estimated tokens of one block. It is never less than 1, because every block costs something.
        """
        content = self.image_tokens if kind == "image" else size / float(getattr(self, kind))
        return max(1, round(self.block_tokens + content))


DEFAULT_ESTIMATE = TokenEstimate()
