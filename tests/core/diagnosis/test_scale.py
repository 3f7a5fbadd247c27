"""
Estimates scaled to the bill.
"""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from savemode_cli.core.diagnosis.lanes import Lane, SentPrompt
from savemode_cli.core.diagnosis.scale import Scale
from savemode_cli.core.wire.usage import Tokens, Usage
from tests.support.prompts import MODEL, fingerprinted, text, user

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


@given(st.integers(0, 10**7), st.integers(0, 10**7), st.integers(0, 10**7))
def test_never_more_than_was_billed(total: int, estimated: int, tokens: int) -> None:
    """
    Whatever the estimate; the whole is the whole.
    """
    scale = Scale(total, estimated)

    assert 0 <= scale.tokens(tokens) <= total
    assert scale.tokens(estimated) == (total if estimated else 0)


def test_the_bill_counts() -> None:
    """
    Without a bill the estimate does.
    """
    fingerprint = fingerprinted({"messages": [user(text("word " * 400))]})
    sent = SentPrompt("a", Lane("s", "", MODEL), fingerprint, NOON)
    assert Scale.of(sent).total == fingerprint.total_tokens
    sent.usage = Usage(Tokens(input=7, write_5m=20, read=300))

    assert Scale.of(sent) == Scale(327, fingerprint.total_tokens)
