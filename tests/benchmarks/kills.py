"""
Proxies on one ledger are killed again and again while clients call: `python -m tests.benchmarks.kills [KILLS]`.

Every call that reached the upstream must be in the ledger afterwards, as a charge or as a hold that nobody settled, and under
`--strict` what the upstream billed may never exceed the cap. Leaves with 1 if anything is missing.
"""

import asyncio
import itertools
import json
import os
import random
import sqlite3
import sys
import tempfile
import threading
import time
import urllib.error
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.client import HTTPException
from pathlib import Path

from savemode_cli.ledgers import open_ledger
from tests.benchmarks.processes import clean_environment
from tests.support.asked import ASKED, PLAIN
from tests.support.processes import Running, post, serving
from tests.support.upstream import ANSWER, Received, Upstream, reply

PROXIES = 3
CLIENTS_A_PROXY = 4
INPUT_NUSD, OUTPUT_NUSD = 4_000, 20_000
"""What a token of the model that is asked for costs."""
REFUSED_S = 120.0


@dataclass
class Report:
    """
    What was done, and what does not agree.
    """

    kills: int = 0
    served: int = 0
    """Calls that reached the upstream whole."""
    charged: int = 0
    held: int = 0
    """Holds that nobody settled."""
    refused: int = 0
    outages: int = 0
    """How often a proxy found the ledger locked for longer than it waits."""
    billed_nusd: int = 0
    used_nusd: int = 0
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)

    def expect(self, holds: object, words: str) -> None:
        """
        Note a problem unless something holds.
        """
        if not holds:
            self.problems.append(words)


class BillingUpstream(Upstream):
    """
    An upstream whose calls cost different amounts, and that knows what each one cost.
    """

    def __init__(self, seed: int) -> None:
        """
        Nothing was billed yet.
        """
        super().__init__()
        self.bills_nusd: list[int] = []
        self._tokens = itertools.cycle(range(1, ASKED["max_tokens"] + 1))
        self._random = random.Random(seed)
        self.script = self._answer

    async def _answer(self, received: Received, writer: asyncio.StreamWriter) -> None:
        self.received.clear()
        if received.method == "GET":
            writer.write(reply(b"{}"))
            return
        tokens = next(self._tokens)
        self.bills_nusd.append(3 * INPUT_NUSD + tokens * OUTPUT_NUSD)
        await asyncio.sleep(self._random.random() * 0.03)
        answer = {**json.loads(ANSWER), "usage": {"input_tokens": 3, "output_tokens": tokens}}
        writer.write(reply(json.dumps(answer).encode()))


class Fleet:
    """
    Proxies on one ledger, each of which can be killed and replaced.
    """

    def __init__(self, upstream: Upstream, ledger: Path, *options: str) -> None:
        """
        None runs yet.
        """
        self.urls = [""] * PROXIES
        self._options = ("--ledger", f"sqlite:///{ledger}", "--quiet", *options)
        self._upstream = upstream
        self._running: list[Running | None] = [None] * PROXIES
        self._stacks = [ExitStack() for _ in range(PROXIES)]

    def start(self, place: int) -> None:
        """
        Start one, and wait until it answers.
        """
        proxy = serving(self._upstream.url, *self._options)
        self._running[place], self.urls[place] = self._stacks[place].enter_context(proxy)

    def kill(self, place: int) -> int:
        """
        SIGKILL; how often it had found the ledger locked for too long.
        """
        running = self._running[place]
        assert running is not None
        running.process.kill()
        running.process.wait()
        self._stacks[place].close()
        return running.err.all().count("WARNING ledger_unavailable")

    def stop(self) -> list[str]:
        """
        SIGTERM for all; what each wrote.
        """
        said = []
        for place, running in enumerate(self._running):
            assert running is not None
            running.end()
            self._stacks[place].close()
            said.append(running.err.all())
        return said

    def close(self) -> None:
        """
        See that none runs any more.
        """
        for stack in self._stacks:
            stack.close()


class Clients:
    """
    Threads that call a proxy chosen by chance, and another one if it is gone.
    """

    def __init__(self, fleet: Fleet, seed: int) -> None:
        """
        They begin at once.
        """
        self.statuses: Counter[int] = Counter()
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._call, args=(fleet, seed + number))
            for number in range(PROXIES * CLIENTS_A_PROXY)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """
        Wait for the answers that are still to come.
        """
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _call(self, fleet: Fleet, seed: int) -> None:
        chance = random.Random(seed)
        while not self._stop.is_set():
            try:
                status, _ = post(chance.choice(fleet.urls), PLAIN)
            except (OSError, HTTPException, urllib.error.URLError, ValueError):
                self._stop.wait(0.01)  # it was killed, or is not there yet
                continue
            self.statuses[status] += 1
            if status != 200:
                self._stop.wait(0.02)


def killed(kills: int, folder: Path, *options: str, cap_nusd: int, seed: int = 1) -> Report:
    """
    Kill so many proxies under load.

    Args:
        kills: how many.
        folder: where the ledger is made.
        options: more options of `savemode serve`; with `--strict` the load goes on until the cap refuses.
        cap_nusd: the cap.
        seed: of what is left to chance.
    """
    report, begun = Report(kills), time.monotonic()
    ledger, strict = folder / "ledger.db", "--strict" in options
    chance = random.Random(seed)
    with upstream(seed) as far:
        fleet = Fleet(far, ledger, "--budget", f"{cap_nusd / 10**9:.9f}", *options)
        try:
            for place in range(PROXIES):
                fleet.start(place)
            clients = Clients(fleet, seed)
            try:
                for _ in range(kills):
                    time.sleep(chance.uniform(0.05, 0.4))
                    place = chance.randrange(PROXIES)
                    report.outages += fleet.kill(place)
                    fleet.start(place)
                end = time.monotonic() + REFUSED_S
                while strict and not clients.statuses[429] and time.monotonic() < end:
                    time.sleep(0.05)
            finally:
                clients.stop()
            for said in fleet.stop():
                report.outages += said.count("WARNING ledger_unavailable")
                report.expect("Traceback" not in said, f"a proxy wrote {said}")
                report.expect("charge_lost" not in said, f"a proxy wrote {said}")
        finally:
            fleet.close()
        report.refused = clients.statuses[429]
        report.expect(set(clients.statuses) <= {200, 429}, f"clients saw {dict(clients.statuses)}")
        check(report, ledger, Counter(far.bills_nusd), cap_nusd, strict=strict)
    report.seconds = time.monotonic() - begun
    return report


def check(report: Report, path: Path, bills: Counter[int], cap_nusd: int, *, strict: bool) -> None:
    """
    Compare the ledger with what the upstream billed.
    """
    now = datetime.now(UTC)
    ledger = open_ledger(f"sqlite:///{path}")
    charges, holds, balances = ledger.charges(), ledger.holds(now), ledger.balances(now)
    ledger.close()
    reported = Counter(one.nusd for one in charges if one.basis == "reported")
    others = sum(one.nusd > 0 and one.basis != "reported" for one in charges)
    report.served, report.billed_nusd = bills.total(), sum(nusd * count for nusd, count in bills.items())
    report.charged, report.held = len(charges), len(holds)
    report.used_nusd = sum(one.used_nusd for one in balances.values())
    missing = report.served - reported.total() - others - len(holds)
    # A proxy that finds the ledger locked for too long counts in memory for a second; killed then, it takes that with it. Under
    # a strict budget it refuses instead.
    excused = report.outages > 0 and not strict
    report.expect(missing <= 0 or excused, f"{missing} calls reached the upstream and are not in the ledger")
    report.expect(not reported - bills, f"charged and never billed: {dict(reported - bills)}")
    settled = sum(one.settled_nusd for one in balances.values())
    report.expect(settled == sum(one.nusd for one in charges), "the charges do not add up to the balance")
    if strict:
        report.expect(report.billed_nusd <= cap_nusd, f"{report.billed_nusd} were billed of a cap of {cap_nusd}")
        report.expect(report.used_nusd <= cap_nusd, f"{report.used_nusd} are used of a cap of {cap_nusd}")
        report.expect(report.refused, "the cap was never reached")
    db = sqlite3.connect(path)
    report.expect(db.execute("PRAGMA integrity_check").fetchone() == ("ok",), "the file is damaged")
    db.close()


@contextmanager
def upstream(seed: int) -> Iterator[BillingUpstream]:
    """
    An upstream that is closed afterwards.
    """
    made = BillingUpstream(seed)
    try:
        yield made
    finally:
        made.close()


def main() -> int:
    """
    Both rules, and a table.
    """
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 64
    worst = 0
    for options, cap_nusd in (((), 10**12), (("--strict",), kills * 200_000_000)):
        with tempfile.TemporaryDirectory() as folder:
            environment = clean_environment(Path(folder))
            os.environ.clear()
            os.environ.update(environment)
            done = killed(kills, Path(folder), *options, cap_nusd=cap_nusd)
        print(f"{' '.join(options) or 'default'}: {done.kills} SIGKILLs in {done.seconds:.0f} s, {PROXIES} proxies")
        print(f"  reached the upstream {done.served}, charged {done.charged}, open holds {done.held}")
        print(f"  refused {done.refused}, ledger locked for too long {done.outages}")
        print(f"  billed ${done.billed_nusd / 1e9:.6f}, used ${done.used_nusd / 1e9:.6f} of ${cap_nusd / 1e9:.2f}")
        for problem in done.problems:
            print(f"  PROBLEM: {problem}")
        worst = max(worst, len(done.problems))
    return min(1, worst)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
