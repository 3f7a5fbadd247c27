"""
Answers that differ from the documentation, over real sockets: what they cost, and what is reported.
"""

import json

import pytest

from savemode_cli.core.budget.charge import Settlement
from savemode_cli.core.wire.meter import MAX_EVENT_BYTES
from savemode_cli.views.logfmt import logfmt
from tests.support.asked import charged
from tests.support.calling import CALL, send
from tests.support.streams import (
    END,
    Event,
    answers,
    chunk,
    head,
    message,
    says,
    sse,
    streamed_text,
    streamed_tool_use,
    streams,
    text,
    tool_use,
)
from tests.support.upstream import ANSWER, Script, Upstream, reply, running_proxy

STREAMED = {**CALL, "stream": True}
PLAIN = 32_000
"""The cost of the upstream's fixed answer: 3 tokens of input and 1 of output, 3 x 4,000 + 20,000."""
STREAM = 152_000
"""The cost of a whole stream of `streamed_text`: 3 tokens of input and 7 of output, 3 x 4,000 + 7 x 20,000."""


def pieces(*parts: Event | bytes) -> Script:
    """
    The script of a stream with these events and bytes.
    """
    return answers(head() + b"".join(chunk(one if isinstance(one, bytes) else sse(one)) for one in parts) + END)


def labelled(content_type: str, *events: Event) -> Script:
    """
    The script of a whole stream with this content type.
    """
    return answers(reply(b"".join(map(sse, events)), headers=(("content-type", content_type),) if content_type else ()))


LONG_EVENT = b"data: " + b"x" * (MAX_EVENT_BYTES + 1) + b"\n\n"
"""An event that is longer than the meter stores, such as a tool result with a large file."""


@pytest.mark.parametrize(
    "script",
    [
        answers(reply(b"")),
        answers(reply(b"", headers=())),
        answers(reply(b"\r\n")),
        answers(reply(b"", "204 No Content")),
        streams([]),
        streams([{"type": "ping"}, {"type": "ping"}]),
        pieces(b": nothing yet\n\n"),
    ],
    ids=["empty", "unlabelled", "newline", "no-content", "empty-stream", "pings", "comment"],
)
def test_answer_in_which_nothing_was_generated(upstream: Upstream, script: Script) -> None:
    """
    It is free, and its line says why.
    """
    upstream.script = script
    with running_proxy(upstream.url, budget_nusd=10**9) as proxy:
        send(proxy, STREAMED)
        one = proxy.exchange()

        assert (one.answer.outcome, one.bill.settlement) == ("broken", Settlement(0, "none"))
        assert charged(proxy) == [0]
        shown = one.to_json()
        assert (shown["error"], shown["cost_note"]) == (
            "the answer is empty",
            "the answer is empty: nothing was generated",
        )
        assert 'note="the answer is empty: nothing was generated"' in logfmt(one)


ODD_MESSAGE = message(tool_use("edit", {"text": "half \ud83d of a pair"}), stop_reason="tool_use")
LATE = streamed_text("hel", "lo")
LATE[0]["message"].pop("usage")


@pytest.mark.parametrize(
    ("script", "nusd"),
    [
        (answers(reply(json.dumps(ODD_MESSAGE).encode())), PLAIN),
        (streams([*streamed_tool_use("edit", '{"text":"\ud83d'), *streamed_text()[-2:]]), STREAM),
        (streams(LATE), STREAM),
        (says(text("x"), usage={"input_tokens": 3.0, "output_tokens": 1.0}), PLAIN),
        (says(text("x"), usage={"input_tokens": "3", "output_tokens": "1"}), PLAIN),
        (streams(streamed_text("hel")[:-1]), STREAM),
        (labelled("application/json", *streamed_text("hel")), STREAM),
        (labelled("text/plain", *streamed_text("hel")), STREAM),
        (labelled("", *streamed_text("hel")), STREAM),
        (answers(reply(ANSWER, headers=(("content-type", "text/event-stream"),))), PLAIN),
        (pieces("\ufeff".encode(), *streamed_text("hel")), STREAM),
        (answers(reply("\ufeff".encode() + ANSWER)), PLAIN),
        (pieces(*streamed_text("hel")[:1], LONG_EVENT, *streamed_text("hel")[1:]), STREAM),
    ],
    ids=[
        "surrogate",
        "surrogate-in-a-stream",
        "no-usage-at-the-start",
        "decimals",
        "strings",
        "no-stop",
        "labelled-json",
        "labelled-text",
        "unlabelled",
        "json-labelled-stream",
        "byte-order-mark",
        "byte-order-mark-json",
        "long-event",
    ],
)
def test_usage_that_can_be_read_is_the_bill(upstream: Upstream, script: Script, nusd: int) -> None:
    """
    Whatever else is unusual about the answer.
    """
    upstream.script = script
    with running_proxy(upstream.url, budget_nusd=10**9) as proxy:
        assert send(proxy, STREAMED).status == 200
        one = proxy.exchange()

        assert (one.answer.outcome, one.bill.settlement) == ("ok", Settlement(nusd, "reported"))
