"""
The forecasts of the budgets that everybody shares, for the pages of a running proxy.

Rule of this file: no request waits for a forecast. Charges are read and forecasts are made in a thread, at most once a
minute, and only while somebody asks for them.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from savemode_cli.core.budget.admission import Standing
from savemode_cli.core.budget.forecast import Forecast, forecast_of
from savemode_cli.core.budget.ledger import Charge
from savemode_cli.core.errors import SavemodeError

_FRESH = timedelta(minutes=1)
_PERIOD = timedelta(days=62)
"""More than the days at which a forecast looks."""
_SLOT_MINUTES = 15
"""Charges are added up by quarters of an hour, in which the days of every time zone begin."""


class Forecasts:
    """
    The last forecasts, by the key of the budget.
    """

    def __init__(self, read: Callable[[datetime], Iterable[Charge]]) -> None:
        """
        Args:
            read: reads the charges of the ledger since a time. It is called in a thread.
        """
        self._read = read
        self._slots: dict[datetime, int] = {}
        self._read_until: datetime | None = None
        self._seen: set[str] = set()
        self._made_at: datetime | None = None
        self._made: Mapping[str, Forecast] = {}
        self._task: asyncio.Task[None] | None = None

    def of(self, standings: Sequence[Standing], now: datetime) -> Mapping[str, Forecast]:
        """
        The last forecasts; none at first, and for a budget of which too little is known. If they are older than a minute,
        new ones are begun.

        Args:
            standings: the budgets that everybody shares.
            now: the time of the proxy.
        """
        is_old = self._made_at is None or not self._made_at <= now < self._made_at + _FRESH
        if is_old and self._task is None and standings:
            self._task = asyncio.get_running_loop().create_task(self._renew(tuple(standings), now))
        return self._made

    async def _renew(self, standings: Sequence[Standing], now: datetime) -> None:
        try:
            with suppress(SavemodeError):  # the ledger does not answer now
                self._made = await asyncio.to_thread(self._forecast, standings, now)
        finally:
            self._made_at, self._task = now, None

    def _forecast(self, standings: Sequence[Standing], now: datetime) -> Mapping[str, Forecast]:
        self._add_charges(now)
        charges = list(self._slots.items())
        made: dict[str, Forecast] = {}
        for standing in standings:
            if not standing.limit.capped:
                continue
            try:
                made[standing.limit.key] = forecast_of(standing.limit, charges, standing.balance.spent_nusd, now)
            except SavemodeError:
                continue  # too few days of spend, or a window of hours
        return made

    def _add_charges(self, now: datetime) -> None:
        """
        Add the charges since the last time. They are read from a minute before it, because another process may have
        written one late.
        """
        since = now - _PERIOD if self._read_until is None else self._read_until - _FRESH
        seen: set[str] = set()
        for charge in self._read(since):
            seen.add(charge.hold_id)
            if charge.nusd and charge.hold_id not in self._seen:
                at = charge.settled_at
                slot = at.replace(minute=at.minute - at.minute % _SLOT_MINUTES, second=0, microsecond=0)
                self._slots[slot] = self._slots.get(slot, 0) + charge.nusd
        self._seen, self._read_until = seen, now
        for slot in [slot for slot in self._slots if slot < now - _PERIOD]:
            del self._slots[slot]
