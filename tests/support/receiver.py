"""
A receiver of webhooks on loopback, and a fake `notify-send`: what they received.
"""

import http.server
import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest


@dataclass
class Receiver:
    """
    What was received, in order. `statuses` are the next answers; 204 once there are none.
    """

    url: str
    received: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)

    @property
    def alerts(self) -> list[dict[str, Any]]:
        """
        The bodies.
        """
        return [json.loads(body) for _, body in self.received]


@contextmanager
def receiving() -> Iterator[Receiver]:
    """
    A receiver that runs until the end of the block.
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            receiver.received.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(receiver.statuses.pop(0) if receiver.statuses else 204)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """
            Print nothing.
            """

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver = Receiver(f"http://127.0.0.1:{server.server_port}/hook/made-up-secret")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()


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
