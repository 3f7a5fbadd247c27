"""
The sink: it writes every exchange, no request waits or fails because of it, and it announces a problem once.
"""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from asyncio import StreamWriter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from savemode_cli.captures import sink as captures_sink
from savemode_cli.captures.file import FILE_NAME
from savemode_cli.captures.sink import CaptureSink, counted
from savemode_cli.captures.store import CaptureStore
from savemode_cli.core.errors import ConfigError
from savemode_cli.core.exchange.capture import Capture
from savemode_cli.core.exchange.observed import Content, Observed
from savemode_cli.core.upgrade.edits import apply
from savemode_cli.core.upgrade.receipt import Receipt, receipt
from savemode_cli.core.upgrade.shadow import Shadow
from savemode_cli.core.wire.facts import facts
from savemode_cli.prices import load_prices
from tests.builders import an_exchange, an_observed
from tests.captures.test_store import fresh
from tests.conftest import FLAG
from tests.support.upstream import ANSWER, Received, Upstream, reply, running_proxy
from tests.support.waiting import until
from tests.support.wire import exchange, request

ROOT = Path(__file__).parents[2]
MARKED = (
    b'{ "model":"claude-opus-5-5","max_tokens":1,"system":[{"type":"text","text":"s",'
    b'"cache_control":{"type":"ephemeral"}}],"messages":[]}'
)


class Announcements:
    """
    Records what a sink announced.
    """

    def __init__(self) -> None:
        """
        Start with no announcements.
        """
        self.heard: list[tuple[str, str]] = []

    def __call__(self, event: str, text: str) -> None:
        """
        Record an announcement.
        """
        self.heard.append((event, text))

    @property
    def events(self) -> list[str]:
        """
        The events of the announcements, in order.
        """
        return [event for event, _ in self.heard]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """
    The folder of the captures.
    """
    return tmp_path / "captures"


@pytest.fixture
def announced() -> Announcements:
    """
    The recorder of announcements.
    """
    return Announcements()


Open = Callable[..., CaptureSink]


@pytest.fixture
def opened(folder: Path, announced: Announcements) -> Iterator[Open]:
    """
    Opens sinks, and closes them at the end.
    """
    sinks: list[CaptureSink] = []

    def make(**more: Any) -> CaptureSink:
        sinks.append(CaptureSink(folder, announced, **more))
        return sinks[-1]

    yield make
    for sink in sinks:
        sink.close()


def a_record(body: bytes = b"{}", **differences: Any) -> Observed:
    """
    A messages call with content.
    """
    return an_observed(**differences, content=Content((), body, (), b"answer"))


def test_exchanges_are_stored_in_order(opened: Open, folder: Path, announced: Announcements) -> None:
    """
    Exchanges are stored in order; closing writes the waiting ones; closing again does nothing.
    """
    sink = opened(upstream="https://api.example")
    for number in range(50):
        sink.keep(a_record(b"%d" % number))
    sink.close()
    sink.close()

    found = fresh(folder)
    assert [one.request_body for one in found] == [b"%d" % number for number in range(50)]
    assert {one.upstream for one in found} == {"https://api.example"}
    assert (announced.heard, sink.trouble, sink.lost) == ([], "", 0)
    assert dict(sink.counters) == {"captured": 50, "lost": 0, "waiting": 0}


def test_exchange_after_closing_is_lost(opened: Open, folder: Path) -> None:
    """
    An exchange after closing is counted as lost, without an error.
    """
    sink = opened()
    sink.close()

    sink.keep(a_record())

    assert sink.lost == 1
    assert fresh(folder) == []


def test_queue_is_limited(opened: Open, announced: Announcements, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The queue is limited in number and in bytes; lost exchanges are announced once and counted at the end.
    """
    monkeypatch.setattr(captures_sink, "MAX_WAITING_BYTES", 100_000)
    stuck, go = threading.Event(), threading.Event()
    append = CaptureStore.append

    def slowly(store: CaptureStore, capture: Capture) -> int:
        stuck.set()
        assert go.wait(10)
        return append(store, capture)

    monkeypatch.setattr(CaptureStore, "append", slowly)
    sink = opened()
    sink.keep(a_record(b"x" * 90_000))
    assert stuck.wait(10)
    for _ in range(3):
        sink.keep(a_record(b"y" * 90_000))

    assert announced.events == ["captures_behind"]
    assert "too slow" in sink.trouble
    go.set()
    until(lambda: not sink.trouble)
    sink.keep(a_record(b"z" * 200_000))  # larger than the limit of the queue, and accepted because the queue is empty
    sink.close()
    assert announced.heard[1:] == [("captures_lost", "3 exchanges were not captured")]


def test_number_of_waiting_exchanges_is_limited(
    opened: Open, announced: Announcements, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Many small exchanges fill the queue too.
    """
    monkeypatch.setattr(captures_sink, "MAX_WAITING", 2)
    stuck, go = threading.Event(), threading.Event()

    def slowly(_store: CaptureStore, _capture: Capture) -> int:
        stuck.set()
        assert go.wait(10)
        return 1

    monkeypatch.setattr(CaptureStore, "append", slowly)
    sink = opened()
    sink.keep(a_record())
    assert stuck.wait(10)
    for _ in range(5):
        sink.keep(a_record())
    go.set()
    sink.close()

    assert sink.lost == 3
    assert announced.events == ["captures_behind", "captures_lost"]


def test_closing_does_not_wait_for_a_disk_that_never_answers(
    opened: Open, announced: Announcements, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Closing waits for a limited time, and announces what was not written.
    """
    monkeypatch.setattr(captures_sink, "_CLOSE_WAIT_S", 0.05)
    go = threading.Event()
    monkeypatch.setattr(CaptureStore, "append", lambda *_: go.wait(10))
    sink = opened()
    sink.keep(a_record())
    sink.keep(a_record())

    sink.close()

    assert announced.events == ["captures_unfinished"]
    go.set()
    sink._thread.join()
    assert sink._store is not None
    sink._store.close()


def test_damaged_store_is_announced_once_and_requests_continue(
    opened: Open, folder: Path, announced: Announcements
) -> None:
    """
    Lost exchanges are counted; after the damaged file is moved away, capturing resumes, which is announced too.
    """
    folder.mkdir()
    broken = folder / FILE_NAME
    broken.write_bytes(b"no database" * 100)
    sink = opened()
    for _ in range(3):
        sink.keep(a_record())
    until(lambda: sink.lost == 3)

    assert announced.events == ["captures_unavailable"]
    assert "mv " in announced.heard[0][1]
    assert "not an SQLite database" in sink.trouble
    broken.rename(folder / "old")
    sink.keep(a_record())
    until(lambda: len(announced.heard) > 1)
    assert announced.heard[1] == ("captures_resumed", "exchanges are captured again; 3 exchanges were not captured")
    assert sink.trouble == ""
    sink.close()
    assert len(fresh(folder)) == 1


def test_newer_store_is_announced_and_requests_continue(opened: Open, folder: Path, announced: Announcements) -> None:
    """
    The announcement says that a newer version wrote the store; the store does not change.
    """
    CaptureStore.make(folder).close()
    db = sqlite3.connect(folder / FILE_NAME)
    db.execute("PRAGMA user_version = 99")
    db.close()

    sink = opened()

    assert "newer savemode" in sink.trouble
    assert "upgrade savemode" in announced.heard[0][1]


def test_unsafe_folder_is_refused_at_the_start(opened: Open, folder: Path, tmp_path: Path) -> None:
    """
    The user can correct this before the proxy starts.
    """
    folder.symlink_to(tmp_path)

    with pytest.raises(ConfigError):
        opened()


def test_deleted_store_is_created_again(opened: Open, folder: Path) -> None:
    """
    Captures in a deleted file could not be found.
    """
    sink = opened()
    sink.keep(a_record(b"before"))
    until(lambda: sink._waiting_bytes == 0)
    shutil.rmtree(folder)
    sink.keep(a_record(b"after"))
    sink.close()

    assert [one.request_body for one in fresh(folder)] == [b"after"]


def test_folder_that_becomes_unsafe_is_announced(
    opened: Open, folder: Path, tmp_path: Path, announced: Announcements
) -> None:
    """
    The proxy is running by then, and continues.
    """
    sink = opened()
    folder.rename(tmp_path / "moved")
    folder.symlink_to(tmp_path / "moved")
    (folder / FILE_NAME).unlink()

    sink.keep(a_record())

    until(lambda: sink.lost == 1)
    assert "symbolic link" in sink.trouble
    assert announced.events == ["captures_unavailable"]


def test_unexpected_exception_loses_one_exchange(
    opened: Open, announced: Announcements, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    After an unexpected exception the thread continues, and the announcement contains no content.
    """
    append = CaptureStore.append

    def fails_once(_store: CaptureStore, _capture: Capture) -> int:
        monkeypatch.setattr(CaptureStore, "append", append)
        raise ValueError("what was said")

    monkeypatch.setattr(CaptureStore, "append", fails_once)
    sink = opened()
    sink.keep(a_record())
    sink.keep(a_record())
    sink.close()

    assert announced.events == ["captures_unavailable", "captures_resumed", "captures_lost"]
    assert "what was said" not in str(announced.heard)


def test_old_captures_are_pruned_at_the_start_and_in_time(opened: Open, folder: Path) -> None:
    """
    Exchanges that are older than the limit are removed, repeatedly.
    """
    start = an_exchange().started_at
    clock = [start]
    store = CaptureStore.make(folder)
    for days in (1, 8):
        at = start - timedelta(days=days)
        store.append(Capture(an_exchange(started_at=at, id=f"{days}"), at))
    store.close()

    opened(keep=timedelta(days=7), now=lambda: clock[0], prune_every_s=0.02)

    until(lambda: [one.exchange.id for one in fresh(folder)] == ["1"])
    clock[0] += timedelta(days=7)
    until(lambda: fresh(folder) == [])


def test_without_a_limit_nothing_is_removed(opened: Open, folder: Path) -> None:
    """
    `forever` removes nothing.
    """
    sink = opened(keep=None, prune_every_s=0.01)
    sink.keep(a_record(started_at=an_exchange().started_at - timedelta(days=4000)))
    sink.close()

    assert len(fresh(folder)) == 1


FULL = """
import resource, sys
from pathlib import Path
from savemode_cli.captures.sink import CaptureSink
from tests.captures.test_sink import a_record, until

sink = CaptureSink(Path(sys.argv[1]), lambda event, text: print(event, text, flush=True))
sink.keep(a_record(b"fits"))
until(lambda: sink._waiting_bytes == 0)
resource.setrlimit(resource.RLIMIT_FSIZE, (120_000, resource.RLIM_INFINITY))
import random
for _ in range(3):
    sink.keep(a_record(random.Random(1).randbytes(300_000)))
until(lambda: sink.lost == 3)
print(sink.trouble)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
sink.keep(a_record(b"fits again"))
sink.close()
"""


def test_full_disk_is_announced_once_and_captures_resume(folder: Path) -> None:
    """
    If the file cannot grow, one announcement is made when the problem begins and one when it ends; earlier captures stay
    complete.
    """
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(folder)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    unavailable, trouble, resumed, lost = done.stdout.splitlines()
    assert unavailable.startswith("captures_unavailable cannot write to the captures")
    assert "full" in trouble
    assert resumed == "captures_resumed exchanges are captured again; 3 exchanges were not captured"
    assert lost == "captures_lost 3 exchanges were not captured"
    assert [one.request_body for one in fresh(folder)] == [b"fits", b"fits again"]


def test_proxy_is_captured(opened: Open, folder: Path, upstream: Upstream) -> None:
    """
    Over real sockets: the bodies as they came, the edits that lead to what the upstream received, and the receipt.
    """
    sink = opened(upstream=upstream.url)
    with running_proxy(upstream.url, sinks=[sink], ttl_policy="always") as proxy:
        exchange(
            proxy.port, request("POST", "/v1/messages?key=planted", MARKED, *FLAG.items(), ("x-api-key", "planted"))
        )
        seen = proxy.exchange()
    sink.close()
    (capture,) = fresh(folder)

    assert capture.exchange.bill.receipt == seen.bill.receipt
    assert capture.exchange.upgrade.edits == seen.upgrade.edits
    assert (capture.request_body, capture.response_body) == (MARKED, ANSWER)
    assert capture.sent_body == apply(MARKED, seen.upgrade.edits) == upstream.received[0].body
    assert capture.exchange.answer.answered_by == "claude-opus-5-5"
    assert capture.ended_at >= capture.exchange.started_at
    assert ("x-posthog-flag-llm-gateway-cost-controls", "true") in capture.request_headers
    assert not any(b"planted" in one.read_bytes() for one in folder.iterdir())


def test_counted() -> None:
    """
    Singular and plural.
    """
    assert (counted(1, "hold"), counted(2, "hold")) == ("1 hold was", "2 holds were")


def test_captures_give_the_printed_receipts(opened: Open, folder: Path, upstream: Upstream) -> None:
    """
    The stored captures alone give the same receipts that were printed, exact to the nano-dollar, including pauses.
    """
    start = datetime(2026, 11, 24, 12, tzinfo=UTC)
    clock = [start]
    usages = iter([(0, 30_000), (30_000, 500), (30_500, 700), (0, 31_200)])

    async def script(_received: Received, writer: StreamWriter) -> None:
        read, written = next(usages)
        clock[0] += timedelta(seconds=40)  # the duration of the answer
        writer.write(reply(says(read, written)))

    upstream.script = script
    sink = opened(upstream=upstream.url)
    with running_proxy(upstream.url, sinks=[sink], now=lambda: clock[0], ttl_policy="always") as proxy:
        for number, pause in enumerate((0, 60, 1200, 7200)):
            clock[0] += timedelta(seconds=pause)
            exchange(proxy.port, request("POST", "/v1/messages", MARKED, *FLAG.items()))
            proxy.exchange(number)
        printed = [one.bill.receipt for one in proxy.exchanges]
    sink.close()

    assert replayed(fresh(folder)) == printed
    # The writes cost more, and after the pause of 20 minutes a second write is saved.
    differences = [one.difference_nusd for one in printed if one is not None]
    assert [difference is not None and difference > 0 for difference in differences] == [True, True, False, True]
    assert fresh(folder)[0].ended_at == start + timedelta(seconds=40)


def says(read: int, written: int) -> bytes:
    """
    A message that read and wrote this many cached tokens, with a TTL of one hour.
    """
    usage = {
        "input_tokens": 3,
        "output_tokens": 5,
        "cache_read_input_tokens": read,
        "cache_creation_input_tokens": written,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": written},
    }
    return json.dumps({"type": "message", "model": "claude-opus-5-5", "content": [], "usage": usage}).encode()


def replayed(captures: list[Capture]) -> list[Receipt | None]:
    """
    The receipts that the captures of a store give.
    """
    table = load_prices(None)
    shadows: dict[str, Shadow | None] = {}
    receipts: list[Receipt | None] = []
    for one in captures:
        seen = one.exchange
        assert one.request_body is not None
        cache = f"{seen.call.session} {seen.call.model}"
        made, shadows[cache] = receipt(
            shadows.get(cache),
            facts(one.request_body),
            seen.upgrade.on_wire,
            seen.bill.usage,
            lambda used, one=one, seen=seen: table.bill(
                used, seen.answer.answered_by or seen.call.model, seen.started_at
            ),  # type: ignore[misc]
            seen.started_at,
            one.ended_at,
            final=seen.bill.settlement is not None and seen.bill.settlement.basis == "reported",
        )
        receipts.append(made)
    return receipts
