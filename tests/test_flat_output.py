"""
The flat forms of an exchange, pinned: its JSON, its event, its row among the captures, its HAR entry, the summary.

What other programs read must not change because the program keeps it in another shape. `python -m tests.test_flat_output`
writes the pinned file anew, for a change that is meant.
"""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from savemode_cli.captures.har import entry
from savemode_cli.core.budget.charge import Settlement
from savemode_cli.core.exchange.summary import Summary
from savemode_cli.core.money.pricing import Cost
from savemode_cli.core.upgrade.receipt import Receipt
from savemode_cli.telemetry.event import Origin, ai_generation
from savemode_cli.views.captures import row_json
from tests.builders import (
    CLOSED,
    a_capture_of,
    a_refusal,
    a_skip,
    a_standing,
    a_usage,
    an_allowance,
    an_edit,
    an_exchange,
    an_observed,
)

PINNED = Path(__file__).parent / "cases" / "flat_output.json"
ORIGIN = Origin("https://api.example/", "1.2.3", None, "project", 7)

EXCHANGES: dict[str, dict[str, Any]] = {
    "plain": {},
    "everything": {
        "edits": (an_edit(), an_edit(before="5m", at=90, path=("messages", 3, "content", 1, "cache_control", "ttl"))),
        "skips": (a_skip(), a_skip(path=(), code="oauth", why="because")),
        "usage": a_usage(1, 2, 3, 4, 5, web_searches=6, service_tier="standard"),
        "settlement": Settlement(1_000_000_001, "estimated", "the answer ended before its usage was final"),
        "receipt": Receipt("1h", "mixed", verified=True, cost_nusd=10, counterfactual_nusd=12, basis="reported"),
        "price_state": "fallback",
        "cost": Cost(1_000_000_000, 1),
        "decision": an_allowance(a_standing(used_nusd=1_504_000_000)),
        "decision_after": an_allowance(a_standing(used_nusd=9_000_000_000)),
        "stream": True,
        "stop_reason": "end_turn",
        "first_token_ms": 15.67891,
        "answered_by": "claude-haiku-4-5",
    },
    "refused": {
        "gate": CLOSED,
        "decision": a_refusal(),
        "decision_after": a_refusal(),
        "settlement": Settlement(0, "none"),
        "outcome": "refused",
        "status": 429,
        "error": "budget: spent",
    },
    "observed": {"edits": (an_edit(),), "observed": True, "trace_id": None, "session": None},
    "resent": {"edits": (an_edit(),), "resent": True, "outcome": "upstream_error", "status": 400},
    "gone": {
        "method": "GET",
        "path": "/v1/models",
        "product": "",
        "model": None,
        "status": None,
        "first_byte_ms": None,
        "outcome": "client_gone",
        "upstream_request_id": None,
        "edits_left_out": 3,
        "skips_left_out": 4,
    },
    "downgraded": {
        "edits": (an_edit(),),
        "receipt": Receipt("1h", "5m", verified=False, cost_nusd=10, why="silent downgrade"),
        "settlement": Settlement(2_000, "held", "it was sent, and no answer reported its usage"),
        "price_state": "unpriced",
        "usage": a_usage(0, 10, 0, 0, 5),
    },
}


def forms(name: str) -> dict[str, Any]:
    """
    Every form of one of the exchanges. What stands in its JSON already is left out of the larger forms.
    """
    observed = an_observed(**EXCHANGES[name], ended_at=an_exchange().started_at + timedelta(seconds=9))
    capture = a_capture_of(observed, "https://api.example")
    flat, archived = observed.exchange.to_json(), entry(capture)
    for larger in (row := row_json(3, capture), kept := archived.pop("_savemode")):
        assert {name: larger.pop(name) for name in flat if not name.startswith("budget")} == {
            name: value for name, value in flat.items() if not name.startswith("budget")
        }
    kept.pop("capture")
    return {
        "json": flat,
        "event": ai_generation(observed, ORIGIN),
        "row": row,
        "har": archived,
        "har _savemode": kept,
    }


def everything() -> dict[str, dict[str, Any]]:
    """
    What is pinned.
    """
    total = Summary()
    for differences in EXCHANGES.values():
        total = total.add(an_observed(**differences).exchange)
    return {**{name: forms(name) for name in EXCHANGES}, "all": {"summary": total.to_json()}}


@pytest.mark.parametrize("name", [*EXCHANGES, "all"])
def test_output_is_as_it_was(name: str) -> None:
    """
    The same keys in the same order, and the same values.
    """
    pinned, shown = json.loads(PINNED.read_text())[name], everything()[name]

    assert shown == pinned
    assert json.dumps(shown) == json.dumps(pinned)  # in the same order


def main() -> None:
    """
    Pin what is written now, one form a line.
    """
    blocks = [
        f"{json.dumps(name)}: {{\n"
        + ",\n".join(f"{json.dumps(form)}: {json.dumps(value)}" for form, value in found.items())
        for name, found in everything().items()
    ]
    PINNED.write_text("{\n" + "\n},\n".join(blocks) + "\n}\n}\n")


if __name__ == "__main__":
    main()
