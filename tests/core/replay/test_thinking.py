"""
A lane has a prefix with thinking on and one with thinking off; a switch reads the one that it switches to.
"""

from typing import Any

import pytest
from msgspec.structs import replace

from savemode_cli.core.replay.inference import LaneRequest, lane_requests
from savemode_cli.core.replay.recording import Recorded
from tests.core.replay.test_inference import a_request

SKILL: dict[str, Any] = {"instructed": True, "thinks": False, "opens_turn": False}
WITHIN: dict[str, Any] = {"thinks": False, "opens_turn": False}


def items(*requests: Recorded) -> list[LaneRequest]:
    """
    A lane that has thought, and then these requests.
    """
    return list(lane_requests([a_request(0, w5=40_000, thinks=True), *requests]))[1:]


def changes(*requests: Recorded) -> list[str | None]:
    """
    Why the prompt of each request may have changed.
    """
    return [item.change for item in items(*requests)]


LOST = a_request(10, 10_000, w5=31_000, **SKILL)
"""A skill begins: only the head is read."""
LONG = a_request(20, 41_000, w5=19_000, **WITHIN)
"""The skill continues, and reads a long file."""


def test_a_skill_turns_thinking_off_until_the_next_turn() -> None:
    """
    Both switches lose the messages, if the prefix of the other way is much shorter.
    """
    assert changes(LOST, LONG, a_request(30, 10_000, w5=51_000, thinks=True)) == ["instructions", None, "return"]


def test_the_other_prefix_is_read_while_it_is_alive() -> None:
    """
    A short skill leaves the prefix with thinking nearly as long as the conversation.
    """
    soon, late = (a_request(at, 40_000, w5=2000, thinks=True) for at in (60, 310))

    assert changes(LOST, soon) == ["instructions", None]
    assert changes(LOST, late) == ["instructions", "return"]


def test_the_other_prefix_lives_as_long_as_its_own_ttl() -> None:
    """
    It was written for an hour, and the requests after it for 5 minutes.
    """
    requests = [a_request(0, w1=40_000, thinks=True), LOST, a_request(310, 40_000, w5=2000, thinks=True)]

    assert [item.change for item in lane_requests(requests)] == [None, "instructions", None]


def test_the_other_prefix_is_not_found_many_blocks_back() -> None:
    """
    The look-back ends after 20 blocks.
    """
    steps = [a_request(11 + step, 41_000, w5=1, **WITHIN) for step in range(11)]
    back = a_request(40, 40_000, w5=2000, thinks=True)

    assert changes(LOST, *steps[:9], back)[-1] is None
    assert changes(LOST, *steps, back)[-1] == "return"


def test_a_skill_in_the_next_turn_reads_the_prefix_without_thinking() -> None:
    """
    The second switch to thinking off finds what the first one wrote.
    """
    back = a_request(30, 10_000, w5=51_000, thinks=True)
    again = a_request(40, 60_000, w5=2000, **SKILL)

    assert changes(LOST, LONG, back, again) == ["instructions", None, "return", None]


@pytest.mark.parametrize(
    ("skill", "reason"),
    [
        pytest.param(a_request(10, 40_000, w5=1000, **SKILL), "instructions", id="nothing was lost"),
        pytest.param(a_request(10, 40_000, w5=1000, **{**SKILL, "thinks": True}), None, id="its answer thinks"),
        pytest.param(a_request(10, 40_000, w5=1000, **{**SKILL, "thinks": None}), None, id="unknown"),
    ],
)
def test_nothing_returns_if_nothing_was_switched(skill: Recorded, reason: str | None) -> None:
    """
    A client that leaves thinking on, or an answer that thinks.
    """
    assert changes(skill, LONG, a_request(30, 60_000, w5=1000, thinks=True)) == [reason, None, None]


def test_a_lane_that_never_thought_has_nothing_to_switch() -> None:
    """
    A person may have turned thinking off.
    """
    requests = [a_request(0, w5=40_000, thinks=False), LOST]

    assert [item.change for item in lane_requests(requests)] == [None, None]


def test_a_restart_begins_with_thinking_on_and_without_the_other_prefix() -> None:
    """
    The client writes the beginning of the conversation anew, so both prefixes are gone.
    """
    restarted = replace(a_request(30, 10_000, w5=51_000, thinks=True), restarted=True)
    skill = a_request(40, 10_000, w5=52_000, **SKILL)

    assert changes(LOST, LONG, restarted, skill) == ["instructions", None, "restart", "instructions"]
    assert changes(LOST, LONG, restarted, a_request(40, 61_000, w5=1, thinks=True))[-1] is None
