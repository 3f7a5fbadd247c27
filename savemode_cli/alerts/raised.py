"""
The alerts of one proxy: who is told what, once.

Rule of this file: the core says what is worth an alert. Of all processes that use a ledger, the one that claims an alert in it
tells it. If the ledger does not answer, each process tells it; that the ledger does not answer is claimed on this machine.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from savemode_cli.alerts.claims import is_first
from savemode_cli.alerts.sender import Sender
from savemode_cli.core.budget.admission import Allowed, Decision
from savemode_cli.core.budget.alerts import (
    STRICT_REASONS,
    Alert,
    Crossings,
    downgrade_alert,
    guard_alert,
    ledger_alert,
    strict_alert,
)
from savemode_cli.core.errors import LedgerBusy
from savemode_cli.core.exchange.observed import Observed

_TRIES, _PAUSE_S = 20, 0.05
_MOST_REMEMBERED = 10_000


class Claims(Protocol):
    """
    What tells the processes of one ledger apart: the till.
    """

    async def claim(self, name: str, now: datetime) -> bool:
        """
        Whether this process is the first that claims this name.

        Raises:
            LedgerBusy: another process keeps the ledger locked.
        """

    def outside_loop(self, coroutine: Coroutine[Any, Any, bool]) -> bool:
        """
        The result of a call before the event loop begins, or after its end.
        """


class Alerts:
    """
    A sink that raises alerts. Used by one event loop.
    """

    name = "alerts"
    wants_content = False

    def __init__(
        self, senders: Sequence[Sender], crossings: Crossings, ledger: str = "", claims_folder: Path | None = None
    ) -> None:
        """
        Args:
            senders: one for each channel.
            crossings: the shares of budgets that are told.
            ledger: a hash of the ledger's address.
            claims_folder: where the processes of this machine claim alerts without a ledger; None: each tells.
        """
        self._claims_folder = claims_folder
        self._senders = senders
        self._crossings = crossings
        self._ledger = ledger
        self._claims: Claims | None = None
        self._known: dict[str, None] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def trouble(self) -> str:
        """
        What is wrong now: nothing that a client should hear of.
        """
        return ""

    @property
    def counters(self) -> Mapping[str, int]:
        """
        How many alerts were sent and failed, on all channels together, and how many wait.
        """
        return {
            "sent": sum(sender.sent for sender in self._senders),
            "failed": sum(sender.failed for sender in self._senders),
            "waiting": sum(sender.waiting for sender in self._senders),
        }

    def claim_with(self, claims: Claims) -> None:
        """
        From now on, tell only what this process is the first to claim.
        """
        self._claims = claims

    def listening(self, announce: Callable[[str, str], None]) -> Callable[[str, str], None]:
        """
        An announcer that also raises an alert when the ledger does not answer.
        """

        def heard(event: str, text: str) -> None:
            announce(event, text)
            if event == "ledger_unavailable":
                self._raise_here(ledger_alert(self._ledger, text, datetime.now(UTC)))

        return heard

    def settled(self, decision: Decision, now: datetime) -> None:
        """
        A request is charged; the decision has its budgets as they stand with its cost.
        """
        if isinstance(decision, Allowed) and decision.standings:
            for alerts in self._crossings.crossed(decision.standings, now):
                self._raise(alerts)

    def keep(self, observed: Observed) -> None:
        """
        Raise what one exchange is worth.
        """
        exchange, caller = observed.exchange, observed.caller
        bill = exchange.bill
        if bill.alarm is not None:
            conversation = (None if caller is None else caller.session_id) or exchange.call.session or ""
            self._raise([guard_alert(bill.alarm, conversation, exchange.started_at)])
        if bill.budget is not None and bill.budget.reason in STRICT_REASONS:
            self._raise([strict_alert(bill.budget, exchange.started_at)])
        if bill.receipt is not None and bill.receipt.verified is False and exchange.upgrade.upgraded:
            self._raise([downgrade_alert(exchange.call.model or "this model", exchange.started_at)])

    def close(self) -> None:
        """
        Send what waits, within a bound. Harmless when repeated.
        """
        for sender in self._senders:
            sender.close()

    def _raise_here(self, alert: Alert) -> None:
        """
        Tell an alert that cannot be claimed in the ledger: once over all processes of this machine.
        """
        folder = self._claims_folder
        if self._new([alert]) and (folder is None or is_first(folder, alert.id)):
            self._send(alert)

    def _new(self, alerts: Sequence[Alert]) -> list[Alert]:
        """
        Those that this process does not know, which it knows from now on.
        """
        new = [alert for alert in alerts if alert.id not in self._known]
        for alert in new:
            self._known[alert.id] = None
            if len(self._known) > _MOST_REMEMBERED:
                del self._known[next(iter(self._known))]
        return new

    def _raise(self, alerts: Sequence[Alert]) -> None:
        """
        Tell the last of these alerts; those before it are past, and are not told later.
        """
        new = self._new(alerts)
        if not new or new[-1] is not alerts[-1]:
            return
        if self._claims is None:
            self._send(alerts[-1])
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            if self._claims.outside_loop(self._is_first(new, self._claims)):
                self._send(alerts[-1])
            return
        task = loop.create_task(self._claim(new, self._claims))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _claim(self, alerts: Sequence[Alert], claims: Claims) -> None:
        first = True
        try:
            for _ in range(_TRIES):
                try:
                    first = await self._is_first(alerts, claims)
                    break
                except LedgerBusy:
                    await asyncio.sleep(_PAUSE_S)
        finally:
            # Also where the loop ends meanwhile: an alert too many is better than none.
            if first:
                self._send(alerts[-1])

    async def _is_first(self, alerts: Sequence[Alert], claims: Claims) -> bool:
        return [await claims.claim(alert.id, alert.at) for alert in alerts][-1]

    def _send(self, alert: Alert) -> None:
        for sender in self._senders:
            sender.send(alert)
