"""
A ledger on Redis or Valkey, for commands.

Rule of this file: a step is one script, so no other client runs between reading a balance and writing a hold.
"""

import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, WatchError
from redis.retry import Retry

from savemode_cli.core.budget.admission import Hold
from savemode_cli.core.budget.ledger import Charge
from savemode_cli.ledgers.redis_server import (
    CHARGES_AT_ONCE,
    Keys,
    charge_of,
    check_server,
    client_options,
    concerns_of,
    failure,
    hold_of,
    is_since,
    score,
    script,
    stored_allowances,
    stored_budgets,
    stored_limits,
    terms_of,
    undo_arguments,
)
from savemode_cli.ledgers.remote.address import COMMAND_TIMEOUT_S, ServerAddress
from savemode_cli.ledgers.remote.blocking import RemoteLedger
from savemode_cli.ledgers.remote.questions import NotAsked, Question, ReadLeaving, ReadTerms, Step, Undo
from savemode_cli.ledgers.remote.steps import Steps
from savemode_cli.ledgers.remote.texts import Terms

_HOLDS_AT_ONCE = 500


class RedisLedger(RemoteLedger):
    """
    The ledger of one address. It connects at the first call.
    """

    def __init__(self, address: ServerAddress, clock: Callable[[], float] = time.time) -> None:
        """
        Args:
            address: where the ledger is.
            clock: the clock of this machine, in seconds since 1970.
        """
        super().__init__(Steps(address.shown, clock))
        self._redis = Redis(
            retry=Retry(NoBackoff(), 0), **client_options(address, max(COMMAND_TIMEOUT_S, address.timeout_s))
        )
        self._keys = Keys(address.name)
        self._scripts = {
            name: self._redis.register_script(script(name.removeprefix("read "), is_read=name.startswith("read ")))
            for name in ("step", "read step", "undo", "release")
        }

    def _ask(self, question: Question) -> Any:
        match question:
            case Step():
                name = "read step" if question.is_read else "step"
                return self._tried(lambda: self._script(name, question.arguments))
            case Undo():
                return self._tried(lambda: self._script("undo", undo_arguments(question)))
            case ReadTerms():
                return self._tried(lambda: self._read_terms(self._redis.pipeline()))
            case ReadLeaving(key, since_us):
                return self._tried(lambda: self._leaving(key, since_us))

    def _release(self, hold_id: str, call_id: str) -> bool:
        return bool(self._tried(lambda: self._script("release", [hold_id, call_id])) == "1")

    def _read_keys(self) -> list[str]:
        return [key[1:] for key in self._tried(lambda: self._redis.smembers(self._keys.keys))]

    def _read_holds(self) -> list[Hold]:
        ids = self._tried(lambda: self._redis.zrange(self._keys.open, 0, -1))
        holds = []
        for start in range(0, len(ids), _HOLDS_AT_ONCE):
            some = ids[start : start + _HOLDS_AT_ONCE]
            pipeline = self._redis.pipeline()
            for hold_id in some:
                pipeline.hgetall(self._keys.hold(hold_id))
            records = self._tried(pipeline.execute)
            # One without a record was settled meanwhile.
            holds += [hold_of(hold_id, record) for hold_id, record in zip(some, records, strict=True) if record]
        return holds

    def _read_charges(self, since: datetime | None) -> tuple[Charge, ...]:
        found: list[Charge] = []
        start = "-"
        while True:
            read = partial(self._redis.xrange, self._keys.charges, start, "+", CHARGES_AT_ONCE)
            rows = self._tried(read)
            found += [charge for _, record in rows if is_since(charge := charge_of(record), since)]
            if len(rows) < CHARGES_AT_ONCE:
                return tuple(found)
            start = f"({rows[-1][0]}"

    def _read_concerns(self) -> tuple[tuple[str, str], ...]:
        info: Any = self._tried(self._redis.info)
        return concerns_of(info)

    def _change_terms(self, change: Callable[[Terms], Terms], version: str) -> bool:
        while True:
            with self._redis.pipeline() as pipeline:
                self._tried(partial(pipeline.watch, self._keys.version))
                present = self._tried(lambda: self._read_terms(self._redis.pipeline()))
                changed = change(present)
                if present.version == version or changed.content == present.content:
                    return bool(present.version == version)
                pipeline.multi()
                self._write_terms(pipeline, changed)
                pipeline.set(self._keys.version, version)
                try:
                    self._tried(pipeline.execute)
                except WatchError:
                    continue
                return True

    def _write_terms(self, pipeline: Any, terms: Terms) -> None:
        pipeline.set(self._keys.format, "1", nx=True)
        for name, values in (
            (self._keys.budgets, stored_budgets(terms)),
            (self._keys.limits, stored_limits(terms)),
            (self._keys.allowances, stored_allowances(terms)),
        ):
            pipeline.delete(name)
            if values:
                pipeline.hset(name, mapping=values)

    def _disconnect(self) -> None:
        self._redis.close()

    def _script(self, name: str, arguments: list[str]) -> Any:
        return self._scripts[name](keys=[self._keys.prefix], args=arguments)

    def _read_terms(self, pipeline: Any) -> Terms:
        pipeline.get(self._keys.version)
        for name in (self._keys.budgets, self._keys.limits, self._keys.allowances):
            pipeline.hgetall(name)
        return terms_of(*pipeline.execute())

    def _leaving(self, key: str, since_us: str) -> list[str]:
        pairs: Any = self._redis.zrangebyscore(self._keys.window(key), f"({since_us}", "+inf", withscores=True)
        return [word for member, time_us in pairs for word in (member, score(time_us))]

    def _tried(self, call: Callable[[], Any]) -> Any:
        """
        The result of a call. It connects first if there is no connection.

        Raises:
            NotAsked: the server did not answer.
        """
        contact = self._steps.contact
        contact.check()
        try:
            if not contact.is_connected:
                sent_us = self._steps.clock.now_us()
                info: Any = self._redis.info()
                check_server(info)
                self._steps.clock.learn(int(info["server_time_usec"]), sent_us)
                contact.made()
            return call()
        except WatchError:
            raise
        except NotAsked as error:
            contact.lost(error)
            raise
        except (RedisError, OSError) as error:
            failed = failure(error, is_connected=contact.is_connected)
            contact.lost(failed)
            self._redis.connection_pool.disconnect()
            raise failed from error
