"""
What one request cost, and what it would have cost without us.

Rule of this file: an unknown is never counted as a saving. What is billed is the API's word; what a 5-minute cache would
have done is our inference, drawn from times and counters only, and where it cannot be drawn the answer is n/a.

The shadow. Beside the real cache of a session we follow the one it would have had if every breakpoint we raised had
stayed at 5 minutes. While a session is busy both hold the same tokens; they differ in what a pause does to them:

    pause            real cache    5-minute cache    so what we raised
    <= 5 min         read          read              was written dearer, for nothing
    5 min to 1 h     read          written again     was written dearer, and saved a rewrite
    > 1 h            written       written           was written dearer, for nothing

Source: https://platform.claude.com/docs/en/build-with-claude/prompt-caching (checked 2026-11-23), and 29,257 recorded
requests: a hit if and only if the pause since the end of the previous answer is within the TTL holds for 99.3 to 99.7 %.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from savemode_cli.core.messages import FIVE_MINUTES, ONE_HOUR, Facts, order_errors
from savemode_cli.core.pricing import Bill, Usage
from savemode_cli.core.transform import CACHE_TTL, Edit

Ttl = Literal["5m", "1h"]
Billed = Literal["5m", "1h", "mixed"]
Basis = Literal["reported", "estimated"]
"""`reported`: the API's final count at a known price. `estimated`: the count or the price is a guess."""

BillFor = Callable[[Usage], Bill]
"""What an answer costs: `PriceTable.bill` for the model that answered, on the day of the request."""

GRACE = timedelta(seconds=20)
"""How much longer than 5 minutes recorded caches lived, counted from the end of the answer before."""

_FIVE_MINUTES = timedelta(minutes=5)
_ONE_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Receipt:
    """
    One request's cost beside its counterfactual, both in nano-dollars; None is n/a, never 0.

    `requested_ttl` is what the body asked for on the wire, `billed_ttl` the bucket of what was written, None if nothing
    was. `verified` is True for an upgraded request that was billed 1-hour writes, False where all breakpoints asked for
    an hour and none of what was written was billed so; None where there is nothing to verify. `counterfactual_nusd` is
    the same request with every breakpoint we raised at 5 minutes. `why` is a sentence for people, "" where all is plain.
    """

    requested_ttl: Ttl | None = None
    billed_ttl: Billed | None = None
    verified: bool | None = None
    cost_nusd: int | None = None
    counterfactual_nusd: int | None = None
    basis: Basis | None = None
    why: str = ""

    @property
    def difference_nusd(self) -> int | None:
        """
        Cost less counterfactual: negative where savemode made it cheaper. Never clamped; None if either is n/a.
        """
        if self.cost_nusd is None or self.counterfactual_nusd is None:
            return None
        return self.cost_nusd - self.counterfactual_nusd

    def to_json(self) -> dict[str, Any]:
        """
        The receipt for machines: units in the keys, dollars as exact decimal strings, n/a as null.
        """
        amounts = {
            "cost": self.cost_nusd,
            "counterfactual": self.counterfactual_nusd,
            "difference": self.difference_nusd,
        }
        return {
            "requested_ttl": self.requested_ttl,
            "billed_ttl": self.billed_ttl,
            "verified": self.verified,
            **{f"{name}_nusd": nusd for name, nusd in amounts.items()},
            **{f"{name}_usd": None if nusd is None else _usd(nusd) for name, nusd in amounts.items()},
            "basis": self.basis,
            "why": self.why,
        }


@dataclass(frozen=True, slots=True)
class Shadow:
    """
    What is known of a session's cache, real and 5-minute, after its last answer: all that the next receipt needs.

    `model` is the row of the price table that was billed: models share no cache. `last_used_at` is the end of the last
    answer that read or wrote the cache, `last_tried_at` also counts requests whose fate is unknown. `prefix_tokens` is
    how far the session's own entries reach, `hour_tokens` how far those written for an hour do. `kept_tokens` of them
    would perhaps be there in a 5-minute world too: others keep them warm, or the client itself chose an hour.
    """

    model: str
    last_used_at: datetime
    last_tried_at: datetime
    prefix_tokens: int
    hour_tokens: int
    kept_tokens: int

    @property
    def upgraded(self) -> bool:
        """
        Whether the session has entries that outlive 5 minutes because of us.
        """
        return self.hour_tokens > self.kept_tokens

    def reaches_tokens(self, started_at: datetime) -> int:
        """
        How much of a prompt the session's own entries can explain a read of, for a request that starts now.
        """
        return self.prefix_tokens if _is_warm(started_at - self.last_used_at) else self.hour_tokens

    def is_cold(self, started_at: datetime) -> bool:
        """
        Whether a 5-minute cache is certain to have expired; a request of unknown fate may have refreshed it.
        """
        return not _is_warm(started_at - self.last_tried_at)


@dataclass(frozen=True, slots=True)
class _Asked:
    """
    What the breakpoints asked for on the wire. `whole`: all of them for an hour. `legal`: the client's own body was.
    """

    ttl: Ttl | None
    upgraded: bool
    whole: bool
    by_client: bool
    legal: bool


def receipt(
    shadow: Shadow | None,
    known: Facts,
    edits: Sequence[Edit],
    usage: Usage | None,
    bill_for: BillFor,
    started_at: datetime,
    ended_at: datetime,
    *,
    final: bool,
    reached: bool = True,
) -> tuple[Receipt, Shadow | None]:
    """
    The receipt of a request, and the shadow that the session's next one is judged by.

    `shadow` is what the session's previous request returned, None for its first. `known` are the facts of the client's
    body, `edits` those that were on the wire: none if the original was sent. `usage` is None if none was reported;
    `final` says that it is the bill. Times are aware. `reached=False` says that no model can have seen a request without
    usage: it was refused, answered with an error, or never arrived, and so it cannot have refreshed the cache.
    """
    asked = _asked(known, edits)
    if usage is None:
        later = _touched(shadow, ended_at) if reached else shadow
        return Receipt(requested_ttl=asked.ttl, why="no usage was reported"), later
    bill = bill_for(usage)
    past = _continued(shadow, bill.price.model, started_at)
    kept = _kept_tokens(past, usage, started_at)
    printed = _printed(_compared(asked, past, usage, kept, started_at), bill, bill_for, final=final)
    if not usage.cache_read_tokens and not _written(usage):
        return printed, shadow
    return printed, _later(past, asked, usage, kept, started_at, ended_at)


@dataclass(frozen=True, slots=True)
class _Compared:
    """
    The two worlds of one request. `lost`: the 5-minute world had nothing left to read. `flipped`: see `_flipped`.
    """

    asked: _Asked
    usage: Usage
    without: Usage
    verified: bool | None
    lost: bool
    flipped: bool

    @property
    def rewritten_tokens(self) -> int:
        """
        What was read here, and would have been written again there.
        """
        return self.usage.cache_read_tokens - self.without.cache_read_tokens


def _compared(asked: _Asked, past: Shadow, usage: Usage, kept: int, started_at: datetime) -> _Compared:
    verified = _verified(asked, usage)
    # After a silent downgrade both worlds are 5-minute worlds: whatever was read, it is not our doing.
    lost = asked.upgraded and past.is_cold(started_at) and verified is not False
    rewritten = max(usage.cache_read_tokens - kept, 0) if lost else 0
    without = _at_five_minutes(usage, rewritten) if asked.upgraded else usage
    return _Compared(asked, usage, without, verified, lost, asked.upgraded and _flipped(past, usage, started_at))


def _printed(worlds: _Compared, bill: Bill, bill_for: BillFor, *, final: bool) -> Receipt:
    priced = bill.state != "unpriced"
    obstacle = _obstacle(worlds, priced=priced) if worlds.asked.upgraded else ""
    return Receipt(
        requested_ttl=worlds.asked.ttl,
        billed_ttl=_billed(worlds.usage),
        verified=worlds.verified,
        cost_nusd=bill.cost.total_nusd,
        counterfactual_nusd=None if obstacle else _cost_nusd(worlds, bill, bill_for),
        basis="reported" if final and priced else "estimated",
        why=obstacle or _note(worlds, priced=priced, final=final),
    )


def _cost_nusd(worlds: _Compared, bill: Bill, bill_for: BillFor) -> int:
    same = worlds.without is worlds.usage
    return (bill if same else bill_for(worlds.without)).cost.total_nusd


def _asked(known: Facts, edits: Sequence[Edit]) -> _Asked:
    raised = {edit.path[:-2] for edit in edits if edit.rule == CACHE_TTL}
    own = [(one.path, one.lifetime) for one in known.breakpoints if one.kind != "ignored"]
    by_client = any(lifetime == ONE_HOUR for _, lifetime in own)
    ttl: Ttl | None = "5m" if any(lifetime == FIVE_MINUTES for _, lifetime in own) else None
    return _Asked(
        ttl="1h" if raised or by_client else ttl,
        upgraded=bool(raised),
        whole=bool(own) and all(path in raised or lifetime == ONE_HOUR for path, lifetime in own),
        by_client=by_client,
        legal=not order_errors(own),
    )


def _verified(asked: _Asked, usage: Usage) -> bool | None:
    """
    Zero 1-hour tokens say nothing where nothing was written, nor where the API itself wrote what its search tools found.

    Source: https://platform.claude.com/docs/en/build-with-claude/prompt-caching (server tools, checked 2026-11-23).
    """
    if usage.cache_write_1h_tokens:
        return True if asked.upgraded else None
    if asked.whole and usage.cache_write_5m_tokens and not usage.web_searches:
        return False
    return None


def _billed(usage: Usage) -> Billed | None:
    if usage.cache_write_1h_tokens and usage.cache_write_5m_tokens:
        return "mixed"
    if usage.cache_write_1h_tokens:
        return "1h"
    return "5m" if usage.cache_write_5m_tokens else None


def _at_five_minutes(usage: Usage, rewritten_tokens: int) -> Usage:
    """
    The usage of the 5-minute world: the same prompt, nothing written for an hour, and what had expired written again.
    """
    if not usage.cache_write_1h_tokens and not rewritten_tokens:
        return usage
    return replace(
        usage,
        cache_write_5m_tokens=_written(usage) + rewritten_tokens,
        cache_write_1h_tokens=0,
        cache_read_tokens=usage.cache_read_tokens - rewritten_tokens,
    )


def _written(usage: Usage) -> int:
    return usage.cache_write_5m_tokens + usage.cache_write_1h_tokens


def _obstacle(worlds: _Compared, *, priced: bool) -> str:
    """
    Why an upgraded request's counterfactual is n/a, or "".

    The buckets say how much was written for an hour, not at whose wish.
    """
    asked, usage = worlds.asked, worlds.usage
    beside = [one.kind for one in usage.extra if _may_differ(one.usage, lost=worlds.lost)]
    if not asked.legal:
        return "without the upgrade the API would have refused this body: 1h followed 5m"
    if asked.by_client and _may_differ(usage, lost=worlds.lost):
        return "the client chose 1h on other breakpoints, and whose tokens these are cannot be told"
    if beside:
        return f"{beside[0]} tokens were cached beside the answer's, and at whose wish cannot be told"
    if worlds.flipped:
        return "the session went from 5m to 1h while it was warm, and whether that lost its cache cannot be told"
    if not priced and worlds.without != usage:
        return "no price is known for the model, so what the upgrade changed cannot be told"
    return ""


def _may_differ(usage: Usage, *, lost: bool) -> bool:
    """
    Whether the 5-minute world may have used something else.
    """
    return usage.cache_write_1h_tokens > 0 or (lost and usage.cache_read_tokens > 0)


def _flipped(past: Shadow, usage: Usage, started_at: datetime) -> bool:
    """
    Whether a session of 5-minute entries went over to 1 hour while they were warm, and did not read them all.

    Nobody outside knows whether the TTL is part of the cache's key. If it is, that miss was our doing.
    """
    went_over = usage.cache_write_1h_tokens > 0 and not past.hour_tokens
    return went_over and usage.cache_read_tokens < past.reaches_tokens(started_at)


def _note(worlds: _Compared, *, priced: bool, final: bool) -> str:
    usage, again = worlds.usage, worlds.rewritten_tokens
    notes = (
        (
            worlds.verified is False,
            "silent downgrade: every breakpoint asked for 1h, what was written was billed as 5m",
        ),
        (not priced, "no price is known for the model: charged at the dearest known one"),
        (not final, "the answer ended before its usage was final"),
        (again, f"a 5m cache would have expired in the pause, and {again} tokens been written again"),
        (
            worlds.lost and usage.cache_read_tokens,
            "others may keep warm what was read after the pause: not counted as saved",
        ),
        (
            worlds.asked.whole and usage.web_searches and _billed(usage) == FIVE_MINUTES,
            "the API keeps what its search tools find for 5m: that says nothing of the breakpoints",
        ),
    )
    return next((text for holds, text in notes if holds), "")


def _continued(shadow: Shadow | None, model: str, started_at: datetime) -> Shadow:
    """
    The session's past; an empty one if it is of no use: another model has another cache, and after an hour all is cold.
    """
    if shadow is None or shadow.model != model or started_at - shadow.last_used_at > _ONE_HOUR:
        return Shadow(model, started_at, started_at, prefix_tokens=0, hour_tokens=0, kept_tokens=0)
    return shadow


def _is_warm(pause: timedelta) -> bool:
    """
    Whether 5-minute entries live at the end of a pause. Negative for a request that overlaps the one before: they do.
    """
    return pause <= _FIVE_MINUTES + GRACE


def _kept_tokens(past: Shadow, usage: Usage, started_at: datetime) -> int:
    """
    How many tokens a 5-minute world would perhaps hold as well, counting what this request read.

    What the session's own entries cannot explain was put there by somebody else, who may still be there: the whole read
    of a first request, else the part beyond what the session had. Recorded: 9,000 to 29,000 tokens of first requests.
    """
    reaches = past.reaches_tokens(started_at)
    return (past.kept_tokens if reaches else 0) + max(usage.cache_read_tokens - reaches, 0)


def _later(past: Shadow, asked: _Asked, usage: Usage, kept: int, started_at: datetime, ended_at: datetime) -> Shadow:
    """
    The shadow after a request that used the cache: in either world its prompt is now cached, and warm.

    Of several conversations in one session the longest counts. 1-hour writes come before 5-minute ones in the prompt.
    """
    read = usage.cache_read_tokens
    hour = read + usage.cache_write_1h_tokens if usage.cache_write_1h_tokens else 0
    return Shadow(
        model=past.model,
        last_used_at=max(past.last_used_at, ended_at),
        last_tried_at=max(past.last_tried_at, ended_at),
        prefix_tokens=max(past.reaches_tokens(started_at), read + _written(usage)),
        hour_tokens=max(past.hour_tokens, hour),
        kept_tokens=kept if asked.upgraded and not asked.by_client else max(kept, hour),
    )


def _touched(shadow: Shadow | None, ended_at: datetime) -> Shadow | None:
    if shadow is None:
        return None
    return replace(shadow, last_tried_at=max(shadow.last_tried_at, ended_at))


def _usd(nusd: int) -> str:
    """
    Nano-dollars in dollars, all nine decimals, in integers.
    """
    whole, rest = divmod(abs(nusd), 10**9)
    return f"{'-' if nusd < 0 else ''}{whole}.{rest:09d}"
