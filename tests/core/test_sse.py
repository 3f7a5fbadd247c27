"""
Server-sent events in any chunking. The meter's tests read whole streams in every chunk size.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from savemode_cli.core.sse import EventData


def data_of(*pieces: bytes, max_bytes: int = 1000) -> list[bytes]:
    """
    The data of all events that end in the pieces.
    """
    events = EventData(max_bytes)
    return [data for piece in pieces for data in events.feed(piece)]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", []),
        (b"data: one\n\n", [b" one"]),
        (b"data:one\n\ndata:two\n\n", [b"one", b"two"]),
        (b"event: e\nid: 1\n: comment\ndata:one\nretry: 3\n\n", [b"one"]),
        (b"data:one\ndata:two\n\n", [b"one\ntwo"]),
        (b"data:one\n", []),
        (b"\n\n\ndata\ndatum: x\n\n", []),
        # Neither U+2028 nor U+0085 nor a form feed ends a line.
        ("data:a\u2028b\u0085c\fd\n\n".encode(), ["a\u2028b\u0085c\fd".encode()]),
    ],
)
@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\r"], ids=["lf", "crlf", "cr"])
def test_data(body: bytes, expected: list[bytes], ending: bytes) -> None:
    """
    An event's data lines, joined; whole and byte by byte.
    """
    body = body.replace(b"\n", ending)

    assert expected == data_of(body)
    assert expected == data_of(*(body[n : n + 1] for n in range(len(body))))


def test_empty_piece_within_a_line_end() -> None:
    """
    CR, nothing, LF is one end of a line.
    """
    assert data_of(b"data:one\r", b"", b"\ndata:two\r", b"", b"\n", b"\r\n") == [b"one\ntwo"]


@given(st.lists(st.sampled_from([b"data:", b"x", b"\r", b"\n", b":", b""])))
def test_chunking_does_not_matter(pieces: list[bytes]) -> None:
    """
    Any cuts give the events of the whole.
    """
    assert data_of(b"".join(pieces)) == data_of(*pieces)


@pytest.mark.parametrize(
    ("body", "rest"),
    [(b"", b""), (b"data:one", b"one"), (b"data:one\ndata:two", b"one\ntwo"), (b"data:one\nda", b"one"), (b"dat", b"")],
)
def test_rest(body: bytes, rest: bytes) -> None:
    """
    The data of an event that the end of the stream cut off.
    """
    events = EventData(100)
    events.feed(body)

    assert rest == events.rest()


@pytest.mark.parametrize(
    "body",
    [b"x" * 101, b"data:" + b"x" * 96, b"data:xxxx\n" * 26, b"data:\n" * 26],
    ids=["line", "data", "lines", "empty"],
)
def test_bound(body: bytes) -> None:
    """
    What is kept between two pieces is bounded, in one line or in many; an end in time is in time.
    """
    events = EventData(100)
    for n in range(len(body)):
        events.feed(body[n : n + 1])

    assert events.overflowed
    assert events.rest() == b""
    assert events.feed(b"data:x\n\n") == []
