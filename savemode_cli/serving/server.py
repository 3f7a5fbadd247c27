"""
The HTTP server that runs every application of savemode.

Rule of this file: it reads and writes HTTP; the application decides what a request means.
"""

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import cast

import uvicorn
from starlette.types import ASGIApp

from savemode_cli.core.errors import ConfigError, reason
from savemode_cli.serving.access import AccessControlledApplication, AccessPolicy
from savemode_cli.serving.connections import Connections
from savemode_cli.serving.process import open_file_limit
from savemode_cli.serving.protocol import Protocol


def listen(host: str, port: int) -> socket.socket:
    """
    Open a listening socket.

    Args:
        host: the address to listen on.
        port: the port; 0 selects a free one.

    Raises:
        ConfigError: the port is taken, or this machine does not have the address.
    """
    listener = bind(host, port)
    open_port(listener)
    return listener


def bind(host: str, port: int) -> socket.socket:
    """
    Open a socket that has an address and does not listen yet.

    Args:
        host: the address to listen on.
        port: the port; 0 selects a free one.

    Raises:
        ConfigError: the port is taken, or this machine does not have the address.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is explicit because asyncio disables Nagle's algorithm only for sockets that name TCP. With Nagle's
    # algorithm, each small event of a stream waits 40 ms for the acknowledgement of the previous one.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise _cannot_listen(host, port, error) from error
    listener.set_inheritable(False)
    return listener


def open_port(listener: socket.socket) -> None:
    """
    Start to listen. Clients can connect from now on, so the server should be ready to answer.

    Raises:
        ConfigError: another process has opened the port since it was bound.
    """
    host, port, *_ = listener.getsockname()
    try:
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise _cannot_listen(host, port, error) from error


def _cannot_listen(host: str, port: int, error: OSError) -> ConfigError:
    return ConfigError(
        f"cannot listen on {host}:{port}: {reason(error)}",
        hint="choose another port with --port, or use --port 0 for a free one",
    )


class Server(uvicorn.Server):
    """
    A uvicorn server with an access policy. It remembers which signal stopped it.
    """

    signal: int | None = None

    def __init__(
        self,
        application: ASGIApp,
        access: AccessPolicy,
        *,
        grace_s: float,
        handle_signals: bool = True,
        connections: Connections | None = None,
        half_close: bool = True,
        on_stop: Callable[[], None] = lambda: None,
    ) -> None:
        """
        Args:
            application: serves the requests that the policy admits.
            access: the access policy; a server cannot be made without one.
            grace_s: how long running requests may take after the signal to stop, in seconds.
            handle_signals: whether SIGINT and SIGTERM stop the server.
            connections: the set of open connections; None for one with the default limits.
            half_close: whether a client that closes its side after a complete request gets the answer. False: the server
                treats it as a client that has left.
            on_stop: called when the server begins to stop, to end answers that have no end of their own.
        """
        self.connections = connections or Connections()
        config = uvicorn.Config(
            AccessControlledApplication(application, access),
            http=cast("type[Protocol]", partial(Protocol, connections=self.connections, half_close=half_close)),
            loop="none",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,  # x-forwarded-for is not trusted: no proxy is expected in front of this server
            server_header=False,
            date_header=False,
            timeout_keep_alive=75,  # longer than clients keep connections alive, so the client closes first
            timeout_graceful_shutdown=max(1, round(grace_s)),
        )
        super().__init__(config)
        self._handle_signals = handle_signals
        self._on_stop = on_stop
        # savemode reports these errors itself: one line for a client that leaves or an upstream that breaks off.
        logging.getLogger("uvicorn.error").addFilter(_is_unexpected)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """
        Start to accept connections, at most as many as the process may have files open.
        """
        self.connections.limit_to_open_files(open_file_limit())
        await super().startup(sockets)

    async def on_tick(self, counter: int) -> bool:
        """
        Close the connections that have exceeded a timeout. uvicorn calls this several times a second.

        Returns:
            Whether the server should stop.
        """
        self.connections.close_timed_out(asyncio.get_running_loop().time())
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """
        Stop: accept no new connections, and wait for running requests up to the grace period.
        """
        self._on_stop()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """
        Stop on SIGINT and SIGTERM; a second SIGINT stops at once. The parent class raises the signal again afterwards,
        this class does not.
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


def _is_unexpected(record: logging.LogRecord) -> bool:
    return "returned without" not in record.getMessage() and record.levelno >= logging.ERROR


async def serve(server: Server, listener: socket.socket, close: Callable[[], Awaitable[None]] | None = None) -> None:
    """
    Serve until the server is told to stop, then close the listener and what `close` closes.

    Args:
        server: the server to run.
        listener: the socket from `listen`, or one from `bind` that `open_port` has opened.
        close: closes what else was opened, such as connections to the upstream.
    """
    try:
        await server.serve(sockets=[listener])
    finally:
        if close is not None:
            await close()
        listener.close()
