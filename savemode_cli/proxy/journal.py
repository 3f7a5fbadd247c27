"""
What becomes known about an exchange while it runs, and the record it ends in.

Rule of this file: it keeps what it is told and judges nothing; the first word on how an exchange ended stands.
"""

from dataclasses import dataclass, field
from datetime import datetime
from time import perf_counter

import httpx

from savemode_cli.core.admission import Decision
from savemode_cli.core.caller import Caller
from savemode_cli.core.charge import Outcome
from savemode_cli.core.exchange import Exchange
from savemode_cli.core.gate import GateState
from savemode_cli.core.messages import MAX_BODY_BYTES, Facts
from savemode_cli.core.record import Content, Record
from savemode_cli.core.transform import CACHE_TTL, Edit, Skip
from savemode_cli.core.usage import UsageMeter
from savemode_cli.proxy.accounts import Settled
from savemode_cli.proxy.billing import Account
from savemode_cli.proxy.headers import RawHeaders

CLOSED = GateState(on=False, why="not judged")


@dataclass(slots=True)
class Inbound:
    """
    A request as it came. `body` is its bytes if it is to be judged, else it may be a stream that only passes through;
    the relay puts what it sends in its place.

    `finish_anyway` is set by the relay: the call goes on although the client has hung up, for it is paid for anyway.
    `gone` is set by the server: the client hung up while it was still sending.
    """

    method: str
    raw_path: bytes
    query: bytes
    headers: RawHeaders
    body: bytes | httpx.AsyncByteStream
    finish_anyway: bool = False
    gone: bool = False

    @property
    def path(self) -> str:
        """
        The path as text, as it was spelled.
        """
        return self.raw_path.decode("latin-1")


@dataclass(slots=True)
class Kept:
    """
    What was said, as far as it came; only where the user asked to keep it.
    """

    request_body: bytes | None
    response_headers: RawHeaders = field(default_factory=list)
    pieces: list[bytes] | None = field(default_factory=list)

    def add(self, chunk: bytes, size: int) -> None:
        """
        One more piece of the answer, whose size so far is `size`.
        """
        if size > MAX_BODY_BYTES:
            self.pieces = None
        elif self.pieces is not None:
            self.pieces.append(chunk)

    def content(self, request_headers: RawHeaders) -> Content:
        body = None if self.pieces is None else b"".join(self.pieces)
        return Content(request_headers, self.request_body, self.response_headers, body)


@dataclass(slots=True)
class Journal:
    """
    What becomes known about an exchange while it runs.
    """

    id: str
    started_at: datetime
    clock: float
    inbound: Inbound
    request_bytes: int
    product: str = ""
    gate: GateState = CLOSED
    known: Facts = field(default_factory=Facts)
    edits: tuple[Edit, ...] = ()
    skips: tuple[Skip, ...] = ()
    session: str | None = None
    trace_id: str | None = None
    observed: bool = False
    resent: bool = False
    status: int | None = None
    first_byte_ms: float | None = None
    first_token_ms: float | None = None
    response_bytes: int = 0
    outcome: Outcome = "ok"
    error: str = ""
    upstream_request_id: str | None = None
    decision: Decision | None = None
    account: Account | None = None
    meter: UsageMeter | None = None
    told: RawHeaders = field(default_factory=list)
    """Where the budgets stand, for the answer: every answer says so."""
    caller: Caller | None = None
    kept: Kept | None = None
    ended_at: datetime | None = None
    duration_ms: float = 0.0

    @property
    def cache(self) -> str:
        """
        Whose cache it uses: models share none.
        """
        return f"{self.session} {self.known.model}"

    @property
    def edited(self) -> bool:
        """
        Whether the body on its way is not the client's.
        """
        return bool(self.edits) and not self.observed and not self.resent

    def end(self, outcome: Outcome, error: str = "") -> None:
        """
        How it ended, unless that was decided before: an error's body that is cut short is still the upstream's error.
        """
        if self.outcome == "ok":
            self.outcome = outcome
            self.error = self.error or error

    def conclude(self, now: datetime) -> None:
        """
        The answer is over. HTTP may have called it a success where its body is an error, or nothing that can be read.
        """
        self.ended_at, self.duration_ms = now, self.elapsed_ms()
        if self.meter is None:
            return
        self.meter.close()
        if self.meter.broken:
            self.end("broken", "the answer is not one of the API's")
        elif self.meter.error is not None:
            self.end("upstream_error", f"{self.meter.error} in the answer")

    def skip(self, code: str, why: str) -> None:
        """
        Leave the whole request alone, for this reason.
        """
        self.edits, self.skips = (), (Skip(CACHE_TTL, (), code, why),)

    def elapsed_ms(self) -> float:
        return (perf_counter() - self.clock) * 1000

    def record(self, settled: Settled | None) -> Record:
        content = None if self.kept is None else self.kept.content(self.inbound.headers)
        answered_by = None if self.meter is None else self.meter.model
        return Record(self.exchange(settled), self.caller, content, self.ended_at, answered_by)

    def exchange(self, settled: Settled | None) -> Exchange:
        due = settled.due if settled is not None else None
        bill = due.bill if due is not None else None
        return Exchange(
            id=self.id,
            started_at=self.started_at,
            duration_ms=self.duration_ms,
            first_byte_ms=self.first_byte_ms,
            method=self.inbound.method,
            path=self.inbound.path,
            product=self.product,
            model=self.known.model,
            gate=self.gate,
            edits=self.edits,
            skips=self.skips,
            status=self.status,
            outcome=self.outcome,
            request_bytes=self.request_bytes,
            response_bytes=self.response_bytes,
            session=self.session,
            trace_id=self.trace_id,
            upstream_request_id=self.upstream_request_id,
            observed=self.observed,
            resent=self.resent,
            error=self.error,
            decision=self.decision,
            told=self.told,
            decision_after=settled.decision if settled is not None else self.decision,
            usage=due.usage if due is not None else None,
            settlement=due.settlement if due is not None else None,
            receipt=due.receipt if due is not None else None,
            price_state=bill.state if bill is not None else None,
            cost=bill.cost if bill is not None else None,
            stream=self.known.stream,
            stop_reason=self.meter.stop_reason if self.meter is not None else None,
            first_token_ms=self.first_token_ms,
        )
