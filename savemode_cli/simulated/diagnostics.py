"""
The cache diagnostics of the simulated upstream: how a request differs from the one before it.

Rule of this file: it compares the structure of two requests, as the API does, whether or not the cache hit.
Source: the types `DiagnosticsParam` and `CacheMissReason` of the SDK 2.14.0 (checked 2026-11-29).
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from savemode_cli.core.cache.blocks import read_blocks
from savemode_cli.core.cache.prompt import prompt_from
from savemode_cli.core.diagnosis.difference import compare
from savemode_cli.core.diagnosis.fingerprint import Fingerprint, fingerprint_of
from savemode_cli.simulated.answers import Object

MOST_REMEMBERED = 1000
_REASONS = ("tools_changed", "system_changed", "messages_changed")


@dataclass(frozen=True, slots=True)
class _Remembered:
    """
    A request that asked to be remembered.
    """

    model: str
    speed: object
    fingerprint: Fingerprint | None
    """None if the request has too many blocks."""


class Diagnostics:
    """
    The requests that asked to be remembered, by the ID of their answer.
    """

    def __init__(self) -> None:
        """
        None yet.
        """
        self._remembered: OrderedDict[str, _Remembered] = OrderedDict()

    def diagnose(self, raw: bytes, body: dict[str, Any], message_id: str) -> Object | None:
        """
        What the answer says of a request. The request is remembered if it has the parameter.

        Args:
            raw: its body.
            body: the same, decoded.
            message_id: the ID of its answer.

        Returns:
            The `diagnostics` of the answer; None without the parameter, and if nothing but an appended part differs.
        """
        asked = body.get("diagnostics")
        if asked is None:
            return None
        request = read_blocks(raw)
        speed = body.get("speed") or "standard"
        own = _Remembered(body["model"], speed, fingerprint_of(request, prompt_from(request)))
        previous = asked.get("previous_message_id")
        reason = None if previous is None else _reason(own, self._remembered.get(previous))
        self._remembered[message_id] = own
        if len(self._remembered) > MOST_REMEMBERED:
            self._remembered.popitem(last=False)
        return None if reason is None else {"cache_miss_reason": reason}


def _reason(own: _Remembered, before: _Remembered | None) -> Object | None:
    if before is None:
        return {"type": "previous_message_not_found"}
    if own.fingerprint is None or before.fingerprint is None:
        return {"type": "unavailable"}
    tokens = before.fingerprint.tokens()
    if (own.model, own.speed) != (before.model, before.speed):
        return {"type": "model_changed", "cache_missed_input_tokens": sum(tokens)}
    difference = compare(before.fingerprint, own.fingerprint)
    change, missed = difference.change, sum(tokens[difference.shared :])
    is_in_head = change is not None and change.level < len(_REASONS) - 1
    if not is_in_head and own.fingerprint.parameters != before.fingerprint.parameters:
        return {"type": "unavailable"}
    return None if change is None else {"type": _REASONS[change.level], "cache_missed_input_tokens": missed}
