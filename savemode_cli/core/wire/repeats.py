"""
How often a conversation has just repeated a round of tool calls: the same tools with the same inputs, in the same order.

Rule of this file: it reads the history that the request itself carries, and stops where it is certain that no round goes on.
"""

import hashlib
import re

from msgspec import UNSET, Raw, Struct, UnsetType

from savemode_cli.core.wire.request_body import NUMBER, RENAMED, RequestBlock, RequestMessage, decode_json, list_items

_TOOL_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")
_NUMBERED_KEY = re.compile(rb'"%s":\d+,"%s"' % (NUMBER.encode(), RENAMED.encode()))


LONGEST_ROUND = 3
"""How many calls a round has at most: A-A-A, A-B-A-B and A-B-C-A-B-C are found."""


class RepeatedCall(Struct, frozen=True, gc=False):
    """
    The round of tool calls that stands last in a conversation; mostly it is one call.
    """

    tool: str = ""
    """The names of its tools in their order, with `, ` between them. One that the API does not allow is left empty."""
    count: int = 0
    """How many times in a row it was made with the same inputs. 0 without a call."""


NO_CALL = RepeatedCall()


class SeenRow(Struct, frozen=True, gc=False):
    """
    The row of calls at the end of messages that were read before, without their inputs.
    """

    recent: tuple[tuple[bytes, str], ...] = ()
    """The last calls, the newest first, as many as a round can have: the digest of name and input, and the name."""
    repeats: tuple[int, ...] = (0,) * LONGEST_ROUND
    """For rounds of 1, 2 and more calls: how many calls at the end are each the same as the one that many calls before."""

    def after(self, digest: bytes, tool: str) -> "SeenRow":
        """
        The row with one more call.

        Args:
            digest: equal for calls with the same name and input.
            tool: the name.
        """
        known = self.recent
        repeats = tuple(
            count + 1 if length < len(known) and known[length][0] == digest else 0
            for length, count in enumerate(self.repeats)
        )
        return SeenRow(((digest, tool), *known[: LONGEST_ROUND - 1]), repeats)

    @property
    def last(self) -> RepeatedCall:
        """
        The round that was repeated most; of equal ones the shortest.
        """
        best = NO_CALL
        for length, repeats in enumerate(self.repeats, 1):
            count = (repeats + length) // length
            if length <= len(self.recent) and count > best.count:
                # A round begins where it was first seen, so an unfinished one does not turn the names.
                names = [tool for _, tool in self.recent[:length]][::-1]
                turned = repeats % length
                best = RepeatedCall(", ".join(names[length - turned :] + names[: length - turned]), count)
        return best


NO_ROW = SeenRow()


def repeated_call(messages: object, seen: SeenRow = NO_ROW) -> RepeatedCall:
    """
    The last round of tool calls of a conversation, and how many times in a row it was made with the same names and inputs.

    Calls to several tools in one message count in their order. Two inputs are the same if their bytes are: a client writes an
    input that it repeats as it wrote it before. A message of the user that brings no result of a tool ends the row, because
    a person has said something in between. So does a call that fits no round.

    Args:
        messages: the decoded `messages` of a request body.
        seen: the row at the end of those that stand before them.
    """
    return seen_row(messages, seen).last


def seen_row(messages: object, seen: SeenRow = NO_ROW) -> SeenRow:
    """
    The row at the end of messages, to go on from.

    Args:
        messages: decoded messages.
        seen: the row at the end of those that stand before them.
    """
    calls, is_ended = _last_calls(messages)
    if len(calls) == 1 and is_ended:
        return SeenRow(((_digest(*calls[0]), _tool(calls[0][0])),))
    row = NO_ROW if is_ended else seen
    for name, given in reversed(calls):
        row = row.after(_digest(name, given), _tool(name))
    return row


def _last_calls(messages: object) -> tuple[list[tuple[bytes, bytes]], bool]:
    """
    The calls at the end, the last one first, as far back as a round can go on; and whether the row begins with the first of
    them.
    """
    calls: list[tuple[bytes, bytes]] = []
    possible = list(range(1, LONGEST_ROUND + 1))
    items = list_items(messages)
    for index in reversed(range(len(items))):
        message = items[index]
        if not isinstance(message, RequestMessage):
            continue
        blocks = [block for block in list_items(message.content) if isinstance(block, RequestBlock)]
        if message.role == "user" and "tool_result" not in [block.type for block in blocks]:
            return calls, True
        if message.role != "assistant":
            continue
        for block in reversed(blocks):
            if block.type != "tool_use":
                continue
            calls.append((_bytes(block.name), _bytes(block.input)))
            possible = [length for length in possible if length >= len(calls) or calls[-1] == calls[-1 - length]]
            if not possible:
                return calls, True
    return calls, False


def _digest(name: bytes, given: bytes) -> bytes:
    return hashlib.sha256(name + b"\0" + given).digest()


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
