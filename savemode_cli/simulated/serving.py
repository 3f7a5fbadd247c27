"""
The simulated upstream as a server on loopback: alone, or in the process and event loop of a proxy.

Rule of this file: it listens only on loopback. No other machine and no web page needs to reach a simulation.
"""

import asyncio
from types import TracebackType
from typing import Self

from savemode_cli.serving.access import AccessPolicy
from savemode_cli.serving.server import Server, listen, serve
from savemode_cli.simulated.upstream import SimulatedUpstream

HOST = "127.0.0.1"


class Serving:
    """
    A simulated upstream with an open port. As a context manager it serves until the block ends.
    """

    def __init__(
        self,
        app: SimulatedUpstream,
        port: int = 0,
        *,
        access: AccessPolicy | None = None,
        handle_signals: bool = False,
    ) -> None:
        """
        Open the port.

        Args:
            app: the simulated upstream.
            port: the port to listen on; 0 selects a free one.
            access: which requests are served, including the pages. None: requests to the names of loopback.
            handle_signals: whether SIGINT and SIGTERM stop the server.

        Raises:
            ConfigError: the port is taken.
        """
        self.app = app
        # The API's own servers also treat a client that has closed its side as a client that has left.
        self.server = Server(app, access or AccessPolicy(), grace_s=1, handle_signals=handle_signals, half_close=False)
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
        Close the port of a server that has not served.
        """
        self._listener.close()

    async def __aenter__(self) -> Self:
        """
        Start to serve.
        """
        self._running = asyncio.get_running_loop().create_task(self.run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """
        Stop, and wait until the server has stopped.
        """
        self.server.should_exit = True
        if self._running is not None:
            await self._running
