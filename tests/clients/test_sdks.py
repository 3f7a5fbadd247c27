"""
The official SDKs, Python's last three major versions and TypeScript's last two, behind the real proxy.

Every claim is made to each of them in a process of its own. What only this process's SDK can show is in `test_clients`.
"""

import asyncio
import gzip
import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.clients.driven import FOLDER, NO_FOLDER, Sdk, headers, stream_of_another_client
from tests.conftest import FLAG
from tests.support.streams import (
    END,
    MODEL,
    answers,
    chunk,
    failure,
    head,
    message,
    refusal,
    says,
    sse,
    stalls_after,
    streamed_text,
    streamed_thinking,
    streamed_tool_use,
    streams,
    text,
    tool_use,
)
from tests.support.upstream import Received, RunningProxy, Upstream, reply, running_proxy

pytestmark = pytest.mark.clients
if not FOLDER:
    pytest.skip(NO_FOLDER, allow_module_level=True)

BARE = {"type": "ephemeral"}
ONE_HOUR = {"type": "ephemeral", "ttl": "1h"}
EXTENDED = "extended-cache-ttl-2025-04-11"
TTL = b',"ttl":"1h"'
CALL: dict[str, Any] = {"model": MODEL, "max_tokens": 64, "messages": [{"role": "user", "content": "hello"}]}
TOOLS: list[Any] = [
    {
        "name": "sh",
        "description": "Run a command.",
        "input_schema": {"type": "object", "properties": {"cache_control": {"type": "string"}}},
        "cache_control": BARE,
    }
]
MARKED: dict[str, Any] = {
    "model": MODEL,
    "max_tokens": 64,
    "system": [{"type": "text", "text": "Be careful. Größe: ☃", "cache_control": BARE}],
    "tools": TOOLS,
    "messages": [{"role": "user", "content": [{"type": "text", "text": "hello", "cache_control": BARE}]}],
}
HELLO = reply(json.dumps(message(text("hello"))).encode())
OPS = ("create", "stream")
STATUSES = {
    "400 Bad Request": "invalid_request_error",
    "401 Unauthorized": "authentication_error",
    "402 Payment Required": "billing_error",
    "403 Forbidden": "permission_error",
    "404 Not Found": "not_found_error",
    "409 Conflict": "conflict_error",
    "413 Payload Too Large": "request_too_large",
    "422 Unprocessable Entity": "invalid_request_error",
    "429 Too Many Requests": "rate_limit_error",
    "500 Internal Server Error": "api_error",
    "502 Bad Gateway": "api_error",
    "503 Service Unavailable": "api_error",
    "504 Gateway Timeout": "timeout_error",
    "529 Overloaded": "overloaded_error",
}


def said(done: Any) -> str:
    """
    The text of a message's last block.
    """
    words: str = done.result["content"][-1]["text"]
    return words


def test_version(sdk: Sdk) -> None:
    """
    What runs is the version that is named, not one that lay nearer.
    """
    assert sdk.version.split(".")[0] == sdk.name.split("-")[1]


def test_message(sdk: Sdk, proxy: RunningProxy, upstream: Upstream) -> None:
    """
    A plain call gives the message the upstream gave.
    """
    upstream.script = says(text("hé ☃"))

    done = sdk("create", proxy.url, CALL)

    assert (said(done), done.result["usage"]["output_tokens"]) == ("hé ☃", 1)
    assert (upstream.received[0].method, upstream.received[0].target) == ("POST", "/v1/messages")


@pytest.mark.parametrize("op", OPS)
def test_nothing_differs_from_a_direct_call(sdk: Sdk, proxy: RunningProxy, upstream: Upstream, op: str) -> None:
    """
    With the gate closed the upstream receives byte for byte and header for header what it receives without a proxy.
    """
    upstream.script = answers(HELLO) if op == "create" else streams(streamed_text("hello"))

    assert said(sdk(op, upstream.url, MARKED)) == said(sdk(op, proxy.url, MARKED)) == "hello"

    without, through = upstream.received
    assert through.body == without.body
    assert headers(through) == headers(without)


@pytest.mark.parametrize("op", OPS)
def test_upgrade_differs_by_the_ttl_only(sdk: Sdk, proxy: RunningProxy, upstream: Upstream, op: str) -> None:
    """
    With the gate open the bytes differ by the inserted TTLs, the headers by the beta and the length; the flag stays here.
    """
    upstream.script = answers(HELLO) if op == "create" else streams(streamed_text("hello"))

    sdk(op, upstream.url, MARKED)
    assert said(sdk(op, proxy.url, MARKED, headers=FLAG)) == "hello"

    without, through = upstream.received
    assert through.body.count(TTL) == 3
    assert through.body.replace(TTL, b"") == without.body
    assert through.all("anthropic-beta") == [EXTENDED]
    assert through.all("content-length") == [str(len(through.body))]
    assert headers(through, "anthropic-beta", "content-length") == headers(without, "content-length")
    assert proxy.exchange().upgrade.upgraded == 3


def test_stream_arrives_event_by_event(sdk: Sdk, proxy: RunningProxy, upstream: Upstream) -> None:
    """
    The upstream holds the second piece back until the client has the first: nothing in between waits for more.
    """
    go_on = upstream.event()
    events = streamed_text("hel", "lo")
    upstream.script = stalls_after(events[:4], go_on, events[4:])

    done = sdk("stream", proxy.url, CALL, on_piece=lambda _piece: upstream.set(go_on))

    assert (done.pieces, said(done)) == (["hel", "lo"], "hello")
    assert done.result["usage"]["output_tokens"] == 7
    assert (proxy.exchange().answer.outcome, proxy.exchange().answer.status) == ("ok", 200)


def test_long_thinking(sdk: Sdk, proxy: RunningProxy, upstream: Upstream) -> None:
    """
    Thousands of thoughts arrive in their pieces, and go back with their signature and the next turn upgraded.
    """
    thoughts = [f"thought {number} ☃\n" for number in range(3000)]
    upstream.script = streams(streamed_thinking(thoughts, "c2lnbmVk/+==", "done"))
    call = {**MARKED, "max_tokens": 4096, "thinking": {"type": "enabled", "budget_tokens": 2048}}

    done = sdk("stream", proxy.url, call, headers=FLAG)

    assert done.pieces == [*thoughts, "done"]
    thinking, last = done.result["content"]
    assert (thinking["thinking"], thinking["signature"]) == ("".join(thoughts), "c2lnbmVk/+==")
    assert (last["text"], proxy.exchange().answer.outcome) == ("done", "ok")

    turns = [
        *MARKED["messages"],
        {"role": "assistant", "content": [thinking, {"type": "text", "text": "done"}]},
        {"role": "user", "content": [{"type": "text", "text": "go on", "cache_control": BARE}]},
    ]
    sdk("stream", proxy.url, {**call, "messages": turns}, headers=FLAG)

    returned = json.loads(upstream.received[-1].body)["messages"]
    assert returned[1] == turns[1]
    assert returned[2]["content"][0]["cache_control"] == ONE_HOUR


def test_tool_round_trip(sdk: Sdk, proxy: RunningProxy, upstream: Upstream) -> None:
    """
    A tool's call and its result travel there and back; the input's keys keep their order, as the cache demands.
    """
    arguments = {"z": 1, "a": {"cache_control": {"type": "ephemeral"}}, "m": [1.25, "☃"]}
    upstream.script = answers(
        reply(json.dumps(message(tool_use("sh", arguments), stop_reason="tool_use")).encode()), HELLO
    )
    question = {"role": "user", "content": "Why is the build red?"}
    call = {"model": MODEL, "max_tokens": 64, "tools": TOOLS}

    asked = sdk("create", proxy.url, {**call, "messages": [question]}, headers=FLAG).result
    answer = {"type": "text", "text": "error 1", "cache_control": BARE}
    result = {"type": "tool_result", "tool_use_id": asked["content"][0]["id"], "content": [answer]}
    turns = [question, {"role": "assistant", "content": asked["content"]}, {"role": "user", "content": [result]}]
    done = sdk("create", proxy.url, {**call, "messages": turns}, headers=FLAG)

    assert said(done) == "hello"
    _, assistant, user = json.loads(upstream.received[1].body)["messages"]
    assert json.dumps(assistant["content"][0]["input"]) == json.dumps(arguments)
    assert user["content"][0]["content"][0]["cache_control"] == ONE_HOUR


def test_streamed_tool_input(sdk: Sdk, proxy: RunningProxy, upstream: Upstream) -> None:
    """
    A tool's input that comes in pieces is whole at the end.
    """
    upstream.script = streams(streamed_tool_use("sh", '{"cmd": "ma', 'ke", "n": 1}'))

    done = sdk("stream", proxy.url, {**CALL, "tools": TOOLS}, headers=FLAG)

    assert done.result["content"][0]["input"] == {"cmd": "make", "n": 1}
    assert done.result["stop_reason"] == "tool_use"


def test_count_tokens(sdk: Sdk, proxy: RunningProxy, upstream: Upstream) -> None:
    """
    Counting is passed on as it is, markers and all.
    """
    upstream.script = answers(reply(b'{"input_tokens": 14}'))
    call = {name: value for name, value in MARKED.items() if name != "max_tokens"}

    assert sdk("count_tokens", proxy.url, call, headers=FLAG).result["input_tokens"] == 14

    assert upstream.received[0].target == "/v1/messages/count_tokens"
    assert json.loads(upstream.received[0].body) == call
    assert [skip.code for skip in proxy.exchange().upgrade.skips] == ["count-tokens"]


def test_models(sdk: Sdk, proxy: RunningProxy, upstream: Upstream) -> None:
    """
    The list of models is passed on with its query.
    """
    one = {"type": "model", "id": MODEL, "display_name": "Opus", "created_at": "2026-11-01T00:00:00Z"}
    page = {"data": [one], "has_more": False, "first_id": MODEL, "last_id": MODEL}
    upstream.script = answers(reply(json.dumps(page).encode()))

    assert sdk("models", proxy.url, {"limit": 3}).result == [MODEL]
    assert (upstream.received[0].method, upstream.received[0].target) == ("GET", "/v1/models?limit=3")


@pytest.mark.parametrize("op", OPS)
def test_errors_of_the_upstream(sdk: Sdk, proxy: RunningProxy, upstream: Upstream, op: str) -> None:
    """
    Every status raises what it raises without the proxy, with the very bytes of the upstream and its request id.
    """
    for number, (status, api_type) in enumerate(STATUSES.items()):
        answer = refusal(status, api_type, "the upstream's wörds")
        upstream.script = answers(answer)

        through = sdk(op, proxy.url, MARKED, headers=FLAG, max_retries=0).error
        direct = sdk(op, upstream.url, MARKED, max_retries=0).error

        assert through == direct
        assert (through.status, through.request_id) == (int(status[:3]), "req_up")
        assert through.body == answer.partition(b"\r\n\r\n")[2].decode("latin-1")
        assert len(upstream.received) == 2 * number + 2
        recorded = proxy.exchange(number)
        assert (recorded.answer.outcome, recorded.answer.upstream_request_id) == ("upstream_error", "req_up")


def test_error_that_is_not_json(sdk: Sdk, proxy: RunningProxy, upstream: Upstream) -> None:
    """
    A page of HTML from something in between arrives as it is.
    """
    html = b"<html>\xfftoo large</html>"
    upstream.script = answers(reply(html, "413 Payload Too Large", (("content-type", "text/html"),)))

    through, direct = sdk("create", proxy.url, CALL).error, sdk("create", upstream.url, CALL).error

    assert through == direct
    assert (through.status, through.body) == (413, html.decode("latin-1"))


def test_error_in_a_stream(sdk: Sdk, proxy: RunningProxy, upstream: Upstream) -> None:
    """
    An `error` event raises what it raises without the proxy, after the pieces before it have arrived.
    """
    upstream.script = streams([*streamed_text("hel")[:4], failure("overloaded_error", "too busy")])

    through, direct = sdk("stream", proxy.url, CALL), sdk("stream", upstream.url, CALL)

    assert through.pieces == direct.pieces == ["hel"]
    assert through.error.type == direct.error.type
    assert "too busy" in through.error.message


def test_stream_that_breaks_off(sdk: Sdk, proxy: RunningProxy, upstream: Upstream) -> None:
    """
    A stream that the upstream cuts in the middle is an error for the client too, never a short but whole answer.
    """

    async def script(_received: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(head() + b"".join(chunk(sse(event)) for event in streamed_text("hel", "lo")[:4]))
        await writer.drain()
        writer.close()

    upstream.script = script

    through, direct = sdk("stream", proxy.url, CALL), sdk("stream", upstream.url, CALL)

    assert through.pieces == direct.pieces == ["hel"]
    assert through.error.type == direct.error.type
    assert proxy.exchange().answer.outcome == "broken"


@pytest.mark.parametrize("op", OPS)
def test_should_retry_false_is_obeyed(sdk: Sdk, proxy: RunningProxy, upstream: Upstream, op: str) -> None:
    """
    The header that forbids a retry reaches the client: one attempt.
    """
    upstream.script = answers(
        refusal("529 Overloaded", "overloaded_error", "no", x_should_retry="false", retry_after_ms="1")
    )

    assert sdk(op, proxy.url, CALL).error.status == 529
    assert len(upstream.received) == 1


def test_should_retry_true_is_obeyed(sdk: Sdk, proxy: RunningProxy, upstream: Upstream) -> None:
    """
    So does the one that allows it, for a status that clients would not try again.
    """
    later = refusal("403 Forbidden", "permission_error", "later", x_should_retry="true", retry_after_ms="1")
    upstream.script = answers(later, HELLO)

    assert said(sdk("create", proxy.url, CALL)) == "hello"
    assert [one.all("x-stainless-retry-count") for one in upstream.received] == [["0"], ["1"]]


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("status", ["429 Too Many Requests", "500 Internal Server Error", "529 Overloaded"])
def test_client_retries_by_its_own_rule(
    sdk: Sdk, proxy: RunningProxy, upstream: Upstream, status: str, op: str
) -> None:
    """
    A bare error is tried three times by the SDK, upgraded each time, and no attempt is added or swallowed in between.
    """
    upstream.script = answers(refusal(status, "api_error", "later", retry_after_ms="1"))

    assert sdk(op, proxy.url, MARKED, headers=FLAG).error.status == int(status[:3])

    assert [one.all("x-stainless-retry-count") for one in upstream.received] == [["0"], ["1"], ["2"]]
    assert [one.body.count(TTL) for one in upstream.received] == [3, 3, 3]


def test_retry_after_is_obeyed(sdk: Sdk, proxy: RunningProxy, upstream: Upstream) -> None:
    """
    The upstream's `retry-after` reaches the client, which waits longer than it would by its own rule (half a second).
    """
    times: list[float] = []
    told = [refusal("429 Too Many Requests", "rate_limit_error", "later", retry_after="1"), HELLO]

    async def script(_received: Received, writer: asyncio.StreamWriter) -> None:
        times.append(asyncio.get_running_loop().time())
        writer.write(told.pop(0))

    upstream.script = script

    assert said(sdk("create", proxy.url, CALL)) == "hello"
    assert times[1] - times[0] > 0.95


def test_leaving_a_stream_hangs_up(sdk: Sdk, proxy: RunningProxy, upstream: Upstream) -> None:
    """
    Who leaves a stream stops paying for it: the upstream sees the connection close.
    """
    upstream.script = stalls_after(streamed_text("hel")[:4], upstream.event())

    done = sdk("stream", proxy.url, CALL, stop_after=1)

    assert (done.pieces, done.result, done.raised) == (["hel"], None, None)
    assert upstream.received[0].closed.wait(5)
    assert proxy.exchange().answer.outcome == "client_gone"


def test_compressed_answers(sdk: Sdk, proxy: RunningProxy, upstream: Upstream) -> None:
    """
    A compressed answer and a compressed stream are neither unpacked nor broken, and the SDK reads them.
    """
    body = gzip.compress(json.dumps(message(text("hello " * 1000))).encode())
    compressed = (("content-type", "application/json"), ("content-encoding", "gzip"))
    packed = gzip.compress(b"".join(sse(event) for event in streamed_text("hel", "lo")))
    pieces = b"".join(chunk(packed[start : start + 50]) for start in range(0, len(packed), 50))
    upstream.script = answers(reply(body, headers=compressed), head(("content-encoding", "gzip")) + pieces + END)

    assert said(sdk("create", proxy.url, CALL)) == "hello " * 1000
    assert said(sdk("stream", proxy.url, CALL)) == "hello"


@pytest.mark.parametrize("op", OPS)
def test_permanent_refusal(sdk: Sdk, upstream: Upstream, op: str) -> None:
    """
    Past the cap: one attempt, which goes nowhere, and the exception says how much is spent, when it resets and what to do.
    """
    with running_proxy(upstream.url, budget_nusd=1) as proxy:
        sdk("create", proxy.url, CALL)
        refused = sdk(op, proxy.url, CALL).error
        proxy.exchange(1)

        assert [one.answer.outcome for one in proxy.exchanges] == ["ok", "refused"]
        assert (refused.status, refused.type) == (429, "RateLimitError")
        assert "spend limit reached (monthly; resets " in refused.message
        assert "To go on now: restart savemode" in refused.message
        assert (refused.request_id or "").startswith("req_sm_")
        assert len(upstream.received) == 1


@pytest.mark.parametrize("op", OPS)
def test_temporary_refusal(sdk: Sdk, upstream: Upstream, monkeypatch: pytest.MonkeyPatch, op: str) -> None:
    """
    Refused because of what a running request holds: the SDK waits, tries again by itself, and succeeds.
    """
    monkeypatch.setattr("savemode_cli.core.budget.refusal.RETRY_AFTER_S", 1)
    go_on = upstream.event()
    events = streamed_text("hel", "lo")
    first = stalls_after(events[:4], go_on, events[4:])
    then = answers(HELLO) if op == "create" else streams(events)

    async def script(received: Received, writer: asyncio.StreamWriter) -> None:
        await (first if received is upstream.received[0] else then)(received, writer)

    upstream.script = script
    with running_proxy(upstream.url, budget_nusd=4_000_000, strict=True) as proxy, ThreadPoolExecutor(2) as pool:
        holder = pool.submit(stream_of_another_client, proxy.port)

        def end_it_after_the_refusal() -> None:
            assert proxy.exchange(0).answer.outcome == "refused"
            upstream.set(go_on)

        while not upstream.received:
            assert not holder.done()
            time.sleep(0.01)
        ender = pool.submit(end_it_after_the_refusal)
        done = sdk(op, proxy.url, CALL)
        ender.result()
        assert b"message_stop" in holder.result()
        proxy.exchange(2)

        assert said(done) == "hello"
        assert sorted(one.answer.outcome for one in proxy.exchanges) == ["ok", "ok", "refused"]
        assert [one.all("x-stainless-retry-count") for one in upstream.received] == [[], ["1"]]


@pytest.mark.parametrize("op", OPS)
def test_refused_upgrade_is_no_error_for_the_client(sdk: Sdk, proxy: RunningProxy, upstream: Upstream, op: str) -> None:
    """
    Where the upstream refuses the TTL, one call of the SDK is one success; the original went out behind it, once.
    """
    refused = refusal("400 Bad Request", "invalid_request_error", "system.0.cache_control.ttl: not permitted")
    events = head() + b"".join(chunk(sse(event)) for event in streamed_text("hello")) + END
    upstream.script = answers(refused, HELLO if op == "create" else events)

    assert said(sdk(op, proxy.url, MARKED, headers=FLAG)) == "hello"
    assert said(sdk(op, proxy.url, MARKED, headers=FLAG)) == "hello"

    upgraded, original, later = upstream.received
    assert upgraded.body.replace(TTL, b"") == original.body == later.body
    assert original.all("x-stainless-retry-count") == ["0"]
    assert original.all("anthropic-beta") == []
    assert [event for event, _ in proxy.announced] == ["upgrade_stopped"]
    assert (proxy.exchange(0).upgrade.resent, proxy.exchange(0).answer.status, proxy.exchange(0).upgrade.upgraded) == (
        True,
        200,
        0,
    )


def test_own_refusal_reads_as_an_api_error(sdk: Sdk, proxy: RunningProxy, upstream: Upstream) -> None:
    """
    What savemode itself refuses looks to the SDK like any bad request: a sentence, an id, no retry.
    """
    refused = sdk("create", f"{proxy.url}/nonsense", CALL).error

    assert (refused.type, refused.status) == ("BadRequestError", 400)
    assert "unknown product 'nonsense'" in refused.message
    assert (refused.request_id or "").startswith("req_sm_")
    assert upstream.received == []


def test_upstream_down(sdk: Sdk) -> None:
    """
    An upstream that is not there is a 502 with a sentence, after the SDK's own retries.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        nowhere = f"http://127.0.0.1:{free.getsockname()[1]}"

    with running_proxy(nowhere) as proxy:
        raised = sdk("create", proxy.url, CALL, max_retries=1).error

        assert (raised.status, raised.type) == (502, "InternalServerError")
        assert "cannot reach 127.0.0.1" in raised.message
        assert [one.answer.outcome for one in proxy.exchanges] == ["unreachable"] * 2
