"""
Server-sent events in any chunking. The meter's tests read whole streams in every chunk size.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from savemode_cli.core.wire.sse import BOM, EventData


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


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize(
    "body",
    [b"x" * 101, b"data:" + b"x" * 96, b"data:xxxx\n" * 25 + b"data:", b"data:\n" * 25 + b"data:", b": " + b"x" * 99],
    ids=["line", "data", "lines", "empty", "comment"],
)
def test_long_event_is_skipped(body: bytes, size: int) -> None:
    """
    What is kept between two pieces is bounded, in one line or in many. The events around it are read.
    """
    whole = b"data:a\n\n" + body + b"\ndata:hidden\n\ndata:b\n\n" + body + b"\r\n\r\ndata:c\r\r" + body
    events = EventData(100)
    found = []
    for start in range(0, len(whole), size):
        found += events.feed(whole[start : start + size])
        assert sum(map(len, events._pieces)) + sum(map(len, events._data)) <= 100 + size

    assert found == [b"a", b"b", b"c"]
    assert events.skipped >= 2
    assert not events.only_fields


@given(st.lists(st.sampled_from([b"data:", b"x" * 9, b"\r", b"\n", b"\n\n", b":", b"", b"event:"])), st.integers(1, 30))
def test_bound_does_not_depend_on_the_chunks(pieces: list[bytes], size: int) -> None:
    """
    Any cuts skip the same events.
    """
    whole = b"".join(pieces)
    cut = [whole[start : start + size] for start in range(0, len(whole), size)]

    assert data_of(whole, max_bytes=20) == data_of(*cut, max_bytes=20)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 100])
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (BOM + b"data:one\n\n", [b"one"]),
        (BOM + BOM + b"data:one\n\ndata:two\n\n", [b"two"]),
        (b"\n" + BOM + b"data:one\n\n", []),
        (BOM[:2] + b"\n\ndata:one\n\n", [b"one"]),
        (BOM, []),
    ],
)
def test_byte_order_mark(body: bytes, expected: list[bytes], size: int) -> None:
    """
    One at the beginning is not part of the first line; anywhere else it is.
    """
    assert expected == data_of(*(body[n : n + size] for n in range(0, len(body), size)))


@pytest.mark.parametrize(
    ("body", "only"),
    [
        (b"", True),
        (b"\n\n", True),
        (b": comment\nevent: ping\ndata: {}\nid: 1\nretry: 3\ndata\n\n", True),
        (b"event: pi", True),
        (b"eve", True),
        (b"<html>", False),
        (b"<html>\n", False),
        (b"events: x\n", False),
        (b"data:x\nOops\n", False),
    ],
)
def test_only_fields(body: bytes, only: bool) -> None:
    """
    Whether it can be a stream of events at all, also where it is cut short.
    """
    events = EventData(100)
    for n in range(len(body)):
        events.feed(body[n : n + 1])

    assert only == events.only_fields
