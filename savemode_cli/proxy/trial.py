"""
The sink that records what the sessions of a trial cost.

Rule of this file: it makes no decisions.
"""

from collections.abc import Callable, Mapping

from savemode_cli.core.exchange.observed import Observed
from savemode_cli.core.exchange.totals import beside
from savemode_cli.core.exchange.trial import TrialRequest
from savemode_cli.proxy.saver import Saver
from savemode_cli.proxy.trial_file import TrialFile


class TrialSink:
    """
    Records the bill of each request whose session is in a trial.
    """

    name = "trial"
    wants_content = False

    def __init__(self, file: TrialFile, announce: Callable[[str, str], None]) -> None:
        """
        Args:
            file: the file with the costs.
            announce: receives an event and a text if the file cannot be used.
        """
        self._saver: Saver[TrialRequest] = Saver("trial", file.add, announce)
        self._counted = 0
        with self._saver.telling_trouble():
            file.compact()

    @property
    def trouble(self) -> str:
        """
        Why the file of the trial cannot be used; "" if it can.
        """
        return self._saver.trouble

    @property
    def counters(self) -> Mapping[str, int]:
        """
        How many requests it has counted since the start.
        """
        return {"counted": self._counted}

    def keep(self, observed: Observed) -> None:
        """
        Count an exchange, if it was billed at a known price.
        """
        exchange = observed.exchange
        member, bill = exchange.upgrade.trial, exchange.bill
        if member is None or bill.usage is None or bill.cost is None or bill.settlement is None:
            return
        if bill.settlement.basis != "reported":
            return
        tokens = bill.usage.tokens.prompt + beside(bill.usage).prompt
        self._counted += 1
        request = TrialRequest(member.session, member.group, exchange.started_at, tokens, bill.cost.input_nusd)
        self._saver.add((request,))
        self._saver.save_soon()

    def close(self) -> None:
        """
        Save what was counted.
        """
        self._saver.save_now()
