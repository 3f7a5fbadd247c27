"""
What a person chooses between for a budget, and for the guard.

Rule of this file: it lists the words, and decides nothing.
"""

from dataclasses import dataclass
from typing import Literal, get_args

Fail = Literal["open", "closed"]
"""What happens to requests while the ledger cannot be used: they pass, or they are refused."""

FAILS: tuple[Fail, ...] = get_args(Fail)

Unknown = Literal["share", "refuse"]
"""What happens to requests that do not say who they are: they share one budget, or they are refused."""

UNKNOWNS: tuple[Unknown, ...] = get_args(Unknown)

Action = Literal["refuse", "warn"]
"""What happens to requests past a cap: they are refused, or they start and the answer says so."""

ACTIONS: tuple[Action, ...] = get_args(Action)

RefusalChoice = Literal["auto", "429", "402"]
"""The status of a permanent refusal; see `savemode_cli.core.budget.refusal.refused_status`."""

REFUSAL_CHOICES: tuple[RefusalChoice, ...] = get_args(RefusalChoice)

GUARD = "guard"
"""What `savemode budget allow` calls the guard."""

GuardAction = Literal["warn", "refuse", "off"]
"""What happens when a conversation seems to have run away: it is warned of, it is refused, or nobody looks."""

GUARD_ACTIONS: tuple[GuardAction, ...] = get_args(GuardAction)


@dataclass(frozen=True, slots=True)
class GuardLimits:
    """
    From where on a sign of the guard counts, see `savemode_cli.core.budget.guard`. 0 switches a sign off.
    """

    action: GuardAction = "off"
    identical_calls: int = 0
    nusd_per_minute: int = 0
    agents: int = 0


NO_GUARD = GuardLimits()
