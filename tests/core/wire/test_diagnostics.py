"""
What an answer says of a request beside the one before it.
"""

import pytest
from anthropic.types import Diagnostics

from savemode_cli.core.wire.diagnostics import CacheDiagnosis, blames_diagnostics, diagnosis_in, parameter

REASON = {"type": "system_changed", "cache_missed_input_tokens": 41_233}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"cache_miss_reason": REASON}, CacheDiagnosis("system_changed", 41_233)),
        ({"cache_miss_reason": {"type": "previous_message_not_found"}}, CacheDiagnosis("previous_message_not_found")),
        ({"cache_miss_reason": None}, CacheDiagnosis("pending")),
        (None, None),
        (7, None),
        ({"cache_miss_reason": 7}, None),
        ({"cache_miss_reason": {"type": "x" * 1000}}, None),
        (
            {"cache_miss_reason": {"type": "model_changed", "cache_missed_input_tokens": -1}},
            CacheDiagnosis("model_changed"),
        ),
    ],
)
def test_reasons(value: object, expected: CacheDiagnosis | None) -> None:
    """
    Those of the API; anything else is no diagnosis.
    """
    assert diagnosis_in(value) == expected


def test_it_is_the_sdks() -> None:
    """
    The official SDK reads the same.
    """
    read = Diagnostics.model_validate({"cache_miss_reason": REASON}, strict=True)

    assert read.cache_miss_reason is not None
    assert read.cache_miss_reason.type == "system_changed"
    assert CacheDiagnosis("system_changed", 41_233).to_json() == {"reason": "system_changed", "missed_tokens": 41_233}


def test_the_parameter() -> None:
    """
    As a member of a body; an error that names it is about it.
    """
    assert parameter('a"b') == b'"diagnostics":{"previous_message_id":"a\\"b"}'
    assert parameter(None) == b'"diagnostics":{"previous_message_id":null}'
    assert blames_diagnostics(b'{"error":{"message":"diagnostics: Extra inputs are not permitted"}}')
    assert not blames_diagnostics(b"{}")
