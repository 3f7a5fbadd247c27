"""
The life of one request, from its first byte to its record.

Rule of this file: `Relay.admit` reads from top to bottom in the order of events. It makes no decisions about TTLs,
products or flags: it calls the core, moves bytes, and remembers the core's results for the next request.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from secrets import token_hex
from time import perf_counter
from typing import TYPE_CHECKING
from uuid import uuid4

from msgspec.structs import replace as with_fields

from savemode_cli.core.budget.admission import Refused, decide_uncounted
from savemode_cli.core.budget.choices import NO_GUARD, GuardLimits, RefusalChoice
from savemode_cli.core.budget.refusal import refusal, refused_status
from savemode_cli.core.errors import BadHeader, BodyTooLarge, UpstreamUnreachable
from savemode_cli.core.exchange.bill import Bill
from savemode_cli.core.exchange.observed import Observed
from savemode_cli.core.upgrade.cache_ttl import Choice, sticky, writes_one_hour
from savemode_cli.core.upgrade.edits import ENCODED, apply, revert, upgrades
from savemode_cli.core.upgrade.forgone import Forgone, SentAsItCame
from savemode_cli.core.upgrade.gate import GateState, flags_in_force, gate
from savemode_cli.core.upgrade.hold_out import trial_member
from savemode_cli.core.upgrade.policy import Policy
from savemode_cli.core.upgrade.rules import DIAGNOSE
from savemode_cli.core.upgrade.transform import transform
from savemode_cli.core.wire.access_tokens import NO_TOKENS, AccessTokens
from savemode_cli.core.wire.caller import (
    Caller,
    conversation_key,
    read_caller,
    session_key,
    trace_id,
    without_posthog_headers,
)
from savemode_cli.core.wire.diagnostics import blames_diagnostics
from savemode_cli.core.wire.facts import Facts
from savemode_cli.core.wire.messages import BATCHES_PATH, MAX_BODY_BYTES, blames_cache_control, error_body
from savemode_cli.core.wire.meter import UsageMeter
from savemode_cli.core.wire.products import PRODUCTS, Products
from savemode_cli.core.wire.route import Route, check_spelling, may_cost, read_route
from savemode_cli.proxy.answer import Outbound, counted, decoded, once, own_answer, read_error
from savemode_cli.proxy.body_reader import BodyReader, facts
from savemode_cli.proxy.callers import Callers
from savemode_cli.proxy.failures import place, tell_failure
from savemode_cli.proxy.guarding import Guarding
from savemode_cli.proxy.misses import CacheMisses
from savemode_cli.proxy.previous_answers import PreviousAnswers
from savemode_cli.proxy.progress import ExchangeInProgress, Inbound, RecordedBodies
from savemode_cli.proxy.reservation import ReservationRequest
from savemode_cli.proxy.till import Till
from savemode_cli.proxy.upstream import Transport, UpstreamAnswer, UpstreamRequest
from savemode_cli.serving.headers import BUDGET_PREFIX, RawHeaders, forwardable, header_value

if TYPE_CHECKING:  # most proxies use another policy
    from savemode_cli.proxy.auto_ttl import AutoTtl
    from savemode_cli.proxy.keep_warm import KeepWarm
    from savemode_cli.proxy.ttl_key import TtlKeyExperiment

_REMEMBERED_SESSIONS = 10_000
_MOST_SHOWN = 100  # how many characters of a path a refusal shows
_MAX_DISCARDED_BODY_BYTES = 256 * 1024 * 1024  # the API's limit for batches


@dataclass(frozen=True, slots=True)
class RelaySettings:
    """
    The settings of a relay. They do not change while it runs. `upstream_path` is the path of the upstream's URL, without a
    slash at the end.
    """

    policy: Policy
    upstream_path: bytes = b""
    products: Products = PRODUCTS
    debug: bool = False
    save: bool = False
    """Whether the process runs with `--save`, which opens the gate in debug mode."""
    observe: bool = False
    beta_header: bool = True
    hold_out: float = 0
    """The share of the sessions that is not upgraded, for comparison."""
    forward_posthog_headers: bool = False
    allow_uncounted: bool = False
    """Whether requests that may cost money and are not counted are always allowed."""
    tokens: AccessTokens = NO_TOKENS
    """The personal access tokens, which identify the person who sends a request."""
    ledger_options: str | None = ""
    """The options with which a command reaches the ledger, for the hints of refusals; see `refusal`."""
    guard: GuardLimits = NO_GUARD
    """From where on a conversation seems to have run away, and what happens then."""
    refusal: RefusalChoice = "auto"
    refusal_statuses: Mapping[str, int] = field(default_factory=dict)
    """The status that ends each client; see `refused_status`."""


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
        self.stopped_models: set[str | None] = set()
        self.till = till
        self.bodies = BodyReader(announce)
        self.misses = CacheMisses(till, self.tell_failure)
        self.guarding = Guarding(settings.guard, till, announce)
        self.forgone = Forgone(settings.policy)
        self.previous_answers = PreviousAnswers()
        self._policy = settings.policy
        self._transport = transport
        self._record = record
        self._keep_content = keep_content
        self._flags = flags
        self._announce = announce
        self._env_value = env_value
        self._auto = auto
        self._callers = Callers(self._caller, self._forwarded)
        self._keep_warm = keep_warm
        self._ttl_key = ttl_key
        if keep_warm is not None:
            keep_warm.attach(self)
        self._base_urls: set[str] = set()
        self._choices: OrderedDict[str, Choice] = OrderedDict()

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

    def gate(self, flags: dict[str, str] | None = None) -> GateState:
        """
        The current state of the gate for a request with these flags.
        """
        return gate(flags, self._env_value(), debug=self.settings.debug, save=self.settings.save)

    @asynccontextmanager
    async def admit(self, inbound: Inbound) -> AsyncIterator[Outbound]:
        """
        Judge and forward a request, and yield the answer. Every exchange is recorded once, as soon as it is charged.
        """
        now = self.now()
        progress = ExchangeInProgress(request_id(now), now, perf_counter(), inbound, _size(inbound))
        if self._keep_content:
            progress.bodies = RecordedBodies(inbound.body if isinstance(inbound.body, bytes) else None)
        self.in_flight += 1
        response: UpstreamAnswer | None = None
        try:
            try:
                target, headers = await self._judge(inbound, progress)
                if isinstance(progress.decision, Refused):
                    out = self._over_budget(progress, progress.decision)
                else:
                    response = await self._send(inbound, target, headers, progress)
                    response = await self._resend_if_blamed(response, inbound, target, progress)
                    out = self._answer(response, progress)
                    self._note_forwarded(progress, inbound.body)
                    # The body is no longer needed, it may have megabytes, and the answer may take minutes.
                    inbound.body = b""
            except BadHeader as error:
                out = await self._turn_away(inbound, progress, error)
            except UpstreamUnreachable as error:
                progress.end("client_gone" if inbound.gone else "unreachable")
                progress.sent = progress.sent and error.served
                words = "; ".join(filter(None, (error.message, error.hint)))
                out = await self._refuse(progress, error.status, error.api_type, words)
            except Exception as error:  # noqa: BLE001 - any error
                # A bug in savemode: the client still gets an error that it can read, and no traceback with content.
                out = await self._fail(progress, error)
            yield out
        except asyncio.CancelledError:
            progress.end("client_gone")
            raise
        except UpstreamUnreachable as error:
            progress.end("broken", error.message)
            raise
        except Exception:
            progress.end("broken", "an error in savemode")
            raise
        finally:
            self.in_flight -= 1
            await self._finish(progress, response)

    async def _judge(self, inbound: Inbound, progress: ExchangeInProgress) -> tuple[bytes, RawHeaders]:
        """
        Where to send the request, and with which headers; `inbound.body` becomes the body that is sent.
        """
        settings = self.settings
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
            caller = replace(caller, flags=flags)
        progress.caller = caller
        progress.product = caller.product
        progress.gate = gate(caller.flags, self._env_value(), debug=settings.debug, save=settings.save)
        progress.trace_id, progress.session = caller.trace_id, caller.session_id
        is_call = route.kind == "messages" and inbound.method == "POST"
        if is_call and not isinstance(inbound.body, bytes):
            raise BodyTooLarge(f"the body is larger than {MAX_BODY_BYTES:,} bytes", hint="this is the API's limit")
        # Of a body that passes through as a stream the client's own length goes on.
        headers = known.forwarded if isinstance(inbound.body, bytes) else self._forwarded(forwardable(inbound.headers))
        if is_call:
            await self._upgrade(inbound, caller, progress)
            if progress.upgraded and settings.beta_header:
                headers = known.forwarded_with_beta
        elif route.kind in ("count_tokens", "batches"):
            progress.skip(route.kind.replace("_", "-"), f"{route.kind} bodies are left alone")
        await self._reserve(inbound, caller, route, progress)
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

    async def _reserve(self, inbound: Inbound, caller: Caller, route: Route, progress: ExchangeInProgress) -> None:
        """
        Reserve the cost of a model call. A free request only gets the state of the budgets. A batch, whose bill comes
        with its results, may start if money is left.
        """
        now = progress.started_at
        if route.kind == "messages" and inbound.method == "POST":
            refused = None if inbound.keep_warm else await self.guarding.judge(progress, caller)
            if refused is not None:
                progress.decision, progress.budget_headers = refused, refused.headers()
                return
            facts, size, session = progress.facts, progress.request_bytes, progress.session or ""
            request = ReservationRequest(
                progress.id,
                caller,
                inbound.headers,
                facts,
                size,
                session,
                now,
                progress.conversation,
                keep_warm=inbound.keep_warm,
            )
            progress.reservation = await self.till.open(request, alone=self.in_flight == 1)
            progress.decision = progress.reservation.decision
            progress.budget_headers = progress.decision.headers()
            if progress.alarm is not None:
                progress.budget_headers += progress.alarm.headers()
            return
        standing = await self.till.look(caller, inbound.headers, now)
        starts_batch = inbound.method == "POST" and route.path == BATCHES_PATH
        uncounted = starts_batch or may_cost(inbound.method, route.path)
        refusable = uncounted and not self.settings.allow_uncounted
        if refusable:
            standing = decide_uncounted(standing)
        progress.budget_headers = standing.headers()
        if refusable or not isinstance(standing, Refused):
            progress.decision = standing

    def _over_budget(self, progress: ExchangeInProgress, decision: Refused) -> Outbound:
        progress.outcome = "refused"
        progress.edits = ()
        settings = self.settings
        user_agent = header_value(progress.inbound.headers, b"user-agent").decode("latin-1")
        permanent = refused_status(settings.refusal, user_agent, settings.refusal_statuses)
        asked = (
            f"{progress.inbound.method} {progress.inbound.path[:_MOST_SHOWN]}" if progress.reservation is None else ""
        )
        status, headers, body = refusal(
            decision, progress.id, settings.ledger_options, asked, permanent_status=permanent
        )
        progress.status = status
        progress.error = "guard" if decision.alarm is not None else f"budget: {decision.reason}"
        return Outbound(status, [*headers, (b"content-length", b"%d" % len(body))], once(body))

    async def _turn_away(self, inbound: Inbound, progress: ExchangeInProgress, error: BadHeader) -> Outbound:
        await _swallow(inbound.body, error)
        if inbound.gone:
            progress.outcome = "client_gone"
        return await self._refuse(progress, error.status, error.api_type, f"{error.message}; {error.hint}")

    async def _finish(self, progress: ExchangeInProgress, response: UpstreamAnswer | None) -> None:
        try:
            self._close(progress)
        except Exception as error:  # noqa: BLE001 - the answer was sent and was correct
            self.tell_failure(error, progress.id)
        finally:
            if response is not None:
                await response.pieces.aclose()

    def _close(self, progress: ExchangeInProgress) -> None:
        """
        Charge the reservation, and pass the exchange to the sinks when it is charged; at once if nothing was reserved.
        """
        now = self.now()
        progress.conclude(now)
        if progress.meter is not None and progress.outcome == "ok":
            self.previous_answers.note(progress.session, progress.facts.model, progress.meter.message_id)
        tell = partial(self._tell, progress)
        if progress.reservation is None:
            return tell(None)
        edits = progress.edits if progress.edited else ()
        ending, meter = progress.ending, progress.meter
        return self.till.close(progress.reservation, ending, now, tell, meter=meter, edits=edits)

    def _note_forwarded(self, progress: ExchangeInProgress, body: object) -> None:
        """
        Remember what was sent, as far as something follows from it later.
        """
        if progress.inbound.keep_warm:
            return  # of a conversation that its client has not gone on with, nothing is missed
        progress.asked = self.misses.forwarded(progress, body)
        if self._keep_warm is not None and isinstance(body, bytes) and self._keep_warm.wants(progress):
            progress.warm_body = body

    def _tell(self, progress: ExchangeInProgress, bill: Bill | None) -> None:
        self.guarding.end(progress, 0 if bill is None else bill.cost_nusd or 0)
        self._note_forgone(progress, bill)
        if self._keep_warm is not None:
            self._keep_warm.answered(progress, bill)
        if self._ttl_key is not None:
            self._ttl_key.answered(progress, bill)
        if bill is not None:
            bill = with_fields(bill, verdict=self.misses.verdict(progress, bill.usage))
        self._record(progress.observed_by_sinks(bill))

    def _note_forgone(self, progress: ExchangeInProgress, bill: Bill | None) -> None:
        """
        Add what `--save` would have changed, if this process does not upgrade and is not configured to leave requests
        alone.
        """
        usage = None if bill is None else bill.usage
        if usage is None or progress.caller is None or progress.ended_at is None or not progress.was_left_alone:
            return
        if self.settings.policy.ttl == "off" or self.settings.observe or progress.inbound.keep_warm:
            return
        model, started_at = progress.answered_by or progress.facts.model, progress.started_at
        price = partial(self.till.price, model=model, when=started_at)
        sent = SentAsItCame(progress.cache, progress.facts, progress.caller, usage, started_at, progress.ended_at)
        self.forgone.add(sent, price)

    def _caller(self, headers: RawHeaders, product: str) -> Caller:
        return read_caller(headers, product, self.settings.products, self.settings.tokens)

    def _forwarded(self, headers: RawHeaders) -> RawHeaders:
        return headers if self.settings.forward_posthog_headers else without_posthog_headers(headers)

    async def _upgrade(self, inbound: Inbound, caller: Caller, progress: ExchangeInProgress) -> None:
        body = inbound.body
        assert isinstance(body, bytes)  # noqa: S101 - a larger body was refused
        if header_value(inbound.headers, b"content-encoding") not in (b"", b"identity"):
            progress.facts = Facts(problem="compressed")
            return progress.skip(ENCODED.code, ENCODED.why)
        known = await facts(body, self.bodies)
        inbound.finish_anyway = not known.stream
        progress.session = session_key(caller, known)
        progress.conversation = conversation_key(caller, known)
        progress.trace_id = trace_id(caller, known.user_id, _fresh_trace)
        # The opening of a conversation may be long, and the answer may take minutes.
        progress.facts = replace(known, opening=())
        if self._keep_warm is not None and inbound.keep_warm:
            progress.trial = self._keep_warm.trial_of(progress)
            return None  # it is sent as the request was sent whose cache it keeps warm
        if self._keep_warm is not None:
            self._keep_warm.came_back(progress)
        if not progress.gate.on and not self.settings.observe:
            return None
        previous = self.previous_answers.of(progress.session, known.model)
        done = transform(body, self._policy, caller, known, previous)
        progress.edits, progress.skips = done.edits, done.skips
        progress.observed = self.settings.observe
        self._hold_back(progress, caller, known)
        if progress.edited:
            inbound.body = done.body if progress.edits == done.edits else apply(body, progress.edits)
        return None

    def _hold_back(self, progress: ExchangeInProgress, caller: Caller, known: Facts) -> None:
        """
        Remove the upgrades if the trial, the policy `auto`, or an earlier request of this model or session requires it.
        """
        if not upgrades(progress.edits):
            return
        if self.settings.hold_out and not self.settings.observe:
            progress.trial = trial_member(conversation_key(caller, known), self.settings.hold_out)
            if progress.trial.group == "hold-out":
                if self._ttl_key is not None and self._ttl_key.begins(progress):
                    return
                progress.skip("hold-out", "this session is held out, to compare the others with it")
                return
        if self._auto is not None:
            size, now = progress.request_bytes, progress.started_at
            progress.auto = self._auto.decide(caller, progress.facts, progress.session or "", size, now)
        refused = progress.facts.model in self.stopped_models
        previous = self._choices.get(progress.cache)
        if refused:
            progress.skip("stopped", "the upstream refused the upgrade for this model; off until restart")
        elif progress.auto is not None and progress.auto.ttl == "5m":
            progress.skip("auto-5m", f"5m is expected to cost less: {progress.auto.reason}")
        elif progress.auto is not None and progress.auto.is_warm_upgrade:
            pass  # an experiment has shown that the warm prefix is read all the same
        elif not sticky(previous, wanted=True, now=progress.started_at).upgrade:
            progress.skip("sticky", "this session's cache is warm at 5m; the TTL changes once it is cold")

    async def _send(
        self, inbound: Inbound, target: bytes, headers: RawHeaders, progress: ExchangeInProgress
    ) -> UpstreamAnswer:
        progress.sent = False
        request = UpstreamRequest(inbound.method, target, headers, inbound.body, progress.note_sent)
        response = await self._transport.send(request)
        progress.note_sent()
        return response

    async def _resend_if_blamed(
        self, response: UpstreamAnswer, inbound: Inbound, target: bytes, progress: ExchangeInProgress
    ) -> UpstreamAnswer:
        """
        If the upstream refuses an edited body because of its breakpoints, send the original once, and do not upgrade this
        model again.
        """
        if response.status != 400 or not progress.edited or not isinstance(inbound.body, bytes):
            return response
        # The answer is free, even if the rest of it does not come.
        progress.outcome = "upstream_error"
        answer = await read_error(response)
        if answer is None or not self._is_blamed(decoded(response.headers, answer), progress):
            return response
        await response.pieces.aclose()
        inbound.body = revert(inbound.body, progress.edits)
        progress.resent = True
        progress.outcome = "ok"
        product = read_route(inbound.path, self.settings.products).product
        return await self._send(inbound, target, self._callers.known(inbound.headers, product).forwarded, progress)

    def _is_blamed(self, answer: bytes, progress: ExchangeInProgress) -> bool:
        """
        Whether an error of the upstream is about an edit of ours. Such edits are not made again until restart.
        """
        if progress.upgraded and blames_cache_control(answer):
            model = progress.facts.model
            self.stopped_models.add(model)
            self._announce(
                "upgrade_stopped",
                f"the upstream refused the 1h TTL for {model or 'this model'}: the original was sent instead, and nothing "
                "is upgraded for it until restart",
            )
            return True
        if progress.asks_for_diagnosis and blames_diagnostics(answer):
            self._policy = replace(self._policy, rules=self._policy.rules - {DIAGNOSE})
            self._announce(
                "diagnose_stopped",
                "the upstream refused the cache diagnostics: the original was sent instead, and it is not asked for them "
                "until restart",
            )
            return True
        return False

    def _answer(self, response: UpstreamAnswer, progress: ExchangeInProgress) -> Outbound:
        progress.status = response.status
        progress.first_byte_ms = progress.elapsed_ms()
        headers = response.headers
        if progress.bodies is not None:
            progress.bodies.response_headers = headers
        progress.upstream_request_id = header_value(headers, b"request-id").decode("latin-1") or None
        if response.status >= 300:
            progress.outcome = "upstream_error"
        else:
            self._remember(progress)
        if progress.reservation is not None and response.status < 300:
            encoding = header_value(headers, b"content-encoding").decode("latin-1")
            progress.meter = UsageMeter(content_encoding=encoding)
        own = [(name, value) for name, value in forwardable(headers) if not name.lower().startswith(BUDGET_PREFIX)]
        return Outbound(response.status, own + progress.budget_headers, counted(response.pieces, progress))

    def _remember(self, progress: ExchangeInProgress) -> None:
        """
        Remember with which TTL this session's cache was last written.
        """
        if progress.session is None or not progress.facts.breakpoints:
            return
        # In observe mode, act as if the edit had been sent, so that later requests see the same state of the session.
        edits = () if progress.resent else progress.edits
        self._choices[progress.cache] = Choice(writes_one_hour(progress.facts, edits), progress.started_at)
        self._choices.move_to_end(progress.cache)
        if len(self._choices) > _REMEMBERED_SESSIONS:
            self._choices.popitem(last=False)

    async def _refuse(self, progress: ExchangeInProgress, status: int, api_type: str, message: str) -> Outbound:
        """
        An error that the proxy makes itself, in the API's error format.
        """
        progress.status, progress.error = status, message
        if progress.outcome == "ok":
            progress.outcome = "refused"
        if not progress.budget_headers:
            progress.budget_headers = (await self.till.look(None, (), progress.started_at)).headers()
        answer = own_answer(status, error_body(api_type, message, progress.id), progress.id)
        return replace(answer, headers=answer.headers + progress.budget_headers)

    async def _fail(self, progress: ExchangeInProgress, error: Exception) -> Outbound:
        progress.outcome = "broken"
        self.tell_failure(error, progress.id)
        return await self._refuse(progress, 500, "api_error", f"an error in savemode: {place(error)}")

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


def _fresh_trace() -> str:
    return str(uuid4())


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
