"""
Entries that were not there any more, on the simulated upstream.
"""

from tests.support.diagnosed import Diagnosed
from tests.support.mutations import conversation, is_change, marked
from tests.support.prompts import HOUR, MARK


def test_it_expired() -> None:
    """
    With either TTL; a longer one that would have been enough is named.
    """
    for control, pause, held_by in ((MARK, 7, "1h"), (MARK, 90, None), (HOUR, 90, None)):
        program = Diagnosed()
        body = marked(conversation(1), control)
        body["system"][1] |= control
        program.ask(body)
        program.wait(minutes=pause)
        grown = marked(conversation(2), control)
        grown["system"][1] |= control
        verdict = program.ask(grown)
        (miss,) = verdict.misses

        assert (miss.cause, miss.ttl, miss.held_by) == ("expired", "1h" if control is HOUR else "5m", held_by)
        assert miss.at == "messages[2].content[1]"
        assert miss.idle is not None
        assert miss.idle.total_seconds() == pause * 60 + 5 - 3
        assert verdict.missed_tokens == verdict.expected_tokens == miss.tokens


def test_it_did_not_expire() -> None:
    """
    Each request that reads an entry renews it.
    """
    program = Diagnosed()
    for turns in range(5):
        assert program.ask(conversation(turns)).misses == ()
        program.wait(minutes=4)


def test_it_was_not_kept() -> None:
    """
    Nothing changed, and the TTL had not ended: it was evicted, or kept for less than was asked.
    """
    program = Diagnosed()
    program.ask(conversation(1))
    program.forget()
    (evicted,) = program.ask(conversation(2)).misses
    assert (evicted.cause, evicted.at, evicted.asked_ttl) == ("not_kept", "messages[2].content[1]", "5m")

    program = Diagnosed()
    body = marked(conversation(1), HOUR)
    body["system"][1] |= HOUR
    program.ask(body, fault="downgrade")
    program.wait(minutes=10)
    grown = marked(conversation(2), HOUR)
    grown["system"][1] |= HOUR
    (shortened,) = program.ask(grown).misses
    assert (shortened.cause, shortened.ttl, shortened.asked_ttl) == ("not_kept", "5m", "1h")


def test_other_betas() -> None:
    """
    Nothing else changed, and it was not read: then the header that did is named.
    """
    program = Diagnosed()
    program.ask(conversation(1), betas="one-2026-01-01")
    program.forget()
    (miss,) = program.ask(conversation(2), betas="two-2026-01-01").misses

    assert (miss.cause, miss.parameter, miss.before, miss.after) == (
        "parameters_changed",
        "betas",
        "one-2026-01-01",
        "two-2026-01-01",
    )


def test_another_workspace() -> None:
    """
    The key of another one finds nothing, though the prompt is the same.
    """
    program = Diagnosed()
    program.ask(conversation(1), payer="a")
    is_change(program.ask(conversation(2), payer="b"), "other_workspace", "messages[2].content[1]", None)
    assert program.ask(conversation(3), payer="b").misses == ()


def test_requests_at_the_same_moment() -> None:
    """
    The first has not begun to answer when the others are sent, so each writes for itself.
    """
    program = Diagnosed(answer_s=0.2)
    is_change(
        program.ask(conversation(1), conversation(1), conversation(1)), "concurrent", "messages[2].content[1]", None
    )
