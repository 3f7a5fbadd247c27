"""
A ledger on a server that fails, over HTTP: what a client sees, what the ledger says afterwards, and that nobody else waits.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

import psycopg
import pytest
import redis

from savemode_cli.core.budget.window import Window
from savemode_cli.ledgers import SCHEMES, Access, Scheme, open_ledger
from savemode_cli.ledgers.redis_awaited import AsyncRedisLedger
from savemode_cli.ledgers.remote.awaited import AsyncRemoteLedger
from savemode_cli.proxy import till
from tests.support.asked import ENDED, EVENTS, PLAIN, PLAIN_NUSD, STREAM, STREAM_NUSD, WHOLE
from tests.support.namespaces import far_network
from tests.support.remote import address_of, opened
from tests.support.servers import (
    WITHOUT_POSTGRES,
    WITHOUT_REDIS,
    PostgresServer,
    RedisServer,
    new_name,
    postgres_programs,
    redis_program,
    running_postgres,
    running_redis,
    shared_redis,
)
from tests.support.upstream import RunningProxy, Upstream, running_proxy
from tests.support.waiting import until
from tests.support.wire import LAST_CHUNK, End, Wire, exchange, request

CALL = request("POST", "/v1/messages", PLAIN)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A proxy asks a ledger again sooner than each second.
    """
    monkeypatch.setattr(till, "PAUSE_S", 0.05)


def started(
    engine: str, *, host: str = "127.0.0.1", prefix: Sequence[str] = ()
) -> AbstractContextManager[RedisServer | PostgresServer]:
    """
    A server of this kind, or the test is skipped.
    """
    if engine == "redis":
        if redis_program() is None:
            pytest.skip(WITHOUT_REDIS)
        return running_redis(host=host, prefix=prefix)
    if postgres_programs() is None:
        pytest.skip(WITHOUT_POSTGRES)
    return running_postgres(host=host, prefix=prefix)


class Calls:
    """
    The calls of a client to a proxy.
    """

    def __init__(self, server: RedisServer | PostgresServer, proxy: RunningProxy) -> None:
        """
        Args:
            server: where the ledger is.
            proxy: which is called.
        """
        self.proxy = proxy
        self.count = 0
        self._server = server

    def budget(self) -> bytes:
        """
        Make a call; the state of the budget by its answer.
        """
        self.count += 1
        answer = exchange(self.proxy.port, CALL)
        assert answer.status == 200
        (state,) = answer.all(b"x-posthog-budget")
        return state

    @contextlib.contextmanager
    def impatient(self) -> Iterator[None]:
        """
        Let the proxy wait for its ledger no longer than for a moment.
        """
        ledger = self.proxy.relay.till._ledger._ledger
        assert isinstance(ledger, AsyncRemoteLedger)
        usual, ledger._timeout_s = ledger._timeout_s, 0.3
        yield
        ledger._timeout_s = usual

    def until_back(self) -> None:
        """
        Wait until the proxy says that its ledger answers again.
        """
        until(lambda: "ledger_back" in [event for event, _ in self.proxy.announced])
        assert [event for event, _ in self.proxy.announced] == ["ledger_unavailable", "ledger_back"]

    def charged(self) -> list[int]:
        """
        What the calls cost, once all are charged; nothing is held any more.
        """
        with opened(self._server.url()) as ledger:
            until(lambda: len(ledger.charges()) >= self.count)
            assert ledger.holds(datetime.now(UTC)) == ()
            charges = ledger.charges()
            assert len({one.hold_id for one in charges}) == self.count
            return [one.nusd for one in charges]


@contextlib.contextmanager
def calling(
    server: RedisServer | PostgresServer, upstream: str, *, fail: str | None = "open", strict: bool = False
) -> Iterator[Calls]:
    """
    A proxy whose ledger is on this server.
    """
    with running_proxy(upstream, ledger=server.url(), budget_nusd=10**9, fail=fail, strict=strict) as proxy:
        yield Calls(server, proxy)


@dataclass(frozen=True)
class Trouble:
    """
    What is the matter with a server while the context lasts.
    """

    engine: str
    begin: Callable[[RedisServer | PostgresServer], None]
    end: Callable[[RedisServer | PostgresServer], None]


def redis_says(*words: str) -> Callable[[RedisServer | PostgresServer], None]:
    """
    A command to Redis.
    """

    def call(server: RedisServer | PostgresServer) -> None:
        with contextlib.closing(redis.Redis(port=server.port)) as raw:
            raw.execute_command(*words)  # type: ignore[no-untyped-call]

    return call


def postgres_says(*queries: bytes) -> Callable[[RedisServer | PostgresServer], None]:
    """
    Settings of PostgreSQL, which its connections then have.
    """

    def call(server: RedisServer | PostgresServer) -> None:
        assert isinstance(server, PostgresServer)
        with psycopg.connect(server.dsn(), autocommit=True) as raw:
            for query in (*queries, b"SELECT pg_reload_conf()"):
                raw.execute(query)

    return call


TROUBLES = {
    "redis is killed": Trouble("redis", lambda one: one.kill(), lambda one: one.start()),
    "redis stops answering": Trouble("redis", lambda one: one.freeze(), lambda one: one.thaw()),
    "redis has no memory left": Trouble(
        "redis", redis_says("CONFIG", "SET", "maxmemory", "100kb"), redis_says("CONFIG", "SET", "maxmemory", "0")
    ),
    "redis becomes a replica": Trouble(
        "redis", redis_says("REPLICAOF", "127.0.0.1", "1"), redis_says("REPLICAOF", "NO", "ONE")
    ),
    "postgresql is killed": Trouble("postgresql", lambda one: one.kill(), lambda one: one.start()),
    "postgresql stops answering": Trouble("postgresql", lambda one: one.freeze(), lambda one: one.thaw()),
    "postgresql cannot be written": Trouble(
        "postgresql",
        postgres_says(b"ALTER SYSTEM SET default_transaction_read_only = on"),
        postgres_says(b"SET default_transaction_read_only = off", b"ALTER SYSTEM RESET default_transaction_read_only"),
    ),
}


@pytest.mark.parametrize("name", TROUBLES)
def test_calls_go_on_and_are_entered_later(name: str, upstream: Upstream) -> None:
    """
    With `--fail open` each call is answered, says that the budget is not known, and is in the ledger once in the end.
    """
    trouble = TROUBLES[name]
    with started(trouble.engine) as server, calling(server, upstream.url) as calls:
        assert calls.budget() == b"ok"
        with calls.impatient():
            trouble.begin(server)
            until(lambda: calls.budget() == b"unknown")
            assert [calls.budget() for _ in range(2)] == [b"unknown"] * 2
        trouble.end(server)
        calls.until_back()
        assert calls.budget() == b"ok"
        assert calls.charged() == [PLAIN_NUSD] * calls.count


@pytest.mark.parametrize("engine", ["redis", "postgresql"])
def test_packets_are_dropped(engine: str, upstream: Upstream) -> None:
    """
    Nobody refuses a connection, and nobody ends one. Once packets arrive again, everything is entered by itself.
    """
    with (
        far_network() as network,
        started(engine, host=network.address, prefix=network.prefix) as server,
        calling(server, upstream.url) as calls,
    ):
        assert calls.budget() == b"ok"
        with calls.impatient():
            network.cut()
            assert [calls.budget() for _ in range(3)] == [b"unknown"] * 3
        network.heal()
        calls.until_back()
        assert calls.budget() == b"ok"
        assert calls.charged() == [PLAIN_NUSD] * 5


def test_strict_budget_refuses_while_the_server_is_out(upstream: Upstream) -> None:
    """
    Without `--fail open`; the client is told why, and nothing is held afterwards.
    """
    with started("redis") as server, calling(server, upstream.url, fail=None, strict=True) as calls:
        assert calls.budget() == b"ok"
        server.kill()
        answer = exchange(calls.proxy.port, CALL)
        assert answer.status == 429
        assert b"ledger" in answer.body
        server.start()
        calls.until_back()
        assert calls.budget() == b"ok"
        assert calls.charged() == [PLAIN_NUSD] * 2


@pytest.mark.parametrize("engine", ["redis", "postgresql"])
def test_running_answer_goes_on_while_the_server_does_not_answer(engine: str, wire: Wire) -> None:
    """
    A new call waits for the ledger; the bytes of an answer that is running wait for nothing.
    """
    with (
        started(engine) as server,
        calling(server, wire.url) as calls,
        End.to(calls.proxy.port) as client,
        End.to(calls.proxy.port) as waiting,
    ):
        client.send(request("POST", "/v1/messages", STREAM))
        far = wire.accept()
        far.message()
        server.freeze()
        waiting.send(request("POST", "/v1/messages", STREAM))
        far.send(WHOLE)
        assert client.head().status == 200
        came, whole = b"", b"".join(EVENTS)
        while len(came) < len(whole):
            came += client.chunk()
        assert came == whole
        far.send(LAST_CHUNK)
        assert client.chunk() == b""
        server.thaw()
        far.message()  # the connection is used again
        far.send(ENDED)
        assert waiting.message().status == 200
        calls.count = 2
        assert calls.charged() == [STREAM_NUSD] * 2
        wire.close()


@pytest.mark.skipif(redis_program() is None, reason=WITHOUT_REDIS)
def test_clocks_that_are_ten_minutes_apart(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Two proxies, one five minutes early and one five minutes late, charge by the clock of the server, and count in one window.
    """
    url, begun = shared_redis().url(new_name()), datetime.now(UTC)
    with ExitStack() as stack:
        for name, ahead in (("early", timedelta(minutes=5)), ("late", timedelta(minutes=-5))):
            monkeypatch.setitem(SCHEMES, name, skewed(name, ahead))
            proxy = stack.enter_context(
                running_proxy(
                    upstream.url,
                    ledger=url.replace("redis:", f"{name}:"),
                    budget_nusd=10**9,
                    budget_window=Window("rolling", hours=1),
                    now=partial(later_by, ahead),
                )
            )
            assert exchange(proxy.port, CALL).all(b"x-posthog-budget") == [b"ok"]
            proxy.exchange()
    with opened(url) as ledger:
        charges = ledger.charges()
        assert len(charges) == 2
        assert len({one.keys for one in charges}) == 1
        # The offset is learned from an answer, so it is off by as long as that took.
        slack = datetime.now(UTC) - begun
        assert [one for one in charges if not begun - slack <= one.settled_at <= datetime.now(UTC) + slack] == []
        assert [one.settled_nusd for one in ledger.balances(datetime.now(UTC)).values()] == [2 * PLAIN_NUSD]


def later_by(ahead: timedelta) -> datetime:
    """
    The time on such a machine.
    """
    return datetime.now(UTC) + ahead


def skewed(name: str, ahead: timedelta) -> Scheme:
    """
    The ledgers on Redis of a machine whose clock is ahead.
    """

    def connect(url: str, _: Access) -> AsyncRedisLedger:
        address = address_of(url.replace(f"{name}:", "redis:"))
        return AsyncRedisLedger(address, lambda: time.time() + ahead.total_seconds())

    return Scheme(name, (), lambda url, _: open_ledger(url.replace(f"{name}:", "redis:")), connect=connect)
