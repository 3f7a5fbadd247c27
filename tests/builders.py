"""
Values for tests, valid by default: override what the test is about.
"""

import dataclasses
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from savemode_cli.core.admission import Allowed, Balance, Hold, Refused, Standing
from savemode_cli.core.budget import Budget, limit_of
from savemode_cli.core.exchange import Exchange
from savemode_cli.core.gate import GateState
from savemode_cli.core.pricing import Price, Rates
from savemode_cli.core.transform import ABSENT, CACHE_TTL, Edit, Skip

OPEN = GateState(on=True, why="flag llm-gateway-cost-controls is true")
CLOSED = GateState(on=False, why="no flag llm-gateway-cost-controls")


def an_exchange(**differences: Any) -> Exchange:
    """
    A messages call that went well.
    """
    return dataclasses.replace(
        Exchange(
            id="req_sm_1",
            started_at=datetime(2026, 11, 24, 12, 0, 0, 123_456, tzinfo=UTC),
            duration_ms=1234.56789,
            first_byte_ms=12.34567,
            method="POST",
            path="/v1/messages",
            product="posthog_code",
            model="claude-opus-5-5",
            gate=OPEN,
            edits=(),
            skips=(),
            status=200,
            outcome="ok",
            request_bytes=100,
            response_bytes=50,
            session="0123456789abcdef",
            trace_id="00000000-0000-4000-8000-000000000000",
            upstream_request_id="req_up",
        ),
        **differences,
    )


def an_edit(**differences: Any) -> Edit:
    """
    A raised breakpoint.
    """
    return dataclasses.replace(
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
    return dataclasses.replace(
        Skip(CACHE_TTL, ("system", 1, "cache_control"), "client-ttl", 'the client chose ttl "5m"'), **differences
    )


def usd(text: str) -> Rates:
    """
    Five prices in the order of the price page: input, output, 5m write, 1h write, read.
    """
    base, output, five_minutes, one_hour, read = map(Decimal, text.split())
    return Rates(base, output, read, five_minutes, one_hour)


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
