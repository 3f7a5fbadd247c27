"""
The simulated upstream on a real socket: its answers, its cache, its usage, and its faults.
"""

import gzip
import json
import threading
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest

from savemode_cli.core.wire.messages import MAX_BODY_BYTES
from savemode_cli.simulated import upstream as upstream_module
from savemode_cli.simulated.clock import Clock
from tests.support.simulated import (
    KEY,
    LONG,
    MODEL,
    VERSION,
    Simulated,
    asks,
    bill,
    read,
    running_simulated,
    sent,
    stream_of,
    system,
)
from tests.support.waiting import LONG_S
from tests.support.wire import CutShort, End, request

START = datetime(2026, 11, 24, 12, tzinfo=UTC)
COLD, WARM = "cold", "warm"


@pytest.fixture
def simulated() -> Iterator[Simulated]:
    """
    A simulated upstream whose clock stands still.
    """
    with running_simulated(clock=Clock(START)) as running:
        yield running


def posted(body: Any, *headers: tuple[str, str]) -> bytes:
    """
    A messages call as bytes.
    """
    return request("POST", "/v1/messages", json.dumps(body).encode(), KEY, VERSION, *headers)


def fault(words: str) -> tuple[str, str]:
    """
    The header that requests a fault.
    """
    return ("x-savemode-fault", words)


def test_a_message(simulated: Simulated) -> None:
    """
    The answer has a status, a request ID, the rate-limit headers, a message, and the header that marks its tokens as
    estimates.
    """
    answer = sent(simulated.port, asks("hello"))

    assert answer.status == 200
    assert answer.all(b"request-id") == [b"req_sim_00000001"]
    assert answer.all(b"x-savemode-simulated") == [b"tokens-estimated"]
    assert answer.all(b"anthropic-ratelimit-requests-remaining") == [b"3999"]
    assert answer.all(b"anthropic-organization-id")
    told = read(answer)
    assert (told["id"], told["model"], told["stop_reason"]) == ("msg_sim_00000001", MODEL, "end_turn")
    assert told["content"][0]["text"].startswith("A simulated answer")


def test_a_stream(simulated: Simulated) -> None:
    """
    The same answer as events.
    """
    whole = read(sent(simulated.port, asks("hello")))
    answer = sent(simulated.port, asks("hello", stream=True))

    assert answer.all(b"content-type") == [b"text/event-stream; charset=utf-8"]
    events = stream_of(answer)
    assert [events[0]["type"], events[-1]["type"]] == ["message_start", "message_stop"]
    text = "".join(event["delta"]["text"] for event in events if event["type"] == "content_block_delta")
    assert text == whole["content"][0]["text"]
    assert events[-2]["usage"]["output_tokens"] == whole["usage"]["output_tokens"]


def test_the_query_is_ignored(simulated: Simulated) -> None:
    """
    A query in the URL is ignored; coding agents send one.
    """
    assert sent(simulated.port, asks("hello"), target="/v1/messages?beta=true").status == 200


def test_write_then_read(simulated: Simulated) -> None:
    """
    The first request writes the marked prefix, and the next one reads it.
    """
    first, second = (bill(sent(simulated.port, asks("hello", system=system()))) for _ in range(2))

    written = first[1]
    assert written > 1000
    assert first == (0, written, 0, first[3])
    assert second == (written, 0, 0, first[3])


@pytest.mark.parametrize(
    ("ttl", "idle_s", "found"),
    [
        (None, 240, WARM),
        (None, 720, COLD),
        ("5m", 720, COLD),
        ("1h", 720, WARM),
        ("1h", 3500, WARM),
        ("1h", 3700, COLD),
    ],
)
def test_entries_expire_when_the_clock_is_advanced(
    simulated: Simulated, ttl: str | None, idle_s: int, found: str
) -> None:
    """
    After the clock is advanced, entries with a shorter TTL have expired.
    """
    body = asks("hello", system=system(ttl))
    sent(simulated.port, body)
    turned = sent(simulated.port, {"advance_s": idle_s}, target="/-/clock")

    assert read(turned)["turned_s"] == idle_s
    read_tokens = bill(sent(simulated.port, body))[0]
    assert (WARM if read_tokens else COLD) == found


def test_the_usage_of_the_answers_is_the_state(simulated: Simulated) -> None:
    """
    The usage in the answers equals the totals of the upstream, for each model and in total.
    """
    answers = [sent(simulated.port, asks("hello", system=system(ttl))) for ttl in ("1h", "1h", "5m", None)]
    answers.append(sent(simulated.port, asks("hello", model="claude-haiku-4-5")))

    state = read(sent(simulated.port, None, target="/-/state", method="GET"))
    sums = [sum(column) for column in zip(*map(bill, answers), strict=True)]
    usage = state["usage"]
    assert sums == [
        usage["cache_read_input_tokens"],
        usage["cache_creation"]["ephemeral_5m_input_tokens"],
        usage["cache_creation"]["ephemeral_1h_input_tokens"],
        usage["input_tokens"],
    ]
    assert usage["output_tokens"] == sum(read(answer)["usage"]["output_tokens"] for answer in answers)
    assert {model: one["answers"] for model, one in state["models"].items()} == {MODEL: 4, "claude-haiku-4-5": 1}
    assert (state["answers"], state["statuses"], state["cache_entries"]) == (5, {"200": 5}, 1)
    assert (state["simulated"], state["tokens"]) == (True, "estimated")


def test_ttl_in_key() -> None:
    """
    How the API does this is not public, so both ways can be simulated; in this one, a 1h breakpoint does not find a 5m
    entry.
    """
    for in_key, read_tokens in ((False, True), (True, False)):
        with running_simulated(ttl_in_key=in_key) as simulated:
            sent(simulated.port, asks("hello", system=system("5m")))
            assert (bill(sent(simulated.port, asks("hello", system=system("1h"))))[0] > 0) is read_tokens


def test_counting_is_what_is_billed(simulated: Simulated) -> None:
    """
    Counted tokens equal billed tokens; counting is not billed and caches nothing.
    """
    body = asks("hello", system=system())
    counted = read(sent(simulated.port, body, target="/v1/messages/count_tokens?beta=true"))["input_tokens"]

    assert sum(bill(sent(simulated.port, body))) == counted
    assert simulated.app.usage_totals.to_json()["answers"] == 1


def test_an_agents_loop_ends() -> None:
    """
    A script calls tools until a turn without a tool call.
    """
    turns = [{"tool_use": {"name": "sh", "input": {"cmd": "make"}}}] * 2 + [{"text": "done"}]
    tools = [{"name": "sh", "input_schema": {"type": "object"}}]
    messages: list[Any] = [{"role": "user", "content": "Why is the build red?"}]
    with running_simulated(script=turns) as simulated:
        for _ in range(9):
            told = read(sent(simulated.port, asks(messages, tools=tools)))
            messages.append({"role": "assistant", "content": told["content"]})
            if told["stop_reason"] != "tool_use":
                break
            call = told["content"][-1]["id"]
            messages.append(
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call, "content": "error"}]}
            )

    assert [message["role"] for message in messages] == ["user", "assistant"] * 3
    assert messages[-1]["content"] == [{"type": "text", "text": "done"}]


def test_no_output_wanted(simulated: Simulated) -> None:
    """
    `max_tokens: 0` fills the cache without output.
    """
    told = read(sent(simulated.port, asks("hello", system=system(), max_tokens=0)))

    assert (told["content"], told["stop_reason"], told["usage"]["output_tokens"]) == ([], "max_tokens", 0)
    assert bill(sent(simulated.port, asks("hello", system=system())))[0] > 0


def refused(simulated: Simulated, *args: Any, **more: Any) -> tuple[int, str, str]:
    """
    The status, type and message of a refusal, which is in the API's error format and names its request.
    """
    answer = sent(simulated.port, *args, **more)
    told = read(answer)
    assert told["type"] == "error"
    assert [told["request_id"].encode()] == answer.all(b"request-id")
    return answer.status, told["error"]["type"], told["error"]["message"]


def test_a_bad_request(simulated: Simulated) -> None:
    """
    What the API refuses is refused with the same message and not billed.
    """
    five = [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}] * 5

    assert refused(simulated, asks([{"role": "user", "content": five}])) == (
        400,
        "invalid_request_error",
        "A maximum of 4 blocks with cache_control may be provided. Found 5.",
    )
    assert simulated.app.usage_totals.to_json()["answers"] == 0


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b"[" * 100_000, b'{"a":"\xed\xa0\x80"}'])
def test_bodies_that_are_not_json(simulated: Simulated, raw: bytes) -> None:
    """
    Every body gets an answer.
    """
    status, api_type, said = refused(simulated, raw)

    assert (status, api_type) == (400, "invalid_request_error")
    assert said.startswith("The request body is not valid JSON")


def test_no_object(simulated: Simulated) -> None:
    """
    A body that is JSON but not an object.
    """
    assert refused(simulated, b"5") == (400, "invalid_request_error", "the request body must be a JSON object")


def test_an_unknown_model(simulated: Simulated) -> None:
    """
    An unknown model is not found, even if its name looks like a model of the API.
    """
    for model in ("gpt-4", "claude-nonsense-9", "claude-opus-5-5[1m]", "anthropic/claude-opus-5-5"):
        assert refused(simulated, asks("hello", model=model)) == (404, "not_found_error", f"model: {model}")
    assert sent(simulated.port, asks("hello", model="claude-sonnet-5")).status == 200


def test_a_configured_model() -> None:
    """
    The name of a deployment is accepted if it is configured.
    """
    with running_simulated(models=frozenset({"our-deployment"})) as simulated:
        assert sent(simulated.port, asks("hello", model="our-deployment")).status == 200
        assert sent(simulated.port, asks("hello", model="another")).status == 404


@pytest.mark.parametrize("late", [{"content": []}, {"content": ""}, {}])
def test_what_claude_code_sends_after_a_compaction(simulated: Simulated, late: dict[str, Any]) -> None:
    """
    A system message without content sets the effort for the rest of the conversation, and the conversation continues.
    """
    setting = {"role": "system", **late, "output_config": {"effort": "medium"}}
    beta = ("anthropic-beta", "per-turn-control-2026-07-01")
    for model in ("claude-opus-5-5", "claude-sonnet-5"):
        talk = [{"role": "user", "content": "hello"}, setting]
        assert sent(simulated.port, asks(talk, model=model), beta).status == 200
        talk += [{"role": "assistant", "content": "yes"}, {"role": "user", "content": "go on"}]
        assert sent(simulated.port, asks(talk, model=model), beta).status == 200


def test_a_key_is_required_and_any_key_is_accepted(simulated: Simulated) -> None:
    """
    Without a key the status is 401, as with the API; any key and any bearer token is accepted.
    """
    body = json.dumps(asks("hello")).encode()
    statuses = []
    for credential in ((), (KEY,), (("authorization", "Bearer made-up"),), (("authorization", "Basic eDp4"),)):
        with End.to(simulated.port) as client:
            client.send(request("POST", "/v1/messages", body, VERSION, *credential))
            statuses.append(client.message().status)

    assert statuses == [401, 200, 200, 401]


def test_a_version_is_required(simulated: Simulated) -> None:
    """
    The API requires it too.
    """
    with End.to(simulated.port) as client:
        client.send(request("POST", "/v1/messages", b"{}", KEY))
        told = read(client.message())

    assert told["error"]["message"] == "anthropic-version: header is required"


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("HEAD", "/api/hello", 200),
        ("GET", "/api/hello", 200),
        ("HEAD", "/", 200),
        ("GET", "/v1/messages", 405),
        ("POST", "/v1/models", 405),
        ("POST", "/v1/messages/batches", 501),
        ("GET", "/v1/messages/batches/msgbatch_1", 501),
        ("GET", "/v1/files", 404),
        ("GET", "/v1/models", 200),
        ("GET", f"/v1/models/{MODEL}", 200),
        ("GET", "/v1/models/gpt-4", 404),
    ],
)
def test_other_paths(simulated: Simulated, method: str, target: str, status: int) -> None:
    """
    Probes are answered; an unknown path gets an error in the API's format.
    """
    answer = sent(simulated.port, b"" if method == "POST" else None, target=target, method=method)

    assert answer.status == status
    if status >= 400:
        assert read(answer)["type"] == "error"


def test_a_page_of_models(simulated: Simulated) -> None:
    """
    The query selects the page.
    """
    answer = sent(simulated.port, None, target=f"/v1/models?limit=2&after_id={MODEL}", method="GET")

    assert [one["id"] for one in read(answer)["data"]] == ["claude-sonnet-5-5", "claude-haiku-5-5"]


def test_a_compressed_request(simulated: Simulated) -> None:
    """
    It is read like any other request; an invalid or too large one is refused.
    """
    body = gzip.compress(json.dumps(asks("hello")).encode())

    assert sent(simulated.port, body, ("content-encoding", "gzip")).status == 200
    assert refused(simulated, body, ("content-encoding", "rot13"))[2].startswith("the body cannot be decoded: ")
    assert refused(simulated, b"nonsense", ("content-encoding", "gzip"))[0] == 400
    bomb = zlib.compress(b" " * (MAX_BODY_BYTES + 1), wbits=31)
    assert refused(simulated, bomb, ("content-encoding", "gzip"))[0] == 400


def test_a_body_that_is_too_large(simulated: Simulated) -> None:
    """
    The limit is that of the API.
    """
    with End.to(simulated.port) as client:
        client.send(request("POST", "/v1/messages", None, KEY, VERSION, ("transfer-encoding", "chunked")))
        piece = b" " * (4 * 1024 * 1024)
        try:
            for _ in range(9):
                client.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        except ConnectionError:
            pass  # the upstream has closed the connection
        assert client.head().status == 413


@pytest.mark.parametrize("stream", [False, True])
def test_compressed_answers(stream: bool) -> None:
    """
    The answer is compressed if both sides allow it.
    """
    body = asks("hello", stream=stream)
    with running_simulated(gzip=True) as simulated:
        plain = sent(simulated.port, body)
        packed = sent(simulated.port, body, ("accept-encoding", "gzip, br"))

    assert (plain.all(b"content-encoding"), packed.all(b"content-encoding")) == ([], [b"gzip"])
    assert len(gzip.decompress(packed.body)) == len(plain.body)


def test_each_event_of_a_compressed_stream_can_be_read() -> None:
    """
    No event waits in the compressor for the next one.
    """
    with running_simulated(gzip=True, fault="truncate=2") as simulated, End.to(simulated.port) as client:
        client.send(posted(asks("hello", stream=True), ("accept-encoding", "gzip")))
        client.head()
        unpacker = zlib.decompressobj(wbits=31)
        seen = b"".join(unpacker.decompress(client.chunk()) for _ in range(2))

    assert seen.count(b"event: ") == 2


def test_configured_delays() -> None:
    """
    The time before the answer and the time for each token are as configured, and the events arrive one by one.
    """
    with running_simulated(answer_s=0.1, token_s=0.005) as simulated, End.to(simulated.port) as client:
        start = time.monotonic()
        client.send(posted(asks("hello", stream=True)))
        client.head()
        began = time.monotonic() - start
        pieces = 0
        while client.chunk():
            pieces += 1
        ended = time.monotonic() - start

    assert began >= 0.1
    assert ended >= began + 0.04
    assert pieces > 5


def test_a_client_that_leaves_is_billed_for_the_sent_output() -> None:
    """
    A hang-up is noticed during a pause; the prompt and the output sent so far are billed.
    """
    with running_simulated(token_s=0.2) as simulated:
        with End.to(simulated.port) as client:
            client.send(posted(asks("hello", stream=True)))
            client.head()
            client.chunk()
        assert simulated.told().status == 200
        usage = simulated.app.usage_totals.to_json()["usage"]

    assert usage["input_tokens"] > 0
    assert usage["output_tokens"] < 10


def test_an_entry_exists_after_its_writer_is_answered() -> None:
    """
    Concurrent requests all pay for the cache write.
    """
    body = asks("hello", system=system())
    with running_simulated(answer_s=0.3) as simulated, ThreadPoolExecutor(3) as pool:
        together = [bill(answer)[0] for answer in pool.map(lambda _: sent(simulated.port, body), range(3))]
        after = bill(sent(simulated.port, body))[0]

    assert together == [0, 0, 0]
    assert after > 0


# Faults.


def test_a_status(simulated: Simulated) -> None:
    """
    The error has the API's format and the requested headers.
    """
    answer = sent(
        simulated.port, asks("hello"), fault("status=429,retry-after=7,should-retry=false,type=billing_error")
    )

    assert (answer.status, read(answer)["error"]["type"]) == (429, "billing_error")
    assert (answer.all(b"retry-after"), answer.all(b"x-should-retry")) == ([b"7"], [b"false"])
    assert answer.all(b"anthropic-ratelimit-requests-limit")
    assert simulated.app.usage_totals.to_json()["answers"] == 0


def test_a_count() -> None:
    """
    The fault applies to the first two requests only; a call of count_tokens is not one of them.
    """
    with running_simulated(fault="status=529*2") as simulated:
        sent(simulated.port, asks("hello"), target="/v1/messages/count_tokens")
        assert [sent(simulated.port, asks("hello")).status for _ in range(3)] == [529, 529, 200]


@pytest.mark.parametrize("events", [0, 1, 4])
def test_a_stream_that_is_cut(simulated: Simulated, events: int) -> None:
    """
    The stream stops after this many events, without its end.
    """
    with End.to(simulated.port) as client:
        client.send(posted(asks("hello", stream=True), fault(f"truncate={events}")))
        assert client.head().status == 200
        for _ in range(events):
            assert client.chunk().startswith(b"event: ")
        with pytest.raises(CutShort):
            client.chunk()


def test_a_message_that_is_cut(simulated: Simulated) -> None:
    """
    The head announces more bytes than come; the answer is billed.
    """
    with pytest.raises(CutShort) as raised:
        sent(simulated.port, asks("hello"), fault("truncate"))

    assert raised.value.got.startswith(b'{"id":"msg_sim_')
    assert simulated.app.usage_totals.to_json()["answers"] == 1


def test_a_dropped_connection(simulated: Simulated) -> None:
    """
    The connection is reset, not closed, before any byte of the answer.
    """
    with End.to(simulated.port) as client:
        client.send(posted(asks("hello"), fault("drop")))
        with pytest.raises(ConnectionResetError):
            client.message()

    assert (simulated.told().status, simulated.told().note) == (None, "fault=drop")
    assert sent(simulated.port, asks("hello")).status == 200


def test_garbage(simulated: Simulated) -> None:
    """
    An HTML page instead of a message, half an event instead of a stream; neither is billed.
    """
    page = sent(simulated.port, asks("hello"), fault("garbage"))
    stream = sent(simulated.port, asks("hello", stream=True), fault("garbage"))

    assert (page.status, page.body[:6]) == (200, b"<html>")
    assert stream.all(b"content-type") == [b"text/event-stream; charset=utf-8"]
    with pytest.raises(json.JSONDecodeError):
        stream_of(stream)
    assert simulated.app.usage_totals.to_json()["answers"] == 0


def test_an_error_in_the_stream(simulated: Simulated) -> None:
    """
    The error comes after this many events, and the stream ends normally; without streaming, the answer has the error's
    status.
    """
    words = fault("error=api_error,after=2")
    events = stream_of(sent(simulated.port, asks("hello", stream=True), words))

    assert [event["type"] for event in events] == ["message_start", "content_block_start", "error"]
    assert events[-1]["error"]["type"] == "api_error"
    assert refused(simulated, asks("hello"), words)[:2] == (500, "api_error")


def test_a_stall(simulated: Simulated) -> None:
    """
    Nothing is sent for a while, before the head or within the stream.
    """
    for words in ("stall=0.2", "stall=0.2,after=2"):
        start = time.monotonic()
        answer = sent(simulated.port, asks("hello", stream=True), fault(words))
        assert time.monotonic() - start >= 0.2
        assert stream_of(answer)[-1]["type"] == "message_stop"


def test_a_client_that_leaves_a_stall_is_not_billed(simulated: Simulated) -> None:
    """
    No prompt was processed and no output was sent.
    """
    with End.to(simulated.port) as client:
        client.send(posted(asks("hello"), fault("stall=60")))
        while not simulated.app.faults._by_header:
            time.sleep(0.01)

    assert simulated.told().status is None
    assert simulated.app.usage_totals.to_json()["answers"] == 0


def test_a_silent_downgrade(simulated: Simulated) -> None:
    """
    A 1h breakpoint is billed as 5m and expires as 5m.
    """
    body = asks("hello", system=system("1h"))
    _, five, hour, _ = bill(sent(simulated.port, body, fault("downgrade")))
    simulated.clock.advance(720)

    assert (five > 1000, hour) == (True, 0)
    assert bill(sent(simulated.port, body))[0] == 0


def test_no_ttl(simulated: Simulated) -> None:
    """
    Any ttl is refused, as by models before 4.5 on Bedrock; a breakpoint without ttl is accepted.
    """
    assert refused(simulated, asks("hello", system=system("5m")), fault("no-ttl")) == (
        400,
        "invalid_request_error",
        "system.0.cache_control.ephemeral.ttl: Extra inputs are not permitted",
    )
    assert sent(simulated.port, asks("hello", system=system()), fault("no-ttl")).status == 200


def test_a_bad_fault(simulated: Simulated) -> None:
    """
    The error says which faults exist.
    """
    status, _, said = refused(simulated, asks("hello"), fault("nonsense"))

    assert status == 400
    assert said.startswith("fault 'nonsense': unknown fault; use NAME[=VALUE]")


# The log of requests.


def test_each_request_is_logged_once(simulated: Simulated) -> None:
    """
    The log contains the usage and no content; requests for the upstream's own pages are not logged.
    """
    sent(simulated.port, asks("secret words", system=system("1h")))
    sent(simulated.port, asks("hello"), fault("status=500"))
    sent(simulated.port, None, target="/-/state", method="GET")

    first, second = simulated.told(), simulated.told(1)
    assert (first.at, first.method, first.path, first.status) == (START, "POST", "/v1/messages", 200)
    assert first.note.startswith(f"model={MODEL} read=0 write_5m=0 write_1h=")
    assert first.note.endswith(" tokens=estimated")
    assert (second.status, second.note) == (500, "fault=status")
    assert "secret" not in first.note
    assert LONG[:20] not in first.note
    assert len(simulated.served) == 2


def test_the_same_again() -> None:
    """
    Two upstreams give the same content, counts and IDs for the same requests.
    """

    def asked() -> list[bytes]:
        with running_simulated(clock=Clock(START)) as simulated:
            return [
                sent(simulated.port, asks(said, stream=stream, system=system())).body
                for said in ("hello", "goodbye")
                for stream in (False, True)
            ]

    assert asked() == asked()


def test_large_body_does_not_block_other_requests(simulated: Simulated, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Another request is answered while a body of more than 1 MB is read.
    """
    begun, over = threading.Event(), threading.Event()
    read_body = upstream_module._read

    def slow(raw: bytes, *more: Any) -> Any:
        if len(raw) > 1024 * 1024:
            begun.set()
            assert over.wait(LONG_S)
        return read_body(raw, *more)

    monkeypatch.setattr(upstream_module, "_read", slow)
    with End.to(simulated.port) as large, End.to(simulated.port) as small:
        large.send(posted(asks("x" * 1024 * 1024)))
        assert begun.wait(LONG_S)
        small.send(posted(asks()))
        assert small.message().status == 200
        over.set()
        answer = large.message()

    assert (answer.status, json.loads(answer.body)["usage"]["input_tokens"] > 100_000) == (200, True)
