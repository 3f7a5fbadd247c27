"""
A ledger that is locked, or whose disk is full, while clients call: `python -m tests.benchmarks.outage [SECONDS]`.

Prints how long a client waited at most that sends 2 KB each 50 ms, and how much of what the upstream billed is not in the
ledger afterwards. Leaves with 1 if anything is missing.
"""

import http.client
import json
import os
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from savemode_cli.ledgers import open_ledger
from tests.benchmarks.kills import BillingUpstream, upstream
from tests.benchmarks.processes import clean_environment
from tests.support.asked import ASKED
from tests.support.disks import fill, locked, small_disk
from tests.support.processes import Running, serving

EACH_S = 0.05
BODY = json.dumps({**ASKED, "messages": [{"role": "user", "content": "x" * 1_900}]}).encode()
DISK_BYTES = 1_000_000

Trouble = Callable[[Path], AbstractContextManager[object]]


@dataclass
class Report:
    """
    What one client saw before, during and after it, and what the ledger has in the end.
    """

    waits_s: dict[str, list[float]] = field(default_factory=dict)
    statuses: set[int] = field(default_factory=set)
    billed_nusd: int = 0
    charged_nusd: int = 0
    calls: int = 0
    charges: int = 0
    kept: dict[str, int] = field(default_factory=dict)
    """What `/-/health` says is not entered yet, at the end of the trouble."""
    said: str = ""


class Client:
    """
    Calls on one connection, one each 50 ms, and free requests in between.
    """

    def __init__(self, url: str, report: Report) -> None:
        """
        It begins at once.
        """
        self.phase = "before"
        self._report = report
        self._address = urlsplit(url).netloc
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._call, args=("POST", "/v1/messages", BODY)),
            threading.Thread(target=self._call, args=("GET", "/v1/models", None)),
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """
        Wait for the last answers.
        """
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _call(self, method: str, path: str, body: bytes | None) -> None:
        connection = http.client.HTTPConnection(self._address, timeout=60)
        while not self._stop.wait(EACH_S):
            phase, begun = self.phase, time.perf_counter()
            connection.request(method, path, body, {"content-type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            self._report.waits_s.setdefault(f"{phase} {method}", []).append(time.perf_counter() - begun)
            self._report.statuses.add(answer.status)
        connection.close()


def health(url: str) -> dict[str, object]:
    """
    What `/-/health` says.
    """
    with urllib.request.urlopen(f"{url}/-/health", timeout=60) as answer:
        said: dict[str, object] = json.load(answer)
    return said


def until_back(running: Running) -> None:
    """
    Wait for the word that the ledger answers again.
    """
    running.err.wait_for("WARNING ledger_back")


def outage(folder: Path, trouble: Trouble, seconds: float, *options: str) -> Report:
    """
    Make trouble for so long under a small load.

    Args:
        folder: where the ledger is.
        trouble: what is the matter with it, while the context lasts.
        seconds: how long.
        options: more options of `savemode serve`.
    """
    report, path = Report(), folder / "ledger.db"
    with (
        upstream(1) as far,
        serving(far.url, "--budget", "1000", "--ledger", f"sqlite:///{path}", *options) as (one, url),
    ):
        client = Client(url, report)
        try:
            time.sleep(min(1.0, seconds))
            with trouble(folder):
                client.phase = "during"
                time.sleep(seconds)
                kept = health(url)["unwritten"]
                assert isinstance(kept, dict)
                report.kept = kept
            client.phase = "after"
            if report.kept["calls"]:
                until_back(one)
            time.sleep(min(1.0, seconds))
        finally:
            client.stop()
        one.end()
        report.said = one.err.all()
        compare(report, path, far)
    return report


def compare(report: Report, path: Path, far: BillingUpstream) -> None:
    """
    What the upstream billed, and what the ledger has.
    """
    ledger = open_ledger(f"sqlite:///{path}")
    charges = ledger.charges()
    report.charges, report.charged_nusd = len(charges), sum(one.nusd for one in charges)
    ledger.close()
    report.calls, report.billed_nusd = len(far.bills_nusd), sum(far.bills_nusd)


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """
    Another process writes and does not end.
    """
    with locked(folder / "ledger.db"):
        yield


@contextmanager
def no_room(folder: Path) -> Iterator[None]:
    """
    Something else has filled the disk.
    """
    filler = fill(folder)
    try:
        yield
    finally:
        filler.unlink()


def show(name: str, report: Report) -> bool:
    """
    Print the figures; whether anything is missing.
    """
    print(f"{name}: {report.calls} calls, {report.charges} charges, statuses {sorted(report.statuses)}")
    for phase, waits in sorted(report.waits_s.items()):
        waits.sort()
        print(
            f"  {phase:<12} {len(waits):>4} requests, median {waits[len(waits) // 2]:.3f} s, longest {waits[-1]:.3f} s"
        )
    missing = report.billed_nusd - report.charged_nusd
    print(
        f"  kept at its end {report.kept}; missing afterwards ${missing / 1e9:.6f} of ${report.billed_nusd / 1e9:.6f}"
    )
    return missing != 0


def folder_in(home: str, name: str) -> Path:
    """
    A new folder that nobody else can read.
    """
    folder = Path(home, name)
    folder.mkdir(mode=0o700)
    return folder


def main() -> int:
    """
    A lock, and a full disk where one can be mounted.
    """
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 12.0
    with tempfile.TemporaryDirectory() as home:
        environment = clean_environment(Path(home))
        os.environ.clear()
        os.environ.update(environment)
        missing = show("locked", outage(folder_in(home, "locked"), lock, seconds))
        folder = folder_in(home, "full")
        with small_disk(folder, DISK_BYTES) as mounted:
            if mounted:
                missing = show("full disk", outage(folder, no_room, seconds)) or missing
            else:
                print("full disk: only root can mount a small one")
    return int(missing)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
