"""
An exchange while it is in progress, and the finished exchange.

Rule of this file: it stores facts and makes no decisions. The first outcome that is set stays.
"""

from collections.abc import AsyncIterable
from dataclasses import dataclass, field
from datetime import datetime
from time import perf_counter

from msgspec.structs import replace as with_fields

from savemode_cli.core.budget.admission import Decision
from savemode_cli.core.budget.charge import Ending
from savemode_cli.core.budget.guard import Alarm
from savemode_cli.core.diagnosis.history import Asked
from savemode_cli.core.exchange.bill import Bill
from savemode_cli.core.exchange.exchange import Exchange
from savemode_cli.core.exchange.observed import Content, Observed
from savemode_cli.core.upgrade.auto import Decision as AutoDecision
from savemode_cli.core.upgrade.edits import Edit, Skip, upgrades
from savemode_cli.core.upgrade.gate import UNJUDGED, GateState
from savemode_cli.core.upgrade.hold_out import TrialMember
from savemode_cli.core.upgrade.rules import CACHE_TTL, DIAGNOSE
from savemode_cli.core.upgrade.upgrade import Upgrade
from savemode_cli.core.wire.answer import Answer, Outcome
from savemode_cli.core.wire.call import Call
from savemode_cli.core.wire.caller import Caller
from savemode_cli.core.wire.diagnostics import NO_DIVERGENCE, CacheDiagnosis
from savemode_cli.core.wire.facts import Facts
from savemode_cli.core.wire.messages import MAX_BODY_BYTES
from savemode_cli.core.wire.meter import UsageMeter
from savemode_cli.proxy.reservation import Reservation
from savemode_cli.serving.headers import RawHeaders

_EMPTY = "the answer is empty"


@dataclass(slots=True)
class Inbound:
    """
    A request from the client.

    Attributes:
        method: the HTTP method.
        raw_path: the path as it was sent.
        query: the query string.
        headers: the headers as they were sent.
        body: the bytes of a model call; otherwise it may be a stream that is only forwarded. The relay replaces it by
            what it sends.
        finish_anyway: set by the relay: the call continues if the client hangs up, because it is billed anyway.
        gone: set by the server: the client hung up before its body was complete.
    """

    method: str
    raw_path: bytes
    query: bytes
    headers: RawHeaders
    body: bytes | AsyncIterable[bytes]
    finish_anyway: bool = False
    gone: bool = False
    keep_warm: bool = False
    """Whether savemode sends it itself, to keep a cache warm."""

    @property
    def path(self) -> str:
        """
        The path as text, in its original spelling.
        """
        return self.raw_path.decode("latin-1")


@dataclass(slots=True)
class RecordedBodies:
    """
    The bodies of an exchange, as far as they have come. They only exist if the user asked to record content.
    """

    request_body: bytes | None
    response_headers: RawHeaders = field(default_factory=list)
    pieces: list[bytes] | None = field(default_factory=list)

    def add(self, chunk: bytes, size: int) -> None:
        """
        Add a piece of the answer.

        Args:
            chunk: the piece.
            size: the size of the answer so far, including this piece, in bytes.
        """
        if size > MAX_BODY_BYTES:
            self.pieces = None
        elif self.pieces is not None:
            self.pieces.append(chunk)

    def content(self, request_headers: RawHeaders) -> Content:
        body = None if self.pieces is None else b"".join(self.pieces)
        return Content(request_headers, self.request_body, self.response_headers, body)


@dataclass(slots=True)
class ExchangeInProgress:
    """
    An exchange whose answer is not complete, or not charged yet.
    """

    id: str
    started_at: datetime
    clock: float
    inbound: Inbound
    request_bytes: int
    product: str = ""
    gate: GateState = UNJUDGED
    facts: Facts = field(default_factory=Facts)
    edits: tuple[Edit, ...] = ()
    skips: tuple[Skip, ...] = ()
    session: str | None = None
    conversation: str = ""
    """The conversation, its sub-agents included; empty if it is not known."""
    trace_id: str | None = None
    observed: bool = False
    resent: bool = False
    auto: AutoDecision | None = None
    trial: TrialMember | None = None
    status: int | None = None
    first_byte_ms: float | None = None
    first_token_ms: float | None = None
    response_bytes: int = 0
    sent: bool = False
    """Whether there was a connection to the upstream to write the request to."""
    outcome: Outcome = "ok"
    error: str = ""
    upstream_request_id: str | None = None
    decision: Decision | None = None
    reservation: Reservation | None = None
    alarm: Alarm | None = None
    """The sign for which the guard refused it, or warned of it."""
    meter: UsageMeter | None = None
    budget_headers: RawHeaders = field(default_factory=list)
    """The headers with the state of the budgets, which every answer has."""
    caller: Caller | None = None
    asked: Asked | None = None
    """The prompt without its text; None before it was forwarded."""
    bodies: RecordedBodies | None = None
    warm_body: bytes | None = None
    """The body that was sent, where the cache may be kept warm later; None else."""
    ended_at: datetime | None = None
    duration_ms: float = 0.0

    @property
    def cache(self) -> str:
        """
        The key of the cache that the exchange uses. Models do not share a cache.
        """
        return f"{self.session} {self.facts.model}"

    @property
    def answered_by(self) -> str | None:
        """
        The model that answered; None if the answer does not name it.
        """
        return None if self.meter is None else self.meter.model

    @property
    def edited(self) -> bool:
        """
        Whether the forwarded body differs from the client's.
        """
        return bool(self.edits) and not self.observed and not self.resent

    @property
    def upgraded(self) -> bool:
        """
        Whether the forwarded body has an upgraded TTL.
        """
        return self.edited and bool(upgrades(self.edits))

    @property
    def asks_for_diagnosis(self) -> bool:
        """
        Whether the body on its way has the parameter of the API's cache diagnostics from us.
        """
        return self.edited and any(edit.rule == DIAGNOSE for edit in self.edits)

    @property
    def diagnosis(self) -> CacheDiagnosis | None:
        """
        What the API says of the request beside the one before it; None if it was not asked. Nothing means no divergence.
        """
        meter = self.meter
        if meter is None or meter.diagnosis is not None or not meter.final or not self.asks_for_diagnosis:
            return None if meter is None else meter.diagnosis
        named = any(edit.rule == DIAGNOSE and edit.after["previous_message_id"] for edit in self.edits)
        return CacheDiagnosis(NO_DIVERGENCE) if named else None

    @property
    def was_left_alone(self) -> bool:
        """
        Whether the request was not upgraded because upgrades were not enabled for it: the gate was closed, the product's
        users do not pause, or a subscription pays.
        """
        codes = {skip.code for skip in self.skips}
        return not upgrades(self.edits) and (not self.gate.on or bool(codes & {"product", "oauth"}))

    @property
    def ending(self) -> Ending:
        """
        How the exchange ended, after `conclude`.
        """
        meter = self.meter
        readable = meter is None or not meter.broken
        silent = meter is not None and meter.silent and self.outcome == "broken" and self.error == _EMPTY
        return Ending(self.outcome, sent=self.sent, readable=readable, silent=silent)

    def note_sent(self) -> None:
        """
        Record that the upstream may have received the request.
        """
        self.sent = True

    def end(self, outcome: Outcome, error: str = "") -> None:
        """
        Set how the exchange ended, unless that is already set: an incomplete error body is still an error of the
        upstream.
        """
        if self.outcome == "ok":
            self.outcome = outcome
            self.error = self.error or error

    def conclude(self, now: datetime) -> None:
        """
        The answer has ended. Its HTTP status may be a success although its body is an error or unreadable.
        """
        self.ended_at, self.duration_ms = now, self.elapsed_ms()
        if self.meter is None:
            return
        self.meter.close()
        if self.meter.silent and self.outcome == "ok":
            self.end("broken", _EMPTY)
        elif self.meter.broken:
            self.end("broken", "the answer is not an answer of the API")
        elif self.meter.error is not None:
            self.end("upstream_error", f"{self.meter.error} in the answer")

    def skip(self, code: str, why: str) -> None:
        """
        Leave every TTL of the request unchanged, for this reason. Edits of other rules stay.
        """
        self.edits = tuple(edit for edit in self.edits if edit.rule != CACHE_TTL)
        self.skips = (*(skip for skip in self.skips if skip.rule != CACHE_TTL), Skip(CACHE_TTL, (), code, why))

    def elapsed_ms(self) -> float:
        return (perf_counter() - self.clock) * 1000

    def observed_by_sinks(self, bill: Bill | None) -> Observed:
        """
        The exchange for the sinks.

        Args:
            bill: what it was charged; None if nothing was reserved for it.
        """
        content = None if self.bodies is None else self.bodies.content(self.inbound.headers)
        return Observed(self.exchange(bill), self.ended_at or self.started_at, self.caller, content)

    def exchange(self, bill: Bill | None) -> Exchange:
        """
        The finished exchange.
        """
        meter, facts = self.meter, self.facts
        bill = bill or self._bill()
        return Exchange(
            self.id,
            self.started_at,
            Call(
                self.inbound.method,
                self.inbound.path,
                self.product,
                facts.model,
                facts.stream,
                self.request_bytes,
                self.session,
                self.trace_id,
                facts.opens_turn,
                self.inbound.keep_warm,
            ),
            Upgrade(self.gate, self.edits, self.skips, self.observed, self.resent, self.auto, trial=self.trial),
            bill if self.alarm is None else with_fields(bill, alarm=self.alarm),
            Answer(
                outcome=self.outcome,
                status=self.status,
                error=self.error,
                duration_ms=self.duration_ms,
                first_byte_ms=self.first_byte_ms,
                first_token_ms=self.first_token_ms,
                response_bytes=self.response_bytes,
                upstream_request_id=self.upstream_request_id,
                stop_reason=None if meter is None else meter.stop_reason,
                answered_by=self.answered_by,
                diagnosis=self.diagnosis,
            ),
        )

    def _bill(self) -> Bill:
        """
        The bill of a request that was not charged.
        """
        budget = None if self.decision is None else self.decision.report()
        return Bill(budget, budget, 0 if self.reservation is None else self.reservation.held_nusd)
