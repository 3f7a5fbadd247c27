"""
The meter: every stream of tests/data in any chunking, line ending and encoding, cut anywhere, and garbage.
"""

import gzip
import json
import zlib
from pathlib import Path
from typing import Any

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from savemode_cli.core.wire.meter import UsageMeter
from savemode_cli.core.wire.usage import Extra, Tokens, Usage
from tests.support.examples import examples

DATA = Path(__file__).parents[2] / "data"
LABELS: dict[str, Any] = {"service_tier": "standard", "inference_geo": "us", "speed": "standard"}
EXPECTED = {
    "text": Usage(Tokens(12, 200, 500, 3000, 42), **LABELS),
    # The 400 tokens that were written later are the API's own 5-minute writes.
    "web_search": Usage(Tokens(10682, 400, 1000, 0, 510), web_searches=2, service_tier="standard"),
    "advisor": Usage(
        Tokens(1760, read=412, output=531),
        extra=(
            Extra("compaction", None, Usage(Tokens(180_000, output=3500))),
            Extra("advisor_message", "claude-opus-5", Usage(Tokens(823, 20, output=1612))),
        ),
        prefix_tokens=412,
    ),
    "fallback": Usage(
        Tokens(412, output=264),
        extra=(Extra("message", "claude-fable-5", Usage(Tokens(input=408), declined="")),),
    ),
}
CHARS = {"text": 8 + 30, "web_search": 19, "advisor": 3, "fallback": 0}
FIRST = {
    "text": Usage(Tokens(12, 200, 500, 3000, 1), **LABELS),
    "web_search": Usage(Tokens(2679, 0, 1000, 0, 3), service_tier="standard"),
    "advisor": Usage(Tokens(412, output=1)),
    "fallback": Usage(Tokens(input=408)),
}
BETWEEN = {"web_search": Usage(Tokens(2679, 0, 1000, 0, 200), web_searches=1, service_tier="standard")}
STREAMS = sorted(EXPECTED)


def stream(name: str) -> bytes:
    """
    A recorded stream, its first line a comment that says where it came from.
    """
    body = (DATA / f"{name}.sse").read_bytes()
    assert body.startswith(b": ")
    return body


def metered(body: bytes, size: int = 0, encoding: str = "", **more: int) -> UsageMeter:
    """
    A meter that saw the whole body, in chunks of `size` bytes (0: at once).
    """
    meter = UsageMeter(content_encoding=encoding, **more)
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
        assert meter.broken == (meter.usage is None and not meter.silent), end
        assert meter.silent == (not body[:end].partition(b"data:")[2]), end


def test_placeholder_is_not_final() -> None:
    """
    Before message_delta the output is a placeholder; what was emitted is counted for an estimate.
    """
    meter = UsageMeter()
    meter.feed(stream("text").split(b"event: content_block_stop")[0])

    assert (meter.final, meter.emitted_chars) == (False, 38)
    assert meter.usage == FIRST["text"]


def test_error_in_a_stream() -> None:
    """
    The input was used; the output is not known; a missing split is 5m.
    """
    meter = metered(stream("error"), 7)

    assert (meter.error, meter.final, meter.broken, meter.emitted_chars) == ("overloaded_error", False, False, 5)
    assert meter.usage == Usage(Tokens(25, 100, 0, 0, 1))


@pytest.mark.parametrize("error", [b'{"type":null}', b"{}"])
def test_nameless_error_is_an_error(error: bytes) -> None:
    """
    An error event says that something went wrong, whatever else it says; of no shape that we know it says nothing.
    """
    assert metered(b'data: {"type":"error","error":%b}\n\n' % error).error == "error"
    assert metered(b'{"type":"error","error":%b}' % error).error == "error"
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
            return bytes(brotli.compress(body))
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


@pytest.mark.parametrize("size", [1, 7, 300, 0])
@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "zstd"])
def test_stream_whose_events_are_compressed_one_by_one(encoding: str, size: int) -> None:
    """
    Some servers make each event a gzip member or a Zstandard frame of its own: all of them are read.
    """
    parts = [one + b"\n\n" for one in stream("web_search").split(b"\n\n")]
    plain = seen(metered(b"".join(parts)))

    assert plain == seen(metered(b"".join(encoded(encoding, one) for one in parts), size, encoding=encoding))


def test_compressed_stream_is_read_as_it_comes() -> None:
    """
    A flushed part is counted before the rest is there.
    """
    pack = zlib.compressobj(wbits=31)
    start, rest = stream("text").split(b"event: ping")
    meter = UsageMeter(content_encoding="gzip")
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
WHOLE_USAGE = Usage(Tokens(10, 0, 2000, 15000, 7), service_tier="batch")


@pytest.mark.parametrize("size", [1, 50, 0])
@pytest.mark.parametrize("encoding", ["", "identity", "gzip", "br"])
def test_whole_message(encoding: str, size: int) -> None:
    """
    A JSON answer is read once it is over.
    """
    body = json.dumps(WHOLE).encode()
    body = body if encoding in ("", "identity") else encoded(encoding, body)
    meter = metered(body, size, encoding)

    assert seen(meter) == (WHOLE_USAGE, True, False, "claude-opus-5-5", "end_turn", 0, None)
    meter.close()
    assert meter.final


def test_whole_message_cut_at_every_byte() -> None:
    """
    Half a JSON answer says nothing.
    """
    body = json.dumps(WHOLE).encode()

    for end in range(1, len(body)):
        meter = metered(body[:end])
        assert (meter.usage, meter.final, meter.broken) == (None, False, True)


def test_error_instead_of_a_message() -> None:
    """
    An error body is an answer of the API, and nothing was used.
    """
    body = b'{"type":"error","error":{"type":"rate_limit_error","message":"slow down"},"request_id":"req_1"}'

    assert seen(metered(body, 9)) == (None, False, False, None, None, 0, "rate_limit_error")


def events(*data: str) -> bytes:
    """
    A stream of these events.
    """
    return "".join(f"data: {one}\n\n" for one in data).encode()


FIVE = '{"input_tokens":5,"cache_read_input_tokens":9,"output_tokens":1}'
START = f'{{"type":"message_start","message":{{"model":"m","usage":{FIVE}}}}}'
END = '{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":3}}'
ALL = (
    '{"type":"message_delta","delta":{"stop_reason":"end_turn"},'
    '"usage":{"input_tokens":5,"cache_read_input_tokens":9,"output_tokens":3}}'
)


def test_reported_zero_overwrites() -> None:
    """
    0 is a value, null is not.
    """
    usage = '{"output_tokens":0,"input_tokens":null,"cache_read_input_tokens":0}'
    delta = f'{{"type":"message_delta","delta":{{"stop_reason":"end_turn"}},"usage":{usage}}}'

    assert metered(events(START, delta)).usage == Usage(Tokens(input=5))


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
        ["[DONE]"],
        [END],
        ['{"type":"message_start","message":{"model":"m"}}', END],
        ['{"type":"message_start","message":{"model":"m","usage":{"output_tokens":1}}}', END],
        ['{"type":"message_start","message":null}', END],
        ['{"type":"message_start","message":{"model":"m","usage":{"input_tokens":-1}}}', END],
        [START, '{"type":"message_delta","usage":{"output_tokens":-3}}'],
        [START, END, '{"type":"message_delta","usage":{"output_tokens":3}'],
        [START, END, '{"type":"message_delta","usage":{"input_tokens":"many"}}', '{"type":"message_stop"}x'],
        [START, '{"type":"message_delta","delta":3,"usage":{"output_tokens":4}}'],
    ],
)
def test_unreadable_stream_is_broken(data: list[str]) -> None:
    """
    Without the input, or with a last report that cannot be read, there is no bill.
    """
    meter = metered(events(*data))

    assert (meter.final, meter.broken) == (False, True)


@pytest.mark.parametrize(
    "data",
    [
        [START, '{"type":"message_delta","usage":{"output_tokens":-3}}', END],
        [START, '{"type":"message_delta","usage":{"output_tokens":3}', END],
        ['{"type":"message_start","message":{"model":"m","usage":3}}', ALL],
        ['{"type":"message_start","message', ALL],
        [ALL],
        ["[DONE]", "message_start", START, END],
    ],
)
def test_last_report_counts(data: list[str]) -> None:
    """
    Reports are cumulative: one that can be read makes up for those before it.
    """
    meter = metered(events(*data))

    assert (meter.final, meter.broken) == (True, False)
    assert meter.usage == Usage(Tokens(5, read=9, output=3))


def test_data_over_several_lines() -> None:
    """
    The standard allows it, and a stream may end without its last empty line.
    """
    spread = b"\n".join(b"data:" + line for line in json.dumps(json.loads(START), indent=0).encode().split(b"\n"))

    assert metered(spread + b"\n\n" + events(END).rstrip(), 3).final
    assert metered(spread + b"\ndata:\n\n" + events(END).rstrip() + b"\n", 3).final


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
@pytest.mark.parametrize("begin", [b"", b"{"], ids=["stream", "json"])
def test_bomb(encoding: str, begin: bytes) -> None:
    """
    A small body that decodes to a large one is given up at the bound.
    """
    body = encoded(encoding, begin + b"x" * 3_000_000)
    meter = metered(body, encoding=encoding, max_decoded_bytes=1_000_000)

    assert seen(meter)[:3] == (None, False, True)
    assert not meter._pieces


@pytest.mark.parametrize("size", [1, 100, 0])
@pytest.mark.parametrize(
    "long", [b"x" * 3000, b"data: " + b"x" * 3000, b"data: xxx\n" * 999 + b"data: x"], ids=["x", "data", "lines"]
)
def test_long_event_is_skipped(long: bytes, size: int) -> None:
    """
    A server tool's result may be larger than any bound. The usage behind it is read.
    """
    meter = metered(events(START) + long + b"\n\n" + events(END), size, max_event_bytes=1000)

    assert (meter.final, meter.usage) == (True, Usage(Tokens(5, read=9, output=3)))


@pytest.mark.parametrize("size", [1, 100])
def test_long_json_is_given_up(size: int) -> None:
    """
    It would have to be held whole.
    """
    meter = metered(b'{"x":"' + b"x" * 3000 + json.dumps(WHOLE).encode()[1:], size, max_decoded_bytes=1000)

    assert seen(meter)[:3] == (None, False, True)
    assert not meter._pieces


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
    One chunk may decode to many pieces.
    """
    long = events(START) + b": comment\n\n" * 300_000

    assert metered(encoded(encoding, long + events(END)), encoding=encoding).final


@examples(60)
@given(st.sampled_from(STREAMS), st.sampled_from(["", "gzip", "br"]), st.data())
def test_chunking_does_not_matter(name: str, encoding: str, data: st.DataObject) -> None:
    """
    Any cuts, empty chunks included.
    """
    body = encoded(encoding, stream(name)) if encoding else stream(name)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=20)))
    meter = UsageMeter(content_encoding=encoding)
    for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True):
        meter.feed(body[start:end])
    meter.close()

    assert seen(meter) == seen(metered(stream(name)))


@examples(200)
@given(
    st.lists(st.one_of(st.binary(max_size=60), st.sampled_from([START, END, "data: ", "\r", "\n\n"]).map(str.encode))),
    st.sampled_from(["", "gzip", "deflate", "br", "zstd", "\x00"]),
)
def test_garbage_never_raises(chunks: list[bytes], encoding: str) -> None:
    """
    Whatever comes: no exception, and no bill that is also broken.
    """
    meter = UsageMeter(content_encoding=encoding)
    for chunk in chunks:
        meter.feed(chunk)
    meter.close()

    assert not (meter.final and meter.broken)
    assert not (meter.silent and (meter.broken or meter.usage is not None))
    assert meter.usage is None or meter.usage.tokens.prompt >= 0


# --- answers that are not as the documentation has them ------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3, 5, 0])
@pytest.mark.parametrize("before", [b"", b"\xef\xbb\xbf", b" \r\n\n", b"\xef\xbb\xbf \n\n"])
@pytest.mark.parametrize("is_stream", [True, False])
def test_read_by_what_it_is(is_stream: bool, before: bytes, size: int) -> None:
    """
    A stream of events and a JSON answer are told apart by how they begin, behind a byte order mark and white space.
    """
    body = events(START, END) if is_stream else json.dumps(WHOLE).encode()
    meter = metered(before + body, size)

    assert (meter.final, meter.broken, meter.silent) == (True, False, False)
    assert meter.usage == (Usage(Tokens(5, read=9, output=3)) if is_stream else WHOLE_USAGE)


@pytest.mark.parametrize(
    "content",
    [
        rb'[{"type":"tool_use","input":{"text":"half \ud83d of a pair"}}]',
        b'[{"type":"text","text":"a tab \t and \x00"}]',
        b'[{"type":"text","text":"\xff is not UTF-8"}]',
        b'[{"type":"tool_use","input":{"ratio":NaN,"most":Infinity}}]',
        b'{"not":"a list"}',
        b'"text"',
        b"null",
    ],
    ids=["surrogate", "control", "utf-8", "nan", "object", "string", "null"],
)
@pytest.mark.parametrize("end", [b"", b"\n", b"\x00", b"trailing"])
def test_content_does_not_matter(content: bytes, end: bytes) -> None:
    """
    The usage is read whatever stands beside it.
    """
    usage = b'{"input_tokens":5,"cache_read_input_tokens":9,"output_tokens":3}'
    body = b'{"id":"msg_1","model":"m","content":%b,"stop_reason":"end_turn","usage":%b}' % (content, usage)
    meter = metered(body + end)

    assert (meter.final, meter.message_id, meter.model) == (True, "msg_1", "m")
    assert meter.usage == Usage(Tokens(5, read=9, output=3))


def test_lone_surrogate_in_a_stream() -> None:
    """
    It is emitted text like any other.
    """
    delta = r'{"type":"content_block_delta","delta":{"type":"input_json_delta","partial_json":"\ud83d half"}}'
    meter = metered(events(START, delta, END))

    assert (meter.final, meter.emitted_chars) == (True, 6)


def test_lone_surrogate_beside_the_usage() -> None:
    """
    In the very event that reports it.
    """
    start = START.replace('"model"', r'"note":"\udc00","model"')

    assert metered(events(start, END)).usage == Usage(Tokens(5, read=9, output=3))


@pytest.mark.parametrize(
    ("data", "final"),
    [
        (['{"type":"message_delta","usage":{"output_tokens":3}}'], False),
        (['{"type":"message_delta","usage":{"output_tokens":3}}', '{"type":"message_stop"}'], True),
        (['{"type":"message_delta","delta":{"stop_reason":"end_turn"}}', '{"type":"message_stop"}'], False),
        (['{"type":"message_stop"}'], False),
    ],
)
def test_stop_without_a_reason(data: list[str], final: bool) -> None:
    """
    Some gateways leave out why it stopped. That it did is enough, where the output was counted before.
    """
    assert metered(events(START, *data)).final == final


PING = '{"type": "ping"}'


@pytest.mark.parametrize("size", [1, 3, 0])
@pytest.mark.parametrize(
    ("body", "silent"),
    [
        (b"", True),
        (b"\r\n \n", True),
        (b"\xef\xbb\xbf", False),
        (events(PING), True),
        (b": hello\n\nevent: ping\n" + events(PING) * 3 + b": bye", True),
        (b"event: ping\ndata: " + PING.encode(), True),
        (b"event: pi", True),
        (events(PING, "[DONE]"), False),
        (events(PING, '{"type":"thought_bubble"}'), False),
        (events(PING, '{"type":"message_start","message":{}}'), False),
        (events('{"type":"content_block_delta","delta":{"text":"x"}}'), False),
        (events(PING) + b"<html>", False),
        (b"<html>hello</html>", False),
        (b"{}", False),
        (b"[", False),
        (b"data: " + PING.encode()[:9], False),
    ],
)
def test_silent(body: bytes, silent: bool, size: int) -> None:
    """
    An answer that holds nothing that a model said, and nothing that we do not know. It is not broken.
    """
    meter = metered(body, size)

    assert (meter.silent, meter.broken, meter.usage, meter.final) == (silent, not silent, None, False)


@pytest.mark.parametrize(("body", "silent"), [(b"", True), (events(PING), True), (events("{"), False)])
def test_silent_and_compressed(body: bytes, silent: bool) -> None:
    """
    An empty body needs no coding; one that decodes to nothing may have been cut off.
    """
    packed = gzip.compress(body) if body else b""

    assert metered(packed, encoding="gzip").silent == silent
    assert not metered(gzip.compress(b"data: x")[:10], encoding="gzip").silent


# --- refusals and fallbacks ----------------------------------------------------------------------------------------------

REFUSED = '{"type":"message_delta","delta":{"stop_reason":"refusal","stop_details":%s},"usage":{"output_tokens":%d}}'


@pytest.mark.parametrize("category", ["cyber", "bio", None])
@pytest.mark.parametrize("output", [0, 2])
@pytest.mark.parametrize("is_stream", [True, False])
def test_refusal(is_stream: bool, output: int, category: str | None) -> None:
    """
    Its category is known, and whether the model had produced output.
    """
    details = json.dumps({"type": "refusal", "category": category})
    usage = json.loads(FIVE) | {"output_tokens": output}
    whole = {"model": "m", "content": [], "stop_reason": "refusal", "stop_details": json.loads(details), "usage": usage}
    meter = metered(events(START, REFUSED % (details, output)) if is_stream else json.dumps(whole).encode())

    declined = None if output else category or ""
    assert (meter.final, meter.stop_reason) == (True, "refusal")
    assert meter.usage == Usage(Tokens(5, read=9, output=output), declined=declined)


@pytest.mark.parametrize("details", ["null", "3", "{}", '{"category":7}'])
def test_refusal_without_details(details: str) -> None:
    """
    Older answers and other gateways do not say why.
    """
    usage = metered(events(START, REFUSED % (details, 0))).usage

    assert usage is not None
    assert usage.declined == ""


HOP = (
    '{"type":"fallback","from":{"model":"claude-fable-5"},"to":{"model":"claude-opus-4-8"},'
    '"trigger":{"type":"refusal","category":"bio"}}'
)
FELL_BACK = (
    '"usage":{"input_tokens":412,"output_tokens":264,"iterations":['
    '{"type":"message","model":"claude-fable-5","input_tokens":535,"output_tokens":0},'
    '{"type":"fallback_message","model":"claude-opus-4-8","input_tokens":412,"output_tokens":264}]}'
)


@pytest.mark.parametrize("is_stream", [True, False])
def test_fallback_block_says_why(is_stream: bool) -> None:
    """
    The declined attempt of `iterations` is marked with the category that its `fallback` block names.
    """
    start = START.replace('"model":"m"', '"model":"claude-fable-5"')
    end = f'{{"type":"message_delta","delta":{{"stop_reason":"end_turn"}},{FELL_BACK}}}'
    stream_ = events(start, f'{{"type":"content_block_start","index":0,"content_block":{HOP}}}', end)
    whole = '{"model":"claude-opus-4-8","content":[%s,{"type":"text","text":"x"}],"stop_reason":"end_turn",%s}'
    meter = metered(stream_ if is_stream else (whole % (HOP, FELL_BACK)).encode())

    declined = Usage(Tokens(input=535), declined="bio")
    assert meter.usage is not None
    assert meter.usage.extra == (Extra("message", "claude-fable-5", declined),)
    assert meter.model == "claude-opus-4-8"


@pytest.mark.parametrize("is_final", [True, False])
def test_fallback_without_iterations(is_final: bool) -> None:
    """
    The model that the block names last is the one that answers, also where the stream was cut behind it.
    """
    start = START.replace('"model":"m"', '"model":"claude-fable-5"')
    hops = [HOP, HOP.replace("claude-opus-4-8", "claude-opus-5").replace("fable-5", "opus-4-8")]
    blocks = [f'{{"type":"content_block_start","index":0,"content_block":{hop}}}' for hop in hops]
    meter = metered(events(start, *blocks, *([END] if is_final else [])))

    assert (meter.model, meter.final) == ("claude-opus-5", is_final)


def test_text_about_fallbacks_is_not_one() -> None:
    """
    The word in a text, or in a block of another shape, changes nothing.
    """
    odd = [
        '{"type":"text","text":"\\"fallback\\""}',
        '{"type":"fallback"}',
        '{"type":"fallback","to":7,"from":[],"x":"fallback"}',
        '{"type":"other","to":{"model":"x"},"x":"fallback"}',
        '["fallback"]',
        '"fallback"',
    ]
    blocks = [f'{{"type":"content_block_start","index":0,"content_block":{one}}}' for one in odd]

    assert metered(events(START, *blocks, END)).model == "m"


def test_message_id() -> None:
    """
    Threads go on from it.
    """
    assert metered(events(START.replace('"model"', '"id":"msg_7","model"'))).message_id == "msg_7"
    assert metered(events(START)).message_id is None
