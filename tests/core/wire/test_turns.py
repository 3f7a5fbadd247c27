"""
Which requests open a turn.
"""

import pytest

from savemode_cli.core.wire.request_body import RequestBlock, RequestMessage
from savemode_cli.core.wire.turns import holds_tool_result, opens_turn


@pytest.mark.parametrize(
    ("types", "expected"),
    [([], False), (["text"], False), (["text", "tool_result"], True), ([None, 3], False), (["tool_use"], False)],
)
def test_results_of_tools(types: list[object], expected: bool) -> None:
    """
    Anywhere in a message.
    """
    assert holds_tool_result(iter(types)) is expected


def test_messages_that_were_seen_before() -> None:
    """
    They decide where no answer and no result follows them.
    """
    result = RequestMessage(role="user", content=[RequestBlock(type="tool_result")])
    answer, person = RequestMessage(role="assistant"), RequestMessage(role="user", content="go on")

    assert [opens_turn(messages, before=False) for messages in ([], [person], [answer, person], [answer])] == [
        False,
        False,
        True,
        True,
    ]
    assert [opens_turn(messages) for messages in ([], [result], [answer, result], [result, answer, person])] == [
        True,
        False,
        False,
        True,
    ]
