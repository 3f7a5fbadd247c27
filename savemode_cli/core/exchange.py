"""
The record of one request and its answer: what every log line, receipt and report is made from.

Rule of this file: an exchange holds no header, no credential and no content; what is shown of a body is its markers.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from savemode_cli.core.gate import GateState
from savemode_cli.core.messages import dotted
from savemode_cli.core.transform import Edit, Skip

SCHEMA_VERSION = 1

Outcome = Literal["ok", "refused", "upstream_error", "unreachable", "client_gone", "broken"]
"""
`refused`: we answered ourselves. `upstream_error`: the upstream answered 4xx or 5xx. `unreachable`: it did not answer.
`client_gone`: the client hung up first. `broken`: the upstream's answer ended early.
"""


@dataclass(frozen=True, slots=True)
class Exchange:
    """
    One request and its answer. Times are aware UTC, durations milliseconds, sizes bytes.

    `first_byte_ms` is None if nothing was answered, `status` if nobody did. With `observed`, the edits were computed
    and shown but the original was sent. `resent` says that the upstream refused the upgraded body and got the original.
    """

    id: str
    started_at: datetime
    duration_ms: float
    first_byte_ms: float | None
    method: str
    path: str
    product: str
    model: str | None
    gate: GateState
    edits: tuple[Edit, ...]
    skips: tuple[Skip, ...]
    status: int | None
    outcome: Outcome
    request_bytes: int
    response_bytes: int
    session: str | None = None
    trace_id: str | None = None
    upstream_request_id: str | None = None
    observed: bool = False
    resent: bool = False
    error: str = ""

    @property
    def upgraded(self) -> int:
        """
        How many breakpoints were raised on the wire.
        """
        return 0 if self.observed or self.resent else len(self.edits)

    def to_json(self) -> dict[str, Any]:
        """
        The exchange for machines: units in the keys, paths with dots.
        """
        return {
            "schema_version": SCHEMA_VERSION,
            "event": "request.done",
            "id": self.id,
            "started_at": self.started_at.isoformat(timespec="milliseconds"),
            "duration_ms": round(self.duration_ms, 3),
            "first_byte_ms": None if self.first_byte_ms is None else round(self.first_byte_ms, 3),
            "method": self.method,
            "path": self.path,
            "product": self.product,
            "model": self.model,
            "gate": {"on": self.gate.on, "why": self.gate.why},
            "status": self.status,
            "outcome": self.outcome,
            "upgraded": self.upgraded,
            "observed": self.observed,
            "resent": self.resent,
            "edits": [edit_json(edit) for edit in self.edits],
            "skips": [skip_json(skip) for skip in self.skips],
            "request_bytes": self.request_bytes,
            "response_bytes": self.response_bytes,
            "session": self.session,
            "trace_id": self.trace_id,
            "upstream_request_id": self.upstream_request_id,
            "error": self.error,
        }


def edit_json(edit: Edit) -> dict[str, Any]:
    """
    An edit for machines; `before` is null where nothing stood, `at_bytes` is the offset in the original body.
    """
    return {
        "rule": edit.rule,
        "path": dotted(edit.path),
        "before": edit.before if isinstance(edit.before, str | int) else None,
        "after": edit.after if isinstance(edit.after, str | int) else None,
        "was": edit.was,
        "becomes": edit.becomes,
        "at_bytes": edit.at,
        "removed_bytes": len(edit.removed),
        "inserted_bytes": len(edit.inserted),
        "why": edit.why,
    }


def skip_json(skip: Skip) -> dict[str, Any]:
    """
    A skip for machines.
    """
    return {"rule": skip.rule, "path": dotted(skip.path), "code": skip.code, "why": skip.why}
