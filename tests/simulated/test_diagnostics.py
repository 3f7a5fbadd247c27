"""
The simulated upstream's cache diagnostics.
"""

from collections.abc import Callable
from typing import Any

import pytest

from savemode_cli.simulated.diagnostics import MOST_REMEMBERED, Diagnostics
from tests.support.mutations import conversation
from tests.support.prompts import Object, encoded, tool


def diagnosed(diagnostics: Diagnostics, body: Object, message_id: str, previous: Any = "msg_1") -> Object | None:
    """
    What is said of a request.
    """
    asked = {**body, "diagnostics": {"previous_message_id": previous}}
    return diagnostics.diagnose(encoded(asked), asked, message_id)


def other_model(body: Object) -> None:
    """
    Another model.
    """
    body["model"] = "claude-sonnet-5"


def fast(body: Object) -> None:
    """
    Another speed, which counts as a part of the model.
    """
    body["speed"] = "fast"


def one_more_tool(body: Object) -> None:
    """
    A new tool.
    """
    body["tools"].append(tool("new"))


def another_day(body: Object) -> None:
    """
    A date in the system prompt.
    """
    body["system"][1]["text"] = "Today is another day."


def shorter(body: Object) -> None:
    """
    Without the first message's words.
    """
    body["messages"][0]["content"][0]["text"] = "Please."


def no_thinking(body: Object) -> None:
    """
    A parameter that the API cannot tell of.
    """
    body["thinking"] = {"type": "disabled"}


@pytest.mark.parametrize(
    ("mutate", "reason", "has_tokens"),
    [
        (other_model, "model_changed", True),
        (fast, "model_changed", True),
        (one_more_tool, "tools_changed", True),
        (another_day, "system_changed", True),
        (shorter, "messages_changed", True),
        (no_thinking, "unavailable", False),
    ],
)
def test_reasons(mutate: Callable[[Object], None], reason: str, has_tokens: bool) -> None:
    """
    The first difference in the API's order.
    """
    diagnostics = Diagnostics()
    assert diagnosed(diagnostics, conversation(1), "msg_1", None) is None
    body = conversation(2)
    mutate(body)
    found = diagnosed(diagnostics, body, "msg_2")

    assert found is not None
    assert found["cache_miss_reason"]["type"] == reason
    assert (found["cache_miss_reason"].get("cache_missed_input_tokens", 0) > 0) == has_tokens


def test_nothing_to_say() -> None:
    """
    A conversation that only grows; a request that did not ask is not remembered; one that was forgotten.
    """
    diagnostics = Diagnostics()
    diagnosed(diagnostics, conversation(1), "msg_1", None)
    assert diagnosed(diagnostics, conversation(2), "msg_2") is None
    body = conversation(2)
    assert diagnostics.diagnose(encoded(body), body, "msg_3") is None
    unknown = {"cache_miss_reason": {"type": "previous_message_not_found"}}
    assert diagnosed(diagnostics, conversation(2), "msg_4", "msg_3") == unknown
    for number in range(MOST_REMEMBERED):
        diagnosed(diagnostics, {"model": "m", "messages": []}, f"more_{number}", None)
    assert diagnosed(diagnostics, conversation(2), "msg_5", "msg_1") == unknown
