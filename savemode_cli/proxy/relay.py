"""
The life of one request, from its first byte to its record.

Rule of this file: `Relay.admit` reads from top to bottom in the order of events. It makes no decisions about TTLs,
products or flags: it calls the core, moves bytes, and remembers the core's results for the next request.
"""

import asyncio
from collections.abc import AsyncIterable, Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from secrets import token_hex
from time import perf_counter
from typing import TYPE_CHECKING

from msgspec.structs import replace as with_fields

from savemode_cli.core.budget.admission import Refused
from savemode_cli.core.errors import BadHeader, BodyTooLarge, UpstreamUnreachable
from savemode_cli.core.exchange.observed import Observed
from savemode_cli.core.upgrade.edits import revert
from savemode_cli.core.upgrade.forgone import Forgone
from savemode_cli.core.upgrade.gate import GateState, flags_in_force, gate
from savemode_cli.core.upgrade.upgrade import Upgrade
from savemode_cli.core.wire.caller import (
    Caller,
    read_caller,
    without_posthog_headers,
)
from savemode_cli.core.wire.messages import MAX_BODY_BYTES, error_body
from savemode_cli.core.wire.meter import UsageMeter
from savemode_cli.core.wire.route import Route, check_spelling, read_route
from savemode_cli.proxy.answer import (
    AnswerInProgress,
    CountedPieces,
    Outbound,
    RecordedBodies,
    decoded,
    own_answer,
    read_error,
)
from savemode_cli.proxy.call import CallInProgress, Inbound
from savemode_cli.proxy.callers import Callers
from savemode_cli.proxy.failures import place, tell_failure
from savemode_cli.proxy.misses import CacheMisses
from savemode_cli.proxy.progress import ExchangeInProgress
from savemode_cli.proxy.recording import Recording
from savemode_cli.proxy.relay_settings import RelaySettings
from savemode_cli.proxy.spending import Spending
from savemode_cli.proxy.till import Till
from savemode_cli.proxy.upgrading import Upgrading
from savemode_cli.proxy.upstream import Transport, UpstreamAnswer, UpstreamRequest
from savemode_cli.serving.headers import BUDGET_PREFIX, RawHeaders, forwardable, header_value

if TYPE_CHECKING:  # most proxies use another policy
    from savemode_cli.proxy.auto_ttl import AutoTtl
    from savemode_cli.proxy.keep_warm import KeepWarm
    from savemode_cli.proxy.ttl_key import TtlKeyExperiment

_MAX_DISCARDED_BODY_BYTES = 256 * 1024 * 1024  # the API's limit for batches


class Relay:
    """
    Forwards requests to one upstream. Everything that it uses is passed to it, such as the transport, the clock and the
    sinks.
    """

    def __init__(
        self,
        settings: RelaySettings,
        transport: Transport,
        till: Till,
        record: Callable[[Observed], None],
        *,
        keep_content: bool = False,
        flags: Callable[[Caller], Awaitable[str]] | None = None,
        announce: Callable[[str, str], None] = lambda _event, _text: None,
        env_value: Callable[[], str | None] = lambda: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        auto: "AutoTtl | None" = None,
        keep_warm: "KeepWarm | None" = None,
        ttl_key: "TtlKeyExperiment | None" = None,
    ) -> None:
        """
        Args:
            settings: the settings of the relay.
            transport: sends requests to the upstream.
            till: reserves money for requests and charges them.
            record: called once for each exchange after its last byte; it must not raise.
            keep_content: whether records have content. Bodies then stay in memory until their exchange has ended.
            flags: asks another system for the gate's flags; None: the caller's own flags count.
            announce: receives an event and a text for the user.
            env_value: returns the current value of `COST_CONTROLS_ENABLED`; called for each request.
            now: the clock.
            auto: chooses TTLs if the policy is `auto`.
            keep_warm: sends requests that keep caches warm.
            ttl_key: the experiment on whether a model reads a prefix that was written with the other TTL.
        """
        self.settings = settings
        self.now = now
        self.in_flight = 0
        self.till = till
        self.upgrading = Upgrading(
            settings.policy,
            announce,
            observe=settings.observe,
            hold_out=settings.hold_out,
            auto=auto,
            keep_warm=keep_warm,
            ttl_key=ttl_key,
        )
        self.spending = Spending(settings, till, announce)
        self.misses = CacheMisses(till, self.tell_failure)
        self.forgone = Forgone(settings.policy)
        self._transport = transport
        self._keep_content = keep_content
        self._flags = flags
        self._announce = announce
        self._env_value = env_value
        self._callers = Callers(self._caller, self._forwarded)
        leaves_alone = settings.policy.ttl == "off" or settings.observe
        self._recording = Recording(
            till,
            record,
            self.misses,
            self.spending.guarding,
            self.upgrading.previous_answers,
            forgone=None if leaves_alone else self.forgone,
            keep_warm=keep_warm,
            ttl_key=ttl_key,
        )
        if keep_warm is not None:
            keep_warm.attach(self)
        self._base_urls: set[str] = set()

    def judges(self, method: str, raw_path: bytes) -> bool:
        """
        Whether a request's complete body is needed, because it is a model call.
        """
        try:
            return (
                method == "POST" and read_route(raw_path.decode("latin-1"), self.settings.products).kind == "messages"
            )
        except BadHeader:
            return False

    def gate(self, flags: Mapping[str, str] | None = None) -> GateState:
        """
        The current state of the gate for a request with these flags.
        """
        return gate(flags, self._env_value(), debug=self.settings.debug, save=self.settings.save)

    async def admit(self, inbound: Inbound, respond: Callable[[Outbound], Awaitable[None]]) -> None:
        """
        Judge and forward a request, and pass the answer on. Every exchange is recorded once, as soon as it is charged.

        Args:
            inbound: the request.
            respond: called once with the answer; returns when the client has it.

        Raises:
            UpstreamUnreachable: the answer ended early.
        """
        now = self.now()
        call = CallInProgress(request_id(now), now, inbound, _size(inbound))
        answer = AnswerInProgress(perf_counter())
        exchange = ExchangeInProgress(call, answer)
        if self._keep_content:
            answer.bodies = RecordedBodies(inbound.body if isinstance(inbound.body, bytes) else None)
        self.in_flight += 1
        response: UpstreamAnswer | None = None
        try:
            try:
                target, headers = await self._judge(exchange)
                if isinstance(exchange.bill.decision, Refused):
                    exchange.upgrade = exchange.upgrade.without_edits()
                    out = self.spending.refuse(call, exchange.bill, exchange.bill.decision, answer)
                else:
                    response = await self._send(inbound, target, headers, answer)
                    response = await self._resend_if_blamed(response, target, exchange)
                    out = self._answer(response, exchange)
                    self._recording.forwarded(exchange, inbound.body)
                    # The body is no longer needed, it may have megabytes, and the answer may take minutes.
                    inbound.body = b""
            except BadHeader as error:
                out = await self._turn_away(exchange, error)
            except UpstreamUnreachable as error:
                answer.end("client_gone" if inbound.gone else "unreachable")
                answer.sent = answer.sent and error.served
                words = "; ".join(filter(None, (error.message, error.hint)))
                out = await self._refuse(exchange, error.status, error.api_type, words)
            except Exception as error:  # noqa: BLE001 - any error
                # A bug in savemode: the client still gets an error that it can read, and no traceback with content.
                out = await self._fail(exchange, error)
            await respond(out)
        except asyncio.CancelledError:
            answer.end("client_gone")
            raise
        except UpstreamUnreachable as error:
            answer.end("broken", error.message)
            raise
        except Exception:
            answer.end("broken", "an error in savemode")
            raise
        finally:
            self.in_flight -= 1
            await self._finish(exchange, response)

    async def _judge(self, exchange: ExchangeInProgress) -> tuple[bytes, RawHeaders]:
        """
        Where to send the request, and with which headers; `inbound.body` becomes the body that is sent.
        """
        settings, call, inbound = self.settings, exchange.call, exchange.call.inbound
        if not inbound.raw_path.startswith(b"/"):
            # `*@elsewhere/` after the upstream's address would send the request, with its key, to another host.
            raise BadHeader("the request's target is not a path", hint="use a target that begins with /")
        route = read_route(inbound.path, settings.products)
        self._tell_base_url(route)
        target = settings.upstream_path + route.path.encode("latin-1")
        if inbound.method == "POST":
            check_spelling(route, target.decode("latin-1"))
        known = self._callers.known(inbound.headers, route.product)
        caller = known.caller
        if self._flags is not None and route.kind == "messages":
            flags = flags_in_force(caller.flags, await self._flags(caller), debug=settings.debug)
            caller = with_fields(caller, flags=flags)
        call.caller = caller
        call.trace_id, call.session = caller.trace_id, caller.session_id
        state = self.gate(caller.flags)
        exchange.upgrade = Upgrade(state)
        is_call = route.kind == "messages" and inbound.method == "POST"
        if is_call and not isinstance(inbound.body, bytes):
            raise BodyTooLarge(f"the body is larger than {MAX_BODY_BYTES:,} bytes", hint="this is the API's limit")
        # Of a body that passes through as a stream the client's own length goes on.
        headers = known.forwarded if isinstance(inbound.body, bytes) else self._forwarded(forwardable(inbound.headers))
        if is_call:
            exchange.upgrade = await self.upgrading.upgrade(call, state)
            if settings.beta_header and exchange.upgrade.upgraded:
                headers = known.forwarded_with_beta
        elif route.kind in ("count_tokens", "batches"):
            code = route.kind.replace("_", "-")
            exchange.upgrade = exchange.upgrade.skipped(code, f"{route.kind} bodies are left alone")
        await self.spending.check(call, exchange.bill, route, alone=self.in_flight == 1)
        return (target + b"?" + inbound.query if inbound.query else target), headers

    def _tell_base_url(self, route: Route) -> None:
        """
        Announce, once for each kind, that a client has the wrong kind of base URL.
        """
        if not route.base_url or route.base_url in self._base_urls:
            return
        self._base_urls.add(route.base_url)
        asked, whose = {
            "without /v1": (route.path.removeprefix("/v1"), "has no /v1, which this client expects in it"),
            "with /v1": (f"/v1{route.path}", "ends in /v1, which this client adds itself"),
        }[route.base_url]
        self._announce("base_url", f"a client's base URL {whose}: its {asked} is served as {route.path}")

    async def _send(
        self, inbound: Inbound, target: bytes, headers: RawHeaders, answer: AnswerInProgress
    ) -> UpstreamAnswer:
        answer.sent = False
        request = UpstreamRequest(inbound.method, target, headers, inbound.body, answer.note_sent)
        response = await self._transport.send(request)
        answer.note_sent()
        return response

    async def _resend_if_blamed(
        self, response: UpstreamAnswer, target: bytes, exchange: ExchangeInProgress
    ) -> UpstreamAnswer:
        """
        If the upstream refuses an edited body because of its breakpoints, send the original once, and do not upgrade this
        model again.
        """
        inbound, edits, answer = exchange.call.inbound, exchange.upgrade.on_wire, exchange.answer
        if response.status != 400 or not edits or not isinstance(inbound.body, bytes):
            return response
        # The answer is free, even if the rest of it does not come.
        answer.outcome = "upstream_error"
        error = await read_error(response)
        if error is None:
            return response
        if not self.upgrading.is_blamed(decoded(response.headers, error), exchange.call, exchange.upgrade):
            return response
        await response.pieces.aclose()
        inbound.body = revert(inbound.body, edits)
        exchange.upgrade = with_fields(exchange.upgrade, resent=True)
        answer.outcome = "ok"
        product = read_route(inbound.path, self.settings.products).product
        return await self._send(inbound, target, self._callers.known(inbound.headers, product).forwarded, answer)

    def _answer(self, response: UpstreamAnswer, exchange: ExchangeInProgress) -> Outbound:
        answer, headers = exchange.answer, response.headers
        answer.status = response.status
        answer.first_byte_ms = answer.elapsed_ms()
        if answer.bodies is not None:
            answer.bodies.response_headers = headers
        answer.upstream_request_id = header_value(headers, b"request-id").decode("latin-1") or None
        if response.status >= 300:
            answer.outcome = "upstream_error"
        else:
            self.upgrading.remember(exchange.call, exchange.upgrade)
            if exchange.bill.reservation is not None:
                encoding = header_value(headers, b"content-encoding").decode("latin-1")
                answer.meter = UsageMeter(content_encoding=encoding)
        own = [(name, value) for name, value in forwardable(headers) if not name.lower().startswith(BUDGET_PREFIX)]
        return Outbound(response.status, own + exchange.bill.headers, CountedPieces(response.pieces, answer))

    async def _turn_away(self, exchange: ExchangeInProgress, error: BadHeader) -> Outbound:
        inbound = exchange.call.inbound
        await _swallow(inbound.body, error)
        if inbound.gone:
            exchange.answer.outcome = "client_gone"
        return await self._refuse(exchange, error.status, error.api_type, f"{error.message}; {error.hint}")

    async def _fail(self, exchange: ExchangeInProgress, error: Exception) -> Outbound:
        exchange.answer.outcome = "broken"
        self.tell_failure(error, exchange.call.id)
        return await self._refuse(exchange, 500, "api_error", f"an error in savemode: {place(error)}")

    async def _refuse(self, exchange: ExchangeInProgress, status: int, api_type: str, message: str) -> Outbound:
        """
        An error that the proxy makes itself, in the API's error format.
        """
        call, bill, answer = exchange.call, exchange.bill, exchange.answer
        answer.status, answer.error = status, message
        if answer.outcome == "ok":
            answer.outcome = "refused"
        if not bill.headers:
            bill.headers = (await self.till.look(None, (), call.started_at)).headers()
        out = own_answer(status, error_body(api_type, message, call.id), call.id)
        return Outbound(out.status, out.headers + bill.headers, out.chunks)

    async def _finish(self, exchange: ExchangeInProgress, response: UpstreamAnswer | None) -> None:
        try:
            self._recording.close(exchange, self.now())
        except Exception as error:  # noqa: BLE001 - the answer was sent and was correct
            self.tell_failure(error, exchange.call.id)
        finally:
            if response is not None:
                await response.pieces.aclose()

    def _caller(self, headers: RawHeaders, product: str) -> Caller:
        return read_caller(headers, product, self.settings.products, self.settings.tokens)

    def _forwarded(self, headers: RawHeaders) -> RawHeaders:
        return headers if self.settings.forward_posthog_headers else without_posthog_headers(headers)

    def tell_failure(self, error: Exception, request_id: str = "") -> None:
        """
        Announce a bug in savemode: its type and place. Its message may quote the request and is not shown.
        """
        tell_failure(self._announce, error, request_id)


def request_id(now: datetime) -> str:
    """
    An ID that sorts by time, in milliseconds; the rest is random.

    The ledger has an index of these IDs. With random IDs, each charge is on another page of the index, and a request's
    two commits become slower as the ledger grows: by a third with 300,000 charges. With IDs in order they stay equally
    fast.
    """
    return f"req_sm_{int(now.timestamp() * 1000):011x}{token_hex(5)[:9]}"


async def _swallow(body: bytes | AsyncIterable[bytes], error: BadHeader) -> None:
    """
    Read the rest of a body that is too large: a client that cannot send the rest would never read the answer.
    """
    size = 0
    if isinstance(error, BodyTooLarge) and not isinstance(body, bytes):
        with suppress(ConnectionResetError):  # the client has left, which `inbound` records
            async for piece in body:
                size += len(piece)
                if size > _MAX_DISCARDED_BODY_BYTES:
                    return


def _size(inbound: Inbound) -> int:
    if isinstance(inbound.body, bytes):
        return len(inbound.body)
    declared = header_value(inbound.headers, b"content-length")
    return int(declared) if declared.isdigit() else 0
