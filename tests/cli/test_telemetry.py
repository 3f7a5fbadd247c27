"""
Telemetry as a person switches it on: `serve` and `run` as processes, PostHog on loopback.
"""

import json
import re
import sys
import urllib.request
from pathlib import Path
from typing import Any, cast

import pytest

from savemode_cli.cli.opening import opened_sinks
from savemode_cli.config import Settings
from savemode_cli.core.errors import ConfigError
from savemode_cli.core.exchange.observed import Sink
from savemode_cli.telemetry.background import Background
from tests.support.processes import SAVEMODE, post, running, savemode, serving
from tests.support.receiver import Receiver, receiver
from tests.support.streams import streamed_text, streams
from tests.support.upstream import Upstream
from tests.support.waiting import LONG_S

KEY = "phc_secret_project_key"
CREDENTIALS = (("x-api-key", "sk-ant-secret-credential"), ("authorization", "Bearer sk-ant-other-secret"))
PROMPT = "the words of the prompt"
BODY = json.dumps(
    {
        "model": "claude-opus-5-5",
        "max_tokens": 5,
        "stream": True,
        "system": "the words of the system prompt",
        "messages": [{"role": "user", "content": PROMPT}],
        "metadata": {"user_id": "the words of the user id"},
    }
).encode()
ANSWER = ("the words ", "of the answer")


@pytest.fixture
def streaming(upstream: Upstream) -> Upstream:
    """
    An upstream that streams an answer.
    """
    upstream.script = streams(streamed_text(*ANSWER))
    return upstream


def everything(posthog: Receiver) -> bytes:
    """
    All bytes that arrived, headers and paths and uncompressed bodies.
    """
    return b"\n".join(posthog.raw)


def test_an_event_without_what_was_said(streaming: Upstream) -> None:
    """
    Of a streamed call everything is measured; no credential, no prompt and no answer is in what leaves.
    """
    with receiver() as posthog, serving(streaming.url, POSTHOG_API_KEY=KEY, POSTHOG_HOST=posthog.url) as (server, url):
        post(url, BODY, CREDENTIALS)
        (event,) = posthog.await_events(1)
        assert server.end() == 0
        banner = server.err.all()

    assert event["properties"]["$ai_stream"] is True
    assert event["properties"]["$ai_output_tokens"] == 7
    assert event["properties"]["$ai_total_cost_usd"] == pytest.approx((3 * 4 + 7 * 20) / 1e6)
    assert 0 < event["properties"]["$ai_time_to_first_token"] <= event["properties"]["$ai_latency"]
    assert f"events    PostHog, {posthog.url}, without prompts and answers" in banner
    for secret in (b"secret-credential", b"other-secret", b"the words"):
        assert secret not in everything(posthog)
    assert everything(posthog).count(KEY.encode()) == len(posthog.posts)
    assert KEY not in banner + server.out.all()


def test_content_is_sent_where_it_was_asked_for(streaming: Upstream) -> None:
    """
    Both sides of it, the stream put together; credentials still are not.
    """
    content = ("--telemetry-content",)
    environ = {"POSTHOG_API_KEY": KEY}
    with receiver() as posthog, serving(streaming.url, *content, POSTHOG_HOST=posthog.url, **environ) as (server, url):
        post(url, BODY, CREDENTIALS)
        (event,) = posthog.await_events(1)
        server.end()

    assert event["properties"]["$ai_input"][-1] == {"role": "user", "content": PROMPT}
    assert event["properties"]["$ai_output_choices"][0]["content"] == [{"type": "text", "text": "".join(ANSWER)}]
    assert b"secret-credential" not in everything(posthog)
    assert b"other-secret" not in everything(posthog)


def test_nothing_leaves_without_a_key_or_against_a_no(streaming: Upstream) -> None:
    """
    Not even a connection.
    """
    with receiver() as posthog:
        for options, key in (((), ""), (("--no-telemetry",), KEY)):
            with serving(streaming.url, *options, POSTHOG_API_KEY=key, POSTHOG_HOST=posthog.url) as (server, url):
                post(url, BODY)
                assert server.end() == 0
                assert "PostHog" not in server.err.all()

    assert posthog.raw == []


def await_the_rest(posthog: Receiver, streaming: Upstream, said: str) -> None:
    """
    What the end of a process left no time for, as it says on a slow machine, is sent by the next process.
    """
    if "1 event for PostHog" in said:
        with serving(streaming.url, POSTHOG_API_KEY=KEY, POSTHOG_HOST=posthog.url) as (server, _):
            posthog.await_events(1)
            assert server.end() == 0


def test_the_last_events_are_sent_at_the_end(streaming: Upstream) -> None:
    """
    A signal right after a call: the event arrives all the same.
    """
    with receiver() as posthog, serving(streaming.url, POSTHOG_API_KEY=KEY, POSTHOG_HOST=posthog.url) as (server, url):
        post(url, BODY)
        assert server.end() == 0
        await_the_rest(posthog, streaming, server.err.all())

    assert len(posthog.taken) == 1


def test_what_could_not_be_sent_is_sent_by_the_next(streaming: Upstream, tmp_path: Path) -> None:
    """
    Once, whoever it is; and the first one neither failed nor delayed a call of it, and said so once.
    """
    with receiver(lambda _post: (503, {})) as posthog:
        environ = {"POSTHOG_API_KEY": KEY, "POSTHOG_HOST": posthog.url}
        with serving(streaming.url, **environ) as (server, url):
            assert [post(url, BODY)[0] for _ in range(3)] == [200] * 3
            server.err.wait_for("telemetry_trouble: .*HTTP 503")
            with urllib.request.urlopen(f"{url}/-/health", timeout=LONG_S) as answer:
                health = json.load(answer)
            assert server.end() == 0
            assert server.err.all().count("telemetry_trouble") == 1
            assert "3 events for PostHog" in server.err.all()
        posthog.answer = lambda _post: (200, {})
        with serving(streaming.url, **environ) as (server, _):
            posthog.await_events(3)
            server.end()

    assert re.search(r"HTTP 503; [123] events wait, 0 were lost", health["telemetry"])
    assert len({event["uuid"] for event in posthog.taken}) == len(posthog.taken) == 3


def test_events_on_stdout(streaming: Upstream) -> None:
    """
    As they would be sent, a line each in a pipe; no key is needed.
    """
    with serving(streaming.url, "--print-events", "--log-format", "json") as (server, url):
        post(url, BODY)
        server.out.wait_for(r"\$ai_generation")
        server.end()
    rows = [json.loads(line) for line in server.out.all().splitlines()]

    assert sorted(row["event"] for row in rows) == ["$ai_generation", "request.done"]
    assert PROMPT not in server.out.all()


def test_run_sends_and_keeps_events(streaming: Upstream, tmp_path: Path) -> None:
    """
    A command's calls, until its end; its stdout is its own, also where a variable asks for events there.
    """
    code = (
        "import os, urllib.request as r; "
        f"r.urlopen(r.Request(os.environ['ANTHROPIC_BASE_URL'] + '/v1/messages', {BODY!r}), timeout=20).read()"
    )
    file = tmp_path / "events.jsonl"
    with receiver() as posthog:
        done = savemode(
            *("run", "--upstream", streaming.url, "--events-file", str(file), "--", sys.executable, "-c", code),
            POSTHOG_API_KEY=KEY,
            POSTHOG_HOST=posthog.url,
            SAVEMODE_PRINT_EVENTS="true",
        )
        await_the_rest(posthog, streaming, done.stderr.decode())

    assert (done.returncode, done.stdout) == (0, b"")
    assert [json.loads(line)["uuid"] for line in file.read_text().splitlines()] == [posthog.taken[0]["uuid"]]


def names(sinks: "list[Sink] | Any") -> list[tuple[str, bool]]:
    """
    What the sinks are called, and whether they want content.
    """
    return [(sink.name, sink.wants_content) for sink in sinks]


def test_sinks_are_those_that_were_asked_for(tmp_path: Path) -> None:
    """
    None by default; content for all or none of them.
    """
    every: dict[str, Any] = {
        "posthog_api_key": KEY,
        "events_file": tmp_path / "e",
        "print_events": True,
        "posthog_host": "http://x.invalid",
    }
    with opened_sinks(Settings(), lambda *_: None, sys.stdout) as none:
        assert names(none) == []
    with opened_sinks(Settings(**every), lambda *_: None, sys.stdout) as sinks:
        assert names(sinks) == [("telemetry", False), ("events_file", False), ("print_events", False)]
    with opened_sinks(Settings(events_file=tmp_path / "e", telemetry_content=True), lambda *_: None, sys.stdout) as one:
        assert names(one) == [("events_file", True)]


def test_sinks_end_where_no_proxy_began() -> None:
    """
    A port that is taken leaves no thread behind.
    """
    opened = opened_sinks(Settings(print_events=True), lambda *_: None, sys.stdout)
    (sink,) = opened.__enter__()
    thread = cast("Background", sink)._thread
    assert thread.is_alive()
    error = ConfigError("the port is taken")

    assert not opened.__exit__(ConfigError, error, None)
    assert not thread.is_alive()


def test_help_and_start_do_not_load_the_sdk(streaming: Upstream) -> None:
    """
    Without a key it costs nothing: neither it nor its HTTP library is imported.
    """
    with running(
        sys.executable,
        "-X",
        "importtime",
        *SAVEMODE[1:],
        *("serve", "--port", "0", "--upstream", streaming.url, "--print-events"),
    ) as server:
        url = server.err.wait_for(r"export ANTHROPIC_BASE_URL=(\S+)")[1]
        post(url, BODY)
        server.out.wait_for(r"\$ai_generation")
        server.end()
    loaded = {line.split("|")[-1].strip() for line in server.err.all().splitlines() if line.startswith("import time:")}

    assert "savemode_cli.telemetry.printed" in loaded
    assert {"posthog", "requests"} & loaded == set()
