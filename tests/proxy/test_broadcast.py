"""
Events for open pages: in order, to every reader, and the proxy never waits for a slow reader.
"""

import asyncio
import json
from collections.abc import AsyncIterator

from savemode_cli.proxy.broadcast import MAX_READERS, Broadcast


async def opened(broadcast: Broadcast, beat_s: float = 3600) -> AsyncIterator[bytes]:
    """
    A reader that has read the beginning of the stream.
    """
    events = broadcast.events(beat_s)
    assert await anext(events) == b"retry: 2000\n\n"
    return events


def test_every_reader_gets_the_events_from_now_on() -> None:
    """
    In order, as events with a type and a number.
    """

    async def play() -> list[list[bytes]]:
        broadcast = Broadcast()
        broadcast.publish("exchange", {"n": 0})
        readers = [await opened(broadcast), await opened(broadcast)]
        broadcast.publish("exchange", {"n": 1})
        broadcast.publish("exchange", {"text": "a\nb\x7f"})
        return [[await anext(reader), await anext(reader)] for reader in readers]

    one, two = asyncio.run(play())
    assert one == two
    assert one[0] == b'event: exchange\nid: 2\ndata: {"n":1}\n\n'
    assert one[1].count(b"\n") == 4
    assert json.loads(one[1].split(b"data: ")[1]) == {"text": "a\nb\x7f"}


def test_a_slow_reader_loses_the_oldest() -> None:
    """
    It gets the number of lost events.
    """

    async def play() -> tuple[bytes, bytes]:
        broadcast = Broadcast()
        reader = await opened(broadcast)
        for number in range(250):
            broadcast.publish("exchange", {"n": number})
        return await anext(reader), await anext(reader)

    lost, first = asyncio.run(play())
    assert lost == b'event: lost\ndata: {"events":50}\n\n'
    assert b'{"n":50}' in first


def test_a_quiet_stream_beats() -> None:
    """
    It sends comments, which readers ignore.
    """

    async def play() -> bytes:
        return await anext(await opened(Broadcast(), beat_s=0.001))

    assert asyncio.run(play()) == b": still here\n\n"


def test_it_ends() -> None:
    """
    Every stream ends after the waiting events are sent; a reader that left is forgotten, and the number of readers is
    limited.
    """

    async def play() -> tuple[list[bytes], bool, bool]:
        broadcast = Broadcast()
        readers = [await opened(broadcast) for _ in range(MAX_READERS)]
        full = broadcast.is_full
        for reader in readers[1:]:
            await reader.aclose()  # type: ignore[attr-defined]
        broadcast.publish("exchange", {})
        broadcast.close()
        rest = [text async for text in readers[0]]
        return rest, full, broadcast.is_heard

    rest, full, heard = asyncio.run(play())
    assert (len(rest), full, heard) == (1, True, False)
