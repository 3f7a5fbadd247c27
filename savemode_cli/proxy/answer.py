"""
The upstream's answer on its way to the client: its head, its body as it arrives, and what is known of it.

Rule of this file: the bytes are forwarded unchanged. They are counted and metered as they pass. An answer is read before
it is forwarded only if it is an error that may be about savemode's edits.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from time import perf_counter

from msgspec import Struct

from savemode_cli.core.budget.charge import Ending
from savemode_cli.core.exchange.observed import Content
from savemode_cli.core.upgrade.rules import DIAGNOSE
from savemode_cli.core.upgrade.upgrade import Upgrade
from savemode_cli.core.wire.answer import Answer, Outcome
from savemode_cli.core.wire.diagnostics import NO_DIVERGENCE, CacheDiagnosis
from savemode_cli.core.wire.encodings import Undecodable, decoder
from savemode_cli.core.wire.messages import MAX_BODY_BYTES
from savemode_cli.core.wire.meter import UsageMeter
from savemode_cli.proxy.upstream import Pieces, UpstreamAnswer
from savemode_cli.serving.headers import RawHeaders, header_value, own_headers

_EMPTY = "the answer is empty"
_LONGEST_ERROR_BYTES = 256 * 1024  # a longer error body is forwarded unread


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
        """
        The bodies and headers for the sinks that asked for them.
        """
        body = None if self.pieces is None else b"".join(self.pieces)
        return Content(request_headers, self.request_body, self.response_headers, body)


@dataclass(slots=True)
class AnswerInProgress:
    """
    The last part of an exchange, filled as the answer arrives. The first outcome that is set stays.
    """

    clock: float
    """When the request arrived, by `perf_counter`."""
    bodies: RecordedBodies | None = None
    status: int | None = None
    outcome: Outcome = "ok"
    error: str = ""
    sent: bool = False
    """Whether there was a connection to the upstream to write the request to."""
    first_byte_ms: float | None = None
    first_token_ms: float | None = None
    response_bytes: int = 0
    upstream_request_id: str | None = None
    meter: UsageMeter | None = None
    ended_at: datetime | None = None
    duration_ms: float = 0.0

    @property
    def answered_by(self) -> str | None:
        """
        The model that answered; None if the answer does not name it.
        """
        return None if self.meter is None else self.meter.model

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

    def elapsed_ms(self) -> float:
        """
        The time since the request arrived, in milliseconds.
        """
        return (perf_counter() - self.clock) * 1000

    def finished(self, upgrade: Upgrade) -> Answer:
        """
        The part of the finished exchange.

        Args:
            upgrade: what was changed in the request; the API's diagnosis may have been asked for in it.
        """
        meter = self.meter
        return Answer(
            outcome=self.outcome,
            status=self.status,
            error=self.error,
            duration_ms=self.duration_ms,
            first_byte_ms=self.first_byte_ms,
            first_token_ms=self.first_token_ms,
            response_bytes=self.response_bytes,
            upstream_request_id=self.upstream_request_id,
            stop_reason=None if meter is None else meter.stop_reason,
            answered_by=None if meter is None else meter.model,
            diagnosis=None if meter is None else _diagnosis(meter, upgrade),
        )


def _diagnosis(meter: UsageMeter, upgrade: Upgrade) -> CacheDiagnosis | None:
    """
    What the API says of the request beside the one before it; None if it was not asked. Nothing means no divergence.
    """
    if meter.diagnosis is not None or not meter.final or not upgrade.asks_for_diagnosis:
        return meter.diagnosis
    named = any(edit.rule == DIAGNOSE and edit.after["previous_message_id"] for edit in upgrade.edits)
    return CacheDiagnosis(NO_DIVERGENCE) if named else None


class Outbound(Struct, frozen=True):
    """
    The head of the answer, and its body as it arrives.
    """

    status: int
    headers: RawHeaders
    chunks: AsyncIterator[bytes]


def own_answer(status: int, body: bytes, request_id: str) -> Outbound:
    """
    An answer that the proxy makes itself.
    """
    return Outbound(status, own_headers(body, request_id), once(body))


async def once(body: bytes) -> AsyncIterator[bytes]:
    """
    A body that is already complete.
    """
    yield body


class CountedPieces:
    """
    The pieces of an answer. They are counted and metered, and recorded if the user asked for it.
    """

    __slots__ = ("_answer", "_pieces")

    def __init__(self, pieces: Pieces, answer: AnswerInProgress) -> None:
        """
        Args:
            pieces: the pieces, as they arrive.
            answer: counts them.
        """
        self._pieces = aiter(pieces)
        self._answer = answer

    def __aiter__(self) -> "CountedPieces":
        """
        The pieces can be read once.
        """
        return self

    async def __anext__(self) -> bytes:
        """
        The next piece.
        """
        chunk = await anext(self._pieces)
        answer = self._answer
        answer.response_bytes += len(chunk)
        if answer.meter is not None:
            answer.meter.feed(chunk)
            if answer.first_token_ms is None and answer.meter.emitted_chars:
                answer.first_token_ms = answer.elapsed_ms()
        if answer.bodies is not None:
            answer.bodies.add(chunk, answer.response_bytes)
        return chunk


async def read_error(answer: UpstreamAnswer) -> bytes | None:
    """
    The body of an error. The answer still has the body afterwards. None if the body is too long for an error.
    """
    rest = aiter(answer.pieces)
    pieces: list[bytes] = []
    answer.pieces = _PeekedStream(pieces, rest, answer.pieces)
    size = 0
    async for chunk in rest:
        pieces.append(chunk)
        size += len(chunk)
        if size > _LONGEST_ERROR_BYTES:
            return None
    return b"".join(pieces)


class _PeekedStream:
    """
    A body of which a part was already read: first that part, then the rest.
    """

    def __init__(self, read: list[bytes], rest: AsyncIterator[bytes], whole: Pieces) -> None:
        self._read = read
        self._rest = rest
        self._whole = whole

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._read:
            yield piece
        async for chunk in self._rest:
            yield chunk

    async def aclose(self) -> None:
        await self._whole.aclose()


def decoded(headers: RawHeaders, body: bytes) -> bytes:
    """
    The body of an error without its content encoding; unchanged if it cannot be decoded or is too long.
    """
    try:
        decode = decoder(header_value(headers, b"content-encoding").decode("latin-1"), _LONGEST_ERROR_BYTES)
        return body if decode is None else b"".join(decode(body))
    except Undecodable:
        return body
