"""
Our verdict beside the API's.
"""

import pytest

from savemode_cli.core.diagnosis.agreement import agrees
from savemode_cli.core.diagnosis.causes import Cause, Miss, Verdict
from savemode_cli.core.wire.diagnostics import CacheDiagnosis


@pytest.mark.parametrize(
    ("causes", "reason", "expected"),
    [
        (["system_changed"], "system_changed", True),
        (["system_changed"], "tools_changed", False),
        (["messages_changed", "expired"], "messages_changed", True),
        (["compacted"], "messages_changed", True),
        (["expired"], "no_divergence", True),
        (["expired"], "messages_changed", False),
        (["messages_changed"], "no_divergence", False),
        ([], "no_divergence", True),
        ([], "messages_changed", False),
        (["unknown"], "no_divergence", None),
        (["system_changed"], "unavailable", None),
        (["system_changed"], "previous_message_not_found", None),
        ([], "pending", None),
    ],
)
def test_agreement(causes: list[Cause], reason: str, expected: bool | None) -> None:
    """
    The same cause; or none on either side, for a pause is no difference of the requests.
    """
    verdict = Verdict(9000, 1000, tuple(Miss(cause, 4000) for cause in causes))

    assert agrees(verdict, CacheDiagnosis(reason)) is expected


def test_parameters() -> None:
    """
    The speed is a part of the model to the API.
    """
    speed = Verdict(9000, 0, (Miss("parameters_changed", 9000, parameter="speed"),))

    assert agrees(speed, CacheDiagnosis("model_changed")) is True
