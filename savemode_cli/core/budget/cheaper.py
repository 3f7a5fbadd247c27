"""
Which model the mode `max_save` runs, and how much that saves.

Rule of this file: a model is chosen by what it costs for recorded tokens. The name of a model only decides which models
may replace it, because a price list does not say what a model can do.

An Opus, a Fable and a Mythos may be replaced by a Sonnet, as in PostHog/code#2888; a Sonnet by a cheaper Sonnet, and a
Haiku by a cheaper Haiku. A model of none of these families, which a price file may contain, may replace each of them.
`any` allows all families. A model of an older generation never replaces another one, because the list has prices of
models that are no longer served.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from savemode_cli.core.money.mix import TokenMix
from savemode_cli.core.money.pricing import PriceTable
from savemode_cli.core.money.rates import Price

AUTO, ANY = "auto", "any"
"""Values that a user can give instead of a model: choose among the models that may replace it, or among all."""

_FAMILY = re.compile(r"(?:^|[^a-z])(opus|fable|mythos|sonnet|haiku)(?:[^a-z]|$)")
_NUMBER = re.compile(r"claude-(?:[a-z]+-)?(\d{1,3})(?:-|$)")
_STEPS_DOWN_TO = {"opus": "sonnet", "fable": "sonnet", "mythos": "sonnet", "sonnet": "sonnet", "haiku": "haiku"}

StandInReason = Literal["cheaper", "asked", "nothing", "unpriced"]
"""
Why this model is chosen. `cheaper`: it is the cheapest that may replace the model. `asked`: the user named it, and it
may cost more. `nothing`: no model that may replace it is cheaper. `unpriced`: the model has no known price, so nothing
can be compared.
"""


@dataclass(frozen=True, slots=True)
class MaxSave:
    """
    What `max_save` runs instead of a model. Amounts are nano-dollars for the same tokens, None where unknown.
    """

    model: str
    """The model that the client requests."""
    runs: str
    """The model that `max_save` runs; the same model if there is no cheaper one."""
    why: StandInReason
    model_nusd: int | None
    runs_nusd: int | None
    cheapest: str
    """The cheapest model of any family that is not of an older generation, whether it may replace the model or not."""
    cheapest_nusd: int

    @property
    def saving_nusd(self) -> int | None:
        """
        How much it saves; negative if the user named a model that costs more.
        """
        if self.model_nusd is None or self.runs_nusd is None:
            return None
        return self.model_nusd - self.runs_nusd


def max_save(model: str, mix: TokenMix, prices: PriceTable, now: datetime, *, instead: str = AUTO) -> MaxSave:
    """
    Choose the model to run instead of another one, at the prices that apply now.

    Args:
        model: the model that the client requests.
        mix: the tokens that it would use.
        prices: the price list.
        now: the time whose prices apply.
        instead: `auto`, `any`, or the model to run.
    """
    rows = _not_older(prices.current(now), model)
    own = prices.find(model, now)
    model_nusd = None if own.state == "unpriced" else mix.cost_nusd(own.price)
    costs = {row.model: mix.cost_nusd(row) for row in rows}
    cheapest = min(rows, key=lambda row: _rank(row, costs[row.model])).model
    why: StandInReason = "unpriced"
    runs, runs_nusd = model, model_nusd
    if instead not in (AUTO, ANY):
        named = prices.find(instead, now)
        runs, why, runs_nusd = instead, "asked", None if named.state == "unpriced" else mix.cost_nusd(named.price)
    elif model_nusd is not None:
        may = [row for row in rows if instead == ANY or _may_stand_in(row.model, model)]
        best = min(may, key=lambda row: _rank(row, costs[row.model]), default=None)
        why = "nothing"
        if best is not None and costs[best.model] < model_nusd:
            runs, why, runs_nusd = best.model, "cheaper", costs[best.model]
    return MaxSave(model, runs, why, model_nusd, runs_nusd, cheapest, costs[cheapest])


def _not_older(rows: Sequence[Price], model: str) -> list[Price]:
    """
    The rows of the model's generation and of newer ones. For a model without a number in its ID, the newest generation.
    """
    newest = max((_generation(row.model) or 0 for row in rows), default=0)
    least = _generation(model) or newest
    return [row for row in rows if (_generation(row.model) or newest) >= least] or list(rows)


def _generation(model: str) -> int | None:
    """
    The generation in a model ID: 4 for claude-opus-4-8, 3 for claude-3-5-haiku.
    """
    found = _NUMBER.search(model)
    return None if found is None else int(found[1])


def _rank(row: Price, nusd: int) -> tuple[int, int, str]:
    """
    Sorts by cost, the lowest first; of equal ones, the one with the newest price is first.
    """
    return nusd, -row.effective.toordinal(), row.model


def _may_stand_in(candidate: str, model: str) -> bool:
    family = _family(candidate)
    return family is None or family == _STEPS_DOWN_TO.get(_family(model) or "")


def _family(model: str) -> str | None:
    found = _FAMILY.search(model)
    return None if found is None else found[1]
