"""
`savemode serve` as a process: its banner, its lines, its refusals, and how it ends.
"""

import asyncio
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.conftest import FLAG
from tests.support.processes import SAVEMODE, environment, post, serving
from tests.support.streams import refusal, sse, stalls_after, streamed_text
from tests.support.trusting import trusted_config
from tests.support.upstream import Received, Script, Upstream, reply
from tests.support.waiting import LONG_S

BODY = json.dumps(
    {
        "model": "claude-opus-5-5",
        "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}],
        "messages": [{"role": "user", "content": "secret words"}],
    }
).encode()
OPEN = tuple(FLAG.items())


def test_banner_and_request_line(upstream: Upstream) -> None:
    """
    The banner goes to stderr with the line to copy last, and the receipt at the end; each request is a line on stdout, and
    with --verbose its edits are below.
    """
    with serving(upstream.url, "--ttl-policy", "always", "--verbose") as (server, url):
        assert post(url, BODY, OPEN)[0] == 200
        server.out.wait_for("edit ")
        assert server.end() == 0

    banner = server.err.all()
    assert (
        f"  address   {url}\n  upstream  {upstream.url}\n  upgrades  off unless a request switches them on: " in banner
    )
    assert (
        f"\n  export ANTHROPIC_BASE_URL={url}\n\nsavemode stopped\nsavemode receipt\n  requests  1 model call, "
        in banner
    )
    first, edit, _info = server.out.lines
    assert re.search(
        r" request\.done outcome=ok status=200 cost_usd=\S+ .*upgraded=1 skipped=0 model=claude-opus-5-5 ", first
    )
    assert " product=llm_gateway gate=on " in first
    assert edit == ('         edit  system.0.cache_control {"type": "ephemeral"} -> {"type": "ephemeral", "ttl": "1h"}')
    assert "secret words" not in "\n".join(server.out.lines) + banner


def test_json_lines(upstream: Upstream, tmp_path: Path) -> None:
    """
    `--log-format json` gives one object a line, with units in the keys of every number. A service manager that asks is told
    when the proxy listens.
    """
    options = ("--log-format", "json", "--ttl-policy", "always")
    notified = str(tmp_path / "notified")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(notified)
        manager.settimeout(LONG_S)
        with serving(upstream.url, *options, NOTIFY_SOCKET=notified) as (server, url):
            assert manager.recv(100) == b"READY=1"
            post(url, BODY, OPEN)
            post(url, BODY)
            server.out.wait_for('"upgraded":0')
            server.end()

    server.out.all()
    first, second = (json.loads(line) for line in server.out.lines)
    assert (first["schema_version"], first["event"], first["upgraded"], second["upgraded"]) == (1, "request.done", 1, 0)
    assert first["edits"][0]["path"] == "system.0.cache_control.ttl"
    measured = {key for key, value in first.items() if isinstance(value, int | float) and not isinstance(value, bool)}
    assert measured == {
        "schema_version",
        "duration_ms",
        "first_byte_ms",
        "status",
        "upgraded",
        "edits_left_out",
        "skips_left_out",
        "request_bytes",
        "response_bytes",
        "cost_nusd",
        "cost_input_nusd",
        "cost_output_nusd",
    }


def test_quiet(upstream: Upstream) -> None:
    """
    `--quiet` prints no line for a request; the receipt counts it.
    """
    with serving(upstream.url, "--quiet", "--ttl-policy", "always") as (server, url):
        post(url, BODY, OPEN)
        server.end()

    assert server.out.all() == ""
    assert "  requests  1 model call, 0 other requests\n" in server.err.all()


def test_verbose(upstream: Upstream) -> None:
    """
    `--verbose` adds what identifies an exchange.
    """
    with serving(upstream.url, "--verbose") as (server, url):
        post(url, BODY)
        found = server.out.wait_for(r"info  id=.* upstream_request_id=req_up .* request_bytes=(\d+) ")
        server.end()

    assert int(found[1]) == len(BODY)


def test_observe(upstream: Upstream) -> None:
    """
    `--observe` says what would change, and the upstream gets the original.
    """
    with serving(upstream.url, "--observe", "--verbose", "--ttl-policy", "always") as (server, url):
        post(url, BODY)
        server.out.wait_for("would_upgrade=1")
        server.out.wait_for("would system.0.cache_control")
        server.end()

    assert upstream.received[0].body == BODY


@contextmanager
def stream_from(url: str) -> Iterator[http.client.HTTPResponse]:
    """
    The answer of a call of which only the head has been read.
    """
    parts = urlsplit(url)
    assert parts.hostname is not None
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=LONG_S)
    connection.request("POST", "/v1/messages", json.dumps({**json.loads(BODY), "stream": True}))
    try:
        yield connection.getresponse()
    finally:
        connection.close()


def test_sigterm_lets_a_stream_finish(upstream: Upstream) -> None:
    """
    Told to stop in the middle of a stream, the proxy ends it properly and leaves with 0.
    """
    go_on = upstream.event()
    events = streamed_text("hel", "lo")
    upstream.script = stalls_after(events[:4], go_on, events[4:])

    with serving(upstream.url) as (server, url), stream_from(url) as answer:
        first = answer.read1()
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        assert server.process.poll() is None
        upstream.set(go_on)
        rest = answer.read()
        assert server.end(None) == 0

    assert first + rest == b"".join(sse(event) for event in events)
    assert "outcome=ok" in server.out.all()


def test_grace_ends(upstream: Upstream) -> None:
    """
    A stream that never ends does not keep the proxy alive beyond `--grace-s`.
    """
    upstream.script = stalls_after(streamed_text("hel")[:4], upstream.event())

    with serving(upstream.url, "--grace-s", "1") as (server, url), stream_from(url) as answer:
        answer.read1()
        began = time.monotonic()
        assert server.end() == 0

    assert time.monotonic() - began < LONG_S / 2
    assert "Traceback" not in server.err.all()


def test_grace_ends_before_the_answer_began(upstream: Upstream) -> None:
    """
    Who still waits for the first byte then is told so by a status, and nothing is printed about our insides.
    """
    go_on = upstream.event()

    async def script(_received: Received, _writer: asyncio.StreamWriter) -> None:
        await go_on.wait()

    upstream.script = script
    with serving(upstream.url, "--grace-s", "1") as (server, url), ThreadPoolExecutor() as pool:
        call = pool.submit(post, url, BODY)
        while not upstream.received:
            time.sleep(0.01)
        assert server.end() == 0
        assert call.result()[0] >= 500

    assert "Traceback" not in server.err.all()
    assert "ASGI" not in server.err.all()


def test_end_says_what_save_would_have_changed(upstream: Upstream) -> None:
    """
    The last lines are the amount where it is known, here of nothing written; with --save there is nothing to say.
    """
    with serving(upstream.url) as (server, url):
        assert post(url, BODY)[0] == 200
        assert server.end() == 0
    with serving(upstream.url, "--save") as (saving, url):
        assert post(url, BODY)[0] == 200
        assert saving.end() == 0

    said = server.err.all()
    assert said.endswith("\n  --save would have cost about $0.0000 more: no pause of 5 to 60 minutes")
    assert "to upgrade your own conversations, start it like this:\n            savemode serve --save\n" in said
    assert "  policy    auto: 5m or 1h for each conversation, by what was cheaper" in saving.err.all()
    assert "--save would" not in saving.err.all()
    assert upstream.received[1].body.count(b'"1h"') > 0


def test_sigint(upstream: Upstream) -> None:
    """
    Ctrl-C leaves with 130, without a traceback.
    """
    with serving(upstream.url) as (server, _):
        assert server.end(signal.SIGINT) == 130

    assert "\nsavemode stopped\nsavemode receipt\n" in server.err.all()


@pytest.mark.parametrize("closed", ["stdout", "stderr"])
def test_reader_that_leaves_does_not_stop_the_proxy(upstream: Upstream, closed: str) -> None:
    """
    `| head` ends the log, not the service: requests go on, also one about which there is something to announce.
    """
    upstream.script = _refuse_one_hour()
    command = [*SAVEMODE, "serve", "--port", "0", "--upstream", upstream.url, "--ttl-policy", "always"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        while not (line := process.stderr.readline().decode().strip()).startswith("export"):
            assert line or process.poll() is None
        url = line.partition("=")[2]
        process.stderr.readline()
        (process.stdout if closed == "stdout" else process.stderr).close()

        statuses = [post(url, BODY, OPEN)[0] for _ in range(3)]

        process.terminate()
        assert process.wait(LONG_S) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()
    assert statuses == [200, 200, 200]


def _refuse_one_hour() -> Script:
    refused = refusal("400 Bad Request", "invalid_request_error", "cache_control.ttl: not permitted")

    async def script(received: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(refused if b'"1h"' in received.body else reply())

    return script


def test_config_file_and_environment(upstream: Upstream) -> None:
    """
    A file in the working directory configures the proxy, and the banner shows it.
    """
    trusted_config('product = "ide"\n[products]\nide = { idle_prone = true }\n')

    with serving(upstream.url, SAVEMODE_TTL_POLICY="off") as (server, _):
        server.err.wait_for(r"product   ide, of requests to /v1/messages: not covered by the policy")
        server.err.wait_for("policy    off: nothing is upgraded")


def asked(url: str, path: str, body: dict[str, object] | None = None) -> dict[str, Any]:
    """
    One of the proxy's own pages.
    """
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{url}{path}", data), timeout=LONG_S) as answer:
        read: dict[str, Any] = json.loads(answer.read())
        return read


def test_simulated_upstream() -> None:
    """
    One process, no key, no network: the banner says so, requests are answered and billed, and the proxy's own address
    turns the clock by which both go.
    """
    long = [{"type": "text", "text": "word " * 4000, "cache_control": {"type": "ephemeral"}}]
    body = json.dumps({**json.loads(BODY), "max_tokens": 64, "system": long}).encode()
    headers = (
        ("x-api-key", "made-up"),
        ("anthropic-version", "2023-06-01"),
        ("x-claude-code-session-id", "one"),
        *OPEN,
    )
    with serving("simulated", "--ttl-policy", "always", "--budget", "5") as (server, url):
        assert post(url, body, headers)[0] == 200
        turned = asked(url, "/-/clock", {"advance_s": 3000})
        assert post(url, body, headers)[0] == 200
        server.out.wait_for("request.done.*vs_5m_usd=-.*ttl=")
        state = asked(url, "/-/state")
        assert server.end(signal.SIGINT) == 130

    banner = server.err.all()
    assert re.search(
        r"^  upstream  simulated \(http://127\.0\.0\.1:\d+\); its tokens are estimates$", banner, re.MULTILINE
    )
    assert f"""curl -d '{{"advance_s": 600}}' {url}/-/clock""" in banner
    assert turned["turned_s"] == 3000
    usage = state["usage"]
    assert usage["cache_creation"]["ephemeral_1h_input_tokens"] == usage["cache_read_input_tokens"] > 4000
    first, second = (line for line in server.out.lines if "request.done" in line)
    then, now = (datetime.strptime(line.split()[0], "%H:%M:%S") for line in (first, second))
    assert timedelta(seconds=2990) < (now - then) % timedelta(days=1) < timedelta(seconds=3030)


def test_simulated_spend_is_kept_apart() -> None:
    """
    What is simulated costs nothing, and the user's own ledger never hears of it.
    """
    with serving("simulated") as (server, url):
        body = json.dumps({**json.loads(BODY), "max_tokens": 64}).encode()
        assert post(url, body, (("x-api-key", "made-up"), ("anthropic-version", "2023-06-01")))[0] == 200
        server.out.wait_for("cost_usd=")
        server.end()

    assert [path for path in Path(os.environ["XDG_DATA_HOME"]).rglob("*") if path.is_file()] == []
