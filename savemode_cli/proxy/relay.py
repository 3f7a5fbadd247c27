"""
The life of one request, from its first byte to its record.

Rule of this file: `Relay.admit` reads top to bottom in the order in which things happen. It decides nothing about TTLs,
products or flags itself; it asks the core, moves bytes, and remembers what the core said for the next request.
"""

import asyncio
import traceback
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import PurePath
from secrets import token_hex
from time import perf_counter
from uuid import uuid4

import httpx

from savemode_cli.core.admission import Decision, Refused, refusal
from savemode_cli.core.caller import (
    PRODUCTS,
    Caller,
    Products,
    Route,
    check_spelling,
    read_caller,
    read_route,
    session_key,
    trace_id,
    without_posthog_headers,
)
from savemode_cli.core.charge import Outcome
from savemode_cli.core.encodings import Undecodable, decoder
from savemode_cli.core.errors import BadHeader, BodyTooLarge, UpstreamUnreachable
from savemode_cli.core.exchange import Exchange
from savemode_cli.core.gate import GateState, flags_in_force, gate
from savemode_cli.core.messages import (
    BATCHES_PATH,
    MAX_BODY_BYTES,
    Facts,
    blames_cache_control,
    error_body,
    facts,
    with_beta,
)
from savemode_cli.core.record import Content, Record
from savemode_cli.core.transform import (
    CACHE_TTL,
    Choice,
    Edit,
    Policy,
    Skip,
    revert,
    sticky,
    transform,
    writes_one_hour,
)
from savemode_cli.core.usage import UsageMeter
from savemode_cli.proxy.accounts import Account, Accounts, Settled

RawHeaders = list[tuple[bytes, bytes]]

TOKEN_HEADER = b"x-savemode-token"  # for our own door, and for nobody behind it
_HOP_BY_HOP = frozenset(
    {
        TOKEN_HEADER,
        b"connection",
        b"expect",  # answered by our own server before the body was read
        b"host",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
_BETA = b"anthropic-beta"
BUDGET_PREFIX = b"x-posthog-budget"  # ours to say; an upstream that is itself a gateway speaks of a budget of its own
_REMEMBERED_SESSIONS = 10_000
_MOST_SWALLOWED_BYTES = 256 * 1024 * 1024  # what the API takes at most, for batches
_LONGEST_ERROR_BYTES = 256 * 1024  # an error body longer than this is passed on unread

CLOSED = GateState(on=False, why="not judged")


@dataclass(frozen=True, slots=True)
class RelaySettings:
    """
    What does not change while the relay runs. `upstream_path` is the path of the upstream's URL, without a slash at the end.
    """

    policy: Policy
    upstream_path: bytes = b""
    products: Products = PRODUCTS
    debug: bool = False
    observe: bool = False
    beta_header: bool = True
    forward_posthog_headers: bool = False


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


@dataclass(frozen=True, slots=True)
class Outbound:
    """
    The answer's head, and its body as it arrives.
    """

    status: int
    headers: RawHeaders
    chunks: AsyncIterator[bytes]


@dataclass(slots=True)
class _Journal:
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
    kept: "_Kept | None" = None
    ended_at: datetime | None = None

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

    def conclude(self) -> None:
        """
        The answer is over. HTTP may have called it a success where its body is an error, or nothing that can be read.
        """
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
        bill = settled.bill if settled is not None else None
        return Exchange(
            id=self.id,
            started_at=self.started_at,
            duration_ms=self.elapsed_ms(),
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
            usage=settled.usage if settled is not None else None,
            settlement=settled.settlement if settled is not None else None,
            receipt=settled.receipt if settled is not None else None,
            price_state=bill.state if bill is not None else None,
            cost=bill.cost if bill is not None else None,
            stream=self.known.stream,
            stop_reason=self.meter.stop_reason if self.meter is not None else None,
            first_token_ms=self.first_token_ms,
        )


@dataclass(slots=True)
class _Kept:
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


class Relay:
    """
    Carries requests to one upstream. Everything it needs is given to it: the transport, the clock, the sink.

    `record` is called once per exchange, after its last byte, and must not raise. `announce` tells the person at the
    terminal what cannot wait for a report.
    """

    def __init__(
        self,
        settings: RelaySettings,
        transport: httpx.AsyncBaseTransport,
        accounts: Accounts,
        record: Callable[[Record], None],
        *,
        keep_content: bool = False,
        flags: Callable[[Caller], Awaitable[str]] | None = None,
        announce: Callable[[str, str], None] = lambda _event, _text: None,
        env_value: Callable[[], str | None] = lambda: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """
        `env_value` is asked at each request for what `COST_CONTROLS_ENABLED` holds then, `flags`, if somebody else than
        the caller decides on it, for the gate's flag. With `keep_content` a record has what was said, too: bodies stay in
        memory until their exchange is over.
        """
        self.settings = settings
        self.now = now
        self.in_flight = 0
        self.stopped_models: set[str | None] = set()
        self.accounts = accounts
        self._transport = transport
        self._record = record
        self._keep_content = keep_content
        self._flags = flags
        self._announce = announce
        self._env_value = env_value
        self._choices: OrderedDict[str, Choice] = OrderedDict()
        self._base_url = httpx.URL("http://upstream")  # the transport knows the address; the target is an extension

    def judges(self, method: str, raw_path: bytes) -> bool:
        """
        Whether a request's body is needed whole: it is a model call.
        """
        try:
            return (
                method == "POST" and read_route(raw_path.decode("latin-1"), self.settings.products).kind == "messages"
            )
        except BadHeader:
            return False

    def gate(self, flags: dict[str, str] | None = None) -> GateState:
        """
        The gate as it stands now, for a request with these flags.
        """
        return gate(flags, self._env_value(), debug=self.settings.debug)

    @asynccontextmanager
    async def admit(self, inbound: Inbound) -> AsyncIterator[Outbound]:
        """
        Judge, forward, and yield the answer; on the way out, whatever happened, record it once.
        """
        now = self.now()
        journal = _Journal(request_id(now), now, perf_counter(), inbound, _size(inbound))
        if self._keep_content:
            journal.kept = _Kept(inbound.body if isinstance(inbound.body, bytes) else None)
        self.in_flight += 1
        response: httpx.Response | None = None
        try:
            try:
                target, headers = await self._judge(inbound, journal)
                if isinstance(journal.decision, Refused):
                    out = self._over_budget(journal, journal.decision)
                else:
                    response = await self._send(inbound, target, headers)
                    response = await self._resend_if_blamed(response, inbound, target, journal)
                    # The body may be megabytes and the answer may take minutes: nobody needs it any more.
                    inbound.body = b""
                    out = self._answer(response, journal)
            except BadHeader as error:
                out = await self._turn_away(inbound, journal, error)
            except UpstreamUnreachable as error:
                journal.outcome = "client_gone" if inbound.gone else "unreachable"
                out = self._refuse(journal, error.status, error.api_type, error.message)
            except Exception as error:  # noqa: BLE001 - whatever it is
                # Ours to mend, and the client still gets an answer it can read, not a traceback with its own words in it.
                out = self._fail(journal, error)
            yield out
        except asyncio.CancelledError:
            journal.end("client_gone")
            raise
        except UpstreamUnreachable as error:
            journal.end("broken", error.message)
            raise
        except Exception:
            journal.end("broken", "an error in savemode")
            raise
        finally:
            self.in_flight -= 1
            await self._finish(journal, response)

    async def _judge(self, inbound: Inbound, journal: _Journal) -> tuple[bytes, RawHeaders]:
        """
        Where to send the request and with which headers; `inbound.body` becomes what is sent.
        """
        settings = self.settings
        if not inbound.raw_path.startswith(b"/"):
            # `*@elsewhere/` behind the upstream's address would be a request, with its key, to another host.
            raise BadHeader("the request's target is not a path", hint="send one that begins with /")
        route = read_route(inbound.path, settings.products)
        target = settings.upstream_path + route.path.encode("latin-1")
        if inbound.method == "POST":
            check_spelling(route, target.decode("latin-1"))
        caller = read_caller(inbound.headers, route.product, settings.products)
        if self._flags is not None and route.kind == "messages":
            flags = flags_in_force(caller.flags, await self._flags(caller), debug=settings.debug)
            caller = replace(caller, flags=flags)
        journal.caller = caller
        journal.product = caller.product
        journal.gate = gate(caller.flags, self._env_value(), debug=settings.debug)
        journal.trace_id, journal.session = caller.trace_id, caller.session_id
        is_call = route.kind == "messages" and inbound.method == "POST"
        if is_call and not isinstance(inbound.body, bytes):
            raise BodyTooLarge(f"the body is larger than {MAX_BODY_BYTES:,} bytes", hint="the API takes no more")
        headers = self._headers(inbound)
        if is_call:
            self._upgrade(inbound, caller, journal)
            if journal.edited and settings.beta_header:
                headers = _with_beta(headers)
        elif route.kind in ("count_tokens", "batches"):
            journal.skip(route.kind.replace("_", "-"), f"{route.kind} bodies are left alone")
        self._reserve(inbound, caller, route, journal)
        return (target + b"?" + inbound.query if inbound.query else target), headers

    def _reserve(self, inbound: Inbound, caller: Caller, route: Route, journal: _Journal) -> None:
        """
        Hold the money of a model call. What is free is only told where the budgets stand; a batch, whose bill comes with
        its results, may start while there is money left.
        """
        now = journal.started_at
        if route.kind == "messages" and inbound.method == "POST":
            size = journal.request_bytes
            session = journal.session or ""
            journal.account = self.accounts.reserve(
                journal.id, caller, inbound.headers, journal.known, size, session, now
            )
            journal.decision = journal.account.decision
            journal.told = journal.decision.headers()
            return
        standing = self.accounts.look(caller, inbound.headers, now)
        starts_batch = inbound.method == "POST" and route.path == BATCHES_PATH
        journal.told = standing.headers()
        if starts_batch or not isinstance(standing, Refused):
            journal.decision = standing

    def _over_budget(self, journal: _Journal, decision: Refused) -> Outbound:
        journal.outcome = "refused"
        journal.edits = ()
        status, headers, body = refusal(decision, journal.id)
        journal.status = status
        journal.error = f"budget: {decision.reason}"
        return Outbound(status, [*headers, (b"content-length", b"%d" % len(body))], once(body))

    async def _turn_away(self, inbound: Inbound, journal: _Journal, error: BadHeader) -> Outbound:
        await _swallow(inbound.body, error)
        if inbound.gone:
            journal.outcome = "client_gone"
        return self._refuse(journal, error.status, error.api_type, f"{error.message}; {error.hint}")

    async def _finish(self, journal: _Journal, response: httpx.Response | None) -> None:
        try:
            self._record(journal.record(self._settle(journal)))
        except Exception as error:  # noqa: BLE001 - the answer has gone out, and was right
            self.tell_failure(error, journal.id)
        finally:
            if response is not None:
                await _stream(response).aclose()

    def _settle(self, journal: _Journal) -> Settled | None:
        journal.conclude()
        journal.ended_at = self.now()
        if journal.account is None:
            return None
        edits = journal.edits if journal.edited else ()
        unreadable = journal.meter is not None and journal.meter.broken
        outcome = "broken" if unreadable and journal.outcome == "client_gone" else journal.outcome
        return self.accounts.settle(journal.account, outcome, journal.meter, edits, journal.ended_at)

    def _headers(self, inbound: Inbound) -> RawHeaders:
        headers = _forwardable(inbound.headers)
        return headers if self.settings.forward_posthog_headers else without_posthog_headers(headers)

    def _upgrade(self, inbound: Inbound, caller: Caller, journal: _Journal) -> None:
        body = inbound.body
        assert isinstance(body, bytes)  # noqa: S101 - a larger one was refused
        if _header(inbound.headers, b"content-encoding") not in (b"", b"identity"):
            return journal.skip("encoded", "the body is compressed")
        known = facts(body)
        inbound.finish_anyway = not known.stream
        journal.session = session_key(caller, known)
        journal.trace_id = trace_id(caller, known.user_id, str(uuid4()))
        # The words that name a session may be long, and the answer may take minutes.
        journal.known = replace(known, opening=())
        if not journal.gate.on and not self.settings.observe:
            return None
        done = transform(body, self.settings.policy, caller, known)
        journal.edits, journal.skips = done.edits, done.skips
        journal.observed = self.settings.observe
        self._hold_back(journal)
        if journal.edited:
            inbound.body = done.body
        return None

    def _hold_back(self, journal: _Journal) -> None:
        """
        Drop the edits where an earlier request of this model or session says so.
        """
        if not journal.edits:
            return
        refused = journal.known.model in self.stopped_models
        previous = self._choices.get(journal.cache)
        if refused:
            journal.skip("stopped", "the upstream refused the upgrade for this model; off until restart")
        elif not sticky(previous, wanted=True, now=journal.started_at).upgrade:
            journal.skip("sticky", "this session's cache is warm at 5m; the TTL changes once it is cold")

    async def _send(self, inbound: Inbound, target: bytes, headers: RawHeaders) -> httpx.Response:
        stream = inbound.body
        if isinstance(stream, bytes):
            headers = [(name, value) for name, value in headers if name != b"content-length"]
            stream = httpx.ByteStream(stream)
        request = httpx.Request(
            inbound.method, self._base_url, headers=headers, stream=stream, extensions={"target": target}
        )
        return await self._transport.handle_async_request(request)

    async def _resend_if_blamed(
        self, response: httpx.Response, inbound: Inbound, target: bytes, journal: _Journal
    ) -> httpx.Response:
        """
        Where the upstream refuses a body that we edited because of its markers: send the original, once, and stop there.
        """
        if response.status_code != 400 or not journal.edited or not isinstance(inbound.body, bytes):
            return response
        answer = await _read_error(response)
        if answer is None or not blames_cache_control(_decoded(response, answer)):
            return response
        await _stream(response).aclose()
        model = journal.known.model
        self.stopped_models.add(model)
        inbound.body = revert(inbound.body, journal.edits)
        journal.resent = True
        self._announce(
            "upgrade_stopped",
            f"the upstream refused the 1h TTL for {model or 'this model'}: the original was sent instead, and nothing is "
            "upgraded for it until restart",
        )
        return await self._send(inbound, target, self._headers(inbound))

    def _answer(self, response: httpx.Response, journal: _Journal) -> Outbound:
        journal.status = response.status_code
        journal.first_byte_ms = journal.elapsed_ms()
        headers = response.headers.raw
        if journal.kept is not None:
            journal.kept.response_headers = headers
        journal.upstream_request_id = _header(headers, b"request-id").decode("latin-1") or None
        if response.status_code >= 300:
            journal.outcome = "upstream_error"
        else:
            self._remember(journal)
        if journal.account is not None and response.status_code < 300:
            encoding = _header(headers, b"content-encoding").decode("latin-1")
            journal.meter = UsageMeter(_header(headers, b"content-type").decode("latin-1"), encoding)
        own = [(name, value) for name, value in _forwardable(headers) if not name.lower().startswith(BUDGET_PREFIX)]
        return Outbound(response.status_code, own + journal.told, _counted(response, journal))

    def _remember(self, journal: _Journal) -> None:
        """
        Note which TTL this session's cache was last written with.
        """
        if journal.session is None or not journal.known.breakpoints:
            return
        # Observing plays through what would have happened: one raised request makes the next one raisable.
        edits = () if journal.resent else journal.edits
        self._choices[journal.cache] = Choice(writes_one_hour(journal.known, edits), journal.started_at)
        self._choices.move_to_end(journal.cache)
        if len(self._choices) > _REMEMBERED_SESSIONS:
            self._choices.popitem(last=False)

    def _refuse(self, journal: _Journal, status: int, api_type: str, message: str) -> Outbound:
        """
        An answer of our own, in the API's envelope.
        """
        journal.status, journal.error = status, message
        if journal.outcome == "ok":
            journal.outcome = "refused"
        if not journal.told:
            journal.told = self.accounts.look(None, (), journal.started_at).headers()
        answer = own_answer(status, error_body(api_type, message, journal.id), journal.id)
        return replace(answer, headers=answer.headers + journal.told)

    def _fail(self, journal: _Journal, error: Exception) -> Outbound:
        journal.outcome = "broken"
        self.tell_failure(error, journal.id)
        return self._refuse(journal, 500, "api_error", f"an error in savemode: {_place(error)}")

    def tell_failure(self, error: Exception, request_id: str = "") -> None:
        """
        An error of our own: what and where. Not its message, which may quote the request.
        """
        where = f"{_place(error)} {request_id}".rstrip()
        self._announce("internal_error", f"{where}: please report this, it is a fault of savemode")


def _place(error: Exception) -> str:
    """
    The kind of an error, and the line of ours it came from.
    """
    frames = traceback.extract_tb(error.__traceback__)
    ours = [one for one in frames if __package__.partition(".")[0] in one.filename] or frames
    place = f" at {PurePath(ours[-1].filename).name}:{ours[-1].lineno}" if ours else ""
    return f"{type(error).__name__}{place}"


def request_id(now: datetime) -> str:
    """
    An id that sorts by time, in milliseconds, then by chance.

    The ledger keeps an index of them. With random ones each charge falls on another page of it, which makes a request's
    two commits dearer the longer the ledger is: by a third with 300,000 charges. In order they cost the same for ever.
    """
    return f"req_sm_{int(now.timestamp() * 1000):011x}{token_hex(5)[:9]}"


async def _swallow(body: bytes | httpx.AsyncByteStream, error: BadHeader) -> None:
    """
    Where a body is too large, read on: a client that cannot send the rest would never read why it need not.
    """
    size = 0
    if isinstance(error, BodyTooLarge) and not isinstance(body, bytes):
        with suppress(ConnectionResetError):  # the client has left; the inbound says so
            async for piece in body:
                size += len(piece)
                if size > _MOST_SWALLOWED_BYTES:
                    return


def _size(inbound: Inbound) -> int:
    if isinstance(inbound.body, bytes):
        return len(inbound.body)
    declared = _header(inbound.headers, b"content-length")
    return int(declared) if declared.isdigit() else 0


def own_answer(status: int, body: bytes, request_id: str) -> Outbound:
    """
    An answer that no upstream gave.
    """
    return Outbound(status, own_headers(body, request_id), once(body))


def own_headers(body: bytes, request_id: str) -> RawHeaders:
    """
    Those of an answer that no upstream gave.
    """
    return [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"request-id", request_id.encode()),
    ]


async def once(body: bytes) -> AsyncIterator[bytes]:
    """
    A body that is all there.
    """
    yield body


async def _counted(response: httpx.Response, journal: _Journal) -> AsyncIterator[bytes]:
    meter, kept = journal.meter, journal.kept
    async for chunk in _stream(response):
        journal.response_bytes += len(chunk)
        if meter is not None:
            meter.feed(chunk)
            if journal.first_token_ms is None and meter.emitted_chars:
                journal.first_token_ms = journal.elapsed_ms()
        if kept is not None:
            kept.add(chunk, journal.response_bytes)
        yield chunk


def _stream(response: httpx.Response) -> httpx.AsyncByteStream:
    stream = response.stream
    assert isinstance(stream, httpx.AsyncByteStream)  # noqa: S101 - what an asynchronous transport returns
    return stream


async def _read_error(response: httpx.Response) -> bytes | None:
    """
    An error's body, which the response can still be read from afterwards; None if it is too long to be one.
    """
    stream = _stream(response)
    rest = aiter(stream)
    pieces: list[bytes] = []
    response.stream = _Replay(pieces, rest, stream)
    size = 0
    async for chunk in rest:
        pieces.append(chunk)
        size += len(chunk)
        if size > _LONGEST_ERROR_BYTES:
            return None
    return b"".join(pieces)


class _Replay(httpx.AsyncByteStream):
    """
    What was read of a stream, then the rest of it.
    """

    def __init__(self, pieces: list[bytes], rest: AsyncIterator[bytes], stream: httpx.AsyncByteStream) -> None:
        self._pieces = pieces
        self._rest = rest
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece
        async for chunk in self._rest:
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


def _decoded(response: httpx.Response, answer: bytes) -> bytes:
    """
    An error's body without its content encoding; as it is if it cannot be decoded, or is too long for one.
    """
    try:
        decode = decoder(_header(response.headers.raw, b"content-encoding").decode("latin-1"), _LONGEST_ERROR_BYTES)
        return answer if decode is None else b"".join(decode(answer))
    except Undecodable:
        return answer


def _forwardable(headers: RawHeaders) -> RawHeaders:
    """
    The headers without those that are about this one connection.
    """
    dropped = _HOP_BY_HOP
    listed = b",".join(value for name, value in headers if name.lower() == b"connection")
    if listed and listed.lower() not in (b"keep-alive", b"close"):
        dropped = dropped | {one.strip().lower() for one in listed.split(b",")}
    return [(name, value) for name, value in headers if name.lower() not in dropped]


def _with_beta(headers: RawHeaders) -> RawHeaders:
    """
    The headers with the extended-TTL beta named once: appended to the last such header, as the vendor's client does.
    """
    values = [value.decode("latin-1") for name, value in headers if name == _BETA]
    if any(with_beta(value) == value for value in values):
        return headers
    if not values:
        return [*headers, (_BETA, with_beta(None).encode())]
    last = max(index for index, (name, _) in enumerate(headers) if name == _BETA)
    changed = (_BETA, with_beta(values[-1]).encode("latin-1"))
    return [*headers[:last], changed, *headers[last + 1 :]]


def _header(headers: RawHeaders, wanted: bytes) -> bytes:
    return next((value for name, value in headers if name.lower() == wanted), b"")
