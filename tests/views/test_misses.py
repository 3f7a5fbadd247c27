"""
A miss in one line, and as fields.
"""

from datetime import timedelta

import pytest

from savemode_cli.core.diagnosis.causes import Miss
from savemode_cli.views.misses import describe

SHORT, LONG = timedelta(minutes=7), timedelta(hours=4, minutes=11)


@pytest.mark.parametrize(
    ("miss", "words"),
    [
        (Miss("unknown", 1), "unknown"),
        (
            Miss("system_changed", 1, ("system", 1, "text"), "edited", "text", values_only=True),
            "system_changed at system[1].text: edited, only numbers, dates or IDs",
        ),
        (
            Miss("messages_changed", 1, ("messages", 1, "content", 0), "removed", "thinking", forgotten=True),
            "messages_changed at messages[1].content[0]: removed thinking, this model leaves out the thinking of earlier turns",
        ),
        (
            Miss("parameters_changed", 1, ("speed",), parameter="speed", before="standard", after="fast"),
            "parameters_changed at speed: speed was standard, is fast",
        ),
        (
            Miss("expired", 1, ("system", 0), idle=SHORT, ttl="5m", asked_ttl="5m"),
            "expired at system[0]: idle for 7 min, cached for 5m; 1h would have been long enough",
        ),
        (
            Miss("expired", 1, idle=LONG, ttl="1h", asked_ttl="1h"),
            "expired: idle for 4 h 11 min, cached for 1h; no TTL is that long",
        ),
        (
            Miss("not_kept", 1, idle=SHORT, ttl="5m", asked_ttl="1h"),
            "not_kept: idle for 7 min, cached for 5m although 1h was asked for",
        ),
        (
            Miss("tools_changed", 1, ("tools", 0), "reordered", "tool", idle=SHORT, ttl="5m"),
            "tools_changed at tools[0]: reordered tool, the TTL had ended too",
        ),
        (
            Miss("out_of_reach", 1, ("messages", 3, "content", 0), positions=34),
            "out_of_reach at messages[3].content[0]: the cached prefix ends 34 positions before the breakpoint",
        ),
    ],
)
def test_in_one_line(miss: Miss, words: str) -> None:
    """
    The cause, the place, and what is known of it.
    """
    assert describe(miss) == words
