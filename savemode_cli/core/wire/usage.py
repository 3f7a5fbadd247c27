"""
What an answer used: token counters that do not overlap.

Rule of this file: the counters are the API's. No price is known here.
"""

from typing import Protocol

from msgspec import Struct

MIXED = "mixed"
"""The label of a sum of usages with different labels."""


class PromptRates(Protocol):
    """
    What a token of each counter of a prompt costs, in one unit, as whole numbers.
    """

    @property
    def input(self) -> int:
        """
        A token that is neither read from the cache nor written to it.
        """

    @property
    def write_5m(self) -> int:
        """
        A token that is written to the cache for 5 minutes.
        """

    @property
    def write_1h(self) -> int:
        """
        A token that is written to the cache for an hour.
        """

    @property
    def read(self) -> int:
        """
        A token that is read from the cache.
        """


class TokenRates(PromptRates, Protocol):
    """
    What a token of each counter costs, in one unit, as whole numbers.
    """

    @property
    def output(self) -> int:
        """
        A token of the answer.
        """


class Tokens(Struct, frozen=True, gc=False, omit_defaults=True):
    """
    Tokens of a request and its answer, each counted once, in the order of the price page.
    """

    input: int = 0
    """Prompt tokens that were neither read from the cache nor written to it."""
    write_5m: int = 0
    """Prompt tokens written to the cache for 5 minutes."""
    write_1h: int = 0
    """Prompt tokens written to the cache for an hour."""
    read: int = 0
    """Prompt tokens read from the cache."""
    output: int = 0
    """Tokens of the answer, including thinking."""

    @property
    def written(self) -> int:
        """
        Tokens that were written to the cache, with any TTL.
        """
        return self.write_5m + self.write_1h

    @property
    def cached(self) -> int:
        """
        Prompt tokens that were read from the cache or written to it.
        """
        return self.read + self.write_5m + self.write_1h

    @property
    def prompt(self) -> int:
        """
        The length of the prompt. The price of a long context depends on it.
        """
        return self.input + self.write_5m + self.write_1h + self.read

    def __add__(self, other: "Tokens") -> "Tokens":
        """
        Add counter by counter.
        """
        return Tokens(
            self.input + other.input,
            self.write_5m + other.write_5m,
            self.write_1h + other.write_1h,
            self.read + other.read,
            self.output + other.output,
        )

    def __sub__(self, other: "Tokens") -> "Tokens":
        """
        Subtract counter by counter. A counter of a difference may be negative.
        """
        return Tokens(
            self.input - other.input,
            self.write_5m - other.write_5m,
            self.write_1h - other.write_1h,
            self.read - other.read,
            self.output - other.output,
        )

    def prompt_at(self, rates: PromptRates) -> int:
        """
        What the prompt costs, in the unit of the rates.
        """
        return (
            self.input * rates.input
            + self.write_5m * rates.write_5m
            + self.write_1h * rates.write_1h
            + self.read * rates.read
        )

    def at(self, rates: TokenRates) -> int:
        """
        What the prompt and the answer cost, in the unit of the rates.
        """
        return self.prompt_at(rates) + self.output * rates.output


NO_TOKENS = Tokens()


class Usage(Struct, frozen=True, gc=False, omit_defaults=True):
    """
    What one answer used.
    """

    tokens: Tokens = NO_TOKENS
    """The totals that the API reports. They do not include `extra`."""
    web_searches: int = 0
    service_tier: str | None = None
    """As the API reports it; None if it does not."""
    inference_geo: str | None = None
    """As the API reports it; None if it does not."""
    speed: str | None = None
    """As the API reports it; None if it does not."""
    extra: tuple["Extra", ...] = ()
    """What was used in addition to the totals. It is billed too."""
    declined: str | None = None
    """
    None for an answer. If the model declined before it had produced output: the policy category of the refusal, "" if
    the API named none. `money.refusals` decides whether such tokens cost anything.
    """
    prefix_tokens: int | None = None
    """
    The cached tokens of the last sampling pass, if an answer took several (server-side tools, an advisor); None for one
    pass. The counters are the sums of all passes.
    """

    @property
    def cached_tokens(self) -> int:
        """
        The length of the prefix that is in the cache after the answer. The next request can read it.
        """
        return self.tokens.cached if self.prefix_tokens is None else self.prefix_tokens

    @property
    def repeated_tokens(self) -> int:
        """
        Cached tokens of the earlier sampling passes of the same answer; 0 for one pass.
        """
        return self.tokens.cached - self.cached_tokens

    @property
    def first_read_tokens(self) -> int:
        """
        What the first sampling pass read, as far as the sums show it. Later passes read what the earlier ones wrote.
        """
        if self.prefix_tokens is None:
            return self.tokens.read
        return max(self.tokens.read - self.repeated_tokens, 0)

    def __add__(self, other: "Usage") -> "Usage":
        """
        Add counter by counter. Use a sum only for display: price each usage before adding, because a price may depend
        on the length of a prompt.
        """
        return Usage(
            self.tokens + other.tokens,
            self.web_searches + other.web_searches,
            _common(self.service_tier, other.service_tier),
            _common(self.inference_geo, other.inference_geo),
            _common(self.speed, other.speed),
            self.extra + other.extra,
        )


class Extra(Struct, frozen=True, gc=False, omit_defaults=True):
    """
    Tokens that the totals leave out: a compaction, an advisor's answer, or an attempt that a fallback replaced.
    """

    kind: str
    """The API's name for it."""
    model: str | None
    """The model whose rates apply; None for the model of the answer itself."""
    usage: Usage
    """What it used. It has no `extra` of its own."""


def _common(one: str | None, other: str | None) -> str | None:
    if one is None or one == other:
        return other
    return one if other is None else MIXED
