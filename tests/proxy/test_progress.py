"""
What is stored of an exchange while it runs.
"""

from datetime import UTC, datetime

from savemode_cli.core.wire.caller import Caller
from savemode_cli.proxy.answer import AnswerInProgress, RecordedBodies
from savemode_cli.proxy.call import CallInProgress, Inbound
from savemode_cli.proxy.progress import ExchangeInProgress


def in_progress() -> ExchangeInProgress:
    """
    A call in progress.
    """
    inbound = Inbound("POST", b"/v1/messages", b"", [(b"x-app", b"cli")], b"{}")
    call = CallInProgress("req_1", datetime(2026, 11, 24, tzinfo=UTC), inbound, 2)
    return ExchangeInProgress(call, AnswerInProgress(0.0))


def test_the_record_has_content_only_where_it_was_kept() -> None:
    """
    Content is recorded only if the user asked for it.
    """
    exchange = in_progress()
    assert exchange.observed(None).content is None
    exchange.answer.bodies = RecordedBodies(b"{}")
    content = exchange.observed(None).content

    assert content is not None
    assert (content.request_body, list(content.request_headers)) == (b"{}", [(b"x-app", b"cli")])


def test_the_caller_is_unknown_until_its_headers_are_read() -> None:
    """
    A request that was refused before its headers were read has no caller and no product.
    """
    exchange = in_progress()
    observed = exchange.observed(None)
    assert (observed.caller, observed.exchange.call.product) == (None, "")

    exchange.call.caller = Caller("wizard", idle_prone=False)
    observed = exchange.observed(None)
    assert (observed.caller, observed.exchange.call.product) == (exchange.call.caller, "wizard")
