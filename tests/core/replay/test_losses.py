"""
Prompts that are written anew within their TTL: how often, and how much that costs.
"""

from fractions import Fraction

import pytest

from savemode_cli.core.replay.losses import Loss, TurnCounts, expected_loss, summed_losses, turn_counts, turn_of
from tests.core.replay.test_inference import a_request, second


@pytest.mark.parametrize(
    ("pause_s", "opens_turn", "turn"),
    [
        (10, False, "tool"),
        (900, False, "tool"),
        (60, True, "turn_to_1m"),
        (61, True, "turn_to_5m"),
        (301, True, "turn_over_5m"),
        (9000, True, "turn_over_5m"),
    ],
)
def test_classes_of_turns(pause_s: float, opens_turn: bool, turn: str) -> None:
    """
    After a tool, or after a person's message by the length of the pause.
    """
    assert turn_of(second(a_request(0, w5=100), a_request(pause_s, opens_turn=opens_turn))) == turn


@pytest.mark.parametrize(
    ("pause_s", "opens_turn", "turn"),
    [(10, False, "changed_tool"), (299, True, "changed_turn_to_5m"), (301, True, "changed_turn_over_5m")],
)
def test_classes_of_changed_prompts(pause_s: float, opens_turn: bool, turn: str) -> None:
    """
    The same, where the client has probably changed the prompt. They count as changes of a person's turns.
    """
    request = a_request(pause_s, opens_turn=opens_turn, restarted=True)
    assert turn_of(second(a_request(0, w5=100), request)) == turn

    counts = turn_counts({turn: a_loss(3, 2)})
    expected = TurnCounts(3, 2) if "to_5m" in turn else TurnCounts(0, 0, 3, 2) if "over" in turn else TurnCounts()
    assert counts == expected


def a_loss(requests: int, lost: int, each: int = 1000) -> Loss:
    """
    Equal requests, each worth an atto-dollar a token.
    """
    return Loss(
        requests, requests * each, 0, requests * each, requests * float(each) ** 2, lost, lost * each, lost * each
    )


def test_the_expected_loss_is_the_rate_of_the_record() -> None:
    """
    With a prior of two requests in a person's turns, of a thousand after tools.
    """
    turns = expected_loss({"turn_to_5m": a_loss(98, 10)})
    tools = expected_loss({"tool": a_loss(1000, 3)})

    assert turns.tokens_5m == pytest.approx(98_000 * (10 + 0.06 * 2) / 100, abs=1)
    assert tools.tokens_5m == pytest.approx(1_000_000 * (3 + 1) / 2000, abs=1)
    assert (turns.tokens_1h, tools.ausd) == (0, tools.tokens_5m)


def test_the_variance_is_that_of_single_requests() -> None:
    """
    One large prompt at stake is less certain than many small ones of the same total.
    """
    many, one = expected_loss({"turn_to_1m": a_loss(100, 10)}), expected_loss({"turn_to_1m": a_loss(1, 0, 100_000)})

    assert 0 < many.variance < one.variance


def test_losses_add_up() -> None:
    """
    Class by class; nothing at stake loses nothing.
    """
    total = summed_losses([{"tool": a_loss(2, 1)}, {"tool": a_loss(3, 0), "turn_to_1m": a_loss(1, 1)}])

    assert total == {"tool": a_loss(5, 1), "turn_to_1m": a_loss(1, 1)}
    assert expected_loss({"tool": Loss(requests=1)}).ausd == 0


def test_the_share_of_changed_pauses() -> None:
    """
    A prior of 12 % that counts as ten pauses, then what was counted.
    """
    assert TurnCounts().changed_share == Fraction(12, 100)
    assert TurnCounts(long=90, long_changed=0).changed_share == Fraction(12, 1000)
    assert TurnCounts(long=30, long_changed=7).changed_share == Fraction(82, 400)


def test_a_record_without_long_pauses_is_judged_by_its_short_ones() -> None:
    """
    Whose client changes the prompt often within five minutes changes it often within an hour; within bounds.
    """
    often, never = TurnCounts(short=80, short_changed=8), TurnCounts(short=980)

    assert often.changed_share == Fraction(12, 100) * Fraction(88, 1000) / Fraction(4, 100)
    assert never.changed_share == Fraction(4, 100)
    assert TurnCounts(short=1000, short_changed=1000).changed_share == Fraction(36, 100)


def test_counts_of_turns() -> None:
    """
    Tools do not count.
    """
    losses = {
        "tool": a_loss(9, 9),
        "turn_to_1m": a_loss(3, 1),
        "turn_to_5m": a_loss(2, 1),
        "turn_over_5m": a_loss(4, 2),
    }
    counts = turn_counts(losses)
    counts.add(turn_counts({}))

    assert counts == TurnCounts(5, 2, 4, 2)
