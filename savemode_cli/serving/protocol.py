"""
One client's connection: the parts of HTTP/1.1 and HTTP/1.0 that uvicorn does not implement.

Rule of this file: it frames messages and limits what a client can send; it does not know what a request means.
"""

import asyncio
import socket
from typing import Any, Literal, cast
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from savemode_cli.serving.access import MAX_HEAD_BYTES, rejected
from savemode_cli.serving.connections import ClientTimeouts, Connections
from savemode_cli.serving.cycle import Cycle
from savemode_cli.serving.framing import OneWriteTransport, RequestParser

TRANSPORT = "savemode.transport"
"""The name of the ASGI extension with which an application gets the transport of its connection."""


_MAX_DISCARDED_BYTES = 64 * 1024 * 1024
"""How many bytes of a body the server receives after it has sent the whole answer. Then it closes the connection."""

_MAX_PROBE_INTERVAL_S = 30.0
_MAX_ZEROS = 4  # in front of one chunk size; Go's client accepts 16 digits, Python's h11 20

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Protocol(HttpToolsProtocol):
    """
    uvicorn's protocol with five changes: it ignores protocol upgrades, it sends no chunks to HTTP/1.0 clients, it limits
    everything that a client can send, it answers a client that has closed its own side, and it sends errors in the API's
    error format.
    """

    cycle: Cycle
    """The latest request."""

    _receiving: Literal["head", "body"] | None = None
    """The part of a request that is not complete; None if no request is incomplete."""

    _began_at = 0.0
    """The time of the event loop at which the connection was made, or the first byte of the latest request came."""

    _last_data_at = 0.0
    _unframed_bytes = 0
    """
    How many bytes of heads, trailers and framing came since the last byte of a body, the end of a head, or the end of a
    message.
    """

    _discarded_bytes = 0
    _answered_at = 0.0
    """The time of the event loop at which the last answer was complete."""

    _running: Cycle | None = None
    _upgrade_head: bytes | None = None
    _next_probe: float | None = None
    """
    The time at which to check whether a client that has closed its side still reads; None if the client has not closed
    it.
    """

    _probe_interval_s = 0.0
    _zeros = 0
    _writes_at_probe = -1

    def __init__(self, *arguments: Any, connections: Connections, half_close: bool, **options: Any) -> None:
        """
        Args:
            arguments: the arguments of the parent class.
            connections: the connections of this server.
            half_close: whether a client that closes its side after a complete request gets the answer. False: the server
                treats it as a client that has left.
            options: the options of the parent class.
        """
        super().__init__(*arguments, **options)
        self.parser = cast("httptools.HttpRequestParser", RequestParser(self))
        self._connections = connections
        self._half_close = half_close

    # Called by the event loop.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """
        A client has connected.
        """
        super().connection_made(cast("asyncio.Transport", OneWriteTransport(transport)))
        self._began_at = self._last_data_at = self.loop.time()
        if not self._connections.add(self):
            self._refuse(503, "too many connections are open", "overloaded_error")

    def connection_lost(self, exc: Exception | None) -> None:
        """
        The connection has ended.
        """
        self._connections.remove(self)
        self._notify_hang_up()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """
        The client has sent data.
        """
        self._last_data_at = self.loop.time()
        self._unframed_bytes += len(data)
        super().data_received(data)
        if self._unframed_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self._refuse(431, "the request's head or its trailers are too large")
            self._notify_hang_up()

    def eof_received(self) -> bool:  # type: ignore[override]
        """
        The client has closed its side.

        Returns:
            Whether the connection stays open because the server is answering a complete request. The server notices that
            the client has closed both sides when it writes to the client: see `close_if_timed_out`.
        """
        running = self._running
        # The event loop closes the transport, so write a complete answer that is still in the buffer.
        cast("OneWriteTransport", self.transport).flush()
        if not self._half_close or self._receiving is not None or running is None or running.response_complete:
            return False
        self._probe_interval_s = self._connections.timeouts.probe_s
        self._next_probe = self.loop.time() + self._probe_interval_s
        return True

    # Called by the parser.

    def on_message_begin(self) -> None:
        """
        The first byte of a request has come.
        """
        self.url = b""
        self.expect_100_continue = False
        self.headers = []
        self._receiving, self._began_at = "head", self._last_data_at
        self._discarded_bytes = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """
        A header has come. Trailers are dropped (RFC 9110, section 6.5.1), because every decision about the request is
        already made.
        """
        if self._receiving == "head":
            name = name.lower()
            if name == b"expect" and value.lower() == b"100-continue":
                self.expect_100_continue = True
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """
        The head of a request is complete.
        """
        method, version = self.parser.get_method(), self.parser.get_http_version()
        if self.parser.should_upgrade() and method != b"CONNECT":
            self._upgrade_head = self._head_without_upgrade()
            return
        previous = self.cycle
        self.cycle = Cycle(
            scope=self._scope_of(method.decode("ascii"), version),
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=[],
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue and version == "1.1",  # RFC 9110, section 10.1.1
            keep_alive=version != "1.0" and self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        self.cycle.refuse = self.refuse_body
        self._receiving, self._unframed_bytes = "body", 0
        if previous is None or previous.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        else:
            # A pipelined request: it waits until the answers before it are complete.
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def _scope_of(self, method: str, version: str) -> dict[str, Any]:
        """
        The head of the request, as ASGI has it.
        """
        target = httptools.parse_url(self.url)
        path = target.path.decode("ascii")
        return {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": version,
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "method": method,
            "root_path": "",
            "path": unquote(path) if "%" in path else path,
            "raw_path": target.path,
            "query_string": target.query or b"",
            "headers": self.headers,
            # The simulated upstream uses it to break the connection when a script or a fault asks for that.
            "extensions": {TRANSPORT: self.transport},
        }

    def on_body(self, body: bytes) -> None:
        """
        A part of a body has come.
        """
        self._unframed_bytes = 0
        if self.cycle.response_complete or self.cycle.disconnected:
            self._discarded_bytes += len(body)
            if self._discarded_bytes > _MAX_DISCARDED_BYTES:
                self.transport.close()
        else:
            self.cycle.add(body)

    def on_message_complete(self) -> None:
        """
        The last byte of a request has come.
        """
        if self._upgrade_head is None:
            self._receiving, self._unframed_bytes = None, 0
            if not self.cycle.response_complete:
                self.cycle.more_body = False
                self.cycle.message_event.set()

    # Called by the answer.

    def on_response_complete(self) -> None:
        """
        The last byte of an answer is sent.
        """
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self._answered_at = self.loop.time()
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._next_probe is not None:
            self.transport.close()

    # Called by `Connections`.

    @property
    def idle_since(self) -> tuple[int, float] | None:
        """
        See `Connection`.
        """
        running = self._running is not None and not self._running.response_complete
        if self._receiving == "body" and not self.flow.read_paused:
            return 2, self._last_data_at
        if running:
            return None
        return (1 if self._receiving == "head" else 0), self._last_data_at

    def close_if_timed_out(self, now: float, timeouts: ClientTimeouts) -> bool:
        """
        See `Connection`. This also notices when a client that had closed its side has left.
        """
        if self._next_probe is not None:
            self._probe(now)
            return False
        idle = self.idle_since
        if idle is None:
            return False
        rank, last_data_at = idle
        if rank == 2:
            waits_for_us = self.cycle.waiting_for_100_continue
            return not waits_for_us and now - last_data_at > timeouts.body_s and self._time_out("the rest of the body")
        if rank == 1 or self.cycle is None:
            return now - self._began_at > timeouts.head_s and self._time_out("the request's head")
        if rank == 0 and now - max(last_data_at, self._answered_at) > self.timeout_keep_alive:
            self.transport.close()  # the connection was kept alive, and its client has sent nothing more
        return False

    def close_idle(self) -> None:
        """
        See `Connection`.
        """
        self.transport.close()
        self._notify_hang_up()

    def refuse_body(self, why: str) -> None:
        """
        Refuse the request whose body is being received. The connection ends.

        Args:
            why: the reason, for the client.
        """
        if self._receiving == "body" and (self._running is None or not self._running.response_started):
            self._refuse(503, why, "overloaded_error")
        else:
            self.transport.close()
        self._notify_hang_up()

    def _time_out(self, what: str) -> bool:
        if self._receiving is None or (self._running is not None and self._running.response_started):
            self.transport.close()
        else:
            self._refuse(408, f"{what} did not come in time")
        self._notify_hang_up()
        return True

    def _probe(self, now: float) -> None:
        """
        Send bytes without meaning, at growing intervals. If the client has closed both sides, its system answers with a
        reset, and the next check sees it.
        """
        connection = self.transport.get_extra_info("socket")
        if connection is not None and connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.transport.abort()
        elif self._next_probe is not None and now >= self._next_probe:
            self._write_probe()
            self._probe_interval_s = min(2 * self._probe_interval_s, _MAX_PROBE_INTERVAL_S)
            self._next_probe = now + self._probe_interval_s

    def _write_probe(self) -> None:
        """
        Before the head of the answer, send another interim answer, which every HTTP/1.1 client accepts (RFC 9110, section
        15.2). Between two chunks, send a zero in front of the next chunk size (RFC 9112, section 7.1). In an answer with
        a content-length there is no place for such bytes.
        """
        running, writes = self._running, cast("OneWriteTransport", self.transport).writes
        if running is None or running.scope["http_version"] != "1.1":
            return
        if not running.response_started:
            self.transport.write(_CONTINUE)
        elif running.chunked_encoding:
            self._zeros = self._zeros + 1 if writes == self._writes_at_probe else 1
            if self._zeros <= _MAX_ZEROS:
                self.transport.write(b"0")
                self._writes_at_probe = writes + 1

    def _notify_hang_up(self) -> None:
        """
        Tell the application that the client has left. For pipelined requests the parent class tells the last request
        instead of the one that is being answered.
        """
        if self._running is not None and not self._running.response_complete:
            self._running.hang_up()

    def take_head_without_upgrade(self) -> bytes | None:
        """
        See `ParserCallbacks`.
        """
        head, self._upgrade_head = self._upgrade_head, None
        return head

    def send_400_response(self, msg: str) -> None:
        """
        Refuse bytes that are not HTTP.
        """
        self._refuse(400, msg)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        assert isinstance(cycle, Cycle)  # noqa: S101 - made by `on_headers_complete`
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _head_without_upgrade(self) -> bytes:
        version = self.parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b\r\n" % (self.parser.get_method(), self.url, version)]
        lines += (b"%b: %b\r\n" % header for header in self.headers if header[0] != b"upgrade")
        return b"".join([*lines, b"\r\n"])

    def _refuse(self, status: int, why: str, api_type: str = "invalid_request_error") -> None:
        out = rejected(why, status, api_type)
        lines = [STATUS_LINE[status], *(b"%s: %s\r\n" % header for header in out.headers), b"\r\n", out.body]
        self.transport.write(b"".join(lines))
        self.transport.close()
