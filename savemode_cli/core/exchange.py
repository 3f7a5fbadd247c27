"""
The record of one request and its answer: what every log line, receipt and report is made from.

Rule of this file: an exchange holds no header, no credential and no content; what is shown of a body is its markers.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from savemode_cli.core.admission import Decision, Refused
from savemode_cli.core.charge import Outcome, Settlement
from savemode_cli.core.gate import GateState
from savemode_cli.core.messages import MESSAGES_PATH, dotted
from savemode_cli.core.pricing import Cost, State, Usage
from savemode_cli.core.receipt import Receipt
from savemode_cli.core.tiers import exact_usd
from savemode_cli.core.transform import Edit, Skip

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Exchange:
    """
    One request and its answer. Times are aware UTC, durations milliseconds, sizes bytes.

    `first_byte_ms` is None if nothing was answered, `status` if nobody did; `first_token_ms` is that of a stream's first
    piece of content, None without one. With `observed`, the edits were computed
    and shown but the original was sent. `resent` says that the upstream refused the upgraded body and got the original.
    Of `edits` and `skips` as many more as `..._left_out` say were dropped when it was `shortened`.

    `decision` is None where no budget was asked, `settlement` where nothing was to be charged, `usage` where none was
    reported; `told` are the budget headers of the answer, which say how the budgets stood when it was let through, and
    `decision_after` how they stand now that it is paid. `cost` is what `usage` costs, split by side: less than what was
    charged where the hold stood.
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
    decision: Decision | None = None
    told: Sequence[tuple[bytes, bytes]] = ()
    decision_after: Decision | None = None
    usage: Usage | None = None
    settlement: Settlement | None = None
    receipt: Receipt | None = None
    price_state: State | None = None
    edits_left_out: int = 0
    skips_left_out: int = 0
    cost: Cost | None = None
    stream: bool = False
    stop_reason: str | None = None
    first_token_ms: float | None = None

    @property
    def is_call(self) -> bool:
        """
        Whether a model was asked, under whichever product; counting tokens and batches are no calls.
        """
        return self.method == "POST" and self.path.endswith(MESSAGES_PATH)

    @property
    def upgraded(self) -> int:
        """
        How many breakpoints were raised on the wire.
        """
        return 0 if self.observed or self.resent else len(self.edits) + self.edits_left_out

    @property
    def cost_nusd(self) -> int | None:
        """
        What was charged, in nano-USD; None if nothing was to be charged.
        """
        return None if self.settlement is None else self.settlement.nusd

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
            "first_token_ms": None if self.first_token_ms is None else round(self.first_token_ms, 3),
            "method": self.method,
            "path": self.path,
            "product": self.product,
            "model": self.model,
            "gate": {"on": self.gate.on, "why": self.gate.why},
            "status": self.status,
            "outcome": self.outcome,
            "stream": self.stream,
            "stop_reason": self.stop_reason,
            "upgraded": self.upgraded,
            "observed": self.observed,
            "resent": self.resent,
            "edits": [edit_json(edit) for edit in self.edits],
            "skips": [skip_json(skip) for skip in self.skips],
            "edits_left_out": self.edits_left_out,
            "skips_left_out": self.skips_left_out,
            "request_bytes": self.request_bytes,
            "response_bytes": self.response_bytes,
            "session": self.session,
            "trace_id": self.trace_id,
            "upstream_request_id": self.upstream_request_id,
            "error": self.error,
            "usage": None if self.usage is None else usage_json(self.usage),
            "cost_nusd": self.cost_nusd,
            "cost_usd": None if self.cost_nusd is None else exact_usd(self.cost_nusd),
            "cost_input_nusd": None if self.cost is None else self.cost.input_nusd,
            "cost_output_nusd": None if self.cost is None else self.cost.output_nusd,
            "cost_basis": None if self.settlement is None else self.settlement.basis,
            "price": self.price_state,
            "receipt": None if self.receipt is None else self.receipt.to_json(),
            "budget": None if self.decision is None else budget_json(self.decision, self.told),
            "budget_after": None if self.decision_after is None else budget_json(self.decision_after),
        }


def shortened(exchange: Exchange) -> Exchange:
    """
    The exchange without what a client could make it long with, for whoever keeps or prints many of them.
    """
    edits, skips, path = exchange.edits, exchange.skips, exchange.path
    if max(len(edits), len(skips)) <= _MOST_SHOWN and len(path) <= _LONGEST_PATH:
        return exchange
    return replace(
        exchange,
        path=path if len(path) <= _LONGEST_PATH else f"{path[:_LONGEST_PATH]}...",
        edits=edits[:_MOST_SHOWN],
        skips=skips[:_MOST_SHOWN],
        edits_left_out=exchange.edits_left_out + max(0, len(edits) - _MOST_SHOWN),
        skips_left_out=exchange.skips_left_out + max(0, len(skips) - _MOST_SHOWN),
    )


_MOST_SHOWN = 20  # a legal body has four breakpoints
_LONGEST_PATH = 500


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


def usage_json(usage: Usage) -> dict[str, Any]:
    """
    The counters for machines; disjoint, as the API reports them.
    """
    return {
        "input_tokens": usage.input_tokens,
        "cache_write_5m_tokens": usage.cache_write_5m_tokens,
        "cache_write_1h_tokens": usage.cache_write_1h_tokens,
        "cache_read_tokens": usage.cache_read_tokens,
        "output_tokens": usage.output_tokens,
        "web_searches": usage.web_searches,
    }


def budget_json(decision: Decision, told: Sequence[tuple[bytes, bytes]] = ()) -> dict[str, Any]:
    """
    A decision for machines: what the budget headers say, without their prefix. `told` are those headers, if at hand.
    """
    prefix = "x-posthog-budget"
    headers = ((name.decode().removeprefix(prefix).lstrip("-"), value) for name, value in told or decision.headers())
    named = {(name or "status").replace("-", "_"): value.decode() for name, value in headers}
    return {"allowed": not isinstance(decision, Refused), **named}
