"""
A ledger in one SQLite file, shared by any number of threads and processes of this machine.

Rule of this file: a cap holds because reading the balance and writing the hold are one write transaction.
"""

import logging
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from threading import Lock
from types import TracebackType

from savemode_cli.core.admission import Allowed, Balance, Decision, Hold, Standing, decide
from savemode_cli.core.budget import Budget, Limit, aware, parse_window
from savemode_cli.core.charge import Basis
from savemode_cli.core.errors import LedgerUnavailable
from savemode_cli.core.ledger import (
    Charge,
    OpenHold,
    Posted,
    Reserve,
    Settle,
    Settled,
    check_posted,
    is_allowed,
    is_expired,
    used_before,
)
from savemode_cli.ledgers.sqlite_file import BUSY_S, TROUBLE, Opened, explained, explanation, identity, open_file

_log = logging.getLogger("savemode.ledger")

_SUMS = """
    (SELECT settled_nusd FROM balances WHERE key = ?1),
    sum(ask_nusd) FILTER (WHERE expires_at <= ?2), sum(ask_nusd) FILTER (WHERE expires_at > ?2)
"""
_SEEN = """
    (SELECT until FROM allowance),
    EXISTS (SELECT 1 FROM holds WHERE hold_id = ?3) OR EXISTS (SELECT 1 FROM charges WHERE hold_id = ?3)
"""
_HELD = "FROM holds WHERE key = ?1 AND released = 0"
_BALANCE = f"SELECT {_SUMS} {_HELD}"
# All that a reserve asks, in one statement: each has its price, and most requests are under one limit.
_STANDING = f"SELECT {_SUMS}, {_SEEN} {_HELD}"
_CHARGE = """
    INSERT INTO charges (hold_id, place, key, nusd, basis, model, settled_at, override)
    SELECT hold_id, place, key, ?2, ?3, model, ?4, override FROM holds WHERE hold_id = ?1
"""
_ADD = """
    INSERT INTO balances SELECT key, ?2 FROM holds WHERE hold_id = ?1
    ON CONFLICT (key) DO UPDATE SET settled_nusd = settled_nusd + excluded.settled_nusd
"""
_SET_BUDGET = "INSERT OR REPLACE INTO budgets VALUES (?, ?, ?, ?, ?, ?, ?, ?)"


class SqliteLedger:
    """
    One connection behind one lock. The file is made with mode 0600, its folder, if it is not there, with 0700.

    A call waits for other processes for up to `busy_s`; who calls from an event loop chooses it with that in mind. If
    the file is deleted or replaced under us, the next call goes on with what is there now and logs `ledger.reopened`.
    """

    def __init__(self, path: Path, *, busy_s: float = BUSY_S) -> None:
        """
        Open or create the ledger at `path`.

        Raises:
            LedgerUnavailable: it cannot be, or the file is somebody else's, or a newer savemode's.
        """
        self._path = path
        self._busy_s = busy_s
        # SQLite would serialise calls on one connection by itself, but not transactions: without the lock one thread's
        # statements would fall into another thread's BEGIN ... COMMIT.
        self._lock = Lock()
        self._closed = False
        self._budgets: tuple[tuple[sqlite3.Connection, int], tuple[Budget, ...]] | None = None
        with explained(path, "open"):
            self._file: Opened | None
            self._db, self._file = open_file(path, busy_s)

    def post(self, settles: Sequence[Settle], reserves: Sequence[Reserve]) -> Posted:
        """
        See `Ledger`.
        """
        check_posted(settles, reserves)
        with self._transaction("reserve in" if reserves else "settle in", "BEGIN IMMEDIATE") as db:
            settled = [_settle(db, one) for one in settles]
            wanted = {key: one.now for one in settles for key in one.keys}
            balances = {key: _balance(db, key, _text(now)) for key, now in wanted.items()}
            return Posted(settled, balances, [_reserve(db, one) for one in reserves])

    def reserve(self, hold: Hold, limits: Sequence[Limit], now: datetime) -> Decision:
        """
        See `Ledger`.
        """
        return self.post((), (Reserve(hold, limits, now),)).decisions[0]

    def settle(self, hold_id: str, nusd: int, basis: Basis, now: datetime) -> Settled:
        """
        See `Ledger`.
        """
        return self.post((Settle(hold_id, nusd, basis, now),), ()).settled[0]

    def release(self, hold_id: str) -> bool:
        """
        See `Ledger`.
        """
        with self._transaction("release in", "BEGIN IMMEDIATE") as db:
            # The row stays: a bill that comes after all still finds its keys.
            done = db.execute("UPDATE holds SET released = 1 WHERE hold_id = ? AND released = 0", (hold_id,))
            return done.rowcount > 0

    def balance(self, key: str, now: datetime) -> Balance:
        """
        See `Ledger`.
        """
        with self._reading() as db:
            return _balance(db, key, _text(now))

    def balances(self, now: datetime) -> dict[str, Balance]:
        """
        See `Ledger`.
        """
        keys = "SELECT key FROM balances UNION SELECT key FROM holds WHERE released = 0 ORDER BY key"
        with self._transaction("read") as db:
            return {key: _balance(db, key, _text(now)) for (key,) in db.execute(keys).fetchall()}

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
            Hold(hold_id, keys, ask_nusd, _moment(expires_at), model, bool(override))
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
            rows = db.execute(query, ("" if since is None else _text(since),)).fetchall()
        grouped = [(first, tuple(row[-1] for row in rows)) for first, rows in groupby(rows, key=lambda row: row[:-1])]
        return tuple(
            Charge(hold_id, keys, nusd, basis, model, _moment(settled_at), bool(override))
            for (hold_id, nusd, basis, model, settled_at, override), keys in grouped
        )

    def allow(self, until: datetime | None) -> None:
        """
        See `Ledger`.
        """
        with self._transaction("write", "BEGIN IMMEDIATE") as db:
            db.execute("UPDATE allowance SET until = ?", (None if until is None else _text(until),))

    def allowed_until(self) -> datetime | None:
        """
        See `Ledger`.
        """
        with self._reading() as db:
            return _moment_or_none(db.execute("SELECT until FROM allowance").fetchone()[0])

    def set_budget(self, budget: Budget) -> None:
        """
        See `Ledger`.
        """
        values = (budget.name, budget.limit_nusd, str(budget.window), budget.zone, budget.scope, budget.strict)
        fractions = (str(budget.warn_at), str(budget.engage_at))
        with self._transaction("write", "BEGIN IMMEDIATE") as db:
            self._budgets = None
            db.execute(_SET_BUDGET, values + fractions)

    def drop_budget(self, name: str) -> bool:
        """
        See `Ledger`.
        """
        with self._transaction("write", "BEGIN IMMEDIATE") as db:
            self._budgets = None
            return db.execute("DELETE FROM budgets WHERE name = ?", (name,)).rowcount > 0

    def budgets(self) -> tuple[Budget, ...]:
        """
        See `Ledger`. Read anew only if the file has changed: the proxy asks at each request.
        """
        with self._reading() as db:
            # Changes with every commit of another connection, and is another connection's after a reopening.
            version = (db, db.execute("PRAGMA data_version").fetchone()[0])
            kept = self._budgets
            if kept is None or kept[0] != version:
                rows = db.execute("SELECT * FROM budgets ORDER BY name").fetchall()
                kept = self._budgets = (version, tuple(map(_budget, rows)))
        return kept[1]

    def close(self) -> None:
        """
        See `Ledger`.
        """
        with self._lock:
            self._closed = True
            self._db.close()

    def _transaction(self, doing: str, begin: str = "BEGIN") -> "_Transaction":
        """
        Writers begin IMMEDIATE, with the write lock in hand: a plain BEGIN takes it at the first write, after the
        balance was read, and two processes would both have read it before either holds anything.
        """
        return _Transaction(self._lock, self._connection, begin, self._path, doing)

    def _reading(self) -> "_Transaction":
        """
        For one statement, which is a transaction by itself.
        """
        return _Transaction(self._lock, self._connection, "", self._path, "read")

    def _connection(self) -> sqlite3.Connection:
        """
        The connection, to the file that is at the path now.

        SQLite does not notice when its file is unlinked: it would go on counting in a file that no other process can
        see, beside processes that count in the new one.
        """
        if self._closed:
            raise LedgerUnavailable(f"the ledger {self._path} was closed", hint="open it again")
        if self._file is None or identity(self._path) != self._file.database:
            self._reopen()
        return self._db

    def _reopen(self) -> None:
        # Closing is safe here: SQLite sees that its file has moved, and leaves the WAL at the path alone.
        self._db.close()
        was, self._file = self._file, None
        self._db, self._file = open_file(self._path, self._busy_s, was)
        _log.warning("ledger.reopened path=%s reason=deleted_or_replaced earlier spend is not in it", self._path)


class _Transaction:
    """
    All of it or nothing, whatever is raised in it; and what SQLite says, explained.

    Two of these surround every request. Written as a generator they took 7 of its microseconds.
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
            # Some errors (a full disk) have rolled back already. One that cannot roll back is not made worse.
            if self._db.in_transaction:
                with suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
            self._lock.release()
        if isinstance(exc, TROUBLE):
            raise explanation(exc, self._path, self._doing) from exc


def _budget(row: tuple[str, int, str, str, str, int, str, str]) -> Budget:
    name, nusd, window, zone, scope, strict, warn_at, engage_at = row
    return Budget(name, nusd, parse_window(window), zone, scope, bool(strict), Decimal(warn_at), Decimal(engage_at))


def _reserve(db: sqlite3.Connection, one: Reserve) -> Decision:
    hold, moment = one.hold, _text(one.now)
    keys = [limit.key for limit in one.limits] or hold.keys[:1]
    rows = [db.execute(_STANDING, (key, moment, hold.id)).fetchone() for key in keys]
    until, seen = rows[0][3:]
    if seen:
        raise used_before(hold)
    standings = [Standing(limit, _as_balance(row)) for limit, row in zip(one.limits, rows, strict=False)]
    decision = decide(hold, standings, override=is_allowed(_moment_or_none(until), one.now))
    if isinstance(decision, Allowed) and decision.hold is not None:
        _insert(db, decision.hold)
    return decision


def _settle(db: sqlite3.Connection, one: Settle) -> Settled:
    if db.execute(_CHARGE, (one.hold_id, one.nusd, one.basis, _text(one.now))).rowcount == 0:
        known = db.execute("SELECT 1 FROM charges WHERE hold_id = ?", (one.hold_id,)).fetchone()
        return "repeated" if known else "unknown"
    db.execute(_ADD, (one.hold_id, one.nusd))
    db.execute("DELETE FROM holds WHERE hold_id = ?", (one.hold_id,))
    return "charged"


def _insert(db: sqlite3.Connection, hold: Hold) -> None:
    same = (hold.ask_nusd, _text(hold.expires_at), hold.model, hold.override)
    rows = [(hold.id, place, key, *same) for place, key in enumerate(hold.keys)]
    db.executemany("INSERT INTO holds VALUES (?, ?, ?, ?, ?, ?, ?, 0)", rows)


def _balance(db: sqlite3.Connection, key: str, moment: str) -> Balance:
    return _as_balance(db.execute(_BALANCE, (key, moment)).fetchone())


def _as_balance(row: tuple[int | None, ...]) -> Balance:
    return Balance(row[0] or 0, row[1] or 0, row[2] or 0)


def _text(moment: datetime) -> str:
    return aware(moment).astimezone(UTC).isoformat(timespec="microseconds")


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _moment_or_none(text: str | None) -> datetime | None:
    return None if text is None else _moment(text)
