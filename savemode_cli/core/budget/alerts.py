"""
Alerts: what a person is told who does not look at the terminal.

Rule of this file: an alert has amounts, names and times. No prompt, no key and no header is in it. Its ID is the same in every
process that sees the same thing, so that one of them can tell it.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal

from msgspec import Struct

from savemode_cli.core.budget.admission import Standing
from savemode_cli.core.budget.budget import Limit
from savemode_cli.core.budget.guard import Alarm
from savemode_cli.core.budget.report import BudgetReport
from savemode_cli.core.budget.scopes import ALL
from savemode_cli.core.money.amounts import amounts, dollars

Kind = Literal["budget", "strict", "guard", "downgrade", "ledger", "test"]
"""
Budget: a share of it is spent. Strict: a strict budget refused a request although money is left. Guard: a conversation seems to
have run away. Downgrade: the upstream billed 5-minute caching for a request of 1 hour. Ledger: it does not answer.
"""

SCHEMA_VERSION = 1
"""The version of an alert's JSON."""

_MOST_KEYS = 10_000


class Alert(Struct, frozen=True):
    """
    One thing that a person is told.
    """

    id: str
    kind: Kind
    title: str
    """A few words."""
    text: str
    """A sentence."""
    at: datetime
    facts: dict[str, Any]
    """The same for programs."""

    def to_json(self) -> dict[str, Any]:
        """
        The alert for programs.
        """
        return {
            "schema_version": SCHEMA_VERSION,
            "event": "alert",
            "id": self.id,
            "kind": self.kind,
            "title": self.title,
            "text": self.text,
            "at": self.at.isoformat(timespec="milliseconds"),
            **self.facts,
        }


class Crossings:
    """
    Finds the shares of budgets that are spent. Used by one event loop.
    """

    def __init__(self, shares: Iterable[Decimal]) -> None:
        """
        Args:
            shares: of a limit, each above 0.
        """
        self._shares = sorted(shares)
        self._next: dict[str, int] = {}

    def crossed(self, standings: Sequence[Standing], now: datetime) -> list[list[Alert]]:
        """
        For each budget that has crossed a share since the last call: the alerts of all shares that are spent, the largest
        last. Only that one needs to be told; the others are past.

        Args:
            standings: of one request, its cost included.
            now: the time.
        """
        found = []
        for standing in standings:
            limit, spent_nusd = standing.limit, standing.balance.spent_nusd
            if not limit.capped or spent_nusd < self._next.get(limit.key, 0):
                continue
            reached = [share for share in self._shares if spent_nusd >= share * limit.nusd]
            above = [int(share * limit.nusd) for share in self._shares if spent_nusd < share * limit.nusd]
            self._remember(limit.key, above[0] if above else _NEVER_NUSD)
            if reached:
                found.append([_budget_alert(standing, share, now) for share in reached])
        return found

    def _remember(self, key: str, nusd: int) -> None:
        self._next.pop(key, None)
        self._next[key] = nusd
        if len(self._next) > _MOST_KEYS:
            del self._next[next(iter(self._next))]


_NEVER_NUSD = 2**63


def guard_alert(alarm: Alarm, conversation: str, at: datetime) -> Alert:
    """
    A conversation seems to have run away. One alert an hour for each sign.

    Args:
        alarm: the sign.
        conversation: which one.
        at: when the request came.
    """
    what = "refused" if alarm.refused else "warned of"
    return Alert(
        _id("guard", alarm.sign, conversation, _hour(at)),
        "guard",
        "A conversation may have run away",
        f"The guard {what} a conversation: {alarm.words()}.",
        at,
        {"guard": alarm.to_json()},
    )


STRICT_REASONS = ("ask", "uncounted")
"""Why a strict budget refuses requests while money is left, see `admission.Reason`."""


def strict_alert(report: BudgetReport, at: datetime) -> Alert:
    """
    A strict budget refused a request although money is left, so that its spend never reaches 100 %. One alert a day for each
    budget and person.

    Args:
        report: of the refusal.
        at: when the request came.
    """
    name = _named(report.name, report.scope, report.who)
    left = "" if report.left_nusd is None else f" {dollars(report.left_nusd)} is left."
    why = "its cost is not known" if report.reason == "uncounted" else "it may cost more than is left"
    return Alert(
        _id("strict", report.name, report.scope, report.who, f"{at.astimezone(UTC):%Y-%m-%d}"),
        "strict",
        f"Budget {name}: a request was refused",
        f"The budget is strict and refused a request, because {why}.{left}",
        at,
        {
            "budget": {
                "name": report.name,
                "scope": report.scope,
                "who": report.who,
                "reason": report.reason,
                **amounts(remaining=report.left_nusd),
            }
        },
    )


def downgrade_alert(model: str, at: datetime) -> Alert:
    """
    The upstream billed 5-minute caching for 1 hour. One alert a day for each model.
    """
    return Alert(
        _id("downgrade", model, f"{at.astimezone(UTC):%Y-%m-%d}"),
        "downgrade",
        "1-hour caching was not granted",
        f"A request to {model} asked for a cache of 1 hour and was billed for 5 minutes.",
        at,
        {"model": model},
    )


def ledger_alert(ledger: str, text: str, at: datetime) -> Alert:
    """
    The ledger does not answer. One alert an hour.

    Args:
        ledger: which one, as its hash.
        text: what is wrong, and what happens to requests.
        at: when.
    """
    return Alert(_id("ledger", ledger, _hour(at)), "ledger", "The budget ledger does not answer", f"{text}.", at, {})


def sample_alert(at: datetime) -> Alert:
    """
    An alert that says nothing but that alerts arrive.
    """
    return Alert(_id("test", at.isoformat()), "test", "A test of savemode", "Alerts of savemode arrive here.", at, {})


def _budget_alert(standing: Standing, share: Decimal, now: datetime) -> Alert:
    limit, balance = standing.limit, standing.balance
    budget = limit.budget
    name = _named(budget.name, budget.scope, limit.who)
    percent = f"{balance.spent_nusd * 100 // limit.nusd} %"
    ends = budget.resets(standing.resets_at)
    return Alert(
        _id("budget", limit.key, _window(limit, now), str(limit.nusd), str(share.normalize())),
        "budget",
        f"Budget {name}: {percent} spent",
        f"{dollars(balance.spent_nusd)} of {dollars(limit.nusd)} is spent ({budget.window.words()}; {ends}).",
        now,
        {
            "budget": {
                "name": budget.name,
                "scope": budget.scope,
                "who": limit.who,
                "share": float(share),
                "refuses": budget.refuses,
                **amounts(limit=limit.nusd, spent=balance.spent_nusd),
            }
        },
    )


def _named(budget: str, scope: str, who: str) -> str:
    return budget if scope == ALL else f"{budget} ({scope} {who or 'not given'})"


def _window(limit: Limit, now: datetime) -> str:
    """
    Which window it is. A calendar window is in the key already. A rolling window has no beginning: it is taken to begin anew
    each time that its length has passed.
    """
    span = limit.budget.window.span
    return "" if span is None else str(int(now.timestamp() // span.total_seconds()))


def _hour(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H}"


def _id(*parts: str) -> str:
    digest = hashlib.sha256("\0".join(parts).encode("utf-8", "backslashreplace")).hexdigest()
    return f"alert_{digest[:24]}"


Deliver = Callable[[Alert, float], None]
"""Delivers an alert within so many seconds. Called in a thread. Raises `AlertFailed`."""


class AlertFailed(Exception):
    """
    An alert did not arrive.
    """

    def __init__(self, reason: str, *, final: bool = False) -> None:
        """
        Args:
            reason: why, for people; without an address that may hold a password.
            final: whether another try would fail too.
        """
        super().__init__(reason)
        self.reason = reason
        self.final = final
