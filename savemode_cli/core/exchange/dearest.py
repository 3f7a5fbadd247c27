"""
The most expensive cache misses of the last week, each with the place at which the prompts differ.

Rule of this file: it has paths and sizes and no text of a prompt. Its size is bounded: a fixed number of misses for each
day of a week.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from savemode_cli.core.diagnosis.causes import Verdict
from savemode_cli.core.exchange.exchange import Exchange
from savemode_cli.core.money.amounts import amounts

MOST_SHOWN = 20
"""How many misses there are at most."""

_WEEK = timedelta(days=7)
_DAYS = 8
"""The calendar days (UTC) that a week touches."""


@dataclass(frozen=True, slots=True)
class DearMiss:
    """
    A request that missed something, and what it was compared with.
    """

    id: str
    """The ID of the request; `savemode why ID` shows it with its text if requests are captured."""
    at: datetime
    """When it was sent, in UTC."""
    session: str | None
    agent: str
    """The ID of the sub-agent; "" for the main conversation."""
    model: str | None
    request_nusd: int
    """What the whole request cost, in nano-dollars."""
    verdict: Verdict

    def to_json(self) -> dict[str, Any]:
        """
        The miss for machines. `compared_with` is the ID of the earlier request.
        """
        return {
            "id": self.id,
            "at": self.at.isoformat(timespec="milliseconds"),
            "session": self.session,
            "agent": self.agent or None,
            "model": self.model,
            **amounts(request_cost=self.request_nusd),
            **self.verdict.to_json(),
        }


def dear_miss(exchange: Exchange, *, session: str | None, agent: str) -> DearMiss | None:
    """
    The miss of an exchange; None if it missed nothing.

    Args:
        exchange: the exchange.
        session: the name of its session.
        agent: the ID of the sub-agent; "" for the main conversation.
    """
    bill = exchange.bill
    if bill.verdict is None or not bill.verdict.misses:
        return None
    model = exchange.answer.answered_by or exchange.call.model
    return DearMiss(exchange.id, exchange.started_at, session, agent, model, bill.cost_nusd or 0, bill.verdict)


class DearestMisses:
    """
    The most expensive misses of each of the last days.
    """

    def __init__(self) -> None:
        """
        Start without misses.
        """
        self._days: dict[date, list[DearMiss]] = {}

    def add(self, miss: DearMiss) -> None:
        """
        Keep a miss if it is one of the most expensive ones of its day.
        """
        day = self._days.setdefault(miss.at.date(), [])
        if len(day) >= MOST_SHOWN and miss.verdict.cost_nusd <= day[-1].verdict.cost_nusd:
            return
        day.append(miss)
        day.sort(key=_dearest_first)
        del day[MOST_SHOWN:]
        for old in sorted(self._days)[:-_DAYS]:
            del self._days[old]

    def of_week(self, now: datetime) -> list[DearMiss]:
        """
        The most expensive misses of the seven days before a time, the most expensive first.
        """
        found = [miss for day in self._days.values() for miss in day if miss.at > now - _WEEK]
        return sorted(found, key=_dearest_first)[:MOST_SHOWN]


def _dearest_first(miss: DearMiss) -> tuple[int, datetime]:
    return -miss.verdict.cost_nusd, miss.at
