"""
An upstream of the tests' own, and a proxy in front of it: real sockets, in threads of this process.

The upstream speaks raw HTTP/1.1, so that a test sees every byte that reached it and decides every byte that goes back.
"""

import asyncio
import contextlib
import gzip
import json
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

from savemode_cli.cli.compose import compose
from savemode_cli.config import Settings
from savemode_cli.core.budget.ledger import Ledger
from savemode_cli.core.exchange.exchange import Exchange
from savemode_cli.core.exchange.observed import Sink
from savemode_cli.proxy.local_ledger import LocalLedger
from savemode_cli.proxy.relay import Relay
from savemode_cli.serving.server import Server
from tests.support.waiting import until

ANSWER = json.dumps(
    {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-opus-5-5",
        "content": [{"type": "text", "text": "hello"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 3, "output_tokens": 1},
    }
).encode()


@dataclass
class Received:
    """
    One request as it arrived: the request line's parts, the headers in order with their spelling, the body's bytes.
    """

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes
    closed: threading.Event = field(default_factory=threading.Event)
    """Set once the connection was closed from the other side while the script ran."""

    def all(self, name: str) -> list[str]:
        """
        The values of a header, in order.
        """
        return [value for key, value in self.headers if key.lower() == name.lower()]


Script = Callable[[Received, asyncio.StreamWriter], Awaitable[None]]


def reply(
    body: bytes = ANSWER,
    status: str = "200 OK",
    headers: tuple[tuple[str, str], ...] = (("content-type", "application/json"), ("request-id", "req_up")),
) -> bytes:
    """
    A whole answer with a content-length.
    """
    head = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"HTTP/1.1 {status}\r\n{head}content-length: {len(body)}\r\n\r\n".encode("latin-1") + body


def error(api_type: str, message: str, status: str = "400 Bad Request", *, compressed: bool = False) -> bytes:
    """
    An error in the API's envelope.
    """
    envelope = {"type": "error", "error": {"type": api_type, "message": message}, "request_id": "req_up"}
    body = json.dumps(envelope).encode()
    headers: tuple[tuple[str, str], ...] = (("content-type", "application/json"),)
    if compressed:
        body, headers = gzip.compress(body), (*headers, ("content-encoding", "gzip"))
    return reply(body, status, headers)


async def answer(_received: Received, writer: asyncio.StreamWriter) -> None:
    """
    The default script: a fixed message.
    """
    writer.write(reply())


class Upstream:
    """
    A server on loopback that keeps what it received. `script` decides what each request is answered; set it freely.
    """

    def __init__(self) -> None:
        """
        Start listening.
        """
        self.script: Script = answer
        self.received: list[Received] = []
        self.connections = 0
        self.loop = asyncio.new_event_loop()
        self._tasks: list[asyncio.Task[None]] = []
        """Held, or a script that waits for ever would be collected."""
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(10)

    @property
    def url(self) -> str:
        """
        The base URL.
        """
        return f"http://127.0.0.1:{self.port}"

    def event(self) -> asyncio.Event:
        """
        An event of the upstream's loop, for scripts to wait on.
        """
        return asyncio.Event()

    def set(self, event: asyncio.Event) -> None:
        """
        Set such an event from the test's thread.
        """
        self.loop.call_soon_threadsafe(event.set)

    def close(self) -> None:
        """
        Stop, and end every connection.
        """
        self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(self._main())
        self.loop.close()

    async def _main(self) -> None:
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0, limit=2**20)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # A transport that was told to close does so in the next turn of the loop.
        await asyncio.sleep(0)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.append(task)
        try:
            while (received := await read_request(reader)) is not None:
                self.received.append(received)
                watch = asyncio.ensure_future(reader.read(1))
                watch.add_done_callback(lambda done, one=received: _note_end(done, one))  # type: ignore[misc]
                await self.script(received, writer)
                await writer.drain()
                if writer.is_closing():
                    break
                if not watch.done():
                    watch.cancel()
                    await asyncio.gather(watch, return_exceptions=True)
                elif watch.exception() is not None or not watch.result():
                    break
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the upstream stops, and its connections with it
        finally:
            writer.close()


def _note_end(done: "asyncio.Future[bytes]", received: Received) -> None:
    if not done.cancelled() and (done.exception() is not None or done.result() == b""):
        received.closed.set()


async def read_request(reader: asyncio.StreamReader) -> Received | None:
    """
    The next request of a connection; None once the other side has ended it.
    """
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *rest = head.decode("latin-1").split("\r\n")[:-2]
    method, target, _version = first.split(" ")
    headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in rest)]
    received = Received(method, target, headers, b"")
    if received.all("transfer-encoding") == ["chunked"]:
        while size := int((await reader.readline()).strip(), 16):
            received.body += await reader.readexactly(size)
            await reader.readline()
        await reader.readline()
    elif received.all("content-length"):
        received.body = await reader.readexactly(int(received.all("content-length")[0]))
    return received


@dataclass
class RunningProxy:
    """
    A proxy that serves, and what it recorded and announced.
    """

    url: str
    port: int
    recorded: list[Exchange]
    said: list[tuple[str, str]]
    thread: threading.Thread
    server: Server
    books: Ledger
    loop: asyncio.AbstractEventLoop
    relay: Relay

    @property
    def ledger(self) -> Ledger:
        """
        The ledger, with the bill of every answer that a client has seen the end of.
        """
        self._turn()
        return self.books

    @property
    def exchanges(self) -> list[Exchange]:
        """
        The exchanges recorded, with every one that a client has seen the end of.
        """
        self._turn()
        return self.recorded

    @property
    def announced(self) -> list[tuple[str, str]]:
        """
        What was announced, by those exchanges too.
        """
        self._turn()
        return self.said

    def _turn(self) -> None:
        """
        Let a turn of the loop pass: a bill is written, and its exchange recorded, in the turn after the last byte.
        """
        turned = threading.Event()
        with contextlib.suppress(RuntimeError):  # the loop is closed, and nothing is on its way
            self.loop.call_soon_threadsafe(turned.set)
            until(lambda: turned.is_set() or not self.thread.is_alive())

    def stop(self) -> None:
        """
        Tell the server to stop, as a signal would.
        """
        self.server.should_exit = True

    def exchange(self, number: int = -1) -> Exchange:
        """
        An exchange, once as many are recorded: the record comes after the last byte.
        """
        until(lambda: len(self.recorded) >= (number + 1 if number >= 0 else 1))
        return self.recorded[number]


@contextmanager
def running_proxy(
    upstream: str,
    *,
    sinks: Sequence[Sink] = (),
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    **options: Any,
) -> Iterator[RunningProxy]:
    """
    The real proxy, composed as `savemode serve` composes it, on a free port; `sinks` are told of every exchange, `now` is
    the time that it goes by. A refusal is a 429, whoever asks, unless an option says otherwise.
    """
    exchanges: list[Exchange] = []
    announced: list[tuple[str, str]] = []
    given: dict[str, Any] = {"port": 0, "upstream": upstream, "ledger": "memory:", "refusal": "429"} | options
    settings = Settings(**given)
    proxy = compose(
        settings,
        exchanges.append,
        lambda event, text: announced.append((event, text)),
        handle_signals=False,
        sinks=sinks,
        now=now,
    )
    proxy.server.main_loop = lambda: _ticks(proxy.server)  # type: ignore[method-assign]
    loop = asyncio.new_event_loop()

    def serve() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(proxy.serve())

    thread = threading.Thread(target=serve)
    port = proxy.listener.getsockname()[1]
    thread.start()
    try:
        edge = proxy.relay.till._ledger._ledger
        books = cast("Ledger", edge._ledger if isinstance(edge, LocalLedger) else edge)
        yield RunningProxy(proxy.url, port, exchanges, announced, thread, proxy.server, books, loop, proxy.relay)
    finally:
        proxy.server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()


async def _ticks(server: Server) -> None:
    """
    The server's own waiting for its end, ten times as often: each test waits for one end.
    """
    number = 0
    while not await server.on_tick(number):
        number += 1
        await asyncio.sleep(0.01)
