"""
The output of `savemode simulate-budget` for machines: JSON, and rows of CSV.

Rule of this file: it computes no figure of the simulation. `simulation` prints the same facts for people.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from savemode_cli.core.budget.admission import Refused
from savemode_cli.core.budget.budget import Budget
from savemode_cli.core.budget.crowd import ADMISSION_RULES, AdmissionRule, CrowdRun
from savemode_cli.core.budget.overview import permille, stamp, terms_json
from savemode_cli.core.budget.refusal import refusal
from savemode_cli.core.budget.scales import Resolved
from savemode_cli.core.budget.simulation import RequestTally, Trial, WindowRun, boundaries
from savemode_cli.core.exchange.exchange import SCHEMA_VERSION
from savemode_cli.core.money.amounts import amounts
from savemode_cli.views.max_save import Wish, saving_json

REQUEST_ID = "req_simulated"
"""The ID of the request in a simulated refusal."""


@dataclass(frozen=True, slots=True)
class SimulatedTrace:
    """
    The result of a trace that was simulated.
    """

    name: str
    """The file name of the trace, or `stdin`."""
    budget: Budget
    windows: Sequence[WindowRun]
    late: int
    """How many requests were out of order."""
    malformed: int
    """How many lines were left out because they are not requests."""
    problems: Sequence[tuple[int, str]]
    """The first of these lines: the line number and the problem."""
    crowd_size: int | None = None
    """How many requests were in flight at once in `crowds`. None: this was not simulated."""
    crowds: Sequence[tuple[AdmissionRule, Sequence[CrowdRun]]] = ()
    """For each rule of holds, the run of each window."""
    wish: Wish | None = None
    """The model that the client asks for. None if the trace has no token counts."""

    @property
    def refused(self) -> int:
        """
        The number of requests that were refused.
        """
        return sum(window.refused_in_all.count for window in self.windows)


def trial_json(result: Trial, wish: Wish) -> dict[str, Any]:
    """
    The result for one spend, as JSON.
    """
    balance = None if result.standing is None else result.standing.balance
    advice, resolved = result.advice, resolved_for(result, wish)
    return {
        **amounts(spend=None if balance is None else balance.spent_nusd),
        **amounts(held=None if balance is None else balance.held_nusd),
        "used_permille": None if balance is None else permille(balance.used_nusd, result.limit.nusd),
        "guard": {"allow": result.allowed, "status": result.status, **amounts(remaining=result.remaining_nusd)},
        "client": None
        if advice is None
        else {"state": advice.state, "recommended_mode": advice.recommended_mode, "block": advice.block},
        "mode": None
        if resolved is None
        else {
            "model": wish.model,
            "effort": wish.effort,
            "effective_model": resolved.model,
            "effective_effort": resolved.effort,
            "save_mode_active": resolved.active,
        },
        "headers": _decoded(result.decision.headers()),
        "refusal": _refusal_json(result),
    }


def resolved_for(result: Trial, wish: Wish) -> Resolved | None:
    """
    What the advised mode would run for the model that the client requests; None without advice.
    """
    return result.resolved(wish.model, wish.effort, wish.max_save.runs)


def _refusal_json(result: Trial) -> dict[str, Any] | None:
    if not isinstance(result.decision, Refused):
        return None
    status, headers, body = refusal(result.decision, REQUEST_ID)
    return {
        "reason": result.decision.reason,
        "permanent": result.decision.permanent,
        "status": status,
        "headers": _decoded(headers),
        "body": json.loads(body),
    }


def _decoded(headers: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in headers}


def report_json(kind: str, budget: Budget, **more: Any) -> dict[str, Any]:
    """
    The fields that every JSON report of this command has.
    """
    tiers = [
        {"scale": tier.scale, "tier": tier.name, "share": str(tier.share), **amounts(**{"from": tier.from_nusd})}
        for tier in boundaries(budget)
    ]
    return {"schema_version": SCHEMA_VERSION, "kind": kind, "budget": terms_json(budget), "boundaries": tiers, **more}


def trial_row(result: Trial, wish: Wish) -> dict[str, Any]:
    """
    The result for one spend, as a row of CSV.
    """
    seen = trial_json(result, wish)
    guard, client, mode = seen["guard"], seen["client"] or {}, seen["mode"] or {}
    return {
        **{name: seen[name] for name in ("spend_nusd", "spend_usd", "held_nusd", "held_usd", "used_permille")},
        "allow": guard["allow"],
        "guard_status": guard["status"],
        "remaining_nusd": guard["remaining_nusd"],
        "remaining_usd": guard["remaining_usd"],
        "client_state": client.get("state"),
        "recommended_mode": client.get("recommended_mode"),
        "effective_model": mode.get("effective_model"),
        "effective_effort": mode.get("effective_effort"),
    }


def simulated_trace_json(simulated: SimulatedTrace) -> dict[str, Any]:
    """
    The result of a trace, as JSON.
    """
    return report_json(
        "trace",
        simulated.budget,
        trace=simulated.name,
        malformed_lines=simulated.malformed,
        malformed=[{"line": line, "problem": problem} for line, problem in simulated.problems],
        out_of_order=simulated.late,
        would_refuse=simulated.refused > 0,
        windows=[_window_json(simulated, number, window) for number, window in enumerate(simulated.windows)],
        concurrency=simulated.crowd_size,
        rules={} if simulated.crowd_size is None else dict(ADMISSION_RULES),
        max_save=None if simulated.wish is None else saving_json(simulated.wish),
    )


def _window_json(simulated: SimulatedTrace, number: int, window: WindowRun) -> dict[str, Any]:
    refused = window.refused_in_all
    return {
        "starts_at": stamp(window.starts_at),
        "resets_at": stamp(window.ends_at),
        "requests": window.offered.count,
        **amounts(offered=window.offered.nusd),
        "ran": window.ran.count,
        **amounts(ran=window.ran.nusd, over=window.over_nusd),
        "refused": refused.count,
        **amounts(refused=refused.nusd),
        "refused_by_reason": {reason: _tally_json(tally) for reason, tally in window.refused.items()},
        "first_refused_at": None if window.first_refused_at is None else stamp(window.first_refused_at),
        "began": [
            {"scale": scale, "tier": name, "at": stamp(moment)} for (scale, name), moment in window.began.items()
        ],
        "curve_nusd": list(window.curve_nusd),
        "offered_curve_nusd": list(window.offered_curve_nusd),
        "crowds": {
            rule: {
                "ran": runs[number].ran.count,
                **amounts(ran=runs[number].ran.nusd, over=runs[number].over_nusd),
                "refused": runs[number].refused.count,
                **amounts(refused=runs[number].refused.nusd),
            }
            for rule, runs in simulated.crowds
        },
    }


def _tally_json(tally: RequestTally) -> dict[str, Any]:
    return {"count": tally.count, **amounts(total=tally.nusd)}


def window_row(simulated: SimulatedTrace, number: int) -> dict[str, Any]:
    """
    One window, as a row of CSV.
    """
    window = _window_json(simulated, number, simulated.windows[number])
    plain = {name: value for name, value in window.items() if not isinstance(value, dict | list)}
    began = {(tier.scale, tier.name): None for tier in boundaries(simulated.budget)} | simulated.windows[number].began
    times = {f"{scale}_{name}_at": None if moment is None else stamp(moment) for (scale, name), moment in began.items()}
    crowds = {f"{rule}_over_{unit}": value for rule, crowd in window["crowds"].items() for unit, value in _over(crowd)}
    return plain | times | crowds


def _over(crowd: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    yield "nusd", crowd["over_nusd"]
    yield "usd", crowd["over_usd"]
