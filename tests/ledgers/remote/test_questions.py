"""
How a server may fail to answer.
"""

from savemode_cli.ledgers.remote.questions import NoAnswer, NotAsked


def test_no_answer_is_not_asked_for_who_only_wants_to_know_why() -> None:
    """
    Both have the reason; only one may have been done.
    """
    error = NoAnswer("closed", is_stale=True)

    assert isinstance(error, NotAsked)
    assert (str(error), error.why, error.hint, error.is_stale) == ("closed", "closed", "", True)
