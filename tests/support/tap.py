"""
A tap between a client and the proxy: it passes bytes on in both directions and keeps those that the client sends.

Rule of this file: the tap changes nothing, so that what it kept can be compared with what the upstream received.
"""

import asyncio
import threading
from typing import Self

from tests.support.upstream import Received, read_request


class Tap:
    """
    A listener on loopback in front of a port. A context manager.
    """

    def __init__(self, port: int) -> None:
        """
        Args:
            port: Where the proxy listens.
        """
        self._target = port
        self._sent: list[bytearray] = []
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def url(self) -> str:
        """
        The base URL for the client.
        """
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_raised: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def requests(self) -> list[Received]:
        """
        The whole requests that the client has sent, connection by connection.
        """
        return asyncio.run(self._requests())

    async def _requests(self) -> list[Received]:
        found = []
        for sent in self._sent:
            reader = asyncio.StreamReader(limit=2**20)
            reader.feed_data(bytes(sent))
            reader.feed_eof()
            while (request := await read_request(reader)) is not None:
                found.append(request)
        return found

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._main())
        self._loop.close()

    async def _main(self) -> None:
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # a transport that was told to close does so in the next turn of the loop

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        kept = bytearray()
        self._sent.append(kept)
        proxy_reader, proxy_writer = await asyncio.open_connection("127.0.0.1", self._target)
        try:
            await asyncio.gather(_pass_on(reader, proxy_writer, kept), _pass_on(proxy_reader, writer, bytearray()))
        finally:
            proxy_writer.close()
            writer.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kept: bytearray) -> None:
    try:
        while piece := await reader.read(2**16):
            kept += piece
            writer.write(piece)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()
