"""
Money over real sockets: what a client gets, what the ledger stores, what the record says.

Prices of claude-opus-5-5 (https://platform.claude.com/docs/en/about-claude/pricing): $4 input, $20 output, $5 and $8
cache writes, $0.20 reads per million tokens, so a token costs 4,000, 20,000, 5,000, 8,000 and 200 nano-dollars.
"""

import asyncio
import gzip
import http.client
import json
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anthropic
import pytest

from savemode_cli.core.budget.admission import Balance
from savemode_cli.core.budget.budget import Budget
from savemode_cli.core.budget.charge import Basis, Settlement
from savemode_cli.core.budget.ledger import reserve, settle
from savemode_cli.core.exchange.summary import Summary
from savemode_cli.core.money.amounts import dollars
from savemode_cli.core.wire.usage import Tokens, Usage
from savemode_cli.ledgers import open_ledger
from savemode_cli.views.logfmt import logfmt
from tests.conftest import FLAG
from tests.support.calling import BUDGET_PREFIX, CALL, send
from tests.support.processes import post, serving
from tests.support.streams import (
    END,
    MODEL,
    Event,
    answers,
    chunk,
    failure,
    head,
    message,
    sse,
    stalls_after,
    streamed_text,
    streams,
    text,
)
from tests.support.upstream import Received, RunningProxy, Script, Upstream, error, reply, running_proxy
from tests.support.waiting import until

BARE = {"type": "ephemeral"}
MARKED: dict[str, Any] = {**CALL, "system": [{"type": "text", "text": "Be careful.", "cache_control": BARE}]}
STREAMED = {**CALL, "stream": True}
OVERRIDE = {"x-posthog-budget-override": "true"}
PLAIN = 32_000
"""The cost of the upstream's fixed answer: 3 tokens of input and 1 of output, 3 x 4,000 + 20,000."""
STREAM = 152_000
"""The cost of a whole stream of `streamed_text`: 3 tokens of input and 7 of output, 3 x 4,000 + 7 x 20,000."""


@contextmanager
def hanging_up(proxy: RunningProxy, call: dict[str, Any], until: bytes = b"") -> Iterator[None]:
    """
    A request whose client closes the connection at the end of the block; the block begins when `until` has come.
    """
    body = json.dumps(call).encode()
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=20) as client:
        lines = f"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n\r\n"
        client.sendall(lines.encode() + body)
        seen = b""
        while until not in seen:
            seen += client.recv(65_536)
        yield


def balance(proxy: RunningProxy, name: str = "default") -> Balance:
    """
    The balance of the shared budget this month.
    """
    now = datetime.now(UTC)
    return proxy.ledger.balance(Budget(name, 0).key("", now), now)


def resets_at() -> datetime:
    """
    The first of the next month, UTC.
    """
    return Budget("default", 0).resets_at(datetime.now(UTC))


def spend(proxy: RunningProxy, nusd: int) -> None:
    """
    Charge the shared budget with this amount.
    """
    from savemode_cli.core.budget.admission import Hold

    now = datetime.now(UTC)
    reserve(proxy.ledger, Hold("before", (Budget("default", 0).key("", now),), 0, now), [], now)
    settle(proxy.ledger, "before", nusd, "reported", now)


def ledger_holds(proxy: RunningProxy, number: int) -> Callable[[], bool]:
    """
    Whether the ledger has this many open holds.
    """
    return lambda: len(proxy.ledger.holds(datetime.now(UTC))) == number


def used(**counters: Any) -> bytes:
    """
    A whole message with this usage.
    """
    return reply(json.dumps(message(text("hello"), usage=counters)).encode())


def cut(*events: Event, junk: bytes = b"") -> Script:
    """
    The script of a stream that ends well as HTTP, and in the midst of the answer, after some junk.
    """
    return answers(head() + b"".join(chunk(sse(event)) for event in events) + (chunk(junk) if junk else b"") + END)


# --- refused -----------------------------------------------------------------------------------------------------------


def test_refusal_is_exactly_as_promised(spent: RunningProxy, upstream: Upstream) -> None:
    """
    429 in the API's error format, with the request ID twice, cap, spend, reset, the ways out, and no retry; nothing is
    forwarded, held or charged.
    """
    answer = send(spent)
    one = spent.exchange(2)

    assert answer.status == 429
    assert json.loads(answer.body) == {
        "type": "error",
        "error": {
            "type": "budget_exceeded",
            "message": (
                f"out of budget: spend limit reached (monthly; resets {resets_at():%Y-%m-%d} 00:00 UTC). $0.00006 of "
                '$0.00005 is spent in budget "default". To go on now: restart savemode with a larger cap or send the header '
                "x-posthog-budget-override: true."
            ),
        },
        "request_id": one.id,
    }
    assert sorted(answer.headers) == sorted(
        {
            "content-type": "application/json",
            "content-length": str(len(answer.body)),
            "request-id": one.id,
            "x-should-retry": "false",
            BUDGET_PREFIX: "exceeded",
            f"{BUDGET_PREFIX}-remaining-usd": "0.00",
            f"{BUDGET_PREFIX}-state": "blocked",
            f"{BUDGET_PREFIX}-recommended-mode": "max_save",
            f"{BUDGET_PREFIX}-resets-at": f"{resets_at():%Y-%m-%dT%H:%M:%SZ}",
        }.items()
    )
    assert len(upstream.received) == 2
    assert (one.answer.outcome, one.answer.status, one.bill.settlement, one.bill.usage) == (
        "refused",
        429,
        Settlement(0, "none"),
        None,
    )
    assert balance(spent) == Balance(settled_nusd=2 * PLAIN)


def test_running_answer_is_not_cut(upstream: Upstream) -> None:
    """
    If the cap is reached during a stream, the stream continues to its end, and the next request is refused.
    """
    go_on = upstream.event()
    events = streamed_text("hel", "lo")
    with running_proxy(upstream.url, budget_nusd=1_000_000_000) as proxy:
        upstream.script = stalls_after(events[:4], go_on, events[4:])
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(send, proxy, STREAMED)
            until(lambda: len(upstream.received) == 1)
            spend(proxy, 1_000_000_000)
            assert send(proxy).status == 429
            upstream.set(go_on)
            assert b"message_stop" in running.result().body

        assert proxy.exchange(1).bill.settlement == Settlement(STREAM, "reported")


# --- free, batches, overrides ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/messages/count_tokens"),
        ("GET", "/v1/models"),
        ("HEAD", "/v1/messages"),
        ("HEAD", "/"),
        ("GET", "/v1/messages/batches"),
        ("GET", "/v1/messages/batches/msgbatch_1/results"),
        ("POST", "/v1/messages/batches/msgbatch_1/cancel"),
    ],
)
def test_free_calls_pass_at_the_cap(spent: RunningProxy, upstream: Upstream, method: str, path: str) -> None:
    """
    A free call is neither refused nor charged, and its answer has the state of the budget.
    """
    if method == "HEAD":
        upstream.script = answers(reply(b""))
    answer = send(spent, path=path, method=method)

    assert answer.status == 200
    assert (answer.budget[""], answer.budget["remaining-usd"], answer.budget["state"]) == (
        "exceeded",
        "0.00",
        "blocked",
    )
    one = spent.exchange(2)
    assert (one.answer.outcome, one.bill.settlement, one.bill.cost_nusd) == ("ok", None, None)
    assert balance(spent) == Balance(settled_nusd=2 * PLAIN)


def test_batches(spent: RunningProxy, upstream: Upstream) -> None:
    """
    A batch is refused past the cap like a call; below it, it passes, and nothing is held for it.
    """
    answer = send(spent, path="/v1/messages/batches")
    assert (answer.status, answer["x-should-retry"]) == (429, "false")
    assert spent.exchange(2).answer.outcome == "refused"
    assert len(upstream.received) == 2

    spent.ledger.set_budget(Budget("default", 10**9))
    assert send(spent, path="/v1/messages/batches").status == 200
    assert balance(spent) == Balance(settled_nusd=2 * PLAIN)


def test_override_is_allowed_labelled_and_charged(spent: RunningProxy, upstream: Upstream) -> None:
    """
    The header allows one request, without a remaining amount; the header is not forwarded.
    """
    answer = send(spent, **OVERRIDE)

    assert answer.status == 200
    assert (answer.budget[""], "remaining-usd" in answer.budget) == ("override", False)
    assert spent.exchange(2).bill.settlement == Settlement(PLAIN, "reported")
    assert balance(spent) == Balance(settled_nusd=3 * PLAIN)
    assert [one.override for one in spent.ledger.charges()] == [False, False, True]
    assert upstream.received[-1].all("x-posthog-budget-override") == []
    assert send(spent).status == 429


def test_allow_lifts_the_cap_for_a_while(spent: RunningProxy) -> None:
    """
    What another command sets in the ledger counts for the next request, and ends.
    """
    spent.ledger.allow(datetime.now(UTC) + timedelta(hours=1))
    assert send(spent).budget[""] == "override"
    assert send(spent, path="/v1/messages/batches").status == 200

    spent.ledger.allow(datetime.now(UTC))
    assert send(spent).status == 429
    assert balance(spent).settled_nusd == 3 * PLAIN


def test_raised_budget_counts_at_once(spent: RunningProxy) -> None:
    """
    Raised while the proxy runs: the next request goes through; lowered: it does not.
    """
    assert send(spent).status == 429
    spent.ledger.set_budget(Budget("default", 64_001))
    assert send(spent).status == 200
    spent.exchange(3)
    assert send(spent).status == 429


# --- headers -----------------------------------------------------------------------------------------------------------


def test_budget_headers_of_every_status(upstream: Upstream) -> None:
    """
    Two decimals rounded down, and the guard's and the client's scale about the same spend.

    Of $1: nothing, 70 %, 85 % and a nano-dollar less, used.
    """
    with running_proxy(upstream.url, budget_nusd=1_000_000_000) as proxy:
        told = [send(proxy, path="/v1/models", method="GET").budget]
        spend(proxy, 700_000_000)
        told.append(send(proxy, path="/v1/models", method="GET").budget)
        for limit in (823_529_413, 823_529_411):  # of which 700,000,000 is just below, and just above 85 %
            proxy.ledger.set_budget(Budget("default", limit))
            told.append(send(proxy, path="/v1/models", method="GET").budget)

    end = f"{resets_at():%Y-%m-%dT%H:%M:%SZ}"
    assert [(one[""], one["remaining-usd"], one["state"], one["recommended-mode"]) for one in told] == [
        ("ok", "1.00", "ok", "off"),
        ("ok", "0.30", "warn", "balanced"),
        ("ok", "0.12", "warn", "balanced"),
        ("warn", "0.12", "engage", "max_save"),
    ]
    assert {one["resets-at"] for one in told} == {end}


def test_upstream_error_is_passed_byte_for_byte_and_free(upstream: Upstream) -> None:
    """
    4xx and 5xx are forwarded unchanged, with the budget headers, and cost nothing.
    """
    with running_proxy(upstream.url, budget_nusd=10**9) as proxy:
        for status in ("400 Bad Request", "401 Unauthorized", "429 Too Many Requests", "500 Oops", "529 Overloaded"):
            sent = error("some_error", "words ☃", status)
            upstream.script = answers(sent)

            answer = send(proxy)

            assert (str(answer.status), answer.body) == (status[:3], sent.partition(b"\r\n\r\n")[2])
            assert (answer.budget[""], answer["x-should-retry"]) == ("ok", None)
        proxy.exchange(4)

        assert {(one.answer.outcome, one.bill.settlement) for one in proxy.exchanges} == {
            ("upstream_error", Settlement(0, "none"))
        }
        assert balance(proxy) == Balance()


def test_unreachable_is_free() -> None:
    """
    The upstream did not answer, so nothing is billed. The 502 of the proxy has the budget headers too.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        nowhere = f"http://127.0.0.1:{free.getsockname()[1]}"

    with running_proxy(nowhere, budget_nusd=10**9) as proxy:
        answer = send(proxy)
        one = proxy.exchange()

        assert (answer.status, json.loads(answer.body)["error"]["type"]) == (502, "api_error")
        assert (answer.budget[""], answer.budget["remaining-usd"]) == ("ok", "1.00")
        assert (one.answer.outcome, one.bill.settlement) == ("unreachable", Settlement(0, "none"))
        assert balance(proxy) == Balance()


def test_budget_of_the_upstream_stays_there(upstream: Upstream) -> None:
    """
    If the upstream is a gateway too, a client gets each budget header once, from this proxy.
    """
    theirs = (
        ("content-type", "application/json"),
        ("X-PostHog-Budget", "exceeded"),
        ("x-posthog-budget-remaining-usd", "99.00"),
        ("x-posthog-budget-made-up", "x"),
    )
    upstream.script = answers(reply(headers=theirs))

    with running_proxy(upstream.url, budget_nusd=10**9) as proxy:
        answer = send(proxy)

    assert answer.budget[""] == "ok"
    assert answer.budget["remaining-usd"] == "1.00"
    assert "made-up" not in answer.budget


def test_without_a_budget_there_are_no_headers(proxy: RunningProxy) -> None:
    """
    Spend is counted anyway.
    """
    assert send(proxy).budget == {}
    assert proxy.exchange().bill.settlement == Settlement(PLAIN, "reported")
    assert balance(proxy) == Balance(settled_nusd=PLAIN)


def test_bad_header_is_free(upstream: Upstream) -> None:
    """
    A request that we answer ourselves because of a header of ours holds and costs nothing.
    """
    with running_proxy(upstream.url, budget_nusd=10**9) as proxy:
        assert send(proxy, x_posthog_provider="nobody").status == 400
        assert (proxy.exchange().answer.outcome, proxy.exchange().bill.cost_nusd) == ("refused", None)
        assert balance(proxy) == Balance()


# --- what it costs -----------------------------------------------------------------------------------------------------

LARGE = {
    "input_tokens": 100,
    "cache_creation_input_tokens": 5_000,
    "cache_read_input_tokens": 7_000,
    "cache_creation": {"ephemeral_5m_input_tokens": 2_000, "ephemeral_1h_input_tokens": 3_000},
    "output_tokens": 40,
}
LARGE_NUSD = 36_600_000
"""100 x 4,000 + 2,000 x 5,000 + 3,000 x 8,000 + 7,000 x 200 + 40 x 20,000 = 36,600,000."""


def large_stream() -> list[Event]:
    """
    The same usage in a stream: its input in the first event, its output in the last.
    """
    first, *middle, last, stop = streamed_text("hel", "lo")
    first["message"]["usage"] = {**LARGE, "output_tokens": 1}
    last["usage"] = {"output_tokens": 40}
    return [first, *middle, last, stop]


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("stream", [False, True], ids=["json", "sse"])
def test_metering(proxy: RunningProxy, upstream: Upstream, stream: bool, compressed: bool) -> None:
    """
    Usage is read from every kind of answer while it passes, with both TTLs apart, and the bytes are unchanged.
    """
    body = b"".join(map(sse, large_stream())) if stream else json.dumps(message(text("x"), usage=LARGE)).encode()
    body = gzip.compress(body) if compressed else body
    headers = (("content-type", "text/event-stream" if stream else "application/json"),)
    upstream.script = answers(reply(body, headers=headers + ((("content-encoding", "gzip"),) if compressed else ())))

    answer = send(proxy, STREAMED if stream else CALL)
    one = proxy.exchange()

    assert answer.body == body
    assert one.bill.usage == Usage(Tokens(100, 2_000, 3_000, 7_000, 40))
    assert (one.bill.settlement, one.bill.price_state) == (Settlement(LARGE_NUSD, "reported"), "exact")
    assert balance(proxy) == Balance(settled_nusd=LARGE_NUSD)


def test_split_that_is_missing_is_5m(proxy: RunningProxy, upstream: Upstream) -> None:
    """
    An old answer has only the total of its cache writes: 10 x 5,000 + 4,000.
    """
    upstream.script = answers(used(input_tokens=1, cache_creation_input_tokens=10, output_tokens=0))

    send(proxy)

    assert proxy.exchange().bill.settlement == Settlement(54_000, "reported")


def test_reported_zero_is_a_value(proxy: RunningProxy, upstream: Upstream) -> None:
    """
    An answer that cost nothing is charged nothing, not what was held.
    """
    upstream.script = answers(used(input_tokens=0, output_tokens=0))

    send(proxy)

    assert proxy.exchange().bill.settlement == Settlement(0, "reported")


def test_unknown_model(upstream: Upstream) -> None:
    """
    Allowed, at a price no known one exceeds, announced once, and marked in its line.
    """
    upstream.script = answers(reply(json.dumps(message(text("x"), model="claude-next")).encode()))
    with running_proxy(upstream.url, budget_nusd=10**12) as proxy:
        for _ in range(2):
            assert send(proxy, {**CALL, "model": "claude-next"}).status == 200
        one = proxy.exchange(1)

        assert one.bill.price_state == "unpriced"
        assert one.bill.cost_nusd is not None
        assert one.bill.cost_nusd >= 3 * 15_000 + 75_000  # claude-3-opus, the dearest on the price page: $15 and $75
        assert balance(proxy) == Balance(settled_nusd=2 * one.bill.cost_nusd)
        assert [event for event, _ in proxy.announced] == ["model_unpriced"]
        assert "claude-next" in proxy.announced[0][1]
        assert " price=unpriced " in logfmt(one)


def test_huge_usage_does_not_lose_the_record(upstream: Upstream) -> None:
    """
    Counters that no ledger can keep the cost of are charged at the most there is; the request is recorded.
    """
    upstream.script = answers(used(input_tokens=2**53, output_tokens=1))
    with running_proxy(upstream.url, budget_nusd=10**9) as proxy:
        assert send(proxy).status == 200
        assert proxy.exchange().bill.settlement == Settlement(2**53 - 1, "reported")
        assert send(proxy).status == 429


def test_huge_request_is_judged(upstream: Upstream) -> None:
    """
    A `max_tokens` that no ledger can hold the cost of is refused like any other that is too large.
    """
    with running_proxy(upstream.url, budget_nusd=10**9, strict=True) as proxy:
        answer = send(proxy, {**CALL, "max_tokens": 10**15})

        assert answer.status == 429
        assert b"this request could cross the spend limit" in answer.body
        assert upstream.received == []


# --- cut short ---------------------------------------------------------------------------------------------------------


def test_client_leaves_in_mid_stream(upstream: Upstream) -> None:
    """
    Reported input and estimated output: 3 x 4,000, and 9 characters, which are 3 tokens of 20,000.
    """
    upstream.script = stalls_after(streamed_text("nine char")[:4], upstream.event())
    with running_proxy(upstream.url, budget_nusd=10**9) as proxy:
        with hanging_up(proxy, STREAMED, until=b"nine char"):
            assert balance(proxy).held_nusd > 0
        one = proxy.exchange()

        assert (one.answer.outcome, one.bill.settlement) == ("client_gone", Settlement(72_000, "estimated"))
        assert balance(proxy) == Balance(settled_nusd=72_000)
        assert one.bill.receipt is not None
        assert (one.bill.receipt.cost_nusd, one.bill.receipt.basis) == (72_000, "estimated")


def test_client_leaves_before_anything_was_reported(upstream: Upstream) -> None:
    """
    The cost is unknown, so the held amount is charged.
    """
    upstream.script = stalls_after([{"type": "ping"}], upstream.event())
    with running_proxy(upstream.url, budget_nusd=10**9) as proxy:
        with hanging_up(proxy, STREAMED, until=b"ping"):
            held = balance(proxy).held_nusd
        one = proxy.exchange()

        assert held > 0
        assert (one.answer.outcome, one.bill.settlement) == ("client_gone", Settlement(held, "held"))
        assert balance(proxy) == Balance(settled_nusd=held)


def test_client_leaves_before_the_head(upstream: Upstream) -> None:
    """
    The same where the upstream has not even begun to answer.
    """
    never = upstream.event()

    async def script(_received: Received, _writer: asyncio.StreamWriter) -> None:
        await never.wait()

    upstream.script = script
    with running_proxy(upstream.url, budget_nusd=10**9) as proxy:
        with hanging_up(proxy, STREAMED):
            until(lambda: len(upstream.received) == 1)
            time.sleep(0.1)
            held = balance(proxy).held_nusd
        one = proxy.exchange()

        assert (one.answer.outcome, one.bill.settlement) == ("client_gone", Settlement(held, "held"))
        assert balance(proxy) == Balance(settled_nusd=held)


def test_client_leaves_without_streaming(upstream: Upstream) -> None:
    """
    The call is billed anyway, so it is finished, and the real bill is charged.
    """
    go_on = upstream.event()

    async def script(_received: Received, writer: asyncio.StreamWriter) -> None:
        await go_on.wait()
        writer.write(reply())

    upstream.script = script
    with running_proxy(upstream.url, budget_nusd=10**9) as proxy:
        with hanging_up(proxy, CALL):
            until(lambda: len(upstream.received) == 1)
        time.sleep(0.2)
        assert balance(proxy).held_nusd > 0
        upstream.set(go_on)

        assert (proxy.exchange().answer.outcome, proxy.exchange().bill.settlement) == (
            "ok",
            Settlement(PLAIN, "reported"),
        )
        assert balance(proxy) == Balance(settled_nusd=PLAIN)
        assert not upstream.received[0].closed.is_set()


@pytest.mark.parametrize(
    "script",
    [
        answers(reply(b"<html>hello</html>", headers=(("content-type", "text/html"),))),
        answers(reply(b'{"type":"message"}')),
        cut(junk=b"event: message_start\ndata: {nonsense\n\n"),
        cut(junk=b"\x00\xff" * 50),
    ],
    ids=["html", "no-usage", "bad-start", "bytes"],
)
def test_garbage(upstream: Upstream, script: Script) -> None:
    """
    An answer that is not an answer of the API is forwarded unchanged and charged as held, because its cost is unknown.
    """
    upstream.script = script
    with running_proxy(upstream.url, budget_nusd=10**9) as proxy:
        assert send(proxy, STREAMED).status == 200
        one = proxy.exchange()

        assert one.answer.outcome == "broken"
        assert one.bill.settlement is not None
        assert (one.bill.settlement.basis, one.bill.settlement.nusd > 0) == ("held", True)
        assert balance(proxy) == Balance(settled_nusd=one.bill.settlement.nusd)


def test_garbage_in_mid_stream(upstream: Upstream) -> None:
    """
    Once an answer is not readable any more its output cannot be estimated: never charged less than was held.
    """
    events = streamed_text("hel", "lo " * 10_000)
    upstream.script = cut(*events[:3], junk=b"event: message_delta\ndata: {message_delta\n\n" + sse(events[4]))
    with running_proxy(upstream.url, budget_nusd=10**9) as proxy:
        send(proxy, STREAMED)
        one = proxy.exchange()

        assert (one.answer.outcome, one.bill.settlement and one.bill.settlement.basis) == ("broken", "held")
        assert one.bill.cost_nusd is not None
        assert one.bill.cost_nusd > 64 * 20_000  # what was held: the whole of `max_tokens` and more


@pytest.mark.parametrize(
    ("events", "nusd", "basis"),
    [
        (4, 3 * 4_000 + 20_000, "estimated"),
        (6, STREAM, "reported"),
    ],
    ids=["in-the-text", "behind-the-last-count"],
)
def test_stream_that_breaks_off(upstream: Upstream, events: int, nusd: int, basis: Basis) -> None:
    """
    Cut by the upstream behind its usage: the reported input and the estimated output, as after a hang-up, or the bill
    where the last count had come. A client that tries again at once is not charged its hold each time.
    """

    async def script(_received: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(head() + b"".join(chunk(sse(event)) for event in streamed_text("hel")[:events]))
        await writer.drain()
        writer.close()

    upstream.script = script
    with running_proxy(upstream.url, budget_nusd=10**9) as proxy:
        for _ in range(2):
            with pytest.raises(http.client.IncompleteRead):
                send(proxy, STREAMED)
        one = proxy.exchange(1)

        assert (one.answer.outcome, one.bill.settlement) == ("broken", Settlement(nusd, basis))
        assert balance(proxy) == Balance(settled_nusd=2 * nusd)


def test_stream_that_breaks_off_before_its_usage(upstream: Upstream) -> None:
    """
    The cost is unknown: charged as held.
    """

    async def script(_received: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(head() + chunk(sse({"type": "ping"})))
        await writer.drain()
        writer.close()

    upstream.script = script
    with running_proxy(upstream.url, budget_nusd=10**9) as proxy:
        with pytest.raises(http.client.IncompleteRead):
            send(proxy, STREAMED)
        one = proxy.exchange()

        assert (one.answer.outcome, one.bill.settlement and one.bill.settlement.basis) == ("broken", "held")
        assert balance(proxy).held_nusd == 0
        assert one.bill.cost_nusd


def test_error_in_mid_stream(upstream: Upstream) -> None:
    """
    The API gave up after HTTP 200: what it had counted by then is billed, 3 x 4,000 and 3 characters for one of 20,000.
    """
    upstream.script = streams([*streamed_text("hel")[:4], failure("overloaded_error", "too busy")])
    with running_proxy(upstream.url, budget_nusd=10**9) as proxy:
        assert send(proxy, STREAMED).status == 200
        one = proxy.exchange()

        assert (one.answer.outcome, one.answer.status, one.bill.settlement) == (
            "upstream_error",
            200,
            Settlement(32_000, "estimated"),
        )
        assert "overloaded_error" in one.answer.error


def test_error_at_the_start_of_a_stream(upstream: Upstream) -> None:
    """
    The same before the model was reached: it is free, like a 529.
    """
    upstream.script = streams([failure("overloaded_error", "too busy")])
    with running_proxy(upstream.url, budget_nusd=10**9) as proxy:
        send(proxy, STREAMED)

        assert (proxy.exchange().answer.outcome, proxy.exchange().bill.settlement) == (
            "upstream_error",
            Settlement(0, "none"),
        )
        assert balance(proxy) == Balance()


# --- the ledger is not there -------------------------------------------------------------------------------------------


@contextmanager
def blocked(folder: Path) -> Iterator[tuple[str, Path]]:
    """
    The address of a ledger that cannot be opened, and the file that prevents it.
    """
    obstacle = folder / "in-the-way"
    obstacle.write_text("a file where a folder should be")
    yield f"sqlite:///{obstacle}/ledger.db", obstacle


def health(proxy: RunningProxy) -> dict[str, Any]:
    """
    The content of `/-/health`.
    """
    said: dict[str, Any] = json.loads(send(proxy, path="/-/health", method="GET").body)
    return said


def test_ledger_unavailable_and_open(upstream: Upstream, tmp_path: Path) -> None:
    """
    Requests go through with status `unknown`, a person is told once, and `/-/health` says why and what is not entered yet.
    When the ledger is back that is told too, every bill is in it, and the cap holds, as it did in memory.
    """
    with (
        blocked(tmp_path) as (url, obstacle),
        running_proxy(upstream.url, budget_nusd=2 * PLAIN, ledger=url, fail="open") as proxy,
    ):
        for call in ({}, {"path": "/v1/models", "method": "GET"}, {}):
            answer = send(proxy, **call)
            assert (answer.status, answer.budget) == (200, {"": "unknown"})
        assert [event for event, _ in proxy.announced] == ["ledger_unavailable"]
        assert proxy.announced[0][1].endswith(
            "until it answers, requests are allowed, and their bills are kept in memory"
        )
        assert proxy.exchange(2).bill.settlement == Settlement(PLAIN, "reported")
        said = health(proxy)
        assert "cannot open the ledger" in said["ledger"]
        assert said["unwritten"] == {"calls": 2, "nusd": 2 * PLAIN}
        assert send(proxy).status == 429

        obstacle.unlink()
        until(lambda: len(proxy.announced) > 1)
        assert proxy.announced[1:] == [("ledger_back", "the budget ledger answers again; 2 bills of <$0.0001 entered")]
        assert (health(proxy)["ledger"], health(proxy)["unwritten"]) == ("ok", {"calls": 0, "nusd": 0})
        assert balance(proxy) == Balance(settled_nusd=2 * PLAIN)
        assert send(proxy).status == 429


def test_ledger_that_fails_and_recovers(upstream: Upstream, tmp_path: Path) -> None:
    """
    If a ledger fails while the proxy runs, the last known budgets say that there is a cap, and no state is claimed.
    """
    with running_proxy(upstream.url, budget_nusd=10**9, ledger=f"sqlite:///{tmp_path}/l.db") as proxy:
        assert send(proxy).budget[""] == "ok"
        proxy.exchange(0)
        ledger, proxy.books = proxy.ledger, open_ledger(f"sqlite:///{tmp_path}/l.db")
        ledger.close()

        assert (send(proxy).budget, send(proxy).status) == ({"": "unknown"}, 200)
        proxy.exchange(2)
        assert [event for event, _ in proxy.announced] == ["ledger_unavailable"]
        assert balance(proxy) == Balance(settled_nusd=PLAIN)
        proxy.ledger.close()


def test_ledger_unavailable_and_closed(upstream: Upstream, tmp_path: Path) -> None:
    """
    Told to fail closed: 429, not to be retried, with words about the ledger; what is free passes; an override helps.
    """
    with running_proxy(upstream.url, budget_nusd=10**9, ledger=f"sqlite:///{tmp_path}/l.db", fail="closed") as proxy:
        proxy.ledger.close()
        answer = send(proxy)

        assert (answer.status, answer["x-should-retry"], answer["retry-after"]) == (429, "false", None)
        assert answer.budget == {"": "unknown"}
        assert "the budget ledger cannot be read or written" in json.loads(answer.body)["error"]["message"]
        assert upstream.received == []
        assert send(proxy, path="/v1/models", method="GET").status == 200
        assert send(proxy, **OVERRIDE).status == 200
        assert "was closed" in health(proxy)["ledger"]


# --- receipts ----------------------------------------------------------------------------------------------------------


def test_verified_upgrade(upstream: Upstream) -> None:
    """
    Asked for an hour and billed an hour: verified, and dearer by what an hour costs more, which is said with its sign.

    1,000 tokens written cost 3,000 each more than for 5 minutes: + 3,000,000.
    """
    upstream.script = answers(
        used(
            input_tokens=3,
            cache_creation_input_tokens=1_000,
            cache_creation={"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 1_000},
            output_tokens=1,
        )
    )
    with running_proxy(upstream.url, ttl_policy="always") as proxy:
        send(proxy, MARKED, **FLAG)
        one = proxy.exchange()

        assert one.bill.receipt is not None
        assert (one.bill.receipt.requested_ttl, one.bill.receipt.billed_ttl, one.bill.receipt.verified) == (
            "1h",
            "1h",
            True,
        )
        assert (one.bill.receipt.cost_nusd, one.bill.receipt.counterfactual_nusd) == (8_032_000, 5_032_000)
        assert one.bill.receipt.difference_nusd == 3_000_000
        assert " vs_5m_usd=+0.003 ttl=1h-verified " in logfmt(one)
        assert health(proxy)["downgraded_models"] == []
        assert proxy.announced == []


def test_silent_downgrade(upstream: Upstream) -> None:
    """
    Asked for an hour and billed 5 minutes: announced once for the model, and shown in the line and in `/-/health`.
    """
    upstream.script = answers(used(input_tokens=3, cache_creation_input_tokens=1_000, output_tokens=1))
    with running_proxy(upstream.url, ttl_policy="always") as proxy:
        for _ in range(2):
            send(proxy, MARKED, **FLAG)
        one = proxy.exchange(1)

        assert one.bill.receipt is not None
        assert (one.bill.receipt.verified, one.bill.receipt.difference_nusd) == (False, 0)
        assert [event for event, _ in proxy.announced] == ["ttl_downgraded"]
        assert " ttl=5m-DOWNGRADED " in logfmt(one)
        assert health(proxy)["downgraded_models"] == [MODEL]
        summary = Summary().add(proxy.exchanges[0]).add(one)
        assert (summary.verified, summary.downgraded, summary.difference_nusd) == (0, 2, 0)


def test_body_that_was_sent_again_has_no_upgrade_to_verify(upstream: Upstream) -> None:
    """
    Where the upstream refused the edited body the original was billed: one charge, nothing to compare.
    """
    upstream.script = answers(
        error("invalid_request_error", "system.0.cache_control.ttl: Extra inputs are not permitted"), reply()
    )
    with running_proxy(upstream.url, ttl_policy="always", budget_nusd=10**9) as proxy:
        assert send(proxy, MARKED, **FLAG).status == 200
        one = proxy.exchange()

        assert (len(upstream.received), one.upgrade.resent, one.upgrade.upgraded) == (2, True, 0)
        assert one.bill.settlement == Settlement(PLAIN, "reported")
        assert one.bill.receipt is not None
        assert (one.bill.receipt.requested_ttl, one.bill.receipt.verified) == ("5m", None)
        assert balance(proxy) == Balance(settled_nusd=PLAIN)


def test_last_exchanges_hold_nothing_secret(upstream: Upstream) -> None:
    """
    `/-/exchanges?last=N` lists the newest N with their costs, and contains no body and no credential.
    """
    said = {**CALL, "messages": [{"role": "user", "content": "my secret words"}]}
    upstream.script = answers(reply(json.dumps(message(text("their secret words"))).encode()))
    with running_proxy(upstream.url, budget_nusd=10**9) as proxy:
        for _ in range(3):
            send(proxy, said, x_api_key="sk-ant-api03-made-up", authorization="Bearer sk-ant-oat-made-up")
        proxy.exchange(2)
        shown = send(proxy, path="/-/exchanges?last=2", method="GET").body
        rows = json.loads(shown)["exchanges"]

        assert [row["id"] for row in rows] == [one.id for one in proxy.exchanges[1:]]
        assert [(row["cost_nusd"], row["cost_usd"], row["cost_basis"]) for row in rows] == [
            (PLAIN, "0.000032000", "reported")
        ] * 2
        assert b"secret" not in shown
        assert b"made-up" not in shown
        assert len(json.loads(send(proxy, path="/-/exchanges", method="GET").body)["exchanges"]) == 3


def test_line_has_the_budget_afterwards(upstream: Upstream) -> None:
    """
    Of $1.00, a request that costs $0.000032 leaves less than a dollar: its answer still said 1.00, its line says 0.99.
    """
    upstream.script = answers(reply(json.dumps(message()).encode()))
    with running_proxy(upstream.url, budget_nusd=10**9) as proxy:
        told = send(proxy, CALL).budget["remaining-usd"]
        done = proxy.exchange(0)
        shown = done.to_json()

        assert (told, shown["budget"]["remaining_usd"], shown["budget_after"]["remaining_usd"]) == (
            "1.00",
            "1.00",
            "0.99",
        )
        assert "left_usd=0.99" in logfmt(done)
        assert balance(proxy) == Balance(settled_nusd=PLAIN)


def test_line_of_a_free_request_has_the_state_of_the_budget(upstream: Upstream) -> None:
    """
    Nothing was charged, so before and after are the same.
    """
    with running_proxy(upstream.url, budget_nusd=10**9) as proxy:
        send(proxy, path="/v1/models", method="GET")

        assert "budget=ok left_usd=1.00" in logfmt(proxy.exchange(0))


# --- clients -----------------------------------------------------------------------------------------------------------


def sdk(proxy: RunningProxy) -> anthropic.Anthropic:
    """
    The official SDK at its defaults.
    """
    return anthropic.Anthropic(base_url=proxy.url, api_key="made-up")


@pytest.mark.parametrize("stream", [False, True])
def test_sdk_makes_one_attempt_at_a_spent_budget(spent: RunningProxy, stream: bool) -> None:
    """
    The SDK retries a 429 by itself; told not to, it raises at once, and the exception carries our message.
    """
    with sdk(spent) as client, pytest.raises(anthropic.RateLimitError) as raised:
        client.messages.create(**CALL, stream=stream)

    assert "spend limit reached (monthly; resets" in str(raised.value)
    assert "To go on now: " in str(raised.value)
    assert raised.value.request_id == spent.exchange(2).id
    assert len(spent.exchanges) == 3


def test_sdk_waits_for_what_others_hold(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A strict budget whose rest others hold refuses for the moment: the SDK tries again, and succeeds once they settled.
    """
    monkeypatch.setattr("savemode_cli.core.budget.refusal.RETRY_AFTER_S", 1)
    go_on = upstream.event()

    async def script(_received: Received, writer: asyncio.StreamWriter) -> None:
        await go_on.wait()
        writer.write(reply())

    upstream.script = script
    with (
        running_proxy(upstream.url, budget_nusd=4_000_000, strict=True) as proxy,
        sdk(proxy) as client,
        ThreadPoolExecutor(2) as pool,
    ):
        first = pool.submit(lambda: client.messages.create(**CALL))
        until(lambda: len(upstream.received) == 1)
        assert 2_000_000 < balance(proxy).held_nusd < 4_000_000
        second = pool.submit(lambda: client.messages.create(**CALL))
        refused = proxy.exchange(0)
        assert (refused.answer.outcome, refused.answer.error) == ("refused", "budget: held")
        upstream.set(go_on)

        assert first.result().id == "msg_1"
        assert second.result().id == "msg_1"
        assert sorted(one.answer.outcome for one in proxy.exchanges) == ["ok", "ok", "refused"]
        assert balance(proxy) == Balance(settled_nusd=2 * PLAIN)


def test_temporary_refusal_says_so(upstream: Upstream) -> None:
    """
    Refused because of what others hold: `x-should-retry: true`, a short `retry-after`, and words about waiting.
    """
    never = upstream.event()
    upstream.script = stalls_after(streamed_text("hel")[:4], never)
    with running_proxy(upstream.url, budget_nusd=4_000_000, strict=True) as proxy:
        with hanging_up(proxy, STREAMED, until=b"hel"):
            answer = send(proxy)
        proxy.exchange(1)

        assert (answer.status, answer["x-should-retry"], answer["retry-after"]) == (429, "true", "5")
        assert "is held by requests still running" in json.loads(answer.body)["error"]["message"]
        assert answer.budget[""] == "exceeded"


# --- together ----------------------------------------------------------------------------------------------------------


def test_every_figure_agrees(upstream: Upstream) -> None:
    """
    After a mixed run of answers, streams, hang-ups, errors and refusals the summary of all exchanges, the ledger's
    balance, its charges and the receipts are the same amount, to the nano-dollar; where no usage was reported there is
    no receipt's cost, and the charge is the hold.
    """
    events = streamed_text("nine char")
    with running_proxy(upstream.url, budget_nusd=10**9, ttl_policy="always") as proxy:
        for script, call in (
            (answers(reply()), CALL),
            (answers(used(**LARGE)), MARKED),
            (streams(events), STREAMED),
            (streams(large_stream()), {**MARKED, "stream": True}),
            (answers(error("overloaded_error", "no", "529 Overloaded")), CALL),
            (streams([*events[:4], failure("api_error", "no")]), STREAMED),
            (answers(reply(b"<html>")), CALL),
            (answers(reply(json.dumps(message(text("x"), model="claude-next")).encode())), {**CALL, "model": "x"}),
        ):
            upstream.script = script
            send(proxy, call, **FLAG)
        send(proxy, path="/v1/messages/count_tokens")
        send(proxy, x_posthog_provider="nobody")
        for first in ([{"type": "ping"}], events[:4]):
            upstream.script = stalls_after(first, upstream.event())
            with hanging_up(proxy, STREAMED, until=sse(first[-1])):
                pass
            until(ledger_holds(proxy, 0))
        proxy.exchange(11)
        proxy.ledger.set_budget(Budget("default", 1))
        assert send(proxy, **FLAG).status == 429
        proxy.exchange(12)

        summary = Summary()
        for one in proxy.exchanges:
            summary = summary.add(one)
        charges = proxy.ledger.charges()
        receipts = {one.id: one.bill.receipt.cost_nusd for one in proxy.exchanges if one.bill.receipt is not None}
        assert balance(proxy) == Balance(settled_nusd=summary.cost_nusd)
        assert sum(one.nusd for one in charges) == summary.cost_nusd
        assert {one.hold_id: one.nusd for one in charges if one.basis in ("reported", "estimated")} == {
            name: cost for name, cost in receipts.items() if cost is not None
        }
        unknown = [one.nusd for one in charges if one.basis == "held"]
        assert summary.cost_nusd == sum(cost or 0 for cost in receipts.values()) + sum(unknown)
        assert summary.bases == {"reported": 5, "estimated": 2, "held": 2, "none": 1}
        assert summary.outcomes == {
            "ok": 6,
            "upstream_error": 2,
            "broken": 1,
            "client_gone": 2,
            "refused": 2,
        }
        known = 2 * LARGE_NUSD + PLAIN + STREAM + 72_000 + 72_000
        (unpriced,) = (one.bill.cost_nusd for one in proxy.exchanges if one.bill.price_state == "unpriced")
        assert unpriced is not None
        assert summary.cost_nusd == known + unpriced + sum(unknown)


SMALL = json.dumps({**CALL, "max_tokens": 1})
SMALL_NUSD = 420_000
"""100 tokens of input and 1 of output, 100 x 4,000 + 20,000."""


def flood(proxy: RunningProxy, number: int, at_once: int) -> list[int]:
    """
    So many small calls, so many of them at once, each thread on a connection that it keeps; their statuses.
    """
    own = threading.local()
    opened: list[http.client.HTTPConnection] = []

    def one(_number: int) -> int:
        if not hasattr(own, "connection"):
            own.connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=20)
            opened.append(own.connection)
        own.connection.request("POST", "/v1/messages", SMALL)
        answer = own.connection.getresponse()
        answer.read()
        status: int = answer.status
        return status

    try:
        with ThreadPoolExecutor(at_once) as pool:
            return list(pool.map(one, range(number)))
    finally:
        for connection in opened:
            connection.close()


@pytest.mark.parametrize("ledger", ["memory:", "sqlite:///ledger.db"], ids=["memory", "sqlite"])
@pytest.mark.parametrize("strict", [True, False], ids=["strict", "default"])
def test_thousand_requests_at_a_cap_worth_a_hundred(upstream: Upstream, strict: bool, ledger: str) -> None:
    """
    A thousand requests, 16 at a time. Strict admits exactly a hundred where the cap is what 99 cost and the ceiling of
    one more: every byte an hour's write and 1 token of output, a tenth dearer in the US. By default, with a cap of what
    a hundred cost, those that were under way when the last nano-dollar went may cross, and nobody else.

    Either way nothing stays held, and the ledger, the exchanges and the receipts agree.
    """
    upstream.script = answers(used(input_tokens=100, output_tokens=1))
    ceiling = (len(SMALL) * 8_000 + 20_000) * 11 // 10
    cap, at_once = 99 * SMALL_NUSD + (ceiling if strict else SMALL_NUSD), 16
    with running_proxy(upstream.url, budget_nusd=cap, strict=strict, ledger=ledger) as proxy:
        statuses = flood(proxy, 1_000, at_once)
        proxy.exchange(999)

        allowed = statuses.count(200)
        assert (allowed + statuses.count(429), len(upstream.received)) == (1_000, allowed)
        assert 100 <= allowed < (101 if strict else 100 + at_once)
        assert balance(proxy) == Balance(settled_nusd=allowed * SMALL_NUSD)
        assert sum(one.bill.cost_nusd or 0 for one in proxy.exchanges) == allowed * SMALL_NUSD
        assert (
            sum(one.bill.receipt.cost_nusd or 0 for one in proxy.exchanges if one.bill.receipt) == allowed * SMALL_NUSD
        )
        assert proxy.ledger.holds(datetime.now(UTC)) == ()


def test_strict_cap_is_never_crossed_by_a_request_that_costs_its_ceiling(upstream: Upstream) -> None:
    """
    Where each request costs all that it could, the cap is used up and not crossed: what was held is what is spent.

    The ceiling is n x 8,800 + 22,000; the answer writes n tokens for an hour in the US and puts out 1.
    """
    size = len(SMALL)
    upstream.script = answers(
        used(
            input_tokens=0,
            cache_creation_input_tokens=size,
            cache_creation={"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": size},
            output_tokens=1,
            inference_geo="us",
        )
    )
    cap = 20 * (size * 8_800 + 22_000)
    with running_proxy(upstream.url, budget_nusd=cap, strict=True) as proxy:
        statuses = flood(proxy, 200, 16)
        proxy.exchange(199)

        assert statuses.count(200) == 20
        assert balance(proxy) == Balance(settled_nusd=cap)


# --- killed ------------------------------------------------------------------------------------------------------------


def test_hold_of_a_killed_proxy_counts(upstream: Upstream, tmp_path: Path) -> None:
    """
    After a kill and a restart with the same ledger, the hold still counts, and the start says so.
    """
    options = ("--budget", "0.01", "--strict", "--ledger", f"sqlite:///{tmp_path}/ledger.db")
    call = json.dumps({**STREAMED, "max_tokens": 300}).encode()
    go_on = upstream.event()
    upstream.script = stalls_after(streamed_text("hel")[:4], go_on)
    with serving(upstream.url, *options) as (server, url), ThreadPoolExecutor(1) as pool:
        running = pool.submit(post, url, call)
        until(lambda: len(upstream.received) == 1)
        server.end(signal.SIGKILL)
        with pytest.raises((http.client.HTTPException, OSError)):
            running.result()
    upstream.set(go_on)

    upstream.script = answers(reply())
    with serving(upstream.url, *options) as (server, url):
        status, said = post(url, call)
        found = server.err.wait_for(
            r"  budget    default \$0\.0100 \(monthly, strict\): \$0\.0000 spent, \$(\S+) held "
        )
        server.end()

    held = (len(call) * 8_000 + 300 * 20_000) * 11 // 10
    assert found[1] == dollars(held).removeprefix("$")
    assert status == 429
    assert f"{dollars(held)} is held by requests still running" in json.loads(said)["error"]["message"]
    assert len(upstream.received) == 1


def test_ledger_is_whole_when_the_proxy_has_stopped(upstream: Upstream, tmp_path: Path) -> None:
    """
    A proxy that is told to stop closes its ledger: all of it is in the one file, which may be copied.
    """
    folder = tmp_path / "kept"
    with serving(upstream.url, "--ledger", f"sqlite:///{folder}/ledger.db") as (server, url):
        assert post(url, json.dumps(CALL).encode())[0] == 200
        server.out.wait_for("request.done")
        assert server.end() == 0

    assert [one.name for one in folder.iterdir()] == ["ledger.db"]


def test_deleted_ledger_does_not_lift_the_cap(upstream: Upstream, tmp_path: Path) -> None:
    """
    The spend is lost with the file, which the log says; the cap is not.
    """
    with running_proxy(upstream.url, budget_nusd=PLAIN, ledger=f"sqlite:///{tmp_path}/l.db") as proxy:
        assert send(proxy).status == 200
        proxy.exchange(0)
        assert send(proxy).status == 429
        for one in tmp_path.glob("l.db*"):
            one.unlink()

        assert send(proxy).status == 200
        proxy.exchange(2)
        assert send(proxy).status == 429
