"""
Whether a request opens a turn of the conversation, or goes on with one.

Rule of this file: requests of a running proxy, recorded bodies and transcripts are judged by the same rule. A request opens a
turn unless results of tools stand among what follows the last answer: then the client goes on by itself, at the pace of its
tools. A sub-agent is recognised by its ID, and a compaction by its shorter prompt, not here.
"""

from collections.abc import Iterable

from savemode_cli.core.wire.request_body import RequestBlock, RequestMessage, list_items

TOOL_RESULT = "tool_result"
"""The type of a block with the result of a tool that the client runs."""


def holds_tool_result(types: Iterable[object]) -> bool:
    """
    Whether a message goes on with a turn.

    Args:
        types: the types of its content blocks.
    """
    return TOOL_RESULT in types


def opens_turn(messages: object, before: bool = True) -> bool:
    """
    Whether no message after the last answer holds a tool's result. A client may add messages of its own behind one.

    Args:
        messages: the decoded `messages` of a request body.
        before: the same of the messages that stand before them.
    """
    for message in reversed(list_items(messages)):
        if not isinstance(message, RequestMessage):
            continue
        if message.role == "assistant":
            return True
        blocks = list_items(message.content)
        if holds_tool_result([block.type for block in blocks if isinstance(block, RequestBlock)]):
            return False
    return before
