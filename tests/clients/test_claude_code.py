"""
Claude Code itself, one version, in API-key mode, behind the real proxy: what it sends, and what it makes of the answers.
"""

import asyncio
import json
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.clients.driven import FOLDER, NO_FOLDER, PATIENCE_S, ClaudeCode, headers, stream_of_another_client
from tests.conftest import FLAG
from tests.support.streams import (
    END,
    answers,
    chunk,
    head,
    refusal,
    sse,
    stalls_after,
    streamed_text,
    streamed_thinking,
    streamed_tool_use,
)
from tests.support.upstream import Received, RunningProxy, Upstream, running_proxy

pytestmark = pytest.mark.clients
if not FOLDER:
    pytest.skip(NO_FOLDER, allow_module_level=True)

ROOT = Path(__file__).parents[2]
EXTENDED = "extended-cache-ttl-2025-04-11"
TTL = b',"ttl":"1h"'
GATE_OPEN = {"ANTHROPIC_CUSTOM_HEADERS": "\n".join(f"{name}: {value}" for name, value in FLAG.items())}


def streamed_bytes(events: list[dict[str, Any]]) -> bytes:
    """
    A whole answer that is a stream.
    """
    return head() + b"".join(chunk(sse(event)) for event in events) + END


HELLO = streamed_bytes(streamed_text("hello from ", "upstream"))


def without_ids(received: Received) -> bytes:
    """
    The body, without the ids that differ from run to run.
    """
    return re.sub(rb'"metadata":\{"user_id":"(?:\\.|[^"\\])*"\}', b'"metadata":{}', received.body)


def ttls(received: Received) -> list[tuple[str, str | None]]:
    """
    Where the request has breakpoints, and their TTLs.
    """

    def walk(place: str, value: Any) -> None:
        if isinstance(value, dict):
            if isinstance(value.get("cache_control"), dict):
                found.append((place, value["cache_control"].get("ttl")))
            value = list(value.items())
        elif isinstance(value, list):
            value = list(enumerate(value))
        else:
            return
        for key, inner in value:
            walk(f"{place}.{key}", inner)

    found: list[tuple[str, str | None]] = []
    walk("", json.loads(received.body))
    return found


def test_streamed_answer_is_shown(claude: ClaudeCode, proxy: RunningProxy, upstream: Upstream) -> None:
    """
    One question is one request and one answer; the key goes to the upstream and into no record.
    """
    upstream.script = answers(HELLO)

    done = claude(proxy.url)

    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "hello from upstream", "")
    (received,) = upstream.received
    assert (received.method, received.target) == ("POST", "/v1/messages?beta=true")
    assert received.all("x-api-key") == ["made-up"]
    recorded = proxy.exchange()
    assert (recorded.answer.outcome, recorded.upgrade.upgraded) == ("ok", 0)
    assert "made-up" not in json.dumps(recorded.to_json())


def test_nothing_differs_while_the_gate_is_closed(claude: ClaudeCode, proxy: RunningProxy, upstream: Upstream) -> None:
    """
    The upstream receives what it receives without the proxy.
    """
    upstream.script = answers(HELLO)

    claude(upstream.url)
    claude(proxy.url)

    without, through = upstream.received
    assert without_ids(through) == without_ids(without)
    own_to_each = ("x-claude-code-session-id", "x-client-request-id")
    assert headers(through, *own_to_each) == headers(without, *own_to_each)


def test_upgrade_is_its_own_request_for_an_hour(claude: ClaudeCode, proxy: RunningProxy, upstream: Upstream) -> None:
    """
    What goes out is its default request with TTLs in the places, and the beta, of its own request for an hour.

    It also tells its model how long the cache lives, in the description of a tool. That text savemode leaves as it is.
    """
    upstream.script = answers(HELLO)

    claude(upstream.url)
    claude(upstream.url, ENABLE_PROMPT_CACHING_1H="1")
    assert claude(proxy.url, **GATE_OPEN).stdout.strip() == "hello from upstream"

    default, hour, upgraded = upstream.received
    assert without_ids(upgraded).replace(TTL, b"") == without_ids(default)
    assert ttls(upgraded) == ttls(hour)
    assert {ttl for _, ttl in ttls(upgraded)} == {"1h"}
    assert upgraded.all("anthropic-beta") == hour.all("anthropic-beta")
    assert upgraded.all("anthropic-beta") == [f"{default.all('anthropic-beta')[0]},{EXTENDED}"]
    assert not [name for name, _ in upgraded.headers if name.lower().startswith("x-posthog")]

    ours, theirs = json.loads(without_ids(upgraded)), json.loads(without_ids(hour))
    texts = [
        (one.pop("description"), other.pop("description"))
        for one, other in zip(ours["tools"], theirs["tools"], strict=True)
        if one["description"] != other["description"]
    ]
    assert ours == theirs
    assert all("5-minute" in one and "1-hour" in other for one, other in texts)


def test_tool_round_trip(claude: ClaudeCode, proxy: RunningProxy, upstream: Upstream) -> None:
    """
    A tool is called, its result goes back, and the request with it is upgraded too.
    """
    file = claude.home / "note.txt"
    file.write_text("forty-two\n")
    asks = streamed_tool_use("Read", '{"file_', f'path": {json.dumps(str(file))}}}')
    upstream.script = answers(streamed_bytes(asks), HELLO)

    done = claude(proxy.url, **GATE_OPEN)

    assert done.stdout.strip() == "hello from upstream"
    _, second = upstream.received
    assert b"forty-two" in second.body
    assert {ttl for _, ttl in ttls(second)} == {"1h"}
    assert proxy.exchange(1).answer.outcome == "ok"


def test_long_thinking(claude: ClaudeCode, proxy: RunningProxy, upstream: Upstream) -> None:
    """
    Thousands of thoughts go by, and the text behind them is shown.
    """
    thoughts = [f"thought {number} ☃\n" for number in range(3000)]
    upstream.script = answers(streamed_bytes(streamed_thinking(thoughts, "c2lnbmVk", "done")))

    assert claude(proxy.url).stdout.strip() == "done"
    assert proxy.exchange().answer.outcome == "ok"


@pytest.mark.parametrize(
    ("status", "api_type", "hint"),
    [
        ("400 Bad Request", "invalid_request_error", None),
        ("401 Unauthorized", "authentication_error", None),
        ("402 Payment Required", "billing_error", None),
        ("403 Forbidden", "permission_error", None),
        ("404 Not Found", "not_found_error", None),
        ("413 Payload Too Large", "request_too_large", None),
        ("429 Too Many Requests", "rate_limit_error", "false"),
        ("529 Overloaded", "overloaded_error", "false"),
    ],
)
def test_error_of_the_upstream(
    claude: ClaudeCode, proxy: RunningProxy, upstream: Upstream, status: str, api_type: str, hint: str | None
) -> None:
    """
    It shows, and tries again, what it shows and tries without the proxy.
    """
    hints = {} if hint is None else {"x_should_retry": hint}
    upstream.script = answers(refusal(status, api_type, "the upstream's words", **hints))
    once_more = {"CLAUDE_CODE_MAX_RETRIES": "1"}  # it tries a 401 for more than a minute

    direct = claude(upstream.url, **once_more)
    attempts = len(upstream.received)
    through = claude(proxy.url, **once_more, **GATE_OPEN)

    assert (through.returncode, through.stdout.replace(proxy.url[7:], "")) == (
        direct.returncode,
        direct.stdout.replace(upstream.url[7:], ""),
    )
    assert len(upstream.received) == 2 * attempts
    assert hint is None or attempts == 1


def test_permanent_refusal(claude: ClaudeCode, upstream: Upstream) -> None:
    """
    Past the cap: one attempt, which goes nowhere, and the person reads how much is spent, when it resets, what to do.
    """
    upstream.script = answers(HELLO)

    with running_proxy(upstream.url, budget_nusd=1) as proxy:
        claude(proxy.url)
        refused = claude(proxy.url)
        proxy.exchange(1)

        assert [one.answer.outcome for one in proxy.exchanges] == ["ok", "refused"]
        assert refused.returncode != 0
        assert "spend limit reached (monthly; resets " in refused.stdout
        assert "To go on now: restart savemode" in refused.stdout
        assert len(upstream.received) == 1


def test_sub_agents_at_the_budget_of_a_run(claude: ClaudeCode, upstream: Upstream) -> None:
    """
    The main conversation starts a sub-agent, and then the run is out of money: the sub-agent makes one attempt, and so does each
    turn of the main conversation, the one about the failed sub-agent included. The person reads why.
    """

    async def script(received: Received, writer: asyncio.StreamWriter) -> None:
        names = [tool["name"] for tool in json.loads(received.body).get("tools", ())]
        asked = {"description": "look", "prompt": "look around", "subagent_type": "general-purpose"}
        name = next(name for name in names if name in ("Agent", "Task"))
        writer.write(streamed_bytes(streamed_tool_use(name, json.dumps(asked))))

    upstream.script = script
    with running_proxy(upstream.url, run_budget_nusd=1) as proxy:
        refused = claude(proxy.url)
        first, *others = [one for one in proxy.exchanges if one.call.is_model_call]

    assert refused.returncode != 0
    assert 'is spent in budget "run"' in refused.stdout
    assert (len(upstream.received), first.answer.outcome) == (1, "ok")
    assert {one.answer.outcome for one in others} == {"refused"}
    assert len({(one.call.session, one.call.request_bytes) for one in others}) == len(others) <= 3
    assert len({one.call.session for one in others}) == 2


def test_loop_is_refused(claude: ClaudeCode, upstream: Upstream) -> None:
    """
    A model that asks for the same tool call again and again: at the limit of the guard it ends after one attempt, and says why.
    """
    file = claude.home / "note.txt"
    file.write_text("forty-two\n")
    asks = streamed_bytes(streamed_tool_use("Read", json.dumps({"file_path": str(file)})))

    async def script(_: Received, writer: asyncio.StreamWriter) -> None:
        # Each message and each call has an ID of its own, or the client takes them for the same one.
        number = b"%d" % len(upstream.received)
        writer.write(re.sub(rb"(toolu_|msg_)1", rb"\g<1>" + number, asks))

    upstream.script = script
    with running_proxy(upstream.url, guard_action="refuse", guard_identical_calls=3) as proxy:
        refused = claude(proxy.url)
        alarms = [one.bill.alarm for one in proxy.exchanges if one.bill.alarm is not None]

    assert refused.returncode != 0
    assert "it called Read 3 times in a row with the same input (limit: 3)" in refused.stdout
    assert (len(upstream.received), len(alarms)) == (3, 1)


def test_temporary_refusal(claude: ClaudeCode, upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Refused because of what a running request holds: it tries again by itself, and the answer is shown.
    """
    monkeypatch.setattr("savemode_cli.core.budget.refusal.RETRY_AFTER_S", 1)
    go_on = upstream.event()
    events = streamed_text("hel", "lo")
    first, then = stalls_after(events[:4], go_on, events[4:]), answers(HELLO)

    async def script(received: Received, writer: asyncio.StreamWriter) -> None:
        await (first if received is upstream.received[0] else then)(received, writer)

    upstream.script = script
    # It may cost $3.24, for it asks for 128,000 tokens of output: that fits alone, and not beside what the other holds.
    with running_proxy(upstream.url, budget_nusd=3_500_000_000, strict=True) as proxy, ThreadPoolExecutor(2) as pool:
        holder = pool.submit(stream_of_another_client, proxy.port, 30_000)
        while not upstream.received:
            assert not holder.done()
            time.sleep(0.01)

        def end_it_after_the_refusal() -> None:
            assert proxy.exchange(0).answer.error == "budget: held"
            upstream.set(go_on)

        ender = pool.submit(end_it_after_the_refusal)
        done = claude(proxy.url)
        ender.result()
        proxy.exchange(2)

        assert done.stdout.strip() == "hello from upstream"
        outcomes = [one.answer.outcome for one in proxy.exchanges]
        assert (outcomes[0], outcomes.count("ok"), len(upstream.received)) == ("refused", 2, 2)


def test_refused_upgrade_is_no_error(claude: ClaudeCode, proxy: RunningProxy, upstream: Upstream) -> None:
    """
    Where the upstream refuses the TTL, the person sees the answer; the original went out behind it, once.
    """
    refused = refusal("400 Bad Request", "invalid_request_error", "system.1.cache_control.ttl: not permitted")
    upstream.script = answers(refused, HELLO)

    assert claude(proxy.url, **GATE_OPEN).stdout.strip() == "hello from upstream"

    upgraded, original = upstream.received
    assert upgraded.body.replace(TTL, b"") == original.body != upgraded.body
    assert (proxy.exchange().upgrade.resent, proxy.exchange().upgrade.upgraded) == (True, 0)


def test_ending_it_hangs_up(claude: ClaudeCode, proxy: RunningProxy, upstream: Upstream) -> None:
    """
    Who ends it in the middle of an answer stops paying for it: the upstream sees the connection close.
    """
    sent = upstream.event()
    upstream.script = stalls_after(streamed_text("hel")[:4], sent)
    command = [claude.program, "-p", "hello", "--output-format=stream-json", "--include-partial-messages", "--verbose"]

    with subprocess.Popen(
        command,
        env=claude.environment(proxy.url),
        cwd=claude.home,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout is not None
        for line in running.stdout:
            if "text_delta" in line:
                running.terminate()
        running.wait(PATIENCE_S)

    assert upstream.received[0].closed.wait(5)
    assert proxy.exchange().answer.outcome == "client_gone"


def test_run_as_the_readme_says(claude: ClaudeCode, upstream: Upstream) -> None:
    """
    `savemode run --debug -- claude` upgrades it, shows its answer, and prints a receipt.
    """
    upstream.script = answers(HELLO)
    command = [sys.executable, "-m", "savemode_cli", "run", "--upstream", upstream.url, "--debug"]
    environ = claude.environment("unused", COST_CONTROLS_ENABLED="true", PYTHONPATH=str(ROOT))

    done = subprocess.run(
        [*command, "--ttl-policy", "always", "--", claude.program, "-p", "say hello"],
        env=environ,
        cwd=claude.home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )

    assert (done.returncode, done.stdout.strip()) == (0, "hello from upstream")
    assert {ttl for _, ttl in ttls(upstream.received[0])} == {"1h"}
    assert "3 cache breakpoints upgraded to 1 hour in 1 call" in done.stderr
