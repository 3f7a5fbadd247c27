"""
A ledger on PostgreSQL, for commands.

Rule of this file: a step is one call of a function on the server, which is one transaction: the balances of its keys are locked
while it reads them and writes holds.
"""

import json
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import psycopg

from savemode_cli.core.budget.admission import Hold
from savemode_cli.core.budget.ledger import Charge
from savemode_cli.ledgers.postgres_server import (
    charge_of,
    check_server,
    connection_options,
    definitions,
    failure,
    hold_of,
    original,
    plain,
    schema_of,
    step_parameters,
    terms_of,
    terms_row,
)
from savemode_cli.ledgers.remote.address import COMMAND_TIMEOUT_S, ServerAddress
from savemode_cli.ledgers.remote.blocking import RemoteLedger
from savemode_cli.ledgers.remote.questions import NotAsked, Question, ReadLeaving, ReadTerms, Step, Undo
from savemode_cli.ledgers.remote.steps import Steps
from savemode_cli.ledgers.remote.texts import Terms, microseconds

Connection = psycopg.Connection[tuple[Any, ...]]

_MAKING = 7_236_120_411_907_303_551  # the lock under which a ledger is made


class PostgresLedger(RemoteLedger):
    """
    The ledger of one address. It connects at the first call, and makes its tables if there are none.
    """

    def __init__(self, address: ServerAddress, clock: Callable[[], float] = time.time) -> None:
        """
        Args:
            address: where the ledger is.
            clock: the clock of this machine, in seconds since 1970.
        """
        super().__init__(Steps(address.shown, clock))
        self._options = connection_options(address, max(COMMAND_TIMEOUT_S, address.timeout_s))
        self._schema = schema_of(address.name)
        self._connection: Connection | None = None

    def _ask(self, question: Question) -> Any:
        match question:
            case Step():
                words = step_parameters(question.arguments)
                return self._one(f"SELECT {self._schema}.step(%s, %s, %s, %s, %s, %s, %s)", words)[0]
            case Undo():
                steps = json.dumps([[step, [plain(one) for one in ids]] for step, ids in question.steps])
                return self._one(f"SELECT {self._schema}.undo(%s)", (steps,))[0]
            case ReadTerms():
                return terms_of(self._one(f"SELECT version, budgets, limits, allowances FROM {self._schema}.terms"))
            case ReadLeaving(key, since_us):
                rows = self._all(
                    f"SELECT nusd, settled_at FROM {self._schema}.rolling_charges WHERE key = %s AND settled_at > %s "
                    "ORDER BY settled_at, id",
                    (plain(key), int(since_us)),
                )
                return [str(word) for row in rows for word in row]

    def _release(self, hold_id: str, call_id: str) -> bool:
        return bool(self._one(f"SELECT {self._schema}.release(%s, %s)", (plain(hold_id), call_id))[0] == "1")

    def _read_keys(self) -> list[str]:
        rows = self._all(f"SELECT key FROM {self._schema}.balances WHERE charged OR opened > 0")
        return [original(row[0])[1:] for row in rows]

    def _read_holds(self) -> list[Hold]:
        columns = "id, keys, ask, expires, model, override"
        order = 'ORDER BY expires, id COLLATE "C"'
        return [
            hold_of(row) for row in self._all(f"SELECT {columns} FROM {self._schema}.holds WHERE released = '' {order}")
        ]

    def _read_charges(self, since: datetime | None) -> tuple[Charge, ...]:
        columns = "id, keys, nusd, basis, model, settled_at, override"
        query = f"SELECT {columns} FROM {self._schema}.charges WHERE settled_at >= %s ORDER BY number"
        least = -(2**63) if since is None else microseconds(since)
        return tuple(charge_of(row) for row in self._all(query, (least,)))

    def _change_terms(self, change: Callable[[Terms], Terms], version: str) -> bool:
        def changed(connection: Connection) -> bool:
            columns = "version, budgets, limits, allowances"
            with connection.transaction():
                row = connection.execute(f"SELECT {columns} FROM {self._schema}.terms FOR UPDATE").fetchone()
                assert row is not None  # noqa: S101 - made with the table
                present = terms_of(row)
                terms = change(present)
                if present.version == version or terms.content == present.content:
                    return present.version == version
                values = (version, *terms_row(terms))
                connection.execute(
                    f"UPDATE {self._schema}.terms SET version = %s, budgets = %s, limits = %s, allowances = %s", values
                )
                return True

        return bool(self._tried(changed))

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _one(self, query: str, parameters: tuple[Any, ...] = ()) -> Any:
        return self._tried(lambda connection: connection.execute(query.encode(), parameters).fetchone())

    def _all(self, query: str, parameters: tuple[Any, ...] = ()) -> list[Any]:
        rows: list[Any] = self._tried(lambda connection: connection.execute(query.encode(), parameters).fetchall())
        return rows

    def _tried(self, call: Callable[[Connection], Any]) -> Any:
        """
        The result of a call. It connects first if there is no connection.

        Raises:
            NotAsked: the server did not answer.
        """
        contact = self._steps.contact
        contact.check()
        try:
            if self._connection is None:
                self._connection = psycopg.connect(**self._options)
                self._prepare(self._connection)
                contact.made()
            return call(self._connection)
        except NotAsked as error:
            self._disconnect()
            contact.lost(error)
            raise
        except (psycopg.Error, OSError) as error:
            failed = failure(error, is_connected=contact.is_connected)
            self._disconnect()
            contact.lost(failed)
            raise failed from error

    def _prepare(self, connection: Connection) -> None:
        check_server(connection.info.server_version, None)
        sent_us = self._steps.clock.now_us()
        found = connection.execute(existence(self._schema)).fetchone()
        assert found is not None  # noqa: S101 - one row
        self._steps.clock.learn(found[1], sent_us)
        if not found[0]:
            with connection.transaction():
                connection.execute("SELECT pg_advisory_xact_lock(%s)", (_MAKING,))
                again = connection.execute(existence(self._schema)).fetchone()
                if again is not None and not again[0]:
                    connection.execute(definitions(self._schema).encode())
        row = connection.execute(f"SELECT max(version) FROM {self._schema}.format".encode()).fetchone()
        check_server(connection.info.server_version, None if row is None else row[0])


def existence(schema: str) -> bytes:
    """
    The query for whether a ledger is there, and for the time of the server in microseconds since 1970.

    It reads the catalog as a table. `to_regclass` reads a cache, in which a schema that another connection has just made may
    still be missing, even behind a lock that this connection waited for.
    """
    time_us = "floor(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
    name = schema.strip('"')
    found = f"EXISTS (SELECT FROM pg_catalog.pg_tables WHERE schemaname = '{name}' AND tablename = 'format')"
    return f"SELECT {found}, {time_us}".encode()
