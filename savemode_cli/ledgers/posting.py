"""
One step of the SQLite ledger: bills and holds, within one transaction.

Rule of this file: what is written and answered is what the calls one by one would write and answer. Each statement has its
price, so a step of several makes few: rows are written together, and a balance is read once for a key.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from savemode_cli.core.budget.admission import (
    Allowed,
    Balance,
    Decision,
    Hold,
    Standing,
    decide,
    rolling_in_the_way,
    with_free_time,
)
from savemode_cli.core.budget.budget import Limit, aware
from savemode_cli.core.budget.ledger import Posted, Reserve, Settle, Settled, is_allowed, used_before
from savemode_cli.core.budget.window import span_of

# Expired holds are not read, because there may be thousands. `outstanding` has the sum of all open holds of a key.
_SUMS = """
    (SELECT settled_nusd FROM balances WHERE key = ?1),
    (SELECT nusd FROM outstanding WHERE key = ?1),
    (SELECT sum(ask_nusd) FROM holds WHERE key = ?1 AND released = 0 AND expires_at > ?2)
"""
_LIFTED = "EXISTS (SELECT 1 FROM allowances WHERE budget = ?4 AND who IN ('', ?5) AND until > ?2)"
_USED = "EXISTS (SELECT 1 FROM holds WHERE hold_id = ?3) OR EXISTS (SELECT 1 FROM charges WHERE hold_id = ?3)"
# Everything that a reservation reads, in one statement, because each statement costs time. Most requests have one limit.
_STANDING = f"SELECT {_SUMS}, (SELECT until FROM allowance), {_USED}, {_LIFTED}"  # noqa: S608 - of constants
_BALANCE = f"SELECT {_SUMS}"
_NEXT = "(SELECT min(expires_at) FROM holds WHERE key = ?1 AND released = 0 AND expires_at > ?2)"
_SHARED = f"SELECT {_SUMS}, {_NEXT}, {_LIFTED.replace('?4', '?3').replace('?5', '?4')}"
_BEFORE = f"SELECT (SELECT until FROM allowance), {_USED.replace('?3', '?1')}"  # noqa: S608 - of constants
# The same for several keys at once. `gone` is the time before which charges and holds have left a rolling window: charges as
# old as the window is long, and holds that ran out as long ago. It is null for other keys, and then nothing has left.
_SEVERAL = """
    WITH asked (name, moment, gone, budget, who) AS (VALUES {rows})
    SELECT (SELECT settled_nusd FROM balances WHERE key = name),
    (SELECT nusd FROM outstanding WHERE key = name),
    (SELECT sum(ask_nusd) FROM holds WHERE key = name AND released = 0 AND expires_at > moment),
    (SELECT sum(nusd) FROM rolling_charges WHERE key = name AND settled_at <= gone),
    (SELECT sum(ask_nusd) FROM holds WHERE key = name AND released = 0 AND expires_at <= gone),
    EXISTS (SELECT 1 FROM allowances WHERE allowances.budget = asked.budget AND allowances.who IN ('', asked.who)
        AND until > moment)
    FROM asked
"""
_LEAVING = "SELECT settled_at, nusd FROM rolling_charges WHERE key = ? AND settled_at > ? ORDER BY settled_at, number"
_CHARGE = """
    INSERT INTO charges (hold_id, place, key, nusd, basis, model, settled_at, override)
    SELECT hold_id, place, key, ?2, ?3, model, ?4, override FROM holds WHERE hold_id = ?1
"""
_ADD = """
    INSERT INTO balances SELECT key, ?2 FROM holds WHERE hold_id = ?1
    ON CONFLICT (key) DO UPDATE SET settled_nusd = settled_nusd + excluded.settled_nusd
"""
_CHARGE_KEY = """
    INSERT INTO charges (hold_id, place, key, nusd, basis, model, settled_at, override) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""
_ADD_TO_KEY = """
    INSERT INTO balances VALUES (?, ?)
    ON CONFLICT (key) DO UPDATE SET settled_nusd = settled_nusd + excluded.settled_nusd
"""
_INSERT_HOLD = "INSERT INTO holds VALUES (?, ?, ?, ?, ?, ?, ?, 0)"
_HOLDS = "SELECT hold_id, place, key, model, override FROM holds WHERE hold_id IN ({rows}) ORDER BY hold_id, place"
_DELETE_HOLDS = "DELETE FROM holds WHERE hold_id IN ({rows})"
_TAKEN = """
    WITH asked (id) AS (VALUES {rows}) SELECT id FROM asked
    WHERE EXISTS (SELECT 1 FROM holds WHERE hold_id = id) OR EXISTS (SELECT 1 FROM charges WHERE hold_id = id)
"""
_MAX_ROWS = 100
"""How many rows one statement has parameters for. Older builds of SQLite take 999 parameters in all."""


def post(db: sqlite3.Connection, settles: Sequence[Settle], reserves: Sequence[Reserve]) -> Posted:
    """
    Settle, then reserve. See `Ledger.post`.

    Args:
        db: a connection in a write transaction.
        settles: the bills.
        reserves: the requests.
    """
    settled = _settle_together(db, settles) if len(settles) > 1 else [_settle(db, one) for one in settles]
    wanted = {key: one.now for one in settles for key in one.keys}
    balances = balances_of(db, wanted)
    if len(reserves) > 1:
        return Posted(settled, balances, *_Step(db).reserve(reserves))
    judged = [_reserve(db, one) for one in reserves]
    return Posted(settled, balances, [decision for decision, _ in judged], judged[-1][1] if judged else None)


def balances_of(db: sqlite3.Connection, wanted: Mapping[str, datetime]) -> dict[str, Balance]:
    """
    What is settled, unsettled and held under some keys, each at its time.
    """
    if len(wanted) < 2 and not any(map(span_of, wanted)):
        rows = [db.execute(_BALANCE, (key, text_of(now))).fetchone() for key, now in wanted.items()]
        return {key: _as_balance(*row) for key, row in zip(wanted, rows, strict=True)}
    asked = [(key, now, span_of(key), "", "") for key, now in wanted.items()]
    return {key: balance for key, (balance, _, _) in zip(wanted, _several(db, asked), strict=True)}


def _several(
    db: sqlite3.Connection, asked: Sequence[tuple[str, datetime, timedelta | None, str, str]]
) -> list[tuple[Balance, bool, int | None]]:
    """
    The balances of keys, whether their budgets are lifted, and what has left their windows and is to be subtracted for good.

    Args:
        db: the connection.
        asked: for each key its name, the time, the length of its rolling window, its budget, and for whom that is asked.
    """
    rows = [
        (key, text_of(now), None if span is None else text_of(now - span), budget, who)
        for key, now, span, budget, who in asked
    ]
    return [
        (_as_balance(settled, outstanding, held, left, left_holds), bool(lifted), left)
        for settled, outstanding, held, left, left_holds, lifted in _query(db, _SEVERAL, rows)
    ]


def _query(db: sqlite3.Connection, statement: str, rows: Sequence[tuple[str | None, ...]]) -> list[tuple[Any, ...]]:
    """
    The result of a statement about several rows, with a parameter for each value of each row.

    Parameters and not JSON: `json_each` ends a text at its first NUL, and so would read the balance of another key.
    """
    found: list[tuple[Any, ...]] = []
    for start in range(0, len(rows), _MAX_ROWS):
        part = rows[start : start + _MAX_ROWS]
        place = f"({','.join('?' * len(part[0]))})"
        words = statement.replace("{rows}", ",".join([place] * len(part)))
        found += db.execute(words, [value for row in part for value in row])
    return found


def text_of(moment: datetime) -> str:
    """
    A time as the file has it: UTC, of one width, so that texts sort as times do.
    """
    return aware(moment).astimezone(UTC).isoformat(timespec="microseconds")


def moment_of(text: str) -> datetime:
    """
    The time that is written so.
    """
    return datetime.fromisoformat(text)


def _settle_together(db: sqlite3.Connection, settles: Sequence[Settle]) -> list[Settled]:
    """
    Settle several, if all of their holds are on record, as they nearly always are.
    """
    bills = {one.hold_id: one for one in settles}
    ids = [(hold_id,) for hold_id in bills]
    held: dict[str, list[tuple[int, str, str, int]]] = {}
    for hold_id, *row in _query(db, _HOLDS, ids):
        held.setdefault(hold_id, []).append(tuple(row))
    if len(held) < len(settles):
        return [_settle(db, one) for one in settles]
    sums: dict[str, int] = {}
    rows = []
    for hold_id, one in bills.items():
        settled_at = text_of(one.now)
        for place, key, model, override in held[hold_id]:
            rows.append((hold_id, place, key, one.nusd, one.basis, model, settled_at, override))
            sums[key] = sums.get(key, 0) + one.nusd
    db.executemany(_CHARGE_KEY, rows)
    db.executemany(_ADD_TO_KEY, sums.items())
    _query(db, _DELETE_HOLDS, ids)
    return ["charged"] * len(settles)


@dataclass(slots=True)
class _Kept:
    """
    What a key's balance is made of, as it was read and as this step has changed it.
    """

    settled_nusd: int
    outstanding_nusd: int
    held_nusd: int
    since: str
    """When it was read."""
    until: str | None
    """When the next of its holds runs out: from then on another part of it is held."""

    def is_right(self, moment: str) -> bool:
        """
        Whether it is what would be read at this time.
        """
        return self.since <= moment and (self.until is None or moment < self.until)

    def add(self, ask_nusd: int, expires_at: str) -> None:
        """
        Count a hold that is made now.
        """
        self.outstanding_nusd += ask_nusd
        if expires_at > self.since:
            self.held_nusd += ask_nusd
            self.until = expires_at if self.until is None else min(self.until, expires_at)

    def balance(self) -> Balance:
        """
        The balance that it is.
        """
        return Balance(self.settled_nusd, self.outstanding_nusd - self.held_nusd, self.held_nusd)


class _Step:
    """
    Several requests in one step: a balance that was read is not read again as long as it is certain what it is.

    It is not if one of the key's holds runs out between two of the requests, nor in a rolling window, which charges leave.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._kept: dict[str, _Kept] = {}
        self._not_lifted: dict[tuple[str, str], str] = {}
        self._rows: list[tuple[str, int, str, int, str, str, bool]] = []

    def reserve(self, reserves: Sequence[Reserve]) -> tuple[list[Decision], datetime | None]:
        """
        The decisions, and the end of the temporary override that they were made by.
        """
        ids = [(one.hold.id,) for one in reserves]
        taken = {hold_id for (hold_id,) in _query(self._db, _TAKEN, ids)}
        for one in reserves:
            if one.hold.id in taken:
                raise used_before(one.hold)
        until = self._db.execute("SELECT until FROM allowance").fetchone()[0]
        allowed_until = None if until is None else moment_of(until)
        decisions = [self._decide(one, allowed_until) for one in reserves]
        self._flush()
        return decisions, allowed_until

    def _decide(self, one: Reserve, allowed_until: datetime | None) -> Decision:
        if any(limit.budget.window.span is not None for limit in one.limits):
            self._flush()
        moment = text_of(one.now)
        standings = [self._judged(limit, one.now, moment) for limit in one.limits]
        decision = decide(one.hold, standings, override=is_allowed(allowed_until, one.now))
        if isinstance(decision, Allowed) and decision.hold is not None:
            self._hold(decision.hold)
            return decision
        return _with_free_time(self._db, decision, one.now)

    def _judged(self, limit: Limit, now: datetime, moment: str) -> Standing:
        if limit.budget.window.span is not None:
            return _standings(self._db, (limit,), now)[0]
        balance, lifted = self._standing(limit.key, limit.budget.name, limit.who, moment)
        return Standing(limit, balance, lifted)

    def _standing(self, key: str, budget: str, who: str, moment: str) -> tuple[Balance, bool]:
        """
        The balance of a key that has no rolling window, and whether its budget is lifted for somebody.
        """
        kept, not_lifted_since = self._kept.get(key), self._not_lifted.get((budget, who))
        # What is not lifted is not lifted later either: nothing is lifted within this transaction.
        if kept is None or not kept.is_right(moment) or not_lifted_since is None or moment < not_lifted_since:
            self._flush()
            *sums, until, lifted = self._db.execute(_SHARED, (key, moment, budget, who)).fetchone()
            settled, outstanding, held = (nusd or 0 for nusd in sums)
            kept = self._kept[key] = _Kept(settled, outstanding, held, moment, until)
            if lifted:
                return kept.balance(), True
            self._not_lifted[budget, who] = moment
        return kept.balance(), False

    def _hold(self, hold: Hold) -> None:
        rows = _rows(hold)
        self._rows += rows
        for row in rows:
            kept = self._kept.get(row[2])
            if kept is not None:
                kept.add(hold.ask_nusd, row[4])

    def _flush(self) -> None:
        """
        Write the holds of this step, for what is read next depends on them.
        """
        if self._rows:
            self._db.executemany(_INSERT_HOLD, self._rows)
            self._rows = []


def _reserve(db: sqlite3.Connection, one: Reserve) -> tuple[Decision, datetime | None]:
    """
    The decision, and the end of the temporary override that it used.
    """
    hold, moment = one.hold, text_of(one.now)
    if len(one.limits) == 1 and one.limits[0].budget.window.span is None:
        limit = one.limits[0]
        row = db.execute(_STANDING, (limit.key, moment, hold.id, limit.budget.name, limit.who)).fetchone()
        until, seen = row[3:5]
        standings = [Standing(limit, _as_balance(*row[:3]), bool(row[5]))]
    else:
        until, seen = db.execute(_BEFORE, (hold.id,)).fetchone()
        standings = [] if seen else _standings(db, one.limits, one.now)
    if seen:
        raise used_before(hold)
    allowed_until = None if until is None else moment_of(until)
    decision = decide(hold, standings, override=is_allowed(allowed_until, one.now))
    if isinstance(decision, Allowed) and decision.hold is not None:
        db.executemany(_INSERT_HOLD, _rows(decision.hold))
    return _with_free_time(db, decision, one.now), allowed_until


def _standings(db: sqlite3.Connection, limits: Sequence[Limit], now: datetime) -> list[Standing]:
    """
    Where limits stand. Charges that have left a rolling window are subtracted from its balance, once and for all.
    """
    asked = [(limit.key, now, limit.budget.window.span, limit.budget.name, limit.who) for limit in limits]
    standings = []
    for limit, (balance, lifted, left_nusd) in zip(limits, _several(db, asked), strict=True):
        if left_nusd is not None and limit.budget.window.span is not None:
            gone = text_of(now - limit.budget.window.span)
            db.execute("UPDATE balances SET settled_nusd = settled_nusd - ? WHERE key = ?", (left_nusd, limit.key))
            db.execute("DELETE FROM rolling_charges WHERE key = ? AND settled_at <= ?", (limit.key, gone))
        standings.append(Standing(limit, balance, lifted))
    return standings


def _with_free_time(db: sqlite3.Connection, decision: Decision, now: datetime) -> Decision:
    standing = rolling_in_the_way(decision)
    span = None if standing is None else standing.limit.budget.window.span
    if standing is None or span is None:
        return decision
    # Rows are read only as far as needed: usually a few charges must leave before there is room.
    rows = db.execute(_LEAVING, (standing.limit.key, text_of(now - span)))
    return with_free_time(decision, ((moment_of(settled_at) + span, nusd) for settled_at, nusd in rows))


def _settle(db: sqlite3.Connection, one: Settle) -> Settled:
    if db.execute(_CHARGE, (one.hold_id, one.nusd, one.basis, text_of(one.now))).rowcount == 0:
        if db.execute("SELECT 1 FROM charges WHERE hold_id = ?", (one.hold_id,)).fetchone():
            return "repeated"
        return "unknown" if one.hold is None else _charge_keys(db, one, one.hold)
    db.execute(_ADD, (one.hold_id, one.nusd))
    db.execute("DELETE FROM holds WHERE hold_id = ?", (one.hold_id,))
    return "charged"


def _charge_keys(db: sqlite3.Connection, one: Settle, hold: Hold) -> Settled:
    """
    Charge the keys of a hold that is not in the ledger.
    """
    same = (one.nusd, one.basis, hold.model, text_of(one.now), hold.override)
    db.executemany(_CHARGE_KEY, [(hold.id, place, key, *same) for place, key in enumerate(hold.keys)])
    db.executemany(_ADD_TO_KEY, [(key, one.nusd) for key in hold.keys])
    return "charged"


def _rows(hold: Hold) -> list[tuple[str, int, str, int, str, str, bool]]:
    same = (hold.ask_nusd, text_of(hold.expires_at), hold.model, hold.override)
    return [(hold.id, place, key, *same) for place, key in enumerate(hold.keys)]


def _as_balance(
    settled: int | None,
    outstanding: int | None,
    held: int | None,
    left: int | None = None,
    left_holds: int | None = None,
) -> Balance:
    unsettled = (outstanding or 0) - (held or 0) - (left_holds or 0)
    return Balance((settled or 0) - (left or 0), unsettled, held or 0)
