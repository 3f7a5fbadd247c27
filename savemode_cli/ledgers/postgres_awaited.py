"""
A ledger on PostgreSQL, for the event loop of a proxy.

Rule of this file: a statement is never cancelled, because psycopg then waits for a server that may not answer. Its connection is
shut down, and the statement ends with an error.
"""

import asyncio
import contextlib
import json
import os
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import psycopg

from savemode_cli.ledgers.postgres import PostgresLedger, existence
from savemode_cli.ledgers.postgres_server import (
    check_server,
    connection_options,
    failure,
    plain,
    schema_of,
    step_parameters,
    terms_of,
)
from savemode_cli.ledgers.remote.address import ServerAddress
from savemode_cli.ledgers.remote.awaited import AsyncRemoteLedger
from savemode_cli.ledgers.remote.questions import NoAnswer, NotAsked, Question, ReadLeaving, ReadTerms, Step, Undo
from savemode_cli.ledgers.remote.steps import Steps

T = TypeVar("T")
Connection = psycopg.AsyncConnection[tuple[Any, ...]]


class AsyncPostgresLedger(AsyncRemoteLedger):
    """
    The ledger of one address, over a few connections. It connects at the first call of an event loop.
    """

    def __init__(self, address: ServerAddress, clock: Callable[[], float] = time.time) -> None:
        """
        Args:
            address: where the ledger is.
            clock: the clock of this machine, in seconds since 1970.
        """
        super().__init__(Steps(address.shown, clock), address.timeout_s)
        self._address = address
        self._options = connection_options(address, address.timeout_s)
        self._schema = schema_of(address.name)
        self._idle: list[Connection] = []
        self._clients_loop: asyncio.AbstractEventLoop | None = None

    async def _answer(self, question: Question, deadline: float) -> Any:
        contact = self._steps.contact
        contact.check()
        connection: Connection | None = None
        try:
            connection = await self._connected(deadline)
            query, parameters = self._query(question)
            rows = await _until(deadline, connection, _rows(connection, query, parameters))
            self._idle.append(connection)
            return _result(question, rows)
        except TimeoutError:
            failed: NotAsked = NoAnswer(f"no answer within {self._timeout_s:g} s")
            contact.lost(failed)
            await self._drop(connection)
            raise failed from None
        except NotAsked as error:
            contact.lost(error)
            await self._drop(connection)
            raise
        except (psycopg.Error, OSError) as error:
            failed = failure(error, is_connected=contact.is_connected and connection is not None)
            contact.lost(failed)
            await self._drop(connection)
            raise failed from error
        except asyncio.CancelledError:
            await self._drop(connection)
            raise

    async def _ask(self, question: Question) -> Any:
        raise NotImplementedError  # pragma: no cover - `_answer` asks

    async def _disconnect(self) -> None:
        await self._drop(None)
        self._steps.contact.is_connected = False

    async def _drop(self, connection: Connection | None) -> None:
        """
        Close this connection and the idle ones: the same cause has probably ended all of them.
        """
        idle, self._idle = self._idle, []
        for one in (*idle, *([] if connection is None else [connection])):
            with contextlib.suppress(psycopg.Error, OSError):
                await one.close()

    async def _connected(self, deadline: float) -> Connection:
        loop = asyncio.get_running_loop()
        if self._clients_loop is not loop:
            self._idle, self._clients_loop = [], loop
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed:
                return connection
        self._steps.contact.is_connected = False
        async with asyncio.timeout_at(deadline):
            connection = await psycopg.AsyncConnection.connect(**self._options)
        try:
            await _until(deadline, connection, self._prepare(connection))
        except BaseException:
            await connection.close()
            raise
        self._steps.contact.made()
        return connection

    async def _prepare(self, connection: Connection) -> None:
        check_server(connection.info.server_version, None)
        sent_us = self._steps.clock.now_us()
        ((exists, time_us),) = await _rows(connection, existence(self._schema).decode(), ())
        self._steps.clock.learn(time_us, sent_us)
        if not exists:
            await asyncio.get_running_loop().run_in_executor(None, self._make)
        ((version,),) = await _rows(connection, f"SELECT max(version) FROM {self._schema}.format", ())
        check_server(connection.info.server_version, version)

    def _make(self) -> None:
        """
        Make the ledger with the client of commands. This happens once.
        """
        ledger = PostgresLedger(self._address)
        try:
            ledger.check()
        finally:
            ledger.close()

    def _query(self, question: Question) -> tuple[str, tuple[Any, ...]]:
        match question:
            case Step():
                return f"SELECT {self._schema}.step(%s, %s, %s, %s, %s, %s, %s)", step_parameters(question.arguments)
            case Undo():
                steps = json.dumps([[step, [plain(one) for one in ids]] for step, ids in question.steps])
                return f"SELECT {self._schema}.undo(%s)", (steps,)
            case ReadTerms():
                return f"SELECT version, budgets, limits, allowances FROM {self._schema}.terms", ()
            case ReadLeaving(key, since_us):
                columns = f"SELECT nusd, settled_at FROM {self._schema}.rolling_charges"
                where = "WHERE key = %s AND settled_at > %s ORDER BY settled_at, id"
                return f"{columns} {where}", (plain(key), int(since_us))


def _result(question: Question, rows: list[tuple[Any, ...]]) -> Any:
    match question:
        case ReadTerms():
            return terms_of(rows[0])
        case ReadLeaving():
            return [str(word) for row in rows for word in row]
        case _:
            return rows[0][0]


async def _rows(connection: Connection, query: str, parameters: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    cursor = await connection.execute(query.encode(), parameters)
    return await cursor.fetchall()


async def _until(deadline: float, connection: Connection, call: Awaitable[T]) -> T:
    """
    The result of a call, if it comes in time. Otherwise its connection is shut down.

    Raises:
        TimeoutError: it did not.
    """
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(call)
    try:
        done, _ = await asyncio.wait({task}, timeout=max(0.0, deadline - loop.time()))
    except asyncio.CancelledError:
        _shut_down(connection)
        task.add_done_callback(_forgotten)
        raise
    if not done:
        _shut_down(connection)
        await asyncio.wait({task}, timeout=1.0)
        task.add_done_callback(_forgotten)
        raise TimeoutError
    return task.result()


def _shut_down(connection: Connection) -> None:
    with contextlib.suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as one:
        one.shutdown(socket.SHUT_RDWR)


def _forgotten(task: "asyncio.Future[Any]") -> None:
    """
    Retrieve a result that is no longer needed: asyncio logs exceptions that were never retrieved.
    """
    if not task.cancelled():
        task.exception()
