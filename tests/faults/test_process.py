"""
A proxy that is stopped or killed in mid-stream, and one whose disk is full for everything it writes.
"""

import json
import resource
import signal
from pathlib import Path
from typing import Any

import pytest

from savemode_cli.captures.store import CaptureStore
from savemode_cli.ledgers import open_ledger
from tests.support.asked import BEGUN, ENDED, EVENTS, PLAIN, PLAIN_NUSD, STREAM, STREAM_NUSD
from tests.support.processes import Running, post, savemode, serving
from tests.support.streams import answers
from tests.support.upstream import Upstream, reply
from tests.support.waiting import until
from tests.support.wire import CutShort, End, Wire, request

REST = ENDED[len(BEGUN) :]
TROUBLES = ("ledger_unavailable", "captures_unavailable", "events_file_trouble")


def options(folder: Path, *more: str) -> list[str]:
    """
    Those of a proxy that writes all it can: a ledger, captures, events.
    """
    return [
        *("--budget", "1", "--ledger", f"sqlite:///{folder}/ledger.db"),
        *("--capture", f"{folder}/captures", "--events-file", f"{folder}/events.jsonl"),
        *more,
    ]


def begun(wire: Wire, url: str) -> tuple[End, End]:
    """
    A stream that has said something: the client's end and the upstream's.
    """
    client = End.to(int(url.rpartition(":")[2]))
    client.send(request("POST", "/v1/messages", STREAM))
    upstream = wire.accept()
    upstream.message()
    upstream.send(BEGUN)
    client.head()
    said = b""
    while said != b"".join(EVENTS[:4]):
        said += client.chunk()
    return client, upstream


def kept(folder: Path) -> tuple[list[tuple[int, str]], int, list[int]]:
    """
    What a proxy has left behind: its charges with their basis, how many captures, the status of each event.
    """
    ledger = open_ledger(f"sqlite:///{folder}/ledger.db")
    charges: list[tuple[int, str]] = [(charge.nusd, charge.basis) for charge in ledger.charges()]
    ledger.close()
    store = CaptureStore.open(folder / "captures")
    captures = len(list(store.rows()))
    store.close()
    lines = (folder / "events.jsonl").read_text().splitlines()
    return charges, captures, [json.loads(line)["properties"]["$ai_http_status"] for line in lines]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_stopped_in_mid_stream(wire: Wire, tmp_path: Path, number: signal.Signals, code: int) -> None:
    """
    The stream comes to its end, is charged what it cost, and is in captures and events; the code says how it was stopped.
    """
    with serving(wire.url, *options(tmp_path)) as (server, url):
        client, upstream = begun(wire, url)
        server.process.send_signal(number)
        upstream.send(REST)
        while client.chunk():
            pass
        assert server.end(None) == code
        client.close()

    assert kept(tmp_path) == ([(STREAM_NUSD, "reported")], 1, [200])
    assert "\nsavemode stopped\nsavemode receipt\n" in server.err.all()


@pytest.mark.parametrize("signals", [[signal.SIGTERM], [signal.SIGINT], [signal.SIGINT, signal.SIGINT]])
def test_stream_that_outlives_the_grace(wire: Wire, tmp_path: Path, signals: list[signal.Signals]) -> None:
    """
    Cut, and visibly so; its bill is what was reported and seen of it, 3 x 4,000 and 3 characters for a token of 20,000,
    and everything is written.
    """
    with serving(wire.url, *options(tmp_path, "--grace-s", "1")) as (server, url):
        client, _ = begun(wire, url)
        for number in signals:
            server.process.send_signal(number)
        with pytest.raises((CutShort, ConnectionError)):
            client.chunk()
        assert server.end(None) == (0 if signals == [signal.SIGTERM] else 130)
        client.close()

    assert kept(tmp_path) == ([(32_000, "estimated")], 1, [200])
    assert "Traceback" not in server.err.all()


def test_hold_of_a_killed_proxy_is_shown_and_freed(wire: Wire, tmp_path: Path) -> None:
    """
    Killed in mid-stream: the hold survives and counts as spent, `budget show` lists it, `budget release` frees it.
    """
    ledger = f"sqlite:///{tmp_path}/ledger.db"
    with serving(wire.url, *options(tmp_path)) as (server, url):
        client, _ = begun(wire, url)
        assert server.end(signal.SIGKILL) == -signal.SIGKILL
        client.close()

    def shown() -> dict[str, Any]:
        said: dict[str, Any] = json.loads(savemode("budget", "show", "--json", "--ledger", ledger).stdout)
        return said

    before = shown()
    (hold,) = before["holds"]
    released = savemode("budget", "release", hold["id"], "--ledger", ledger)
    after = shown()

    assert released.returncode == 0, released.stderr
    assert hold["ask_nusd"] > 0
    assert after["holds"] == []


def all_kept(folder: Path) -> bool:
    """
    Whether a first exchange is in the ledger, the captures and the events.
    """
    return (folder / "events.jsonl").exists() and all(kept(folder))


def limited(server: Running, size: int) -> None:
    """
    No file of a process may grow beyond this: a full disk, as far as it can tell.
    """
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def test_disk_that_is_full_for_everything(upstream: Upstream, tmp_path: Path) -> None:
    """
    Ledger, captures and events cannot be written, all at once: every request passes, each trouble is said once, and when
    there is room again all three go on. The ledger then has every bill.
    """
    upstream.script = answers(reply())
    with serving(upstream.url, *options(tmp_path)) as (server, url):
        assert post(url, PLAIN)[0] == 200
        # The line comes first: captures and events are written by threads of their own.
        until(lambda: all_kept(tmp_path))
        limited(server, 1)
        assert [post(url, PLAIN)[0] for _ in range(20)] == [200] * 20
        for event in TROUBLES:
            server.err.wait_for(event)
        limited(server, resource.RLIM_INFINITY)
        server.err.wait_for("ledger_back: the budget ledger answers again; 20 bills of ")
        assert post(url, PLAIN)[0] == 200
        server.err.wait_for("captures_resumed")
        assert server.end() == 0

    said = server.err.all()
    assert [said.count(f"WARNING {event}") for event in TROUBLES] == [1, 1, 1]
    assert "Traceback" not in said
    charges, captures, statuses = kept(tmp_path)
    assert charges == [(PLAIN_NUSD, "reported")] * 22
    assert captures >= 2
    assert len(statuses) >= 2
