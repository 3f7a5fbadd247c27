"""
Whether a request may start, by its budgets and by the guard, and the answer to one that may not.

Rule of this file: the core and the ledger make the decisions. A model call reserves its cost; every other request only
gets the state of the budgets.
"""

from collections.abc import Callable

from savemode_cli.core.budget.admission import Refused, decide_uncounted
from savemode_cli.core.budget.refusal import refusal, refused_status
from savemode_cli.core.wire.messages import BATCHES_PATH
from savemode_cli.core.wire.route import Route, may_cost
from savemode_cli.proxy.answer import AnswerInProgress, Outbound, once
from savemode_cli.proxy.call import CallInProgress
from savemode_cli.proxy.guarding import Guarding
from savemode_cli.proxy.relay_settings import RelaySettings
from savemode_cli.proxy.reservation import BillInProgress
from savemode_cli.proxy.till import Till
from savemode_cli.serving.headers import header_value

_MOST_SHOWN = 100  # how many characters of a path a refusal shows


class Spending:
    """
    Checks the requests of one proxy before they are sent.
    """

    def __init__(self, settings: RelaySettings, till: Till, announce: Callable[[str, str], None]) -> None:
        """
        Args:
            settings: the settings of the relay.
            till: reserves money for requests.
            announce: receives an event and a text for the user.
        """
        self.guarding = Guarding(settings.guard, till, announce)
        self._settings = settings
        self._till = till

    async def check(self, call: CallInProgress, bill: BillInProgress, route: Route, *, alone: bool) -> None:
        """
        Reserve the cost of a model call. A free request only gets the state of the budgets. A batch, whose bill comes
        with its results, may start if money is left.

        Args:
            call: the request.
            bill: gets the decision, the reservation, and the headers of the answer.
            route: what the path of the request asks for.
            alone: whether no other request is running.
        """
        inbound = call.inbound
        if route.kind == "messages" and inbound.method == "POST":
            refused = None if inbound.keep_warm else await self.guarding.judge(call, bill)
            if refused is not None:
                bill.decision, bill.headers = refused, refused.headers()
                return
            bill.reservation = await self._till.open(call, alone=alone)
            bill.decision = bill.reservation.decision
            decision = bill.decision
            bill.headers = decision.headers() if isinstance(decision, Refused) else bill.reservation.report.headers()
            if bill.alarm is not None:
                bill.headers += bill.alarm.headers()
            return
        standing = await self._till.look(call.caller, inbound.headers, call.started_at)
        starts_batch = inbound.method == "POST" and route.path == BATCHES_PATH
        uncounted = starts_batch or may_cost(inbound.method, route.path)
        refusable = uncounted and not self._settings.allow_uncounted
        if refusable:
            standing = decide_uncounted(standing)
        bill.headers = standing.headers()
        if refusable or not isinstance(standing, Refused):
            bill.decision = standing

    def refuse(
        self, call: CallInProgress, bill: BillInProgress, decision: Refused, answer: AnswerInProgress
    ) -> Outbound:
        """
        The answer to a request that may not start.
        """
        settings, inbound = self._settings, call.inbound
        user_agent = header_value(inbound.headers, b"user-agent").decode("latin-1")
        permanent = refused_status(settings.refusal, user_agent, settings.refusal_statuses)
        asked = f"{inbound.method} {inbound.path[:_MOST_SHOWN]}" if bill.reservation is None else ""
        status, headers, body = refusal(decision, call.id, settings.ledger_options, asked, permanent_status=permanent)
        answer.outcome, answer.status = "refused", status
        answer.error = "guard" if decision.alarm is not None else f"budget: {decision.reason}"
        return Outbound(status, [*headers, (b"content-length", b"%d" % len(body))], once(body))
