"""
A ledger in one SQLite file, shared by any number of threads and processes of this machine.

Rule of this file: a cap holds because one write transaction reads the balance and writes the hold.
"""

import logging
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any

from savemode_cli.core.budget.admission import (
    Balance,
    Hold,
)
from savemode_cli.core.budget.budget import Budget
from savemode_cli.core.budget.ledger import (
    Charge,
    OpenHold,
    Posted,
    Reserve,
    Settle,
    check_posted,
)
from savemode_cli.core.budget.open_holds import is_expired
from savemode_cli.core.budget.personal import Allowance, PersonalLimit
from savemode_cli.core.budget.window import parse_window
from savemode_cli.core.errors import LedgerUnavailable
from savemode_cli.database import pragma
from savemode_cli.ledgers.checkpoints import Checkpoints
from savemode_cli.ledgers.posting import post
from savemode_cli.ledgers.sqlite_file import BUSY_S, TROUBLE, Opened, explained, explanation, identity, open_file
from savemode_cli.ledgers.sums import balances_of, moment_of, text_of

_log = logging.getLogger("savemode.ledger")

_SET_BUDGET = "INSERT OR REPLACE INTO budgets VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
# Later than all stored times, even if the clock was set back.
_SET_AT = """
    max(?1, 1 + max(coalesce((SELECT max(set_at_us) FROM budget_terms), 0),
                    coalesce((SELECT max(set_at_us) FROM personal_limits), 0)))
"""
_SET_TERMS = f"""
    INSERT OR REPLACE INTO budget_terms (set_at_us, name, allow_override, refusal_hint, unknown, action)
    VALUES ({_SET_AT}, ?2, ?3, ?4, ?5, ?6)
"""  # noqa: S608 - of constants
_SET_LIMIT = f"""
    INSERT OR REPLACE INTO personal_limits (set_at_us, budget, who, limit_nusd) VALUES ({_SET_AT}, ?2, ?3, ?4)
"""  # noqa: S608 - of constants
_BUDGETS = """
    SELECT budgets.*, coalesce(set_at_us, 0), coalesce(allow_override, 1), coalesce(refusal_hint, ''),
    coalesce(unknown, 'share'), coalesce(action, 'refuse') FROM budgets LEFT JOIN budget_terms USING (name) ORDER BY name
"""
_ALLOWANCES = """
    SELECT until, '', '' FROM allowance WHERE until IS NOT NULL
    UNION ALL SELECT until, budget, who FROM allowances ORDER BY 2, 3
"""
_LIMITS = "SELECT budget, who, limit_nusd, set_at_us FROM personal_limits ORDER BY budget, who"


_Terms = tuple[tuple[sqlite3.Connection, int], tuple[tuple[Budget, ...], tuple[PersonalLimit, ...]]]
"""A version of the file, and the budgets and personal limits in it."""


class SqliteLedger:
    """
    One connection behind one lock. The file is created with mode 0600, and its folder with mode 0700.

    If the file is deleted or replaced while it is open, the next call uses the file that is there now and logs
    `ledger.reopened`.
    """

    clock_offset = timedelta()
    """It goes by the clock of this machine."""

    def __init__(self, path: Path, *, busy_s: float = BUSY_S, opening_s: float | None = None) -> None:
        """
        Open or create the ledger.

        Args:
            path: the file.
            busy_s: how long a call waits while another process keeps the file locked, in seconds. An event loop uses 0.
            opening_s: how long opening waits; None: as long as a call.

        Raises:
            LedgerBusy: another process keeps the file locked.
            LedgerUnavailable: the file cannot be opened, is not a ledger, or was written by a newer savemode.
        """
        self._path = path
        self._busy_s = busy_s
        # SQLite serialises the calls on a connection, but not the transactions: without the lock, a statement of one thread
        # could run between BEGIN and COMMIT of another thread.
        self._lock = Lock()
        self._closed = False
        self._terms: _Terms | None = None
        with explained(path, "open"):
            self._file: Opened | None
            self._db, self._file = open_file(path, busy_s if opening_s is None else opening_s)
            self._db.execute(f"PRAGMA busy_timeout = {round(busy_s * 1000)}")
        self._checkpoints = Checkpoints(path)

    def post(self, settles: Sequence[Settle], reserves: Sequence[Reserve]) -> Posted:
        """
        See `Ledger`.
        """
        check_posted(settles, reserves)
        with self._transaction("reserve in" if reserves else "settle in", "BEGIN IMMEDIATE") as db:
            posted = post(db, settles, reserves)
        self._checkpoints.committed()
        return posted

    def release(self, hold_id: str) -> bool:
        """
        See `Ledger`.
        """
        with self._transaction("release in", "BEGIN IMMEDIATE") as db:
            # The row stays, so that a later bill finds its keys.
            done = db.execute("UPDATE holds SET released = 1 WHERE hold_id = ? AND released = 0", (hold_id,))
            return done.rowcount > 0

    def balance(self, key: str, now: datetime) -> Balance:
        """
        See `Ledger`.
        """
        with self._reading() as db:
            return balances_of(db, {key: now})[key]

    def balances(self, now: datetime) -> dict[str, Balance]:
        """
        See `Ledger`.
        """
        keys = "SELECT key FROM balances UNION SELECT key FROM holds WHERE released = 0 ORDER BY key"
        with self._transaction("read") as db:
            return balances_of(db, {key: now for (key,) in db.execute(keys).fetchall()})

    def holds(self, now: datetime) -> tuple[OpenHold, ...]:
        """
        See `Ledger`.
        """
        columns = "hold_id, ask_nusd, expires_at, model, override, key"
        query = f"SELECT {columns} FROM holds WHERE released = 0 ORDER BY expires_at, hold_id, place"  # noqa: S608
        with self._reading() as db:
            rows = db.execute(query).fetchall()
        grouped = [(first, tuple(row[-1] for row in rows)) for first, rows in groupby(rows, key=lambda row: row[:-1])]
        holds = [
            Hold(hold_id, keys, ask_nusd, moment_of(expires_at), model, bool(override))
            for (hold_id, ask_nusd, expires_at, model, override), keys in grouped
        ]
        return tuple(OpenHold(hold, is_expired(hold.expires_at, now)) for hold in holds)

    def charges(self, since: datetime | None = None) -> tuple[Charge, ...]:
        """
        See `Ledger`.
        """
        columns = "hold_id, nusd, basis, model, settled_at, override, key"
        query = f"SELECT {columns} FROM charges WHERE settled_at >= ? ORDER BY number"  # noqa: S608
        with self._reading() as db:
            rows = db.execute(query, ("" if since is None else text_of(since),)).fetchall()
        grouped = [(first, tuple(row[-1] for row in rows)) for first, rows in groupby(rows, key=lambda row: row[:-1])]
        return tuple(
            Charge(hold_id, keys, nusd, basis, model, moment_of(settled_at), bool(override))
            for (hold_id, nusd, basis, model, settled_at, override), keys in grouped
        )

    def allow(self, until: datetime | None, budget: str = "", who: str = "") -> None:
        """
        See `Ledger`.
        """
        with self._transaction("write", "BEGIN IMMEDIATE") as db:
            if not budget:
                db.execute("UPDATE allowance SET until = ?", (None if until is None else text_of(until),))
            if budget and until is not None:
                db.execute("INSERT OR REPLACE INTO allowances VALUES (?, ?, ?)", (budget, who, text_of(until)))
            elif until is None:
                db.execute("DELETE FROM allowances WHERE ?1 = '' OR (budget = ?1 AND who = ?2)", (budget, who))

    def allowed_until(self) -> datetime | None:
        """
        See `Ledger`.
        """
        with self._reading() as db:
            return _moment_or_none(db.execute("SELECT until FROM allowance").fetchone()[0])

    def allowances(self) -> tuple[Allowance, ...]:
        """
        See `Ledger`.
        """
        with self._reading() as db:
            rows = db.execute(_ALLOWANCES).fetchall()
        return tuple(Allowance(moment_of(until), budget, who) for until, budget, who in rows)

    def set_limit(self, limit: PersonalLimit) -> None:
        """
        See `Ledger`.
        """
        values = (limit.set_at_us, limit.budget, limit.who, limit.limit_nusd)
        with self._transaction("write", "BEGIN IMMEDIATE") as db:
            self._terms = None
            db.execute(_SET_LIMIT, values)

    def drop_limit(self, budget: str, who: str) -> bool:
        """
        See `Ledger`.
        """
        with self._transaction("write", "BEGIN IMMEDIATE") as db:
            self._terms = None
            return db.execute("DELETE FROM personal_limits WHERE budget = ? AND who = ?", (budget, who)).rowcount > 0

    def limits(self) -> tuple[PersonalLimit, ...]:
        """
        See `Ledger`.
        """
        return self.terms()[1]

    def set_budget(self, budget: Budget) -> None:
        """
        See `Ledger`.
        """
        values = (budget.name, budget.limit_nusd, str(budget.window), budget.zone, budget.scope, budget.strict)
        fractions = (str(budget.warn_at), str(budget.engage_at))
        with self._transaction("write", "BEGIN IMMEDIATE") as db:
            self._terms = None
            db.execute(_SET_BUDGET, values + fractions)
            people = (budget.allow_override, budget.refusal_hint, budget.unknown, budget.action)
            db.execute(_SET_TERMS, (budget.set_at_us, budget.name, *people))

    def drop_budget(self, name: str) -> bool:
        """
        See `Ledger`.
        """
        with self._transaction("write", "BEGIN IMMEDIATE") as db:
            self._terms = None
            db.execute("DELETE FROM budget_terms WHERE name = ?", (name,))
            db.execute("DELETE FROM personal_limits WHERE budget = ?", (name,))
            return db.execute("DELETE FROM budgets WHERE name = ?", (name,)).rowcount > 0

    def budgets(self) -> tuple[Budget, ...]:
        """
        See `Ledger`.
        """
        return self.terms()[0]

    def terms(self) -> tuple[tuple[Budget, ...], tuple[PersonalLimit, ...]]:
        """
        See `Ledger`. The terms are read again only if the file has changed.
        """
        with self._reading() as db:
            # The data version changes with every commit of another connection. After a reopening, the connection is another one.
            version = (db, db.execute("PRAGMA data_version").fetchone()[0])
            kept = self._terms
            if kept is None or kept[0] != version:
                budgets = tuple(map(_budget, db.execute(_BUDGETS).fetchall()))
                limits = tuple(PersonalLimit(*row) for row in db.execute(_LIMITS).fetchall())
                kept = self._terms = (version, (budgets, limits))
        return kept[1]

    def check(self) -> None:
        """
        See `Ledger`. An empty transaction, or one that changes nothing, would succeed on a full disk, so this one writes
        a page.
        """
        with self._transaction("write", "BEGIN IMMEDIATE") as db:
            db.execute(f"PRAGMA user_version = {pragma(db, 'user_version')}")

    def close(self) -> None:
        """
        See `Ledger`.
        """
        with self._lock:
            self._closed = True
            self._checkpoints.close()
            self._db.close()

    def _transaction(self, doing: str, begin: str = "BEGIN") -> "_Transaction":
        """
        A transaction. Writers use BEGIN IMMEDIATE, which takes the write lock at once. A plain BEGIN takes it at the
        first write; then two processes could both read a balance before either of them writes its hold.
        """
        return _Transaction(self._lock, self._connection, begin, self._path, doing)

    def _reading(self) -> "_Transaction":
        """
        A block for one statement, which is a transaction by itself.
        """
        return _Transaction(self._lock, self._connection, "", self._path, "read")

    def _connection(self) -> sqlite3.Connection:
        """
        The connection to the file that is at the path now.

        SQLite does not notice that its file is deleted: it would write to a file that no other process can see, while
        other processes use the new one.
        """
        if self._closed:
            raise LedgerUnavailable(f"the ledger {self._path} was closed", hint="open it again")
        if self._file is None or identity(self._path) != self._file.database:
            self._reopen()
        return self._db

    def _reopen(self) -> None:
        # Closing is safe here: SQLite notices that its file was moved, and does not touch the WAL at the path.
        self._db.close()
        was, self._file = self._file, None
        self._db, self._file = open_file(self._path, self._busy_s, was)
        self._checkpoints = Checkpoints(self._path)
        _log.warning("ledger.reopened path=%s reason=deleted_or_replaced earlier spend is not in it", self._path)


class _Transaction:
    """
    A transaction that is committed completely, or not at all if anything is raised in it; errors of SQLite are explained.

    Every request runs two of these. As a generator they took 7 microseconds of it.
    """

    __slots__ = ("_begin", "_connect", "_db", "_doing", "_lock", "_path")

    def __init__(
        self, lock: Lock, connect: Callable[[], sqlite3.Connection], begin: str, path: Path, doing: str
    ) -> None:
        self._lock = lock
        self._connect = connect
        self._begin = begin
        self._path = path
        self._doing = doing

    def __enter__(self) -> sqlite3.Connection:
        self._lock.acquire()
        try:
            self._db = self._connect()
            if self._begin:
                self._db.execute(self._begin)
            return self._db
        except BaseException as exc:
            self._lock.release()
            if isinstance(exc, TROUBLE):
                raise explanation(exc, self._path, self._doing) from exc
            raise

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, _trace: TracebackType | None
    ) -> None:
        try:
            if exc is None and self._begin:
                self._db.execute("COMMIT")
        except sqlite3.Error as failed:
            raise explanation(failed, self._path, self._doing) from failed
        finally:
            # After some errors, such as a full disk, SQLite has already rolled back. A rollback that fails changes nothing.
            if self._db.in_transaction:
                with suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
            self._lock.release()
        if isinstance(exc, TROUBLE):
            raise explanation(exc, self._path, self._doing) from exc


def _budget(row: tuple[Any, ...]) -> Budget:
    name, nusd, window, zone, scope, strict, warn_at, engage_at, set_at_us, *people = row
    allow_override, refusal_hint, unknown, action = people
    return Budget(
        name,
        nusd,
        parse_window(window),
        zone,
        scope,
        bool(strict),
        Decimal(warn_at),
        Decimal(engage_at),
        bool(allow_override),
        refusal_hint,
        unknown,
        action,
        set_at_us=set_at_us,
    )


def _moment_or_none(text: str | None) -> datetime | None:
    return None if text is None else moment_of(text)
