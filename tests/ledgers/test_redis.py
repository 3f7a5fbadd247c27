"""
What a ledger on Redis does besides the contract.
"""

import asyncio
import time
from datetime import timedelta
from pathlib import Path

import pytest
import redis
import trustme

from savemode_cli.core.budget.admission import Allowed, Balance, Hold, Refused
from savemode_cli.core.budget.budget import Budget, limit_of
from savemode_cli.core.budget.ledger import Settle, reserve, settle
from savemode_cli.core.errors import LedgerUnavailable
from savemode_cli.ledgers.redis import RedisLedger
from tests.support.forwarder import Forwarder
from tests.support.remote import LATER, LIMIT, NOW, a_reserve, address_of, awaited, cuttable, hold, opened, tried
from tests.support.servers import (
    WITHOUT_REDIS,
    free_port,
    new_name,
    redis_program,
    running_redis,
    shared_redis,
)
from tests.support.values import replace

pytestmark = pytest.mark.skipif(redis_program() is None, reason=WITHOUT_REDIS)

AMOUNTS = [2**53 - 1, 2**53 - 2, 123_456_789_012_345, 9_007_199_254_740_993 - 2, 1]


def test_amounts_are_exact_beyond_what_a_double_holds() -> None:
    """
    The sums pass 2^53, and are those of Python: a Lua number would have rounded them.
    """
    with opened(shared_redis().url(new_name())) as ledger:
        for number, nusd in enumerate(AMOUNTS * 3):
            reserve(ledger, hold(f"a{number}", nusd), (), NOW)
            reserve(ledger, hold(f"b{number}", nusd), (), NOW)
            settle(ledger, f"a{number}", nusd, "reported", NOW)
        total = 3 * sum(AMOUNTS)
        assert ledger.balance(LIMIT.key, NOW) == Balance(settled_nusd=total, held_nusd=total)
        assert total > 2**54
        assert sum(charge.nusd for charge in ledger.charges()) == total


def test_last_nano_dollar_decides_beyond_what_a_double_holds() -> None:
    """
    One less than the cap is used: the next request starts by the default rule; strictly, exactly one nano-dollar fits.
    """
    most = 2**53 - 1
    strict = limit_of(Budget("s", most, strict=True), "", NOW)
    with opened(shared_redis().url(new_name())) as ledger:
        reserve(ledger, Hold("a", (strict.key,), most - 1, LATER), [strict], NOW)
        assert isinstance(reserve(ledger, Hold("b", (strict.key,), 2, LATER), [strict], NOW), Refused)
        assert isinstance(reserve(ledger, Hold("c", (strict.key,), 1, LATER), [strict], NOW), Allowed)
        assert isinstance(reserve(ledger, Hold("d", (strict.key,), 0, LATER), [strict], NOW), Refused)


@pytest.mark.parametrize("kind", ["command", "proxy"])
def test_answer_that_was_lost_is_asked_for(kind: str) -> None:
    """
    The server did the step and the connection ended before it could say so: the hold is found by its id, and counted once.
    """
    name = new_name()

    async def story(url: str, way: Forwarder) -> None:
        ledger = awaited(url)
        await ledger.terms()
        way.lost_answers = 1
        posted = await ledger.post([Settle("a", 4, "reported", NOW, (LIMIT.key,), hold("a"))], [a_reserve("b")])
        assert posted.settled == ["charged"]
        assert posted.balances == {LIMIT.key: Balance(settled_nusd=4)}
        assert isinstance(posted.decisions[0], Allowed)
        await ledger.close()

    with cuttable(name) as (way, url):
        if kind == "proxy":
            asyncio.run(story(url, way))
        else:
            with opened(url) as ledger:
                ledger.terms()
                way.lost_answers = 1
                posted = ledger.post([Settle("a", 4, "reported", NOW, (), hold("a"))], [a_reserve("b")])
                assert posted.settled == ["charged"]
    with opened(shared_redis().url(name)) as ledger:
        assert ledger.balance(LIMIT.key, NOW) == Balance(settled_nusd=4, held_nusd=10)
        assert len(ledger.charges()) == 1


def test_killed_and_started_again() -> None:
    """
    What was counted is still counted, calls in between are refused, and the next ones go on by themselves.
    """
    with running_redis() as server, opened(server.url()) as ledger:
        ledger.set_budget(Budget("b", 100))
        ledger.post([Settle("a", 4, "reported", NOW, (), hold("a"))], [a_reserve("b")])
        server.kill()
        with pytest.raises(LedgerUnavailable, match="does not answer"):
            settle(ledger, "b", 3, "reported", NOW)
        server.start()
        assert tried(lambda: settle(ledger, "b", 3, "reported", NOW)) == "charged"
        assert ledger.balance(LIMIT.key, NOW) == Balance(settled_nusd=7)
        assert [one.hold_id for one in ledger.charges()] == ["a", "b"]
        assert [one.name for one in ledger.budgets()] == ["b"]


def test_full_server_refuses_a_step_as_a_whole() -> None:
    """
    Nothing of it is written, balances can still be read, and the error says what is the matter.
    """
    with running_redis() as server, opened(server.url()) as ledger:
        ledger.post((), [a_reserve("a", 1)])
        raw = redis.Redis(port=server.port)
        raw.config_set("maxmemory", "100kb")  # less than an empty server uses
        raw.close()
        with pytest.raises(LedgerUnavailable, match="memory is full"):
            ledger.post([Settle("a", 1, "reported", NOW)], [a_reserve("b", 1)])
        with pytest.raises(LedgerUnavailable, match="memory is full"):
            tried_until(ledger.check)
        assert tried(lambda: ledger.balance(LIMIT.key, NOW)) == Balance(held_nusd=1)


def tried_until(call: object) -> None:
    """
    Make a call after the pause.
    """
    time.sleep(0.3)
    assert callable(call)
    call()


def test_replica_is_refused_until_it_is_the_primary() -> None:
    """
    After a fail-over the same address works, and counts go on from what was replicated.
    """
    with running_redis() as first, running_redis("--replicaof", f"127.0.0.1 {first.port}") as second:
        with opened(first.url()) as ledger:
            ledger.post((), [a_reserve("a")])
            raw = redis.Redis(port=first.port)
            assert raw.wait(1, 20_000) == 1
            raw.close()
        with opened(second.url()) as ledger:
            with pytest.raises(LedgerUnavailable, match="replica"):
                ledger.check()
            first.kill()
            raw = redis.Redis(port=second.port)
            raw.replicaof("NO", "ONE")
            raw.close()
            assert tried(lambda: settle(ledger, "a", 3, "reported", NOW)) == "charged"
            assert ledger.balance(LIMIT.key, NOW) == Balance(settled_nusd=3)


def test_tls(tmp_path: Path) -> None:
    """
    A certificate that nobody vouches for is refused; with the authority that the address names the ledger works.
    """
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    port = free_port()
    options = ["--tls-port", str(port), "--tls-auth-clients", "no", "--tls-cert-file", str(tmp_path / "cert.pem")]
    options += ["--tls-key-file", str(tmp_path / "key.pem"), "--tls-ca-cert-file", str(tmp_path / "ca.pem")]
    with running_redis(*options) as server:
        with opened(f"rediss://127.0.0.1:{port}") as ledger, pytest.raises(LedgerUnavailable, match="certificate"):
            ledger.check()
        with opened(f"redis://127.0.0.1:{port}") as ledger, pytest.raises(LedgerUnavailable):
            ledger.check()
        url = f"rediss://127.0.0.1:{port}?ca={tmp_path / 'ca.pem'}&timeout=10"
        with opened(url) as ledger:
            ledger.post((), [a_reserve("a")])

        async def story() -> None:
            proxy = awaited(url)
            assert (await proxy.look([LIMIT.key], NOW)).balances[LIMIT.key] == Balance(held_nusd=10)
            await proxy.close()

        asyncio.run(story())
        assert server.process is not None


def test_clock_of_the_server_is_known() -> None:
    """
    Two proxies whose clocks are ten minutes apart use the same windows; clocks that agree are left alone.
    """
    address = address_of(shared_redis().url(new_name()))
    offsets = []
    for ahead_s in (-300, 0, 300):
        ledger = RedisLedger(address, lambda ahead_s=ahead_s: time.time() + ahead_s)  # type: ignore[misc]
        ledger.check()
        offsets.append(ledger.clock_offset.total_seconds() + ahead_s)
        ledger.close()

    assert offsets[1] == 0
    assert max(offsets) - min(offsets) < 2  # a busy machine may take a while to answer


def test_names_keep_ledgers_apart() -> None:
    """
    Two on one server.
    """
    urls = [shared_redis().url(new_name()) for _ in range(2)]
    with opened(urls[0]) as first, opened(urls[1]) as second:
        first.post((), [a_reserve("a")])
        assert second.balances(NOW) == {}


def test_window_with_more_charges_than_a_step_returns() -> None:
    """
    When enough has left it is read from the rest.
    """
    rolling = replace(LIMIT.budget, name="r", window=Budget("x", 1).window.__class__("rolling", hours=5))
    limit = limit_of(rolling, "", NOW)
    with opened(shared_redis().url(new_name())) as ledger:
        bills = []
        for number in range(150):
            at = NOW + timedelta(seconds=number)
            bills.append(Settle(f"c{number}", 1, "reported", at, (), Hold(f"c{number}", (limit.key,), 1, at)))
        ledger.post(bills, ())
        at = NOW + timedelta(minutes=5)
        decision = reserve(ledger, Hold("x", (limit.key,), 1, at), [limit_of(rolling, "", at)], at)
        assert isinstance(decision, Refused)
        assert decision.standing is not None
        assert decision.standing.frees_at == NOW + timedelta(hours=5, seconds=50)
        strict = limit_of(replace(rolling, strict=True), "", at)
        decision = reserve(ledger, Hold("y", (limit.key,), 80, at), [strict], at)
        assert isinstance(decision, Refused)
        assert decision.standing is not None
        assert decision.standing.frees_at == NOW + timedelta(hours=5, seconds=129)
