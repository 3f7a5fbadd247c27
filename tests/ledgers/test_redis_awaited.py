"""
A ledger on Redis, as a proxy awaits it.
"""

import asyncio

import pytest

from savemode_cli.core.budget.admission import Allowed, Balance
from savemode_cli.core.budget.budget import Budget
from savemode_cli.core.budget.ledger import Settle, TermsChanged
from savemode_cli.core.errors import LedgerUnavailable
from savemode_cli.ledgers.redis_awaited import AsyncRedisLedger
from savemode_cli.ledgers.remote.awaited import MOST_CALLS
from tests.support.forwarder import Forwarder
from tests.support.remote import LATER, LIMIT, NOW, a_reserve, address_of, awaited, cuttable, opened, until_checked
from tests.support.servers import (
    WITHOUT_REDIS,
    RedisServer,
    new_name,
    redis_program,
    running_redis,
    shared_redis,
)
from tests.support.waiting import until_in_loop

pytestmark = pytest.mark.skipif(redis_program() is None, reason=WITHOUT_REDIS)


def test_step_is_one_round_trip() -> None:
    """
    Twenty requests and twenty bills that came up together, once it is connected.
    """

    async def story() -> None:
        ledger = awaited(url)
        await ledger.check()
        await ledger.terms()
        before = way.turns
        await ledger.post((), [a_reserve(f"h{number}", 1) for number in range(20)])
        await ledger.post([Settle(f"h{number}", 1, "reported", NOW) for number in range(20)], [a_reserve("i")])
        await ledger.look([LIMIT.key], NOW)
        assert way.turns - before == 3
        await ledger.close()

    with cuttable(new_name()) as (way, url):
        with opened(url) as ledger:  # the server has the scripts
            ledger.post((), [a_reserve("warm")])
            ledger.balance(LIMIT.key, NOW)
        asyncio.run(story())


def test_terms_that_changed_are_told() -> None:
    """
    A proxy judges nothing by a cap that is not the cap any more.
    """
    url = shared_redis().url(new_name())

    async def story() -> None:
        ledger = awaited(url)
        assert await ledger.terms() == ((), ())
        other.set_budget(Budget("b", 7))
        with pytest.raises(TermsChanged):
            await ledger.post((), [a_reserve("a")])
        assert [one.limit_nusd for one in (await ledger.terms())[0]] == [7]
        await ledger.post((), [a_reserve("a")])
        other.set_budget(Budget("b", 8))
        with pytest.raises(TermsChanged):
            await ledger.look([LIMIT.key], NOW)
        other.allow(LATER)  # not a term that a proxy remembers
        assert (await ledger.post((), [a_reserve("b")])).allowed_until == LATER
        await ledger.close()

    with opened(url) as other:
        asyncio.run(story())
        assert [one.hold.id for one in other.holds(NOW)] == ["a", "b"]


def test_step_that_arrives_late_holds_nothing() -> None:
    """
    It was on its way when the proxy gave it up; its caller was told that nothing was held.
    """
    name = new_name()

    async def story(url: str, way: Forwarder) -> None:
        ledger = awaited(url)
        await ledger.terms()
        way.requests.clear()
        with pytest.raises(LedgerUnavailable, match=r"no answer within 0\.5 s"):
            await ledger.post((), [a_reserve("late")])
        direct = AsyncRedisLedger(address_of(shared_redis().url(name)))
        direct._steps = ledger._steps  # type: ignore[attr-defined] # the same client, by a way that is not held up
        direct._steps.contact.made()
        assert isinstance((await direct.post((), [a_reserve("other")])).decisions[0], Allowed)
        answered = way.answered
        way.requests.set()
        await until_in_loop(lambda: way.answered > answered)
        await direct.close()
        await ledger.close()

    with cuttable(name, timeout_s=0.5) as (way, url):
        with opened(shared_redis().url(name)) as ledger:
            ledger.check()  # the server has the scripts
        asyncio.run(story(url, way))
    with opened(shared_redis().url(name)) as ledger:
        assert [one.hold.id for one in ledger.holds(NOW)] == ["other"]
        assert ledger.balance(LIMIT.key, NOW) == Balance(held_nusd=10)


def test_who_does_not_wait_any_longer_holds_nothing() -> None:
    """
    A step that is cancelled is given up.
    """
    name = new_name()

    async def story(url: str, way: Forwarder) -> None:
        ledger = awaited(url)
        await ledger.terms()
        turns, way.answers = way.turns, False
        task = asyncio.ensure_future(ledger.post((), [a_reserve("left")]))
        await until_in_loop(lambda: way.turns > turns)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        way.answers = True
        assert (await ledger.look([LIMIT.key], NOW)).balances[LIMIT.key] == Balance()
        await ledger.close()

    with cuttable(name) as (way, url):
        asyncio.run(story(url, way))


def test_slow_server_keeps_a_call_no_longer_than_its_timeout() -> None:
    """
    It answers only after the call was given up, and what it asked for is not held.
    """

    async def story(server: RedisServer) -> None:
        ledger = awaited(server.url(more="&timeout=0.5"))
        await until_checked(ledger)
        server.freeze()
        with pytest.raises(LedgerUnavailable, match="no answer within"):
            await ledger.post((), [a_reserve("slow")])
        with pytest.raises(LedgerUnavailable):
            await ledger.post((), [a_reserve("soon")])
        server.thaw()
        await until_checked(ledger)
        assert (await ledger.look([LIMIT.key], NOW)).balances[LIMIT.key] == Balance()
        await ledger.close()

    with running_redis() as server:
        asyncio.run(story(server))


def test_many_looks_at_once_share_a_few_connections() -> None:
    """
    Nobody is turned away, and the server is not flooded.
    """

    async def story(url: str) -> None:
        ledger = awaited(url)
        looks = await asyncio.gather(*(ledger.look([LIMIT.key], NOW) for _ in range(64)))
        assert [one.balances[LIMIT.key] for one in looks] == [Balance()] * 64
        assert way.connections <= MOST_CALLS
        await ledger.close()

    with cuttable(new_name()) as (way, url):
        asyncio.run(story(url))
