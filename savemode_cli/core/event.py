"""
One exchange as PostHog's `$ai_generation` event: a pure mapping.

Rule of this file: what was not measured is absent, never 0; nothing that a caller sends takes the place of what was
measured; content is in it only where the record has it.
Source: https://posthog.com/docs/llm-analytics/manual-capture and the SDK's `posthog.ai`, version 7.91 (checked
2026-11-24).

Amounts are floats of US dollars, which is what PostHog adds up; a nano-dollar is the ninth decimal, and a float holds
sixteen digits.
"""

import hashlib
import uuid
from dataclasses import dataclass
from typing import Any

from savemode_cli.core.caller import Caller
from savemode_cli.core.content import clean, conversation, error_message, plain
from savemode_cli.core.exchange import Exchange
from savemode_cli.core.messages import MESSAGES_PATH
from savemode_cli.core.pricing import Cost, Usage
from savemode_cli.core.record import Record

Event = dict[str, Any]
"""`event`, `distinct_id`, `properties`, `timestamp` and `uuid`, as PostHog's capture endpoints take them."""

NAME = "$ai_generation"
LIBRARY = "savemode"

_HIS_TO_SAY = ("$ai_trace_id", "$ai_session_id")
_BUDGET_HEADERS = (b"x-posthog-budget", b"x-posthog-budget-state", b"x-posthog-budget-remaining-usd")
_MOST_TEAMS = 10**18  # beyond any id, and within what every reader takes for a number
_NAMESPACE = uuid.UUID("6c0f5a52-2d0c-5e0b-9a53-6f0b7b6c9c1e")

_MEASURED = frozenset(
    {
        "$ai_model",
        "$ai_provider",
        "$ai_stream",
        "$ai_latency",
        "$ai_time_to_first_token",
        "$ai_http_status",
        "$ai_base_url",
        "$ai_request_url",
        "$ai_input_tokens",
        "$ai_output_tokens",
        "$ai_total_tokens",
        "$ai_reasoning_tokens",
        "$ai_cache_read_input_tokens",
        "$ai_cache_creation_input_tokens",
        "$ai_cache_creation_5m_input_tokens",
        "$ai_cache_creation_1h_input_tokens",
        "$ai_cache_reporting_exclusive",
        "$ai_total_cost_usd",
        "$ai_input_cost_usd",
        "$ai_output_cost_usd",
        "$ai_request_cost_usd",
        "$ai_web_search_cost_usd",
        "$ai_web_search_count",
        "$ai_service_tier",
        "$ai_usage",
        "$ai_span_id",
        "$ai_generation_id",
        "$ai_stop_reason",
        "$ai_is_error",
        "$ai_error",
        "$ai_input",
        "$ai_output",
        "$ai_output_choices",
        "$ai_tools",
        "$ai_lib",
        "$ai_lib_version",
        "$lib",
        "$lib_version",
        "$geoip_disable",
        "ai_product",
        "team_id",
        "outcome",
        "cost_basis",
        "price_state",
        "cache_ttl_upgraded",
        "cache_ttl_verified",
        "cache_saving_usd",
        "budget_status",
        "budget_state",
        "budget_remaining_usd",
        # Where PostHog's endpoints look for whom and which project an event is of.
        "distinct_id",
        "api_key",
        "token",
    }
)
"""What a caller cannot say, also where we do not know it ourselves."""


@dataclass(frozen=True, slots=True)
class Origin:
    """
    What all events of a process have in common. `base_url` is the upstream's. `distinct_id` is whose calls they are
    where a call does not say; None for nobody's. `project` is the group they belong to.
    """

    base_url: str
    version: str = ""
    distinct_id: str | None = None
    project: str | None = None
    team_id: int | None = None


def ai_generation(record: Record, origin: Origin) -> Event | None:
    """
    The event of an exchange; None if it was no generation: what is free is not counted, nor is what a batch holds.

    Its time is the start of the request, which is when the ledger counts it: a day is the same day in both.
    """
    exchange, caller = record.exchange, record.caller
    if not exchange.is_call:
        return None
    said = _said_by(caller)
    properties = _measured(record, origin)
    for name, value in said.items():
        if name not in properties or (name in _HIS_TO_SAY and value):
            properties[name] = value
    who = (caller.distinct_id if caller is not None else None) or origin.distinct_id
    event_id = _uuid(exchange.id)
    if who is None:
        # As PostHog's own integrations do: no person is made of it, and the events of one trace stay together.
        properties["$process_person_profile"] = False
        who = exchange.trace_id or event_id
    if origin.project is not None:
        properties["$groups"] = {"project": origin.project}
    return {
        "event": NAME,
        "distinct_id": who,
        "properties": properties,
        "timestamp": exchange.started_at.isoformat(),
        "uuid": event_id,
    }


def _uuid(name: str) -> str:
    """
    What `str(uuid.uuid5(_NAMESPACE, name))` gives, in a fifth of the time: it is made for every event.
    """
    digits = hashlib.sha1(_NAMESPACE.bytes + name.encode(), usedforsecurity=False).hexdigest()
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-5{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:32]}"


def _said_by(caller: Caller | None) -> dict[str, Any]:
    """
    The caller's own properties and flags.
    """
    if caller is None:
        return {}
    own = {clean(name): plain(value) for name, value in caller.properties.items() if name not in _MEASURED}
    return own | {f"$feature/{name}": value for name, value in caller.flags.items()}


def _measured(record: Record, origin: Origin) -> dict[str, Any]:
    exchange, caller = record.exchange, record.caller
    base_url = origin.base_url.rstrip("/")
    found: dict[str, Any] = {
        "$lib": LIBRARY,
        "$lib_version": origin.version,
        "$ai_lib": LIBRARY,
        "$ai_lib_version": origin.version,
        "$geoip_disable": True,  # the address is that of the machine which sends, and says nothing of who called
        "$ai_model": exchange.model,
        "$ai_provider": caller.provider if caller is not None else "anthropic",
        "$ai_stream": exchange.stream,
        "$ai_latency": round(exchange.duration_ms / 1000, 6),
        "$ai_time_to_first_token": _seconds(exchange.first_token_ms),
        "$ai_http_status": exchange.status,
        "$ai_base_url": base_url,
        "$ai_request_url": base_url + MESSAGES_PATH,
        "$ai_trace_id": exchange.trace_id,
        "$ai_session_id": exchange.session,
        "$ai_span_id": exchange.id,
        "$ai_stop_reason": exchange.stop_reason,
        "ai_product": exchange.product or None,
        "team_id": _team_id(caller, origin),
        "outcome": exchange.outcome,
        "cache_ttl_upgraded": exchange.upgraded > 0,
    }
    for part in (_tokens(exchange.usage), _costs(exchange), _budget(exchange), _error(record)):
        found.update(part)
    if record.content is not None:
        found |= conversation(record.content)
    return {name: value for name, value in found.items() if value is not None}


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else round(milliseconds / 1000, 6)


def _team_id(caller: Caller | None, origin: Origin) -> int | None:
    """
    The caller's if it is a number, else the configured one.
    """
    said = caller.properties.get("team_id") if caller is not None else None
    if isinstance(said, int) and not isinstance(said, bool) and abs(said) < _MOST_TEAMS:
        return said
    if isinstance(said, str) and said.strip().isascii() and said.strip().isdecimal() and len(said) <= 18:
        return int(said)
    return origin.team_id


def _tokens(usage: Usage | None) -> dict[str, Any]:
    """
    The counters as they were billed; those of the cache only if it was used.

    Both parts of what was written are named: PostHog prices what is not split at the 5-minute rate.
    """
    if usage is None:
        return {}
    found: dict[str, Any] = {
        "$ai_input_tokens": usage.input_tokens,
        "$ai_output_tokens": usage.output_tokens,
        "$ai_service_tier": usage.service_tier,
        "$ai_web_search_count": usage.web_searches or None,
    }
    written = usage.cache_write_5m_tokens + usage.cache_write_1h_tokens
    if written or usage.cache_read_tokens:
        found["$ai_cache_read_input_tokens"] = usage.cache_read_tokens
        found["$ai_cache_creation_input_tokens"] = written
        found["$ai_cache_creation_5m_input_tokens"] = usage.cache_write_5m_tokens
        found["$ai_cache_creation_1h_input_tokens"] = usage.cache_write_1h_tokens
        found["$ai_cache_reporting_exclusive"] = True
    return found


def _costs(exchange: Exchange) -> dict[str, Any]:
    """
    What the ledger was charged, so that a sum of events is what `savemode budget` shows; nothing if it was not asked.

    The two sides are named where they make up the charge; where a hold stood for a bill nobody knows its sides.
    """
    charge, cost, receipt = exchange.settlement, exchange.cost, exchange.receipt
    if charge is None:
        return {}
    found: dict[str, Any] = {
        "$ai_total_cost_usd": _usd(charge.nusd),
        "cost_basis": charge.basis,
        "price_state": exchange.price_state,
    }
    sides = cost or Cost(0, 0)
    if sides.total_nusd == charge.nusd:
        found["$ai_input_cost_usd"] = _usd(sides.input_nusd)
        found["$ai_output_cost_usd"] = _usd(sides.output_nusd)
    if receipt is not None:
        found["cache_ttl_verified"] = receipt.verified
        if receipt.difference_nusd is not None:
            found["cache_saving_usd"] = _usd(-receipt.difference_nusd)
    return found


def _usd(nusd: int) -> float:
    return nusd / 1_000_000_000


def _budget(exchange: Exchange) -> dict[str, Any]:
    """
    Where the budgets stood, as the answer's headers said it.
    """
    if exchange.decision is None:
        return {}
    told = dict(exchange.told) or dict(exchange.decision.headers())
    status, state, remaining = (told.get(name) for name in _BUDGET_HEADERS)
    return {
        "budget_status": None if status is None else status.decode(),
        "budget_state": None if state is None else state.decode(),
        "budget_remaining_usd": None if remaining is None else float(remaining),
    }


def _error(record: Record) -> dict[str, Any]:
    """
    Whether it failed, and how. A client that left is no failure of the call once the answer had begun.

    The words of an error are the upstream's, and may quote the prompt: they come with the content only.
    """
    exchange = record.exchange
    fine = exchange.outcome == "ok" or (exchange.outcome == "client_gone" and exchange.status is not None)
    if fine:
        return {"$ai_is_error": False}
    words = error_message(record.content) if record.content is not None else ""
    if exchange.outcome == "client_gone":
        text = "the client left before the answer"
    elif exchange.status is not None and exchange.outcome == "upstream_error":
        text = f"HTTP {exchange.status} from the upstream"
    else:
        text = exchange.outcome
    text = exchange.error or text
    return {"$ai_is_error": True, "$ai_error": f"{text}: {words}" if words else text}
