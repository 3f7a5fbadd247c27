"""
How fast the simulated upstream answers: requests per second of 2 KB, and the time of a body of 1 MB in 400 blocks.

The server is a process of its own with one thread; the load comes from this one. Cold means that the bodies differ from
their first block on, so that nothing is read from the cache.
"""

import asyncio
import time
from collections.abc import Iterator

import uvloop

from tests.benchmarks.bodies import KB, MB, agent_body
from tests.benchmarks.client import Client
from tests.benchmarks.processes import Running, free_port, python, started
from tests.benchmarks.proxy import Target, ready, request
from tests.benchmarks.tables import columns, fixed, median, options, percentile, show_json

CONNECTIONS = 16
_STREAM = b'"stream":true'
_JSON = b'"stream":null'  # of the same length, so that both bodies are


def main() -> None:
    """
    Measure and print the table.
    """
    chosen = options(__doc__).parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        figures = runner.run(measure(seconds=1.0 if chosen.quick else 5.0, count=20 if chosen.quick else 150))
    if chosen.json:
        show_json({"figures": figures})
        return
    rows = [[name, *(fixed(figures[f"{name}_{what}"]) for what in ("rps", "cpu_ms"))] for name in ("json", "stream")]
    print(columns("2 KB, 16 connections", ["answer", "requests/s", "CPU ms"], rows), end="\n\n")
    rows = [
        [name, *(fixed(figures[f"1_mb_{name}_{what}"]) for what in ("p50_ms", "p99_ms", "cpu_ms"))]
        for name in ("warm", "cold")
    ]
    print(columns("1 MB, one connection", ["cache", "p50 ms", "p99 ms", "CPU ms"], rows))


async def measure(seconds: float, count: int) -> dict[str, float | None]:
    """
    Every figure by its name.
    """
    figures: dict[str, float | None] = {}
    port = free_port()
    with started(python("-m", "savemode_cli", "simulate-upstream", "--port", str(port), "--quiet")) as server:
        await ready(Target("simulated", port, server))
        small = agent_body(2 * KB)
        for name, body in (("json", small.replace(_STREAM, _JSON)), ("stream", small)):
            figures |= await _throughput(server, port, name, body, seconds)
        large = agent_body(MB).replace(_STREAM, _JSON)
        for name, bodies in (("warm", _warm(large, count)), ("cold", _cold(large, count))):
            figures |= await _latency(server, port, name, bodies)
    return figures


async def _throughput(server: Running, port: int, name: str, body: bytes, seconds: float) -> dict[str, float | None]:
    asked = request(port, body)
    clients = [await Client.connect(port) for _ in range(CONNECTIONS)]
    await asyncio.gather(*(client.ask(asked) for client in clients))
    cpu_s, start = server.cpu_s(), time.monotonic()
    counts = await asyncio.gather(*(_ask_until(client, asked, start + seconds) for client in clients))
    taken_s, used_s = time.monotonic() - start, server.cpu_s()
    for client in clients:
        client.close()
    spent = None if cpu_s is None or used_s is None else (used_s - cpu_s) * 1000 / sum(counts)
    return {f"{name}_rps": sum(counts) / taken_s, f"{name}_cpu_ms": spent}


async def _ask_until(client: Client, asked: bytes, end: float) -> int:
    count = 0
    while time.monotonic() < end:
        await client.ask(asked)
        count += 1
    return count


async def _latency(server: Running, port: int, name: str, bodies: Iterator[bytes]) -> dict[str, float | None]:
    client = await Client.connect(port)
    cpu_s = server.cpu_s()
    taken = [(await client.ask(request(port, body)))[0] * 1000 for body in bodies]
    used_s = server.cpu_s()
    client.close()
    spent = None if cpu_s is None or used_s is None else (used_s - cpu_s) * 1000 / len(taken)
    figures = {"p50_ms": median(taken), "p99_ms": percentile(taken, 99), "cpu_ms": spent}
    return {f"1_mb_{name}_{what}": value for what, value in figures.items()}


def _warm(body: bytes, count: int) -> Iterator[bytes]:
    yield from [body] * count


def _cold(body: bytes, count: int) -> Iterator[bytes]:
    for number in range(count):
        yield body.replace(b"careful", b"%07d" % number)


if __name__ == "__main__":
    main()
