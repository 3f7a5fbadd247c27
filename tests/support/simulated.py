"""
The simulated upstream for tests: on a real socket, in a thread of this process.
"""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from savemode_cli.simulated.answers import Object
from savemode_cli.simulated.clock import Clock
from savemode_cli.simulated.faults import parse
from savemode_cli.simulated.script import parse_script
from savemode_cli.simulated.serving import Serving
from savemode_cli.simulated.upstream import Behaviour, Served, SimulatedUpstream
from tests.support.wire import End, Wired, request

MODEL = "claude-opus-5-5"
KEY = ("x-api-key", "made-up")
VERSION = ("anthropic-version", "2023-06-01")
LONG = "Read the whole of it before you answer. " * 200
"""A text that is longer than the shortest prompt that the API caches."""

Headers = tuple[tuple[str, str], ...]


@dataclass
class Simulated:
    """
    A running simulated upstream, and its log of requests.
    """

    app: SimulatedUpstream
    url: str
    served: list[Served] = field(default_factory=list)

    @property
    def port(self) -> int:
        """
        The port on which it listens.
        """
        return int(self.url.rpartition(":")[2])

    def told(self, number: int = 0) -> Served:
        """
        The log entry of a request. This waits for it, because a client can see a broken connection before the upstream
        has logged it.
        """
        for _ in range(1000):
            if len(self.served) > number:
                return self.served[number]
            time.sleep(0.01)
        raise AssertionError(f"no request {number} is over")

    @property
    def clock(self) -> Clock:
        """
        Its clock.
        """
        return self.app.clock


@contextmanager
def running_simulated(
    *, script: Any = (), fault: str = "", clock: Clock | None = None, **more: Any
) -> Iterator[Simulated]:
    """
    A simulated upstream with this behaviour, on a free port.
    """
    served: list[Served] = []
    behaviour = Behaviour(parse_script(list(script)), parse(fault), **more)
    serving = Serving(SimulatedUpstream(behaviour, clock=clock, served=served.append))
    serving.server.main_loop = lambda: _ticks(serving)  # type: ignore[method-assign]
    thread = threading.Thread(target=lambda: asyncio.run(serving.run()))
    thread.start()
    try:
        yield Simulated(serving.app, serving.url, served)
    finally:
        serving.server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()


async def _ticks(serving: Serving) -> None:
    number = 0
    while not await serving.server.on_tick(number):
        number += 1
        await asyncio.sleep(0.01)


def asks(said: Any = "hello", **more: Any) -> Object:
    """
    A request. A list is a whole conversation; anything else is its first message.
    """
    messages = said if isinstance(said, list) else [{"role": "user", "content": said}]
    return {"model": MODEL, "max_tokens": 64, "messages": messages, **more}


def system(ttl: str | None = None, text: str = LONG) -> list[Object]:
    """
    A marked system prompt that is long enough to be cached.
    """
    return [{"type": "text", "text": text, "cache_control": {"type": "ephemeral", **({"ttl": ttl} if ttl else {})}}]


def sent(
    port: int,
    body: Object | bytes | None,
    *headers: tuple[str, str],
    target: str = "/v1/messages",
    method: str = "POST",
) -> Wired:
    """
    The answer to one request, on a new connection.

    Raises:
        CutShort: the connection closed before the answer was complete.
    """
    raw = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    with End.to(port) as client:
        client.send(request(method, target, raw, KEY, VERSION, *headers))
        return client.message(bodiless=method == "HEAD")


def read(answer: Wired) -> Any:
    """
    The JSON of an answer.
    """
    return json.loads(answer.body)


def stream_of(answer: Wired) -> list[Object]:
    """
    The events of a stream.
    """
    blocks = answer.body.decode().split("\n\n")
    return [json.loads(block.partition("data: ")[2]) for block in blocks if block]


def bill(answer: Wired) -> tuple[int, int, int, int]:
    """
    The tokens that an answer reports as read, written for 5 minutes, written for 1 hour, and uncached.
    """
    usage = read(answer)["usage"]
    split = usage["cache_creation"]
    assert usage["cache_creation_input_tokens"] == sum(split.values())
    return (
        usage["cache_read_input_tokens"],
        split["ephemeral_5m_input_tokens"],
        split["ephemeral_1h_input_tokens"],
        usage["input_tokens"],
    )
