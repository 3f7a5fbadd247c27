"""
Verdicts on recorded calls.
"""

import json
import os
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from savemode_cli.core.budget.trace import nearly_sorted
from savemode_cli.core.diagnosis.report import Diagnosed
from savemode_cli.core.replay.missed import CallHistory
from savemode_cli.core.replay.recording import Call
from savemode_cli.core.wire.products import PRODUCTS
from savemode_cli.core.wire.usage import Tokens, Usage
from savemode_cli.prices import load_prices
from savemode_cli.readers.files import calls_in, readable
from savemode_cli.readers.problems import Problems
from tests.support.prompts import MARK, MODEL, encoded, text, user

PRICES = load_prices(None)
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
TRACES = Path(os.environ.get("SAVEMODE_TEST_TRACES", Path(__file__).parents[4] / "shared" / "traces"))
CAPTURE = TRACES / "bodies" / "claude-code" / "capture.jsonl"


def recorded(minute: int, day: int, usage: Usage | None) -> Call:
    """
    A call with a date in its system prompt.
    """
    system = [text(f"It is the {day}th. " + "Be good. " * 2000, **MARK)]
    body = {"model": MODEL, "max_tokens": 9, "system": system, "messages": [user(text("Hello."))]}
    return Call(f"call {minute}", encoded(body), started_at=NOON + timedelta(minutes=minute), usage=usage)


def history() -> CallHistory:
    """
    Nothing was seen yet.
    """
    return CallHistory(PRICES, "llm_gateway", PRODUCTS)


def test_a_date_in_the_system_prompt() -> None:
    """
    The session's key is made from the system prompt, and the miss is found although it changes.
    """
    calls = history()
    written = Usage(Tokens(input=5, write_5m=5000))
    first = calls.feed(recorded(0, 1, written))
    assert first is not None
    found = calls.feed(recorded(1, 2, written))

    assert found is not None
    assert found.session == first.session
    (miss,) = found.verdict.misses
    assert (miss.cause, miss.at, miss.values_only) == ("system_changed", "system[0].text", True)
    assert miss.tokens == found.verdict.missed_tokens == 5000
    assert miss.cost_nusd == 5000 * 4_800
    assert found.cost_nusd == 5000 * 5_000 + 5 * 4_000


def test_agents_of_a_capture_are_kept_apart() -> None:
    """
    It has no header that names an agent: the key of the session does. Both belong to one session.
    """
    calls = history()
    usage = Usage(Tokens(input=5, write_5m=5000))
    found = []
    for minute, key in enumerate(("main", "agent")):
        body = {**json.loads(recorded(0, minute, None).body), "metadata": {"user_id": '{"session_id":"one"}'}}
        sent = Call(f"{key}", encoded(body), started_at=NOON + timedelta(minutes=minute), usage=usage, session=key)
        found.append(calls.feed(sent))

    assert [one and (one.session, one.session_key, one.verdict.misses) for one in found] == [
        ("one", "main", ()),
        ("one", "agent", ()),
    ]


@pytest.mark.parametrize(
    ("call", "why"),
    [
        (Call("a", b"{}", started_at=NOON), "no messages body"),
        (Call("a", recorded(0, 1, None).body), "no time"),
        (Call("a", recorded(0, 1, None).body, started_at=NOON, answered=False), "failed"),
        (recorded(0, 1, None), "no usage"),
    ],
)
def test_what_cannot_be_judged_is_counted(call: Call, why: str) -> None:
    """
    By its reason.
    """
    calls = history()

    assert calls.feed(call) is None
    assert calls.unusable == {why: 1}


@pytest.mark.skipif(not CAPTURE.exists(), reason="needs the recorded bodies of a real client")
def test_recorded_traffic_has_causes() -> None:
    """
    At most a twentieth of the missed tokens has no known cause, and the causes add up to the bill.
    """
    calls = history()
    ((path, reader),) = readable([CAPTURE])
    recording = nearly_sorted(calls_in(path, reader, Problems()), lambda call: call.started_at or NOON, 16)
    found: list[Diagnosed] = [verdict for call in recording if (verdict := calls.feed(call)) is not None]
    by_cause: Counter[str] = Counter()
    for one in found:
        for miss in one.verdict.misses:
            by_cause[miss.cause] += miss.tokens
    missed = sum(one.verdict.missed_tokens for one in found)

    assert len(found) >= 60
    assert sum(by_cause.values()) + sum(one.verdict.unexplained_tokens for one in found) == missed > 100_000
    assert by_cause["unknown"] * 20 <= missed
