"""
Server-sent events for pages that stay open: each reader gets the events that happen from now on.

Rule of this file: the proxy never waits for a reader. A slow reader loses the oldest events and gets the number of lost
ones.

Source of the format: https://html.spec.whatwg.org/multipage/server-sent-events.html (checked 2026-11-29).
"""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Iterator
from typing import Any

MAX_READERS = 32
_MAX_WAITING = 200
_BEAT_S = 15.0
"""How often a comment is sent, in seconds, so that an intermediary does not close an idle connection."""


class Broadcast:
    """
    All readers of events.
    """

    def __init__(self) -> None:
        """
        Start without readers.
        """
        self._readers: set[_Reader] = set()
        self._closed = False
        self._number = 0

    @property
    def is_full(self) -> bool:
        """
        Whether the limit on readers is reached.
        """
        return len(self._readers) >= MAX_READERS

    @property
    def is_heard(self) -> bool:
        """
        Whether there is a reader.
        """
        return bool(self._readers)

    def publish(self, name: str, data: dict[str, Any]) -> None:
        """
        Send an event to every reader.
        """
        self._number += 1
        if not self._readers:
            return
        # The JSON is ASCII without line breaks, so that no text in it can begin a field of the event stream.
        text = f"event: {name}\nid: {self._number}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode()
        for reader in self._readers:
            reader.put(text)

    def close(self) -> None:
        """
        End every stream. Later streams end at once.
        """
        self._closed = True
        for reader in self._readers:
            reader.wake.set()

    async def events(self, beat_s: float = _BEAT_S) -> AsyncIterator[bytes]:
        """
        The stream of one reader, until it leaves or the proxy stops.

        Args:
            beat_s: how often a comment is sent if there are no events, in seconds.
        """
        reader = _Reader()
        self._readers.add(reader)
        try:
            yield b"retry: 2000\n\n"
            while not self._closed:
                if not await reader.is_woken(beat_s):
                    yield b": still here\n\n"
                for text in reader.taken():
                    yield text
            for text in reader.taken():
                yield text
        finally:
            self._readers.discard(reader)


class _Reader:
    """
    The events that wait for one reader.
    """

    def __init__(self) -> None:
        self.wake = asyncio.Event()
        self._waiting: deque[bytes] = deque()
        self._lost = 0

    def put(self, text: bytes) -> None:
        if len(self._waiting) >= _MAX_WAITING:
            self._waiting.popleft()
            self._lost += 1
        self._waiting.append(text)
        self.wake.set()

    async def is_woken(self, beat_s: float) -> bool:
        """
        Wait until there is an event, or until the time has passed.

        Returns:
            Whether there is an event.
        """
        try:
            async with asyncio.timeout(beat_s):
                await self.wake.wait()
        except TimeoutError:
            return False
        self.wake.clear()
        return True

    def taken(self) -> Iterator[bytes]:
        """
        Remove and return the waiting events.
        """
        if self._lost:
            lost, self._lost = self._lost, 0
            yield f'event: lost\ndata: {{"events":{lost}}}\n\n'.encode()
        while self._waiting:
            yield self._waiting.popleft()
