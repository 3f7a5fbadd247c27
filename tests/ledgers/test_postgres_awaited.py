"""
A ledger on PostgreSQL, as a proxy awaits it.
"""

import asyncio

import pytest

from savemode_cli.core.budget.admission import Allowed, Balance
from savemode_cli.core.budget.budget import Budget
from savemode_cli.core.budget.ledger import Settle, TermsChanged
from savemode_cli.core.errors import LedgerUnavailable
from tests.support.forwarder import forwarded
from tests.support.remote import LIMIT, NOW, a_reserve, awaited, hold, opened, until_checked
from tests.support.servers import (
    WITHOUT_POSTGRES,
    PostgresServer,
    new_name,
    postgres_programs,
    running_postgres,
    shared_postgres,
)

pytestmark = pytest.mark.skipif(postgres_programs() is None, reason=WITHOUT_POSTGRES)


def test_step_is_one_round_trip() -> None:
    """
    Twenty requests and twenty bills that came up together are one transaction, once it is connected.
    """

    async def story(url: str) -> None:
        ledger = awaited(url)
        await ledger.check()
        await ledger.terms()
        before = way.turns
        await ledger.post((), [a_reserve(f"h{number}", 1) for number in range(20)])
        await ledger.post([Settle(f"h{number}", 1, "reported", NOW) for number in range(20)], [a_reserve("i")])
        await ledger.look([LIMIT.key], NOW)
        assert way.turns - before == 3
        await ledger.close()

    with forwarded(shared_postgres().port) as way:
        asyncio.run(
            story(f"postgresql://savemode@127.0.0.1:{way.port}/postgres?name={new_name()}&sslmode=disable&timeout=60")
        )


def test_terms_that_changed_are_told() -> None:
    """
    A proxy judges nothing by a cap that is not the cap any more.
    """
    url = shared_postgres().url(new_name())

    async def story() -> None:
        ledger = awaited(url)
        assert await ledger.terms() == ((), ())
        other.set_budget(Budget("b", 7))
        with pytest.raises(TermsChanged):
            await ledger.post((), [a_reserve("a")])
        assert [one.limit_nusd for one in (await ledger.terms())[0]] == [7]
        await ledger.post((), [a_reserve("a")])
        await ledger.close()

    with opened(url) as other:
        asyncio.run(story())
        assert [one.hold.id for one in other.holds(NOW)] == ["a"]


def test_answer_that_was_lost_is_asked_for() -> None:
    """
    The hold is found by its id, and counted once.
    """
    name = new_name()

    async def story(url: str) -> None:
        ledger = awaited(url)
        await ledger.terms()
        way.lost_answers = 1
        posted = await ledger.post([Settle("a", 4, "reported", NOW, (LIMIT.key,), hold("a"))], [a_reserve("b")])
        assert posted.settled == ["charged"]
        assert isinstance(posted.decisions[0], Allowed)
        await ledger.close()

    with forwarded(shared_postgres().port) as way:
        asyncio.run(
            story(f"postgresql://savemode@127.0.0.1:{way.port}/postgres?name={name}&sslmode=disable&timeout=60")
        )
    with opened(shared_postgres().url(name)) as ledger:
        assert ledger.balance(LIMIT.key, NOW) == Balance(settled_nusd=4, held_nusd=10)


def test_slow_server_keeps_a_call_no_longer_than_its_timeout() -> None:
    """
    It answers only after the call was given up, and what it asked for is not held.
    """

    async def story(server: PostgresServer) -> None:
        ledger = awaited(server.url(more="&timeout=1"))
        await until_checked(ledger)
        await ledger.terms()
        server.freeze()
        with pytest.raises(LedgerUnavailable, match="no answer within"):
            await ledger.post((), [a_reserve("slow")])
        server.thaw()
        await until_checked(ledger)
        assert (await ledger.look([LIMIT.key], NOW)).balances[LIMIT.key] == Balance()
        await ledger.close()

    with running_postgres() as server:
        asyncio.run(story(server))
