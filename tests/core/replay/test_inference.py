"""
What a lane left in the cache, what of it survived a pause, and what another TTL would have made of it.
"""

from datetime import UTC, datetime, timedelta

import pytest

from savemode_cli.core.replay.inference import LaneRequest, Split, Ttl, lane_requests, split
from savemode_cli.core.replay.recording import Recorded
from savemode_cli.core.wire.usage import Tokens, Usage
from tests.support.values import replace

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def a_request(after_s: float, read: int = 0, w5: int = 0, w1: int = 0, plain: int = 0, **more: object) -> Recorded:
    """
    A request of the main conversation, so long after noon, its answer taking no time.
    """
    at = NOON + timedelta(seconds=after_s)
    made: dict[str, object] = {"session": "s", "agent": "", "model": "m", "started_at": at, "ended_at": at, **more}
    return Recorded(usage=Usage(Tokens(plain, w5, w1, read)), **made)  # type: ignore[arg-type]


def second(first: Recorded, then: Recorded) -> LaneRequest:
    """
    The second of two requests beside what the first left.
    """
    return list(lane_requests([first, then]))[1]


def test_the_first_of_a_chain_has_nothing_before_it() -> None:
    """
    Each agent and each model has a chain of its own.
    """
    requests = [a_request(0, w5=100), a_request(1, w5=50, agent="a"), a_request(2, w5=70, model="n"), a_request(3, 100)]
    found = list(lane_requests(requests))

    assert [one.idle is None for one in found] == [True, True, True, False]
    assert (found[3].idle, found[3].left_tokens, found[3].first_tokens) == (timedelta(seconds=3), 100, 100)


def test_idle_counts_from_the_end_of_the_answer_before() -> None:
    """
    Overlapping requests have not been idle at all.
    """
    long = a_request(0, w5=100, ended_at=NOON + timedelta(seconds=60))
    assert second(long, a_request(90, 100)).idle == timedelta(seconds=30)
    assert second(long, a_request(30, 100)).idle == timedelta(0)


def test_the_ttl_is_the_one_that_was_written_last() -> None:
    """
    A request that only reads goes on with what there is.
    """
    found = list(lane_requests([a_request(0, w1=100), a_request(1, 100), a_request(2, 100, w5=5), a_request(3, 105)]))

    assert [(one.left_ttl, one.ttl) for one in found] == [("1h", "1h"), ("1h", "1h"), ("1h", "5m"), ("5m", "5m")]


def test_a_request_beside_the_cache_changes_nothing() -> None:
    """
    A short question of the client's own, neither read nor written, is no part of the chain.
    """
    found = list(lane_requests([a_request(0, plain=9), a_request(1, w5=100), a_request(2, plain=9), a_request(3, 100)]))

    assert [one.left_tokens for one in found] == [0, 0, 100, 100]
    assert (found[0].idle, found[1].idle) == (None, None)


@pytest.mark.parametrize(
    ("pause_s", "opens_turn", "five", "hour"),
    [
        (300, False, True, True),
        (301, False, False, True),
        (320, True, True, True),
        (321, True, False, True),
        (3600, True, False, True),
        (3601, True, False, False),
    ],
)
def test_what_survives(pause_s: float, opens_turn: bool, five: bool, hour: bool) -> None:
    """
    Five minutes, 20 seconds more at the end of a turn; an hour to the second.
    """
    one = second(a_request(0, w5=100), a_request(pause_s, opens_turn=opens_turn))

    assert (one.survives("5m"), one.survives("1h")) == (five, hour)


@pytest.mark.parametrize(
    ("pause_s", "gap"),
    [(60, "to_1m"), (61, "to_5m"), (300, "to_5m"), (301, "to_1h"), (3600, "to_1h"), (3601, "over_1h")],
)
def test_classes_of_pauses(pause_s: float, gap: str) -> None:
    """
    By the TTLs, not by the grace.
    """
    assert second(a_request(0, w5=100), a_request(pause_s)).gap == gap
    first = next(lane_requests([a_request(0)]))
    assert (first.gap, first.survives("1h")) == ("first", False)


W5, W1 = {"w5": 100_000}, {"w1": 100_000}


@pytest.mark.parametrize(
    ("wrote", "pause_s", "then", "ttl", "expected"),
    [
        pytest.param(W5, 60, {"read": 100_000, "w5": 1000}, "1h", Split(100_000, 1000), id="warm under both"),
        pytest.param(W5, 60, {"read": 9000, "w5": 92_000}, "1h", Split(9000, 92_000), id="content changed while warm"),
        pytest.param(W5, 600, {"w5": 101_000}, "1h", Split(0, 101_000, 100_000), id="an hour might have saved it"),
        pytest.param(W5, 600, {"read": 9000, "w5": 92_000}, "1h", Split(9000, 92_000, 91_000), id="the head was warm"),
        pytest.param(W5, 600, {"w5": 50_000}, "1h", Split(0, 50_000), id="compacted meanwhile: nothing to save"),
        pytest.param(W5, 600, {"read": 100_000, "w5": 9}, "1h", Split(100_000, 9), id="it survived, nobody knows why"),
        pytest.param(W5, 4000, {"w5": 101_000}, "1h", Split(0, 101_000), id="too long for an hour"),
        pytest.param(W1, 600, {"read": 100_000, "w1": 1000}, "5m", Split(0, 101_000), id="five minutes lose it"),
        pytest.param(W1, 600, {"read": 9000, "w1": 92_000}, "5m", Split(0, 101_000), id="the head is lost too"),
        pytest.param(W1, 60, {"read": 100_000, "w1": 1000}, "5m", Split(100_000, 1000), id="five minutes suffice"),
        pytest.param(W1, 4000, {"w1": 101_000}, "5m", Split(0, 101_000), id="gone under both"),
    ],
)
def test_another_ttl(wrote: dict[str, int], pause_s: float, then: dict[str, int], ttl: Ttl, expected: Split) -> None:
    """
    The table of `split`: only what can be inferred changes.
    """
    found = split(second(a_request(0, **wrote), a_request(pause_s, **then, plain=3)), ttl)

    assert found == expected
    assert found.read_tokens + found.written_tokens == sum(then.values())


def test_the_first_of_a_chain_stays_as_recorded() -> None:
    """
    What it reads is up to other sessions.
    """
    assert split(next(lane_requests([a_request(0, 20_000, w5=10_000)])), "1h") == Split(20_000, 10_000)


def third(first: Recorded, then: Recorded, last: Recorded) -> LaneRequest:
    """
    The third of three requests.
    """
    return list(lane_requests([first, then, last]))[2]


def test_after_a_tool_the_prompt_is_unchanged() -> None:
    """
    A client appends a tool's result and changes nothing else, so an hour would certainly have kept the prefix.
    """
    item = second(a_request(0, **W5), a_request(600, w5=101_000, opens_turn=False))

    assert split(item, "1h") == Split(100_000, 1000)


def test_the_head_is_read_after_an_expiry() -> None:
    """
    The first request read 20,000 tokens that other sessions keep warm: a 5-minute cache that has expired reads them too.
    """
    item = second(a_request(0, 20_000, w1=80_000), a_request(600, 100_000, w1=1000))

    assert item.head_tokens == 20_000
    assert split(item, "5m") == Split(20_000, 81_000)


@pytest.mark.parametrize(
    ("first", "then", "head"),
    [
        pytest.param({"read": 20_000, "w1": 80_000}, (60, {"read": 100_000}), 20_000, id="kept while warm"),
        pytest.param({"w5": 100_000}, (600, {"read": 15_000, "w5": 86_000}), 15_000, id="seen at an expiry"),
        pytest.param({"read": 20_000, "w5": 80_000}, (600, {"w5": 101_000}), 0, id="gone at an expiry"),
        pytest.param({"read": 90_000, "w5": 10_000}, (60, {"read": 100_000}), 0, id="too long: a resumed conversation"),
    ],
)
def test_the_head_is_what_was_last_read_without_a_cache(
    first: dict[str, int], then: tuple[float, dict[str, int]], head: int
) -> None:
    """
    Of the lane itself: other lanes may share another head.
    """
    pause_s, used = then

    assert third(a_request(0, **first), a_request(pause_s, **used), a_request(pause_s + 9, 100_000)).head_tokens == head


def test_the_prefix_of_an_answer_with_several_passes_is_the_last_one() -> None:
    """
    Two passes read 100,000 and 101,000 tokens; what is left are 102,000, not 203,000: the next prompt was not cut.
    """
    answer = replace(a_request(60), usage=Usage(Tokens(0, 2000, 0, 201_000), prefix_tokens=102_000))
    item = third(a_request(0, **W5), answer, a_request(120, 102_000, w5=500))

    assert (item.left_tokens, item.shrunk, item.reads_all) == (102_000, False, True)


def test_a_later_pass_reads_what_an_earlier_one_wrote() -> None:
    """
    Under every TTL: an expiry makes the first pass write its prefix anew, and no other.
    """
    answer = replace(a_request(600), usage=Usage(Tokens(0, 0, 2000, 201_000), prefix_tokens=102_000))
    item = second(a_request(0, **W1), answer)

    assert split(item, "1h") == Split(201_000, 2000)
    assert split(item, "5m") == Split(101_000, 102_000)
