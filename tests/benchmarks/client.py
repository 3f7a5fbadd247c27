"""
The load generator's end of a connection: a raw protocol, much faster than the proxies it measures.
"""

import asyncio
import re
import time
from typing import cast

from tests.benchmarks.wire import Message

ANSWER_TIMEOUT_S = 15

_SENT = re.compile(rb't=(\d+)"')


class Client(asyncio.Protocol):
    """
    One connection that asks one thing at a time, and notes when each piece of the answer came.
    """

    def __init__(self) -> None:
        """
        Not connected yet.
        """
        self.sent_ns: list[tuple[int, int]] = []
        self.timeout_s: float = ANSWER_TIMEOUT_S
        self._answer: asyncio.Future[tuple[float, bytes]] | None = None
        self._transport: asyncio.Transport | None = None

    @classmethod
    async def connect(cls, port: int) -> "Client":
        """
        A client of the server on *port* of the loopback.
        """
        _, client = await asyncio.get_running_loop().create_connection(cls, "127.0.0.1", port)
        return client

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """
        Ready to ask.
        """
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """
        Collect the answer, and the time of writing and of arrival of each event in it.
        """
        now_ns = time.monotonic_ns()
        message = self._message
        body = message.feed(data)
        self._body += body
        if b"t=" in body:
            self.sent_ns += ((int(written), now_ns) for written in _SENT.findall(body))
        if message.done and self._answer is not None and not self._answer.done():
            taken_s = (now_ns - self._asked_ns) / 1e9
            if b" 200 " not in message.head[:16]:
                self._answer.set_exception(OSError(f"answered {message.head[:80]!r} {self._body[:200]!r}"))
            else:
                self._answer.set_result((taken_s, self._body))

    def connection_lost(self, exc: Exception | None) -> None:
        """
        An answer still awaited will not come.
        """
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError(f"closed in mid-answer: {exc}"))

    async def ask(self, request: bytes) -> tuple[float, bytes]:
        """
        Send a request; the seconds until the last byte of the answer, and its body.

        Raises:
            OSError: the connection broke, or the answer is not a 200.
            TimeoutError: there is no whole answer after `timeout_s`.
        """
        assert self._transport is not None
        loop = asyncio.get_running_loop()
        self._message, self._body = Message(), b""
        self._answer = loop.create_future()
        self._asked_ns = time.monotonic_ns()
        self._transport.write(request)
        # A bare timer: asyncio.timeout() would cost more than the fastest answer takes.
        timer = loop.call_later(self.timeout_s, self._give_up, self._answer)
        try:
            return await self._answer
        finally:
            timer.cancel()

    def close(self) -> None:
        """
        Close at once.
        """
        if self._transport is not None:
            self._transport.abort()

    def _give_up(self, answer: "asyncio.Future[tuple[float, bytes]]") -> None:
        if not answer.done():
            answer.set_exception(TimeoutError(f"no answer after {self.timeout_s} s"))
