"""
Our event beside the one that PostHog's own integration makes of the same call without a proxy, property by property.
"""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import anthropic
import pytest
from posthog import Posthog
from posthog.ai.anthropic import Anthropic

from savemode_cli.telemetry.event import Event, Origin, ai_generation
from tests.proxy.test_sinks import Listener
from tests.support.receiver import receiver
from tests.support.streams import END, MODEL, USAGE, answers, chunk, head, message, sse, streamed, text, tool_use
from tests.support.upstream import Upstream, error, reply, running_proxy

CACHED = {
    **USAGE,
    "cache_creation_input_tokens": 30,
    "cache_read_input_tokens": 400,
    "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
    "service_tier": "standard",
}
CALL: dict[str, Any] = {
    "model": MODEL,
    "max_tokens": 50,
    "system": "be brief",
    "messages": [{"role": "user", "content": [{"type": "text", "text": "list the files"}]}],
    "tools": [{"name": "sh", "input_schema": {"type": "object"}}],
}

EACH_ITS_OWN = {
    "$ai_latency",  # theirs is the client's, its SDK and the network included; ours is what the proxy saw
    "$ai_trace_id",  # neither was told one
    "$lib",  # who says it
    "$lib_version",
    "$ai_lib",
    "$ai_lib_version",
}
"""What both have, with different values."""

THEIRS_ALONE = {
    "$ai_model_parameters",  # max_tokens and stream; an exchange keeps of a body what the bill depends on
    "$ai_tokens_source",  # whether a caller's tokens took the place of those counted; here they never do
    "$ai_usage",  # the API's report as it came; ours is taken apart into properties that can be added up
    # Of the process that made the call, which we are not.
    "$is_server",
    "$os",
    "$os_distro",
    "$os_version",
    "$python_runtime",
    "$python_version",
    "$context_tags",
}
OURS_ALONE = {
    "$ai_cache_creation_5m_input_tokens",  # without both, PostHog prices what was written for an hour at the 5m rate
    "$ai_cache_creation_1h_input_tokens",
    "$ai_cache_reporting_exclusive",  # said, where PostHog would conclude it from the provider's name
    "$ai_total_cost_usd",  # ours, so that a dashboard is the ledger, whatever prices PostHog has
    "$ai_input_cost_usd",
    "$ai_output_cost_usd",
    "$ai_is_error",  # theirs is absent where there is none
    "$ai_request_url",
    "$ai_service_tier",  # theirs is read from the message, where the Anthropic API does not have it
    "$ai_session_id",  # a client without our headers has sessions all the same
    "$ai_span_id",
    "$ai_stream",
    "$ai_time_to_first_token",
    "ai_product",
    "cache_saving_usd",
    "cache_ttl_upgraded",
    "cost_basis",
    "outcome",
    "price_state",
    "requested_model",  # a fallback may have answered in its place
}


@dataclass
class Case:
    """
    A call, what it is answered, and in what more than the tables say the two events differ, with the reason.
    """

    call: Callable[[Any], object]
    answer: bytes
    differ: frozenset[str] = frozenset()
    theirs: frozenset[str] = frozenset()
    ours: frozenset[str] = frozenset()


def create(client: Any) -> object:
    """
    A call without a stream.
    """
    return client.messages.create(**CALL)


def stream(client: Any) -> object:
    """
    The same, streamed.
    """
    return list(client.messages.create(**CALL, stream=True))


def fail(client: Any) -> object:
    """
    A call that the API refuses.
    """
    with suppress(anthropic.APIStatusError):
        client.messages.create(**CALL)
    return None


def body(events: list[dict[str, Any]]) -> bytes:
    """
    An answer that is streamed.
    """
    return head() + b"".join(chunk(sse(event)) for event in events) + END


def streamed_answer(last: dict[str, Any]) -> bytes:
    """
    A stream whose beginning reports the cache, and whose end reports `last`.
    """
    events = streamed(
        tool_use("sh", {}),
        [{"type": "input_json_delta", "partial_json": piece} for piece in ('{"comm', 'and":"ls"}')],
        stop_reason="tool_use",
    )
    events[0]["message"]["usage"] = CACHED
    events[-2]["usage"] = last
    return body(events)


CASES = {
    "whole": Case(
        create,
        reply(
            json.dumps(
                message(text("hello"), tool_use("sh", {"command": "ls"}), stop_reason="tool_use", usage=CACHED)
            ).encode()
        ),
    ),
    "whole without cache": Case(create, reply(json.dumps(message(text("hello"))).encode())),
    "streamed": Case(stream, streamed_answer({**CACHED, "output_tokens": 7})),
    "streamed without cache": Case(
        stream,
        body(streamed({"type": "text", "text": ""}, [{"type": "text_delta", "text": "hello"}])),
        # Theirs are 0 in streams and absent otherwise; ours are absent where the cache was not used.
        theirs=frozenset({"$ai_cache_creation_input_tokens", "$ai_cache_read_input_tokens"}),
    ),
    "streamed and growing": Case(
        stream, streamed_answer({**CACHED, "cache_read_input_tokens": 500, "output_tokens": 7})
    ),
    "streamed and shrinking": Case(
        stream,
        streamed_answer({**CACHED, "cache_read_input_tokens": 300, "output_tokens": 7}),
        # The totals at the end of a stream are the bill. Theirs keeps the larger of what beginning and end reported.
        differ=frozenset({"$ai_cache_read_input_tokens"}),
    ),
    "refused": Case(
        fail,
        error("overloaded_error", "Overloaded", "529 Overloaded"),
        # Theirs is the text of the Python exception, which holds the whole envelope.
        differ=frozenset({"$ai_error"}),
        # An empty list: there was no output.
        theirs=frozenset({"$ai_output_choices"}),
    ),
}


def both(upstream: Upstream, case: Case) -> tuple[Event, Event]:
    """
    Their event, of a call straight to the upstream, and ours, of the same call through the proxy.
    """
    upstream.script = answers(case.answer)
    sink = Listener(wants_content=True)
    with receiver() as posthog:
        client = Posthog("phc_test_key", host=posthog.url, sync_mode=True)
        case.call(Anthropic(posthog_client=client, api_key="key", base_url=upstream.url, max_retries=0))
        (theirs,) = posthog.await_events(1)
    with running_proxy(upstream.url, sinks=[sink]) as proxy:
        case.call(anthropic.Anthropic(api_key="key", base_url=proxy.url, max_retries=0))
        proxy.exchange()
    ours = ai_generation(sink.records[0], Origin(upstream.url, "1"))
    assert ours is not None
    return theirs, ours


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_two_differ_where_there_is_a_reason(upstream: Upstream, case: Case) -> None:
    """
    What is not in the tables above is in both, and the same: names, types, content and all.
    """
    theirs, ours = both(upstream, case)
    their, our = theirs["properties"], ours["properties"]

    assert {name for name in set(their) & set(our) if their[name] != our[name]} == EACH_ITS_OWN | case.differ
    assert set(their) - set(our) - THEIRS_ALONE == case.theirs
    assert set(our) - set(their) - OURS_ALONE == case.ours
    assert {name: type(their[name]) for name in set(their) & set(our)} == {
        name: type(our[name]) for name in set(their) & set(our)
    }


def test_the_envelopes_are_alike(upstream: Upstream) -> None:
    """
    The same keys; nobody's call is personless in both, under its trace; theirs says when it ended, ours when it began.
    """
    theirs, ours = both(upstream, CASES["whole"])

    assert set(theirs) == set(ours)
    for event in (theirs, ours):
        assert event["event"] == "$ai_generation"
        assert event["distinct_id"] == event["properties"]["$ai_trace_id"]
        assert event["properties"]["$process_person_profile"] is False


def test_the_tables_name_what_there_is(upstream: Upstream) -> None:
    """
    A difference that is gone has no reason any more.
    """
    pairs = [both(upstream, case) for case in CASES.values()]
    alone = [set(theirs["properties"]) - set(ours["properties"]) for theirs, ours in pairs]
    own = [set(ours["properties"]) - set(theirs["properties"]) for theirs, ours in pairs]

    assert set().union(*alone) >= THEIRS_ALONE
    assert set().union(*own) >= OURS_ALONE
