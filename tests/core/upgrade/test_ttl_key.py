"""
What the bill of an experiment shows.
"""

from datetime import UTC, datetime

import pytest

from savemode_cli.core.upgrade.ttl_key import judge_ttl_key
from tests.builders import a_usage

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("counters", "outcome"),
    [
        ((0, 0, 2_000, 100_000), "carries_over"),
        ((0, 0, 12_000, 90_000), "carries_over"),
        ((0, 0, 102_000, 0), "in_key"),
        ((0, 0, 82_000, 20_000), "in_key"),
        ((0, 0, 32_000, 70_000), "unclear"),
        ((0, 102_000, 0, 0), "unclear"),
        ((0, 0, 50_000, 0), "unclear"),
        ((3, 0, 0, 0), "unclear"),
    ],
    ids=["all read", "most", "all written", "a head read", "between", "a downgrade", "a cut", "nothing cached"],
)
def test_verdicts(counters: tuple[int, ...], outcome: str) -> None:
    """
    Of a prefix of 100,000 tokens.
    """
    verdict = judge_ttl_key("m", NOON, 100_000, a_usage(*counters))

    assert (verdict.outcome, verdict.model, verdict.expected_tokens) == (outcome, "m", 100_000)
