"""
The bytes of an answer, and reading an error before it is forwarded. `test_relay` tests the same on sockets.
"""

import asyncio
import gzip
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from savemode_cli.core.wire.messages import MAX_BODY_BYTES
from savemode_cli.core.wire.meter import UsageMeter
from savemode_cli.proxy.answer import AnswerInProgress, RecordedBodies, decoded, own_answer, read_error
from savemode_cli.proxy.upstream import UpstreamAnswer


class Pieces:
    """
    A body in pieces that records when it is closed.
    """

    def __init__(self, *pieces: bytes) -> None:
        """
        Not read yet.
        """
        self.pieces = pieces
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """
        One piece after another.
        """
        for piece in self.pieces:
            yield piece

    async def aclose(self) -> None:
        """
        Record it.
        """
        self.closed = True


async def passed_on(answer: UpstreamAnswer) -> bytes:
    """
    What a client gets, to the end.
    """
    got = b"".join([piece async for piece in answer.pieces])
    await answer.pieces.aclose()
    return got


@pytest.mark.parametrize(("size", "is_read"), [(100, True), (256 * 1024, True), (256 * 1024 + 1, False)])
def test_an_error_that_was_looked_at_passes_whole(size: int, is_read: bool) -> None:
    """
    The whole body is forwarded, also if it is too long to read completely before; and its connection is released.
    """
    pieces = Pieces(b"x" * (size // 2), b"y" * (size - size // 2), b"")
    whole = b"".join(pieces.pieces)
    answer = UpstreamAnswer(400, [], pieces)

    async def look_and_pass() -> tuple[bytes | None, bytes]:
        return await read_error(answer), await passed_on(answer)

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
    A body that cannot be decoded, or is too long for an error, is unchanged.
    """
    assert decoded([(b"content-encoding", encoding.encode())], body) == expected


def test_an_answer_of_savemode_has_its_length() -> None:
    """
    It also has the ID of its request.
    """
    out = own_answer(400, b"{}", "req_1")

    assert (out.status, dict(out.headers)[b"content-length"], dict(out.headers)[b"request-id"]) == (400, b"2", b"req_1")


def test_the_first_outcome_is_kept() -> None:
    """
    An incomplete or abandoned error of the upstream is still an error of the upstream.
    """
    answer = AnswerInProgress(0.0)
    answer.end("upstream_error", "529")
    answer.end("client_gone", "the client left")

    assert (answer.outcome, answer.error) == ("upstream_error", "529")


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (None, "ok"),
        (b'{"usage":{"input_tokens":3,"output_tokens":1}}', "ok"),
        (b'{"type":"error","error":{"type":"overloaded_error","message":"secret"}}', "upstream_error"),
        (b"<html>", "broken"),
    ],
)
def test_an_answer_may_be_no_success_whatever_its_status(answer: bytes | None, outcome: str) -> None:
    """
    The body decides; the message of an error is not repeated.
    """
    progress = AnswerInProgress(0.0)
    if answer is not None:
        progress.meter = UsageMeter()
        progress.meter.feed(answer)
    progress.conclude(datetime(2026, 11, 24, tzinfo=UTC))

    assert progress.outcome == outcome
    assert "secret" not in progress.error


def test_what_grows_too_large_is_let_go() -> None:
    """
    All of it is dropped, because a part of an answer would look like a whole one.
    """
    kept = RecordedBodies(b"{}")
    kept.add(b"first", 5)
    assert kept.content([]).response_body == b"first"
    kept.add(b"x", MAX_BODY_BYTES + 1)
    kept.add(b"y", MAX_BODY_BYTES + 2)

    assert kept.content([]).response_body is None
