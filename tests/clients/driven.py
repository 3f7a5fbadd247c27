"""
Real clients in processes of their own: where they are, how a test tells one what to do, and what it sent.

Rule of this file: nothing of this process reaches them, neither its packages nor its environment.
"""

import http.client
import json
import os
import queue
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.streams import MODEL
from tests.support.upstream import Received

FOLDER = os.environ.get("SAVEMODE_TEST_CLIENTS")
"""Where `.ci/clients` installed them; read as the tests are collected, for each test's environment is cleaned."""

NO_FOLDER = "SAVEMODE_TEST_CLIENTS names no folder of clients (.ci/clients installs them)"
HERE = Path(__file__).parent
PATIENCE_S = 60.0
"""How long a client may say nothing, before its test fails."""


def missing(client: str) -> str | None:
    """
    Why a client cannot be run here, or nothing.
    """
    if not FOLDER or not (Path(FOLDER) / client / ".installed").is_file():
        return f"{client} is not installed in the folder that SAVEMODE_TEST_CLIENTS names"
    return None


def place(client: str) -> Path:
    """
    The folder of a client.
    """
    assert FOLDER
    return Path(FOLDER).absolute() / client


def bare_environment(home: Path, **more: str) -> dict[str, str]:
    """
    A home and a path, and nothing else of ours.
    """
    folders = ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "CLAUDE_CONFIG_DIR")
    return {name: str(home) for name in folders} | {"PATH": os.environ["PATH"], "TERM": "dumb"} | more


@dataclass(frozen=True)
class Raised:
    """
    What a client raised: the class's name and the words, and of the answer behind it what the client knows.
    """

    type: str
    message: str
    status: int | None
    request_id: str | None
    body: str | None
    """The answer's bytes, one character each."""


@dataclass(frozen=True)
class Done:
    """
    How a call ended: with a result or with what was raised, after so many pieces of a stream.
    """

    pieces: list[str]
    result: Any
    raised: Raised | None

    @property
    def error(self) -> Raised:
        """
        What was raised, where something must have been.
        """
        assert self.raised is not None, self.result
        return self.raised


class Sdk:
    """
    A driver that runs until it is closed, and does one call at a time.
    """

    def __init__(self, client: str, home: Path) -> None:
        """
        Start it, and hear which version it is.
        """
        self.name = client
        folder = str(place(client))
        if client.startswith("python"):
            # Without site-packages: the SDK that is tested, and none of the packages that run this test.
            command = [sys.executable, "-S", str(HERE / "driver.py")]
            environ = bare_environment(home, PYTHONPATH=folder, PYTHONDONTWRITEBYTECODE="1")
        else:
            command = [shutil.which("node") or "node", str(HERE / "driver.mjs"), folder]
            environ = bare_environment(home)
        self._process = subprocess.Popen(
            command, env=environ, cwd=home, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()
        self.version: str = self._heard()["version"]

    def close(self) -> None:
        """
        End it.
        """
        self._process.kill()
        self._process.wait(10)
        for end in (self._process.stdin, self._process.stdout):
            if end is not None:
                with suppress(BrokenPipeError):
                    end.close()

    def __call__(
        self,
        op: str,
        url: str,
        call: dict[str, Any],
        *,
        headers: dict[str, str] | None = None,
        max_retries: int = 2,
        stop_after: int | None = None,
        on_piece: Callable[[str], None] = lambda _piece: None,
    ) -> Done:
        """
        Do one call and wait for its end; `on_piece` is told of each piece of a stream as it arrives.
        """
        client = {"base_url": url, "max_retries": max_retries, "default_headers": headers or {}}
        assert self._process.stdin is not None
        self._process.stdin.write(
            json.dumps({"op": op, "client": client, "call": call, "stop_after": stop_after}) + "\n"
        )
        self._process.stdin.flush()
        pieces = []
        while "piece" in (heard := self._heard()):
            pieces.append(heard["piece"])
            on_piece(heard["piece"])
        return Done(pieces, heard.get("result"), Raised(**heard["raised"]) if "raised" in heard else None)

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def _heard(self) -> dict[str, Any]:
        line = self._lines.get(timeout=PATIENCE_S)
        assert line, f"{self.name} ended"
        heard: dict[str, Any] = json.loads(line)
        return heard


class ClaudeCode:
    """
    `claude -p`, with a made-up key: whatever it would send beyond loopback meets a closed door.
    """

    def __init__(self, home: Path, client: str = "claude-code") -> None:
        """
        Nothing runs yet.
        """
        self.home = home
        self._client = client

    @property
    def program(self) -> str:
        """
        What to run.
        """
        return str(place(self._client) / "node_modules" / ".bin" / "claude")

    def environment(self, url: str, **more: str) -> dict[str, str]:
        """
        Nothing of ours, and nothing that would call home.
        """
        quiet = ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "DISABLE_TELEMETRY", "DISABLE_AUTOUPDATER")
        nowhere = {"HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9", "NO_PROXY": "127.0.0.1"}
        own = {"ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": "made-up", "DISABLE_ERROR_REPORTING": "1"}
        return bare_environment(self.home, **dict.fromkeys(quiet, "1"), **nowhere, **own) | more

    def __call__(self, url: str, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """
        Say hello and wait for the answer.
        """
        return subprocess.run(
            [self.program, "-p", "say hello", *arguments],
            env=self.environment(url, **environ),
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )


def headers(received: Received, *left_out: str) -> list[tuple[str, str]]:
    """
    The headers that reached the upstream, without those about the connection, in alphabetical order.
    """
    ignored = {"host", "connection", *left_out}
    return sorted((name.lower(), value) for name, value in received.headers if name.lower() not in ignored)


def stream_of_another_client(port: int, max_tokens: int = 64) -> bytes:
    """
    A streamed call, read to its end: the driver does one call at a time.
    """
    call = {
        "model": MODEL,
        "max_tokens": max_tokens,
        "messages": [{"role": "user", "content": "hello"}],
        "stream": True,
    }
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("POST", "/v1/messages", json.dumps(call))
    body = connection.getresponse().read()
    connection.close()
    return body
