"""
The guard: when a conversation seems to have run away.
"""

from datetime import UTC, datetime, timedelta

import pytest

from savemode_cli.core.budget.choices import GuardLimits
from savemode_cli.core.budget.guard import AGENT_IDLE, Alarm, Guard

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
LIMITS = GuardLimits("warn", identical_calls=10, nusd_per_minute=3_000_000_000, agents=3)


def after(seconds: float) -> datetime:
    """
    A moment after noon.
    """
    return NOON + timedelta(seconds=seconds)


@pytest.fixture
def guard() -> Guard:
    """
    A guard that warns.
    """
    return Guard(LIMITS)


def test_identical_calls(guard: Guard) -> None:
    """
    From the limit on. Once accepted, at twice as many; once over, at the limit again.
    """
    assert guard.judge("s", "", 9, "Bash", NOON) is None
    alarm = guard.judge("s", "", 10, "Bash", NOON)
    assert alarm == Alarm("identical_calls", 10, 10, tool="Bash")
    guard.accept("s", alarm, NOON)

    assert guard.judge("s", "", 19, "Bash", NOON) is None
    assert guard.judge("s", "", 20, "Bash", NOON) is not None
    assert guard.judge("other", "", 10, "Bash", NOON) is not None
    assert guard.judge("s", "", 1, "Bash", NOON) is None
    assert guard.judge("s", "", 10, "Bash", NOON) is not None


def test_a_refused_sign_stays(guard: Guard) -> None:
    """
    Until somebody accepts it.
    """
    guard = Guard(GuardLimits("refuse", identical_calls=10))

    alarms = [guard.judge("s", "", 10, "Bash", NOON) for _ in range(3)]
    assert alarms == [Alarm("identical_calls", 10, 10, refused=True, tool="Bash")] * 3


def test_dollars_per_minute(guard: Guard) -> None:
    """
    The mean of five minutes, exactly: a charge of five minutes ago no longer counts.
    """
    for number, nusd in enumerate((7_000_000_000, 8_000_000_000)):
        guard.begin(f"r{number}", "s", "", NOON)
        guard.end(f"r{number}", nusd, after(number))
    assert guard.judge("s", "", 0, "", after(1)) is None  # $15 in five minutes is the limit, and not above it
    guard.begin("r2", "s", "a", NOON)
    guard.end("r2", 1_000_000_000, after(2))

    assert guard.judge("s", "", 0, "", after(2)) == Alarm("usd_per_minute", 3_200_000_000, 3_000_000_000)
    assert guard.judge("other", "", 0, "", after(2)) is None
    assert guard.judge("s", "", 0, "", after(299)) is not None
    assert guard.judge("s", "", 0, "", after(300)) is None


def test_agents_at_once(guard: Guard) -> None:
    """
    The one that is one too many shows the sign, and those at work do not. An agent is at work until a minute after its last
    request.
    """
    for number, agent in enumerate(("a", "b", "c")):
        assert guard.judge("s", agent, 0, "", NOON) is None
        guard.begin(f"r{number}", "s", agent, NOON)

    assert guard.judge("s", "d", 0, "", NOON) == Alarm("agents", 4, 3)
    assert guard.judge("s", "a", 0, "", NOON) is None
    assert guard.judge("s", "", 0, "", NOON) is None
    assert guard.judge("other", "d", 0, "", NOON) is None
    guard.end("r0", 0, NOON)
    assert guard.judge("s", "d", 0, "", NOON + AGENT_IDLE - timedelta(seconds=1)) is not None
    assert guard.judge("s", "d", 0, "", NOON + AGENT_IDLE) is None


def test_an_agent_with_two_requests_works_until_both_are_over(guard: Guard) -> None:
    """
    Requests that run count however long they take.
    """
    guard = Guard(GuardLimits("warn", agents=1))
    guard.begin("r1", "s", "a", NOON)
    guard.begin("r2", "s", "a", NOON)
    guard.end("r1", 0, NOON)

    assert guard.judge("s", "b", 0, "", after(3600)) is not None
    guard.end("r2", 0, after(3600))
    assert guard.judge("s", "b", 0, "", after(3660)) is None


def test_zero_and_off_switch_signs_off() -> None:
    """
    No limit, no sign.
    """
    for limits in (GuardLimits("warn"), GuardLimits("off", 1, 1, 1)):
        guard = Guard(limits)
        for number in range(3):
            guard.begin(f"r{number}", "s", f"a{number}", NOON)
            guard.end(f"r{number}", 10**12, NOON)
        assert guard.judge("s", "new", 99, "Bash", NOON) is None


def test_what_never_began_changes_nothing(guard: Guard) -> None:
    """
    A refused request is ended too; it was not at work, and cost nothing.
    """
    guard.end("r", 10**12, NOON)

    assert guard.judge("", "", 0, "", NOON) is None


def test_words_and_json() -> None:
    """
    Amounts of money as money.
    """
    rate = Alarm("usd_per_minute", 3_200_000_000, 3_000_000_000)
    calls = Alarm("identical_calls", 10, 10, refused=True, tool="Bash")

    assert rate.words() == "it spent $3.2000 per minute in the last 5 minutes (limit: $3.0000)"
    assert calls.words() == "it called Bash 10 times in a row with the same input (limit: 10)"
    assert Alarm("agents", 21, 20).words() == "it runs 21 sub-agents at the same time (limit: 20)"
    assert rate.to_json() == {
        "sign": "usd_per_minute",
        "refused": False,
        "seen_usd": "3.200000000",
        "limit_usd": "3.000000000",
        "tool": None,
    }
    assert calls.headers() == [(b"x-savemode-guard", b"identical_calls")]


def test_memory_is_bounded() -> None:
    """
    The conversations used last are kept; of each, one sum per second, and the agents that worked last. A request that ended
    leaves nothing.
    """
    guard = Guard(GuardLimits("warn", nusd_per_minute=1, agents=3))
    for number in range(1001):
        guard.begin("r", f"s{number}", "", NOON)
        guard.end("r", 10**9, NOON)
    for number in range(2000):
        guard.begin("r", "s1000", f"a{number}", after(number / 400))
        guard.end("r", 10**9, after(number / 400))

    assert guard.judge("s0", "", 0, "", after(5)) is None
    assert guard.judge("s1000", "", 0, "", after(5)) == Alarm("usd_per_minute", 2001 * 10**9 // 5, 1)
    assert len(guard._conversations) == 1000
    kept = guard._conversations["s1000"]
    assert (len(kept.charges), len(kept.agents), len(kept.running), len(guard._requests)) == (5, 200, 0, 0)


def test_charges_of_one_second_leave_together() -> None:
    """
    When the last of them is five minutes old, so that none leaves too early.
    """
    guard = Guard(GuardLimits("warn", nusd_per_minute=1))
    for number, seconds in enumerate((0.1, 0.9, 0.5, 1.0)):
        guard.begin(f"r{number}", "s", "", NOON)
        guard.end(f"r{number}", 500, after(seconds))

    seen = [guard.judge("s", "", 0, "", after(300 + seconds)) for seconds in (0.5, 0.899, 0.9, 1)]
    assert [one and one.seen for one in seen] == [400, 400, 100, None]


def test_rounds_of_calls() -> None:
    """
    Several tools in turn are named in their order.
    """
    alarm = Guard(LIMITS).judge("s", "", 10, "Read, Bash, ", NOON)

    assert alarm is not None
    assert alarm.words() == (
        "it called Read, Bash and a tool in turn 10 times, each time with the same inputs (limit: 10)"
    )
    assert alarm.to_json()["tool"] == "Read, Bash, "
