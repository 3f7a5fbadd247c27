"""
Real clients against the simulated upstream, directly and through the proxy: the same results either way.
"""

import asyncio
import json
import os
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anthropic
import pytest

from savemode_cli.core.wire.usage import Usage
from savemode_cli.simulated.clock import Clock
from tests.conftest import FLAG
from tests.support.simulated import LONG, MODEL, running_simulated, system
from tests.support.upstream import RunningProxy, running_proxy
from tests.test_clients import connected

HELLO: list[Any] = [{"role": "user", "content": "Why is the build red?"}]
CALL: dict[str, Any] = {"model": MODEL, "max_tokens": 256, "system": system(), "messages": HELLO}
TOOLS: list[Any] = [{"name": "sh", "input_schema": {"type": "object", "properties": {"cmd": {"type": "string"}}}}]
LOOP = [
    {"thinking": "Look first.", "text": "I run it.", "tool_use": [{"name": "sh", "input": {"cmd": "make"}}]},
    {"text": "Once more.", "tool_use": [{"name": "sh", "input": {"cmd": "make -k"}}]},
    {"text": "It is green.", "output_tokens": 40},
]


BASH = [
    {"text": "I run it.", "tool_use": [{"name": "Bash", "input": {"command": "echo hi", "description": "Say hi"}}]},
    {"text": "It said hi."},
]


@pytest.fixture(params=["direct", "proxied"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """
    A simulated upstream of one's own, reached directly or through a proxy.
    """
    script = BASH if request.function is test_claude_code else LOOP
    with running_simulated(script=script, clock=Clock(datetime(2026, 11, 24, 12, tzinfo=UTC))) as simulated:
        if request.param == "direct":
            yield simulated.url
            return
        with running_proxy(simulated.url, ttl_policy="always") as proxy:
            yield proxy.url


def test_message_and_stream(url: str) -> None:
    """
    Both ways of asking give one answer, and the second reads what the first has written.
    """
    with connected(url) as client:
        whole = client.messages.create(**CALL)
        with client.messages.stream(**CALL) as stream:
            final = stream.get_final_message()

    assert whole.content[0].to_dict()["text"] == final.content[0].to_dict()["text"]
    assert whole.usage.cache_creation_input_tokens == final.usage.cache_read_input_tokens
    assert (whole.usage.cache_creation_input_tokens or 0) > 1000
    assert whole.usage.output_tokens == final.usage.output_tokens


def test_agents_loop(url: str) -> None:
    """
    A loop as every agent has one runs its tools, and ends.
    """
    messages: list[Any] = list(HELLO)
    ran = []
    with connected(url) as client:
        while True:
            with client.messages.stream(
                model=MODEL, max_tokens=4096, tools=TOOLS, messages=messages, thinking={"type": "adaptive"}
            ) as stream:
                got = stream.get_final_message()
            messages.append({"role": "assistant", "content": got.content})
            if got.stop_reason != "tool_use":
                break
            call = got.content[-1]
            assert call.type == "tool_use"
            ran.append(call.input)
            messages.append(
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "ok"}]}
            )

    assert ran == [{"cmd": "make"}, {"cmd": "make -k"}]
    assert got.content[0].to_dict() == {"type": "text", "text": "It is green."}
    assert got.usage.output_tokens == 40


def test_the_proxy_changes_nothing() -> None:
    """
    With the gate closed, two upstreams that are asked the same, one of them through a proxy, give the same.
    """

    def results(url: str) -> list[Any]:
        with connected(url) as client:
            calls = [CALL, CALL, CALL | {"messages": [{"role": "user", "content": "And now?"}]}]
            whole = [client.messages.create(**call).to_dict() for call in calls]
            with client.messages.stream(**CALL) as stream:
                return [*whole, *(event.to_dict() for event in stream)]

    with (
        running_simulated(script=LOOP) as one,
        running_simulated(script=LOOP) as other,
        running_proxy(other.url) as proxy,
    ):
        assert results(proxy.url) == results(one.url)


LAUNCHER = (
    Path(os.environ.get("SAVEMODE_TEST_CLIENTS", Path(__file__).parents[2] / "shared" / "clients")) / "claude-code"
)


@pytest.mark.skipif(
    not LAUNCHER.exists() or "CLAUDE_CODE_CACHE" not in os.environ,
    reason="no launcher of Claude Code beside the project, or no CLAUDE_CODE_CACHE where it is installed",
)
def test_claude_code(url: str, tmp_path: Path) -> None:
    """
    The agent itself runs a tool that the script asks for, and ends with the script's last words.
    """
    asked = ("-p", "say hello", "--output-format", "json", "--allowedTools", "Bash")
    done = subprocess.run(
        [LAUNCHER, url, "--", *asked], env=dict(os.environ), cwd=tmp_path, capture_output=True, timeout=120, check=True
    )

    told = json.loads(done.stdout)
    assert (told["result"], told["num_turns"], told["is_error"]) == ("It said hi.", 2, False)
    usage = told["usage"]
    assert usage["cache_creation_input_tokens"] > 10_000
    assert usage["cache_read_input_tokens"] > 10_000


def test_asynchronous_client(url: str) -> None:
    """
    Many at once.
    """

    async def main() -> set[str]:
        async with anthropic.AsyncAnthropic(base_url=url, api_key="made-up") as client:
            return {one.id for one in await asyncio.gather(*(client.messages.create(**CALL) for _ in range(8)))}

    assert len(asyncio.run(main())) == 8


def test_counting_and_models(url: str) -> None:
    """
    What is free.
    """
    with connected(url) as client:
        counted = client.messages.count_tokens(**{name: value for name, value in CALL.items() if name != "max_tokens"})
        usage = client.messages.create(**CALL).usage
        models = [one.id for one in client.models.list(limit=5)]
        named = client.models.retrieve(MODEL)

    assert counted.input_tokens == usage.input_tokens + (usage.cache_creation_input_tokens or 0)
    assert len(models) > 10
    assert named.id == MODEL


def test_bad_requests_raise(url: str) -> None:
    """
    What the API refuses raises as with the API.
    """
    persistent: Any = {"type": "persistent"}
    with connected(url) as client:
        with pytest.raises(anthropic.BadRequestError, match="'persistent'"):
            client.messages.create(**CALL | {"cache_control": persistent})
        with pytest.raises(anthropic.NotFoundError, match="model: gpt-4"):
            client.messages.create(**CALL | {"model": "gpt-4"})


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("status=429,should-retry=false", anthropic.RateLimitError),
        ("status=529,should-retry=false", anthropic.InternalServerError),
        ("status=402", anthropic.APIStatusError),
        ("error", anthropic.APIStatusError),
        ("truncate=4", Exception),
    ],
)
def test_faults_raise(url: str, words: str, expected: type[Exception]) -> None:
    """
    A fault asked for reaches the client as one of the real API would.
    """
    with (
        connected(url, max_retries=0, default_headers={"x-savemode-fault": words}) as client,
        pytest.raises(expected) as raised,
        client.messages.stream(**CALL) as stream,
    ):
        stream.get_final_message()

    assert not isinstance(raised.value, AssertionError)


def test_retries_succeed(url: str) -> None:
    """
    The SDK tries again by its own rule, and the count is used up.
    """
    headers = {"x-savemode-fault": "status=529*2"}
    with connected(url, default_headers=headers) as client:
        raw = client.messages.with_raw_response.create(**CALL)

    assert raw.http_request.headers["x-stainless-retry-count"] == "2"
    assert raw.headers["x-savemode-simulated"] == "tokens-estimated"


# The proxy and its own upstream in one process.


@pytest.fixture
def embedded() -> Iterator[RunningProxy]:
    """
    `serve --upstream simulated`, as a thread.
    """
    with running_proxy("simulated", ttl_policy="always", budget_nusd=10**12) as proxy:
        yield proxy


def own_page(proxy: RunningProxy, path: str, body: Any = None) -> Any:
    """
    A page of the upstream at the proxy's own address.
    """
    import httpx

    with httpx.Client(trust_env=False, base_url=proxy.url) as client:
        answer = client.get(path) if body is None else client.post(path, json=body)
        return answer.raise_for_status().json()


def test_whole_flow(embedded: RunningProxy) -> None:
    """
    A pause of 50 minutes: with the gate open the cache survives it, verified and cheaper; with it closed it does not.
    """
    for flag in ("false", "true"):
        headers = {**FLAG, "x-claude-code-session-id": f"session-{flag}"} | dict.fromkeys(FLAG, flag)
        with connected(embedded.url, default_headers=headers) as client:
            call = CALL | {"system": system(text=f"{flag} {LONG}")}
            client.messages.create(**call)
            own_page(embedded, "/-/clock", {"advance_s": 3000})
            client.messages.create(**call)

    embedded.exchange(3)
    closed, opened = embedded.exchanges[:2], embedded.exchanges[2:]
    assert [one.upgrade.upgraded for one in embedded.exchanges] == [0, 0, 1, 1]
    assert [_usage(one).tokens.read > 0 for one in closed] == [False, False]
    assert [_usage(one).tokens.read > 0 for one in opened] == [False, True]
    receipts = [one.bill.receipt for one in opened]
    assert receipts[0] is not None
    assert receipts[1] is not None
    assert (opened[1].started_at - opened[0].started_at).total_seconds() >= 3000


def test_spend_is_the_upstreams_own_count(embedded: RunningProxy) -> None:
    """
    What the proxy booked is what the upstream billed, to the token.
    """
    with connected(embedded.url, default_headers=FLAG) as client:
        for number in range(4):
            messages = [{"role": "user", "content": "x" * number * 1000 + "?"}]
            client.messages.create(**CALL | {"messages": messages})
            with client.messages.stream(**CALL | {"messages": messages}) as stream:
                stream.get_final_message()

    embedded.exchange(7)
    booked = sum((_usage(one) for one in embedded.exchanges), Usage()).tokens
    billed = own_page(embedded, "/-/state")["usage"]
    assert billed == {
        "input_tokens": booked.input,
        "cache_creation_input_tokens": booked.written,
        "cache_read_input_tokens": booked.read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": booked.write_5m,
            "ephemeral_1h_input_tokens": booked.write_1h,
        },
        "output_tokens": booked.output,
    }


def test_silent_downgrade_is_noticed(embedded: RunningProxy) -> None:
    """
    The proxy sees from the bill that the upgrade was not granted.
    """
    headers = {**FLAG, "x-savemode-fault": "downgrade"}
    with connected(embedded.url, default_headers=headers) as client:
        client.messages.create(**CALL)

    assert _usage(embedded.exchange()).tokens.write_5m > 0
    assert [event for event, _ in embedded.announced] == ["ttl_downgraded"]


def test_refused_ttl_is_sent_again_without(embedded: RunningProxy) -> None:
    """
    An upstream that knows no ttl gets the original, and the client an answer.
    """
    headers = {**FLAG, "x-savemode-fault": "no-ttl"}
    with connected(embedded.url, default_headers=headers) as client:
        assert client.messages.create(**CALL).stop_reason == "end_turn"

    assert embedded.exchange().upgrade.resent
    assert [event for event, _ in embedded.announced] == ["upgrade_stopped"]


def test_budget_window_follows_the_clock(embedded: RunningProxy) -> None:
    """
    A month later the month's spend is nothing again.
    """
    with connected(embedded.url) as client:
        client.messages.create(**CALL)
        spent = client.messages.with_raw_response.create(**CALL).headers["x-posthog-budget-remaining-usd"]
        own_page(embedded, "/-/clock", {"advance_s": 31 * 86_400})
        anew = client.messages.with_raw_response.create(**CALL).headers["x-posthog-budget-remaining-usd"]

    assert float(anew) > float(spent)


def test_a_real_upstream_has_no_such_pages() -> None:
    """
    Nobody turns the clock of the real API.
    """
    with running_simulated() as simulated, running_proxy(simulated.url) as proxy:
        import httpx

        with httpx.Client(trust_env=False, base_url=proxy.url) as client:
            statuses = [client.get(path).status_code for path in ("/-/clock", "/-/state", "/-/faults", "/-/script")]

    assert statuses == [404] * 4


def _usage(exchange: Any) -> Usage:
    usage = exchange.bill.usage
    assert isinstance(usage, Usage)
    return usage
