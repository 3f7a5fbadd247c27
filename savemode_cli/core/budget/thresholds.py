"""
The judgement of `admission.decide` as numbers, for a server that judges and holds in one step and does not know the rules.

Rule of this file: `decide` lets a request start exactly if what is used under each limit is at most its threshold, and then
keeps the hold that `thresholds` returns.
"""

from collections.abc import Sequence

from msgspec.structs import replace

from savemode_cli.core.budget.admission import Hold
from savemode_cli.core.budget.budget import Limit


def thresholds(
    hold: Hold, limits: Sequence[Limit], lifted: Sequence[bool], *, override: bool
) -> tuple[Hold, tuple[int | None, ...]]:
    """
    How much may be used under each limit for a request to start, in nano-USD.

    Args:
        hold: what the request asks for.
        limits: the limits that it is under.
        lifted: for each limit, whether an allowance lifts it.
        override: whether all limits are lifted for a while.

    Returns:
        The hold as it is kept, which says whether the request starts by an override; and the thresholds, None where a limit
        refuses nothing. Nothing is at most a negative one.
    """
    asked = [not (override or skip or _accepts(limit, hold)) for limit, skip in zip(limits, lifted, strict=True)]
    ignored = hold.override and any(
        limit.refuses and not limit.budget.allow_override
        for limit, is_asked in zip(limits, asked, strict=True)
        if is_asked
    )
    by_override = not all(asked) or (hold.override and not ignored) or override
    found = tuple(_threshold(hold, limit) if is_asked else None for limit, is_asked in zip(limits, asked, strict=True))
    return replace(hold, override=by_override), found


def _accepts(limit: Limit, hold: Hold) -> bool:
    return hold.override and limit.budget.allow_override


def _threshold(hold: Hold, limit: Limit) -> int | None:
    if limit.unidentified:
        return -1
    if not limit.refuses:
        return None
    return limit.nusd - max(1, hold.ask_nusd if limit.budget.strict else 1)
