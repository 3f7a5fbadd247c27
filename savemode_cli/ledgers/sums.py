"""
What the SQLite ledger has under its keys, and what else a decision needs, in one statement.

Rule of this file: nothing is written. Each statement has its price, so one reads everything, and each of its parts is a
look-up in an index. It reads nothing that cannot be there: only charges and holds of a rolling window leave it.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from savemode_cli.core.budget.admission import Balance
from savemode_cli.core.budget.budget import Limit, aware
from savemode_cli.core.budget.window import span_of

# Expired holds are not read, because there may be thousands. `outstanding` has the sum of all open holds of a key.
_SUMS = (
    "(SELECT settled_nusd FROM balances WHERE key = ?{key})",
    "(SELECT nusd FROM outstanding WHERE key = ?{key})",
    "(SELECT sum(ask_nusd) FROM holds WHERE key = ?{key} AND released = 0 AND expires_at > ?{moment})",
)
# `gone` is the time before which charges and holds have left a rolling window: charges as old as the window is long, and holds
# that ran out as long ago.
_LEFT = (
    "(SELECT sum(nusd) FROM rolling_charges WHERE key = ?{key} AND settled_at <= ?{gone})",
    "(SELECT sum(ask_nusd) FROM holds WHERE key = ?{key} AND released = 0 AND expires_at <= ?{gone})",
)
_BEFORE = (
    "(SELECT until FROM allowance)",
    "EXISTS (SELECT 1 FROM allowances)",
    "EXISTS (SELECT 1 FROM holds WHERE hold_id = ?1) OR EXISTS (SELECT 1 FROM charges WHERE hold_id = ?1)",
)
_LIFTED = "SELECT EXISTS (SELECT 1 FROM allowances WHERE budget = ? AND who IN ('', ?) AND until > ?)"
_MAX_KEYS = 100
"""How many keys one statement asks for. Older builds of SQLite take 999 parameters in all."""

KeySums = tuple[Balance, int | None]
"""The balance of a key, and what has left its window and is to be subtracted for good; None if nothing is."""


@dataclass(frozen=True, slots=True)
class Before:
    """
    What is known when a request is judged.
    """

    until: datetime | None
    """The end of the temporary override of all budgets; it may be over."""
    used: bool
    """Whether the ID of its hold was used before."""
    sums: list[KeySums]
    """Of its limits, in their order."""
    lifted: list[bool]
    """Whether the budget of each limit is lifted for some time."""


def balances_of(db: sqlite3.Connection, wanted: Mapping[str, datetime]) -> dict[str, Balance]:
    """
    What is settled, unsettled and held under some keys, each at its time.
    """
    found = _sums_of(db, [(key, now, span_of(key)) for key, now in wanted.items()])
    return {key: balance for key, (balance, _) in zip(wanted, found, strict=True)}


def before(db: sqlite3.Connection, hold_id: str, limits: Sequence[Limit], now: datetime) -> Before:
    """
    What a decision about one request needs.

    Args:
        db: the connection.
        hold_id: the ID that its hold will have.
        limits: the limits by which it is judged.
        now: the time.
    """
    values, rolling = [hold_id], []
    moment = text_of(now)
    for limit in limits[:_MAX_KEYS]:
        span = limit.budget.window.span
        rolling.append(span is not None)
        values += (limit.key, moment) if span is None else (limit.key, moment, text_of(now - span))
    until, any_lifted, used, *row = db.execute(_statement(_BEFORE, tuple(rolling)), values).fetchone()
    sums = _sums(row, rolling)
    if len(limits) > _MAX_KEYS:
        sums += sums_of(db, limits[_MAX_KEYS:], now)
    lifted = [bool(any_lifted) and is_lifted(db, one, moment) for one in limits]
    return Before(None if until is None else moment_of(until), bool(used), sums, lifted)


def sums_of(db: sqlite3.Connection, limits: Sequence[Limit], now: datetime) -> list[KeySums]:
    """
    What is counted under the keys of limits.
    """
    return _sums_of(db, [(one.key, now, one.budget.window.span) for one in limits])


def is_lifted(db: sqlite3.Connection, limit: Limit, moment: str) -> bool:
    """
    Whether the budget of a limit is lifted for some time, for everybody or for the one that the limit is about.
    """
    return bool(db.execute(_LIFTED, (limit.budget.name, limit.who, moment)).fetchone()[0])


def text_of(moment: datetime) -> str:
    """
    A time as the file has it: UTC, of one width, so that texts sort as times do.
    """
    moment = moment if moment.tzinfo is UTC else aware(moment).astimezone(UTC)
    return moment.isoformat(timespec="microseconds")


def moment_of(text: str) -> datetime:
    """
    The time that is written so.
    """
    return datetime.fromisoformat(text)


def _sums_of(db: sqlite3.Connection, asked: Sequence[tuple[str, datetime, timedelta | None]]) -> list[KeySums]:
    """
    The sums of keys, each at its time, with the length of its rolling window.
    """
    sums: list[KeySums] = []
    for start in range(0, len(asked), _MAX_KEYS):
        values: list[str] = []
        rolling = []
        for key, now, span in asked[start : start + _MAX_KEYS]:
            rolling.append(span is not None)
            values += (key, text_of(now)) if span is None else (key, text_of(now), text_of(now - span))
        row = db.execute(_statement((), tuple(rolling)), values).fetchone()
        sums += _sums(row, rolling)
    return sums


def _sums(row: Sequence[int | None], rolling: Sequence[bool]) -> list[KeySums]:
    sums: list[KeySums] = []
    at = 0
    for rolls in rolling:
        settled, outstanding, held = row[at] or 0, row[at + 1] or 0, row[at + 2] or 0
        if rolls:
            left = row[at + 3]
            sums.append((Balance(settled - (left or 0), outstanding - held - (row[at + 4] or 0), held), left))
            at += 5
        else:
            sums.append((Balance(settled, outstanding - held, held), None))
            at += 3
    return sums


@lru_cache(maxsize=256)
def _statement(first: tuple[str, ...], rolling: tuple[bool, ...]) -> str:
    """
    The statement for so many keys. The parameters of each are its name, its time, and `gone` in a rolling window; those of
    `_BEFORE` stand before them.
    """
    columns = list(first)
    number = 2 if first else 1
    for rolls in rolling:
        place = {"key": number, "moment": number + 1, "gone": number + 2}
        columns += [column.format(**place) for column in _SUMS + (_LEFT if rolls else ())]
        number += 3 if rolls else 2
    return f"SELECT {', '.join(columns)}"
