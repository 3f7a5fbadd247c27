"""
What the tests of faults ask, what they are answered, and what they look at afterwards.
"""

import json
import socket
import struct
from datetime import UTC, datetime
from typing import Any

from tests.support.streams import MODEL, sse, streamed_text
from tests.support.upstream import ANSWER, RunningProxy
from tests.support.wire import CHUNKED, LAST_CHUNK, End, chunk

ASKED: dict[str, Any] = {"model": MODEL, "max_tokens": 64, "messages": [{"role": "user", "content": "hello"}]}
PLAIN = json.dumps(ASKED).encode()
STREAM = json.dumps({**ASKED, "stream": True}).encode()
PLAIN_NUSD = 32_000
"""3 tokens of input and 1 of output at $4 and $20 a million (tests/proxy/test_money.py)."""
STREAM_NUSD = 152_000
"""3 of input and 7 of output."""

EVENTS = [sse(event) for event in streamed_text("hel", "lo")]
WHOLE = CHUNKED + b"".join(chunk(event) for event in EVENTS)
"""A stream to its last event, and without its end."""
BEGUN = CHUNKED + b"".join(chunk(event) for event in EVENTS[:4])
"""A stream that has said `hel`."""
JSON_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(ANSWER)
ENDED = WHOLE + LAST_CHUNK
JSON = JSON_HEAD + ANSWER


def resets(end: End) -> None:
    """
    End a connection as a crashed host does: with a reset in place of a goodbye.
    """
    end.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end.close()


def held_nusd(proxy: RunningProxy) -> int:
    """
    All that is held.
    """
    return sum(one.hold.ask_nusd for one in proxy.ledger.holds(datetime.now(UTC)))


def charged(proxy: RunningProxy) -> list[int]:
    """
    What was charged, in order; nothing may be held any more.
    """
    assert proxy.ledger.holds(datetime.now(UTC)) == ()
    return [charge.nusd for charge in proxy.ledger.charges()]
