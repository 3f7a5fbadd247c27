"""
The ASGI application of the proxy: it turns HTTP requests into calls of the relay.

Rule of this file: it reads and writes HTTP. The access policy decides which requests are served, and the relay what
happens to them. The hot path is a plain ASGI function; Starlette serves the proxy's own pages under `/-/`.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

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

OWN_PATHS = b"/-/"

_MOST_DIGITS = 9  # of a number in a query: more than needed, and few enough for Python to parse quickly
_HANG_UP_GRACE_S = 0.05
"""
How long an exchange runs before a task waits for a hang-up of its client, in seconds. The task costs time, and most
shorter exchanges end before a client could leave.
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
            await self._relay(scope, receive, send)

    async def _relay(self, scope: Scope, receive: Receive, send: Send) -> None:
        judged = self.relay.judges(scope["method"], scope["raw_path"])
        inbound = await _read(scope, receive, limit=MAX_BODY_BYTES if judged else 0)
        if inbound is None:
            return
        watch = _HangUp(receive, inbound)
        try:
            async with self.relay.admit(inbound) as out:
                await _respond(out, send)
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

    def __init__(self, receive: Receive, inbound: Inbound) -> None:
        self._receive = receive
        self._inbound = inbound
        self._upload = inbound.body if isinstance(inbound.body, _Upload) else None
        self._exchange = asyncio.current_task()
        self._task: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(_HANG_UP_GRACE_S, self._begin)

    def stop(self) -> None:
        self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    def _begin(self) -> None:
        if self._upload is not None and not self._upload.done:
            # Two readers of one request would take each other's messages, also after the answer has begun.
            self._timer = asyncio.get_running_loop().call_later(_HANG_UP_GRACE_S, self._begin)
            return
        self._task = asyncio.get_running_loop().create_task(self._wait())

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if not self._inbound.finish_anyway and self._exchange is not None:
            self._exchange.cancel()


class _Upload:
    """
    A request body that is only forwarded, in the pieces in which it arrives.
    """

    def __init__(self, first: list[bytes], receive: Receive) -> None:
        self.inbound: Inbound | None = None
        self.done = False
        self._first = first
        self._receive = receive

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            for piece in self._first:
                yield piece
            more = True
            while more:
                message = await self._receive()
                if message["type"] == "http.disconnect":
                    if self.inbound is not None:
                        self.inbound.gone = True
                    raise ConnectionResetError("the client left before its body was complete")
                more = message.get("more_body", False)
                yield message.get("body", b"")
        finally:
            # This also runs if the upstream stops reading. From now on `_HangUp` must notice a hang-up.
            self.done = True


async def _read(scope: Scope, receive: Receive, *, limit: int) -> Inbound | None:
    """
    The request with its body: complete if the body has at most `limit` bytes, otherwise as a stream. None: the client
    left.
    """
    pieces: list[bytes] = []
    size = 0
    body: bytes | _Upload
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
        if not message.get("more_body", False):
            body = b"".join(pieces)
            break
        if size > limit:
            body = _Upload(pieces, receive)
            break
    inbound = Inbound(scope["method"], scope["raw_path"], scope["query_string"], scope["headers"], body)
    if isinstance(body, _Upload):
        body.inbound = inbound
    return inbound


async def _respond(out: Outbound, send: Send) -> None:
    headers = out.headers
    if out.status in (204, 304):
        # Such an answer has no body. With a content-length, the server would wait for one.
        headers = [(name, value) for name, value in headers if name.lower() != b"content-length"]
    start: Message = {"type": "http.response.start", "status": out.status, "headers": headers}
    await send(start)
    async for chunk in out.chunks:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})
