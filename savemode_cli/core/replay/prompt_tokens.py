"""
The tokens of prompts, by how they are billed.

Rule of this file: it adds and prices tokens. What they mean is decided elsewhere.
"""

from dataclasses import dataclass

from savemode_cli.core.money.pricing import InputRates


@dataclass(slots=True)
class PromptTokens:
    """
    The tokens of prompts, by how they are billed.
    """

    input_tokens: int = 0
    write_5m_tokens: int = 0
    write_1h_tokens: int = 0
    read_tokens: int = 0

    def add(self, other: "PromptTokens") -> None:
        """
        Add the counts of another.
        """
        self.input_tokens += other.input_tokens
        self.write_5m_tokens += other.write_5m_tokens
        self.write_1h_tokens += other.write_1h_tokens
        self.read_tokens += other.read_tokens


def cost_ausd(rates: InputRates, tokens: PromptTokens) -> int:
    """
    What the tokens of a prompt cost, in atto-dollars.
    """
    return rates.cost_ausd(tokens.input_tokens, tokens.write_5m_tokens, tokens.write_1h_tokens, tokens.read_tokens)
