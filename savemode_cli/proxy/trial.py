"""
The sink that records what the sessions of a trial cost.

Rule of this file: it makes no decisions. A thread writes the file, so that the event loop does not wait for a disk.
"""

import asyncio
from collections.abc import Callable, Mapping

from savemode_cli.core.errors import ConfigError
from savemode_cli.core.exchange.observed import Observed
from savemode_cli.core.exchange.totals import beside
from savemode_cli.core.exchange.trial import TrialRequest
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
        self.trouble = ""
        self._file = file
        self._announce = announce
        self._unsaved: list[TrialRequest] = []
        self._saving = False
        self._counted = 0
        try:
            file.compact()
        except ConfigError as error:
            self._fail(error)

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
        self._unsaved.append(
            TrialRequest(member.session, member.group, exchange.started_at, tokens, bill.cost.input_nusd)
        )
        self._save_soon()

    def close(self) -> None:
        """
        Save what was counted.
        """
        self._save(self._take())

    def _take(self) -> list[TrialRequest]:
        taken, self._unsaved = self._unsaved, []
        return taken

    def _save_soon(self) -> None:
        if self._saving:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return  # the event loop has ended; `close` saves
        self._saving = True
        task = loop.run_in_executor(None, self._save, self._take())
        task.add_done_callback(lambda _: self._saved())

    def _saved(self) -> None:
        self._saving = False
        if self._unsaved:
            self._save_soon()

    def _save(self, requests: list[TrialRequest]) -> None:
        if not requests:
            return
        try:
            self._file.add(requests)
            self.trouble = ""
        except ConfigError as error:
            self._fail(error)

    def _fail(self, error: ConfigError) -> None:
        if not self.trouble:
            self._announce("trial", f"{error.message}; {error.hint}")
        self.trouble = error.message
