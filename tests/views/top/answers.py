"""
Answers of a proxy, as `/-/summary` and `/-/exchanges` have them.
"""

from typing import Any

from savemode_cli.core.diagnosis.causes import Cause
from savemode_cli.views.top.snapshot import Snapshot

URL = "http://127.0.0.1:8787"


def sums(nusd: int, *, requests: int = 1, read: int = 900, missed: dict[Cause, int] | None = None) -> dict[str, Any]:
    """
    Totals: 1,000 tokens of prompt, of which some are read from the cache.
    """
    causes = missed or {}
    return {
        "requests": requests,
        "input_tokens": 1000 - read,
        "cache_write_5m_tokens": 0,
        "cache_write_1h_tokens": 0,
        "cache_read_tokens": read,
        "cost_nusd": nusd,
        "missed_nusd": sum(causes.values()),
        "missed": {cause: {"requests": 1, "tokens": 1234, "cost_nusd": cost} for cause, cost in causes.items()},
        "receipts": 1,
        "difference_nusd": -50_000_000,
        "last_at": "2026-11-29T09:15:32+00:00",
    }


def session(name: str, nusd: int, *, model: str = "claude-opus-5-5", **more: Any) -> dict[str, Any]:
    """
    A session.
    """
    cache = {"ttl": "1h", "warm_until": "2026-11-29T10:15:32+00:00"}
    return {"session": name, "model": model, **sums(nusd), "agents": [], "cache": cache, **more}


def budget(name: str, *, used: int = 340, left: int | None = 3_300_000_000, status: str = "ok") -> dict[str, Any]:
    """
    A budget of $5.
    """
    return {
        "name": name,
        "who": "",
        "limit_nusd": None if left is None else 5_000_000_000,
        "spent_nusd": 1_700_000_000,
        "remaining_nusd": left,
        "used_permille": None if left is None else used,
        "guard_status": status,
    }


def exchange(model: str = "claude-opus-5-5", **more: Any) -> dict[str, Any]:
    """
    An exchange that was upgraded and missed what its system prompt cost.
    """
    return {
        "started_at": "2026-11-29T09:15:32.123+00:00",
        "model": model,
        "method": "POST",
        "path": "/v1/messages",
        "status": 200,
        "outcome": "ok",
        "duration_ms": 1234.5,
        "upgraded": 2,
        "cost_nusd": 14_500_000,
        "usage": {"cache_read_tokens": 2085, "output_tokens": 24},
        "verdict": {"misses": [{"cause": "system_changed"}]},
        "receipt": {
            "requested_ttl": "1h",
            "verified": True,
            "cost_nusd": 14_500_000,
            "counterfactual_nusd": 207_500_000,
            "difference_nusd": -193_000_000,
        },
        **more,
    }


def snapshot(**more: Any) -> Snapshot:
    """
    What a proxy answers after two sessions.
    """
    exchanges = more.pop("exchanges", [exchange()])
    summary = {
        "at": "2026-11-29T09:20:00+00:00",
        "since": "2026-11-29T08:00:00+00:00",
        "in_flight": 2,
        "total": sums(1_700_000_000, requests=1_234, missed={"expired": 10_000_000, "system_changed": 430_000_000}),
        "counts": {"over_budget": 0},
        "hours": [
            {"hour": "2026-11-29T08:00:00+00:00", "cost_nusd": 1_500_000_000},
            {"hour": "2026-11-29T09:00:00+00:00", "cost_nusd": 200_000_000},
        ],
        "sessions": [
            session("11111111-2222", 1_000_000_000, agents=[{"agent": "a1", **sums(5_000_000)}]),
            session("99999999-2222", 700_000_000, model="claude-haiku-4-5", last_at="2026-11-29T09:10:00+00:00"),
        ],
        "budgets": [budget("default")],
        **more,
    }
    return Snapshot(URL, summary, exchanges)
