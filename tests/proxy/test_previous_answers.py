"""
The last answer of each conversation.
"""

from savemode_cli.proxy.previous_answers import MOST_LANES, PreviousAnswers


def test_each_model_of_a_session() -> None:
    """
    A model's own last answer; where it has none, the last one of the session.
    """
    answers = PreviousAnswers()
    assert answers.of("s", "opus") is None
    answers.note("s", "opus", "msg_1")
    answers.note("s", "haiku", "msg_2")
    answers.note("t", "opus", "msg_3")

    assert [answers.of("s", model) for model in ("opus", "haiku", "sonnet")] == ["msg_1", "msg_2", "msg_2"]
    assert answers.of(None, "opus") is None


def test_answers_that_are_not_remembered() -> None:
    """
    An answer without an ID, or with one that is too long.
    """
    answers = PreviousAnswers()
    for message_id in (None, "", "x" * 1000):
        answers.note("s", "opus", message_id)
    answers.note(None, "opus", "msg_1")

    assert answers.of("s", "opus") is None


def test_it_is_bounded() -> None:
    """
    The oldest goes first.
    """
    answers = PreviousAnswers()
    for number in range(MOST_LANES + 1):
        answers.note(f"s{number}", "opus", f"msg_{number}")

    assert answers.of("s0", "opus") is None
    assert answers.of("s0", "haiku") is None
    assert answers.of("s1", "opus") == "msg_1"
