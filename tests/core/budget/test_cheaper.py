"""
`max_save` runs a model that is cheaper for the given tokens, and says if there is none.
"""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from savemode_cli.core.budget.cheaper import ANY, AUTO, MaxSave, max_save
from savemode_cli.core.money.mix import TYPICAL, TokenMix
from savemode_cli.core.money.pricing import PriceTable
from savemode_cli.core.wire.usage import Tokens, Usage
from savemode_cli.prices import load_prices
from tests.builders import a_price
from tests.support.recorded import TRACES

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
PRICES = load_prices(None)
READING = TokenMix([Usage(Tokens(10, 100, 0, 200_000, 10))])
WRITING = TokenMix([Usage(Tokens(10, 10, 0, 10, 100_000))])
SHORT = TokenMix([TYPICAL])


@pytest.mark.parametrize(
    ("model", "instead", "runs", "why"),
    [
        ("claude-opus-5-5", AUTO, "claude-sonnet-5-5", "cheaper"),
        ("claude-opus-4-8", AUTO, "claude-sonnet-5-5", "cheaper"),
        ("claude-fable-5-2", AUTO, "claude-sonnet-5-5", "cheaper"),
        ("claude-mythos-preview", AUTO, "claude-sonnet-5-5", "cheaper"),
        ("us.anthropic.claude-opus-4-8-v1:0", AUTO, "claude-sonnet-5-5", "cheaper"),
        ("claude-sonnet-4-6", AUTO, "claude-sonnet-5-5", "cheaper"),
        ("claude-sonnet-5-5", AUTO, "claude-sonnet-5-5", "nothing"),
        ("claude-haiku-4-5", AUTO, "claude-haiku-5-5", "cheaper"),
        ("claude-haiku-5-5", AUTO, "claude-haiku-5-5", "nothing"),
        ("claude-haiku-5-5", ANY, "claude-haiku-5-5", "nothing"),
        ("claude-opus-5-5", ANY, "claude-haiku-5-5", "cheaper"),
        ("claude-opus-5-5", "claude-sonnet-4-6", "claude-sonnet-4-6", "asked"),
        ("claude-opus-5-5", "somebody-s", "somebody-s", "asked"),
        ("somebody-s", AUTO, "somebody-s", "unpriced"),
        ("somebody-s", ANY, "somebody-s", "unpriced"),
    ],
)
@pytest.mark.parametrize("mix", [READING, WRITING, SHORT])
def test_by_the_price_list(model: str, instead: str, runs: str, why: str, mix: TokenMix) -> None:
    """
    The list that ships, a reading, a writing and a typical mix: the rules of a model's family.
    """
    chosen = max_save(model, mix, PRICES, NOW, instead=instead)

    assert (chosen.model, chosen.runs, chosen.why) == (model, runs, why)
    if why == "cheaper":
        assert chosen.saving_nusd is not None
        assert chosen.saving_nusd > 0
    assert (chosen.model_nusd is None) == (why == "unpriced")


def test_the_tokens_decide() -> None:
    """
    One model is cheap to read with and dear to write with: for which tokens it stands in is up to the record.
    """
    table = PriceTable(
        [
            a_price("claude-opus-5-5", "4 20 5 8 0.20"),
            a_price("claude-sonnet-4-6", "3 15 3.75 6 0.30"),
            a_price("reader", "3.9 100 5 8 0.01"),
        ]
    )

    assert max_save("claude-opus-5-5", READING, table, NOW).runs == "reader"
    reading = max_save("claude-opus-5-5", READING, PriceTable(table.rows[:2]), NOW)
    assert (reading.runs, reading.why, reading.saving_nusd) == ("claude-opus-5-5", "nothing", 0)


def test_of_equal_ones_the_newest_price() -> None:
    """
    Of models with equal prices, the first name is chosen.
    """
    old, new = datetime(2026, 1, 1).date(), datetime(2026, 6, 1).date()
    rows = [
        a_price("claude-opus-5"),
        a_price("claude-sonnet-5", "1 2 1.25 2 0.1", effective=old),
        a_price("claude-sonnet-6", "1 2 1.25 2 0.1", effective=new),
        a_price("claude-sonnet-7", "1 2 1.25 2 0.1", effective=new),
    ]

    assert max_save("claude-opus-5", SHORT, PriceTable(rows), NOW).runs == "claude-sonnet-6"


def test_older_generations_do_not_stand_in() -> None:
    """
    For long prompts Claude 3 Haiku is the cheapest of the whole list, and it is still not chosen.
    """
    long = TokenMix([Usage(Tokens(10, 100, 0, 150_000, 10))])
    chosen = max_save("claude-opus-5-5", long, PRICES, NOW, instead=ANY)

    assert (chosen.runs, chosen.cheapest) == ("claude-haiku-5-5", "claude-haiku-5-5")
    assert max_save("claude-3-5-haiku", long, PRICES, NOW).runs == "claude-3-haiku"


@given(st.sampled_from([row.model for row in PRICES.rows]), st.sampled_from([AUTO, ANY]), st.data())
def test_never_dearer(model: str, instead: str, data: st.DataObject) -> None:
    """
    This is so for all models and tokens. The cheapest model never costs more than the chosen one.
    """
    mix = TokenMix([Usage(Tokens(*(data.draw(st.integers(0, 300_000)) for _ in range(5))))])
    chosen = max_save(model, mix, PRICES, NOW, instead=instead)

    assert chosen.saving_nusd is not None
    assert (chosen.saving_nusd > 0) == (chosen.runs != model) == (chosen.why == "cheaper")
    assert chosen.runs_nusd is not None
    assert chosen.cheapest_nusd <= chosen.runs_nusd or chosen.why == "nothing"


def test_savings_that_are_not_known() -> None:
    """
    Of a model without a price, on either side.
    """
    assert max_save("somebody-s", SHORT, PRICES, NOW).saving_nusd is None
    assert max_save("claude-opus-5-5", SHORT, PRICES, NOW, instead="somebody-s").saving_nusd is None


@pytest.mark.skipif(not TRACES.exists(), reason="needs recorded traffic")
@pytest.mark.parametrize(
    ("name", "cents"), [("marot-spotter", (3144, 3510, 1572)), ("entireio-cli", (57_100, 59_201, 28_550))]
)
def test_two_recorded_sets(name: str, cents: tuple[int, int, int]) -> None:
    """
    Opus 5.5, Sonnet 4.6, whose cache reads are dearer, and Sonnet 5.5 for the same tokens.
    """
    from savemode_cli.readers.mix import mix_of

    mix = mix_of(str(TRACES / "transcripts" / name))
    dearer: MaxSave = max_save("claude-opus-5-5", mix, PRICES, NOW, instead="claude-sonnet-4-6")
    chosen = max_save("claude-opus-5-5", mix, PRICES, NOW)
    assert dearer.model_nusd is not None
    assert dearer.runs_nusd is not None
    assert chosen.runs_nusd is not None

    assert tuple(one // 10**7 for one in (dearer.model_nusd, dearer.runs_nusd, chosen.runs_nusd)) == cents
    assert chosen.runs == "claude-sonnet-5-5"
