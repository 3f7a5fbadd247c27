"""
Scales the estimated tokens of a prompt to its bill.

Rule of this file: results are integers, rounded down, and never more than was billed.
"""

from dataclasses import dataclass

from savemode_cli.core.diagnosis.lanes import SentPrompt


@dataclass(frozen=True, slots=True)
class Scale:
    """
    Converts estimated tokens of one prompt to billed tokens.
    """

    total: int
    """The tokens of the whole prompt as billed; as estimated if the bill is unknown."""
    estimated: int
    """The estimated tokens of the whole prompt."""

    @classmethod
    def of(cls, sent: SentPrompt) -> "Scale":
        """
        The scale of a request.
        """
        estimated = sent.fingerprint.total_tokens
        usage = sent.usage
        total = estimated if usage is None else usage.cached_tokens + usage.tokens.input
        return cls(total, estimated)

    def tokens(self, estimated: int) -> int:
        """
        Convert estimated tokens of the prompt to billed tokens.
        """
        return min(estimated * self.total // self.estimated, self.total) if self.estimated else 0
