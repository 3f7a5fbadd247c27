"""
How often a conversation has just called the same tool with the same input.

Rule of this file: it reads the history that the request itself carries, and stops at the first call that is another one.
"""

import hashlib
import re
from dataclasses import dataclass

from msgspec import UNSET, Raw, UnsetType

from savemode_cli.core.wire.request_body import NUMBER, RENAMED, RequestBlock, RequestMessage, decode_json, list_items

_TOOL_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")
_NUMBERED_KEY = re.compile(rb'"%s":\d+,"%s"' % (NUMBER.encode(), RENAMED.encode()))


@dataclass(frozen=True, slots=True)
class RepeatedCall:
    """
    The tool call that stands last in a conversation.
    """

    tool: str = ""
    """Its name; empty without a call, and for a name that the API does not allow."""
    count: int = 0
    """How many times in a row it was called with the same input."""


NO_CALL = RepeatedCall()


@dataclass(frozen=True, slots=True)
class SeenRow:
    """
    The row of calls at the end of messages that were read before, without their inputs.
    """

    last: RepeatedCall = NO_CALL
    digest: bytes = b""
    """Of the name and the input of the call; empty without a call."""


NO_ROW = SeenRow()


def repeated_call(messages: object, seen: SeenRow = NO_ROW) -> RepeatedCall:
    """
    The last tool call of a conversation, and how many calls with the same name and input stand in a row there.

    Calls to several tools in one message count in their order. Two inputs are the same if their bytes are: a client writes an
    input that it repeats as it wrote it before. A message of the user that brings no result of a tool ends the row, because
    a person has said something in between. So does a row of other calls.

    Args:
        messages: the decoded `messages` of a request body.
        seen: the row at the end of those that stand before them.
    """
    row = _row(messages)
    if row.call is None:
        return NO_CALL if row.is_ended else seen.last
    goes_on = not row.is_ended and seen.digest == _digest(row.call) if seen.digest else False
    return RepeatedCall(_tool(row.call[0]), row.count + (seen.last.count if goes_on else 0))


def seen_row(messages: object, seen: SeenRow = NO_ROW) -> SeenRow:
    """
    The row at the end of messages, to go on from.

    Args:
        messages: decoded messages.
        seen: the row at the end of those that stand before them.
    """
    row = _row(messages)
    if row.call is None:
        return NO_ROW if row.is_ended else seen
    return SeenRow(repeated_call(messages, seen), _digest(row.call))


@dataclass(frozen=True, slots=True)
class _Row:
    """
    A row of calls: their name and input, how many they are, and whether something else stands before them.
    """

    call: tuple[bytes, bytes] | None
    count: int
    is_ended: bool


def _row(messages: object) -> _Row:
    last: tuple[bytes, bytes] | None = None
    count = 0
    items = list_items(messages)
    for index in reversed(range(len(items))):
        message = items[index]
        if not isinstance(message, RequestMessage):
            continue
        blocks = [block for block in list_items(message.content) if isinstance(block, RequestBlock)]
        if message.role == "user" and not any(block.type == "tool_result" for block in blocks):
            return _Row(last, count, is_ended=True)
        for block in reversed(blocks):
            if message.role != "assistant" or block.type != "tool_use":
                continue
            call = (_bytes(block.name), _bytes(block.input))
            if last is not None and call != last:
                return _Row(last, count, is_ended=True)
            last = call
            count += 1
    return _Row(last, count, is_ended=False)


def _digest(call: tuple[bytes, bytes]) -> bytes:
    return hashlib.sha256(b"\0".join(call)).digest()


def _bytes(raw: Raw | UnsetType) -> bytes:
    """
    A value as the client wrote it, without the numbers that our copy of the body adds to keys.
    """
    if raw is UNSET:
        return b""
    text = bytes(raw)
    return _NUMBERED_KEY.sub(b'"cache_control"', text) if NUMBER.encode() in text else text


def _tool(raw: bytes) -> str:
    name = decode_json(raw) if raw else ""
    return name if isinstance(name, str) and _TOOL_NAME.fullmatch(name) else ""
