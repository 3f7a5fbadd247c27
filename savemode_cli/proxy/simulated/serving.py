"""
A simulated upstream that listens on loopback: alone, or beside a proxy in the same process and loop.

Rule of this file: loopback only. Nothing behind it is real, so nobody else has to reach it.
"""

import asyncio
from types import TracebackType
from typing import Self

from savemode_cli.proxy.server import Server, listen, serve
from savemode_cli.proxy.simulated.upstream import SimulatedUpstream

HOST = "127.0.0.1"


class Serving:
    """
    The application with its open port; as a context manager it serves until the block is left.
    """

    def __init__(self, app: SimulatedUpstream, port: int = 0, *, handle_signals: bool = False) -> None:
        """
        Open the port; 0 takes a free one.

        Raises:
            ConfigError: the port is taken.
        """
        self.app = app
        self.server = Server(app, grace_s=1, handle_signals=handle_signals)
        self._listener = listen(HOST, port)
        self.url = f"http://{HOST}:{self._listener.getsockname()[1]}"
        self._running: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """
        Serve until the server is told to stop.
        """
        await serve(self.server, self._listener)

    def close(self) -> None:
        """
        Close the port of one that never served.
        """
        self._listener.close()

    async def __aenter__(self) -> Self:
        """
        Begin to serve.
        """
        self._running = asyncio.get_running_loop().create_task(self.run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """
        Stop, and wait until it has.
        """
        self.server.should_exit = True
        if self._running is not None:
            await self._running
