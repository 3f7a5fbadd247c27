"""
One step of the SQLite ledger: bills and holds, within one transaction.

Rule of this file: what is written and answered is what the calls one by one would write and answer. Each statement has its
price, so a step of several makes few: rows are written together, and a balance is read once for a key.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
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
from savemode_cli.core.budget.budget import Limit
from savemode_cli.core.budget.ledger import Posted, Reserve, Settle, Settled, is_allowed, used_before
from savemode_cli.ledgers.sums import KeySums, balances_of, before, is_lifted, moment_of, sums_of, text_of

_SHARED = """
    SELECT (SELECT settled_nusd FROM balances WHERE key = ?1), (SELECT nusd FROM outstanding WHERE key = ?1),
    (SELECT sum(ask_nusd) FROM holds WHERE key = ?1 AND released = 0 AND expires_at > ?2),
    (SELECT min(expires_at) FROM holds WHERE key = ?1 AND released = 0 AND expires_at > ?2)
"""
_ALLOWANCE = "SELECT (SELECT until FROM allowance), EXISTS (SELECT 1 FROM allowances)"
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
_INSERT_HOLDS = "INSERT INTO holds (hold_id, place, key, ask_nusd, expires_at, model, override) VALUES {rows}"
_HOLDS = "SELECT hold_id, place, key, model, override FROM holds WHERE hold_id IN ({rows}) ORDER BY hold_id, place"
_DELETE_HOLDS = "DELETE FROM holds WHERE hold_id IN ({rows})"
_TAKEN = """
    WITH asked (id) AS (VALUES {rows}) SELECT id FROM asked
    WHERE EXISTS (SELECT 1 FROM holds WHERE hold_id = id) OR EXISTS (SELECT 1 FROM charges WHERE hold_id = id)
"""
_MAX_ROWS = 100
"""How many rows one statement has parameters for. Older builds of SQLite take 999 parameters in all."""

_HoldRow = tuple[str, int, str, int, str, str, bool]


def post(db: sqlite3.Connection, settles: Sequence[Settle], reserves: Sequence[Reserve]) -> Posted:
    """
    Settle, then reserve. See `Ledger.post`.

    Args:
        db: a connection in a write transaction.
        settles: the bills.
        reserves: the requests.
    """
    settled = _settle_together(db, settles) if len(settles) > 1 else [_settle(db, one) for one in settles]
    balances = balances_of(db, {key: one.now for one in settles for key in one.keys})
    if len(reserves) > 1:
        return Posted(settled, balances, *_Step(db).reserve(reserves))
    judged = [_reserve(db, one) for one in reserves]
    return Posted(settled, balances, [decision for decision, _ in judged], judged[-1][1] if judged else None)


def _query(db: sqlite3.Connection, statement: str, rows: Sequence[tuple[str | int, ...]]) -> list[tuple[Any, ...]]:
    """
    The result of a statement about several rows, with a parameter for each value of each row.

    Parameters and not JSON: `json_each` ends a text at its first NUL, and so would read the balance of another key.
    """
    found: list[tuple[Any, ...]] = []
    for start in range(0, len(rows), _MAX_ROWS):
        part = rows[start : start + _MAX_ROWS]
        values = [value for row in part for value in row]
        found += db.execute(_with_places(statement, len(part), len(part[0])), values)
    return found


@lru_cache(maxsize=512)
def _with_places(statement: str, rows: int, columns: int) -> str:
    """
    A statement with the places of its parameters.
    """
    return statement.replace("{rows}", ",".join([f"({','.join('?' * columns)})"] * rows))


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
        self._any_lifted = False
        self._rows: list[_HoldRow] = []

    def reserve(self, reserves: Sequence[Reserve]) -> tuple[list[Decision], datetime | None]:
        """
        The decisions, and the end of the temporary override that they were made by.
        """
        ids = [(one.hold.id,) for one in reserves]
        taken = {hold_id for (hold_id,) in _query(self._db, _TAKEN, ids)}
        for one in reserves:
            if one.hold.id in taken:
                raise used_before(one.hold)
        until, self._any_lifted = self._db.execute(_ALLOWANCE).fetchone()
        allowed_until = None if until is None else moment_of(until)
        decisions = [self._decide(one, allowed_until) for one in reserves]
        self._flush()
        return decisions, allowed_until

    def _decide(self, one: Reserve, allowed_until: datetime | None) -> Decision:
        moment = text_of(one.now)
        rolling = [limit for limit in one.limits if limit.budget.window.span is not None]
        left: dict[str, Balance] = {}
        if rolling:
            self._flush()
            sums = sums_of(self._db, rolling, one.now)
            _forget_what_left(self._db, rolling, sums, one.now)
            left = {limit.key: balance for limit, (balance, _) in zip(rolling, sums, strict=True)}
        standings = [
            Standing(limit, left.get(limit.key) or self._balance(limit.key, moment), self._is_lifted(limit, moment))
            for limit in one.limits
        ]
        decision = decide(one.hold, standings, override=is_allowed(allowed_until, one.now))
        if isinstance(decision, Allowed) and decision.hold is not None:
            self._hold(decision.hold)
            return decision
        return _with_free_time(self._db, decision, one.now)

    def _balance(self, key: str, moment: str) -> Balance:
        """
        The balance of a key that has no rolling window.
        """
        kept = self._kept.get(key)
        if kept is None or not kept.is_right(moment):
            self._flush()
            *sums, until = self._db.execute(_SHARED, (key, moment)).fetchone()
            settled, outstanding, held = (nusd or 0 for nusd in sums)
            kept = self._kept[key] = _Kept(settled, outstanding, held, moment, until)
        return kept.balance()

    def _is_lifted(self, limit: Limit, moment: str) -> bool:
        return self._any_lifted and is_lifted(self._db, limit, moment)

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
            _insert_holds(self._db, self._rows)
            self._rows = []


def _reserve(db: sqlite3.Connection, one: Reserve) -> tuple[Decision, datetime | None]:
    """
    The decision, and the end of the temporary override that it used.
    """
    hold = one.hold
    known = before(db, hold.id, one.limits, one.now)
    if known.used:
        raise used_before(hold)
    _forget_what_left(db, one.limits, known.sums, one.now)
    standings = [
        Standing(limit, balance, lifted)
        for limit, (balance, _), lifted in zip(one.limits, known.sums, known.lifted, strict=True)
    ]
    decision = decide(hold, standings, override=is_allowed(known.until, one.now))
    if isinstance(decision, Allowed) and decision.hold is not None:
        _insert_holds(db, _rows(decision.hold))
    return _with_free_time(db, decision, one.now), known.until


def _forget_what_left(db: sqlite3.Connection, limits: Sequence[Limit], sums: Sequence[KeySums], now: datetime) -> None:
    """
    Subtract from a balance the charges that have left its rolling window, once and for all.
    """
    for limit, (_, left_nusd) in zip(limits, sums, strict=True):
        if left_nusd is not None and limit.budget.window.span is not None:
            gone = text_of(now - limit.budget.window.span)
            db.execute("UPDATE balances SET settled_nusd = settled_nusd - ? WHERE key = ?", (left_nusd, limit.key))
            db.execute("DELETE FROM rolling_charges WHERE key = ? AND settled_at <= ?", (limit.key, gone))


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


def _insert_holds(db: sqlite3.Connection, rows: Sequence[_HoldRow]) -> None:
    _query(db, _INSERT_HOLDS, rows)


def _rows(hold: Hold) -> list[_HoldRow]:
    same = (hold.ask_nusd, text_of(hold.expires_at), hold.model, hold.override)
    return [(hold.id, place, key, *same) for place, key in enumerate(hold.keys)]
