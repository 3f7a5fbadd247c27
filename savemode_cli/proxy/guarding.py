"""
The guard of a proxy: the signs of a run out of control in a request, and whether a user has allowed it.

Rule of this file: the core makes the decisions. The ledger is only asked about a request that shows a sign, which is
rare.
"""

from collections.abc import Callable
from datetime import datetime

from savemode_cli.core.budget.admission import Refused, refused_by_guard
from savemode_cli.core.budget.choices import GUARD, GuardLimits
from savemode_cli.core.budget.guard import Guard
from savemode_cli.proxy.call import CallInProgress
from savemode_cli.proxy.reservation import BillInProgress
from savemode_cli.proxy.till import Till


class Guarding:
    """
    Judges the model calls of one proxy before money is reserved for them.
    """

    def __init__(self, limits: GuardLimits, till: Till, announce: Callable[[str, str], None]) -> None:
        """
        Args:
            limits: from which value on a sign counts, and what happens then.
            till: has the permissions of `savemode budget allow`.
            announce: receives an event and a text for each warning.
        """
        self._guard = Guard(limits)
        self._till = till
        self._announce = announce

    async def judge(self, call: CallInProgress, bill: BillInProgress) -> Refused | None:
        """
        Judge a model call. If it shows a sign and may start, `bill.alarm` says so.

        A request with the override header, or during `savemode budget allow`, may start, and its sign is accepted from
        then on.

        Returns:
            The refusal; None if the request may start.
        """
        guard, now, caller = self._guard, call.started_at, call.caller
        conversation = call.conversation
        agent, last = caller.agent_id or "", call.facts.last_call
        alarm = guard.judge(conversation, agent, last.count, last.tool, now)
        if alarm is not None:
            if caller.override or await self._till.is_lifted(GUARD, now):
                guard.accept(conversation, alarm, now)
            elif alarm.refused:
                bill.alarm = alarm
                return refused_by_guard(alarm)
            else:
                guard.accept(conversation, alarm, now)
                bill.alarm = alarm
                self._announce("guard", f"a conversation may have run away: {alarm.words()}")
        guard.begin(call.id, conversation, agent, now)
        return None

    def end(self, call_id: str, nusd: int, now: datetime) -> None:
        """
        A request was charged.
        """
        self._guard.end(call_id, nusd, now)
