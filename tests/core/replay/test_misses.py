"""
Missed reads of recorded requests, and what usage and times show of their causes.
"""

from datetime import UTC, datetime, timedelta

import pytest

from savemode_cli.core.replay.inference import lane_requests
from savemode_cli.core.replay.misses import miss_of
from savemode_cli.core.replay.recording import Recorded
from savemode_cli.core.wire.usage import Tokens, Usage

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def after(pause_s: float, tokens: Tokens, first: Tokens | None = None) -> tuple[str, int] | None:
    """
    The miss of a request that follows one that wrote 40,000 tokens for 5 minutes.
    """
    used = (first or Tokens(input=3, write_5m=40_000), tokens)
    times = (NOON, NOON + timedelta(seconds=3 + pause_s))
    requests = [
        Recorded("s", "", "claude-opus-5-5", at, at + timedelta(seconds=3), Usage(one), opens_turn=False)
        for at, one in zip(times, used, strict=True)
    ]
    opening, following = lane_requests(requests)
    assert miss_of(opening) is None
    miss = miss_of(following)
    return None if miss is None else (miss.cause, miss.tokens)


@pytest.mark.parametrize(
    ("pause_s", "tokens", "miss"),
    [
        (60, Tokens(input=3, write_5m=1000, read=40_000), None),
        (600, Tokens(input=3, write_5m=41_000), ("expired", 40_000)),
        (600, Tokens(input=3, write_5m=31_000, read=10_000), ("expired", 30_000)),
        (60, Tokens(input=3, write_5m=31_000, read=10_000), ("unknown", 30_000)),
        (60, Tokens(input=3, write_5m=9_000, read=1_000), ("compacted", 9_000)),
        (600, Tokens(input=3, write_5m=9_000, read=1_000), ("compacted", 9_000)),
        (60, Tokens(input=3, write_5m=2_024, read=38_976), None),
        (60, Tokens(input=3, write_5m=2_025, read=38_975), ("unknown", 1025)),
    ],
)
def test_causes(pause_s: float, tokens: Tokens, miss: tuple[str, int] | None) -> None:
    """
    A pause longer than the TTL, a shorter conversation, or neither; up to 1,024 of many tokens are next to nothing.
    """
    assert after(pause_s, tokens) == miss


def test_a_twentieth_of_little() -> None:
    """
    Of a short prompt more than 5 % counts.
    """
    short = Tokens(input=3, write_5m=2000)

    assert after(60, Tokens(input=3, write_5m=100, read=1900), short) is None
    assert after(60, Tokens(input=3, write_5m=101, read=1899), short) == ("unknown", 101)
