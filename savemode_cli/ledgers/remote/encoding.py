"""
The steps of a ledger as lists of texts, which are the same for every server, and the answers of a server.

Rule of this file: it makes no decisions and does not round: an amount is a text of digits, or an `int`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from savemode_cli.core.budget.admission import Allowed, Balance, Decision, Hold, Standing, decide
from savemode_cli.core.budget.ledger import Reserve, Settle, is_allowed, is_lifted
from savemode_cli.core.budget.thresholds import thresholds
from savemode_cli.core.budget.window import span_of
from savemode_cli.ledgers.remote.texts import Terms, bucket, left_until, lettered, microseconds, moment

MOST_LEAVING = 100
"""How many charges that leave a rolling window a step returns."""


@dataclass(frozen=True, slots=True)
class PlannedReserve:
    """
    A reserve, and by which limits it is judged under the terms.
    """

    reserve: Reserve
    lifted: tuple[bool, ...]
    """For each limit, whether an allowance lifts it."""
    override: bool
    kept: Hold
    """The hold, if the request may start."""
    most_used: tuple[int | None, ...]
    """See `thresholds`."""


def planned(reserve: Reserve, terms: Terms) -> PlannedReserve:
    """
    How a reserve is judged by these terms.
    """
    allowances = [one for one in terms.allowances if one.budget]
    lifted = tuple(is_lifted(limit, allowances, reserve.now) for limit in reserve.limits)
    override = is_allowed(terms.allowed_until, reserve.now)
    kept, most_used = thresholds(reserve.hold, reserve.limits, lifted, override=override)
    return PlannedReserve(reserve, lifted, override, kept, most_used)


def step_arguments(
    settles: Sequence[Settle], wanted: Mapping[str, datetime], reserves: Sequence[PlannedReserve]
) -> list[str]:
    """
    What follows the head of a step, in the order of `redis_step.lua`.

    Args:
        settles: what to settle.
        wanted: which balances to return, each at its time.
        reserves: what to judge and hold.
    """
    arguments = [str(len(settles))]
    for settle in settles:
        arguments += _settle(settle)
    arguments.append(str(len(wanted)))
    for key, now in wanted.items():
        arguments += (lettered(key), str(microseconds(now)), left_until(key, now))
    arguments.append(str(len(reserves)))
    brought = {one.hold_id for one in settles if one.hold is not None}
    for reserve in reserves:
        arguments += _reserve(reserve, is_brought=reserve.kept.id in brought)
    return arguments


def balance_of(key: str, answer: Sequence[Any]) -> Balance:
    """
    A balance from what a server returns of it.
    """
    settled, open_nusd, which, counted, left_charges, left_holds = answer[:6]
    part = sum(map(_amount, counted))
    unsettled = part if which == "expired" else int(open_nusd) - part
    held = int(open_nusd) - unsettled
    if span_of(key) is not None:
        unsettled -= sum(map(_amount, left_holds))
    return Balance(int(settled or 0) - sum(map(_amount, left_charges)), unsettled, held)


def is_listed(answer: Sequence[Any]) -> bool:
    """
    Whether a key is one that a ledger lists: something was charged to it, or is held.
    """
    return bool(answer[0] != "" or answer[6] != "0")


def decision_of(one: PlannedReserve, answer: Sequence[Any]) -> Decision:
    """
    The decision from what a server returns of a reserve.

    Raises:
        RuntimeError: the server decided otherwise. That is a bug.
    """
    fits, standings = answer
    found = [
        Standing(limit, balance_of(limit.key, standing), skip)
        for limit, skip, standing in zip(one.reserve.limits, one.lifted, standings, strict=True)
    ]
    decision = decide(one.reserve.hold, found, override=one.override)
    if isinstance(decision, Allowed) != (fits == "1"):
        raise RuntimeError(f"the server of the ledger judged hold {one.reserve.hold.id} by another rule")
    return decision


def leaving_of(one: PlannedReserve, key: str, answer: Sequence[Any]) -> list[tuple[datetime, int]]:
    """
    When the oldest charges of a rolling window leave it, as far as a step returns them.
    """
    place = next(n for n, limit in enumerate(one.reserve.limits) if limit.key == key)
    return leaving(key, answer[1][place][7])


def leaving(key: str, pairs: Sequence[Any]) -> list[tuple[datetime, int]]:
    """
    When charges leave the rolling window of a key.

    Args:
        key: the key.
        pairs: a flat list of "NUSD:ID" and the time of each charge, in microseconds.
    """
    span = span_of(key) or timedelta()
    return [
        (moment(_whole(time)) + span, _amount(member)) for member, time in zip(pairs[::2], pairs[1::2], strict=True)
    ]


def _settle(one: Settle) -> list[str]:
    head = [one.hold_id, bucket(one.hold_id), str(one.nusd), one.basis, str(microseconds(one.now))]
    if one.hold is None:
        return [*head, "", "0", "0"]
    keys = [lettered(key) for key in one.hold.keys]
    return [*head, one.hold.model, str(int(one.hold.override)), str(len(keys)), *keys]


def _reserve(one: PlannedReserve, *, is_brought: bool) -> list[str]:
    """
    A hold that a settle of the same step brings is one that was used before: it has no bucket.
    """
    hold, now = one.kept, one.reserve.now
    arguments = [
        hold.id,
        "" if is_brought else bucket(hold.id),
        str(hold.ask_nusd),
        str(microseconds(hold.expires_at)),
        hold.model,
    ]
    arguments += (str(int(hold.override)), str(microseconds(now)), str(len(hold.keys)), *map(lettered, hold.keys))
    arguments.append(str(len(one.reserve.limits)))
    for limit, most in zip(one.reserve.limits, one.most_used, strict=True):
        arguments += (lettered(limit.key), "" if most is None else str(most), left_until(limit.key, now))
    return arguments


def _amount(member: str) -> int:
    return int(member.partition(":")[0])


def _whole(time: str | float) -> int:
    # A score is a double, which is exact for microseconds of any year before 2255.
    return int(time) if isinstance(time, str) and time.lstrip("-").isdigit() else int(float(time))
