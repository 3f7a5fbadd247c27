"""
A very fast upstream on loopback: it reads a request, judges nothing, and answers at once.

    python -m tests.benchmarks.upstream --port PORT

The query of the path chooses the answer: `wait_ms=` holds it back, `sse=N&gap_ms=` makes it a stream of N events, each
with the monotonic time in nanoseconds at which it was written, as in `"text":"t=123"`; `count=1` answers with the
number of bytes in the request's body.
"""

import argparse
import asyncio
import json
import re
import time
from functools import partial
from typing import cast

import uvloop

from tests.benchmarks.wire import Message

_QUERY = re.compile(rb"[?&](sse|gap_ms|wait_ms|count)=(\d+)")
_USAGE = {"input_tokens": 12, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 81_204, "output_tokens": 61}
_TEXT = "The test fails because the settlement runs twice when the client hangs up before the last event. " * 3
_MESSAGE = {
    "id": "msg_01XFDUDYJgAACzvnptvVoYEL",
    "type": "message",
    "role": "assistant",
    "model": "claude-opus-5-5",
    "content": [{"type": "text", "text": _TEXT}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": _USAGE,
}


def _answer(kind: bytes, body: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\nrequest-id: req_1\r\ncontent-length: %d\r\n\r\n"
    return head % (kind, len(body)) + body


def _event(name: str, **fields: object) -> bytes:
    return f"event: {name}\ndata: {json.dumps({'type': name, **fields})}\n\n".encode()


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


_JSON = _answer(b"application/json", json.dumps(_MESSAGE).encode())
_STREAM = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nrequest-id: req_1\r\ntransfer-encoding: chunked\r\n\r\n"
)
_FIRST = _chunk(_event("message_start", message=_MESSAGE | {"content": [], "stop_reason": None}))
_LAST = (
    _chunk(_event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 61}))
    + _chunk(_event("message_stop"))
    + b"0\r\n\r\n"
)
_DELTA = (
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
    b'"delta":{"type":"text_delta","text":"t=%d"}}\n\n'
)


class Upstream(asyncio.Protocol):
    """
    One connection, kept alive, one request at a time.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """
        Waits for a request.
        """
        self._loop = loop
        self._message = Message()
        self._body_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """
        Nothing is sent before a request.
        """
        # uvloop's transports are no subclasses of the standard ones.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """
        Bodies are counted, not kept.
        """
        message = self._message
        self._body_bytes += len(message.feed(data))
        if message.done:
            target = message.head[: message.head.index(b"\r\n")]
            if b"?" in target:
                self._answer_as_asked({name: int(value) for name, value in _QUERY.findall(target)})
            else:
                self._transport.write(_JSON)
            self._message = Message()
            self._body_bytes = 0

    def _answer_as_asked(self, asked: dict[bytes, int]) -> None:
        if b"count" in asked:
            self._transport.write(_answer(b"application/json", b"%d" % self._body_bytes))
        elif b"sse" in asked:
            self._transport.write(_STREAM + _FIRST)
            self._send_event(asked[b"sse"], asked.get(b"gap_ms", 2) / 1000)
        else:
            self._loop.call_later(asked.get(b"wait_ms", 0) / 1000, self._transport.write, _JSON)

    def _send_event(self, left: int, gap_s: float) -> None:
        if self._transport.is_closing():
            return
        if left == 0:
            self._transport.write(_LAST)
            return
        self._transport.write(_chunk(_DELTA % time.monotonic_ns()))
        self._loop.call_later(gap_s, self._send_event, left - 1, gap_s)


async def _serve(port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(partial(Upstream, loop), "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


def main() -> None:
    """
    Serve until stopped.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    uvloop.run(_serve(parser.parse_args().port))


if __name__ == "__main__":
    main()
