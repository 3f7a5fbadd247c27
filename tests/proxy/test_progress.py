"""
What is stored of an exchange while it runs.
"""

from datetime import UTC, datetime

import pytest

from savemode_cli.core.wire.messages import MAX_BODY_BYTES
from savemode_cli.core.wire.meter import UsageMeter
from savemode_cli.proxy.progress import ExchangeInProgress, Inbound, RecordedBodies


def in_progress(answer: bytes | None = None) -> ExchangeInProgress:
    """
    A call in progress, and what a meter has read of its answer.
    """
    inbound = Inbound("POST", b"/v1/messages", b"", [(b"x-app", b"cli")], b"{}")
    progress = ExchangeInProgress("req_1", datetime(2026, 11, 24, tzinfo=UTC), 0.0, inbound, 2)
    if answer is not None:
        progress.meter = UsageMeter()
        progress.meter.feed(answer)
    return progress


def test_the_first_end_stands() -> None:
    """
    An incomplete or abandoned error of the upstream is still an error of the upstream.
    """
    progress = in_progress()
    progress.end("upstream_error", "529")
    progress.end("client_gone", "the client left")

    assert (progress.outcome, progress.error) == ("upstream_error", "529")


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
    The body decides; the message of an error is not repeated.
    """
    progress = in_progress(answer)
    progress.conclude(datetime(2026, 11, 24, tzinfo=UTC))

    assert progress.outcome == outcome
    assert "secret" not in progress.error


def test_what_grows_too_large_is_let_go() -> None:
    """
    All of it is dropped, because a part of an answer would look like a whole one.
    """
    kept = RecordedBodies(b"{}")
    kept.add(b"first", 5)
    assert kept.content([]).response_body == b"first"
    kept.add(b"x", MAX_BODY_BYTES + 1)
    kept.add(b"y", MAX_BODY_BYTES + 2)

    assert kept.content([]).response_body is None


def test_the_record_has_content_only_where_it_was_kept() -> None:
    """
    Content is recorded only if the user asked for it.
    """
    progress = in_progress()
    assert progress.observed_by_sinks(None).content is None
    progress.bodies = RecordedBodies(b"{}")
    content = progress.observed_by_sinks(None).content

    assert content is not None
    assert (content.request_body, list(content.request_headers)) == (b"{}", [(b"x-app", b"cli")])
