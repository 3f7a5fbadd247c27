"""
Model calls as spans, and the sink that sends them.
"""

import sys
from typing import Any

import pytest

from savemode_cli.cli.opening import opened_sinks
from savemode_cli.config import Settings
from savemode_cli.core.budget.charge import Settlement
from savemode_cli.core.errors import ConfigError
from savemode_cli.core.upgrade.receipt import Receipt
from savemode_cli.core.wire.usage import Tokens, Usage
from savemode_cli.telemetry.otel import span_of
from tests.builders import a_verdict, an_observed
from tests.support.collector import Receiving, plain
from tests.support.upstream import Upstream, running_proxy
from tests.support.waiting import until
from tests.support.wire import exchange, request

UPSTREAM = "https://api.anthropic.com"
BILLED: dict[str, Any] = {"usage": Usage(Tokens(3, 10, 20, 40, 5)), "settlement": Settlement(300_000, "reported")}


def test_span_has_the_names_of_the_conventions() -> None:
    """
    Input tokens include those of the cache, as the conventions say; costs and the split by lifetime have names of our own.
    """
    receipt = Receipt("1h", "1h", True, 300_000, 500_000, "reported")  # noqa: FBT003
    event = span_of(an_observed(**BILLED, receipt=receipt, verdict=a_verdict("expired")), UPSTREAM)
    assert event is not None
    attributes = event["attributes"]

    assert event["name"] == f"chat {attributes['gen_ai.request.model']}"
    assert attributes["gen_ai.operation.name"] == "chat"
    assert attributes["gen_ai.provider.name"] == "anthropic"
    assert (attributes["server.address"], attributes["server.port"]) == ("api.anthropic.com", 443)
    usage = {name.removeprefix("gen_ai.usage."): value for name, value in attributes.items() if "gen_ai.usage." in name}
    assert usage == {
        "input_tokens": 73,
        "output_tokens": 5,
        "cache_read.input_tokens": 40,
        "cache_creation.input_tokens": 30,
    }
    assert attributes["savemode.usage.cache_creation_5m.input_tokens"] == 10
    assert attributes["savemode.usage.cache_creation_1h.input_tokens"] == 20
    assert attributes["savemode.cost.usd"] == 0.0003
    assert attributes["savemode.cache.saving_usd"] == 0.0002
    assert attributes["savemode.cache.miss_cause"] == "expired"
    assert "error.type" not in attributes


@pytest.mark.parametrize(
    ("differences", "error"),
    [
        ({"outcome": "ok"}, None),
        ({"outcome": "client_gone"}, None),
        ({"outcome": "upstream_error", "status": 529}, "529"),
        ({"outcome": "refused", "status": 429}, "429"),
        ({"outcome": "unreachable", "status": None}, "unreachable"),
        ({"outcome": "broken"}, "broken"),
    ],
)
def test_error_type(differences: dict[str, Any], error: str | None) -> None:
    """
    The status of a failed call, or what happened in place of an answer.
    """
    event = span_of(an_observed(**differences), UPSTREAM)
    assert event is not None

    assert event["attributes"].get("error.type") == error


def test_what_is_no_model_call_has_no_span() -> None:
    """
    Counting tokens costs nothing.
    """
    assert span_of(an_observed(path="/v1/messages/count_tokens"), UPSTREAM) is None


def test_calls_of_one_trace_stay_together() -> None:
    """
    The trace of the caller is the trace of the spans, and each span has an ID of its own.
    """
    trace = "bec3b809-2ad0-43bf-b343-855a0aae7321"
    one, other = (span_of(an_observed(id=name, trace_id=trace), UPSTREAM) for name in ("req_1", "req_2"))
    assert one is not None
    assert other is not None

    assert one["trace_id"] == other["trace_id"] == int(trace.replace("-", ""), 16)
    assert one["span_id"] != other["span_id"]


def test_proxy_sends_spans(upstream: Upstream, collector: Receiving, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A call through the proxy is a span at the collector, with the headers of the environment, and nothing that was said.
    """
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-team=blue")
    settings = Settings(otel_endpoint=collector.url, upstream=upstream.url)
    body = b'{"model":"claude-opus-5-5","messages":[{"role":"user","content":"a secret"}]}'
    with (
        opened_sinks(settings, lambda *_: None, sys.stdout) as sinks,
        running_proxy(upstream.url, sinks=sinks) as proxy,
    ):
        exchange(proxy.port, request("POST", "/v1/messages", body, ("x-api-key", "sk-made-up")))
        until(lambda: sinks[0].counters["delivered"] == 1)

    [span] = collector.spans
    assert plain(span.attributes)["gen_ai.request.model"] == "claude-opus-5-5"
    assert collector.headers[0]["x-team"] == "blue"
    everything = b"".join(body for bodies in collector.received.values() for body in bodies)
    assert b"secret" not in everything
    assert b"made-up" not in everything


def test_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The error says what to install.
    """
    monkeypatch.setitem(sys.modules, "savemode_cli.telemetry.collector", None)
    settings = Settings(otel_endpoint="http://127.0.0.1:4318")

    with pytest.raises(ConfigError) as raised, opened_sinks(settings, lambda *_: None, sys.stdout):
        pass

    assert "savemode-cli[otel]" in raised.value.hint
