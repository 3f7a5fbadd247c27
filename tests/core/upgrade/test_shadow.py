"""
The shadow of a session's cache: what is kept, what expires, and what a request of unknown result does to it.
"""

from datetime import UTC, datetime, timedelta

from savemode_cli.core.upgrade.shadow import Shadow, continued, kept_tokens, later, touched
from savemode_cli.core.wire.usage import Tokens, Usage

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SHADOW = Shadow("m", NOW, NOW, prefix_tokens=100, hour_tokens=80, kept_tokens=30)


def test_after_five_minutes_only_hour_entries_explain_a_read() -> None:
    """
    Within 5 minutes the whole prefix can be read, after that what was written for an hour.
    """
    assert SHADOW.reaches_tokens(NOW + 5 * MINUTE) == 100
    assert SHADOW.reaches_tokens(NOW + 6 * MINUTE) == 80
    assert not SHADOW.is_cold(NOW + 5 * MINUTE)
    assert SHADOW.is_cold(NOW + 6 * MINUTE)


def test_a_request_of_unknown_result_may_have_refreshed_the_cache() -> None:
    """
    A 5-minute cache is then not certain to have expired. Without a shadow there is nothing to refresh.
    """
    after = touched(SHADOW, NOW + 4 * MINUTE)

    assert after is not None
    assert not after.is_cold(NOW + 8 * MINUTE)
    assert touched(None, NOW) is None


def test_the_past_of_another_model_or_of_an_hour_ago_is_empty() -> None:
    """
    Models share no cache, and after an hour nothing is left.
    """
    assert continued(SHADOW, "m", NOW + 60 * MINUTE) is SHADOW
    for past in (continued(SHADOW, "n", NOW), continued(SHADOW, "m", NOW + 61 * MINUTE), continued(None, "m", NOW)):
        assert (past.prefix_tokens, past.hour_tokens, past.kept_tokens) == (0, 0, 0)


def test_what_others_wrote_is_kept() -> None:
    """
    The part of a read beyond the session's own entries was written by somebody else.
    """
    usage = Usage(Tokens(read=130))

    assert kept_tokens(SHADOW, usage, NOW + MINUTE) == 30 + 30
    assert kept_tokens(continued(None, "m", NOW), usage, NOW) == 130


def test_hour_entries_of_the_client_are_kept_too() -> None:
    """
    A 5-minute cache would not hold what an upgrade wrote for an hour. It would hold what the client chose.
    """
    usage = Usage(Tokens(write_1h=200, write_5m=10))
    upgraded = later(SHADOW, usage, 30, NOW, NOW + MINUTE, hour_is_kept=False)
    chosen = later(SHADOW, usage, 30, NOW, NOW + MINUTE, hour_is_kept=True)

    assert (upgraded.prefix_tokens, upgraded.hour_tokens, upgraded.kept_tokens) == (210, 200, 30)
    assert upgraded.upgraded
    assert chosen.kept_tokens == 200
    assert not chosen.upgraded
