"""
The API's own cache diagnostics: the parameter `diagnostics` of a request, and what an answer says of it.

Rule of this file: it reads and writes the API's words. An answer in another form is no diagnosis, and no error.
Source: `DiagnosticsParam`, `Diagnostics` and `CacheMissReason` of the SDK 2.14.0 (checked 2026-11-29).
"""

from typing import Any

import msgspec
from msgspec import Struct

DIAGNOSTICS = "diagnostics"
"""The parameter of a request, and the field of an answer."""

NO_DIVERGENCE, PENDING = "no_divergence", "pending"
"""Our words for a null: the requests do not differ before what was appended; the comparison was not over in time."""

NOT_COMPARED = frozenset({PENDING, "previous_message_not_found", "unavailable"})
"""Reasons that say nothing of the request."""

_LONGEST_REASON = 64


class CacheDiagnosis(Struct, frozen=True, gc=False):
    """
    What the API says of a request beside the one before it.
    """

    reason: str
    """The type of its `cache_miss_reason`, or one of `NO_DIVERGENCE` and `PENDING`."""
    missed_tokens: int | None = None
    """About how many tokens would have been read with an unchanged prefix, as the API says; None if it does not."""

    def to_json(self) -> dict[str, Any]:
        """
        The diagnosis for machines.
        """
        return {"reason": self.reason, "missed_tokens": self.missed_tokens}


def diagnosis_in(value: object) -> CacheDiagnosis | None:
    """
    The diagnosis in an answer.

    Args:
        value: its `diagnostics`.

    Returns:
        The diagnosis; None if there is none: the request did not ask for it, or no divergence was found.
    """
    if not isinstance(value, dict):
        return None
    reason = value.get("cache_miss_reason")
    if reason is None:
        return CacheDiagnosis(PENDING)
    kind = reason.get("type") if isinstance(reason, dict) else None
    if not isinstance(kind, str) or not kind or len(kind) > _LONGEST_REASON:
        return None
    tokens = reason.get("cache_missed_input_tokens")
    is_count = isinstance(tokens, int) and not isinstance(tokens, bool) and tokens >= 0
    return CacheDiagnosis(kind, tokens if is_count else None)


def parameter(previous_message_id: str | None) -> bytes:
    """
    The parameter as a member of a request: with null the request only asks to be remembered.

    Args:
        previous_message_id: the ID of the answer before it; None if there is none.
    """
    return b'"%s":%s' % (DIAGNOSTICS.encode(), msgspec.json.encode({"previous_message_id": previous_message_id}))


def blames_diagnostics(answer: bytes) -> bool:
    """
    Whether an error body of the upstream complains about the parameter.
    """
    return DIAGNOSTICS.encode() in answer
