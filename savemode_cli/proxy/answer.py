"""
An answer on its way to the client: its head, and its body as it arrives.

Rule of this file: the bytes pass as they came. They are counted and metered on the way, and looked at before it only
where an error may be about our edits.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx

from savemode_cli.core.encodings import Undecodable, decoder
from savemode_cli.proxy.headers import RawHeaders, header_value, own_headers
from savemode_cli.proxy.journal import Journal

_LONGEST_ERROR_BYTES = 256 * 1024  # an error body longer than this is passed on unread


@dataclass(frozen=True, slots=True)
class Outbound:
    """
    The answer's head, and its body as it arrives.
    """

    status: int
    headers: RawHeaders
    chunks: AsyncIterator[bytes]


def own_answer(status: int, body: bytes, request_id: str) -> Outbound:
    """
    An answer that no upstream gave.
    """
    return Outbound(status, own_headers(body, request_id), once(body))


async def once(body: bytes) -> AsyncIterator[bytes]:
    """
    A body that is all there.
    """
    yield body


async def counted(response: httpx.Response, journal: Journal) -> AsyncIterator[bytes]:
    meter, kept = journal.meter, journal.kept
    async for chunk in stream_of(response):
        journal.response_bytes += len(chunk)
        if meter is not None:
            meter.feed(chunk)
            if journal.first_token_ms is None and meter.emitted_chars:
                journal.first_token_ms = journal.elapsed_ms()
        if kept is not None:
            kept.add(chunk, journal.response_bytes)
        yield chunk


def stream_of(response: httpx.Response) -> httpx.AsyncByteStream:
    stream = response.stream
    assert isinstance(stream, httpx.AsyncByteStream)  # noqa: S101 - what an asynchronous transport returns
    return stream


async def read_error(response: httpx.Response) -> bytes | None:
    """
    An error's body, which the response can still be read from afterwards; None if it is too long to be one.
    """
    stream = stream_of(response)
    rest = aiter(stream)
    pieces: list[bytes] = []
    response.stream = _Replay(pieces, rest, stream)
    size = 0
    async for chunk in rest:
        pieces.append(chunk)
        size += len(chunk)
        if size > _LONGEST_ERROR_BYTES:
            return None
    return b"".join(pieces)


class _Replay(httpx.AsyncByteStream):
    """
    What was read of a stream, then the rest of it.
    """

    def __init__(self, pieces: list[bytes], rest: AsyncIterator[bytes], stream: httpx.AsyncByteStream) -> None:
        self._pieces = pieces
        self._rest = rest
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece
        async for chunk in self._rest:
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


def decoded(response: httpx.Response, answer: bytes) -> bytes:
    """
    An error's body without its content encoding; as it is if it cannot be decoded, or is too long for one.
    """
    try:
        decode = decoder(
            header_value(response.headers.raw, b"content-encoding").decode("latin-1"), _LONGEST_ERROR_BYTES
        )
        return answer if decode is None else b"".join(decode(answer))
    except Undecodable:
        return answer
