"""
Verdicts on the simulated upstream as a whole: what was missed, and how it is divided.
"""

import pytest

from savemode_cli.core.diagnosis.causes import is_miss
from tests.support.changes import CHANGES
from tests.support.diagnosed import PRICES, Diagnosed
from tests.support.mutations import conversation, replaced, set_


def test_a_change_after_the_ttl_says_both() -> None:
    """
    The first difference is the cause; that nothing would have been there anyway is said beside it.
    """
    program = Diagnosed()
    program.ask(conversation(1))
    program.wait(minutes=7)
    body = conversation(2)
    replaced("good", "bad", "system", 0, "text")(body)
    (miss,) = program.ask(body).misses

    assert (miss.cause, miss.also_expired) == ("system_changed", True)


def test_a_change_in_the_end_does_not_hide_that_the_rest_expired() -> None:
    """
    Two causes, each with its own tokens.
    """
    program = Diagnosed()
    program.ask(conversation(6))
    program.ask(conversation(8))
    program.wait(minutes=7)
    body = conversation(9)
    set_("messages", 14, "content", 0, "content", value="Something else. " * 900)(body)
    verdict = program.ask(body)

    assert [(miss.cause, miss.at) for miss in verdict.misses] == [
        ("expired", "messages[12].content[1]"),
        ("messages_changed", "messages[14].content[0]"),
    ]
    assert sum(miss.tokens for miss in verdict.misses) == verdict.missed_tokens
    assert verdict.misses[0].tokens > verdict.misses[1].tokens > 1024


def test_the_request_before_was_not_seen() -> None:
    """
    A prompt with answers in it had one: what it left is not known, and nothing is guessed.
    """
    program = Diagnosed()
    verdict = program.ask(conversation(3))
    assert [miss.cause for miss in verdict.misses] == ["unknown"]
    assert 0 < verdict.missed_tokens < verdict.misses[0].tokens + 1024
    assert program.ask(conversation(4)).misses == ()


def test_an_unseen_request_that_was_read() -> None:
    """
    Then nothing was missed.
    """
    program = Diagnosed()
    program.ask(conversation(2))
    program.history = type(program.history)(PRICES)

    assert program.ask(conversation(3)).misses == ()


def test_the_bill_of_an_answer_that_failed() -> None:
    """
    There is no verdict on a request without a bill.
    """
    program = Diagnosed()
    with pytest.raises(AssertionError, match="overloaded"):
        program.ask(conversation(1), fault="status=529")


def test_what_was_missed_is_the_sum_of_the_causes() -> None:
    """
    To the token, whatever changes, in a long history of requests that read what others left.
    """
    program = Diagnosed()
    for turn, (_, mutation, *_) in enumerate(CHANGES, 1):
        body = conversation(3 + turn % 4)
        mutation(body)
        program.ask(body)
        program.wait(minutes=turn % 9)

    assert len(CHANGES) >= 40
    assert sum(bool(verdict.misses) for verdict in program.verdicts) >= 30
    for verdict in program.verdicts:
        explained = sum(miss.tokens for miss in verdict.misses)
        if verdict.misses:
            assert explained == verdict.expected_tokens - verdict.read_tokens
        else:
            assert not is_miss(verdict.missed_tokens, verdict.expected_tokens)
        assert verdict.missed_tokens >= 0
        assert all(miss.tokens > 0 and miss.cost_nusd > 0 for miss in verdict.misses)
