"""
What the mode `max_save` runs and what that saves, in a sentence and for machines.

Rule of this file: it computes no money but a share of what it is given.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from savemode_cli.core.budget.cheaper import ANY, MaxSave
from savemode_cli.core.money.amounts import amounts
from savemode_cli.views.money import amount
from savemode_cli.views.printable import printable


@dataclass(frozen=True, slots=True)
class Wish:
    """
    The model and the effort that a client would like to run, and what `max_save` would run instead.
    """

    model: str
    effort: str | None
    max_save: MaxSave
    tokens_of: str
    """Whose tokens the amounts are of: `this session`, `the last 30 days`, a file, or `a typical request`."""
    requests: int
    """How many requests those are."""


def saving_lines(wish: Wish) -> Iterator[str]:
    """
    What `max_save` saves, or why it saves nothing.
    """
    chosen = wish.max_save
    yield _sentence(wish)
    cheapest = f"{printable(chosen.cheapest)}, would cost {amount(chosen.cheapest_nusd)}"
    if chosen.why in ("cheaper", "nothing") and chosen.cheapest not in (chosen.runs, chosen.model):
        yield f"the cheapest of all, {cheapest} (--cheaper-model {ANY})"


def _sentence(wish: Wish) -> str:
    chosen = wish.max_save
    if chosen.why == "nothing":
        return f"no cheaper model may replace {printable(chosen.model)}"
    if chosen.model_nusd is None or chosen.runs_nusd is None:
        unknown = chosen.model if chosen.model_nusd is None else chosen.runs
        return f"what it saves is not known: {printable(unknown)} has no known price"
    share = _share(chosen)
    change = f"saves {share}" if chosen.runs_nusd <= chosen.model_nusd else f"costs {share} more"
    return (
        f"{change}: {amount(chosen.runs_nusd)} instead of {amount(chosen.model_nusd)} for the tokens of {_whose(wish)}"
    )


def _share(chosen: MaxSave) -> str:
    if not chosen.model_nusd or chosen.saving_nusd is None:
        return "0.0 %"
    return f"{float(abs(Fraction(chosen.saving_nusd, chosen.model_nusd))) * 100:.1f} %"


def _whose(wish: Wish) -> str:
    requests = "" if wish.requests == 1 else f", {wish.requests:,} requests"
    return f"{printable(wish.tokens_of)}{requests}"


def saving_json(wish: Wish) -> dict[str, Any]:
    """
    The same for machines.
    """
    chosen, saving_nusd = wish.max_save, wish.max_save.saving_nusd
    share = None if saving_nusd is None or not chosen.model_nusd else float(Fraction(saving_nusd, chosen.model_nusd))
    return {
        "model": chosen.model,
        "runs": chosen.runs,
        "why": chosen.why,
        "tokens_of": wish.tokens_of,
        "requests": wish.requests,
        **amounts(model=chosen.model_nusd, runs=chosen.runs_nusd, saving=saving_nusd),
        "saving_share": share,
        "cheapest_model": chosen.cheapest,
        **amounts(cheapest=chosen.cheapest_nusd),
    }
