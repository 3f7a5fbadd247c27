"""
An exchange as PostHog's `$ai_generation` event.

Rule of this file: a property that was not measured is absent, and never 0. A caller cannot overwrite a property that
savemode measures. Content is in the event only if the exchange has it.

Source: https://posthog.com/docs/llm-analytics/manual-capture and the SDK's `posthog.ai`, version 7.91 (checked
2026-11-24).

Amounts are floats of US dollars, because PostHog sums floats. A nano-dollar is the ninth decimal, and a float holds sixteen
digits.
"""

import hashlib
import uuid
from dataclasses import dataclass
from typing import Any

from savemode_cli.core.budget.guard import Alarm
from savemode_cli.core.budget.report import BudgetReport
from savemode_cli.core.diagnosis.causes import Verdict
from savemode_cli.core.exchange.bill import Bill
from savemode_cli.core.exchange.credentials import without_credentials
from savemode_cli.core.exchange.observed import Content, Observed
from savemode_cli.core.money.pricing import Cost
from savemode_cli.core.wire.answer import Answer
from savemode_cli.core.wire.caller import Caller
from savemode_cli.core.wire.messages import MESSAGES_PATH
from savemode_cli.core.wire.usage import Usage
from savemode_cli.telemetry.content import clean, conversation, error_message, plain

Event = dict[str, Any]
"""`event`, `distinct_id`, `properties`, `timestamp` and `uuid`, as PostHog's capture endpoints take them."""

NAME = "$ai_generation"
LIBRARY = "savemode"

_CALLER_CONTROLLED = ("$ai_trace_id", "$ai_session_id")
_MAX_TEAM_ID = 10**18  # more than any ID, and within what every JSON reader accepts as a number
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
        "requested_model",
        "outcome",
        "cost_basis",
        "price_state",
        "cache_ttl_upgraded",
        "cache_ttl_verified",
        "keep_warm",
        "cache_saving_usd",
        "cache_miss_cause",
        "cache_missed_tokens",
        "cache_miss_cost_usd",
        "budget_status",
        "budget_state",
        "budget_remaining_usd",
        "budget_name",
        "budget_scope",
        "guard_sign",
        "guard_action",
        # From these properties PostHog's endpoints read the person and the project of an event.
        "distinct_id",
        "api_key",
        "token",
    }
)
"""The properties that a caller cannot set, even if savemode has no value for them."""


@dataclass(frozen=True, slots=True)
class Origin:
    """
    What all events of a process have in common.
    """

    base_url: str
    """The address of the upstream."""

    version: str = ""
    """The version of savemode."""

    distinct_id: str | None = None
    """The person, for calls that do not name one; None: such events belong to no person."""

    project: str | None = None
    """The group `project` of the events."""

    team_id: int | None = None
    """The property `team_id`, for calls that do not have it."""


def ai_generation(observed: Observed, origin: Origin) -> Event | None:
    """
    The event of an exchange.

    Its time is the start of the request, as in the ledger, so that a day is the same day in both.

    Args:
        observed: the exchange.
        origin: what all events of this process have in common.

    Returns:
        None if the exchange was not a model call: free requests and batches have no event.
    """
    exchange, caller = observed.exchange, observed.caller
    if not exchange.call.is_model_call:
        return None
    own = _properties_of(caller)
    properties = _measured(observed, origin)
    for name, value in own.items():
        if name not in properties or (name in _CALLER_CONTROLLED and value):
            properties[name] = value
    who = (caller.distinct_id if caller is not None else None) or origin.distinct_id
    event_id = _uuid(exchange.id)
    if who is None:
        # As in PostHog's own integrations: no person is created, and the events of one trace stay together.
        properties["$process_person_profile"] = False
        who = exchange.call.trace_id or event_id
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
    The same as `str(uuid.uuid5(_NAMESPACE, name))`, in a fifth of the time: each event needs one.
    """
    digits = hashlib.sha1(_NAMESPACE.bytes + name.encode(), usedforsecurity=False).hexdigest()
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-5{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:32]}"


def _properties_of(caller: Caller | None) -> dict[str, Any]:
    """
    The caller's own properties and flags.
    """
    if caller is None:
        return {}
    own = {clean(name): plain(value) for name, value in caller.properties.items() if name not in _MEASURED}
    return own | {f"$feature/{name}": value for name, value in caller.flags.items()}


def _measured(observed: Observed, origin: Origin) -> dict[str, Any]:
    exchange, caller = observed.exchange, observed.caller
    call, answer = exchange.call, exchange.answer
    base_url = origin.base_url.rstrip("/")
    content = observed.content
    if content is not None:
        content = without_credentials(content, failed=answer.outcome != "ok")
    properties: dict[str, Any] = {
        "$lib": LIBRARY,
        "$lib_version": origin.version,
        "$ai_lib": LIBRARY,
        "$ai_lib_version": origin.version,
        "$geoip_disable": True,  # the address is that of the machine that sends, and not of the person who called
        "$ai_model": answer.answered_by or call.model,
        "requested_model": call.model,
        "$ai_provider": caller.provider if caller is not None else "anthropic",
        "$ai_stream": call.stream,
        "$ai_latency": round(answer.duration_ms / 1000, 6),
        "$ai_time_to_first_token": _seconds(answer.first_token_ms),
        "$ai_http_status": answer.status,
        "$ai_base_url": base_url,
        "$ai_request_url": base_url + MESSAGES_PATH,
        "$ai_trace_id": call.trace_id,
        "$ai_session_id": (caller.posthog_session_id if caller is not None else None) or call.session,
        "$ai_span_id": exchange.id,
        "$ai_stop_reason": answer.stop_reason,
        "ai_product": call.product or None,
        "team_id": _team_id(caller, origin),
        "outcome": answer.outcome,
        "cache_ttl_upgraded": exchange.upgrade.upgraded > 0,
        **({"keep_warm": True} if exchange.call.keep_warm else {}),
    }
    bill = exchange.bill
    for part in (
        _tokens(bill.usage),
        _costs(bill),
        _missed(bill.verdict),
        _budget(bill.budget),
        _guard(bill.alarm),
        _error(answer, content),
    ):
        properties.update(part)
    if content is not None:
        properties |= conversation(content)
    return {name: value for name, value in properties.items() if value is not None}


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else round(milliseconds / 1000, 6)


def _team_id(caller: Caller | None, origin: Origin) -> int | None:
    """
    The caller's, if it is a number; otherwise the configured one.
    """
    team_id = caller.properties.get("team_id") if caller is not None else None
    if isinstance(team_id, int) and not isinstance(team_id, bool) and abs(team_id) < _MAX_TEAM_ID:
        return team_id
    if isinstance(team_id, str) and team_id.strip().isascii() and team_id.strip().isdecimal() and len(team_id) <= 18:
        return int(team_id)
    return origin.team_id


def _tokens(usage: Usage | None) -> dict[str, Any]:
    """
    The counters as they were billed; those of the cache only if it was used.

    Cache writes are given as both of their parts, because PostHog prices a sum at the 5-minute rate.
    """
    if usage is None:
        return {}
    properties: dict[str, Any] = {
        "$ai_input_tokens": usage.tokens.input,
        "$ai_output_tokens": usage.tokens.output,
        "$ai_service_tier": usage.service_tier,
        "$ai_web_search_count": usage.web_searches or None,
    }
    written = usage.tokens.written
    if written or usage.tokens.read:
        properties["$ai_cache_read_input_tokens"] = usage.tokens.read
        properties["$ai_cache_creation_input_tokens"] = written
        properties["$ai_cache_creation_5m_input_tokens"] = usage.tokens.write_5m
        properties["$ai_cache_creation_1h_input_tokens"] = usage.tokens.write_1h
        properties["$ai_cache_reporting_exclusive"] = True
    return properties


def _costs(bill: Bill) -> dict[str, Any]:
    """
    What the ledger was charged, so that the sum of all events is what `savemode budget show` shows. Nothing if the ledger
    was not used.

    Input and output are given if their sum is the charge. They are not known if the hold was charged in place of a bill.
    """
    charge, receipt = bill.settlement, bill.receipt
    if charge is None:
        return {}
    properties: dict[str, Any] = {
        "$ai_total_cost_usd": _usd(charge.nusd),
        "cost_basis": charge.basis,
        "price_state": bill.price_state,
    }
    sides = bill.cost or Cost(0, 0)
    if sides.total_nusd == charge.nusd:
        properties["$ai_input_cost_usd"] = _usd(sides.input_nusd)
        properties["$ai_output_cost_usd"] = _usd(sides.output_nusd)
    if receipt is not None:
        properties["cache_ttl_verified"] = receipt.verified
        if receipt.difference_nusd is not None:
            properties["cache_saving_usd"] = _usd(-receipt.difference_nusd)
    return properties


def _missed(verdict: Verdict | None) -> dict[str, Any]:
    """
    What the prompt cache missed, and the cause of most of it; nothing if nothing was missed.
    """
    if verdict is None or verdict.main is None:
        return {}
    return {
        "cache_miss_cause": verdict.main.cause,
        "cache_missed_tokens": verdict.missed_tokens,
        "cache_miss_cost_usd": _usd(verdict.cost_nusd),
    }


def _usd(nusd: int) -> float:
    return nusd / 1_000_000_000


def _budget(report: BudgetReport | None) -> dict[str, Any]:
    """
    The state of the budgets, as in the headers of the answer, and which one that is; not whose share of it is used.
    """
    if report is None:
        return {}
    state = report.to_json()
    remaining_usd = state.get("remaining_usd")
    return {
        "budget_status": state.get("status"),
        "budget_state": state.get("state"),
        "budget_remaining_usd": None if remaining_usd is None else float(remaining_usd),
        "budget_name": report.name or None,
        "budget_scope": report.scope or None,
    }


def _guard(alarm: Alarm | None) -> dict[str, Any]:
    """
    The sign of a run that has run away; nothing without one. Not which tool was called.
    """
    return {} if alarm is None else {"guard_sign": alarm.sign, "guard_action": "refuse" if alarm.refused else "warn"}


def _error(answer: Answer, content: Content | None) -> dict[str, Any]:
    """
    Whether the call failed, and how. A client that left after the answer had begun is not a failure of the call.

    The message of an error is the upstream's and may quote the prompt, so it is added only with content.
    """
    if answer.outcome == "ok" or (answer.outcome == "client_gone" and answer.status is not None):
        return {"$ai_is_error": False}
    message = error_message(content) if content is not None else ""
    if answer.outcome == "client_gone":
        text = "the client left before the answer"
    elif answer.status is not None and answer.outcome == "upstream_error":
        text = f"HTTP {answer.status} from the upstream"
    else:
        text = answer.outcome
    text = answer.error or text
    return {"$ai_is_error": True, "$ai_error": f"{text}: {message}" if message else text}
