"""
The server side: HTTP in, one relay behind it.

Rule of this file: it reads and writes HTTP. Who may come in is the door's business, what happens to a request the
relay's. The hot path is a plain ASGI function; Starlette serves our own pages under `/-/`.

Longer than most: the application and the server under it share the meaning of a hang-up, an upload and an end.
"""

import asyncio
import contextlib
import ctypes
import gc
import logging
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, cast

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from savemode_cli.core.errors import ConfigError, LedgerUnavailable, UpstreamUnreachable
from savemode_cli.core.exchange import SCHEMA_VERSION, Exchange
from savemode_cli.core.messages import MAX_BODY_BYTES
from savemode_cli.core.overview import standing_json
from savemode_cli.core.record import Part
from savemode_cli.proxy.answer import Outbound, once
from savemode_cli.proxy.door import MAX_HEAD_BYTES, Door, refused
from savemode_cli.proxy.journal import Inbound
from savemode_cli.proxy.relay import Relay

OWN_PATHS = b"/-/"
TRANSPORT = "savemode.transport"
"""
The ASGI extension in which an application finds its connection.
"""

_MOST_DIGITS = 9  # of a number in a query: more than can be kept, and less than Python takes long to read
_HANG_UP_GRACE_S = 0.05
"""
A hang-up is looked for once an exchange has lasted this long: watching costs a task, and most of what is shorter is
over before a client could have left.
"""


class Gateway:
    """
    The ASGI application. `recent` are the last exchanges, for `/-/exchanges`; `parts` those whose health is ours to tell;
    `pages` are shown under further paths.
    """

    def __init__(
        self,
        relay: Relay,
        door: Door,
        recent: Collection[Exchange] = (),
        *,
        parts: Sequence[Part] = (),
        pages: Mapping[str, ASGIApp] = MappingProxyType({}),
    ) -> None:
        """
        Start the clock of `/-/health`.
        """
        self.relay = relay
        self.requests = 0
        self._door = door
        self._started = time.monotonic()
        self._recent = recent
        self._parts = parts
        own = [Route("/-/health", self._health), Route("/-/exchanges", self._exchanges)]
        self._own = Starlette(routes=[*own, *(Route(path, page) for path, page in pages.items())])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """
        Serve one request.
        """
        if scope["type"] != "http":
            return
        shut = self._door.refusal(scope["headers"])
        if shut is not None:
            await _respond(Outbound(shut.status, shut.headers, once(shut.body)), send)
        elif scope["raw_path"].startswith(OWN_PATHS):
            await self._own(scope, receive, send)
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
            # The head has gone out, so the only honest end is an abrupt one: returning before the last byte makes the
            # server close the connection, and the client sees that something is missing.
            return
        except asyncio.CancelledError:
            # Either the client has left, or the grace at the end is over. Nothing follows in this task, and raised on it
            # would be printed as a traceback.
            task = asyncio.current_task()
            if task is not None:
                task.uncancel()
        except Exception as error:  # noqa: BLE001 - whatever it is
            # The same abrupt end. The server would print it with a traceback, and its words may be the client's.
            self.relay.tell_failure(error)
        finally:
            watch.stop()

    async def _health(self, _request: Request) -> JSONResponse:
        relay = self.relay
        state = relay.gate()
        budgets = self._budgets()
        return JSONResponse(
            {
                "status": "ok",
                "uptime_s": round(time.monotonic() - self._started, 1),
                "gate": {"on": state.on, "why": state.why},
                "ttl_policy": relay.settings.policy.ttl,
                "observe": relay.settings.observe,
                "requests": self.requests,
                "in_flight": relay.in_flight,
                "ledger": relay.accounts.ledger_trouble or "ok",
                "budgets": budgets,
                **{part.name: part.trouble or "ok" for part in self._parts},
                "downgraded_models": sorted(model or "" for model in relay.accounts.billing.downgraded_models),
                "upgrade_stopped_models": sorted(model or "" for model in relay.stopped_models),
            }
        )

    def _budgets(self) -> list[dict[str, Any]] | None:
        """
        The caps in force here that everybody shares, wherever they were given; None: the ledger does not answer.
        """
        try:
            return [standing_json(one) for one in self.relay.desk.standings(self.relay.now())]
        except LedgerUnavailable:
            return None

    async def _exchanges(self, request: Request) -> JSONResponse:
        """
        The last exchanges, the newest last; `?last=N` for fewer. No bodies, no headers.
        """
        self.relay.desk.flush()
        wanted = request.query_params.get("last", "")[:_MOST_DIGITS]
        last = int(wanted) if wanted.isdecimal() and int(wanted) > 0 else len(self._recent)
        rows = [exchange.to_json() for exchange in list(self._recent)[-last:]] if last else []
        return JSONResponse({"schema_version": SCHEMA_VERSION, "exchanges": rows})


class _HangUp:
    """
    Notices that the client has left, and cancels the exchange unless it is to be finished anyway.
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
            # Two readers of one request would steal each other's messages, also once the answer has begun.
            self._timer = asyncio.get_running_loop().call_later(_HANG_UP_GRACE_S, self._begin)
            return
        self._task = asyncio.get_running_loop().create_task(self._wait())

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if not self._inbound.finish_anyway and self._exchange is not None:
            self._exchange.cancel()


class _Upload(httpx.AsyncByteStream):
    """
    A request body that only passes through, in the pieces in which it arrives.
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
            # Also where the upstream wants no more of it: from then on a hang-up is ours to notice.
            self.done = True


async def _read(scope: Scope, receive: Receive, *, limit: int) -> Inbound | None:
    """
    The request with its body: whole if it has no more than `limit` bytes, else as a stream. None: the client left.
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
        # A length named here is that of a body that does not follow; the server would wait for one.
        headers = [(name, value) for name, value in headers if name.lower() != b"content-length"]
    start: Message = {"type": "http.response.start", "status": out.status, "headers": headers}
    await send(start)
    async for chunk in out.chunks:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def listen(host: str, port: int) -> socket.socket:
    """
    A listening socket; port 0 takes a free one.

    Raises:
        ConfigError: the port is taken, or the address is not one of this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Said outright: asyncio turns Nagle's algorithm off only for sockets that say they are TCP, and with it on each small
    # event of a stream waits 40 ms for the acknowledgement of the one before.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        reason = (error.strerror or str(error)).lower()
        raise ConfigError(
            f"cannot listen on {host}:{port}: {reason}", hint="choose another with --port, or --port 0 for a free one"
        ) from error
    listener.set_inheritable(False)
    return listener


class _OneWriteTransport:
    """
    A transport that joins what is written in one turn of the event loop into one system call.

    The server writes an answer's head and body one by one, and a system call is a third of what a short request costs
    here. Nothing is held back: the turn ends as soon as the answer has nothing more to say.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._pieces: list[bytes] = []
        self._call_soon = asyncio.get_running_loop().call_soon

    def write(self, data: bytes) -> None:
        if not self._pieces:
            self._call_soon(self._flush)
        self._pieces.append(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._pieces:
            pieces, self._pieces = self._pieces, []
            self._transport.write(b"".join(pieces))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class _Protocol(HttpToolsProtocol):
    """
    uvicorn's protocol on such a transport: a head has an end, trailers are no headers, errors come in the envelope.
    """

    _head_bytes = 0
    _in_head = False
    _running: RequestResponseCycle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(cast("asyncio.Transport", _OneWriteTransport(transport)))

    def connection_lost(self, exc: Exception | None) -> None:
        # Where requests were pipelined, the parent tells the last of them that the client has left, and not the one that
        # is being answered.
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True
            self._running.message_event.set()
        super().connection_lost(exc)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(431, "the request's head has no end")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        # For the simulated upstream, which breaks the connection where that was asked for.
        self.scope["extensions"] = {TRANSPORT: self.transport}  # type: ignore[dict-item]
        self._in_head, self._head_bytes = True, 0

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._in_head = False
        # What follows a chunked body comes after everything was judged, so it is dropped (RFC 9110, section 6.5.1).
        self.headers = []

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, msg)

    def _refuse(self, status: int, why: str) -> None:
        self._in_head = False
        out = refused(why, status, "invalid_request_error")
        lines = [STATUS_LINE[status], *(b"%s: %s\r\n" % header for header in out.headers), b"\r\n", out.body]
        self.transport.write(b"".join(lines))
        self.transport.close()


class Server(uvicorn.Server):
    """
    A uvicorn server that stops when told, and says by which signal.
    """

    signal: int | None = None

    def __init__(self, application: ASGIApp, *, grace_s: float, handle_signals: bool = True) -> None:
        """
        `grace_s` is how long running requests may take after the signal to stop.
        """
        config = uvicorn.Config(
            application,
            http=_Protocol,
            loop="none",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,  # nobody in front of us is to be believed about who is calling
            server_header=False,
            date_header=False,
            timeout_keep_alive=75,  # longer than clients keep theirs, so that they close first and never lose a race
            timeout_graceful_shutdown=max(1, round(grace_s)),
        )
        super().__init__(config)
        self._handle_signals = handle_signals
        # Its errors are ours to tell: a client that leaves or an upstream that breaks off is a line, not a traceback.
        logging.getLogger("uvicorn.error").addFilter(_unless_expected)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """
        Stop on SIGINT and SIGTERM; a second SIGINT does not wait. Unlike the parent, nothing is raised afterwards.
        """
        if not self._handle_signals:
            yield
            return
        before = {number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, _frame: object) -> None:
        if self.should_exit and number == signal.SIGINT:
            self.force_exit = True
        self.signal = number
        self.should_exit = True


def _unless_expected(record: logging.LogRecord) -> bool:
    return "returned without" not in record.getMessage() and record.levelno >= logging.ERROR


async def serve(server: Server, listener: socket.socket, transport: httpx.AsyncBaseTransport | None = None) -> None:
    """
    Serve until the server is told to stop, then close what was opened.
    """
    try:
        await server.serve(sockets=[listener])
    finally:
        if transport is not None:
            await transport.aclose()
        listener.close()


def tune_process() -> None:
    """
    Settings of the process that pay for a proxy; called once, when everything is loaded.

    glibc keeps freed buffers of up to 32 MB instead of giving them back at once: a body of 1 MB otherwise costs some 700
    page faults per copy, a third of the time it spends here. What has been loaded by now will not become garbage, so the
    collector need not look at it again.
    """
    with contextlib.suppress(AttributeError, OSError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, 32 * 1024 * 1024)
        libc.mallopt(_M_TRIM_THRESHOLD, 64 * 1024 * 1024)
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h


def run_in_loop(main: Callable[[], Any]) -> Any:
    """
    Run a coroutine function on the fast event loop where there is one.
    """
    tune_process()
    try:
        import uvloop  # noqa: PLC0415 - not on every platform
    except ImportError:
        return asyncio.run(main())
    return uvloop.run(main())
