"""
Values for tests, valid by default: override what the test is about.
"""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from savemode_cli.core.budget.admission import Allowed, Balance, Hold, Refused, Standing
from savemode_cli.core.budget.budget import Budget, limit_of
from savemode_cli.core.diagnosis.causes import Cause, Miss, Verdict
from savemode_cli.core.exchange.bill import Bill
from savemode_cli.core.exchange.capture import Capture, capture_of
from savemode_cli.core.exchange.exchange import Exchange
from savemode_cli.core.exchange.observed import Content, Observed
from savemode_cli.core.money.pricing import Price, Rates
from savemode_cli.core.upgrade.edits import ABSENT, Edit, Skip
from savemode_cli.core.upgrade.gate import GateState
from savemode_cli.core.upgrade.rules import CACHE_TTL
from savemode_cli.core.upgrade.upgrade import Upgrade
from savemode_cli.core.wire.answer import Answer
from savemode_cli.core.wire.call import Call
from savemode_cli.core.wire.caller import Caller
from savemode_cli.core.wire.facts import NO_FACTS, Facts
from savemode_cli.core.wire.usage import Tokens, Usage
from savemode_cli.proxy.call import CallInProgress, Inbound
from tests.support.values import replace

OPEN = GateState(on=True, why="flag llm-gateway-cost-controls is true")
CLOSED = GateState(on=False, why="no flag llm-gateway-cost-controls")


CALL = (
    "method",
    "path",
    "product",
    "model",
    "stream",
    "request_bytes",
    "session",
    "trace_id",
    "opens_turn",
    "keep_warm",
)
UPGRADE = (
    "gate",
    "edits",
    "skips",
    "observed",
    "resent",
    "auto",
    "trial",
    "edits_left_out",
    "skips_left_out",
    "upgraded_left_out",
)
BILL = (
    "budget",
    "budget_after",
    "held_nusd",
    "usage",
    "settlement",
    "receipt",
    "price_state",
    "cost",
    "verdict",
    "alarm",
)
ANSWER = (
    "outcome",
    "status",
    "error",
    "duration_ms",
    "first_byte_ms",
    "first_token_ms",
    "response_bytes",
    "upstream_request_id",
    "stop_reason",
    "answered_by",
    "diagnosis",
)


PARTS = {"call": CALL, "upgrade": UPGRADE, "bill": BILL, "answer": ANSWER}


def an_exchange(**differences: Any) -> Exchange:
    """
    A messages call that went well. Each difference goes to the part that has such a field; a decision is reported.
    """
    fields: dict[str, Any] = {
        "id": "req_sm_1",
        "started_at": datetime(2026, 11, 24, 12, 0, 0, 123_456, tzinfo=UTC),
        "duration_ms": 1234.56789,
        "first_byte_ms": 12.34567,
        "method": "POST",
        "path": "/v1/messages",
        "product": "posthog_code",
        "model": "claude-opus-5-5",
        "gate": OPEN,
        "status": 200,
        "request_bytes": 100,
        "response_bytes": 50,
        "session": "0123456789abcdef",
        "trace_id": "00000000-0000-4000-8000-000000000000",
        "upstream_request_id": "req_up",
        **differences,
    }
    for name, reported in (("decision", "budget"), ("decision_after", "budget_after")):
        if fields.get(name) is not None:
            fields[reported] = fields[name].report()
        fields.pop(name, None)
    if "edits_left_out" in fields:
        fields.setdefault("upgraded_left_out", fields["edits_left_out"])
    parts = [
        part(**{name: fields.pop(name) for name in names if name in fields})
        for part, names in ((Call, CALL), (Upgrade, UPGRADE), (Bill, BILL), (Answer, ANSWER))
    ]
    return Exchange(fields.pop("id"), fields.pop("started_at"), *parts, **fields)  # type: ignore[arg-type]


def altered(exchange: Exchange, **differences: Any) -> Exchange:
    """
    The same exchange with other fields, each in the part that has it.
    """
    for name, value in differences.items():
        part = next(part for part, names in PARTS.items() if name in names)
        exchange = replace(exchange, **{part: replace(getattr(exchange, part), **{name: value})})
    return exchange


def an_observed(
    *,
    caller: Caller | None = None,
    content: Content | None = None,
    ended_at: datetime | None = None,
    **differences: Any,
) -> Observed:
    """
    An exchange as a sink is given it.
    """
    exchange = an_exchange(**differences)
    return Observed(exchange, ended_at or exchange.started_at, caller, content)


def a_capture_of(observed: Observed, upstream: str = "") -> Capture:
    """
    The exchange as it is kept.
    """
    return capture_of(observed, upstream)


def a_usage(*counters: int, **more: Any) -> Usage:
    """
    A usage by its counters: input, written for 5m and for 1h, read, output.
    """
    return Usage(Tokens(*counters), **more)


def a_verdict(*causes: Cause) -> Verdict:
    """
    A verdict with a miss of 2,000 tokens, or 2,000 more than the one before, for each cause; each token cost $0.000005.
    """
    tokens = [2000 * number for number in range(1, len(causes) + 1)]
    misses = [
        Miss(
            cause,
            count,
            ("system", 1, "text"),
            "edited",
            "text",
            idle=timedelta(minutes=7),
            ttl="5m",
            asked_ttl="5m",
            cost_nusd=count * 5000,
        )
        for cause, count in zip(causes, tokens, strict=True)
    ]
    return Verdict(sum(tokens) + 500, 500, tuple(reversed(misses)), "req_sm_0")


def an_edit(**differences: Any) -> Edit:
    """
    An upgraded breakpoint.
    """
    return replace(
        Edit(
            path=("system", 0, "cache_control", "ttl"),
            before=ABSENT,
            after="1h",
            rule=CACHE_TTL,
            why="because",
            at=40,
            removed=b"",
            inserted=b',"ttl":"1h"',
            was='{"type":"ephemeral"}',
            becomes='{"type":"ephemeral","ttl":"1h"}',
        ),
        **differences,
    )


def a_skip(**differences: Any) -> Skip:
    """
    A breakpoint that was left alone.
    """
    return replace(
        Skip(CACHE_TTL, ("system", 1, "cache_control"), "client-ttl", 'the client chose ttl "5m"'), **differences
    )


def usd(text: str) -> Rates:
    """
    Five prices in the order of the price page: input, output, 5m write, 1h write, read.
    """
    base, output, five_minutes, one_hour, read = map(Decimal, text.split())
    return Rates(base, five_minutes, one_hour, read, output)


def a_price(model: str = "claude-opus-5-5", rates: str = "4 20 5 8 0.20", **more: Any) -> Price:
    """
    One row; Opus 5.5 as the price page has it.
    """
    return Price(model=model, source="the test", standard=usd(rates), **more)


def a_standing(used_nusd: int = 0, limit_nusd: int = 10_000_000_000, **more: Any) -> Standing:
    """
    A monthly budget named default, of $10, and what is settled under it.
    """
    budget = Budget("default", limit_nusd, **more)
    return Standing(limit_of(budget, "", datetime(2026, 11, 24, 12, tzinfo=UTC)), Balance(settled_nusd=used_nusd))


def an_allowance(standing: Standing | None = None, *, held: bool = False) -> Allowed:
    """
    A request that may start, nothing held unless it is said.
    """
    standing = standing or a_standing()
    hold = Hold("req_sm_1", (standing.limit.key,), 1, standing.limit.resets_at) if held else None
    return Allowed(hold, standing.verdict.status, (standing,))


def a_refusal(standing: Standing | None = None) -> Refused:
    """
    A request that may not: the $10 are spent.
    """
    return Refused("spent", standing or a_standing(10_000_000_000), 1)


def a_call_in_progress(
    call_id: str = "h",
    facts: Facts = NO_FACTS,
    *,
    caller: Caller | None = None,
    session: str | None = None,
    body_bytes: int = 70,
    now: datetime = datetime(2026, 11, 24, 12, tzinfo=UTC),
) -> CallInProgress:
    """
    A model call that asks to start.
    """
    inbound = Inbound("POST", b"/v1/messages", b"", [], b"")
    caller = caller or Caller("", idle_prone=False)
    return CallInProgress(call_id, now, inbound, body_bytes, caller, facts, session)
