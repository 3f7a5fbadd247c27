"""
Builds of savemode beside each other and beside a plain pass-through, in what `instructions` does not show: streams, one
request in flight, the start, and memory.

The targets take turns, and the table has medians. Savemode runs with everything on: upgrades, a budget and its ledger on a
disk, the meter, receipts and request lines.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field

import uvloop

from tests.benchmarks.bodies import KB, MB, agent_body
from tests.benchmarks.builds import PINNED, build_of, working_tree
from tests.benchmarks.client import Client
from tests.benchmarks.instructions import upstream
from tests.benchmarks.processes import free_port, python, started
from tests.benchmarks.proxy import Target, ready, request
from tests.benchmarks.tables import columns, fixed, median, note, options, percentile, show_json, times

STREAMS, EVENTS, GAP_MS = 50, 65, 20
ONE_STREAM_EVENTS, ONE_STREAM_GAP_MS = 200, 2
LARGE_BODIES, HOLD_MS = 50, 2500
_PATIENCE_S = 60

Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Candidate:
    """
    Something that can be started: its name, and its command from its own port and that of the upstream.
    """

    name: str
    command: Callable[[int, int], list[str]]
    environ: Mapping[str, str] = field(default_factory=dict)


def main() -> None:
    """
    Measure the builds that were asked for, and print a table.
    """
    parser = options(__doc__)
    parser.add_argument("--against", action="append", metavar="COMMIT", help=f"a commit to measure, too ({PINNED})")
    chosen = parser.parse_args()
    builds = [*(build_of(commit) for commit in chosen.against or [PINNED]), working_tree()]
    candidates = [Candidate("plain", _plain), *(Candidate(one.name, one.serve, one.environ) for one in builds)]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        figures = runner.run(measure(candidates, 2 if chosen.quick else 7))
    if chosen.json:
        show_json(figures)
    else:
        _print([candidate.name for candidate in candidates], figures)


def _plain(port: int, upstream_port: int) -> list[str]:
    url = f"http://127.0.0.1:{upstream_port}"
    return python("-m", "tests.benchmarks.plain_proxy", "--port", str(port), "--upstream", url)


async def measure(candidates: Sequence[Candidate], rounds: int) -> dict[str, Figures]:
    """
    The medians of all figures, by candidate.
    """
    taken: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    with ExitStack() as stack:
        upstream_port = await upstream(stack)
        for _ in range(rounds):
            # New processes: what an earlier burst has left with the allocator would hide the growth.
            for candidate in candidates:
                for name, value in (await _started(candidate, upstream_port)).items():
                    taken[candidate.name][name].append(value)
        targets = [await _begin(stack, candidate, upstream_port) for candidate in candidates]
        tests: list[Callable[[Target], Awaitable[Figures]]] = [_streams, _one_stream, _one_in_flight]
        for number in range(rounds + 1):
            for test in tests:
                for target in targets:
                    figures = await test(target)
                    for name, value in figures.items() if number else ():  # the first round warms them up
                        taken[target.name][name].append(value)
    return {who: {name: median(values) for name, values in own.items()} for who, own in taken.items()}


async def _begin(stack: ExitStack, candidate: Candidate, upstream_port: int) -> Target:
    port = free_port()
    process = stack.enter_context(started(candidate.command(port, upstream_port), candidate.environ))
    target = Target(candidate.name, port, process)
    await ready(target, _PATIENCE_S)
    return target


async def _started(candidate: Candidate, upstream_port: int) -> Figures:
    """
    From the start of the process to the first answer, and the memory of the process before and with large bodies.
    """
    with ExitStack() as stack:
        port, begin = free_port(), time.monotonic()
        process = stack.enter_context(started(candidate.command(port, upstream_port), candidate.environ))
        await _first_answer(port)
        seconds, idle = time.monotonic() - begin, process.resident_bytes() or 0
        return {
            "start to first answer, s": seconds,
            "memory when idle, MB": idle / MB,
            f"growth with {LARGE_BODIES} bodies of 1 MB, MB": await _growth(Target(candidate.name, port, process)),
        }


async def _first_answer(port: int) -> None:
    end = time.monotonic() + _PATIENCE_S
    while time.monotonic() < end:
        with suppress(OSError):
            client = await Client.connect(port)
            try:
                await client.ask(request(port, agent_body(2 * KB)))
            finally:
                client.close()
            return
        await asyncio.sleep(0.005)
    raise SystemExit(f"no answer after {_PATIENCE_S} s")


async def _growth(target: Target) -> float:
    """
    How far it grows while the upstream holds back the answers to many large bodies, each of another conversation.
    """
    assert target.proxy is not None
    clients = [await Client.connect(target.port) for _ in range(LARGE_BODIES)]
    await asyncio.gather(*(client.ask(request(target.port, agent_body(2 * KB))) for client in clients))
    before = target.proxy.resident_bytes() or 0
    asked = [agent_body(MB, session=f"session_{number:04}") for number in range(LARGE_BODIES)]
    answers = asyncio.gather(
        *(
            client.ask(request(target.port, body, f"?wait_ms={HOLD_MS}"))
            for client, body in zip(clients, asked, strict=True)
        )
    )
    sizes = []
    while not answers.done():
        sizes.append(target.proxy.resident_bytes() or 0)
        await asyncio.sleep(0.02)
    await answers
    for client in clients:
        client.close()
    return (max(sizes) - before) / MB


async def _streams(target: Target) -> Figures:
    """
    The CPU of one event of many streams.
    """
    assert target.proxy is not None
    clients = [await Client.connect(target.port) for _ in range(STREAMS)]
    asked = request(target.port, agent_body(2 * KB), f"?sse={EVENTS}&gap_ms={GAP_MS}")
    before = target.proxy.cpu_s() or 0
    await asyncio.gather(*(client.ask(asked) for client in clients))
    spent = (target.proxy.cpu_s() or 0) - before
    for client in clients:
        client.close()
    return {f"{STREAMS} streams: CPU of an event, us": spent * 1e6 / (STREAMS * EVENTS)}


async def _one_stream(target: Target) -> Figures:
    """
    How late the events of one stream arrive.
    """
    client = await Client.connect(target.port)
    await client.ask(request(target.port, agent_body(2 * KB), f"?sse={ONE_STREAM_EVENTS}&gap_ms={ONE_STREAM_GAP_MS}"))
    client.close()
    delays = [(arrived - written) / 1e3 for written, arrived in client.sent_ns]
    return {
        "one stream: delay of an event, p50, us": percentile(delays, 50),
        "one stream: delay of an event, p99, us": percentile(delays, 99),
    }


async def _one_in_flight(target: Target) -> Figures:
    """
    How long an answer takes if it is the only one.
    """
    out = {}
    for name, size in (("2 KB", 2 * KB), ("200 KB", 200 * KB), ("1 MB", MB)):
        client = await Client.connect(target.port)
        asked = request(target.port, agent_body(size))
        taken = [(await client.ask(asked))[0] * 1000 for _ in range(20)]
        client.close()
        out[f"one in flight, {name}: p50, ms"] = percentile(taken, 50)
    return out


def _print(names: Sequence[str], figures: Mapping[str, Figures]) -> None:
    reference = names[1]
    rows = []
    for name in figures[reference]:
        values = [figures[who][name] for who in names]
        ratios = [times(values[0], values[1]), *(times(value, values[1]) for value in values[2:])]
        rows.append([name, *(fixed(value, 2) for value in values), *ratios])
    heads = ["", *names, *(f"{who} x {reference}" for who in names if who != reference)]
    print(columns("Savemode beside a plain pass-through", heads, rows))
    print(
        note(
            """The targets take turns, and the table has medians. The delay of an event and the time of a request include what
            the upstream and the client take."""
        )
    )


if __name__ == "__main__":
    main()
