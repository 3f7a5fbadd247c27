"""
The billed requests of every kind of record: each once, with its price, project, session and agent.
"""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from savemode_cli.captures.store import CaptureStore
from savemode_cli.core.budget.charge import Settlement
from savemode_cli.core.budget.ledger import Charge
from savemode_cli.core.exchange.capture import Capture
from savemode_cli.core.exchange.totals import BilledRequest, MissedRead, Totals
from savemode_cli.core.money.pricing import PriceTable
from savemode_cli.core.wire.products import PRODUCTS
from savemode_cli.core.wire.sessions import named_session_key
from savemode_cli.core.wire.usage import Tokens
from savemode_cli.readers.billed import BilledRequests, of_charges
from savemode_cli.readers.files import readable, walk
from tests.builders import a_price, a_usage, an_exchange
from tests.core.replay.test_bodies import a_body
from tests.support.recorded import CAPTURE, TRACES
from tests.support.transcripts import NOON, Transcript, a_session, counted, usage

PRICES = PriceTable([a_price()])


def read(*paths: Path, reading: BilledRequests | None = None) -> list[BilledRequest]:
    """
    The requests in files and folders, by time.
    """
    reading = reading or BilledRequests(PRICES, PRICES)
    return sorted(reading.of_files(list(readable(walk(map(str, paths))))), key=lambda request: request.at)


def totals(requests: list[BilledRequest]) -> Totals:
    """
    The totals of some requests.
    """
    sums = Totals()
    for request in requests:
        sums.add(request)
    return sums


def with_progress(folder: Path, project: str = "-home-me-src-work") -> Path:
    """
    A session with one sub-agent in a file, one only inside records of progress, and one in both.
    """
    main = Transcript("s").user().answer("main", usage(w5=100, out=11), lines=3)
    for name, lines in (("both", 2), ("inside", 1)):
        agent = Transcript("s", name, main.at).user().answer(name, usage(w5=50, read=9, out=5), lines=lines)
        for line in agent.lines:
            keep = {key: line[key] for key in ("type", "uuid", "timestamp", "message", "requestId") if key in line}
            main.record("progress", data={"type": "agent_progress", "agentId": name, "message": keep})
        if name == "both":
            agent.write(folder / project, "s/subagents/agent-both.jsonl")
    for line in main.lines:
        line["cwd"] = "/home/me/src/work"
    main.write(folder / project)
    return folder


def test_sub_agents_count_once(tmp_path: Path) -> None:
    """
    Whether they are in files of their own or inside records of progress.
    """
    requests = read(with_progress(tmp_path))

    assert sorted((request.agent or "", request.tokens) for request in requests) == [
        ("", Tokens(3, 100, 0, 0, 11)),
        ("both", Tokens(3, 50, 0, 9, 5)),
        ("inside", Tokens(3, 50, 0, 9, 5)),
    ]
    sums, plain = totals(requests), counted(tmp_path.rglob("*.jsonl"))
    tokens = sums.tokens
    assert (sums.requests, tokens.input, tokens.write_5m, tokens.read) == (
        3,
        plain["input"],
        plain["write_5m"],
        plain["read"],
    )
    costs = (tokens.input * 4000, tokens.write_5m * 5000, tokens.read * 200, tokens.output * 20_000)
    assert sums.cost_nusd == sum(costs)


@pytest.mark.skipif(not TRACES.exists(), reason="no recorded traffic at hand")
@pytest.mark.parametrize("name", ["entireio-cli", "marot-spotter"])
def test_recorded_traffic_to_the_token(name: str) -> None:
    """
    The totals equal a count that is independent of the readers.
    """
    folder = TRACES / "transcripts" / name
    sums, plain = totals(read(folder)), counted(sorted(folder.rglob("*.jsonl")))

    assert {
        "requests": sums.requests,
        "input": sums.tokens.input,
        "write_5m": sums.tokens.write_5m,
        "write_1h": sums.tokens.write_1h,
        "read": sums.tokens.read,
    } == plain


@pytest.mark.parametrize(
    ("cwd", "folder", "project"),
    [
        ("/home/me/src/work", "-home-me-src-work", "/home/me/src/work"),
        ("/home/me/a.b_c", "-home-me-a-b-c", "/home/me/a.b_c"),
        ("/home/me/src/work/deeper", "-home-me-src-work", "-home-me-src-work"),
        (None, "-home-me-src-work", "-home-me-src-work"),
    ],
)
def test_project(tmp_path: Path, cwd: str | None, folder: str, project: str) -> None:
    """
    The working directory after which the folder is named, otherwise the folder's name; also for sub-agents.
    """
    for made in (Transcript("s"), Transcript("s", "a1")):
        made.user().answer(made.agent or "main", usage(w5=9))
        for line in made.lines:
            line.update({} if cwd is None else {"cwd": cwd})
        made.write(tmp_path / folder, None if made.agent is None else "s/subagents/agent-a1.jsonl")

    assert [request.project for request in read(tmp_path)] == [project, project]


def test_copies_count_once(tmp_path: Path) -> None:
    """
    Answers that a resumed session copies are billed to its origin.
    """
    made = a_session("s", [10, 10])
    made.write(tmp_path)
    made.user().answer("own", usage(read=42_000))
    made.write(tmp_path, "resumed.jsonl")
    reading = BilledRequests(PRICES, PRICES)

    assert (len(read(tmp_path, reading=reading)), reading.copies) == (4, 3)


def test_missed_reads(tmp_path: Path) -> None:
    """
    After ten minutes, 40,000 tokens were written with a TTL of 5 minutes again instead of being read.
    """
    a_session("s", [600]).write(tmp_path)

    first, second = read(tmp_path)
    assert first.missed == ()
    assert second.missed == (MissedRead("expired", 40_000, 40_000 * (5000 - 200)),)


def test_tokens_of_an_advisor(tmp_path: Path) -> None:
    """
    The tokens of an advisor are billed separately from the answer's tokens.
    """
    advisor = {"type": "advisor_message", "model": "claude-opus-5-5", "input_tokens": 9000, "output_tokens": 80}
    Transcript("s").user().answer("1", usage(w5=9) | {"iterations": [advisor]}).write(tmp_path)

    (request,) = read(tmp_path)
    assert (request.tokens, request.beside) == (Tokens(3, 9, 0, 0, 7), Tokens(input=9000, output=80))
    assert request.cost_nusd == 9003 * 4000 + 9 * 5000 + 87 * 20_000


def test_unpriced_and_partial(tmp_path: Path) -> None:
    """
    A model without a price is charged at the highest known price, and an incomplete answer is marked.
    """
    made = Transcript("s").user().answer("1", usage(), model="claude-nobody-9")
    made.lines[-1]["message"]["stop_reason"] = None
    made.write(tmp_path)

    (request,) = read(tmp_path)
    assert (request.is_priced, request.is_partial, request.cost_nusd) == (False, True, 3 * 4000 + 7 * 20_000)


def store_at(folder: Path, **differences: Any) -> Path:
    """
    A store with two exchanges, one of them without a bill.
    """
    store = CaptureStore.make(folder)
    for number, used in enumerate((a_usage(3, 7), None)):
        charged = None if used is None else Settlement(42, "reported")
        exchange = an_exchange(id=f"req_{number}", started_at=NOON, usage=used, settlement=charged, **differences)
        store.append(Capture(exchange, NOON + timedelta(seconds=3), request_body=a_body(1)))
    store.close()
    return store.path


def test_captures(tmp_path: Path) -> None:
    """
    The exchanges of a store that have a bill.
    """
    (request,) = read(store_at(tmp_path / "captures", session="0123456789abcdef", model="claude-opus-5-5"))

    assert (request.at, request.session, request.model) == (NOON, "0123456789abcdef", "claude-opus-5-5")
    assert (request.project, request.agent, request.cost_nusd) == (None, None, 42)


def test_a_transcript_and_captures_of_one_session(tmp_path: Path) -> None:
    """
    They count once: the proxy derives its session key from the client's session ID.
    """
    Transcript("s", at=NOON).user().answer("1", usage()).write(tmp_path / "projects")
    key = named_session_key(PRODUCTS.default, "", "s")
    store_at(tmp_path / "captures", session=key, product=PRODUCTS.default)
    reading = BilledRequests(PRICES, PRICES)

    assert len(read(tmp_path, reading=reading)) == 1
    assert reading.copies == 1


@pytest.mark.skipif(not CAPTURE.exists(), reason="no recorded traffic at hand")
def test_recorded_bodies(tmp_path: Path) -> None:
    """
    Lines of bodies with usage, and copies of them in another file, are counted once.
    """
    copy = tmp_path / "copy.jsonl"
    copy.write_bytes(CAPTURE.read_bytes())
    reading = BilledRequests(PRICES, PRICES)
    requests = read(CAPTURE, copy, reading=reading)

    rows = [json.loads(line) for line in CAPTURE.read_text().splitlines()]
    used = [row["usage"] for row in rows if row["usage"] is not None]
    assert (len(requests), reading.copies) == (len(used), len(used))
    assert sum(request.tokens.output for request in requests) == sum(one["output_tokens"] for one in used)
    assert {request.session for request in requests} == {row["session"] for row in rows}


def test_charges() -> None:
    """
    A ledger has amounts, models and times.
    """
    charges = [
        Charge("h", ("k",), 5, "reported", model, datetime(2026, 11, 24, tzinfo=UTC), override=False)
        for model in ("claude-opus-5-5", "")
    ]

    assert [(one.cost_nusd, one.model, one.session) for one in of_charges(charges)] == [
        (5, "claude-opus-5-5", None),
        (5, None, None),
    ]
