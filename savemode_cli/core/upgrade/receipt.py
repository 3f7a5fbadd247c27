"""
What one request cost, and what it would have cost without the upgrade.

Rule of this file: an unknown is never counted as a saving. The bill is what the API reports. The cost with a 5-minute cache is
inferred from times and counters; where no inference is possible, the result is n/a.

The shadow. In addition to the real cache of a session, savemode follows the cache that it would have had if every upgraded
breakpoint had stayed at 5 minutes. While a session is busy, both hold the same tokens. They differ after a pause:

    pause            real cache    5-minute cache    so an upgraded breakpoint
    <= 5 min         read          read              was written at a higher price, without a benefit
    5 min to 1 h     read          written again     was written at a higher price, and saved a rewrite
    > 1 h            written       written           was written at a higher price, without a benefit

Source: https://platform.claude.com/docs/en/build-with-claude/prompt-caching (checked 2026-11-23), and 29,257 recorded
requests. The rule "a request hits the cache if and only if the pause since the end of the previous answer is within the
TTL" is true for 99.3 to 99.7 % of them.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Literal

from msgspec import Struct, structs

from savemode_cli.core.money.pricing import Bill
from savemode_cli.core.money.refusals import is_billed
from savemode_cli.core.upgrade.edits import Edit, upgrades
from savemode_cli.core.upgrade.shadow import Shadow, continued, kept_tokens, later, touched, warmed
from savemode_cli.core.wire.facts import Facts
from savemode_cli.core.wire.messages import FIVE_MINUTES, ONE_HOUR, order_errors
from savemode_cli.core.wire.usage import Tokens, Usage

Ttl = Literal["5m", "1h"]
Billed = Literal["5m", "1h", "mixed"]
Basis = Literal["reported", "estimated"]
"""`reported`: the API's final count at a known price. `estimated`: the count or the price is an estimate."""

BillFor = Callable[[Usage], Bill]
"""Computes what an answer costs: `PriceTable.bill` for the model that answered, on the day of the request."""


class Receipt(Struct, frozen=True, gc=False):
    """
    The cost of one request and its counterfactual, both in nano-dollars. None means n/a, never 0.
    """

    requested_ttl: Ttl | None = None
    """The TTL that the body requested on the wire."""
    billed_ttl: Billed | None = None
    """The TTL at which the tokens that were written were billed; None if nothing was written."""
    verified: bool | None = None
    """
    True if an upgraded request was billed 1-hour writes. False if all breakpoints requested 1 hour and no write was
    billed at 1 hour. None if there is nothing to verify.
    """
    cost_nusd: int | None = None
    counterfactual_nusd: int | None = None
    """The cost of the same request with every upgraded breakpoint at 5 minutes."""
    basis: Basis | None = None
    why: str = ""
    """A sentence for people; "" if there is nothing to explain."""

    @property
    def difference_nusd(self) -> int | None:
        """
        The cost minus the counterfactual: negative if savemode made the request cheaper, None if either is n/a. It is
        never clamped.
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


class _Asked(Struct, frozen=True, gc=False):
    """
    What the breakpoints requested on the wire.
    """

    ttl: Ttl | None
    upgraded: bool
    whole: bool
    """Whether all breakpoints requested 1 hour."""
    by_client: bool
    legal: bool
    """Whether the order of TTLs in the client's own body was legal."""


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
    keep_warm: bool = False,
) -> tuple[Receipt, Shadow | None]:
    """
    Make the receipt of a request, and the shadow for the next request of the session.

    Args:
        shadow: what the previous request of the session returned; None for its first request.
        known: the facts of the client's body.
        edits: the edits that were on the wire; none if the original was sent.
        usage: what the API reported; None if it reported nothing.
        bill_for: computes what a usage costs.
        started_at: when the request was sent, with a time zone.
        ended_at: when the answer ended, with a time zone.
        final: whether `usage` is the final count.
        reached: False if a request without usage certainly reached no model, so that it cannot have refreshed the
            cache: it was refused, answered with an error, or never arrived.
        keep_warm: whether it is a keep-warm request of savemode's own, which would not have been sent without savemode.
    """
    asked = _asked(known, edits)
    if keep_warm:
        return _of_keep_warm(shadow, asked, usage, bill_for, started_at, ended_at, final=final)
    if usage is None:
        unknown = touched(shadow, ended_at) if reached else shadow
        return Receipt(requested_ttl=asked.ttl, why="no usage was reported"), unknown
    bill = bill_for(usage)
    if not is_billed(usage.declined, started_at):
        return _unbilled(asked, usage, bill, final=final), touched(shadow, ended_at)
    past = continued(shadow, bill.price.model, started_at)
    kept = kept_tokens(past, usage, started_at)
    printed = _printed(_compared(asked, past, usage, kept, started_at), bill, bill_for, final=final)
    if not usage.tokens.read and not usage.tokens.written:
        return printed, shadow
    hour_is_kept = not asked.upgraded or asked.by_client
    return printed, later(past, usage, kept, started_at, ended_at, hour_is_kept=hour_is_kept)


def _of_keep_warm(
    shadow: Shadow | None,
    asked: "_Asked",
    usage: Usage | None,
    bill_for: BillFor,
    started_at: datetime,
    ended_at: datetime,
    *,
    final: bool,
) -> tuple[Receipt, Shadow | None]:
    """
    The receipt of a keep-warm request, whose whole cost is savemode's doing. In the shadow it renews the real cache only.
    """
    if usage is None:
        return Receipt(requested_ttl=asked.ttl, why="no usage was reported"), shadow
    bill = bill_for(usage)
    printed = Receipt(
        requested_ttl=asked.ttl,
        billed_ttl=_billed(usage),
        cost_nusd=bill.cost.total_nusd,
        counterfactual_nusd=0,
        basis="reported" if final and bill.state != "unpriced" else "estimated",
        why="sent by savemode to keep the cache warm",
    )
    return printed, warmed(shadow, started_at, ended_at) if usage.tokens.read else shadow


class _Compared(Struct, frozen=True, gc=False):
    """
    One request in the real world and in the 5-minute world.
    """

    asked: _Asked
    usage: Usage
    without: Usage
    verified: bool | None
    lost: bool
    """Whether the 5-minute world had nothing left to read."""
    flipped: bool
    """See `_flipped`."""
    differs: bool
    """Whether the worlds may differ: breakpoints were upgraded, or the cache was kept warm."""

    @property
    def rewritten_tokens(self) -> int:
        """
        The tokens that were read, and would have been written again in the 5-minute world.
        """
        return self.usage.tokens.read - self.without.tokens.read


def _compared(asked: _Asked, past: Shadow, usage: Usage, kept: int, started_at: datetime) -> _Compared:
    verified = _verified(asked, usage)
    # After a silent downgrade both worlds are 5-minute worlds: whatever was read, it is not our doing.
    differs = asked.upgraded or past.kept_warm
    lost = differs and past.is_cold(started_at) and verified is not False
    rewritten = max(usage.first_read_tokens - kept, 0) if lost else 0
    without = _at_five_minutes(usage, rewritten) if differs else usage
    flipped = asked.upgraded and _flipped(past, usage, started_at)
    return _Compared(asked, usage, without, verified, lost, flipped, differs)


def _printed(worlds: _Compared, bill: Bill, bill_for: BillFor, *, final: bool) -> Receipt:
    priced = bill.state != "unpriced"
    obstacle = _obstacle(worlds, priced=priced) if worlds.differs else ""
    return Receipt(
        requested_ttl=worlds.asked.ttl,
        billed_ttl=_billed(worlds.usage),
        verified=worlds.verified,
        cost_nusd=bill.cost.total_nusd,
        counterfactual_nusd=None if obstacle else _cost_nusd(worlds, bill, bill_for),
        basis="reported" if final and priced else "estimated",
        why=obstacle or _note(worlds, priced=priced, final=final),
    )


def _unbilled(asked: _Asked, usage: Usage, bill: Bill, *, final: bool) -> Receipt:
    """
    The receipt of a refusal before any output. Only additional usage may cost something, in both worlds.

    The API does not report whether the prompt was cached, so the counters say nothing about the cache.
    """
    differs = asked.upgraded and any(_may_differ(one.usage, lost=False) for one in usage.extra)
    return Receipt(
        requested_ttl=asked.ttl,
        cost_nusd=bill.cost.total_nusd,
        counterfactual_nusd=None if differs else bill.cost.total_nusd,
        basis="reported" if final and bill.state != "unpriced" else "estimated",
        why="the API does not bill a refusal before any output",
    )


def _cost_nusd(worlds: _Compared, bill: Bill, bill_for: BillFor) -> int:
    same = worlds.without is worlds.usage
    return (bill if same else bill_for(worlds.without)).cost.total_nusd


def _asked(known: Facts, edits: Sequence[Edit]) -> _Asked:
    raised = {edit.path[:-2] for edit in upgrades(edits)}
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
    Whether the upgrade took effect. Zero 1-hour tokens prove nothing if nothing was written, or if the API itself wrote
    what its search tools found.

    Source: https://platform.claude.com/docs/en/build-with-claude/prompt-caching (server tools, checked 2026-11-23).
    """
    if usage.tokens.write_1h:
        return True if asked.upgraded else None
    if asked.whole and usage.tokens.write_5m and not usage.web_searches:
        return False
    return None


def _billed(usage: Usage) -> Billed | None:
    if usage.tokens.write_1h and usage.tokens.write_5m:
        return "mixed"
    if usage.tokens.write_1h:
        return "1h"
    return "5m" if usage.tokens.write_5m else None


def _at_five_minutes(usage: Usage, rewritten_tokens: int) -> Usage:
    """
    The usage in the 5-minute world: the same prompt, no 1-hour writes, and everything that had expired written again.
    """
    if not usage.tokens.write_1h and not rewritten_tokens:
        return usage
    tokens = usage.tokens
    moved = Tokens(write_5m=tokens.write_1h + rewritten_tokens, write_1h=-tokens.write_1h, read=-rewritten_tokens)
    return structs.replace(usage, tokens=tokens + moved)


def _obstacle(worlds: _Compared, *, priced: bool) -> str:
    """
    Why the counterfactual of an upgraded request is n/a, or "".

    The counters say how many tokens were written for 1 hour. They do not say who asked for it.
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
    Whether the usage might differ in the 5-minute world.
    """
    return usage.tokens.write_1h > 0 or (lost and usage.tokens.read > 0)


def _flipped(past: Shadow, usage: Usage, started_at: datetime) -> bool:
    """
    Whether a session with 5-minute entries changed to 1 hour while they were warm, and did not read all of them.

    It is not documented whether the TTL is part of the cache's key. If it is, the upgrade caused this miss.
    """
    went_over = usage.tokens.write_1h > 0 and not past.hour_tokens
    return went_over and usage.first_read_tokens < past.reaches_tokens(started_at)


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
            worlds.lost and usage.tokens.read,
            "others may keep warm what was read after the pause: not counted as saved",
        ),
        (
            worlds.asked.whole and usage.web_searches and _billed(usage) == FIVE_MINUTES,
            "the API keeps what its search tools find for 5m: that says nothing of the breakpoints",
        ),
    )
    return next((text for holds, text in notes if holds), "")


def _usd(nusd: int) -> str:
    """
    Nano-dollars as dollars with all nine decimals, computed in integers.
    """
    whole, rest = divmod(abs(nusd), 10**9)
    return f"{'-' if nusd < 0 else ''}{whole}.{rest:09d}"
