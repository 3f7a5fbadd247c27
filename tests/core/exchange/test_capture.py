"""
What is stored of an exchange, and that it can be read back.
"""

import json
from datetime import timedelta
from typing import Any

import pytest

from savemode_cli.core.budget.charge import Settlement
from savemode_cli.core.budget.guard import Alarm
from savemode_cli.core.errors import BadInput, CaptureTooNew
from savemode_cli.core.exchange.capture import (
    SCHEMA,
    Capture,
    capture_of,
    converted,
    decode,
    encode,
)
from savemode_cli.core.exchange.observed import Content
from savemode_cli.core.money.pricing import Cost
from savemode_cli.core.upgrade.auto import Decision
from savemode_cli.core.upgrade.hold_out import TrialMember
from savemode_cli.core.upgrade.receipt import Receipt
from savemode_cli.core.wire.diagnostics import CacheDiagnosis
from savemode_cli.core.wire.usage import Extra, Tokens, Usage
from tests.builders import a_refusal, a_skip, a_standing, a_verdict, an_allowance, an_edit, an_exchange, an_observed
from tests.support.values import replace

BESIDE = Extra(
    "advisor_message", "m", Usage(Tokens(input=7), service_tier="standard", inference_geo="us", speed="fast")
)
EVERYTHING: dict[str, Any] = {
    "stream": True,
    "edits": (an_edit(), an_edit(before="5m", removed=b"\xff\x00", path=("messages", 3, "content", 1, "ttl"))),
    "skips": (a_skip(),),
    "observed": True,
    "resent": True,
    "auto": Decision("1h", "start", 31_000_000, "why"),
    "trial": TrialMember("hold-out", "ab"),
    "opens_turn": False,
    "keep_warm": True,
    "edits_left_out": 1,
    "skips_left_out": 2,
    "decision": an_allowance(a_standing(1_504_000_000)),
    "decision_after": a_refusal(),
    "held_nusd": 99,
    "usage": Usage(Tokens(1, 2, 3, 4, 5), 6, "standard", "us", "fast", (BESIDE,), "bio", 7),
    "settlement": Settlement(123, "reported"),
    "receipt": Receipt("1h", "mixed", verified=True, cost_nusd=10, counterfactual_nusd=12, basis="reported", why="why"),
    "price_state": "fallback",
    "cost": Cost(3, 4),
    "verdict": a_verdict("system_changed", "expired"),
    "alarm": Alarm("identical_calls", 10, 10, refused=True, tool="Bash"),
    "outcome": "upstream_error",
    "error": "what happened",
    "first_token_ms": 3.25,
    "stop_reason": "end_turn",
    "answered_by": "claude-haiku-4-5",
    "diagnosis": CacheDiagnosis("tools_changed", 7787),
}


def a_capture(**differences: Any) -> Capture:
    """
    A messages call with every field set.
    """
    exchange = an_exchange(**EVERYTHING)
    return replace(
        Capture(
            exchange,
            exchange.started_at + timedelta(seconds=9),
            "https://api.example",
            (("anthropic-beta", "a,b"),),
            (("request-id", "req_up"),),
            b"the request",
            b"the answer",
        ),
        **differences,
    )


def test_capture_comes_back_as_it_was() -> None:
    """
    Everything from which a receipt was made comes back, to the byte and the microsecond.
    """
    capture = a_capture()

    assert decode(encode(capture), b"the request", b"the answer") == capture


@pytest.mark.parametrize("part", ["call", "upgrade", "bill", "answer"])
def test_everything_can_be_known(part: str) -> None:
    """
    The test above leaves out no field of a part: each differs from its default.
    """
    known = getattr(a_capture().exchange, part)
    defaults = dict(zip(known.__struct_fields__[::-1], known.__struct_defaults__[::-1], strict=False))

    assert [name for name, default in defaults.items() if getattr(known, name) == default] == []


@pytest.mark.parametrize("decision", [an_allowance(), a_refusal()])
def test_budget_is_kept_as_what_was_told(decision: Any) -> None:
    """
    Where the budgets stood, and not the budgets themselves.
    """
    capture = capture_of(an_observed(decision=decision, decision_after=decision))

    assert capture.exchange.bill.budget == capture.exchange.bill.budget_after == decision.report()
    assert decode(encode(capture)) == capture


@pytest.mark.parametrize(
    ("path", "has_bodies"),
    [
        ("/v1/messages", True),
        ("/posthog_code/v1/messages", True),
        ("/v1/messages/count_tokens", True),
        ("/v1/messages/batches/x/results", True),
        ("/v1/files", False),
        ("/v1/oauth/token", False),
        ("/v1/messages_of_others", False),
    ],
)
def test_bodies_are_kept_of_messages_only(path: str, has_bodies: bool) -> None:
    """
    For a login or an upload the exchange is stored, and its content is not.
    """
    capture = capture_of(an_observed(path=path, content=Content((), b"asked", (), b"answered")))

    assert (capture.request_body, capture.response_body) == ((b"asked", b"answered") if has_bodies else (None, None))


@pytest.mark.parametrize(("observed", "sent"), [(False, b"abXc"), (True, b"abc")])
def test_sent_body_is_the_one_on_the_wire(observed: bool, sent: bytes) -> None:
    """
    The edits are applied to the client's body, unless they were only observed.
    """
    exchange = an_exchange(edits=(an_edit(at=2, inserted=b"X"),), observed=observed)
    capture = Capture(exchange, exchange.started_at, request_body=b"abc")

    assert capture.sent_body == sent
    assert replace(capture, request_body=None).sent_body is None


def test_no_body_is_printed() -> None:
    """
    The text of a capture does not show its content.
    """
    assert "the request" not in repr(a_capture())
    assert "the answer" not in repr(a_capture())


def test_older_record_is_converted_step_by_step() -> None:
    """
    Each step converts one schema to the next. The last result is the current schema.
    """
    record = json.loads(encode(a_capture())) | {"schema": SCHEMA}
    old = {("name" if key == "exchange" else key): value for key, value in record.items()}
    steps = {
        SCHEMA: lambda one: {**one, "identity": one["name"]},
        SCHEMA + 1: lambda one: {**one, "exchange": one["identity"]},
    }

    assert decode(json.dumps(old).encode(), schema=SCHEMA + 2, converters=steps).exchange == a_capture().exchange


def test_newer_record_is_refused_with_a_word() -> None:
    """
    The error says which schema it found and what to do.
    """
    record = json.loads(encode(a_capture())) | {"schema": SCHEMA + 1}

    with pytest.raises(CaptureTooNew, match=f"newer savemode: its schema is {SCHEMA + 1}") as raised:
        decode(json.dumps(record).encode())
    assert "upgrade savemode" in raised.value.hint


def test_schema_that_never_was_is_damage() -> None:
    """
    No conversion leads from such a schema to the current one.
    """
    with pytest.raises(BadInput, match="schema 0"):
        converted({}, 0)


@pytest.mark.parametrize("text", [b"", b"{}", b'{"schema":1}', b'{"schema":2}', b"\xff", b'{"schema":"1"}'])
def test_damaged_record_is_said(text: bytes) -> None:
    """
    Whatever is wrong with the record, there is one error.
    """
    with pytest.raises(BadInput, match="cannot be read"):
        decode(text)
