"""
How a capture of an older schema is converted to the next schema.

Rule of this file: a released conversion is never edited. It reads plain data and checks nothing; the result is checked
when it is read.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from savemode_cli.core.money.amounts import parse_usd

Data = dict[str, Any]
Converter = Callable[[Data], Data]

_CALL = ("method", "path", "product", "model", "stream", "request_bytes", "session", "trace_id")
_UPGRADE = ("gate", "edits", "skips", "observed", "resent", "edits_left_out", "skips_left_out")
_BILL = ("settlement", "receipt", "price_state", "cost")
_ANSWER = (
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
)
_TOKENS = {
    "input_tokens": "input",
    "cache_write_5m_tokens": "write_5m",
    "cache_write_1h_tokens": "write_1h",
    "cache_read_tokens": "read",
    "output_tokens": "output",
}


def in_parts(record: Data) -> Data:
    """
    Convert schema 1 to schema 2: the fields of the exchange in four parts, counters as one vector, budgets as values.
    """
    upgrade = _picked(record, _UPGRADE)
    if record.get("edits_left_out"):
        upgrade["upgraded_left_out"] = record["edits_left_out"]  # there was one rule
    bill = _picked(record, _BILL)
    if record.get("usage") is not None:
        bill["usage"] = _usage(record["usage"])
    for name in ("budget", "budget_after"):
        if record.get(name) is not None:
            bill[name] = _budget(record[name])
    exchange = {
        **_picked(record, ("id", "started_at")),
        "call": _picked(record, _CALL),
        "upgrade": upgrade,
        "bill": bill,
        "answer": _picked(record, _ANSWER),
    }
    return {
        "schema": 2,
        "exchange": exchange,
        **_picked(record, ("ended_at", "upstream", "request_headers", "response_headers")),
    }


CONVERTERS: Mapping[int, Converter] = {1: in_parts}
"""By the schema that each reads. It returns the next schema."""


def _picked(record: Data, names: Iterable[str]) -> Data:
    return {name: record[name] for name in names if name in record}


def _usage(usage: Data) -> Data:
    tokens = {new: usage[old] for old, new in _TOKENS.items() if old in usage}
    others = {name: value for name, value in usage.items() if name not in _TOKENS and name != "extra"}
    extra = [{**one, "usage": _usage(one["usage"])} for one in usage.get("extra", ())]
    return {"tokens": tokens, **others, "extra": extra}


def _budget(budget: Data) -> Data:
    """
    The values of a budget that was written for machines. An amount had two decimals, rounded down.
    """
    found = _picked(budget, ("allowed", "status", "state", "recommended_mode", "resets_at"))
    left_nusd = parse_usd(budget.get("remaining_usd"))
    if left_nusd is not None:
        found["left_nusd"] = left_nusd
    return found | {"override_ignored": budget.get("override") == "ignored"}
