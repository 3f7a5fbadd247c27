"""
How a request was answered: the last part of an exchange.

Rule of this file: it contains no header and no content. Times are milliseconds since the request arrived, and sizes are
bytes.
"""

from typing import Any, Literal

from msgspec import Struct

from savemode_cli.core.wire.diagnostics import CacheDiagnosis

Outcome = Literal["ok", "refused", "upstream_error", "unreachable", "client_gone", "broken"]
"""
How a request ended.

`refused`: savemode answered it. `upstream_error`: the upstream answered with an error. `unreachable`: it could not be
reached, or did not answer. `client_gone`: the client hung up first. `broken`: the answer ended early, is empty, or is not
one of the API.
"""


class Answer(Struct, frozen=True, gc=False, omit_defaults=True):
    """
    How a request was answered.
    """

    outcome: Outcome = "ok"
    status: int | None = None
    """The HTTP status that the client received; None if it received none."""
    error: str = ""
    """What went wrong, in words; empty if nothing did."""
    duration_ms: float = 0.0
    """Until the last byte of the answer."""
    first_byte_ms: float | None = None
    """Until the head of the upstream's answer; None if the upstream did not answer."""
    first_token_ms: float | None = None
    """Until the first generated content of a stream; None without one."""
    response_bytes: int = 0
    """The size of the upstream's answer as it was received."""
    upstream_request_id: str | None = None
    stop_reason: str | None = None
    """Why the model stopped, in the API's word; None if the answer does not say."""
    answered_by: str | None = None
    """The model that answered. Its prices apply. None if the answer does not name it."""
    diagnosis: CacheDiagnosis | None = None
    """What the API says of the request beside the one before it; None if it was not asked."""

    def to_json(self) -> dict[str, Any]:
        """
        The fields for machines.
        """
        return {
            "outcome": self.outcome,
            "status": self.status,
            "error": self.error,
            "duration_ms": _rounded(self.duration_ms),
            "first_byte_ms": _rounded(self.first_byte_ms),
            "first_token_ms": _rounded(self.first_token_ms),
            "response_bytes": self.response_bytes,
            "upstream_request_id": self.upstream_request_id,
            "stop_reason": self.stop_reason,
            **({} if self.diagnosis is None else {"api_diagnosis": self.diagnosis.to_json()}),
        }


def _rounded(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else round(milliseconds, 3)
