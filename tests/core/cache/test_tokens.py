"""
The estimate of tokens, and its calibration.
"""

import dataclasses
import random

import pytest

from savemode_cli.core.cache.tokens import DEFAULT_ESTIMATE, KINDS, BlockKind, TokenEstimate
from tests.support.calibrated import Sizes, calibrated, tokens_of


def stretch(blocks: int = 1, **sizes: int) -> Sizes:
    """
    So many bytes of each kind, in so many blocks each.
    """
    return Sizes({kind: sizes.get(kind, 0) for kind in KINDS}, {kind: blocks if kind in sizes else 0 for kind in KINDS})


@pytest.mark.parametrize(
    ("kind", "size", "tokens"),
    [
        ("text", 0, 4),
        ("text", 290, 104),
        ("data", 250, 104),
        ("tool", 300, 104),
        ("thinking", 290, 104),
        ("document", 3000, 104),
        ("image", 0, 1504),
        ("image", 10**6, 1504),
    ],
)
def test_each_kind_has_its_rate(kind: BlockKind, size: int, tokens: int) -> None:
    """
    Bytes over bytes per token, and the block itself; an image is charged whole, however long its base64 is.
    """
    assert tokens == DEFAULT_ESTIMATE.tokens(kind, size)


def test_no_block_is_free() -> None:
    """
    Even an estimate without a price for blocks counts one token for an empty one.
    """
    assert TokenEstimate(block_tokens=0).tokens("text", 0) == 1


@pytest.mark.parametrize("wrong", [{"text": 0}, {"data": -1.0}, {"block_tokens": -1.0}, {"tail_tokens": -1}])
def test_senseless_rates_are_refused(wrong: dict[str, float]) -> None:
    """
    An estimate never divides by zero, and never counts below it.
    """
    with pytest.raises(ValueError, match="must"):
        dataclasses.replace(DEFAULT_ESTIMATE, **wrong)  # type: ignore[arg-type]


def test_calibration_finds_the_rates_behind_recorded_counts() -> None:
    """
    Prompts counted at other rates than the default: the fit comes within two percent of every one of them.
    """
    truth = TokenEstimate(text=3.1, data=2.4, tool=4.2, thinking=5.0, document=18.0, image_tokens=900)
    rng = random.Random(4)
    prompts = [stretch(8, **{kind: rng.randrange(100, 90_000) for kind in KINDS}) for _ in range(200)]

    found = calibrated((one, round(tokens_of(truth, one))) for one in prompts)

    for one in prompts:
        assert tokens_of(found, one) == pytest.approx(tokens_of(truth, one), rel=0.02)


def test_calibration_leaves_alone_what_no_sample_holds() -> None:
    """
    Text says nothing of images: their rate stays.
    """
    found = calibrated([(stretch(text=29_000), 20_000)] * 50)

    assert found.image_tokens == DEFAULT_ESTIMATE.image_tokens
    assert found.data == DEFAULT_ESTIMATE.data
    assert found.text == pytest.approx(1.45, rel=0.01)


@pytest.mark.parametrize("samples", [[], [(stretch(text=100), 0)]])
def test_calibration_without_samples_is_the_default(samples: list[tuple[Sizes, int]]) -> None:
    """
    Nothing recorded, or nothing counted: nothing learnt.
    """
    assert calibrated(samples) == DEFAULT_ESTIMATE


def test_calibration_is_bounded() -> None:
    """
    A record that cannot be true does not make a rate of zero or below.
    """
    found = calibrated([(stretch(text=38), 10**9), (stretch(data=10**9), 1)])

    assert found.text > 0
    assert found.data > 0
