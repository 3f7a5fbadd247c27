"""
The upstream of the findings: it answers on loopback as the Messages API does, with the usage that a finding needs.

A script imports `serve`; a script in another language runs this file, reads the address from its first line, and stops
it by its process id.
"""

from __future__ import annotations

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# 18,010 tokens of prompt: 10 uncached, 15,000 read, 3,000 written. At the list prices of claude-opus-5-5 this answer
# costs 0.02418 USD; with the one-hour writes at the five-minute price it would be 0.01818 USD.
USAGE: dict[str, Any] = {
    "input_tokens": 10,
    "cache_creation_input_tokens": 3000,
    "cache_read_input_tokens": 15000,
    "cache_creation": {"ephemeral_5m_input_tokens": 1000, "ephemeral_1h_input_tokens": 2000},
    "output_tokens": 7,
    "service_tier": "standard",
    "inference_geo": "global",
}


def events(message: dict[str, Any]) -> list[dict[str, Any]]:
    """The same answer as a stream. As in the API, the last usage has no split, no tier and no geo."""
    usage = message["usage"]
    start = {**message, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
    last = {key: usage[key] for key in usage if key.endswith("_tokens") or key == "iterations"}
    return [
        {"type": "message_start", "message": start},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": last},
        {"type": "message_stop"},
    ]


class Upstream(ThreadingHTTPServer):
    """Answers every POST; `usage`, `status` and `headers` may be changed between two requests."""

    daemon_threads = True
    status = 200

    def __init__(self, usage: dict[str, Any], port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.usage = usage
        self.headers: dict[str, str] = {}
        self.requests: list[dict[str, Any]] = []
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Upstream
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append(request)
        number = len(self.server.requests)
        if self.server.status != 200:
            error = {"type": "rate_limit_error", "message": "made up"}
            self._answer(json.dumps({"type": "error", "error": error}), "application/json")
            return
        message = {
            "id": f"msg_{number}",
            "type": "message",
            "role": "assistant",
            "model": request["model"],
            "content": [{"type": "text", "text": "Hello"}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": self.server.usage,
        }
        if request.get("stream"):
            stream = "".join(f"event: {e['type']}\ndata: {json.dumps(e)}\n\n" for e in events(message))
            self._answer(stream, "text/event-stream")
        else:
            self._answer(json.dumps(message), "application/json")

    def _answer(self, text: str, content_type: str) -> None:
        body = text.encode()
        self.send_response(self.server.status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Request-Id", f"req_{len(self.server.requests)}")
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing: what a script prints is its observation."""


def serve(usage: dict[str, Any] = USAGE) -> Upstream:
    """Start an upstream on a free port; it ends with the process."""
    upstream = Upstream(usage)
    threading.Thread(target=upstream.serve_forever, daemon=True).start()
    return upstream


if __name__ == "__main__":
    standalone = Upstream(USAGE)
    print(standalone.url, flush=True)
    sys.exit(standalone.serve_forever())
