"""
How a request was answered.
"""

from savemode_cli.core.wire.answer import Answer


def test_microseconds_are_enough() -> None:
    """
    What was not measured is null, not zero.
    """
    shown = Answer(duration_ms=1234.56789, first_token_ms=15.67891).to_json()

    assert (shown["duration_ms"], shown["first_byte_ms"], shown["first_token_ms"]) == (1234.568, None, 15.679)
    assert (shown["status"], shown["outcome"]) == (None, "ok")
