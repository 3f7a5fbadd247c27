"""
Model calls as spans and metrics of OpenTelemetry, sent to a collector over OTLP.

Rule of this file: it makes spans and imports no library; `collector` sends them, and is imported if an endpoint is given. Names
are those of the GenAI semantic conventions; what they have no name for begins with `savemode.`. No prompt, answer or credential
is in a span.

Source: https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/ and gen-ai-metrics/, and the page for Anthropic
(checked 2026-11-29; the conventions have the status Development).
"""

import uuid
from datetime import datetime
from typing import Any, cast
from urllib.parse import urlsplit

from savemode_cli.core.errors import ConfigError
from savemode_cli.core.exchange.bill import Bill
from savemode_cli.core.exchange.observed import Observed
from savemode_cli.core.wire.answer import Answer
from savemode_cli.telemetry.background import Background
from savemode_cli.telemetry.definition import SinkContext, SinkDefinition
from savemode_cli.telemetry.event import Event

_PROVIDERS = {"anthropic": "anthropic", "bedrock": "aws.bedrock", "vertex": "gcp.vertex_ai"}
_NANOSECONDS_PER_MS = 1_000_000
_NUSD_PER_USD = 1_000_000_000


def span_of(observed: Observed, upstream: str) -> Event | None:
    """
    A model call as the span of a client.

    Args:
        observed: the exchange.
        upstream: the base URL of the upstream.

    Returns:
        Name, start and end in nanoseconds since the epoch, IDs, attributes, and the type of an error. None if the exchange
        was not a model call.
    """
    exchange, caller = observed.exchange, observed.caller
    call, answer, bill = exchange.call, exchange.answer, exchange.bill
    if not call.is_model_call:
        return None
    start_ns = _nanoseconds(exchange.started_at)
    address = urlsplit(upstream)
    provider = caller.provider if caller is not None else "anthropic"
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": _PROVIDERS.get(provider, provider),
        "gen_ai.request.model": call.model,
        "gen_ai.request.stream": call.stream,
        "gen_ai.response.model": answer.answered_by or (call.model if answer.outcome == "ok" else None),
        "gen_ai.response.finish_reasons": None if answer.stop_reason is None else [answer.stop_reason],
        "gen_ai.conversation.id": call.session,
        "server.address": address.hostname,
        "server.port": address.port or (443 if address.scheme == "https" else 80),
        "http.response.status_code": answer.status,
        "error.type": _error_type(answer),
        "savemode.exchange.id": exchange.id,
        "savemode.outcome": answer.outcome,
        "savemode.product": call.product or None,
        "savemode.cache.ttl_upgraded": exchange.upgrade.upgraded > 0,
        **_usage(bill),
        **_money(bill),
    }
    return {
        "name": f"chat {call.model}" if call.model else "chat",
        "start_ns": start_ns,
        "end_ns": start_ns + round(answer.duration_ms * _NANOSECONDS_PER_MS),
        "trace_id": _trace_id(call.trace_id),
        "span_id": uuid.uuid5(uuid.NAMESPACE_OID, exchange.id).int >> 64,
        "attributes": {name: value for name, value in attributes.items() if value is not None},
    }


def _nanoseconds(at: datetime) -> int:
    return round(at.timestamp() * 1000) * _NANOSECONDS_PER_MS


def _trace_id(text: str | None) -> int:
    """
    The caller's trace, so that its calls stay together; a trace of its own for a call that belongs to none.
    """
    try:
        number = uuid.UUID(text or "").int
    except ValueError:
        number = uuid.uuid5(uuid.NAMESPACE_OID, text).int if text else 0
    return number or uuid.uuid4().int


def _error_type(answer: Answer) -> str | None:
    """
    The status of a failed call, or what happened in place of an answer; None for a call that did not fail.
    """
    if answer.outcome == "ok" or (answer.outcome == "client_gone" and answer.status is not None):
        return None
    return str(answer.status) if answer.status is not None and answer.status >= 400 else answer.outcome


def _usage(bill: Bill) -> dict[str, Any]:
    """
    The tokens as billed. The conventions count cached tokens as a part of the input tokens; the API does not.
    """
    if bill.usage is None:
        return {}
    tokens = bill.usage.tokens
    return {
        "gen_ai.usage.input_tokens": tokens.prompt,
        "gen_ai.usage.output_tokens": tokens.output,
        "gen_ai.usage.cache_read.input_tokens": tokens.read,
        "gen_ai.usage.cache_creation.input_tokens": tokens.written,
        "savemode.usage.cache_creation_5m.input_tokens": tokens.write_5m,
        "savemode.usage.cache_creation_1h.input_tokens": tokens.write_1h,
    }


def _money(bill: Bill) -> dict[str, Any]:
    """
    What was charged, saved and missed, in US dollars.
    """
    found: dict[str, Any] = {}
    if bill.settlement is not None:
        found["savemode.cost.usd"] = bill.settlement.nusd / _NUSD_PER_USD
        found["savemode.cost.basis"] = bill.settlement.basis
    if bill.receipt is not None and bill.receipt.difference_nusd is not None:
        found["savemode.cache.saving_usd"] = -bill.receipt.difference_nusd / _NUSD_PER_USD
    if bill.verdict is not None and bill.verdict.main is not None:
        found["savemode.cache.miss_cause"] = bill.verdict.main.cause
        found["savemode.cache.missed_tokens"] = bill.verdict.missed_tokens
        found["savemode.cache.miss_cost_usd"] = bill.verdict.cost_nusd / _NUSD_PER_USD
    if bill.budget is not None:
        found["savemode.budget.name"] = bill.budget.name or None
    return found


def _open(context: SinkContext) -> Background:
    settings = context.settings
    endpoint = cast("str", settings.otel_endpoint)
    try:
        from savemode_cli.telemetry.collector import Collector  # noqa: PLC0415 - an extra that takes long to import
    except ImportError as error:
        raise ConfigError(
            "--otel-endpoint needs OpenTelemetry, which is not installed", hint="pip install 'savemode-cli[otel]'"
        ) from error
    outlet = Collector(endpoint, context.version)
    return Background("otel", lambda observed: span_of(observed, settings.upstream), outlet, context.announce)


OPENTELEMETRY = SinkDefinition(
    name="otel",
    about="otel",
    is_configured=lambda settings: settings.otel_endpoint is not None,
    destination=lambda settings: f"OpenTelemetry, {settings.otel_endpoint}",
    open=_open,
)
