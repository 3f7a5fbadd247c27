"""
The sums of a running proxy: they are complete and their size is bounded.
"""

import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from savemode_cli.core.budget.charge import Settlement
from savemode_cli.core.exchange.exchange import Exchange
from savemode_cli.core.exchange.running import Bounds, RunningSummary
from savemode_cli.core.wire.caller import Caller
from savemode_cli.core.wire.sessions import named_session_key
from savemode_cli.core.wire.usage import Tokens, Usage
from tests.builders import an_exchange

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def billed(tokens: Tokens = Tokens(3, 0, 0, 0, 7), nusd: int = 5, **more: Any) -> Exchange:  # noqa: B008 - it is frozen
    """
    An exchange with a bill.
    """
    return an_exchange(
        **{"started_at": NOON, "usage": Usage(tokens), "settlement": Settlement(nusd, "reported")} | more
    )


def running(*exchanges: Exchange, callers: list[Caller] | None = None, bounds: Bounds | None = None) -> RunningSummary:
    """
    The sums of some exchanges, each of which took three seconds.
    """
    summary = RunningSummary(NOON, bounds)
    for number, exchange in enumerate(exchanges):
        caller = None if callers is None else callers[number]
        summary.add(exchange, exchange.started_at + timedelta(seconds=3), caller)
    return summary


def test_all_parts_agree() -> None:
    """
    The total, the counts, the hours, the models and the sessions show the same dollars and tokens.
    """
    exchanges = [
        billed(
            nusd=number,
            started_at=NOON + timedelta(minutes=20 * number),
            model=f"m{number % 3}",
            session=f"s{number % 4}",
        )
        for number in range(1, 20)
    ]
    shown = running(*exchanges, an_exchange(outcome="refused")).to_json(NOON)

    expected = sum(range(1, 20))
    for rows in ("hours", "models", "sessions"):
        assert sum(row["cost_nusd"] for row in shown[rows]) == expected
        assert sum(row["output_tokens"] for row in shown[rows]) == 19 * 7
    assert shown["total"]["cost_nusd"] == shown["counts"]["cost_nusd"] == expected
    assert [row["hour"] for row in shown["hours"]][:2] == ["2026-11-24T12:00:00+00:00", "2026-11-24T13:00:00+00:00"]
    assert shown["counts"]["outcomes"]["refused"] == 1


def test_its_size_is_bounded() -> None:
    """
    Only the most recent hours, models, sessions and agents are kept. The totals include all.
    """
    bounds = Bounds(hours=5, models=3, sessions=4, agents=2)
    exchanges = [
        billed(started_at=NOON + timedelta(hours=number), model=f"m{number}", session=None) for number in range(50)
    ]
    callers = [
        Caller("x", idle_prone=True, session_id=f"s{number // 10}", agent_id=f"a{number}") for number in range(50)
    ]
    shown = running(*exchanges, callers=callers, bounds=bounds).to_json(NOON)

    assert shown["total"]["requests"] == 50
    assert [row["model"] for row in shown["models"]] == ["m49", "m48", "m47"]
    assert len(shown["hours"]) == 5
    assert [row["session"] for row in shown["sessions"]] == ["s4", "s3", "s2", "s1"]
    assert [row["agent"] for row in shown["sessions"][0]["agents"]] == ["a49", "a48"]
    assert shown["sessions"][0]["agents_dropped"] == 8


def test_memory_of_many_exchanges() -> None:
    """
    Once the limits are reached, the memory does not grow.
    """
    summary = RunningSummary(NOON)

    def size() -> int:
        return len(str(summary.to_json(NOON)))

    sizes = []
    for number in range(3000):
        caller = Caller("x", idle_prone=True, session_id=f"s{number % 600:04d}", agent_id=f"a{number % 7}")
        at = NOON + timedelta(hours=number)
        summary.add(billed(started_at=at, model=f"m{number % 100:03d}"), at, caller)
        if number in (1999, 2999):
            sizes.append(size())
    assert sizes[1] < sizes[0] * 1.05
    assert len(summary.sessions) == 200
    assert sys.getsizeof(summary.hours) < 100_000


@pytest.mark.parametrize(
    ("many", "ttl", "minutes"),
    [
        ([Tokens(3, 100, 0, 0, 1)], "5m", 5),
        ([Tokens(3, 0, 100, 0, 1)], "1h", 60),
        ([Tokens(3, 0, 100, 0, 1), Tokens(3, 0, 0, 100, 1)], "1h", 60),
        ([Tokens(3, 0, 100, 0, 1), Tokens(3, 9, 0, 100, 1)], "5m", 5),
        ([Tokens(3, 0, 0, 0, 1)], None, None),
    ],
)
def test_until_when_the_cache_is_warm(many: list[Tokens], ttl: str | None, minutes: int | None) -> None:
    """
    From the end of the last answer of the main conversation, for the TTL that was billed last.
    """
    session = running(*(billed(tokens) for tokens in many)).session("0123456789abcdef")

    assert session is not None
    assert session.ttl == ttl
    until = None if minutes is None else NOON + timedelta(seconds=3, minutes=minutes)
    assert session.warm_until == until


def test_a_sub_agent_does_not_keep_its_session_warm() -> None:
    """
    It has a separate cache. Its cost is part of the session.
    """
    callers = [Caller("x", idle_prone=True, session_id="s"), Caller("x", idle_prone=True, session_id="s", agent_id="a")]
    exchanges = (billed(Tokens(3, 9, 0, 0, 1)), billed(Tokens(3, 0, 9, 0, 1), started_at=NOON + timedelta(hours=1)))
    session = running(*exchanges, callers=callers).session("s")

    assert session is not None
    assert (session.totals.cost_nusd, session.agents["a"].cost_nusd) == (10, 5)
    assert session.warm_until == NOON + timedelta(seconds=3, minutes=5)


def test_a_session_is_found_by_the_clients_name() -> None:
    """
    Also if only the body named it, so that our key stands for it.
    """
    summary = running(billed(session=named_session_key("posthog_code", "", "s-1")))

    assert summary.session_json("s-1", NOON)["sessions"][0]["cost_nusd"] == 5
    assert summary.session_json("s-2", NOON)["sessions"] == []
