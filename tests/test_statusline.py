"""
The line for Claude Code's status line: right, never an error, never slow.
"""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from savemode_cli import statusline
from savemode_cli.config.folders import user_data
from savemode_cli.core.wire.access_tokens import TOKEN_HEADER
from savemode_cli.statusline import ACCESS_HEADER, proxies_folder, status_line
from tests.support.upstream import RunningProxy, Upstream
from tests.support.wire import exchange, request

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp()
SESSION = "11111111-2222-3333-4444-555555555555"
STATUS = {"session_id": SESSION, "cost": {"total_cost_usd": 1.239}, "model": {"id": "claude-opus-5-5"}}
CALLED = [
    sys.executable,
    "-P",
    "-c",
    "import sys; sys.argv[1:] = ['statusline']\nfrom savemode_cli.entry import main\nmain()",
]


PATIENT = [
    *CALLED[:-1],
    f"from savemode_cli import statusline\nstatusline.INPUT_S = statusline.ASK_S = 60\n{CALLED[-1]}",
]
"""The same, and a busy machine has time to answer."""


def session(**more: Any) -> dict[str, Any]:
    """
    A session of `/-/summary`.
    """
    return {"session": SESSION, "cost_nusd": 1_420_000_000, "cache": None, "last_miss": None} | more


def printed(given: bytes, called: Sequence[str] = PATIENT, **environ: str) -> str:
    """
    What a process of its own prints; it ends with 0 and without an error.
    """
    done = subprocess.run(
        called, input=given, capture_output=True, check=False, timeout=60, env={**os.environ, **environ}
    )
    assert (done.returncode, done.stderr) == (0, b"")
    line, rest = done.stdout.decode().split("\n")
    assert rest == ""
    return line


@pytest.mark.parametrize(
    ("summary", "line"),
    [
        (None, "session $1.23 by the client's count · no savemode proxy"),
        ({"sessions": [], "budgets": None}, "session $1.23 by the client's count"),
        ({"sessions": [session()], "budgets": []}, "session $1.42"),
        (
            {
                "sessions": [session()],
                "budgets": [
                    {"remaining_nusd": None, "limit_nusd": 0},
                    {"remaining_nusd": 30_000_000_000, "limit_nusd": 50_000_000_000},
                    {"remaining_nusd": 3_209_999_999, "limit_nusd": 20_000_000_000},
                ],
            },
            "$3.20 left of $20.00 · session $1.42",
        ),
        (
            {"sessions": [session()], "budgets": [{"remaining_nusd": -5, "limit_nusd": 20_000_000_000}]},
            "$0.00 left of $20.00 · session $1.42",
        ),
        (
            {"sessions": [session(cache={"ttl": "1h", "warm_until": "2026-11-24T12:45:00+00:00"})]},
            "session $1.42 · cache warm until {12:45} (1h)",
        ),
        (
            {"sessions": [session(cache={"ttl": "5m", "warm_until": "2026-11-24T12:00:00+00:00"})]},
            "session $1.42 · cache expired at {12:00} (5m)",
        ),
        (
            {"sessions": [session(last_miss={"cost_nusd": 210_000_000, "cause": "system_changed"})]},
            "session $1.42 · last miss $0.21 system changed",
        ),
    ],
)
def test_lines(summary: dict[str, Any] | None, line: str) -> None:
    """
    What is known, and nothing else; times are those of this machine's zone.
    """
    for clock in ("12:45", "12:00"):
        local = datetime.fromisoformat(f"2026-11-24T{clock}:00+00:00").astimezone()
        line = line.replace(f"{{{clock}}}", f"{local:%H:%M}")

    assert status_line(STATUS, summary, NOW) == line


def test_a_proxy_is_asked(upstream: Upstream, proxy: RunningProxy) -> None:
    """
    The one in ANTHROPIC_BASE_URL, about the session that Claude Code names, its sub-agents included.
    """
    for headers in ((), (("x-claude-code-agent-id", "agent-1"),)):
        sent = request(
            "POST", "/v1/messages", b'{"model":"claude-opus-5-5"}', ("x-claude-code-session-id", SESSION), *headers
        )
        assert exchange(proxy.port, sent).status == 200
    line = printed(json.dumps(STATUS).encode(), ANTHROPIC_BASE_URL=f"http://127.0.0.1:{proxy.port}/some/path")

    assert line.startswith("session $0.00")
    assert "client" not in line


def test_a_registered_proxy_is_asked(upstream: Upstream, proxy: RunningProxy, tmp_path: Path) -> None:
    """
    Where the variable is not set.
    """
    folder = Path(proxies_folder())
    folder.mkdir(parents=True)
    (folder / "1-1.json").write_text(json.dumps({"url": f"http://127.0.0.1:{proxy.port}", "pid": 1, "ledger": ""}))
    (folder / "broken.json").write_text("{}")

    assert "no savemode proxy" not in printed(b"{}")


@pytest.mark.parametrize(
    "given",
    [b"", b"{", b"[]", b"null", b"\xff", b'{"session_id": 5, "cost": "x"}', b'{"cost": {"total_cost_usd": 1e999}}'],
)
def test_any_input(given: bytes) -> None:
    """
    There is a line.
    """
    assert printed(given) == "no savemode proxy"


@contextmanager
def silent() -> Iterator[int]:
    """
    A port on which somebody listens and never answers.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_nobody_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A proxy that does not answer costs its time and no more, and so does an input that does not end.
    """
    asked: list[float] = []
    monkeypatch.setattr(statusline, "_ask", lambda _url, _session, deadline: asked.append(deadline - time.monotonic()))
    with silent() as port:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", f"http://127.0.0.1:{port}")
        assert statusline._summary("s") is None
        assert 0 < asked[0] <= statusline.ASK_S
        monkeypatch.undo()
        assert printed(b"{}", CALLED, ANTHROPIC_BASE_URL=f"http://127.0.0.1:{port}") == "no savemode proxy"
        with subprocess.Popen(CALLED, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.wait(60) == 0  # its input is still open


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n<html>", "no savemode proxy"),
        (b"HTTP/1.1 404 Not Found\r\n\r\n{}", "no savemode proxy"),
        (b"", "no savemode proxy"),
        (b'HTTP/1.1 200 OK\r\n\r\n{"sessions": 5, "budgets": {}}', ""),
        (b'HTTP/1.1 200 OK\r\n\r\n{"sessions": [{"cost_nusd": "x"}]}', "savemode"),
    ],
)
def test_any_answer(answer: bytes, line: str) -> None:
    """
    There is a line.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        command = [*PATIENT]
        environ = {**os.environ, "ANTHROPIC_BASE_URL": f"http://127.0.0.1:{server.getsockname()[1]}"}
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=environ) as process:
            server.settimeout(60)
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answer)
            out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert out.decode().strip() == line


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://127.0.0.1:1",
        "http://example.com:80",
        "http://127.0.0.1",
        "http://127.0.0.1:x",
        "http://127.0.0.1:99999",
    ],
)
def test_only_this_machine_is_asked(url: str) -> None:
    """
    A status line sends nothing anywhere else.
    """
    assert statusline._address(url) is None


@given(
    st.recursive(
        st.none() | st.integers() | st.text() | st.floats(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_whatever_is_passed(value: Any) -> None:
    """
    A cost that is none is left out.
    """
    assert isinstance(status_line({"cost": {"total_cost_usd": value}}, None, NOW), str)


def test_it_is_light() -> None:
    """
    Nothing of the command line, of configuration and of HTTP is loaded for it.
    """
    code = (
        "import sys\nbefore = set(sys.modules)\nimport savemode_cli.entry, savemode_cli.statusline\n"
        "print(sorted(name for name in set(sys.modules) - before if name.split('.')[0] in "
        "('typer', 'click', 'msgspec', 'http', 'urllib', 'pathlib', 'asyncio', 'platformdirs', 'typing', 'dataclasses') "
        "or name.startswith(('savemode_cli.cli', 'savemode_cli.core', 'savemode_cli.config'))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_what_is_spelled_twice() -> None:
    """
    Is the same in both places.
    """
    assert TOKEN_HEADER.decode() == ACCESS_HEADER
    assert proxies_folder() == str(user_data() / "proxies")
