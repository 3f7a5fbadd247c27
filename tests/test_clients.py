"""
The official SDK as a client of the real proxy: what it sends, what it gets, and what it makes of trouble.
"""

import asyncio
import gzip
import json
import socket
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest

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
    streamed_tool_use,
    streams,
    text,
    tool_use,
)
from tests.support.upstream import Received, RunningProxy, Upstream, reply, running_proxy

BARE = {"type": "ephemeral"}
ONE_HOUR = {"type": "ephemeral", "ttl": "1h"}
EXTENDED = "extended-cache-ttl-2025-04-11"
HELLO: list[Any] = [{"role": "user", "content": "hello"}]
CALL: dict[str, Any] = {"model": MODEL, "max_tokens": 64, "messages": HELLO}
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


def connected(url: str, **options: Any) -> anthropic.Anthropic:
    """
    The SDK's client, pointed at a base URL.
    """
    return anthropic.Anthropic(base_url=url, api_key="made-up", **options)


@pytest.fixture
def client(proxy: RunningProxy) -> Iterator[anthropic.Anthropic]:
    """
    The SDK behind the proxy; no flag, so the gate is closed.
    """
    with connected(proxy.url) as ready:
        yield ready


@pytest.fixture
def flagged(proxy: RunningProxy) -> Iterator[anthropic.Anthropic]:
    """
    The SDK behind the proxy, with the flag that opens the gate.
    """
    with connected(proxy.url, default_headers=FLAG) as ready:
        yield ready


def parsed(received: Received) -> dict[str, Any]:
    """
    The body that reached the upstream.
    """
    read: dict[str, Any] = json.loads(received.body)
    return read


def headers(received: Received, *left_out: str) -> list[tuple[str, str]]:
    """
    The headers that reached the upstream, without those about the connection, in alphabetical order.
    """
    ignored = {"host", "connection", *left_out}
    return sorted((name.lower(), value) for name, value in received.headers if name.lower() not in ignored)


def test_message(client: anthropic.Anthropic, upstream: Upstream) -> None:
    """
    A plain call gives the message the upstream gave.
    """
    upstream.script = says(text("hé ☃"))

    got = client.messages.create(**CALL)

    assert got.content[0].to_dict() == text("hé ☃")
    assert (got.usage.input_tokens, got.usage.output_tokens) == (3, 1)
    assert (upstream.received[0].method, upstream.received[0].target) == ("POST", "/v1/messages")


def test_message_of_async_client(proxy: RunningProxy, upstream: Upstream) -> None:
    """
    The asynchronous client gets the same, many calls at once.
    """
    upstream.script = says(text("hello"))

    async def main() -> list[str]:
        async with anthropic.AsyncAnthropic(base_url=proxy.url, api_key="made-up") as client:
            got = await asyncio.gather(*(client.messages.create(**CALL) for _ in range(5)))
            return [one.id for one in got]

    assert asyncio.run(main()) == ["msg_1"] * 5


def test_nothing_differs_from_a_direct_call(client: anthropic.Anthropic, upstream: Upstream) -> None:
    """
    With the gate closed the upstream receives byte for byte and header for header what it receives without a proxy.
    """
    with connected(upstream.url) as direct:
        direct.messages.create(**MARKED)
    client.messages.create(**MARKED)

    without, through = upstream.received
    assert through.body == without.body
    assert headers(through) == headers(without)


def test_upgrade_differs_by_the_ttl_only(flagged: anthropic.Anthropic, upstream: Upstream) -> None:
    """
    With the gate open the bytes differ by the inserted TTLs, the headers by the beta and the length; the flag stays here.
    """
    with connected(upstream.url) as direct:
        direct.messages.create(**MARKED)
    flagged.messages.create(**MARKED)

    without, through = upstream.received
    assert through.body.count(b'"ttl":"1h"') == 3
    assert through.body.replace(b',"ttl":"1h"', b"") == without.body
    assert through.all("anthropic-beta") == [EXTENDED]
    assert through.all("content-length") == [str(len(through.body))]
    assert headers(through, "anthropic-beta", "content-length") == headers(without, "content-length")


def test_cache_control_stays_while_the_gate_is_closed(
    client: anthropic.Anthropic, upstream: Upstream, proxy: RunningProxy
) -> None:
    """
    Without the flag nothing is raised, and no beta is named.
    """
    client.messages.create(**MARKED)

    assert parsed(upstream.received[0]) == MARKED
    assert upstream.received[0].all("anthropic-beta") == []
    assert proxy.exchange().upgrade.upgraded == 0


def test_cache_control_is_raised_where_the_gate_is_open(
    flagged: anthropic.Anthropic, upstream: Upstream, proxy: RunningProxy
) -> None:
    """
    Tools, system and messages go out with one hour; a property of that name in a schema stays.
    """
    flagged.messages.create(**MARKED)

    sent = parsed(upstream.received[0])
    assert sent["tools"][0]["cache_control"] == ONE_HOUR
    assert sent["system"][0]["cache_control"] == ONE_HOUR
    assert sent["messages"][0]["content"][0]["cache_control"] == ONE_HOUR
    assert sent["tools"][0]["input_schema"] == TOOLS[0]["input_schema"]
    assert proxy.exchange().upgrade.upgraded == 3


def test_ttl_of_the_caller_stays(flagged: anthropic.Anthropic, upstream: Upstream) -> None:
    """
    Who asks for 5 minutes gets 5 minutes.
    """
    call = {**CALL, "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral", "ttl": "5m"}}]}

    flagged.messages.create(**call)

    assert parsed(upstream.received[0]) == call
    assert upstream.received[0].all("anthropic-beta") == []


def test_automatic_caching_is_raised(flagged: anthropic.Anthropic, upstream: Upstream) -> None:
    """
    The request's own `cache_control` is a breakpoint like any other.
    """
    flagged.messages.create(**CALL, cache_control={"type": "ephemeral"})

    assert parsed(upstream.received[0])["cache_control"] == ONE_HOUR


def test_stream_arrives_event_by_event(client: anthropic.Anthropic, upstream: Upstream, proxy: RunningProxy) -> None:
    """
    The upstream holds the second piece back until the client has the first: nothing in between waits for more.
    """
    go_on = upstream.event()
    events = streamed_text("hel", "lo")
    upstream.script = stalls_after(events[:4], go_on, events[4:])

    pieces = []
    with client.messages.stream(**CALL) as stream:
        for piece in stream.text_stream:
            pieces.append(piece)
            upstream.set(go_on)
        final = stream.get_final_message()

    assert pieces == ["hel", "lo"]
    assert final.content[0].to_dict() == text("hello")
    assert final.usage.output_tokens == 7
    assert (proxy.exchange().answer.outcome, proxy.exchange().answer.status) == ("ok", 200)


def test_stream_of_async_client(proxy: RunningProxy, upstream: Upstream) -> None:
    """
    The same for the asynchronous client.
    """
    go_on = upstream.event()
    events = streamed_text("hel", "lo")
    upstream.script = stalls_after(events[:4], go_on, events[4:])

    async def main() -> list[str]:
        pieces = []
        async with (
            anthropic.AsyncAnthropic(base_url=proxy.url, api_key="made-up") as client,
            client.messages.stream(**CALL) as stream,
        ):
            async for piece in stream.text_stream:
                pieces.append(piece)
                upstream.set(go_on)
        return pieces

    assert asyncio.run(main()) == ["hel", "lo"]


def test_upgraded_stream(flagged: anthropic.Anthropic, upstream: Upstream) -> None:
    """
    A streamed call is upgraded like any other.
    """
    upstream.script = streams(streamed_text("hello"))

    with flagged.messages.stream(**MARKED) as stream:
        assert stream.get_final_text() == "hello"

    assert upstream.received[0].body.count(b'"ttl":"1h"') == 3
    assert parsed(upstream.received[0])["stream"] is True


def test_tool_round_trip(flagged: anthropic.Anthropic, upstream: Upstream) -> None:
    """
    A tool's call and its result travel there and back; the input's keys keep their order, as the cache demands.
    """
    arguments = {"z": 1, "a": {"cache_control": {"type": "ephemeral"}}, "m": [1.50, "☃"]}
    upstream.script = answers(
        reply(json.dumps(message(tool_use("sh", arguments), stop_reason="tool_use")).encode()),
        reply(json.dumps(message(text("done"))).encode()),
    )
    question: Any = {"role": "user", "content": "Why is the build red?"}

    asked = flagged.messages.create(model=MODEL, max_tokens=64, tools=TOOLS, messages=[question])
    result: dict[str, Any] = {
        "type": "tool_result",
        "tool_use_id": asked.content[0].to_dict()["id"],
        "content": [{"type": "text", "text": "error 1", "cache_control": BARE}],
    }
    turns: list[Any] = [
        question,
        {"role": "assistant", "content": asked.content},
        {"role": "user", "content": [result]},
    ]
    done = flagged.messages.create(model=MODEL, max_tokens=64, tools=TOOLS, messages=turns)

    assert done.content[0].to_dict()["text"] == "done"
    _, assistant, user = parsed(upstream.received[1])["messages"]
    assert json.dumps(assistant["content"][0]["input"]) == json.dumps(arguments)
    assert user["content"][0]["content"][0]["cache_control"] == ONE_HOUR


def test_streamed_tool_input(client: anthropic.Anthropic, upstream: Upstream) -> None:
    """
    A tool's input that comes in pieces is whole at the end.
    """
    upstream.script = streams(streamed_tool_use("sh", '{"cmd": "ma', 'ke", "n": 1}'))

    with client.messages.stream(**CALL) as stream:
        final = stream.get_final_message()

    assert final.content[0].to_dict()["input"] == {"cmd": "make", "n": 1}
    assert final.stop_reason == "tool_use"


def test_count_tokens(flagged: anthropic.Anthropic, upstream: Upstream, proxy: RunningProxy) -> None:
    """
    Counting is passed on as it is, markers and all.
    """
    upstream.script = answers(reply(b'{"input_tokens": 14}'))
    call = {name: value for name, value in MARKED.items() if name != "max_tokens"}

    assert flagged.messages.count_tokens(**call).input_tokens == 14
    assert upstream.received[0].target == "/v1/messages/count_tokens"
    assert parsed(upstream.received[0]) == call
    assert [skip.code for skip in proxy.exchange().upgrade.skips] == ["count-tokens"]


def test_models(client: anthropic.Anthropic, upstream: Upstream) -> None:
    """
    The list of models is passed on with its query.
    """
    page = {
        "data": [{"type": "model", "id": MODEL, "display_name": "Opus", "created_at": "2026-11-01T00:00:00Z"}],
        "has_more": False,
        "first_id": MODEL,
        "last_id": MODEL,
    }
    upstream.script = answers(reply(json.dumps(page).encode()))

    assert [one.id for one in client.models.list(limit=3)] == [MODEL]
    assert (upstream.received[0].method, upstream.received[0].target) == ("GET", "/v1/models?limit=3")


@pytest.mark.parametrize(
    ("status", "api_type", "expected"),
    [
        ("400 Bad Request", "invalid_request_error", anthropic.BadRequestError),
        ("401 Unauthorized", "authentication_error", anthropic.AuthenticationError),
        ("402 Payment Required", "billing_error", anthropic.APIStatusError),
        ("403 Forbidden", "permission_error", anthropic.PermissionDeniedError),
        ("404 Not Found", "not_found_error", anthropic.NotFoundError),
        ("409 Conflict", "conflict_error", anthropic.ConflictError),
        ("413 Payload Too Large", "request_too_large", anthropic.APIStatusError),
        ("429 Too Many Requests", "rate_limit_error", anthropic.RateLimitError),
        ("500 Internal Server Error", "api_error", anthropic.InternalServerError),
        ("504 Gateway Timeout", "timeout_error", anthropic.InternalServerError),
        ("529 Overloaded", "overloaded_error", anthropic.InternalServerError),
    ],
)
def test_error_of_the_upstream(
    proxy: RunningProxy,
    upstream: Upstream,
    status: str,
    api_type: str,
    expected: type[anthropic.APIStatusError],
) -> None:
    """
    Every status raises what it raises without the proxy, with the upstream's own words and request id.
    """
    upstream.script = answers(refusal(status, api_type, "the upstream's words"))

    with connected(proxy.url, max_retries=0) as client, pytest.raises(expected) as raised:
        client.messages.create(**CALL)
    with connected(upstream.url, max_retries=0) as direct, pytest.raises(expected) as without:
        direct.messages.create(**CALL)

    assert raised.value.status_code == int(status[:3])
    assert raised.value.body == {
        "type": "error",
        "error": {"type": api_type, "message": "the upstream's words"},
        "request_id": "req_up",
    }
    assert raised.value.request_id == "req_up"
    assert (type(raised.value), str(raised.value)) == (type(without.value), str(without.value))
    assert (proxy.exchange().answer.outcome, proxy.exchange().answer.upstream_request_id) == (
        "upstream_error",
        "req_up",
    )


def test_error_that_is_not_json(proxy: RunningProxy, upstream: Upstream) -> None:
    """
    A page of HTML from something in between arrives as it is.
    """
    upstream.script = answers(reply(b"<html>blocked</html>", "403 Forbidden", (("content-type", "text/html"),)))

    with connected(proxy.url) as client, pytest.raises(anthropic.PermissionDeniedError) as raised:
        client.messages.create(**CALL)

    assert raised.value.response.text == "<html>blocked</html>"


def test_error_in_a_stream(client: anthropic.Anthropic, upstream: Upstream) -> None:
    """
    An `error` event raises, after the pieces before it have arrived.
    """
    upstream.script = streams([*streamed_text("hel")[:4], failure("overloaded_error", "too busy")])

    pieces: list[str] = []
    with pytest.raises(anthropic.APIStatusError) as raised, client.messages.stream(**CALL) as stream:
        pieces.extend(stream.text_stream)

    assert pieces == ["hel"]
    assert raised.value.body == failure("overloaded_error", "too busy")


def test_stream_that_breaks_off(client: anthropic.Anthropic, upstream: Upstream, proxy: RunningProxy) -> None:
    """
    A stream that the upstream cuts in the middle is an error for the client too, never a short but whole answer.
    """

    async def script(_received: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(head() + b"".join(chunk(sse(event)) for event in streamed_text("hel", "lo")[:4]))
        await writer.drain()
        writer.close()

    upstream.script = script

    pieces: list[str] = []
    with pytest.raises(Exception, match=r"incomplete|closed") as raised, client.messages.stream(**CALL) as stream:
        pieces.extend(stream.text_stream)

    assert not isinstance(raised.value, AssertionError)
    assert pieces == ["hel"]
    assert proxy.exchange().answer.outcome == "broken"


def test_should_retry_false_is_obeyed(client: anthropic.Anthropic, upstream: Upstream) -> None:
    """
    The header that forbids a retry reaches the client: one attempt.
    """
    upstream.script = answers(
        refusal("429 Too Many Requests", "rate_limit_error", "no", x_should_retry="false", retry_after_ms="1")
    )

    with pytest.raises(anthropic.RateLimitError):
        client.messages.create(**CALL)

    assert len(upstream.received) == 1


@pytest.mark.parametrize("status", ["429 Too Many Requests", "500 Internal Server Error", "529 Overloaded"])
def test_client_retries_by_its_own_rule(client: anthropic.Anthropic, upstream: Upstream, status: str) -> None:
    """
    A bare error is tried three times by the SDK, and no attempt is added or swallowed in between.
    """
    upstream.script = answers(refusal(status, "api_error", "later", retry_after_ms="1"))

    with pytest.raises(anthropic.APIStatusError):
        client.messages.create(**CALL)

    assert [one.all("x-stainless-retry-count") for one in upstream.received] == [["0"], ["1"], ["2"]]


def test_retry_succeeds(flagged: anthropic.Anthropic, upstream: Upstream) -> None:
    """
    The attempt after a refusal is upgraded as the first one was.
    """
    busy = refusal("529 Overloaded", "overloaded_error", "later", retry_after_ms="1")
    upstream.script = answers(busy, reply(json.dumps(message(text("hello"))).encode()))

    assert flagged.messages.create(**MARKED).content[0].to_dict()["text"] == "hello"
    assert upstream.received[0].body == upstream.received[1].body
    assert upstream.received[0].body.count(b'"ttl":"1h"') == 3


def test_upstream_down() -> None:
    """
    An upstream that is not there is a 502 with a sentence, after the SDK's own retries.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        nowhere = f"http://127.0.0.1:{free.getsockname()[1]}"

    with (
        running_proxy(nowhere) as proxy,
        connected(proxy.url, max_retries=1) as client,
        pytest.raises(anthropic.APIStatusError) as raised,
    ):
        client.messages.create(**CALL)

    assert raised.value.status_code == 502
    assert "cannot reach 127.0.0.1" in str(raised.value)
    assert (raised.value.request_id or "").startswith("req_sm_")
    assert [one.answer.outcome for one in proxy.exchanges] == ["unreachable"] * 2


def test_closing_a_stream_hangs_up(client: anthropic.Anthropic, upstream: Upstream, proxy: RunningProxy) -> None:
    """
    Who leaves a stream stops paying for it: the upstream sees the connection close.
    """
    upstream.script = stalls_after(streamed_text("hel")[:4], upstream.event())

    with client.messages.stream(**CALL) as stream:
        assert next(iter(stream.text_stream)) == "hel"

    assert upstream.received[0].closed.wait(5)
    assert proxy.exchange().answer.outcome == "client_gone"


def test_headers_of_the_answer(client: anthropic.Anthropic, upstream: Upstream) -> None:
    """
    Rate limits, ids and whatever else the upstream says arrive under their names.
    """
    said = (
        ("content-type", "application/json"),
        ("request-id", "req_up"),
        ("anthropic-ratelimit-requests-remaining", "99"),
        ("anthropic-organization-id", "org"),
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
    )
    upstream.script = answers(reply(json.dumps(message(text("hello"))).encode(), headers=said))

    raw = client.messages.with_raw_response.create(**CALL)

    assert raw.parse().content[0].to_dict() == text("hello")
    assert raw.request_id == "req_up"
    assert [pair for pair in raw.headers.multi_items() if pair[0] != "content-length"] == list(said)


def test_gzip_answer(client: anthropic.Anthropic, upstream: Upstream) -> None:
    """
    A compressed answer arrives compressed, and the SDK reads it.
    """
    body = gzip.compress(json.dumps(message(text("hello " * 1000))).encode())
    compressed = (("content-type", "application/json"), ("content-encoding", "gzip"))
    upstream.script = answers(reply(body, headers=compressed))

    raw = client.messages.with_raw_response.create(**CALL)

    assert raw.headers["content-encoding"] == "gzip"
    assert int(raw.headers["content-length"]) == len(body)
    assert raw.parse().content[0].to_dict() == text("hello " * 1000)


def test_gzip_stream(client: anthropic.Anthropic, upstream: Upstream) -> None:
    """
    A compressed stream is neither unpacked nor broken.
    """
    packed = gzip.compress(b"".join(sse(event) for event in streamed_text("hel", "lo")))
    pieces = b"".join(chunk(packed[start : start + 50]) for start in range(0, len(packed), 50))
    upstream.script = answers(head(("content-encoding", "gzip")) + pieces + END)

    with client.messages.stream(**CALL) as stream:
        assert stream.get_final_text() == "hello"


@pytest.mark.parametrize(
    ("betas", "expected"),
    [
        (["context-1m-2025-08-07", "x-2026-01-01"], f"context-1m-2025-08-07,x-2026-01-01,{EXTENDED}"),
        ([EXTENDED, "x-2026-01-01"], f"{EXTENDED},x-2026-01-01"),
    ],
)
def test_betas(flagged: anthropic.Anthropic, upstream: Upstream, betas: list[str], expected: str) -> None:
    """
    The caller's betas stay in their order, ours comes behind them, once.
    """
    flagged.beta.messages.create(**MARKED, betas=betas)

    assert ",".join(upstream.received[0].all("anthropic-beta")) == expected


def test_query_stays(flagged: anthropic.Anthropic, upstream: Upstream, proxy: RunningProxy) -> None:
    """
    A call with a query, as coding agents make it, is a messages call like any other and keeps its query.
    """
    flagged.messages.create(**MARKED, extra_query={"beta": "true", "a b": "☃"})

    assert upstream.received[0].target == "/v1/messages?beta=true&a+b=%E2%98%83".replace("+", "%20")
    assert proxy.exchange().upgrade.upgraded == 3


def test_betas_stay_while_the_gate_is_closed(client: anthropic.Anthropic, upstream: Upstream) -> None:
    """
    Without an upgrade the caller's betas are all there is.
    """
    client.beta.messages.create(**MARKED, betas=["x-2026-01-01"])

    assert upstream.received[0].all("anthropic-beta") == ["x-2026-01-01"]


def test_refused_upgrade_is_no_error_for_the_client(
    flagged: anthropic.Anthropic, upstream: Upstream, proxy: RunningProxy
) -> None:
    """
    Where the upstream refuses the TTL, one call of the SDK is one success; the original went out behind it, once.
    """
    refused = refusal("400 Bad Request", "invalid_request_error", "system.0.cache_control.ttl: not permitted")
    upstream.script = answers(refused, reply(json.dumps(message(text("hello"))).encode()))

    got = flagged.messages.create(**MARKED)
    flagged.messages.create(**MARKED)

    assert got.content[0].to_dict() == text("hello")
    upgraded, original, later = upstream.received
    assert upgraded.body.replace(b',"ttl":"1h"', b"") == original.body == later.body
    assert original.all("x-stainless-retry-count") == ["0"]
    assert original.all("anthropic-beta") == []
    assert [event for event, _ in proxy.announced] == ["upgrade_stopped"]
    assert (proxy.exchange(0).upgrade.resent, proxy.exchange(0).answer.status, proxy.exchange(0).upgrade.upgraded) == (
        True,
        200,
        0,
    )
    assert [skip.code for skip in proxy.exchange(1).upgrade.skips] == ["stopped"]


def test_other_bad_request_is_the_clients(flagged: anthropic.Anthropic, upstream: Upstream) -> None:
    """
    A 400 about something else is not tried again.
    """
    upstream.script = answers(refusal("400 Bad Request", "invalid_request_error", "max_tokens: too large"))

    with pytest.raises(anthropic.BadRequestError, match="max_tokens: too large"):
        flagged.messages.create(**MARKED)

    assert len(upstream.received) == 1


def test_own_refusal_reads_as_an_api_error(proxy: RunningProxy, upstream: Upstream) -> None:
    """
    What savemode itself refuses looks to the SDK like any bad request: a sentence, an id, no retry.
    """
    with (
        connected(f"{proxy.url}/nonsense") as client,
        pytest.raises(anthropic.BadRequestError, match="unknown product 'nonsense'") as raised,
    ):
        client.messages.create(**CALL)

    assert (raised.value.request_id or "").startswith("req_sm_")
    assert upstream.received == []


def test_product_in_the_base_url(proxy: RunningProxy, upstream: Upstream) -> None:
    """
    A product in the base URL names the caller, and the upstream never sees it.
    """
    with connected(f"{proxy.url}/twig") as client:
        client.messages.create(**CALL)

    assert upstream.received[0].target == "/v1/messages"
    assert proxy.exchange().call.product == "posthog_code"


@pytest.mark.parametrize("given", ["api_key", "auth_token"])
def test_credentials_reach_the_upstream_and_nothing_else(proxy: RunningProxy, upstream: Upstream, given: str) -> None:
    """
    Whichever header the SDK puts a credential in, it goes to the upstream and into no record.
    """
    credential: dict[str, Any] = {given: "made-up-secret"}
    with anthropic.Anthropic(base_url=proxy.url, **credential) as client:
        client.messages.create(**CALL)

    sent = [value for key in ("x-api-key", "authorization") for value in upstream.received[0].all(key)]
    assert sent in (["made-up-secret"], ["Bearer made-up-secret"])
    assert "made-up-secret" not in json.dumps(proxy.exchange().to_json())


def test_subscription_is_left_alone(proxy: RunningProxy, upstream: Upstream) -> None:
    """
    A subscription's token is told by its look, and its traffic stays as it is.
    """
    token = "sk-ant-oat" + "-made-up"
    with anthropic.Anthropic(base_url=proxy.url, auth_token=token, default_headers=FLAG) as client:
        client.messages.create(**MARKED)

    assert parsed(upstream.received[0]) == MARKED
    assert [skip.code for skip in proxy.exchange().upgrade.skips] == ["oauth"]
