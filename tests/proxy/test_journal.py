"""
What is remembered of an exchange while it runs.
"""

from datetime import UTC, datetime

import pytest

from savemode_cli.core.messages import MAX_BODY_BYTES
from savemode_cli.core.usage import UsageMeter
from savemode_cli.proxy.journal import Inbound, Journal, Kept


def a_journal(answer: bytes | None = None) -> Journal:
    """
    The journal of a call, and what a meter has read of its answer.
    """
    inbound = Inbound("POST", b"/v1/messages", b"", [(b"x-app", b"cli")], b"{}")
    journal = Journal("req_1", datetime(2026, 11, 24, tzinfo=UTC), 0.0, inbound, 2)
    if answer is not None:
        journal.meter = UsageMeter("application/json")
        journal.meter.feed(answer)
    return journal


def test_the_first_end_stands() -> None:
    """
    An upstream's error that is cut short, or that nobody waits for, is still the upstream's error.
    """
    journal = a_journal()
    journal.end("upstream_error", "529")
    journal.end("client_gone", "the client left")

    assert (journal.outcome, journal.error) == ("upstream_error", "529")


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (None, "ok"),
        (b'{"usage":{"input_tokens":3,"output_tokens":1}}', "ok"),
        (b'{"type":"error","error":{"type":"overloaded_error","message":"secret"}}', "upstream_error"),
        (b"<html>", "broken"),
    ],
)
def test_an_answer_may_be_no_success_whatever_its_status(answer: bytes | None, outcome: str) -> None:
    """
    Its body tells; the words of an error are not repeated.
    """
    journal = a_journal(answer)
    journal.conclude(datetime(2026, 11, 24, tzinfo=UTC))

    assert journal.outcome == outcome
    assert "secret" not in journal.error


def test_what_grows_too_large_is_let_go() -> None:
    """
    All of it: half an answer would be taken for a whole one.
    """
    kept = Kept(b"{}")
    kept.add(b"first", 5)
    assert kept.content([]).response_body == b"first"
    kept.add(b"x", MAX_BODY_BYTES + 1)
    kept.add(b"y", MAX_BODY_BYTES + 2)

    assert kept.content([]).response_body is None


def test_the_record_has_content_only_where_it_was_kept() -> None:
    """
    Nothing is kept unless somebody asked for it.
    """
    journal = a_journal()
    assert journal.record(None).content is None
    journal.kept = Kept(b"{}")
    content = journal.record(None).content

    assert content is not None
    assert (content.request_body, list(content.request_headers)) == (b"{}", [(b"x-app", b"cli")])
