"""
The cache that a session would have without upgrades, followed beside its real one: its shadow.

Rule of this file: it uses times and counters only. `receipt` explains what both caches do after a pause.
"""

from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from savemode_cli.core.cache.head import head_tokens
from savemode_cli.core.cache.lifetimes import GRACE
from savemode_cli.core.wire.usage import Usage

_FIVE_MINUTES = timedelta(minutes=5)
_ONE_HOUR = timedelta(hours=1)


class Shadow(Struct, frozen=True, gc=False):
    """
    What is known about the real and the 5-minute cache of a session after its last answer. The next receipt needs
    nothing else.
    """

    model: str
    """The row of the price table that was billed. Models do not share a cache."""
    last_used_at: datetime
    """The end of the last answer that read or wrote the cache."""
    last_tried_at: datetime
    """The same, including requests whose result is unknown."""
    prefix_tokens: int
    """How many tokens of the prompt the session's own entries cover."""
    hour_tokens: int
    """How many of these tokens are in entries that were written for 1 hour."""
    kept_tokens: int
    """
    How many of these tokens a 5-minute cache might hold too, because other sessions keep them or the client itself chose
    1 hour.
    """
    kept_warm: bool = False
    """Whether keep-warm requests were sent since the last request of the client."""

    @property
    def upgraded(self) -> bool:
        """
        Whether the session has entries that last longer than 5 minutes because of an upgrade.
        """
        return self.hour_tokens > self.kept_tokens

    def reaches_tokens(self, started_at: datetime) -> int:
        """
        How many tokens of a read the session's own entries can explain, for a request that starts now.
        """
        return self.prefix_tokens if _is_warm(started_at - self.last_used_at) else self.hour_tokens

    def is_cold(self, started_at: datetime) -> bool:
        """
        Whether a 5-minute cache has certainly expired. A request with an unknown result may have refreshed it.
        """
        return not _is_warm(started_at - self.last_tried_at)


def continued(shadow: Shadow | None, model: str, started_at: datetime) -> Shadow:
    """
    The past of the session. It is empty if the past does not apply: another model has another cache, and after an hour
    every cache is cold.
    """
    if shadow is None or shadow.model != model or started_at - shadow.last_used_at > _ONE_HOUR:
        return Shadow(model, started_at, started_at, prefix_tokens=0, hour_tokens=0, kept_tokens=0)
    return shadow


def _is_warm(pause: timedelta) -> bool:
    """
    Whether 5-minute entries are alive at the end of a pause. A negative pause means that the request overlaps the
    previous one: they are alive.
    """
    return pause <= _FIVE_MINUTES + GRACE


def kept_tokens(past: Shadow, usage: Usage, started_at: datetime) -> int:
    """
    How many tokens a 5-minute cache might hold too, including what this request read.

    A read that the session's own entries cannot explain comes from entries of others, who may still keep them. For a
    first request this is the whole read; otherwise it is the part beyond the own entries. In recorded traffic first
    requests read 9,000 to 29,000 tokens.
    """
    return head_tokens(past.kept_tokens, usage.first_read_tokens, past.reaches_tokens(started_at))


def later(
    past: Shadow, usage: Usage, kept: int, started_at: datetime, ended_at: datetime, *, hour_is_kept: bool
) -> Shadow:
    """
    The shadow after a request that used the cache. In both worlds its prompt is now cached and warm.

    If a session has several conversations, the longest counts. 1-hour writes come before 5-minute writes in the prompt.

    Args:
        past: the shadow before the request.
        usage: what the API reported for it.
        kept: how many tokens a 5-minute cache might hold too, see `kept_tokens`.
        started_at: when the request was sent.
        ended_at: when its answer ended.
        hour_is_kept: whether a 5-minute cache might hold the 1-hour entries too, because the client itself chose 1 hour.
    """
    cached = usage.cached_tokens
    hour = cached - min(usage.tokens.write_5m, cached) if usage.tokens.write_1h else 0
    return Shadow(
        model=past.model,
        last_used_at=max(past.last_used_at, ended_at),
        last_tried_at=max(past.last_tried_at, ended_at),
        prefix_tokens=max(past.reaches_tokens(started_at), cached),
        hour_tokens=max(past.hour_tokens, hour),
        kept_tokens=max(kept, hour) if hour_is_kept else kept,
    )


def touched(shadow: Shadow | None, ended_at: datetime) -> Shadow | None:
    """
    The shadow after a request whose result is unknown: it may have refreshed the cache.
    """
    if shadow is None:
        return None
    return replace(shadow, last_tried_at=max(shadow.last_tried_at, ended_at))


def warmed(shadow: Shadow | None, started_at: datetime, ended_at: datetime) -> Shadow | None:
    """
    The shadow after a keep-warm request that read the cache. Without savemode nobody would have sent it, so it refreshes the
    real cache only.
    """
    if shadow is None or not _is_warm(started_at - shadow.last_used_at):
        return shadow
    return replace(shadow, last_used_at=max(shadow.last_used_at, ended_at), kept_warm=True)
