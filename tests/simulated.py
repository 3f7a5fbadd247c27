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

from savemode_cli.proxy.simulated.answers import Object
from savemode_cli.proxy.simulated.clock import Clock
from savemode_cli.proxy.simulated.faults import parse
from savemode_cli.proxy.simulated.script import parse_script
from savemode_cli.proxy.simulated.serving import Serving
from savemode_cli.proxy.simulated.upstream import Behaviour, Served, SimulatedUpstream
from tests.proxy.wire import End, Wired, request

MODEL = "claude-opus-5-5"
KEY = ("x-api-key", "made-up")
VERSION = ("anthropic-version", "2023-06-01")
LONG = "Read the whole of it before you answer. " * 200
"""More than the least that is cached."""

Headers = tuple[tuple[str, str], ...]


@dataclass
class Simulated:
    """
    One that serves, and what it told of its requests.
    """

    app: SimulatedUpstream
    url: str
    served: list[Served] = field(default_factory=list)

    @property
    def port(self) -> int:
        """
        Where it listens.
        """
        return int(self.url.rpartition(":")[2])

    def told(self, number: int = 0) -> Served:
        """
        What it told of a request, once it has: one that is broken off is over for the client before.
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
    One that behaves like this, on a free port.
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
    A request; a list is a whole conversation, anything else the first words of one.
    """
    messages = said if isinstance(said, list) else [{"role": "user", "content": said}]
    return {"model": MODEL, "max_tokens": 64, "messages": messages, **more}


def system(ttl: str | None = None, text: str = LONG) -> list[Object]:
    """
    A system prompt that is worth caching, marked.
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
    The answer to one request, on a connection of its own.

    Raises:
        CutShort: it ended before its end.
    """
    raw = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    with End.to(port) as client:
        client.send(request(method, target, raw, KEY, VERSION, *headers))
        return client.message(bodiless=method == "HEAD")


def read(answer: Wired) -> Any:
    """
    An answer's JSON.
    """
    return json.loads(answer.body)


def stream_of(answer: Wired) -> list[Object]:
    """
    A stream's events.
    """
    blocks = answer.body.decode().split("\n\n")
    return [json.loads(block.partition("data: ")[2]) for block in blocks if block]


def bill(answer: Wired) -> tuple[int, int, int, int]:
    """
    What an answer says was read, written for 5 minutes, written for 1 hour, and neither.
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
