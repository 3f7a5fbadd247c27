"""
A ledger on Redis or Valkey, for the event loop of a proxy.

Rule of this file: a connection belongs to one event loop, and is closed before that loop ends.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from savemode_cli.ledgers.redis_server import (
    Keys,
    check_server,
    client_options,
    failure,
    score,
    script,
    terms_of,
    undo_arguments,
)
from savemode_cli.ledgers.remote.address import ServerAddress
from savemode_cli.ledgers.remote.awaited import AsyncRemoteLedger
from savemode_cli.ledgers.remote.questions import NotAsked, Question, ReadLeaving, ReadTerms, Step, Undo
from savemode_cli.ledgers.remote.steps import Steps
from savemode_cli.ledgers.remote.texts import Terms


class AsyncRedisLedger(AsyncRemoteLedger):
    """
    The ledger of one address. It connects at the first call of an event loop.
    """

    def __init__(self, address: ServerAddress, clock: Callable[[], float] = time.time) -> None:
        """
        Args:
            address: where the ledger is.
            clock: the clock of this machine, in seconds since 1970.
        """
        super().__init__(Steps(address.shown, clock), address.timeout_s)
        self._address = address
        self._keys = Keys(address.name)
        self._texts = {"step": script("step"), "read step": script("step", is_read=True), "undo": script("undo")}
        self._redis: Redis | None = None
        self._scripts: dict[str, Any] = {}
        self._clients_loop: asyncio.AbstractEventLoop | None = None

    async def _ask(self, question: Question) -> Any:
        match question:
            case Step():
                name = "read step" if question.is_read else "step"
                return await self._tried(lambda _: self._script(name, question.arguments))
            case Undo():
                return await self._tried(lambda _: self._script("undo", undo_arguments(question)))
            case ReadTerms():
                return await self._tried(self._read_terms)
            case ReadLeaving(key, since_us):
                return await self._tried(lambda redis: self._leaving(redis, key, since_us))

    async def _disconnect(self) -> None:
        redis, self._redis = self._redis, None
        if redis is not None:
            await redis.aclose()
        self._steps.contact.is_connected = False

    async def _script(self, name: str, arguments: list[str]) -> Any:
        return await self._scripts[name](keys=[self._keys.prefix], args=arguments)

    async def _read_terms(self, redis: Redis) -> Terms:
        pipeline = redis.pipeline()
        pipeline.get(self._keys.version)
        for name in (self._keys.budgets, self._keys.limits, self._keys.allowances):
            pipeline.hgetall(name)
        return terms_of(*await pipeline.execute())

    async def _leaving(self, redis: Redis, key: str, since_us: str) -> list[str]:
        pairs: Any = await redis.zrangebyscore(self._keys.window(key), f"({since_us}", "+inf", withscores=True)
        return [word for member, time_us in pairs for word in (member, score(time_us))]

    def _client(self) -> Redis:
        loop = asyncio.get_running_loop()
        if self._redis is None or self._clients_loop is not loop:
            self._redis = Redis(retry=Retry(NoBackoff(), 0), **client_options(self._address, self._address.timeout_s))
            self._scripts = {name: self._redis.register_script(text) for name, text in self._texts.items()}
            self._clients_loop = loop
            self._steps.contact.is_connected = False
        return self._redis

    async def _tried(self, call: Callable[[Redis], Awaitable[Any]]) -> Any:
        """
        The result of a call. It connects first if there is no connection.

        Raises:
            NotAsked: the server did not answer.
        """
        redis, contact = self._client(), self._steps.contact
        contact.check()
        try:
            if not contact.is_connected:
                sent_us = self._steps.clock.now_us()
                info = await redis.info()
                check_server(info)
                self._steps.clock.learn(int(info["server_time_usec"]), sent_us)
                contact.made()
            return await call(redis)
        except NotAsked as error:
            contact.lost(error)
            raise
        except (RedisError, OSError) as error:
            failed = failure(error, is_connected=contact.is_connected)
            contact.lost(failed)
            await redis.connection_pool.disconnect()
            raise failed from error
