"""
No credential anywhere: everything a full run writes is searched, byte by byte.
"""

import http.client
import json
import signal
from asyncio import StreamWriter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.conftest import FLAG
from tests.support.processes import SAVEMODE, Running, running
from tests.support.upstream import Received, Upstream, error, reply

CREDENTIALS = {
    "x-api-key": "sk-ant-api03-SECRETKEYONE",
    "authorization": "Bearer sk-ant-oat01-SECRETKEYTWO",
    "cookie": "session=SECRETCOOKIE",
    "proxy-authorization": "Basic SECRETPROXY",
    "x-custom-auth": "SECRETCUSTOM",
}
ANSWERED = "SECRETSETCOOKIE"
QUERY = "SECRETINQUERY"
TOKEN = "SECRETTOKEN12345"
POSTHOG = "phc_SECRETPROJECT"
PROMPT = "SECRETPROMPT"
ALWAYS_SECRET = [*(value.split("SECRET")[1] for value in CREDENTIALS.values()), "SETCOOKIE", "INQUERY", "TOKEN12345"]


def body(text: str) -> bytes:
    """
    A request that is upgraded, and says something that is nobody's business.
    """
    block = {"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}
    return json.dumps(
        {
            "model": "claude-opus-5-5",
            "max_tokens": 9,
            "system": [block],
            "messages": [{"role": "user", "content": text}],
            "metadata": {"user_id": "user_1"},
        }
    ).encode()


@pytest.fixture
def troubled(upstream: Upstream) -> Upstream:
    """
    An upstream that answers with a cookie, refuses, fails and breaks off, in turn.
    """
    cookie = (("content-type", "application/json"), ("request-id", "req_up"), ("set-cookie", ANSWERED))
    answers = [
        reply(headers=cookie),
        error("invalid_request_error", "cache_control.ttl: Extra inputs are not permitted"),
        reply(headers=cookie),
        error("authentication_error", f"invalid x-api-key: {' '.join(CREDENTIALS.values())}", "401 Unauthorized"),
        error("api_error", "overloaded", "529 Overloaded"),
        reply(b"<html>not the API</html>", headers=cookie),
    ]

    async def script(_received: Received, writer: StreamWriter) -> None:
        if answers:
            writer.write(answers.pop(0))
        else:
            writer.close()

    upstream.script = script
    return upstream


@pytest.fixture
def posthog() -> Iterator[Upstream]:
    """
    Something that takes events.
    """
    server = Upstream()

    async def script(_received: Received, writer: StreamWriter) -> None:
        writer.write(reply(b'{"status":1}'))

    server.script = script
    yield server
    server.close()


def send(url: str, text: str, path: str = "/v1/messages", **more: str) -> int:
    """
    One call with every credential there is; its status, 0 if the connection broke.
    """
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    headers = {**CREDENTIALS, **FLAG, "x-savemode-token": TOKEN, "x-posthog-distinct-id": "me", **more}
    try:
        connection.request("POST", f"{path}?api_key={QUERY}", body(text), headers)
        return connection.getresponse().status
    except (http.client.HTTPException, OSError):
        return 0
    finally:
        connection.close()


def written(folder: Path) -> bytes:
    """
    Every byte in every file below, databases' pages and write-ahead logs included.
    """
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def run(url: str, posthog: str, *options: str) -> Running:
    """
    A proxy through which all kinds of calls went, ended.
    """
    words = ("serve", "--port", "0", "--upstream", url, "--ttl-policy", "always", "--verbose", "--print-events")
    files = ("--ledger", "sqlite:///ledger.db", "--events-file", "events.jsonl", "--product", "posthog_code")
    with running(
        *SAVEMODE,
        *words,
        *files,
        "--allow-oauth-edits",
        *options,
        SAVEMODE_ACCESS_TOKEN=TOKEN,
        POSTHOG_API_KEY=POSTHOG,
        POSTHOG_HOST=posthog,
    ) as server:
        proxy = server.err.wait_for(r"export ANTHROPIC_BASE_URL=(\S+)")[1]
        statuses = [send(proxy, PROMPT) for _ in range(7)]
        statuses.append(send(proxy, PROMPT, "/unknown/v1/messages"))
        statuses.append(send(proxy, PROMPT, **{"x-posthog-provider": "SECRETPROVIDER"}))
        statuses.append(send(proxy, PROMPT, "/v1/other"))
        assert statuses[0] == 200
        assert server.end(signal.SIGTERM) == 0
    assert "Traceback" not in server.err.all()
    return server


def shown(server: Running) -> bytes:
    """
    What it printed.
    """
    return (server.out.all() + server.err.all()).encode()


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_nothing_of_a_request_is_written(
    troubled: Upstream, posthog: Upstream, tmp_path: Path, log_format: str
) -> None:
    """
    Neither credentials nor what was said, in logs, events, ledger and what is sent to PostHog; whatever went wrong.
    """
    server = run(troubled.url, posthog.url, "--log-format", log_format)
    everything = shown(server) + written(tmp_path) + b"".join(_plain(one) for one in posthog.received)

    assert b"request.done" in shown(server)
    assert b"ai_generation" in everything
    for secret in (*ALWAYS_SECRET, "SECRETPROMPT", "not the API"):
        assert secret.encode() not in everything, secret
    assert POSTHOG.encode() not in shown(server) + written(tmp_path)


def test_captures_hold_what_was_said_and_no_credential(troubled: Upstream, posthog: Upstream, tmp_path: Path) -> None:
    """
    Whoever asks for content gets it: in the store, and in the export of it, and still no credential.
    """
    server = run(troubled.url, posthog.url, "--capture", "captures")
    (store,) = (path for path in Path("captures").iterdir() if path.suffix in (".db", ".sqlite3"))
    for form in ("har", "jsonl"):
        with running(
            *SAVEMODE, "captures", "export", "--dir", "captures", f"--{form}", "--out", f"all.{form}"
        ) as export:
            assert export.end(None) == 0, export.err.all()
    everything = shown(server) + written(tmp_path) + b"".join(_plain(one) for one in posthog.received)

    assert store.stat().st_mode & 0o777 == 0o600
    assert PROMPT.encode() in Path("all.har").read_bytes()
    assert b"invalid x-api-key: ****" in Path("all.har").read_bytes()
    assert b"invalid x-api-key: ****" in Path("all.jsonl").read_bytes()
    assert PROMPT.encode() not in shown(server)
    for secret in ALWAYS_SECRET:
        assert secret.encode() not in everything, secret


def test_events_with_content_hold_no_credential(troubled: Upstream, posthog: Upstream, tmp_path: Path) -> None:
    """
    An error that repeats the key goes to PostHog with the key masked.
    """
    server = run(troubled.url, posthog.url, "--telemetry-content")
    everything = shown(server) + written(tmp_path) + b"".join(_plain(one) for one in posthog.received)

    assert PROMPT.encode() in everything
    assert b"invalid x-api-key: ****" in everything
    for secret in ALWAYS_SECRET:
        assert secret.encode() not in everything, secret


def _plain(received: Received) -> bytes:
    import gzip

    raw = received.body
    return gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
