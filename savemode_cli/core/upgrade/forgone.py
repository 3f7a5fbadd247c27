"""
What an upgrade would have changed on the bills of requests that were not upgraded.

Rule of this file: the bill is what the API reports. The 1-hour cache is an estimate from times and counters. Where no estimate
is possible, the request is counted and not compared.

Both caches hold the same tokens while a session is busy. They differ in what happens in a pause:

    pause            5-minute cache    1-hour cache     so the upgrade
    <= 5 min         read              read             writes at a higher price
    5 min to 1 h     written again     read             saves the rewrite, if the client did not change the prompt
    > 1 h            written again     written again    writes at a higher price

Source: https://platform.claude.com/docs/en/build-with-claude/prompt-caching (checked 2026-11-23).
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from msgspec import structs

from savemode_cli.core.cache.lifetimes import GRACE
from savemode_cli.core.money.pricing import Bill
from savemode_cli.core.upgrade.cache_ttl import cache_ttl
from savemode_cli.core.upgrade.edits import RuleInput
from savemode_cli.core.upgrade.policy import FIXED_POLICY, Policy
from savemode_cli.core.wire.caller import Caller
from savemode_cli.core.wire.facts import Facts
from savemode_cli.core.wire.usage import Tokens, Usage

_FIVE_MINUTES = timedelta(minutes=5)
_ONE_HOUR = timedelta(hours=1)
_REMEMBERED_LANES = 4096
_UNCHANGED_PERCENT = 80
"""
The share of a prefix that is expected to be read after a pause of 5 to 60 minutes. In nine recorded sets of Claude Code
sessions, 5 to 19 % of the prompts changed during such a pause; this is the value of the set with most changes.
"""
_CUT_PERCENT = 90
"""
A prompt below this share of the previous prompt was cut, so that only its head can be read. A read above this share of
a prefix counts as a read of the whole prefix.
"""


@dataclass(frozen=True, slots=True)
class SentAsItCame:
    """
    A request that was answered and not upgraded. Times have a time zone.
    """

    lane: str
    """Identifies the cache that it uses: the session and the model."""

    known: Facts
    caller: Caller
    usage: Usage
    started_at: datetime
    ended_at: datetime


@dataclass(slots=True)
class Forgone:
    """
    What the policy of `--save` would have done with all requests that were not upgraded.
    """

    policy: Policy
    """The policy in force. What it allows for clouds and subscriptions applies here too."""

    requests: int = 0
    """The requests that would have been upgraded."""

    breakpoints: int = 0
    compared: int = 0
    """The requests among these whose other bill can be estimated."""

    pauses: int = 0
    """The pauses of 5 to 60 minutes after which the prompt was written again."""

    difference_nusd: int = 0
    """
    What the compared requests would have cost in addition, in nano-dollars; negative if they would have cost less.
    """

    obstacles: dict[str, int] = field(default_factory=dict)
    """How many requests would have been left unchanged, by the code of the skip."""

    _lanes: "OrderedDict[str, _Lane]" = field(default_factory=OrderedDict)

    @property
    def is_known(self) -> bool:
        """
        Whether `difference_nusd` covers every request.
        """
        return 0 < self.compared == self.requests

    def add(self, sent: SentAsItCame, bill_for: Callable[[Usage], Bill]) -> None:
        """
        Add one request.

        Args:
            sent: the request.
            bill_for: computes what an answer of its model costs on its day.
        """
        edits, skips = cache_ttl(RuleInput(b"", sent.known, replace(self.policy, ttl=FIXED_POLICY), sent.caller))
        if not edits:
            for code in {skip.code for skip in skips}:
                self.obstacles[code] = self.obstacles.get(code, 0) + 1
            return
        self.requests += 1
        self.breakpoints += len(edits)
        before = self._lanes.pop(sent.lane, None)
        again = _written_again(before, sent)
        self.pauses += again > 0
        self._remember(sent, before)
        difference = None if skips else _difference_nusd(sent.usage, again, bill_for)
        if difference is not None:
            self.compared += 1
            self.difference_nusd += difference

    def _remember(self, sent: SentAsItCame, before: "_Lane | None") -> None:
        cached = sent.usage.cached_tokens
        if cached:
            self._lanes[sent.lane] = _Lane(max(sent.ended_at, before.ended_at if before else sent.ended_at), cached)
        elif before is not None:
            self._lanes[sent.lane] = before
        if len(self._lanes) > _REMEMBERED_LANES:
            self._lanes.popitem(last=False)


@dataclass(frozen=True, slots=True)
class _Lane:
    ended_at: datetime
    cached_tokens: int


def _written_again(before: _Lane | None, sent: SentAsItCame) -> int:
    """
    The tokens that expired in the pause before a request and were written again. A 1-hour cache would have kept them.
    """
    if before is None or not _FIVE_MINUTES + GRACE < sent.started_at - before.ended_at <= _ONE_HOUR:
        return 0
    tokens, reach = sent.usage.tokens, min(before.cached_tokens, sent.usage.cached_tokens)
    was_cut = tokens.prompt * 100 < before.cached_tokens * _CUT_PERCENT
    was_read = tokens.read * 100 >= reach * _CUT_PERCENT
    return 0 if was_cut or was_read else min(reach - tokens.read, tokens.write_5m)


def _difference_nusd(usage: Usage, again: int, bill_for: Callable[[Usage], Bill]) -> int | None:
    """
    The bill with every write at 1 hour, minus the bill. None where no estimate is possible: the client chose 1 hour
    itself, the answer had several passes, or its model has no known price.
    """
    if usage.tokens.write_1h or usage.extra:
        return None
    bill = bill_for(usage)
    if bill.state == "unpriced":
        return None
    read = again * _UNCHANGED_PERCENT // 100
    moved = Tokens(write_5m=-usage.tokens.write_5m, write_1h=usage.tokens.write_5m - read, read=read)
    upgraded = structs.replace(usage, tokens=usage.tokens + moved)
    return bill_for(upgraded).cost.total_nusd - bill.cost.total_nusd
