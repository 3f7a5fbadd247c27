"""
What a request costs the proxy: the instructions of it, which do not move with the load of the machine, and its CPU time.

Instructions are counted by callgrind over the real server, in user space, from the end of a warm-up to the last answer, so
that the start is not in them. CPU time is that of all threads, system calls included; the builds take turns burst by burst.
Bodies of 1 MB, for which callgrind takes longer than the proxy waits, are measured in CPU time alone.
Both are of proxies with everything on: upgrades, a budget and its ledger on a disk, the meter, receipts and request lines.
"""

import argparse
import asyncio
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any

import uvloop

from tests.benchmarks.bodies import KB, MB, agent_body, conversation
from tests.benchmarks.builds import PINNED, Build, build_of, working_tree
from tests.benchmarks.client import Client
from tests.benchmarks.processes import Running, free_port, python, started
from tests.benchmarks.proxy import Target, ready, request
from tests.benchmarks.tables import columns, fixed, median, note, options, show_json, times

CONNECTIONS = 16
PER_CONNECTION = 3
REQUESTS = CONNECTIONS * PER_CONNECTION
SIZES = {"2 KB": 2 * KB, "200 KB": 200 * KB, "1 MB": MB}
KINDS = ("new", "growing")
_PATIENCE_S = 120

Figures = dict[tuple[str, str, str], float]
"""By build, kind of bodies and size."""


def main() -> None:
    """
    Measure the builds that were asked for, and print a table.
    """
    chosen = _parser().parse_args()
    builds = [*(build_of(commit) for commit in chosen.against or [PINNED]), working_tree()]
    sizes = chosen.size or (["2 KB", "200 KB"] if chosen.quick else list(SIZES))
    kinds = chosen.kind or (KINDS[:1] if chosen.quick else KINDS)
    bursts = chosen.bursts if chosen.bursts is not None else (5 if chosen.quick else 15)
    if not shutil.which("valgrind"):
        raise SystemExit("valgrind is not installed: with it, callgrind counts the instructions")
    if chosen.keep:
        Path(chosen.keep).mkdir(parents=True, exist_ok=True)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        counted = runner.run(count_instructions(builds, kinds, sizes, judged=chosen.judged, keep=chosen.keep))
        spent = runner.run(measure_cpu(builds, kinds, sizes, bursts)) if bursts else {}
    if chosen.json:
        show_json({"instructions": _keyed(counted), "cpu_ms": _keyed(spent)})
    else:
        _print(builds, counted, spent)


def _parser() -> argparse.ArgumentParser:
    parser = options(__doc__)
    parser.add_argument("--against", action="append", metavar="COMMIT", help=f"a commit to measure, too ({PINNED})")
    parser.add_argument("--size", action="append", choices=SIZES, help="only bodies of this size")
    parser.add_argument("--kind", action="append", choices=KINDS, help="only new bodies, or growing conversations")
    parser.add_argument("--bursts", type=int, help="bursts of requests for the CPU time; 0 measures none")
    parser.add_argument("--judged", action="store_true", help="count also what verdicts on cache misses take")
    parser.add_argument("--keep", metavar="FOLDER", help="leave callgrind's files there")
    return parser


async def count_instructions(
    builds: Sequence[Build],
    kinds: Sequence[str],
    sizes: Sequence[str],
    *,
    judged: bool = False,
    keep: str | None = None,
) -> Figures:
    """
    Instructions per request; where *judged*, also those of requests whose misses are all judged.
    """
    out: Figures = {}
    with ExitStack() as stack:
        upstream_port = await upstream(stack)
        for build in builds:
            folder = Path(keep or stack.enter_context(tempfile.TemporaryDirectory()))
            for verdicts in (False, True) if judged else (False,):
                file = folder / f"{build.name.replace(' ', '-')}{'-judged' * verdicts}.callgrind"
                cells = [(kind, size) for kind in kinds for size in sizes if size != "1 MB"]
                figures = await _instructions(build, upstream_port, verdicts, cells, file)
                for (kind, size), figure in zip(cells, figures, strict=True):
                    out[build.name, f"{kind}, judged" if verdicts else kind, size] = figure
    return out


async def _instructions(
    build: Build, upstream_port: int, verdicts: bool, cells: Sequence[tuple[str, str]], file: Path
) -> list[float]:
    port = free_port()
    callgrind = ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={file}"]
    out = []
    with started([*callgrind, *build.serve(port, upstream_port, verdicts)], build.environ) as process:
        target = Target(build.name, port, process)
        await ready(target, _PATIENCE_S)
        clients = [await Client.connect(port) for _ in range(CONNECTIONS)]
        for client in clients:
            client.timeout_s = _PATIENCE_S
        _control(process, "-i", "on")
        for number, (kind, size) in enumerate(cells, 1):
            bodies = bodies_of(kind, SIZES[size])
            for _ in range(2):
                await burst(clients, port, bodies)
            _control(process, "-z")
            await burst(clients, port, bodies)
            _control(process, "-d")
            # callgrind numbers what it writes while the program runs.
            out.append(await _total(process, build, file.with_name(f"{file.name}.{number}")) / REQUESTS)
        for client in clients:
            client.close()
    return out


async def _total(process: Running, build: Build, dump: Path) -> int:
    """
    The instructions in callgrind's file, once it is whole.
    """
    end = time.monotonic() + _PATIENCE_S
    while True:
        if total := _written(dump):
            return total
        process.check(build.name)
        if time.monotonic() > end:
            raise SystemExit(f"callgrind has written nothing about {build.name}")
        await asyncio.sleep(0.1)


def _control(process: Running, *arguments: str) -> None:
    done = subprocess.run(
        ["callgrind_control", *arguments, str(process.handle.pid)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"callgrind_control failed:\n{done.stdout}{done.stderr}")


def _written(dump: Path) -> int:
    found = re.search(r"^totals: (\d+)", dump.read_text(), re.MULTILINE) if dump.exists() else None
    return int(found[1]) if found else 0


async def measure_cpu(builds: Sequence[Build], kinds: Sequence[str], sizes: Sequence[str], bursts: int) -> Figures:
    """
    Milliseconds of CPU per request, the median of the bursts.
    """
    out: Figures = {}
    with ExitStack() as stack:
        upstream_port = await upstream(stack)
        targets = []
        for build in builds:
            port = free_port()
            process = stack.enter_context(started(build.serve(port, upstream_port), build.environ))
            targets.append(Target(build.name, port, process))
            await ready(targets[-1], _PATIENCE_S)
        for kind in kinds:
            for size in sizes:
                spent = await _cpu(targets, kind, SIZES[size], bursts)
                out |= {(name, kind, size): median(values) for name, values in spent.items()}
    return out


async def _cpu(targets: Sequence[Target], kind: str, size: int, bursts: int) -> dict[str, list[float]]:
    bodies = {target.name: bodies_of(kind, size) for target in targets}
    clients = {target.name: [await Client.connect(target.port) for _ in range(CONNECTIONS)] for target in targets}
    spent: dict[str, list[float]] = {target.name: [] for target in targets}
    for number in range(bursts + 2):
        for target in targets:
            assert target.proxy is not None
            before = target.proxy.cpu_s() or 0
            await burst(clients[target.name], target.port, bodies[target.name])
            if number >= 2:  # the first two warm it up
                spent[target.name].append(((target.proxy.cpu_s() or 0) - before) * 1000 / REQUESTS)
    for each in clients.values():
        for client in each:
            client.close()
    return spent


async def upstream(stack: ExitStack) -> int:
    port = free_port()
    command = python("-m", "tests.benchmarks.upstream", "--port", str(port))
    await ready(Target("upstream", port, stack.enter_context(started(command))))
    return port


def bodies_of(kind: str, size: int) -> Iterator[bytes]:
    """
    Bodies without end, in the order in which the connections send them: each connection is a session of its own.
    """
    if kind == "growing":
        conversations = [conversation(size, f"session_{number:04}") for number in range(CONNECTIONS)]
        while True:
            yield from [next(one) for one in conversations]
    number = 0
    while True:
        # Another size gives another text; a kilobyte or less apart.
        yield agent_body(size + number % 1000, session=f"session_{number % CONNECTIONS:04}")
        number += 1


async def burst(clients: Sequence[Client], port: int, bodies: Iterator[bytes]) -> None:
    """
    Each connection sends some requests, one after the other.
    """
    taken = [request(port, body) for body in islice(bodies, REQUESTS)]

    async def ask(client: Client, own: Sequence[bytes]) -> None:
        for one in own:
            await client.ask(one)

    await asyncio.gather(*(ask(client, taken[place::CONNECTIONS]) for place, client in enumerate(clients)))


def _keyed(figures: Figures) -> dict[str, Any]:
    return {f"{build}, {kind}, {size}": value for (build, kind, size), value in figures.items()}


def _print(builds: Sequence[Build], counted: Figures, spent: Figures) -> None:
    names = [build.name for build in builds]
    reference = names[0]
    for title, figures, scale, digits in (
        ("Instructions per request, thousands", counted, 1000, 0),
        ("CPU per request, ms", spent, 1, 3),
    ):
        if not figures:
            continue
        rows = []
        for kind, size in dict.fromkeys((kind, size) for _, kind, size in figures):
            values = [figures[name, kind, size] for name in names]
            ratios = [times(value, values[0]) for value in values[1:]]
            rows.append([f"{kind}, {size}", *(fixed(value / scale, digits) for value in values), *ratios])
        print(columns(title, ["", *names, *(f"x {reference}" for _ in names[1:])], rows))
        print()
    print(
        note(
            f"""{CONNECTIONS} connections, {REQUESTS} requests after a warm-up. new: another text in each body. growing: each
            connection is a conversation, and each body has its turns so far and one more. judged: with a verdict on what
            each request missed in the cache, which takes a twentieth of the time at most."""
        )
    )


if __name__ == "__main__":
    main()
