"""
How long one client's request makes another client wait, and whether idle connections keep new clients out.

A second client sends 2 KB each 50 ms while another one sends a large body; what is printed is its longest wait. The row
"alone" is the same client with nobody beside it: what the machine itself adds. Everything runs on loopback.
"""

import asyncio
import resource
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

from tests.benchmarks.bodies import KB, agent_body
from tests.benchmarks.client import Client
from tests.benchmarks.processes import free_port, python, split_command, started
from tests.benchmarks.tables import columns, fixed, median, note, options, show_json

SAVEMODE = (
    "python -m savemode_cli serve --host 127.0.0.1 --port {port} --upstream {upstream} "
    "--ttl-policy always --debug --quiet"
)
SAVEMODE_ENVIRON = {"COST_CONTROLS_ENABLED": "true"}
GAP_S = 0.05
CONNECTIONS = 5_000

_HEAD = b'{"model":"claude-opus-5-5","max_tokens":1024,"messages":[{"role":"user","content":['
_TAIL = b"]}]}"
_MARKED = b'{"type":"text","text":"x","cache_control":{"type":"ephemeral"}}'
_PLAIN = b'{"type":"text","text":"a line of a conversation without a marker"}'


@dataclass(frozen=True, slots=True)
class Plan:
    """
    How often each body is sent, and for how long the client is alone, in seconds.
    """

    rounds: int
    alone_s: float


FULL = Plan(rounds=5, alone_s=5)
QUICK = Plan(rounds=2, alone_s=2)


def bodies() -> dict[str, bytes]:
    """
    Large bodies of different kinds, each within the 32 MB that the API takes.
    """
    return {
        "28 MB, 400,000 markers": _repeated(_MARKED, 400_000, 28_000_000),
        "31 MB of plain blocks": _repeated(_PLAIN, 31_000_000 // (len(_PLAIN) + 1)),
        "31 MB of empty blocks": _repeated(b"{}", 10_300_000),
        "31 MB of numbers": _repeated(b"1", 15_500_000),
        "31 MB, one text": _HEAD + b'{"type":"text","text":"' + b"x" * 31_000_000 + b'"}' + _TAIL,
        "1 MB of empty lists": _repeated(b"[]", 349_000),
    }


def _repeated(block: bytes, count: int, size_bytes: int = 0) -> bytes:
    body = _HEAD + b",".join([block] * count) + _TAIL
    return body[: -len(_TAIL)] + b" " * (size_bytes - len(body)) + _TAIL


def main() -> None:
    """
    Measure and print.
    """
    parser = options(__doc__)
    parser.add_argument("--command", default=SAVEMODE, help="how savemode is started (default: %(default)s)")
    chosen = parser.parse_args()
    plan = QUICK if chosen.quick else FULL
    with _running(split_command(chosen.command.replace("{upstream}", "UPSTREAM"))) as port:
        waits = asyncio.run(_waits(port, plan))
    with _running(split_command(chosen.command.replace("{upstream}", "UPSTREAM"))) as port:
        held = asyncio.run(_held(port))
    if chosen.json:
        show_json({"longest_wait_s": waits, "connections": CONNECTIONS, "new_client_s": held})
        return
    rows = [(name, fixed(max(found), 3), fixed(median(found), 3)) for name, found in waits.items()]
    print(columns("Longest wait of a second client, 2 KB each 50 ms", ("beside", "worst s", "median s"), rows))
    print()
    locked = [(name, "locked out" if found is None else fixed(found, 3)) for name, found in held.items()]
    print(columns(f"A new client beside {CONNECTIONS:,} open connections", ("they", "served after s"), locked))
    print()
    print(
        note(
            "worst and median are over the rounds of this run. On a busy machine compare with the row of the client alone."
        )
    )


@contextmanager
def _running(command: Sequence[str]) -> Iterator[int]:
    """
    The proxy before an upstream of its own; its port.
    """
    port, upstream_port = free_port(), free_port()
    words = [
        word.replace("{port}", str(port)).replace("UPSTREAM", f"http://127.0.0.1:{upstream_port}") for word in command
    ]
    with ExitStack() as stack:
        stack.enter_context(started(python("-m", "tests.benchmarks.upstream", "--port", str(upstream_port))))
        proxy = stack.enter_context(started(words, SAVEMODE_ENVIRON))
        for number in (upstream_port, port):
            _until_open(number)
        yield port
        proxy.check("savemode")


def _until_open(port: int) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.01)
    raise SystemExit(f"nobody listens on {port}")


def _request(body: bytes) -> bytes:
    head = f"POST /v1/messages HTTP/1.1\r\nhost: 127.0.0.1\r\nx-api-key: k\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def _waits(port: int, plan: Plan) -> dict[str, list[float]]:
    client = await Client.connect(port)
    small = _request(agent_body(2 * KB))
    await client.ask(small)
    _send(port, _request(agent_body(2048 * KB)))  # processes that are started once are started now
    waits = {"nobody": [await _longest(client, small, _sleeping(plan.alone_s)) for _ in range(plan.rounds)]}
    for name, body in bodies().items():
        large = _request(body)
        waits[name] = [await _longest(client, small, _sending(port, large)) for _ in range(plan.rounds)]
    return waits


def _sleeping(seconds: float) -> threading.Thread:
    return threading.Thread(target=time.sleep, args=(seconds,))


def _sending(port: int, data: bytes) -> threading.Thread:
    return threading.Thread(target=_send, args=(port, data))


def _send(port: int, data: bytes) -> None:
    """
    Send it three times, one after the other, so that some request of the other client falls into each part of the work.
    """
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", port), 300) as connection:
            connection.sendall(data)
            answer = connection.recv(65536)
            if b" 200 " not in answer[:16]:
                raise SystemExit(f"answered {answer[:300]!r}")


async def _longest(client: Client, small: bytes, beside: threading.Thread) -> float:
    """
    The longest that the client waits while the thread runs, and one request longer.
    """
    longest = 0.0
    beside.start()
    while True:
        over = not beside.is_alive()
        longest = max(longest, (await client.ask(small))[0])
        if over:
            return longest
        await asyncio.sleep(GAP_S)


async def _held(port: int) -> dict[str, float | None]:
    """
    How long a new client waits for its answer while others hold connections open, by what they have sent.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    small = _request(agent_body(2 * KB))
    kinds = {"have sent nothing": b"", "have sent half a head": small[:40], "have sent half a body": small[:-1000]}
    return {name: await _new_client(port, sent, small) for name, sent in kinds.items()}


async def _new_client(port: int, sent: bytes, small: bytes) -> float | None:
    with ExitStack() as stack:
        for _ in range(CONNECTIONS):
            try:
                held = stack.enter_context(socket.create_connection(("127.0.0.1", port), 5))
                held.sendall(sent)
            except OSError:
                return None
        begin = time.monotonic()
        try:
            client = await asyncio.wait_for(Client.connect(port), 5)
            await asyncio.wait_for(client.ask(small), 5)
        except (OSError, TimeoutError):
            return None
        return time.monotonic() - begin


if __name__ == "__main__":
    main()
