"""
The register of running proxies: which proxies are in it, and what each of them answers.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from savemode_cli.serving.running import RunningProxy, exchanges_of, health_of, registered, running_proxies

HERE = RunningProxy("http://127.0.0.1:8787", os.getpid(), "abc")


@contextmanager
def answering(status: int, body: bytes, seen: list[str] | None = None) -> Iterator[str]:
    """
    A server that gives one answer to every request; it appends the access tokens that it gets to `seen`.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if seen is not None:
                seen.append(self.headers.get("x-savemode-token", ""))
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_proxy_is_found_while_it_runs(tmp_path: Path) -> None:
    """
    Only this user can read the files that the proxy writes.
    """
    folder = tmp_path / "data" / "proxies"
    other = RunningProxy("http://127.0.0.1:1", os.getpid(), "")
    with registered(folder, HERE), registered(folder, other):
        assert running_proxies(folder) == [other, HERE]
        assert {oct(path.stat().st_mode & 0o777) for path in folder.iterdir()} == {"0o600"}
        assert oct(folder.stat().st_mode & 0o777) == "0o700"

    assert running_proxies(folder) == []
    assert list(folder.iterdir()) == []


def test_proxy_that_was_killed_is_forgotten(tmp_path: Path) -> None:
    """
    The file stays behind, and the next command that looks removes it.
    """
    dead = subprocess.Popen([sys.executable, "-c", "pass"])
    dead.wait()
    (tmp_path / "1.json").write_text(json.dumps({"url": HERE.url, "pid": dead.pid, "ledger": ""}))

    assert running_proxies(tmp_path) == []
    assert not (tmp_path / "1.json").exists()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"url": 1, "pid": "x", "ledger": ""}',
        '{"url": "https://example.com:1", "pid": 1, "ledger": ""}',
        '{"url": "http://127.0.0.1", "pid": 1, "ledger": ""}',
        '{"url": "http://127.0.0.1:1", "pid": -1, "ledger": ""}',
        '{"url": "http://127.0.0.1:1", "pid": 1e400, "ledger": ""}',
        '{"url": "http://[", "pid": 1, "ledger": ""}',
    ],
)
def test_file_that_does_not_describe_a_proxy_is_removed(tmp_path: Path, text: str) -> None:
    """
    A file with any other content is ignored without an error.
    """
    (tmp_path / "1.json").write_text(text)

    assert running_proxies(tmp_path) == []


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """
    The proxy serves anyway, and no command finds it.
    """
    (tmp_path / "data").write_text("a file")
    with registered(tmp_path / "data" / "proxies", HERE):
        assert running_proxies(tmp_path / "data" / "proxies") == []


def test_health() -> None:
    """
    What the proxy answers, with the access token if there is one.
    """
    seen: list[str] = []
    with answering(200, b'{"status": "ok", "budgets": []}', seen) as url:
        proxy = RunningProxy(url, 1, "")
        assert health_of(proxy) == health_of(proxy, "0123456789abcdef") == {"status": "ok", "budgets": []}

    assert seen == ["", "0123456789abcdef"]
    assert health_of(proxy) is None


def test_exchanges() -> None:
    """
    The rows that are objects; empty if the answer does not come from a savemode proxy.
    """
    with answering(200, b'{"exchanges": [{"id": 1}, 7]}') as url:
        assert exchanges_of(RunningProxy(url, 1, "")) == [{"id": 1}]
    with answering(200, b'{"exchanges": {}}') as url:
        assert exchanges_of(RunningProxy(url, 1, "")) == []
    assert exchanges_of(RunningProxy(url, 1, "")) == []


@pytest.mark.parametrize(
    ("status", "body"), [(401, b'{"status": "ok"}'), (200, b"[]"), (200, b"junk"), (200, b'{"status": "sick"}')]
)
def test_answers_of_another_program(status: int, body: bytes) -> None:
    """
    Another program may use the port by now.
    """
    with answering(status, body) as url:
        assert health_of(RunningProxy(url, 1, "")) is None
