"""
An HTTP server on loopback that records requests with JSON bodies, as PostHog and webhooks receive them, and that fails
where a test wants it to; and a fake program.
"""

import gzip
import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.support.waiting import LONG_S


@dataclass
class Post:
    """
    One request as it arrived.
    """

    path: str
    raw: bytes
    """The body as it was on the wire."""
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)
    """The names in lower case."""

    @property
    def events(self) -> list[dict[str, Any]]:
        """
        The events of a batch, or the one that was sent alone.
        """
        batch: list[dict[str, Any]] = self.body.get("batch", [self.body])
        return batch


Answer = Callable[[Post], tuple[int, dict[str, Any] | bytes] | None]
"""What to answer a request: a status and a body; None: nothing, the connection is ended."""


def takes(_post: Post) -> tuple[int, dict[str, Any]]:
    """
    Accept every request, as PostHog does.
    """
    return 200, {"status": 1}


def accepts(_post: Post) -> tuple[int, bytes]:
    """
    Accept every request, as a webhook does.
    """
    return 204, b""


@dataclass
class Receiver:
    """
    What arrived.
    """

    port: int
    answer: Answer = takes
    statuses: list[int] = field(default_factory=list)
    """The next answers, without a body; afterwards `answer` decides."""
    posts: list[Post] = field(default_factory=list)
    """Every request, in order."""
    taken: list[dict[str, Any]] = field(default_factory=list)
    """The events of the requests that were answered 200."""
    raw: list[bytes] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    changed: threading.Condition = field(default_factory=threading.Condition)

    @property
    def url(self) -> str:
        """
        Where it listens.
        """
        return f"http://127.0.0.1:{self.port}"

    @property
    def webhook(self) -> str:
        """
        The address of a webhook, with a secret in its path.
        """
        return f"{self.url}/hook/made-up-secret"

    @property
    def alerts(self) -> list[dict[str, Any]]:
        """
        The bodies of all requests.
        """
        return [post.body for post in self.posts]

    def await_events(self, count: int, within_s: float = LONG_S) -> list[dict[str, Any]]:
        """
        The events taken, once there are so many.
        """
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.taken) >= count, within_s), f"{len(self.taken)} of {count}"
        return self.taken

    def await_posts(self, count: int, within_s: float = LONG_S) -> list[Post]:
        """
        The requests, once there were so many.
        """
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.posts) >= count, within_s), f"{len(self.posts)} of {count}"
        return self.posts


@contextmanager
def receiver(answer: Answer = takes) -> Iterator[Receiver]:
    """
    A receiver for as long as the block runs.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("content-length", 0)))
            plain = gzip.decompress(raw) if self.headers.get("content-encoding") == "gzip" else raw
            headers = {name.lower(): value for name, value in self.headers.items()}
            post = Post(self.path, raw, json.loads(plain), headers)
            with one.changed:
                one.posts.append(post)
                one.raw += [plain, str(self.headers).encode(), self.path.encode()]
                one.changed.notify_all()
            answered = (one.statuses.pop(0), b"") if one.statuses else one.answer(post)
            if answered is None:
                self.close_connection = True
                return
            if answered[0] == 200 and "/flags" not in self.path:
                with one.changed:
                    one.taken += post.events
                    one.changed.notify_all()
            self._reply(*answered)

        def do_GET(self) -> None:
            with one.changed:
                one.posts.append(Post(self.path, b"", {}))
                one.changed.notify_all()
            answered = one.answer(one.posts[-1])
            self._reply(*(answered or (404, {})))

        def _reply(self, status: int, body: dict[str, Any] | bytes) -> None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            try:
                self.send_response(status)
                if status in (301, 302):
                    self.send_header("location", "/elsewhere")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
            except OSError:
                pass  # the sender has given up

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    one = Receiver(server.server_address[1], answer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield one
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


@contextmanager
def receiving() -> Iterator[Receiver]:
    """
    A receiver of webhooks for as long as the block runs.
    """
    with receiver(accepts) as started:
        yield started


def fake_program(monkeypatch: pytest.MonkeyPatch, folder: Path, name: str, *, code: int = 0) -> Path:
    """
    Put a program into a folder that is alone on PATH.

    Args:
        monkeypatch: of the test.
        folder: the folder.
        name: of the program.
        code: its exit code.

    Returns:
        The file to which it appends a JSON line with its arguments and its stdin.
    """
    written = folder / f"{name}.jsonl"
    program = folder / name
    program.write_text(
        f"#!{sys.executable}\nimport json, sys\n"
        f"line = json.dumps([sys.argv[1:], sys.stdin.read()])\n"
        f"open({str(written)!r}, 'a').write(line + '\\n')\n"
        f"raise SystemExit({code})\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    return written
