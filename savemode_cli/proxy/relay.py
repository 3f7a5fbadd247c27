"""
The life of one request, from its first byte to its record.

Rule of this file: `Relay.admit` reads top to bottom in the order in which things happen. It decides nothing about TTLs,
products or flags itself; it asks the core, moves bytes, and remembers what the core said for the next request.

Longer than most, for it is one class, and one request's way through it is read in one place.
"""

import asyncio
import traceback
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import PurePath
from secrets import token_hex
from time import perf_counter
from uuid import uuid4

import httpx

from savemode_cli.core.admission import Refused, refusal
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
from savemode_cli.core.errors import BadHeader, BodyTooLarge, UpstreamUnreachable
from savemode_cli.core.gate import GateState, flags_in_force, gate
from savemode_cli.core.messages import (
    BATCHES_PATH,
    MAX_BODY_BYTES,
    blames_cache_control,
    error_body,
    facts,
)
from savemode_cli.core.record import Record
from savemode_cli.core.transform import (
    Choice,
    Policy,
    revert,
    sticky,
    transform,
    writes_one_hour,
)
from savemode_cli.core.usage import UsageMeter
from savemode_cli.proxy.accounts import Accounts, Settled
from savemode_cli.proxy.answer import Outbound, counted, decoded, once, own_answer, read_error, stream_of
from savemode_cli.proxy.billing import Due
from savemode_cli.proxy.desk import Desk
from savemode_cli.proxy.headers import (
    BUDGET_PREFIX,
    RawHeaders,
    forwardable,
    header_value,
    with_beta_named,
)
from savemode_cli.proxy.journal import Inbound, Journal, Kept

_REMEMBERED_SESSIONS = 10_000
_MOST_SWALLOWED_BYTES = 256 * 1024 * 1024  # what the API takes at most, for batches


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
        self.desk = Desk(accounts, self.tell_failure)
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
        Judge, forward, and yield the answer; whatever happens, it is recorded once, as soon as it is charged.
        """
        now = self.now()
        journal = Journal(request_id(now), now, perf_counter(), inbound, _size(inbound))
        if self._keep_content:
            journal.kept = Kept(inbound.body if isinstance(inbound.body, bytes) else None)
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

    async def _judge(self, inbound: Inbound, journal: Journal) -> tuple[bytes, RawHeaders]:
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
                headers = with_beta_named(headers)
        elif route.kind in ("count_tokens", "batches"):
            journal.skip(route.kind.replace("_", "-"), f"{route.kind} bodies are left alone")
        await self._reserve(inbound, caller, route, journal)
        return (target + b"?" + inbound.query if inbound.query else target), headers

    async def _reserve(self, inbound: Inbound, caller: Caller, route: Route, journal: Journal) -> None:
        """
        Hold the money of a model call. What is free is only told where the budgets stand; a batch, whose bill comes with
        its results, may start while there is money left.
        """
        now = journal.started_at
        if route.kind == "messages" and inbound.method == "POST":
            ask = self.accounts.billing.ask(
                journal.id, caller, inbound.headers, journal.known, journal.request_bytes, journal.session or "", now
            )
            journal.account = await self.desk.reserve(ask, alone=self.in_flight == 1)
            journal.decision = journal.account.decision
            journal.told = journal.decision.headers()
            return
        standing = self.desk.look(caller, inbound.headers, now)
        starts_batch = inbound.method == "POST" and route.path == BATCHES_PATH
        journal.told = standing.headers()
        if starts_batch or not isinstance(standing, Refused):
            journal.decision = standing

    def _over_budget(self, journal: Journal, decision: Refused) -> Outbound:
        journal.outcome = "refused"
        journal.edits = ()
        status, headers, body = refusal(decision, journal.id)
        journal.status = status
        journal.error = f"budget: {decision.reason}"
        return Outbound(status, [*headers, (b"content-length", b"%d" % len(body))], once(body))

    async def _turn_away(self, inbound: Inbound, journal: Journal, error: BadHeader) -> Outbound:
        await _swallow(inbound.body, error)
        if inbound.gone:
            journal.outcome = "client_gone"
        return self._refuse(journal, error.status, error.api_type, f"{error.message}; {error.hint}")

    async def _finish(self, journal: Journal, response: httpx.Response | None) -> None:
        try:
            due = self._due(journal)
            if due is None:
                self._close(journal, None)
            else:
                self.desk.settle(due, partial(self._close, journal))
        except Exception as error:  # noqa: BLE001 - the answer has gone out, and was right
            self.tell_failure(error, journal.id)
        finally:
            if response is not None:
                await stream_of(response).aclose()

    def _due(self, journal: Journal) -> Due | None:
        now = self.now()
        journal.conclude(now)
        if journal.account is None:
            return None
        edits = journal.edits if journal.edited else ()
        unreadable = journal.meter is not None and journal.meter.broken
        outcome = "broken" if unreadable and journal.outcome == "client_gone" else journal.outcome
        return self.accounts.billing.bill(journal.account, outcome, journal.meter, edits, now)

    def _close(self, journal: Journal, settled: Settled | None) -> None:
        self._record(journal.record(settled))

    def _headers(self, inbound: Inbound) -> RawHeaders:
        headers = forwardable(inbound.headers)
        return headers if self.settings.forward_posthog_headers else without_posthog_headers(headers)

    def _upgrade(self, inbound: Inbound, caller: Caller, journal: Journal) -> None:
        body = inbound.body
        assert isinstance(body, bytes)  # noqa: S101 - a larger one was refused
        if header_value(inbound.headers, b"content-encoding") not in (b"", b"identity"):
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

    def _hold_back(self, journal: Journal) -> None:
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
        self, response: httpx.Response, inbound: Inbound, target: bytes, journal: Journal
    ) -> httpx.Response:
        """
        Where the upstream refuses a body that we edited because of its markers: send the original, once, and stop there.
        """
        if response.status_code != 400 or not journal.edited or not isinstance(inbound.body, bytes):
            return response
        answer = await read_error(response)
        if answer is None or not blames_cache_control(decoded(response, answer)):
            return response
        await stream_of(response).aclose()
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

    def _answer(self, response: httpx.Response, journal: Journal) -> Outbound:
        journal.status = response.status_code
        journal.first_byte_ms = journal.elapsed_ms()
        headers = response.headers.raw
        if journal.kept is not None:
            journal.kept.response_headers = headers
        journal.upstream_request_id = header_value(headers, b"request-id").decode("latin-1") or None
        if response.status_code >= 300:
            journal.outcome = "upstream_error"
        else:
            self._remember(journal)
        if journal.account is not None and response.status_code < 300:
            encoding = header_value(headers, b"content-encoding").decode("latin-1")
            journal.meter = UsageMeter(header_value(headers, b"content-type").decode("latin-1"), encoding)
        own = [(name, value) for name, value in forwardable(headers) if not name.lower().startswith(BUDGET_PREFIX)]
        return Outbound(response.status_code, own + journal.told, counted(response, journal))

    def _remember(self, journal: Journal) -> None:
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

    def _refuse(self, journal: Journal, status: int, api_type: str, message: str) -> Outbound:
        """
        An answer of our own, in the API's envelope.
        """
        journal.status, journal.error = status, message
        if journal.outcome == "ok":
            journal.outcome = "refused"
        if not journal.told:
            journal.told = self.desk.look(None, (), journal.started_at).headers()
        answer = own_answer(status, error_body(api_type, message, journal.id), journal.id)
        return replace(answer, headers=answer.headers + journal.told)

    def _fail(self, journal: Journal, error: Exception) -> Outbound:
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
    declared = header_value(inbound.headers, b"content-length")
    return int(declared) if declared.isdigit() else 0
