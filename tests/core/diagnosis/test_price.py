"""
The price of a miss.
"""

from hypothesis import given
from hypothesis import strategies as st

from savemode_cli.core.diagnosis.causes import Miss, Verdict
from savemode_cli.core.diagnosis.price import priced
from savemode_cli.core.money.pricing import InputRates
from savemode_cli.core.wire.usage import Tokens

USD_PER_MTOK = 10**12
RATES = InputRates(4 * USD_PER_MTOK, 5 * USD_PER_MTOK, 8 * USD_PER_MTOK, USD_PER_MTOK // 5, "exact")


def verdict(*tokens: int) -> Verdict:
    """
    A verdict with misses of so many tokens.
    """
    return Verdict(sum(tokens), 0, tuple(Miss("system_changed", count) for count in tokens))


def test_what_was_written_again() -> None:
    """
    A million tokens that were written for 5 minutes cost $5.00 instead of $0.20.
    """
    assert priced(verdict(10**6), Tokens(write_5m=10**6), RATES).cost_nusd == 4_800_000_000


def test_a_prompt_is_billed_from_its_beginning() -> None:
    """
    After what was read come the writes for an hour, those for 5 minutes, and what was not cached.
    """
    tokens = Tokens(input=10, write_5m=20, write_1h=30, read=1000)

    assert priced(verdict(30), tokens, RATES).cost_nusd == 30 * 7_800
    assert priced(verdict(50), tokens, RATES).cost_nusd == 30 * 7_800 + 20 * 4_800
    assert priced(verdict(55), tokens, RATES).cost_nusd == 30 * 7_800 + 20 * 4_800 + 5 * 3_800


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=4), st.integers(0, 10**6), st.integers(0, 10**6))
def test_the_parts_add_up(counts: list[int], write_1h: int, write_5m: int) -> None:
    """
    To the nano-dollar, and each miss has its share.
    """
    tokens = Tokens(input=max(sum(counts) - write_1h - write_5m, 0), write_5m=write_5m, write_1h=write_1h)
    found = priced(verdict(*counts), tokens, RATES)
    whole = priced(verdict(sum(counts)), tokens, RATES).cost_nusd

    assert sum(miss.cost_nusd for miss in found.misses) == found.cost_nusd == whole
    for miss in found.misses:
        assert abs(miss.cost_nusd * sum(counts) - whole * miss.tokens) <= sum(counts)


def test_nothing_was_missed() -> None:
    """
    Then nothing is priced.
    """
    assert priced(verdict(), Tokens(input=5), RATES).cost_nusd == 0
