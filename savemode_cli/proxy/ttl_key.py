"""
The experiment on the key of the cache: a running proxy upgrades one request of a held-out session while its cache is warm.

Rule of this file: `core.upgrade.ttl_key` makes the decisions. The experiment runs only if `savemode experiment ttl-key` asked
for it, with one request at a time. The session of the request is left out of the trial.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from savemode_cli.core.errors import ConfigError
from savemode_cli.core.exchange.bill import Bill
from savemode_cli.core.upgrade.ttl_key import LEAST_TOKENS, WARM_FOR, TtlKeyVerdict, judge_ttl_key
from savemode_cli.core.upgrade.upgrade import Upgrade
from savemode_cli.proxy.call import CallInProgress
from savemode_cli.proxy.progress import ExchangeInProgress
from savemode_cli.proxy.ttl_key_file import TtlKeyFile, TtlKeyState

_MOST_LANES = 1_000
_WORDS = {
    "carries_over": "a 1h breakpoint reads what was written for 5m: the TTL is not a part of the cache's key",
    "in_key": "a 1h breakpoint does not read what was written for 5m: the TTL is a part of the cache's key",
    "unclear": "the bill does not show whether the TTL is a part of the cache's key; the next one may",
}


@dataclass(frozen=True, slots=True)
class _Warm:
    ended_at: datetime
    cached_tokens: int


class TtlKeyExperiment:
    """
    Makes the experiment when the user asks for it, and has the verdicts.
    """

    def __init__(self, file: TtlKeyFile, announce: Callable[[str, str], None]) -> None:
        """
        Args:
            file: whether the experiment is asked for, and the verdicts.
            announce: receives an event and a text: the verdict, or why the file cannot be used.
        """
        self._file = file
        self._announce = announce
        self._lanes: OrderedDict[str, _Warm] = OrderedDict()
        self._version = -1
        self._state = TtlKeyState()
        self._running = ""

    def carries_over(self, model: str | None) -> bool:
        """
        Whether an experiment has shown that the model's prefix carries over.
        """
        verdict = self._current().latest().get(model or "")
        return verdict is not None and verdict.outcome == "carries_over"

    def begins(self, call: CallInProgress, upgrade: Upgrade) -> bool:
        """
        Whether the experiment is made with this request of a held-out session, which could be upgraded.
        """
        lane = self._lanes.get(call.cache)
        if lane is None or self._running or self._current().asked_at is None or upgrade.skips:
            return False
        if call.started_at - lane.ended_at > WARM_FOR or lane.cached_tokens < LEAST_TOKENS:
            return False
        self._running = call.id
        return True

    def answered(self, exchange: ExchangeInProgress, bill: Bill | None) -> None:
        """
        A request was billed. If it is the request of the experiment, judge it; otherwise remember that its cache is warm.
        """
        usage = None if bill is None or bill.settlement is None or bill.settlement.basis != "reported" else bill.usage
        call, ended_at = exchange.call, exchange.answer.ended_at
        lane = self._lanes.pop(call.cache, None)
        if call.id == self._running:
            self._running = ""
            if usage is not None and lane is not None and exchange.upgrade.upgraded:
                model = call.facts.model or ""
                self._add(judge_ttl_key(model, call.started_at, lane.cached_tokens, usage))
            return
        if usage is None or usage.tokens.write_1h or ended_at is None or not usage.cached_tokens:
            return
        self._lanes[call.cache] = _Warm(ended_at, usage.cached_tokens)
        if len(self._lanes) > _MOST_LANES:
            self._lanes.popitem(last=False)

    def _add(self, verdict: TtlKeyVerdict) -> None:
        try:
            self._file.add(verdict)
        except ConfigError as error:
            self._announce("experiment", f"{error.message}; {error.hint}")
        self._announce("experiment", f"{verdict.model}: {_WORDS[verdict.outcome]}")

    def _current(self) -> TtlKeyState:
        """
        The content of the file. It is read again after the file has changed.
        """
        version = self._file.changed_at()
        if version != self._version:
            self._version = version
            try:
                self._state = self._file.read()
            except ConfigError as error:
                self._state = TtlKeyState()
                self._announce("experiment", f"{error.message}; {error.hint}")
        return self._state
