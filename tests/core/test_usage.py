"""
The meter: every stream of tests/data in any chunking, line ending and encoding, cut anywhere, and garbage.
"""

import gzip
import json
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import brotli
import msgspec
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from savemode_cli.core.pricing import Extra, Usage
from savemode_cli.core.usage import ReportedUsage, UsageMeter, usage_from, usage_of, usage_report

DATA = Path(__file__).parent.parent / "data"
STREAM = "text/event-stream; charset=utf-8"

LABELS = {"service_tier": "standard", "inference_geo": "us", "speed": "standard"}
EXPECTED = {
    "text": Usage(12, 200, 500, 3000, 42, **LABELS),
    # The 400 tokens that were written later are the API's own 5-minute writes.
    "web_search": Usage(10682, 400, 1000, 0, 510, web_searches=2, service_tier="standard"),
    "advisor": Usage(
        1760,
        cache_read_tokens=412,
        output_tokens=531,
        extra=(
            Extra("compaction", None, Usage(180_000, output_tokens=3500)),
            Extra("advisor_message", "claude-opus-5", Usage(823, 20, output_tokens=1612)),
        ),
    ),
    "fallback": Usage(412, output_tokens=264, extra=(Extra("message", "claude-fable-5", Usage(408)),)),
}
CHARS = {"text": 8 + 30, "web_search": 19, "advisor": 3, "fallback": 0}
FIRST = {
    "text": Usage(12, 200, 500, 3000, 1, **LABELS),
    "web_search": Usage(2679, 0, 1000, 0, 3, service_tier="standard"),
    "advisor": Usage(412, output_tokens=1),
    "fallback": Usage(408),
}
BETWEEN = {"web_search": Usage(2679, 0, 1000, 0, 200, web_searches=1, service_tier="standard")}
STREAMS = sorted(EXPECTED)


def stream(name: str) -> bytes:
    """
    A recorded stream, its first line a comment that says where it came from.
    """
    body = (DATA / f"{name}.sse").read_bytes()
    assert body.startswith(b": ")
    return body


def metered(body: bytes, size: int = 0, content_type: str = STREAM, encoding: str = "", **more: int) -> UsageMeter:
    """
    A meter that saw the whole body, in chunks of `size` bytes (0: at once).
    """
    meter = UsageMeter(content_type, encoding, **more)
    for start in range(0, len(body), size or len(body) or 1):
        meter.feed(body[start : start + (size or len(body))])
    meter.close()
    return meter


def seen(meter: UsageMeter) -> tuple[Any, ...]:
    """
    All that a meter says.
    """
    return meter.usage, meter.final, meter.broken, meter.model, meter.stop_reason, meter.emitted_chars, meter.error


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\r"], ids=["lf", "crlf", "cr"])
@pytest.mark.parametrize("name", STREAMS)
def test_stream_in_every_chunk_size(name: str, ending: bytes) -> None:
    """
    The last report of each field, whatever the sizes of the chunks and the ends of the lines.
    """
    body = stream(name).replace(b"\n", ending)
    sizes = [*range(1, 130), 1000, len(body)]

    results = {seen(metered(body, size)) for size in sizes}

    model = {"text": "claude-opus-5-5", "web_search": "claude-sonnet-5-5", "advisor": "claude-sonnet-5"}
    # Where a fallback answered, its model's rates apply.
    expected = (EXPECTED[name], True, False, model.get(name, "claude-opus-5"), "end_turn", CHARS[name], None)
    assert {expected} == results


@pytest.mark.parametrize("name", STREAMS)
def test_stream_cut_at_every_byte(name: str) -> None:
    """
    Never a wrong bill: nothing, or what was reported so far and not final, or all of it.
    """
    body = stream(name)
    so_far = [None, FIRST[name], *([BETWEEN[name]] if name in BETWEEN else [])]

    for end in range(len(body)):
        meter = metered(body[:end])
        assert meter.usage == EXPECTED[name] if meter.final else meter.usage in so_far, end
        assert meter.broken == (meter.usage is None), end


def test_placeholder_is_not_final() -> None:
    """
    Before message_delta the output is a placeholder; what was emitted is counted for an estimate.
    """
    meter = UsageMeter(STREAM)
    meter.feed(stream("text").split(b"event: content_block_stop")[0])

    assert (meter.final, meter.emitted_chars) == (False, 38)
    assert meter.usage == FIRST["text"]


def test_error_in_a_stream() -> None:
    """
    The input was used; the output is not known; a missing split is 5m.
    """
    meter = metered(stream("error"), 7)

    assert (meter.error, meter.final, meter.broken, meter.emitted_chars) == ("overloaded_error", False, False, 5)
    assert meter.usage == Usage(25, 100, 0, 0, 1)


@pytest.mark.parametrize("error", [b'{"type":null}', b"{}"])
def test_nameless_error_is_an_error(error: bytes) -> None:
    """
    An error event says that something went wrong, whatever else it says; of no shape that we know it says nothing.
    """
    assert metered(b'data: {"type":"error","error":%b}\n\n' % error).error == "error"
    assert metered(b'{"type":"error","error":%b}' % error, content_type="application/json").error == "error"
    assert metered(b'data: {"type":"error","error":3}\n\n').error is None


def encoded(encoding: str, body: bytes) -> bytes:
    """
    The body in a content encoding.
    """
    match encoding:
        case "gzip" | "x-gzip":
            return gzip.compress(body)
        case "deflate":
            return zlib.compress(body)
        case "br":
            return brotli.compress(body)
        case _:
            return zstandard.ZstdCompressor().compress(body)


@pytest.mark.parametrize("size", [1, 7, 300, 0])
@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "deflate", "br", "zstd"])
def test_compressed_stream(encoding: str, size: int) -> None:
    """
    What an upstream compressed is read all the same.
    """
    plain = seen(metered(stream("web_search")))

    assert plain == seen(metered(encoded(encoding, stream("web_search")), size, encoding=encoding.upper()))


def test_compressed_stream_is_read_as_it_comes() -> None:
    """
    A flushed part is counted before the rest is there.
    """
    pack = zlib.compressobj(wbits=31)
    start, rest = stream("text").split(b"event: ping")
    meter = UsageMeter(STREAM, "gzip")
    meter.feed(pack.compress(start) + pack.flush(zlib.Z_SYNC_FLUSH))

    assert meter.usage == FIRST["text"]
    meter.feed(pack.compress(b"event: ping" + rest) + pack.flush())
    assert meter.final


WHOLE = {
    "id": "msg_06",
    "type": "message",
    "model": "claude-opus-5-5",
    "content": [{"type": "text", "text": "usage"}],
    "stop_reason": "end_turn",
    "usage": {
        "input_tokens": 10,
        "cache_creation_input_tokens": 2000,
        "cache_read_input_tokens": 15000,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 2000},
        "output_tokens": 7,
        "output_tokens_details": {"thinking_tokens": 3},
        "server_tool_use": None,
        "service_tier": "batch",
        "iterations": None,
    },
}
WHOLE_USAGE = Usage(10, 0, 2000, 15000, 7, service_tier="batch")


@pytest.mark.parametrize("size", [1, 50, 0])
@pytest.mark.parametrize("encoding", ["", "identity", "gzip", "br"])
def test_whole_message(encoding: str, size: int) -> None:
    """
    A JSON answer is read once it is over.
    """
    body = json.dumps(WHOLE).encode()
    body = body if encoding in ("", "identity") else encoded(encoding, body)
    meter = metered(body, size, "application/json", encoding)

    assert seen(meter) == (WHOLE_USAGE, True, False, "claude-opus-5-5", "end_turn", 0, None)
    meter.close()
    assert meter.final


def test_whole_message_cut_at_every_byte() -> None:
    """
    Half a JSON answer says nothing.
    """
    body = json.dumps(WHOLE).encode()

    for end in range(len(body)):
        meter = metered(body[:end], content_type="application/json")
        assert (meter.usage, meter.final, meter.broken) == (None, False, True)


def test_error_instead_of_a_message() -> None:
    """
    An error body is an answer of the API, and nothing was used.
    """
    body = b'{"type":"error","error":{"type":"rate_limit_error","message":"slow down"},"request_id":"req_1"}'

    assert seen(metered(body, 9, "application/json")) == (None, False, False, None, None, 0, "rate_limit_error")


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"input_tokens": 1, "output_tokens": 2}, Usage(1, output_tokens=2)),
        ({"input_tokens": 0, "output_tokens": 0}, Usage()),
        ({"output_tokens": 5}, None),
        ({"input_tokens": None, "output_tokens": 5}, None),
        ({"input_tokens": -1, "output_tokens": 5}, None),
        ({"input_tokens": 2**60, "output_tokens": 5}, None),
        ({"input_tokens": "1", "output_tokens": 5}, None),
        ({"input_tokens": True, "output_tokens": 5}, None),
        (None, None),
        ("many", None),
        # Without a split every write is a 5-minute one.
        ({"input_tokens": 1, "cache_creation_input_tokens": 9, "cache_creation": None}, Usage(1, 9)),
        # Without a total the split is the total; where it is less than the total the rest is 5m.
        (
            {"input_tokens": 1, "cache_creation": {"ephemeral_5m_input_tokens": 4, "ephemeral_1h_input_tokens": 5}},
            Usage(1, 4, 5),
        ),
        (
            {"input_tokens": 1, "cache_creation_input_tokens": 9, "cache_creation": {"ephemeral_1h_input_tokens": 5}},
            Usage(1, 4, 5),
        ),
        (
            {"input_tokens": 1, "cache_creation_input_tokens": 3, "cache_creation": {"ephemeral_1h_input_tokens": 5}},
            Usage(1, 0, 3),
        ),
        # A split of zeros comes with pure hits.
        (
            {"input_tokens": 1, "cache_read_input_tokens": 8, "cache_creation": {"ephemeral_5m_input_tokens": 0}},
            Usage(1, cache_read_tokens=8),
        ),
        ({"input_tokens": 1, "server_tool_use": {"web_search_requests": None}}, Usage(1)),
        (
            {"input_tokens": 1, "service_tier": 7, "inference_geo": "not_available"},
            Usage(1, inference_geo="not_available"),
        ),
        # What stands beside the totals was served as the answer was.
        (
            {"input_tokens": 1, "service_tier": "batch", "iterations": [{"type": "compaction", "input_tokens": 3}]},
            Usage(1, service_tier="batch", extra=(Extra("compaction", None, Usage(3, service_tier="batch")),)),
        ),
    ],
)
def test_usage_of(usage: Any, expected: Usage | None) -> None:
    """
    The same from a parsed answer and from its bytes; what cannot be read is absent.
    """
    message = {"model": "claude-opus-5", "usage": usage}

    assert expected == usage_of(message)
    assert expected == usage_of(json.dumps(message).encode())


@pytest.mark.parametrize("message", [b"", b"[]", b"\xff", b'"usage"', b"[" * 100_000, {}, {1: 2}])
def test_usage_of_garbage(message: Any) -> None:
    """
    No usage, and no exception.
    """
    assert usage_of(message) is None


LABELS: dict[str, Any] = {"service_tier": "standard", "inference_geo": "us", "speed": "fast"}


@pytest.mark.parametrize(
    "usage",
    [
        Usage(),
        Usage(1, 2, 3, 4, 5, 6, **LABELS),
        Usage(1, extra=(Extra("compaction", None, Usage(7, 8, 9, 10, 11)), Extra("advisor_message", "m", Usage(1)))),
        Usage(1, extra=(Extra("message", "the-first-asked", Usage(2)),), **LABELS),
    ],
)
def test_usage_report_reads_back(usage: Usage) -> None:
    """
    What is written in the API's names is what was read from them; labels beside the totals are those of the answer.
    """
    labels = {name: getattr(usage, name) for name in LABELS}
    beside = tuple(replace(one, usage=replace(one.usage, **labels)) for one in usage.extra)

    assert usage_of({"usage": usage_report(usage, "the-one-that-answered")}) == replace(usage, extra=beside)


def events(*data: str) -> bytes:
    """
    A stream of these events.
    """
    return "".join(f"data: {one}\n\n" for one in data).encode()


FIVE = '{"input_tokens":5,"cache_read_input_tokens":9,"output_tokens":1}'
START = f'{{"type":"message_start","message":{{"model":"m","usage":{FIVE}}}}}'
END = '{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":3}}'


def test_reported_zero_overwrites() -> None:
    """
    0 is a value, null is not.
    """
    usage = '{"output_tokens":0,"input_tokens":null,"cache_read_input_tokens":0}'
    delta = f'{{"type":"message_delta","delta":{{"stop_reason":"end_turn"}},"usage":{usage}}}'

    assert metered(events(START, delta)).usage == Usage(5)


@pytest.mark.parametrize(
    ("data", "final"),
    [
        ([START, END], True),
        (["[DONE]", START, "[DONE]", END, "[DONE]"], True),
        ([START, '{"type":"thought_bubble","usage":"lots"}', '{"kind":1}', "{", "[]", END], True),
        ([START, '{"type":"content_block_delta","delta":{"type":"text_delta","text":null}}', END], True),
        ([START, '{"type":"message_delta","usage":{"output_tokens":3}}'], False),
        ([START, '{"type":"message_delta","delta":{"stop_reason":"end_turn"}}'], False),
        ([START, '{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"input_tokens":5}}'], False),
        ([START, END, START], False),
    ],
)
def test_what_is_not_ours_is_ignored(data: list[str], final: bool) -> None:
    """
    Unknown events and foreign lines pass by; only a stop reason with an output count makes a bill.
    """
    meter = metered(events(*data))

    assert (final, False) == (meter.final, meter.broken)


@pytest.mark.parametrize(
    "data",
    [
        [],
        ["[DONE]"],
        [END],
        ['{"type":"message_start","message":{"model":"m"}}', END],
        ['{"type":"message_start","message":{"model":"m","usage":{"output_tokens":1}}}', END],
        ['{"type":"message_start","message":null}', END],
        [START, '{"type":"message_delta","usage":{"output_tokens":-3}}', END],
        [START, '{"type":"message_delta","usage":{"output_tokens":3}', END],
    ],
)
def test_unreadable_stream_is_broken(data: list[str]) -> None:
    """
    Without a start, or with a report that cannot be read, there is no bill.
    """
    meter = metered(events(*data))

    assert (meter.final, meter.broken) == (False, True)


def test_data_over_several_lines() -> None:
    """
    The standard allows it, and a stream may end without its last empty line.
    """
    spread = b"\n".join(b"data:" + line for line in json.dumps(json.loads(START), indent=0).encode().split(b"\n"))

    assert metered(spread + b"\n\n" + events(END).rstrip(), 3).final
    assert metered(spread + b"\ndata:\n\n" + events(END).rstrip() + b"\n", 3).final


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
@pytest.mark.parametrize("content_type", [STREAM, "application/json"])
def test_bomb(encoding: str, content_type: str) -> None:
    """
    A small body that decodes to a large one is given up at the bound.
    """
    body = encoded(encoding, b"x" * 3_000_000)
    meter = metered(body, content_type=content_type, encoding=encoding, max_decoded_bytes=1_000_000)

    assert seen(meter)[:3] == (None, False, True)
    assert not meter._pieces


@pytest.mark.parametrize(
    ("content_type", "limit"), [(STREAM, {"max_event_bytes": 1000}), ("text/plain", {"max_decoded_bytes": 1000})]
)
@pytest.mark.parametrize(
    "body", [b"x" * 3000, b"data: " + b"x" * 3000, b"data: xxx\n" * 1000], ids=["x", "data", "lines"]
)
def test_bounds_on_what_is_held(content_type: str, limit: dict[str, int], body: bytes) -> None:
    """
    An endless line, an endless event and an endless JSON body are given up; what follows is not read.
    """
    for size in (1, 100):
        meter = metered(body + b"\n\n" + events(START, END), size, content_type, **limit)
        assert (meter.final, meter.broken) == (False, True)


def test_long_stream_is_not_bounded() -> None:
    """
    Only what is held is: a stream may be as long as it likes.
    """
    meter = metered(events(START) + b": comment\n\n" * 10_000 + events(END), 100, max_event_bytes=1000)

    assert meter.final


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "compress", "gzip, br"])
def test_wrong_encoding(encoding: str) -> None:
    """
    What is not in the encoding it claims, or in one that nobody knows, is broken and raises nothing.
    """
    assert seen(metered(b"\x00\xff not compressed at all", 5, encoding=encoding))[:3] == (None, False, True)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
def test_long_compressed_stream(encoding: str) -> None:
    """
    One chunk may decode to many pieces; once one of them is unreadable the others are not read.
    """
    long = events(START) + b": comment\n\n" * 300_000

    assert metered(encoded(encoding, long + events(END)), encoding=encoding).final
    bad = metered(encoded(encoding, events("message_delta") + long + events(END)), encoding=encoding)
    assert seen(bad)[:3] == (None, False, True)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(STREAMS), st.sampled_from(["", "gzip", "br"]), st.data())
def test_chunking_does_not_matter(name: str, encoding: str, data: st.DataObject) -> None:
    """
    Any cuts, empty chunks included.
    """
    body = encoded(encoding, stream(name)) if encoding else stream(name)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=20)))
    meter = UsageMeter(STREAM, encoding)
    for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True):
        meter.feed(body[start:end])
    meter.close()

    assert seen(meter) == seen(metered(stream(name)))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.one_of(st.binary(max_size=60), st.sampled_from([START, END, "data: ", "\r", "\n\n"]).map(str.encode))),
    st.sampled_from([STREAM, "application/json", ""]),
    st.sampled_from(["", "gzip", "deflate", "br", "zstd", "\x00"]),
)
def test_garbage_never_raises(chunks: list[bytes], content_type: str, encoding: str) -> None:
    """
    Whatever comes: no exception, and no bill that is also broken.
    """
    meter = UsageMeter(content_type, encoding)
    for chunk in chunks:
        meter.feed(chunk)
    meter.close()

    assert not (meter.final and meter.broken)
    assert meter.usage is None or meter.usage.prompt_tokens >= 0


def test_usage_inside_something_larger() -> None:
    """
    The object by itself says what it says in an answer.
    """
    used = {"input_tokens": 1, "cache_creation_input_tokens": 5, "output_tokens": 2}

    assert usage_from(msgspec.convert(used, ReportedUsage)) == usage_of({"usage": used})
    assert usage_from(msgspec.convert({"output_tokens": 2}, ReportedUsage)) is None
