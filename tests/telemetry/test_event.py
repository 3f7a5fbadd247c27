"""
The `$ai_generation` event: every row of the table of properties and every case.
"""

import json
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from savemode_cli.core.budget.admission import Allowed
from savemode_cli.core.budget.charge import Settlement
from savemode_cli.core.exchange.bill import usage_of_json
from savemode_cli.core.exchange.observed import Content
from savemode_cli.core.money.pricing import Cost
from savemode_cli.core.upgrade.receipt import Receipt
from savemode_cli.core.wire.caller import Caller, read_caller
from savemode_cli.core.wire.sessions import trace_id
from savemode_cli.core.wire.usage import Tokens, Usage
from savemode_cli.telemetry.event import _MEASURED, _NAMESPACE, Origin, ai_generation
from tests.builders import a_refusal, a_standing, a_verdict, an_allowance, an_edit, an_observed
from tests.cases import cases

ORIGIN = Origin("https://api.anthropic.com", "1.2.3")
BILLED: dict[str, Any] = {
    "usage": Usage(Tokens(3, 10, 20, 40, 5)),
    "settlement": Settlement(300_000, "reported"),
    "cost": Cost(200_000, 100_000),
    "price_state": "exact",
}


def a_caller(**headers: str) -> Caller:
    """
    The caller who sends these headers, `_` for `-`.
    """
    return read_caller(
        [(name.replace("_", "-").encode(), one.encode()) for name, one in headers.items()], "posthog_code"
    )


def event_of(caller: Caller | None = None, origin: Origin = ORIGIN, content: Content | None = None, **more: Any) -> Any:
    """
    The event of a messages call that went well, but for the differences.
    """
    event = ai_generation(an_observed(caller=caller, content=content, **more), origin)
    assert event is not None
    return event


def properties_of(caller: Caller | None = None, **more: Any) -> dict[str, Any]:
    """
    The properties of that event.
    """
    properties: dict[str, Any] = event_of(caller, **more)["properties"]
    return properties


@pytest.mark.parametrize("case", cases("events"))
def test_case(case: dict[str, Any]) -> None:
    """
    What was measured stands, what was not is absent, what is the caller's to say is his.
    """
    differences = dict(case.get("exchange", {}))
    if "usage" in case:
        differences["usage"] = usage_of_json(case["usage"])
    if "charge" in case:
        differences["settlement"] = Settlement(**case["charge"])
    if "budget" in case:
        differences["decision"] = a_refusal()
    headers = [(name.encode(), value.encode()) for name, value in case.get("headers", {}).items()]
    found = properties_of(read_caller(headers, "posthog_code"), **differences)

    assert case.get("expect", {}) == {name: found.get(name) for name in case.get("expect", {})}
    assert not set(case.get("absent", [])) & set(found)
    assert not [name for name in found for part in case.get("absent_with", []) if part in name]


def test_session_and_trace_that_the_caller_names() -> None:
    """
    PostHog groups events by the ids that its own libraries sent.
    """
    caller = a_caller(x_posthog_session_id="visit", x_posthog_trace_id="turn", x_posthog_user="ann")
    found = event_of(caller, session="ours", trace_id=caller.trace_id)

    assert (found["properties"]["$ai_session_id"], found["properties"]["$ai_trace_id"]) == ("visit", "turn")
    assert found["distinct_id"] == "ann"
    assert properties_of(a_caller(), session="ours")["$ai_session_id"] == "ours"


def test_a_whole_event() -> None:
    """
    Every property of a call that was upgraded, measured and billed; nothing else is said of it.
    """
    event = event_of(
        a_caller(
            x_posthog_distinct_id="me",
            x_posthog_flag_beta="on",
            x_posthog_properties=json.dumps(
                {
                    "save_mode": "balanced",
                    "save_mode_active": "true",
                    "baseline_model": "claude-opus-5-5",
                    "effective_model": "claude-sonnet-5",
                    "baseline_effort": "high",
                    "effective_effort": "low",
                }
            ),
        ),
        Origin("https://api.anthropic.com/", "1.2.3", project="p", team_id=7),
        edits=(an_edit(),),
        stream=True,
        stop_reason="end_turn",
        first_token_ms=250.0,
        decision=an_allowance(a_standing(used_nusd=1_504_000_000)),
        receipt=Receipt(verified=True, cost_nusd=300_000, counterfactual_nusd=400_000),
        usage=Usage(Tokens(3, 10, 20, 40, 5), 2, service_tier="standard"),
        settlement=Settlement(300_000, "reported"),
        cost=Cost(200_000, 100_000),
        price_state="exact",
    )

    assert event == {
        "event": "$ai_generation",
        "distinct_id": "me",
        "timestamp": "2026-11-24T12:00:00.123456+00:00",
        "uuid": event["uuid"],
        "properties": {
            "$lib": "savemode",
            "$lib_version": "1.2.3",
            "$ai_lib": "savemode",
            "$ai_lib_version": "1.2.3",
            "$geoip_disable": True,
            "$groups": {"project": "p"},
            "$ai_model": "claude-opus-5-5",
            "requested_model": "claude-opus-5-5",
            "$ai_provider": "anthropic",
            "$ai_stream": True,
            "$ai_latency": 1.234568,
            "$ai_time_to_first_token": 0.25,
            "$ai_http_status": 200,
            "$ai_base_url": "https://api.anthropic.com",
            "$ai_request_url": "https://api.anthropic.com/v1/messages",
            "$ai_input_tokens": 3,
            "$ai_output_tokens": 5,
            "$ai_cache_read_input_tokens": 40,
            "$ai_cache_creation_input_tokens": 30,
            "$ai_cache_creation_5m_input_tokens": 10,
            "$ai_cache_creation_1h_input_tokens": 20,
            "$ai_cache_reporting_exclusive": True,
            "$ai_service_tier": "standard",
            "$ai_web_search_count": 2,
            "$ai_total_cost_usd": 0.0003,
            "$ai_input_cost_usd": 0.0002,
            "$ai_output_cost_usd": 0.0001,
            "$ai_trace_id": "00000000-0000-4000-8000-000000000000",
            "$ai_session_id": "0123456789abcdef",
            "$ai_span_id": "req_sm_1",
            "$ai_stop_reason": "end_turn",
            "$ai_is_error": False,
            "$feature/beta": "on",
            "ai_product": "posthog_code",
            "team_id": 7,
            "outcome": "ok",
            "cost_basis": "reported",
            "price_state": "exact",
            "save_mode": "balanced",
            "save_mode_active": "true",
            "baseline_model": "claude-opus-5-5",
            "effective_model": "claude-sonnet-5",
            "baseline_effort": "high",
            "effective_effort": "low",
            "cache_ttl_upgraded": True,
            "cache_ttl_verified": True,
            "cache_saving_usd": 0.0001,
            "budget_status": "ok",
            "budget_state": "ok",
            "budget_remaining_usd": 8.49,
            "budget_name": "default",
            "budget_scope": "all",
        },
    }
    assert json.loads(json.dumps(event)) == event


@pytest.mark.parametrize(("answered_by", "model"), [(None, "claude-opus-5-5"), ("claude-opus-4-8", "claude-opus-4-8")])
def test_model_is_the_one_that_answered(answered_by: str | None, model: str) -> None:
    """
    After a fallback that is another one than was asked for, which the caller cannot name either.
    """
    caller = a_caller(x_posthog_property_requested_model="mine")
    event = ai_generation(an_observed(caller=caller, answered_by=answered_by), ORIGIN)

    assert event is not None
    assert (event["properties"]["$ai_model"], event["properties"]["requested_model"]) == (model, "claude-opus-5-5")


@pytest.mark.parametrize(
    ("method", "path", "counts"),
    [
        ("POST", "/v1/messages", True),
        ("POST", "/posthog_code/v1/messages", True),
        ("POST", "/v1/messages/count_tokens", False),
        ("POST", "/v1/messages/batches", False),
        ("GET", "/v1/messages", False),
        ("GET", "/v1/models", False),
    ],
)
def test_only_generations_are_events(method: str, path: str, counts: bool) -> None:
    """
    What is free is not counted, nor is a batch, whose bill comes with its results.
    """
    assert (ai_generation(an_observed(method=method, path=path), ORIGIN) is not None) == counts


@pytest.mark.parametrize("path", ["/v1/messages", "/posthog_code/v1/messages"])
def test_the_request_url_is_the_upstreams(path: str) -> None:
    """
    The product in the path is for us; a path in the upstream's address stays; there is no query.
    """
    found = properties_of(origin=Origin("https://gateway.example/llm/"), path=path)

    assert found["$ai_base_url"] == "https://gateway.example/llm"
    assert found["$ai_request_url"] == "https://gateway.example/llm/v1/messages"


def test_uuid_is_of_the_exchange() -> None:
    """
    The same exchange gives the same event whenever it is made, another one another.
    """
    first, again, other = event_of(id="a"), event_of(id="a", duration_ms=7.0), event_of(id="b")

    assert first["uuid"] == again["uuid"] != other["uuid"]
    assert str(uuid.UUID(first["uuid"])) == first["uuid"]


@given(st.text())
def test_uuid_is_a_uuid5(name: str) -> None:
    """
    Of any exchange's id, as the standard library makes it.
    """
    name = name.encode("utf-8", "replace").decode()

    assert event_of(id=name)["uuid"] == str(uuid.uuid5(_NAMESPACE, name))


def test_time_is_when_the_ledger_counts_it() -> None:
    """
    A request over midnight is on the day that it began in both.
    """
    began = datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC)

    assert event_of(started_at=began, duration_ms=5_000.0)["timestamp"] == "2026-11-30T23:59:59+00:00"


@pytest.mark.parametrize(
    ("header", "configured", "expected"),
    [("me", "us", "me"), ("me", None, "me"), (None, "us", "us"), (None, None, "00000000-0000-4000-8000-000000000000")],
)
def test_whose_it_is(header: str | None, configured: str | None, expected: str) -> None:
    """
    The caller's word, else the configured one; else nobody's, and no person is made of a trace.
    """
    caller = a_caller(**{"x_posthog_distinct_id": header} if header else {})
    event = event_of(caller, Origin("http://x", distinct_id=configured))

    assert event["distinct_id"] == expected
    assert event["properties"].get("$process_person_profile", True) == bool(header or configured)


def test_a_request_whose_headers_cannot_be_read() -> None:
    """
    It is refused before anybody knows who called: an event all the same, its own id in the place of a person's.
    """
    event = event_of(
        None, status=400, outcome="refused", error="unknown product", trace_id=None, product="", model=None
    )

    assert event["distinct_id"] == event["uuid"]
    assert event["properties"]["$ai_error"] == "unknown product"
    assert {"$ai_model", "ai_product", "$ai_trace_id"} & set(event["properties"]) == set()


@pytest.mark.parametrize(
    ("user_id", "expected"),
    [
        ("1b4e28ba-2fa1-11d2-883f-0016d3cca427", "1b4e28ba-2fa1-11d2-883f-0016d3cca427"),
        ('{"b":1,"a":2}', str(uuid.uuid5(uuid.NAMESPACE_URL, '{"a":2,"b":1}'))),
        ({"b": 1, "a": 2}, str(uuid.uuid5(uuid.NAMESPACE_URL, '{"a":2,"b":1}'))),
        ("", "fresh"),
    ],
)
def test_trace_of_a_user_id(user_id: object, expected: str) -> None:
    """
    Case E9: a UUID stays, a JSON blob or object gives the same UUID5 whatever its order, nothing gives a fresh one.
    """
    found = properties_of(a_caller(), trace_id=trace_id(a_caller(), user_id, lambda: "fresh"))

    assert found["$ai_trace_id"] == expected


@pytest.mark.parametrize(
    ("said", "configured", "expected"),
    [
        ("7", None, 7),
        (7, None, 7),
        (" 7 ", 9, 7),
        ("x", 9, 9),
        (True, 9, 9),
        ("", None, None),
        ("٣", 9, 9),
        (1.5, 9, 9),
        ("9" * 19, 4, 4),
        (None, 9, 9),
        (10**18, 9, 9),
    ],
)
def test_team(said: object, configured: int | None, expected: int | None) -> None:
    """
    The caller's number wins over the configured team; what is no number is nobody's team.
    """
    caller = a_caller(x_posthog_properties=json.dumps({"team_id": said}))
    found = event_of(caller, Origin("http://x", team_id=configured))["properties"]

    assert found.get("team_id") == expected


@given(st.dictionaries(st.sampled_from(sorted(_MEASURED)), st.text(max_size=5)))
def test_what_was_measured_cannot_be_said(said: dict[str, str]) -> None:
    """
    Neither overwritten nor, where we know nothing, made up: the event is the one without these headers.
    """
    said = {name: "x" + value for name, value in said.items()}  # no team is a number
    caller = a_caller(x_posthog_properties=json.dumps(said))

    assert event_of(caller) == event_of(a_caller())
    assert event_of(caller, **BILLED) == event_of(a_caller(), **BILLED)


def test_misses_of_the_cache() -> None:
    """
    The cause of most of it, and the sums over all causes; absent without a miss.
    """
    found = properties_of(verdict=a_verdict("expired", "system_changed"))
    names = ("cache_miss_cause", "cache_missed_tokens", "cache_miss_cost_usd")

    assert [found[name] for name in names] == ["system_changed", 6000, 0.03]
    assert not {*names} & {*properties_of(verdict=a_verdict()), *properties_of()}


def test_every_property_of_ours_is_guarded() -> None:
    """
    Whatever we may say of a call, a caller cannot; but for the ids that are his to choose.
    """
    content = Content([], b'{"tools":[{}],"messages":[{}]}', [], b'{"content":[{"type":"text","text":"x"}]}')
    everything = properties_of(
        a_caller(),
        content=content,
        decision=an_allowance(),
        receipt=Receipt(verified=True, cost_nusd=1, counterfactual_nusd=1),
        stop_reason="end_turn",
        first_token_ms=1.0,
        verdict=a_verdict("expired"),
        origin=Origin("http://x", team_id=1),
        **{**BILLED, "usage": Usage(Tokens(1, 1, 1, 1, 1), 1, service_tier="standard")},
    )
    failed = properties_of(outcome="broken")

    ours = set(everything) | set(failed)
    assert ours - _MEASURED == {"$ai_trace_id", "$ai_session_id", "$process_person_profile"}


def test_an_empty_trace_is_none_of_his() -> None:
    """
    PostHog would lose the event among those without a trace.
    """
    found = properties_of(a_caller(x_posthog_properties='{"$ai_trace_id": ""}'))

    assert found["$ai_trace_id"] == "00000000-0000-4000-8000-000000000000"


def test_both_styles_of_properties_are_in_it() -> None:
    """
    One header each, and one JSON object with values of any type, which stay what they are.
    """
    caller = a_caller(
        x_posthog_property_stage="plan", x_posthog_properties='{"save_mode_active": true, "n": [1, null]}'
    )
    found = properties_of(caller)

    assert (found["stage"], found["save_mode_active"], found["n"]) == ("plan", True, [1, None])


def test_properties_are_made_fit_for_any_reader() -> None:
    """
    A lone surrogate and a nesting too deep for most readers are legal JSON, and would cost the whole batch.
    """
    deep = "[" * 400 + "]" * 400
    caller = a_caller(x_posthog_properties=f'{{"odd": "a\\ud800", "deep": {deep}, "\\ud800": 1}}')
    event = event_of(caller)

    assert event["properties"]["odd"] == "a?"
    assert "\\ud8" not in json.dumps(event)


@pytest.mark.parametrize(
    ("differences", "is_error", "text"),
    [
        ({}, False, None),
        ({"outcome": "client_gone"}, False, None),
        ({"outcome": "client_gone", "status": None}, True, "the client left before the answer"),
        ({"outcome": "upstream_error", "status": 404}, True, "HTTP 404 from the upstream"),
        (
            {"outcome": "upstream_error", "error": "overloaded_error in the answer"},
            True,
            "overloaded_error in the answer",
        ),
        ({"outcome": "unreachable", "status": 502, "error": "no route"}, True, "no route"),
        ({"outcome": "broken"}, True, "broken"),
        ({"outcome": "refused", "status": 429, "error": "budget: held"}, True, "budget: held"),
    ],
)
def test_errors(differences: dict[str, Any], is_error: bool, text: str | None) -> None:
    """
    A refusal and an answer that broke off are errors; a reader who had enough is not.
    """
    found = properties_of(**differences)

    assert (found["$ai_is_error"], found.get("$ai_error")) == (is_error, text)


def test_the_words_of_an_error_are_content() -> None:
    """
    They may quote the prompt, so they come only where content was asked for.
    """
    answer = b'{"type":"error","error":{"type":"invalid_request_error","message":"bad: tell me a secret"}}'
    failed: dict[str, Any] = {"outcome": "upstream_error", "status": 400}

    assert "secret" not in json.dumps(event_of(**failed))
    found = properties_of(content=Content([], b"{}", [], answer), **failed)
    assert found["$ai_error"] == "HTTP 400 from the upstream: bad: tell me a secret"


def test_a_hold_that_stands_is_the_cost_and_has_no_sides() -> None:
    """
    What the ledger charged is in the event, marked; how it splits nobody knows.
    """
    found = properties_of(outcome="broken", settlement=Settlement(5_000, "held"), cost=Cost(1_000, 1_000))

    assert (found["$ai_total_cost_usd"], found["cost_basis"]) == (0.000005, "held")
    assert {"$ai_input_cost_usd", "$ai_output_cost_usd"} & set(found) == set()


def test_savings_are_signed_and_unknown_ones_absent() -> None:
    """
    An upgrade that cost more than it saved says so; n/a is no zero.
    """
    dearer = Receipt(cost_nusd=500, counterfactual_nusd=200)

    assert properties_of(receipt=dearer, **BILLED)["cache_saving_usd"] == -0.0000003
    assert "cache_saving_usd" not in properties_of(receipt=Receipt(cost_nusd=500), **BILLED)
    assert properties_of(receipt=Receipt(verified=False), **BILLED)["cache_ttl_verified"] is False
    assert "cache_ttl_verified" not in properties_of(receipt=Receipt(), **BILLED)


@given(st.lists(st.integers(0, 10**11), max_size=200))
def test_sums_are_exact_to_the_nano_dollar(charges: list[int]) -> None:
    """
    Up to $100 a call, a dashboard's sum of floats is the ledger's sum of integers.
    """
    amounts = [properties_of(settlement=Settlement(one, "reported"))["$ai_total_cost_usd"] for one in charges]

    assert round(sum(amounts) * 1e9) == sum(charges)


def test_budget_without_remaining() -> None:
    """
    Where no cap is set, nothing is left of it and nothing is zero.
    """
    found = properties_of(decision=Allowed(None, None, ()))

    assert not [name for name in found if name.startswith("budget")]
    assert not [name for name in properties_of() if name.startswith("budget")]


def test_flags_are_in_it() -> None:
    """
    Each flag, under the name that PostHog breaks down by.
    """
    assert properties_of(a_caller(x_posthog_flag_A="b"))["$feature/a"] == "b"
