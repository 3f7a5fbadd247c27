"""
Clients of `savemode_cli/clients.toml` beside the official SDKs and Claude Code, behind the real proxy, set up as `savemode run`
sets them up: each works, is upgraded, and stops where it is refused.
"""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from savemode_cli.clients.setup import prepared
from savemode_cli.clients.table import Client, client_named
from tests.clients.driven import (
    FOLDER,
    NO_FOLDER,
    PATIENCE_S,
    bare_environment,
    headers,
    missing,
    place,
    stream_of_another_client,
)
from tests.clients.programs import FURTHER, FurtherClient
from tests.support.asked import charged
from tests.support.streams import END, chunk, head, message, sse, streamed_text, text
from tests.support.tap import Tap
from tests.support.upstream import Received, Upstream, reply, running_proxy
from tests.support.waiting import LONG_S, until

pytestmark = [pytest.mark.clients, pytest.mark.process]
if not FOLDER:
    pytest.skip(NO_FOLDER, allow_module_level=True)

SAID = "hello from upstream"
NOWHERE = "http://127.0.0.1:9"


def where_installed(client: FurtherClient) -> object:
    """
    The client as a parameter, skipped where it is not installed.
    """
    why = missing(client.name)
    return pytest.param(client, marks=pytest.mark.skipif(why is not None, reason=why or ""), id=client.name)


async def greets(received: Received, writer: asyncio.StreamWriter) -> None:
    """
    The answer of the upstream: streamed where the client asks for a stream.
    """
    if json.loads(received.body or b"{}").get("stream"):
        pieces = b"".join(chunk(sse(event)) for event in streamed_text(SAID[:5], SAID[5:]))
        writer.write(head() + pieces + END)
    else:
        writer.write(reply(json.dumps(message(text(SAID))).encode()))


def row(client: FurtherClient) -> Client:
    """
    The client's row in the table.
    """
    found = client_named(client.name)
    assert found is not None
    return found


def words(client: FurtherClient, home: Path) -> list[str]:
    """
    The command; a library's program is written into the home folder.
    """
    if client.command:
        return list(client.command)
    program = home / ("program.py" if client.python else "program.mjs")
    program.write_text(client.python or client.node)
    # Without site-packages: the packages of the client, and none of those that run this test.
    python = [sys.executable, "-S", str(program)]
    return python if client.python else [shutil.which("node") or "node", str(program), str(place(client.name))]


@contextmanager
def started(client: FurtherClient, home: Path, url: str) -> Iterator["subprocess.Popen[str]"]:
    """
    The client as `savemode run` starts it, with the base URL of a proxy. It is killed at the end, with what it started.
    """
    folder = place(client.name)
    paths = [folder / "bin", folder / "node_modules" / ".bin", os.environ["PATH"]]
    environ = bare_environment(
        home,
        **client.environ,
        PATH=":".join(map(str, paths)),
        PYTHONPATH=str(folder),
        ANTHROPIC_API_KEY="made-up",
        HTTPS_PROXY=NOWHERE,
        HTTP_PROXY=NOWHERE,
        NO_PROXY="127.0.0.1",
    )
    with prepared(words(client, home), url, environ, home, passes_on=True) as ready:
        process = subprocess.Popen(
            ready.command,
            env={**environ, **ready.variables},
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            kill(process)
            process.communicate()


def kill(process: "subprocess.Popen[str]") -> None:
    """
    Kill a client and what it started.
    """
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def run(client: FurtherClient, home: Path, url: str) -> subprocess.CompletedProcess[str]:
    """
    Run the client as `savemode run` does, and wait for its end.
    """
    with started(client, home, url) as process:
        out, err = process.communicate(timeout=2 * PATIENCE_S)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)


@pytest.mark.parametrize("client", [where_installed(client) for client in FURTHER])
def test_upgraded(client: FurtherClient, tmp_path: Path, upstream: Upstream) -> None:
    """
    Its answer is shown, and with `--save` every breakpoint that it left at 5 minutes is upgraded.
    """
    upstream.script = greets

    with running_proxy(upstream.url, save=True, debug=True, ttl_policy="main") as proxy:
        done = run(client, tmp_path, proxy.url)
        calls = [exchange.to_json() for exchange in proxy.exchanges]

    assert calls, done.stdout + done.stderr
    assert not client.shows or SAID in done.stdout, done.stdout + done.stderr
    assert all(call["outcome"] == "ok" for call in calls)
    if client.skip:
        assert {skip["code"] for call in calls for skip in call["skips"]} == {client.skip}
    else:
        assert all(call["upgraded"] > 0 for call in calls)
        assert all(one.body.count(b'"cache_control"') == one.body.count(b'"1h"') for one in upstream.received)


@pytest.mark.parametrize("client", [where_installed(client) for client in FURTHER])
def test_refused(client: FurtherClient, tmp_path: Path, upstream: Upstream) -> None:
    """
    Past the cap it makes as many attempts as the table says, shows the reason, and nothing reaches the upstream.
    """
    upstream.script = greets

    with running_proxy(upstream.url, budget_nusd=1, refusal="auto") as proxy:
        stream_of_another_client(proxy.port)
        proxy.exchange(0)
        done = run(client, tmp_path, proxy.url)
        refused = [exchange.to_json() for exchange in proxy.exchanges[1:]]

    shown = done.stdout + done.stderr
    assert {call["outcome"] for call in refused} == {"refused"}, shown
    # Beside its answer, opencode asks another model for a title: each is refused once.
    asked = [(call["session"], call["model"]) for call in refused]
    assert {asked.count(one) for one in asked} == {row(client).attempts}
    assert {call["status"] for call in refused} == {row(client).refusal} or not row(client).user_agents
    assert "out of budget" in " ".join(shown.split())
    assert client.exit_code is None or done.returncode == client.exit_code
    assert len(upstream.received) == 1


@pytest.mark.parametrize("client", [where_installed(client) for client in FURTHER])
def test_nothing_changes_without_save(client: FurtherClient, tmp_path: Path, upstream: Upstream) -> None:
    """
    Without `--save` the upstream receives the headers and the bytes of the bodies that the client sends.
    """
    upstream.script = greets

    with running_proxy(upstream.url) as proxy, Tap(proxy.port) as tap:
        done = run(client, tmp_path, tap.url)
        sent = [one for one in tap.requests() if one.method == "POST"]

    assert sent, done.stdout + done.stderr
    assert sorted((one.body, headers(one)) for one in upstream.received) == sorted(
        (one.body, headers(one)) for one in sent
    )


@pytest.mark.parametrize("client", [where_installed(client) for client in FURTHER])
def test_cut_answer_is_charged(client: FurtherClient, tmp_path: Path, upstream: Upstream) -> None:
    """
    The upstream ends the connection in the middle of its first answer: the call is charged once, and nothing stays held.
    """

    async def script(received: Received, writer: asyncio.StreamWriter) -> None:
        if received is not upstream.received[0]:
            await greets(received, writer)
            return
        if json.loads(received.body).get("stream"):
            writer.write(head() + b"".join(chunk(sse(event)) for event in streamed_text(SAID, SAID)[:4]))
        else:
            writer.write(reply(json.dumps(message(text(SAID))).encode())[:-20])
        await writer.drain()
        writer.close()

    upstream.script = script

    with running_proxy(upstream.url, budget_nusd=100_000_000_000) as proxy:
        done = run(client, tmp_path, proxy.url)
        first, *others = [exchange.to_json() for exchange in proxy.exchanges]
        charges = charged(proxy)

    assert (first["outcome"], first["cost_basis"]) == ("broken", "estimated" if first["stream"] else "held"), done
    assert {one["outcome"] for one in others} <= {"ok"}
    assert charges == [one["cost_nusd"] for one in (first, *others)]
    assert min(charges) > 0


@pytest.mark.parametrize("client", [where_installed(client) for client in FURTHER])
def test_call_of_a_killed_client_is_charged(client: FurtherClient, tmp_path: Path, upstream: Upstream) -> None:
    """
    A client that is killed in the middle of an answer is charged, and nothing stays held. A stream is ended at the upstream;
    an answer that is no stream is read to its end, because the API bills it all the same.
    """
    go_on = upstream.event()

    async def script(received: Received, writer: asyncio.StreamWriter) -> None:
        streams = json.loads(received.body).get("stream")
        answer = reply(json.dumps(message(text(SAID))).encode())
        pieces = [chunk(sse(event)) for event in streamed_text(SAID, SAID)]
        writer.write(head() + b"".join(pieces[:4]) if streams else answer[:-20])
        await writer.drain()
        await go_on.wait()
        writer.write(b"".join(pieces[4:]) + END if streams else answer[-20:])

    upstream.script = script

    with running_proxy(upstream.url, budget_nusd=100_000_000_000) as proxy:
        with started(client, tmp_path, proxy.url) as process:
            until(lambda: upstream.received or process.poll() is not None)
            assert upstream.received
            kill(process)
        streamed = [one for one in upstream.received if json.loads(one.body).get("stream")]
        assert all(one.closed.wait(LONG_S) for one in streamed)
        upstream.set(go_on)
        until(lambda: len(proxy.exchanges) == len(upstream.received))
        calls = [exchange.to_json() for exchange in proxy.exchanges]
        charges = charged(proxy)

    assert {one["outcome"] for one in calls if one["stream"]} <= {"client_gone"}
    assert {one["cost_basis"] for one in calls if not one["stream"]} <= {"reported"}
    assert sorted(charges) == sorted(one["cost_nusd"] for one in calls)
    assert min(charges) > 0
