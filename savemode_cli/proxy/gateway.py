"""
The ASGI application of the proxy: it turns HTTP requests into calls of the relay.

Rule of this file: it reads and writes HTTP. The access policy decides which requests are served, and the relay what
happens to them. The hot path is a plain ASGI function; Starlette serves the proxy's own pages under `/-/`.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from savemode_cli.core.budget.overview import origin_json, standing_json
from savemode_cli.core.errors import LedgerUnavailable, UpstreamUnreachable
from savemode_cli.core.exchange.exchange import SCHEMA_VERSION, Exchange
from savemode_cli.core.exchange.observed import Counted, Part, Sink
from savemode_cli.core.wire.messages import MAX_BODY_BYTES, error_body
from savemode_cli.proxy.answer import Outbound
from savemode_cli.proxy.call import Inbound
from savemode_cli.proxy.live_pages import PrintableJson
from savemode_cli.proxy.relay import Relay, request_id
from savemode_cli.serving.connections import Connections
from savemode_cli.serving.cycle import Cycle, cycle_of
from savemode_cli.serving.incoming import IncomingBodies

OWN_PATHS = b"/-/"

_MOST_DIGITS = 9  # of a number in a query: more than needed, and few enough for Python to parse quickly
_HANG_UP_GRACE_S = 0.05
"""
How long an exchange may go on whose client has left during an upload, in seconds: it then ends by itself, with a better
reason.
"""


class Gateway:
    """
    The ASGI application.
    """

    def __init__(
        self,
        relay: Relay,
        recent: Collection[Exchange] = (),
        *,
        sinks: Sequence[Sink] = (),
        parts: Sequence[Part] = (),
        pages: Mapping[str, Any] = MappingProxyType({}),
        connections: Connections | None = None,
    ) -> None:
        """
        Args:
            relay: answers everything except the proxy's own pages.
            recent: the last exchanges, for `/-/exchanges`.
            sinks: get every exchange; `/-/health` shows their health and their counters.
            parts: other parts whose health is shown.
            pages: further pages by their paths: functions of a request, or ASGI applications.
            connections: the connections of the server, whose figures are shown.
        """
        self.relay = relay
        self.requests = 0
        self._started = time.monotonic()
        self._recent = recent
        self._sinks = sinks
        self._parts = [*sinks, *parts]
        self._connections = connections or Connections()
        own = [Route("/-/health", self._health), Route("/-/exchanges", self._exchanges)]
        self._own = Starlette(routes=[*own, *(Route(path, page) for path, page in pages.items())])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """
        Serve one request.
        """
        if scope["type"] != "http":
            return
        if scope["raw_path"].startswith(OWN_PATHS):
            await self._own(scope, receive, send)
        elif scope["raw_path"] == b"/" and _is_from_browser(scope):
            await RedirectResponse("/-/", 302)(scope, receive, send)
        else:
            self.requests += 1
            await self._relay(scope, receive)

    async def _relay(self, scope: Scope, receive: Receive) -> None:
        judged = self.relay.judges(scope["method"], scope["raw_path"])
        cycle = cycle_of(receive)
        inbound = await _read(cycle, self._connections.bodies, limit=MAX_BODY_BYTES if judged else 0)
        if inbound is None:
            return
        watch = _HangUp(cycle, inbound)
        try:
            await self.relay.admit(inbound, partial(_respond, cycle))
        except UpstreamUnreachable:
            # The head is sent, so the error can only be shown by an incomplete answer: returning before the last byte makes
            # the server close the connection, and the client sees that the answer is incomplete.
            return
        except asyncio.CancelledError:
            # The client has left, or the grace period of the shutdown is over. This task does nothing more, and raising would
            # print a traceback.
            task = asyncio.current_task()
            if task is not None:
                task.uncancel()
        except Exception as error:  # noqa: BLE001 - whatever it is
            # The answer stays incomplete too. The server would print a traceback, and its message may contain content.
            self.relay.tell_failure(error)
        finally:
            watch.stop()

    async def _health(self, _request: Request) -> Response:
        relay = self.relay
        state = relay.gate()
        budgets, in_force, condition = await self._budgets(), await relay.till.in_force(), relay.till.condition
        return PrintableJson(
            {
                "status": "ok",
                "uptime_s": round(time.monotonic() - self._started, 1),
                "gate": {"on": state.on, "why": state.why},
                "ttl_policy": relay.settings.policy.ttl,
                "observe": relay.settings.observe,
                "requests": self.requests,
                "in_flight": relay.in_flight,
                "connections": self._connections.to_json(),
                "incoming_bodies": self._connections.bodies.to_json(),
                "ledger": condition.trouble or "ok",
                "unwritten": {"calls": condition.unwritten_calls, "nusd": condition.unwritten_nusd},
                "budgets": budgets,
                "caps": [origin_json(budget) for budget in in_force],
                **{part.name: part.trouble or "ok" for part in self._parts},
                "counters": {part.name: dict(part.counters) for part in self._parts if isinstance(part, Counted)},
                "downgraded_models": relay.till.downgraded_models,
                "upgrade_stopped_models": sorted(model or "" for model in relay.upgrading.stopped_models),
            }
        )

    async def _budgets(self) -> list[dict[str, Any]] | None:
        """
        The shared caps in force, whatever their origin; None: the ledger does not answer.
        """
        try:
            return [standing_json(standing) for standing in await self.relay.till.standings(self.relay.now())]
        except LedgerUnavailable:
            return None

    async def _exchanges(self, request: Request) -> Response:
        """
        The last exchanges, oldest first; `?last=N` limits their number. They have no bodies and no headers.
        """
        wanted = request.query_params.get("last")
        if wanted is not None and not (wanted.isascii() and wanted.isdecimal() and wanted.strip("0")):
            why = "last must be a number of exchanges; use for example ?last=20"
            body = error_body("invalid_request_error", why, request_id(self.relay.now()))
            return Response(body, 400, media_type="application/json")
        await self.relay.till.post_waiting()
        last = len(self._recent) if wanted is None else int(wanted.lstrip("0")[:_MOST_DIGITS])
        rows = [exchange.to_json() for exchange in list(self._recent)[-last:]] if last else []
        return PrintableJson({"schema_version": SCHEMA_VERSION, "exchanges": rows})


def _is_from_browser(scope: Scope) -> bool:
    """
    Whether a browser asks for a page. Every other request for this path goes to the upstream.
    """
    return scope["method"] == "GET" and any(
        name == b"accept" and b"text/html" in value for name, value in scope["headers"]
    )


class _HangUp:
    """
    Notices that the client has left, and cancels the exchange unless it should finish anyway.
    """

    def __init__(self, cycle: Cycle, inbound: Inbound) -> None:
        self._cycle = cycle
        self._inbound = inbound
        self._exchange = asyncio.current_task()
        self._later: asyncio.TimerHandle | None = None
        self._upload = inbound.body if isinstance(inbound.body, _Upload) else None
        if self._upload is not None:
            self._upload.on_end = self._look_again
        cycle.on_hang_up = self._cancel

    def stop(self) -> None:
        """
        The exchange is over.
        """
        self._cycle.on_hang_up = None
        if self._later is not None:
            self._later.cancel()

    def _cancel(self) -> None:
        if self._upload is not None and not self._upload.done:
            return  # who reads the upload learns it from there
        if not self._inbound.finish_anyway and self._exchange is not None:
            self._exchange.cancel()

    def _look_again(self) -> None:
        """
        The upload is over. If the client has left, who reads it gets a moment to end the exchange.
        """
        if self._cycle.disconnected:
            self._later = asyncio.get_running_loop().call_later(_HANG_UP_GRACE_S, self._cancel)


class _Upload:
    """
    A request body that is only forwarded, in the pieces in which it arrives.
    """

    def __init__(self, first: bytes, cycle: Cycle) -> None:
        self.inbound: Inbound | None = None
        self.done = False
        self.on_end: Callable[[], None] = lambda: None
        self._first = first
        self._cycle = cycle

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            yield self._first
            more = True
            while more:
                message = await self._cycle.receive()
                if message["type"] == "http.disconnect":
                    if self.inbound is not None:
                        self.inbound.gone = True
                    raise ConnectionResetError("the client left before its body was complete")
                more = message["more_body"]
                yield message["body"]
        finally:
            # This also runs if the upstream stops reading. From now on `_HangUp` must notice a hang-up.
            self.done = True
            self.on_end()


async def _read(cycle: Cycle, incoming: IncomingBodies, *, limit: int) -> Inbound | None:
    """
    The request with its body: complete if the body has at most `limit` bytes, otherwise as a stream. None: the client
    left, or the body was refused because it came too slowly.
    """
    begin = await (_counted(cycle, incoming, limit) if cycle.more_body else cycle.read(limit))
    if begin is None:
        return None
    scope: Any = cycle.scope
    body = _Upload(begin, cycle) if cycle.more_body else begin
    inbound = Inbound(scope["method"], scope["raw_path"], scope["query_string"], scope["headers"], body)
    if isinstance(body, _Upload):
        body.inbound = inbound
    return inbound


async def _counted(cycle: Cycle, incoming: IncomingBodies, limit: int) -> bytes | None:
    """
    See `Cycle.read`. Until the body is complete, its bytes count as those of an incomplete one.
    """
    body = incoming.begin(cycle.refuse)
    cycle.on_piece = body.add
    try:
        body.add(cycle.waiting_bytes)
        return await cycle.read(limit)
    finally:
        cycle.on_piece = None
        body.end()


async def _respond(cycle: Cycle, out: Outbound) -> None:
    headers = out.headers
    if out.status in (204, 304):
        # Such an answer has no body. With a content-length, the server would wait for one.
        headers = [(name, value) for name, value in headers if name.lower() != b"content-length"]
    cycle.start(out.status, headers)
    async for chunk in out.chunks:
        cycle.write(chunk)
        if cycle.flow.write_paused:
            await cycle.drained()
    cycle.finish()
