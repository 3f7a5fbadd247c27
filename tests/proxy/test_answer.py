"""
An answer's bytes, and the look at an error before they pass. What happens to them on the wire is in `test_relay`.
"""

import asyncio
import gzip
from collections.abc import AsyncIterator

import httpx
import pytest

from savemode_cli.proxy.answer import decoded, own_answer, read_error, stream_of


class Pieces(httpx.AsyncByteStream):
    """
    A body in pieces; it tells when it is closed.
    """

    def __init__(self, *pieces: bytes) -> None:
        """
        Not read yet.
        """
        self.pieces = pieces
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """
        One after another.
        """
        for piece in self.pieces:
            yield piece

    async def aclose(self) -> None:
        """
        Note it.
        """
        self.closed = True


async def passed_on(response: httpx.Response) -> bytes:
    """
    What a client gets of it, to its end.
    """
    got = b"".join([piece async for piece in stream_of(response)])
    await stream_of(response).aclose()
    return got


@pytest.mark.parametrize(("size", "is_read"), [(100, True), (256 * 1024, True), (256 * 1024 + 1, False)])
def test_an_error_that_was_looked_at_passes_whole(size: int, is_read: bool) -> None:
    """
    Also one that was too long to be looked at to its end; and its connection is let go.
    """
    pieces = Pieces(b"x" * (size // 2), b"y" * (size - size // 2), b"")
    whole = b"".join(pieces.pieces)
    response = httpx.Response(400, stream=pieces)

    async def look_and_pass() -> tuple[bytes | None, bytes]:
        return await read_error(response), await passed_on(response)

    assert asyncio.run(look_and_pass()) == (whole if is_read else None, whole)
    assert pieces.closed


SMALL, HUGE = gzip.compress(b"{}", mtime=0), gzip.compress(b" " * 10_000_000, mtime=0)


@pytest.mark.parametrize(
    ("encoding", "body", "expected"),
    [
        ("", b"{}", b"{}"),
        ("gzip", SMALL, b"{}"),
        ("gzip", b"{}", b"{}"),
        ("rot13", b"{}", b"{}"),
        ("gzip", HUGE, HUGE),
    ],
    ids=["plain", "decoded", "not what it says", "unknown", "beyond the bound"],
)
def test_an_error_is_decoded_as_far_as_it_can_be(encoding: str, body: bytes, expected: bytes) -> None:
    """
    What cannot be, or is too long for an error, stays as it is.
    """
    assert decoded(httpx.Response(400, headers={"content-encoding": encoding}), body) == expected


def test_an_answer_of_our_own_says_how_long_it_is() -> None:
    """
    And which request it is to.
    """
    out = own_answer(400, b"{}", "req_1")

    assert (out.status, dict(out.headers)[b"content-length"], dict(out.headers)[b"request-id"]) == (400, b"2", b"req_1")
