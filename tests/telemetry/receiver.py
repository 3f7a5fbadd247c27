"""
PostHog on loopback: a real HTTP server that reads bodies as its ingestion does, and fails where a test wants it to.
"""

import gzip
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.waiting import LONG_S


@dataclass
class Post:
    """
    One request as it arrived: its path, its body as it was on the wire, the body read.
    """

    path: str
    raw: bytes
    body: dict[str, Any]

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
    Take what comes.
    """
    return 200, {"status": 1}


@dataclass
class Receiver:
    """
    What arrived: every request, and of those that were answered 200 the events.
    """

    port: int
    answer: Answer = takes
    posts: list[Post] = field(default_factory=list)
    taken: list[dict[str, Any]] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    changed: threading.Condition = field(default_factory=threading.Condition)

    @property
    def url(self) -> str:
        """
        Where it listens.
        """
        return f"http://127.0.0.1:{self.port}"

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
            post = Post(self.path, raw, json.loads(plain))
            with one.changed:
                one.posts.append(post)
                one.raw += [plain, str(self.headers).encode(), self.path.encode()]
                one.changed.notify_all()
            answered = one.answer(post)
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
