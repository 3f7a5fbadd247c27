"""
Ten thousand requests of every kind, five hundred streams at once, and a thousand at a cap worth a hundred.

Prints what the proxy still holds on to after each tenth, and whether the ledger, the receipts and the upstream's own count
agree to the nano-dollar. Leaves with 1 if something leaks or does not agree. Linux only: it reads /proc.
"""

import asyncio
import json
import resource
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from savemode_cli.core.budget.charge import ceiling_nusd, opening_nusd, prompt_size
from savemode_cli.core.money.pricing import cost_nusd
from savemode_cli.core.wire.facts import facts
from savemode_cli.core.wire.models import context_tokens
from savemode_cli.core.wire.report import ReportedUsage, usage_from
from savemode_cli.ledgers import open_ledger
from savemode_cli.prices import load_prices
from tests.benchmarks.processes import clean_environment, free_port, python
from tests.benchmarks.tables import columns, options

MB = 1_000_000
FINISHED = "claude-opus-5-5"
"""The model of what comes to its end: of these the upstream's count is the bill."""
CUT = "claude-sonnet-5"
"""The model of what does not: here the ledger may hold more than the upstream has counted, and never hides it."""

AT_ONCE = 50
LEAST_BYTES = 4 * MB
"""What a run may grow by after its first fifth: lists of fixed length fill up (`/-/exchanges`), allocators keep pages."""

Headers = tuple[tuple[str, str], ...]
FLAG: Headers = (("x-posthog-flag-llm-gateway-cost-controls", "true"),)
WORDS = "Read the whole of it before you answer. " * 200


def fault(words: str) -> Headers:
    """
    The header that asks the simulated upstream for a fault.
    """
    return (("x-savemode-fault", words),)


@dataclass(frozen=True)
class Kind:
    """
    A kind of request. `leaves`: the client hangs up once it has read something; it sees `status` otherwise, None: nothing.
    """

    model: str
    status: int | None
    stream: bool = False
    marked: bool = False
    headers: Headers = ()
    leaves: bool = False

    def body(self, number: int) -> bytes:
        """
        Conversations of ten requests each, so that caches are written and read.
        """
        system: Any = [{"type": "text", "text": WORDS, "cache_control": {"type": "ephemeral"}}]
        said = [{"role": "user", "content": f"number {number // 10}"}]
        more = {"system": system} if self.marked else {}
        asked = {"model": self.model, "max_tokens": 64, "stream": self.stream, **more, "messages": said}
        return json.dumps(asked).encode()


KINDS = {
    "json": Kind(FINISHED, 200),
    "stream": Kind(FINISHED, 200, stream=True),
    "upgrade": Kind(FINISHED, 200, stream=True, marked=True, headers=FLAG),
    "downgrade": Kind(FINISHED, 200, marked=True, headers=FLAG + fault("downgrade")),
    "refusal": Kind(FINISHED, 400, headers=(("x-posthog-provider", "nobody"),)),
    "overloaded": Kind(FINISHED, 529, headers=fault("status=529")),
    "drop": Kind(CUT, 502, headers=fault("drop")),
    "truncate": Kind(CUT, None, stream=True, headers=fault("truncate=4")),
    "truncate-json": Kind(CUT, None, headers=fault("truncate")),
    "garbage": Kind(CUT, 200, stream=True, headers=fault("garbage")),
    "error": Kind(CUT, 200, stream=True, headers=fault("error,after=4")),
    "hang-up": Kind(CUT, None, stream=True, headers=fault("stall=30,after=4"), leaves=True),
    "hang-up-early": Kind(CUT, None, stream=True, headers=fault("stall=30"), leaves=True),
}


@dataclass
class Report:
    """
    What was seen, and what is wrong with it.
    """

    looks: list[dict[str, Any]] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def check(self, what: str, found: object, wanted: object) -> None:
        """
        Note what is not as it should be.
        """
        self.figures[what] = found
        if found != wanted:
            self.problems.append(f"{what}: {found}, not {wanted}")


class Process:
    """
    One of ours, whose lines are JSON.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        """
        It has been started.
        """
        self.process = process

    async def line(self) -> dict[str, Any]:
        """
        The next line it says.
        """
        assert self.process.stdout is not None
        read: dict[str, Any] = json.loads(await asyncio.wait_for(self.process.stdout.readline(), 60))
        return read

    async def look(self) -> dict[str, Any]:
        """
        What the proxy holds on to.
        """
        self.process.send_signal(signal.SIGUSR1)
        return await self.line()

    async def idle(self, recorded: int) -> dict[str, Any]:
        """
        The same once so many exchanges are recorded, and those that idle are all that is left.
        """
        for _ in range(200):
            seen = await self.look()
            if seen["in_flight"] == 0 and seen["recorded"] >= recorded:
                return seen
            await asyncio.sleep(0.05)
        return seen


@asynccontextmanager
async def started(command: list[str], home: Path) -> AsyncIterator[Process]:
    """
    A process that is gone afterwards.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        cwd=home,
        env=clean_environment(home),
    )
    try:
        yield Process(process)
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.wait(), 30)


@asynccontextmanager
async def upstream(home: Path) -> AsyncIterator[int]:
    """
    The simulated upstream's port, once it answers.
    """
    port = free_port()
    command = python("-m", "savemode_cli", "simulate-upstream", "--port", str(port), "--quiet")
    async with started(command, home):
        for _ in range(200):
            with suppress(OSError):
                await page(port, "/-/health")
                break
            await asyncio.sleep(0.05)
        yield port


@asynccontextmanager
async def proxy(home: Path, upstream_port: int, ledger: str, *more: str) -> AsyncIterator[tuple[Process, int]]:
    """
    A watched proxy and its port.
    """
    command = python("-m", "tests.benchmarks.watched", f"http://127.0.0.1:{upstream_port}", ledger, *more)
    async with started(command, home) as process:
        yield process, (await process.line())["port"]


async def page(port: int, path: str) -> dict[str, Any]:
    """
    A page of JSON.
    """
    _, body = await ask(port, b"", (), method="GET", path=path)
    read: dict[str, Any] = json.loads(body)
    return read


async def ask(
    port: int,
    body: bytes,
    headers: Headers,
    *,
    leaves: bool = False,
    method: str = "POST",
    path: str = "/v1/messages",
) -> tuple[int | None, bytes]:
    """
    Status and body of the answer; None where it has no end, or nobody waited for it.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    own = (
        ("host", "127.0.0.1"),
        ("x-api-key", "made-up"),
        ("anthropic-version", "2023-06-01"),
        ("connection", "close"),
    )
    lines = "".join(f"{name}: {value}\r\n" for name, value in (*own, *headers))
    try:
        writer.write(f"{method} {path} HTTP/1.1\r\n{lines}content-length: {len(body)}\r\n\r\n".encode() + body)
        if leaves:
            with suppress(TimeoutError):
                await asyncio.wait_for(reader.read(1), 0.2)
            return None, b""
        async with asyncio.timeout(60):
            return await _answer(reader)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None, b""
    finally:
        writer.close()


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    status = int(head.split(b" ", 2)[1])
    if b"transfer-encoding: chunked" not in head:
        length = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
        return status, await reader.readexactly(int(length))
    body = b""
    while size := int((await reader.readuntil(b"\r\n")).strip(), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    return status, body


async def all_kinds(port: int, first: int, count: int, report: Report) -> None:
    """
    So many requests, the kinds in turn.
    """
    names = list(KINDS)
    waiting = iter(range(first, first + count))

    async def one_after_another() -> None:
        for number in waiting:
            name = names[number % len(names)]
            kind = KINDS[name]
            status, _ = await ask(port, kind.body(number // len(names)), kind.headers, leaves=kind.leaves)
            if status != kind.status:
                report.problems.append(f"{name} was answered {status}, not {kind.status}")

    await asyncio.gather(*(one_after_another() for _ in range(AT_ONCE)))


async def many_streams(process: Process, port: int, count: int, recorded: int, report: Report) -> None:
    """
    So many streams that are all under way at one time.
    """
    kind = Kind(FINISHED, 200, stream=True)
    asked = [
        asyncio.create_task(ask(port, kind.body(10 * number), fault("stall=4,after=4"))) for number in range(count)
    ]
    most: dict[str, Any] = {"in_flight": 0}
    while not all(task.done() for task in asked):
        seen = await process.look()
        most = max(most, seen, key=lambda look: look["in_flight"])
        await asyncio.sleep(0.1)
    report.check("streams at once", most["in_flight"], count)
    report.check("streams that were whole", [task.result()[0] for task in asked].count(200), count)
    report.looks.append({"after": f"{count} streams", **await process.idle(recorded)})


async def soak(requests: int, streams: int, *, trace: bool = False) -> Report:
    """
    All kinds in ten parts, then the streams; what is left after each, and the books.
    """
    report = Report()
    with tempfile.TemporaryDirectory(prefix="savemode-soak-") as folder:
        home, ledger = Path(folder), f"sqlite:///{folder}/ledger.db"
        async with upstream(home) as theirs:
            more = ("--cap-nusd", str(10**15), *(["--trace"] if trace else []))
            async with proxy(home, theirs, ledger, *more) as (process, port):
                part = max(len(KINDS), requests // 10)
                for number in range(0, requests, part):
                    await all_kinds(port, number, part, report)
                    report.looks.append({"after": number + part, **await process.idle(number + part)})
                total = report.looks[-1]["after"] + streams
                await many_streams(process, port, streams, total, report)
                state = await page(theirs, "/-/state")
        _check_leaks(report, total)
        _check_books(report, ledger, state)
    return report


def _check_leaks(report: Report, total: int) -> None:
    looks = report.looks
    settled, last = looks[max(0, len(looks) // 5)], looks[-2]
    report.check("recorded", looks[-1]["recorded"], total)
    report.check("left in flight", looks[-1]["in_flight"], 0)
    for what in ("tasks", "sockets"):
        # Connections to the upstream that idle are kept: no more of them than were ever used at once.
        first, end = looks[0][what], last[what]
        report.figures[what] = [look[what] for look in looks]
        if end > first + AT_ONCE:
            report.problems.append(f"{what}: {first} after the first part, {end} after the last")
    for what in ("resident_bytes", "traced_bytes"):
        if settled[what] is not None:
            grown = last[what] - settled[what]
            report.figures[f"{what} grown"] = grown
            if grown > LEAST_BYTES:
                report.problems.append(f"{what}: grew by {grown:,}")


def _check_books(report: Report, ledger: str, state: dict[str, Any]) -> None:
    opened = open_ledger(ledger)
    spent: Counter[str] = Counter()
    for charge in opened.charges():
        spent[charge.model] += charge.nusd
    report.check("holds left", len(opened.holds(datetime.now(UTC))), 0)
    balance = sum(one.settled_nusd for one in opened.balances(datetime.now(UTC)).values())
    opened.close()
    last = report.looks[-1]
    report.check("ledger's balance, nano-dollars", balance, sum(spent.values()))
    report.check("cost of the records", sum(last["cost_nusd"].values()), balance)
    theirs = {model: _priced(model, total) for model, total in state["models"].items()}
    report.check("finished, by the ledger", spent[FINISHED], theirs[FINISHED])
    report.check("finished, by the receipts", last["receipts_nusd"][FINISHED], theirs[FINISHED])
    report.figures["cut off, by the ledger"] = spent[CUT]
    report.figures["cut off, by the upstream"] = theirs[CUT]
    if spent[CUT] < theirs[CUT]:
        report.problems.append(f"cut off: {spent[CUT]} charged of {theirs[CUT]}")


def _priced(model: str, total: dict[str, Any]) -> int:
    """
    Rates are whole nano-dollars a token, so that a sum of tokens costs what its parts do.
    """
    usage = usage_from(msgspec.convert(total["usage"], ReportedUsage))
    assert usage is not None
    return cost_nusd(usage, load_prices(None).find(model, datetime.now(UTC)).price)


async def at_the_cap(requests: int, worth: int, *, strict: bool) -> Report:
    """
    So many requests at once at a cap that just so many of them fit under: all are judged before any is over.
    """
    report = Report()
    kind = Kind(FINISHED, 200)
    body = kind.body(0)
    price = load_prices(None).find(FINISHED, datetime.now(UTC)).price
    known = facts(body)
    size = prompt_size(known, len(body), 0, context_tokens(known.model))
    hold = ceiling_nusd(known, size.most_tokens, price) if strict else opening_nusd(known, size.likely_tokens, price)
    with tempfile.TemporaryDirectory(prefix="savemode-soak-") as folder:
        home, ledger = Path(folder), f"sqlite:///{folder}/ledger.db"
        more = ("--cap-nusd", str(worth * hold), *(["--strict"] if strict else []))
        async with upstream(home) as theirs, proxy(home, theirs, ledger, *more) as (process, port):
            asked = [
                asyncio.create_task(ask(port, body, fault(f"stall={8 if requests > 300 else 3}")))
                for _ in range(requests)
            ]
            statuses = Counter(status for status, _ in await asyncio.gather(*asked))
            seen = await process.idle(requests)
        rule = "strict" if strict else "default"
        report.check(f"{rule}: admitted and refused", dict(statuses), {200: worth, 429: requests - worth})
        opened = open_ledger(ledger)
        report.check(f"{rule}: holds left", len(opened.holds(datetime.now(UTC))), 0)
        report.check(f"{rule}: charges", len(opened.charges()), worth)
        report.check(f"{rule}: spent", sum(one.nusd for one in opened.charges()), sum(seen["cost_nusd"].values()))
        opened.close()
    return report


def allow_sockets() -> None:
    """
    As many descriptors as the system lets us have; a thousand clients need more than the usual 1,024.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def main() -> None:
    """
    Run all of it and print what was seen.
    """
    parser = options(__doc__)
    parser.add_argument("--trace", action="store_true", help="count what Python allocates, too; three times as slow")
    chosen = parser.parse_args()
    allow_sockets()
    steps: list[Callable[[], Any]] = [
        lambda: soak(1_400 if chosen.quick else 10_010, 100 if chosen.quick else 500, trace=chosen.trace),
        lambda: at_the_cap(1_000, 100, strict=True),
        lambda: at_the_cap(1_000, 100, strict=False),
    ]
    reports = [asyncio.run(step()) for step in steps]
    if chosen.json:
        print(json.dumps([{"looks": one.looks, "figures": one.figures, "problems": one.problems} for one in reports]))
    else:
        _print(reports)
    sys.exit(any(one.problems for one in reports))


def _print(reports: list[Report]) -> None:
    rows = [
        [
            str(look["after"]),
            *(str(look[what]) for what in ("recorded", "tasks", "sockets")),
            f"{look['resident_bytes'] / MB:.1f}",
            "-" if look["traced_bytes"] is None else f"{look['traced_bytes'] / MB:.2f}",
        ]
        for look in reports[0].looks
    ]
    print(columns("what is held on to", ["after", "recorded", "tasks", "sockets", "RSS MB", "Python MB"], rows))
    for report in reports:
        for what, found in report.figures.items():
            print(f"{what}: {found}")
    for problem in (one for report in reports for one in report.problems):
        print(f"PROBLEM {problem}")


if __name__ == "__main__":
    main()
