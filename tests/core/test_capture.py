"""
What is kept of an exchange, and that it comes back.
"""

import dataclasses
import json
from datetime import timedelta
from typing import Any

import pytest

from savemode_cli.core.capture import (
    REQUEST_HEADERS,
    RESPONSE_HEADERS,
    SCHEMA,
    Capture,
    capture_of,
    converted,
    decode,
    encode,
    kept_headers,
)
from savemode_cli.core.charge import Settlement
from savemode_cli.core.errors import BadInput, CaptureTooNew
from savemode_cli.core.exchange import Exchange
from savemode_cli.core.pricing import Cost, Extra, Usage
from savemode_cli.core.receipt import Receipt
from savemode_cli.core.record import Content, Record
from tests.builders import a_refusal, a_skip, an_allowance, an_edit, an_exchange

BESIDE = Extra("advisor_message", "m", Usage(7, service_tier="standard", inference_geo="us", speed="fast"))
EVERYTHING: dict[str, Any] = {
    "edits": (an_edit(), an_edit(before="5m", removed=b"\xff\x00", path=("messages", 3, "content", 1, "ttl"))),
    "skips": (a_skip(),),
    "observed": True,
    "resent": True,
    "error": "what happened",
    "usage": Usage(1, 2, 3, 4, 5, 6, "standard", "us", "fast", (BESIDE,)),
    "settlement": Settlement(123, "reported"),
    "receipt": Receipt("1h", "mixed", verified=True, cost_nusd=10, counterfactual_nusd=12, basis="reported", why="why"),
    "price_state": "fallback",
    "edits_left_out": 1,
    "skips_left_out": 2,
    "cost": Cost(3, 4),
    "stream": True,
    "stop_reason": "end_turn",
    "first_token_ms": 3.25,
}


def a_capture(**differences: Any) -> Capture:
    """
    A messages call with everything that can be known of one.
    """
    exchange = an_exchange(**EVERYTHING)
    return dataclasses.replace(
        Capture(
            exchange,
            exchange.started_at + timedelta(seconds=9),
            "claude-haiku-4-5",
            "https://api.example",
            {"allowed": True},
            {"allowed": False},
            (("anthropic-beta", "a,b"),),
            (("request-id", "req_up"),),
            b"the request",
            b"the answer",
        ),
        **differences,
    )


def test_capture_comes_back_as_it_was() -> None:
    """
    Everything a receipt was made from, to the byte and the microsecond.
    """
    capture = a_capture()

    assert decode(encode(capture), b"the request", b"the answer") == capture


def test_every_field_of_an_exchange_is_kept() -> None:
    """
    But the decision and the headers that told it, which are kept as what they came to.
    """
    plain = an_exchange()
    changed = {name for name in EVERYTHING if EVERYTHING[name] != getattr(plain, name)}
    filled = {
        field.name
        for field in dataclasses.fields(Exchange)
        if getattr(plain, field.name) not in (None, (), False, 0, "")
    }

    assert changed | filled | {"decision", "decision_after", "told"} == {
        field.name for field in dataclasses.fields(Exchange)
    }


@pytest.mark.parametrize("decision", [an_allowance(), a_refusal()])
def test_budget_is_kept_as_what_was_told(decision: Any) -> None:
    """
    A decision is kept as its headers say it.
    """
    capture = capture_of(Record(an_exchange(decision=decision, decision_after=decision)))

    assert capture.budget is not None
    assert capture.budget["allowed"] == (decision == an_allowance())
    assert capture.budget_after == capture.budget
    assert decode(encode(capture)).budget == capture.budget


HEADERS = [
    (b"X-Api-Key", b"sk-ant-api-planted"),
    (b"authorization", b"Bearer planted"),
    (b"cookie", b"planted"),
    (b"set-cookie", b"planted"),
    (b"proxy-authorization", b"Basic planted"),
    (b"x-savemode-token", b"planted"),
    (b"anthropic-organization-id", b"planted"),
    (b"x-posthog-distinct-id", b"planted"),
    (b"x-posthog-property-email", b"planted"),
    (b"x-claude-code-session-id", b"planted"),
    (b"traceparent", b"planted"),
    (b"user-agent", b"sk-ant-api-planted"),
    (b"x-app", b"bearer planted"),
]


@pytest.mark.parametrize("listed", [REQUEST_HEADERS, RESPONSE_HEADERS], ids=["request", "response"])
def test_no_header_is_kept_that_is_not_listed(listed: frozenset[str]) -> None:
    """
    Credentials, cookies and what may be personal have no place; nor has a listed header with a key in it.
    """
    assert kept_headers([*HEADERS, (b"Content-Type", b"application/json")], listed) == (
        ("content-type", "application/json"),
    )


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
    A login or an upload passes through, too: that it did is kept, what it said is not.
    """
    capture = capture_of(Record(an_exchange(path=path), content=Content((), b"asked", (), b"answered")))

    assert (capture.request_body, capture.response_body) == ((b"asked", b"answered") if has_bodies else (None, None))


def test_end_is_the_clock_s_or_else_counted() -> None:
    """
    What a receipt goes by; where nobody noted it, the start and the duration say it.
    """
    exchange = an_exchange(duration_ms=1500.0)
    noted = exchange.started_at + timedelta(hours=1)

    assert capture_of(Record(exchange, ended_at=noted)).ended_at == noted
    assert capture_of(Record(exchange)).ended_at == exchange.started_at + timedelta(seconds=1.5)


@pytest.mark.parametrize(("observed", "sent"), [(False, b"abXc"), (True, b"abc")])
def test_sent_body_is_the_one_on_the_wire(observed: bool, sent: bytes) -> None:
    """
    The edits are applied to the client's body, unless they were only observed.
    """
    exchange = an_exchange(edits=(an_edit(at=2, inserted=b"X"),), observed=observed)
    capture = Capture(exchange, exchange.started_at, request_body=b"abc")

    assert capture.sent_body == sent
    assert dataclasses.replace(capture, request_body=None).sent_body is None


def test_no_body_is_printed() -> None:
    """
    A capture does not say what it holds.
    """
    assert "the request" not in repr(a_capture())
    assert "the answer" not in repr(a_capture())


def test_older_record_is_converted_step_by_step() -> None:
    """
    Each step makes one schema the next; the last gives what is read now.
    """
    record = json.loads(encode(a_capture())) | {"schema": SCHEMA}
    old = {("name" if key == "id" else key): value for key, value in record.items()}
    steps = {
        SCHEMA: lambda one: {**one, "identity": one["name"]},
        SCHEMA + 1: lambda one: {**one, "id": one["identity"]},
    }

    assert decode(json.dumps(old).encode(), schema=SCHEMA + 2, converters=steps).exchange == a_capture().exchange


def test_newer_record_is_refused_with_a_word() -> None:
    """
    It says which schema it found and what to do.
    """
    record = json.loads(encode(a_capture())) | {"schema": SCHEMA + 1}

    with pytest.raises(CaptureTooNew, match=f"newer savemode: its schema is {SCHEMA + 1}") as raised:
        decode(json.dumps(record).encode())
    assert "upgrade savemode" in raised.value.hint


def test_schema_that_never_was_is_damage() -> None:
    """
    Nothing leads from there to here.
    """
    with pytest.raises(BadInput, match="schema 0"):
        converted({}, 0)


@pytest.mark.parametrize("text", [b"", b"{}", b'{"schema":1}', b"\xff", b'{"schema":"1"}'])
def test_damaged_record_is_said(text: bytes) -> None:
    """
    What cannot be read is one error, whatever is wrong with it.
    """
    with pytest.raises(BadInput, match="cannot be read"):
        decode(text)
