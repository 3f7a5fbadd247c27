"""
Why an entry at which a breakpoint looked did not exist.

Rule of this file: the same prefix was sent before, and a breakpoint looked at its entry. The possible causes are times,
keys, and the provider.
"""

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from savemode_cli.core.cache.lifetimes import LIFETIMES, Lifetime
from savemode_cli.core.cache.model import minimum_tokens
from savemode_cli.core.diagnosis.causes import Miss
from savemode_cli.core.diagnosis.fingerprint import Entry
from savemode_cli.core.diagnosis.lanes import SentPrompt
from savemode_cli.core.diagnosis.scale import Scale

_NO_TIME = timedelta()


@dataclass(frozen=True, slots=True)
class Holder:
    """
    An entry, and a request that wrote or read it.
    """

    sent: SentPrompt
    entry: Entry
    tokens: int | None
    """The length of its prefix as billed; None if there is only an estimate."""

    @classmethod
    def of(cls, sent: SentPrompt, prefixes: Container[bytes]) -> "Iterator[Holder]":
        """
        The entries of a request that are in the cache; none if nothing of it was cached.

        Args:
            sent: the request.
            prefixes: the digests of the entries that matter.
        """
        usage, entries = sent.usage, sent.fingerprint.entries
        if usage is not None and not usage.cached_tokens:
            return
        for entry in entries:
            if entry.digest not in prefixes:
                continue
            if usage is not None and entry is entries[-1]:
                yield cls(sent, entry, usage.cached_tokens)
            elif Scale.of(sent).tokens(entry.tokens) >= minimum_tokens(sent.lane.model):
                yield cls(sent, entry, None)

    def usable_for(self, sent: SentPrompt) -> bool:
        """
        Whether the answer that wrote it had begun when a request was sent.
        """
        began = self.sent.began_at or self.sent.ended_at
        return began is not None and began <= sent.started_at


def billed_ttl(sent: SentPrompt) -> Lifetime | None:
    """
    The TTL of a request's cache writes, according to its bill; None if it wrote nothing, or with both TTLs.
    """
    usage = sent.usage
    if usage is None or bool(usage.tokens.write_5m) == bool(usage.tokens.write_1h):
        return None
    return "1h" if usage.tokens.write_1h else "5m"


def lost(sent: SentPrompt, holders: Sequence[Holder], tokens: int) -> Miss:
    """
    The cause of a miss of an entry at which a breakpoint looked.

    Args:
        sent: the request.
        holders: the requests that left the entry, in the order in which they were sent.
        tokens: how many tokens were missed.
    """
    path = sent.fingerprint.position(holders[-1].entry.block).path
    own = [holder for holder in holders if not _differ(holder.sent.payer, sent.payer)]
    if not own:
        return Miss("other_workspace", tokens, path)
    usable = [holder for holder in own if holder.usable_for(sent)]
    if len(usable) < len(own) and not _is_kept(sent, usable):
        return Miss("concurrent", tokens, path)
    return _gone(sent, usable, tokens)


def _differ(one: str, other: str) -> bool:
    return bool(one and other) and one != other


@dataclass(frozen=True, slots=True)
class _Age:
    """
    How long an entry had not been used, and what its TTL was.
    """

    since_end: timedelta
    since_start: timedelta
    ttl: Lifetime
    asked: Lifetime

    @classmethod
    def of(cls, sent: SentPrompt, holders: Sequence[Holder]) -> "_Age":
        ends = [one.sent.ended_at or one.sent.began_at or one.sent.started_at for one in holders]
        written = [ttl for one in holders if (ttl := billed_ttl(one.sent)) is not None]
        asked = holders[-1].entry.lifetime
        return cls(
            max(sent.started_at - max(ends), _NO_TIME),
            sent.started_at - max(one.sent.started_at for one in holders),
            written[-1] if written else asked,
            asked,
        )

    @property
    def is_over(self) -> bool:
        """
        Whether the TTL has ended. The provider counts from the start of an answer, but usually keeps the entry as if it
        counted from the end.
        """
        return max(self.since_end, self.since_start) > LIFETIMES[self.ttl]

    @property
    def idle(self) -> timedelta:
        """
        How long it had not been used: since the end of the last answer; since its start if only that is longer than the
        TTL.
        """
        return self.since_end if self.since_end > LIFETIMES[self.ttl] else self.since_start

    @property
    def was_shortened(self) -> bool:
        """
        Whether 1 hour was requested and 5 minutes were billed, and a 1-hour entry would still exist.
        """
        return self.asked == "1h" and self.ttl == "5m" and self.idle <= LIFETIMES["1h"]


def _is_kept(sent: SentPrompt, holders: Sequence[Holder]) -> bool:
    return bool(holders) and not _Age.of(sent, holders).is_over


def _gone(sent: SentPrompt, holders: Sequence[Holder], tokens: int) -> Miss:
    age, last = _Age.of(sent, holders), holders[-1]
    path = sent.fingerprint.position(last.entry.block).path
    if age.is_over and not age.was_shortened:
        return Miss("expired", tokens, path, idle=age.idle, ttl=age.ttl, asked_ttl=age.asked)
    if not age.is_over and last.sent.betas and sent.betas and last.sent.betas != sent.betas:
        before, after = (", ".join(sorted(one)) for one in (last.sent.betas - sent.betas, sent.betas - last.sent.betas))
        return Miss(
            "parameters_changed",
            tokens,
            parameter="betas",
            before=before,
            after=after,
            idle=age.idle,
            ttl=age.ttl,
        )
    return Miss("not_kept", tokens, path, idle=age.idle, ttl=age.ttl, asked_ttl=age.asked)
