"""
The upstream's answer on its way to the client: its head, and its body as it arrives.

Rule of this file: the bytes are forwarded unchanged. They are counted and metered as they pass. An answer is read before
it is forwarded only if it is an error that may be about savemode's edits.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from savemode_cli.core.wire.encodings import Undecodable, decoder
from savemode_cli.proxy.progress import ExchangeInProgress
from savemode_cli.proxy.upstream import Pieces, UpstreamAnswer
from savemode_cli.serving.headers import RawHeaders, header_value, own_headers

_LONGEST_ERROR_BYTES = 256 * 1024  # a longer error body is forwarded unread


@dataclass(frozen=True, slots=True)
class Outbound:
    """
    The head of the answer, and its body as it arrives.
    """

    status: int
    headers: RawHeaders
    chunks: AsyncIterator[bytes]


def own_answer(status: int, body: bytes, request_id: str) -> Outbound:
    """
    An answer that the proxy makes itself.
    """
    return Outbound(status, own_headers(body, request_id), once(body))


async def once(body: bytes) -> AsyncIterator[bytes]:
    """
    A body that is already complete.
    """
    yield body


async def counted(pieces: Pieces, progress: ExchangeInProgress) -> AsyncIterator[bytes]:
    """
    The pieces of an answer. They are counted and metered, and recorded if the user asked for it.
    """
    meter, kept = progress.meter, progress.bodies
    async for chunk in pieces:
        progress.response_bytes += len(chunk)
        if meter is not None:
            meter.feed(chunk)
            if progress.first_token_ms is None and meter.emitted_chars:
                progress.first_token_ms = progress.elapsed_ms()
        if kept is not None:
            kept.add(chunk, progress.response_bytes)
        yield chunk


async def read_error(answer: UpstreamAnswer) -> bytes | None:
    """
    The body of an error. The answer still has the body afterwards. None if the body is too long for an error.
    """
    rest = aiter(answer.pieces)
    pieces: list[bytes] = []
    answer.pieces = _Replay(pieces, rest, answer.pieces)
    size = 0
    async for chunk in rest:
        pieces.append(chunk)
        size += len(chunk)
        if size > _LONGEST_ERROR_BYTES:
            return None
    return b"".join(pieces)


class _Replay:
    """
    A body of which a part was already read: first that part, then the rest.
    """

    def __init__(self, read: list[bytes], rest: AsyncIterator[bytes], whole: Pieces) -> None:
        self._read = read
        self._rest = rest
        self._whole = whole

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._read:
            yield piece
        async for chunk in self._rest:
            yield chunk

    async def aclose(self) -> None:
        await self._whole.aclose()


def decoded(headers: RawHeaders, body: bytes) -> bytes:
    """
    The body of an error without its content encoding; unchanged if it cannot be decoded or is too long.
    """
    try:
        decode = decoder(header_value(headers, b"content-encoding").decode("latin-1"), _LONGEST_ERROR_BYTES)
        return body if decode is None else b"".join(decode(body))
    except Undecodable:
        return body
