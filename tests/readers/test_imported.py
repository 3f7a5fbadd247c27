"""
Captures of requests that transcripts record.
"""

import json
from pathlib import Path

from savemode_cli.core.exchange.capture import Capture, decode, encode
from savemode_cli.core.wire.products import PRODUCTS
from savemode_cli.prices import load_prices
from savemode_cli.readers.calls import call_of_capture
from savemode_cli.readers.imported import imported_capture
from savemode_cli.readers.rebuilt import rebuilt_sessions
from savemode_cli.readers.transcript_files import groups
from tests.support.recording_client import RecordingSession, a_recording_session


def imported(session: RecordingSession, folder: Path) -> list[Capture | None]:
    """
    The captures of a session.
    """
    (rebuilt,) = rebuilt_sessions(groups([session.write(folder)]))
    prices = load_prices(None)
    return [imported_capture(rebuilt, number, prices, "llm_gateway", PRODUCTS) for number in range(len(rebuilt.times))]


def test_a_capture_is_the_recorded_call(tmp_path: Path) -> None:
    """
    The same body, times and usage; its session is one key; the answer is whole; it can be written and read.
    """
    session, _ = a_recording_session()
    captures = [capture for capture in imported(session, tmp_path) if capture is not None]
    (rebuilt,) = rebuilt_sessions(groups([tmp_path / "one.jsonl"]))
    calls = list(rebuilt.calls())
    found = [call_of_capture(capture, "capture") for capture in captures]

    assert [(one.body, one.started_at, one.ended_at, one.usage) for one in calls] == [
        (one.body, one.started_at, one.ended_at, one.usage)
        for one in found
        if one is not None and isinstance(one, type(calls[0]))
    ]
    assert len({capture.exchange.call.session for capture in captures}) == 1
    assert captures[0].exchange.id == "one-request-2"
    answer = json.loads(captures[0].response_body or b"")
    assert [block["type"] for block in answer["content"]] == ["text", "tool_use"]
    assert (answer["id"], answer["usage"]["cache_creation_input_tokens"]) == ("msg-one-2", 3000)
    again = [decode(encode(capture), capture.request_body, capture.response_body) for capture in captures]
    assert again == captures


def test_what_it_cost(tmp_path: Path) -> None:
    """
    The bill is that of the prices.
    """
    session, _ = a_recording_session()
    captures = imported(session, tmp_path)

    # 2 input at $4, 3,000 written for 5 minutes at $5, 9 of output at $20, by the million.
    assert captures[0] is not None
    assert captures[0].exchange.bill.cost_nusd == 2 * 4_000 + 3000 * 5_000 + 9 * 20_000
    assert captures[0].exchange.bill.settlement is not None
    assert captures[0].exchange.bill.settlement.basis == "reported"


def test_without_an_answer(tmp_path: Path) -> None:
    """
    Nobody knows what it cost.
    """
    session, _ = a_recording_session()
    session.lines = [line for line in session.lines if line.get("requestRef") != session.last]

    assert [capture is None for capture in imported(session, tmp_path)] == [False, False, True]
