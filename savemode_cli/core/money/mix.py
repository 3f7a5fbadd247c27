"""
The tokens of recorded requests by kind, and what they would cost with another model.

Rule of this file: it adds up tokens. `pricing` computes what they cost.
"""

from collections.abc import Iterable
from dataclasses import replace

from savemode_cli.core.money.pricing import cost_nusd
from savemode_cli.core.money.rates import Price
from savemode_cli.core.wire.usage import Tokens, Usage

TYPICAL = Usage(Tokens(input=30, write_5m=2200, write_1h=1900, read=88_000, output=320))
"""
A request of a coding agent, for a user without recorded traffic.

Prompts: the means of 13,226 requests in two public sets of Claude Code transcripts of January and February 2026.
Output: from the shares of cost in TraceLab (43 developers, 140,338 requests), where output is 11.2 % and cache reads
are 59.5 %.
"""


class TokenMix:
    """
    What some requests used: prompts, output and web searches, at standard speed.

    Advisors and compactions are left out, because another model may not need them.
    """

    def __init__(self, usages: Iterable[Usage] = ()) -> None:
        """
        Create the mix of some usages.
        """
        self.requests = 0
        self._usages: list[Usage] = []
        for usage in usages:
            self.add(usage)

    def add(self, usage: Usage) -> None:
        """
        Add one request.
        """
        self.requests += 1
        self._usages.append(_plain(usage))

    def cost_nusd(self, price: Price) -> int:
        """
        What the same tokens cost at a price, in nano-dollars. A long prompt is billed at its own rates, for each
        request.
        """
        if price.long is None:
            return cost_nusd(_total(self._usages), price)
        above = price.long.above_tokens
        short = _total(usage for usage in self._usages if usage.tokens.prompt <= above)
        long = _total(usage for usage in self._usages if usage.tokens.prompt > above)
        flat = replace(price, long=None)
        return cost_nusd(short, flat) + cost_nusd(long, replace(flat, standard=price.long.rates))


def _plain(usage: Usage) -> Usage:
    return Usage(usage.tokens, usage.web_searches)


def _total(usages: Iterable[Usage]) -> Usage:
    return sum(usages, Usage())
