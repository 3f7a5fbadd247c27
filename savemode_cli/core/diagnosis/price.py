"""
What a miss cost: the missed tokens at the price at which they were billed, minus the price of reading them.

Rule of this file: the sum over the misses of a request is exact. It is rounded up once, to the next nano-dollar.
"""

from collections.abc import Iterator
from dataclasses import replace

from savemode_cli.core.diagnosis.causes import Verdict
from savemode_cli.core.money.pricing import InputRates, nusd_of
from savemode_cli.core.wire.usage import Tokens


def priced(verdict: Verdict, tokens: Tokens, rates: InputRates) -> Verdict:
    """
    The same verdict, with the cost of each miss.

    Args:
        verdict: the verdict on a request.
        tokens: the tokens that the request was billed for.
        rates: the rates of its prompt.
    """
    counts = [miss.tokens for miss in verdict.misses]
    missed = sum(counts)
    if not missed:
        return verdict
    whole = nusd_of(_billed_ausd(missed, tokens, rates))
    shares = _shares(whole, counts)
    misses = (replace(miss, cost_nusd=share) for miss, share in zip(verdict.misses, shares, strict=True))
    return replace(verdict, misses=tuple(misses))


def _billed_ausd(missed: int, tokens: Tokens, rates: InputRates) -> int:
    """
    How much more the tokens after the read ones cost than reads, in atto-dollars.

    A prompt is billed in this order: tokens that were read, written for an hour, written for 5 minutes, and not cached.
    """
    cost, left = 0, missed
    for count, rate in ((tokens.write_1h, rates.write_1h), (tokens.write_5m, rates.write_5m), (left, rates.input)):
        taken = min(left, count)
        cost += taken * (rate - rates.read)
        left -= taken
    return cost


def _shares(whole: int, counts: list[int]) -> Iterator[int]:
    """
    Divide an integer in proportion to some counts. The parts add up to it.
    """
    total, before, given = sum(counts), 0, 0
    for count in counts:
        before += count
        share = whole * before // total - given
        given += share
        yield share
