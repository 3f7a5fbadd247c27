"""
What a ledger on PostgreSQL does besides the contract, for commands.
"""

from datetime import timedelta

import psycopg
import pytest

from savemode_cli.core.budget.admission import Allowed, Balance, Hold, Refused
from savemode_cli.core.budget.budget import Budget, limit_of
from savemode_cli.core.budget.ledger import Settle, reserve, settle
from savemode_cli.core.errors import LedgerUnavailable
from savemode_cli.ledgers import open_ledger
from savemode_cli.ledgers.postgres_server import schema_of
from tests.support.forwarder import Forwarder, forwarded
from tests.support.remote import LATER, LIMIT, NOW, a_reserve, hold, opened, tried
from tests.support.servers import (
    WITHOUT_POSTGRES,
    new_name,
    postgres_programs,
    running_postgres,
    shared_postgres,
)

pytestmark = pytest.mark.skipif(postgres_programs() is None, reason=WITHOUT_POSTGRES)


def way_url(way: Forwarder, name: str) -> str:
    """
    The address of a ledger by a way that can be cut.
    """
    return f"postgresql://savemode@127.0.0.1:{way.port}/postgres?name={name}"


def test_amounts_are_exact() -> None:
    """
    The sums pass 2^53, and the last nano-dollar decides.
    """
    most = 2**53 - 1
    strict = limit_of(Budget("s", most, strict=True), "", NOW)
    with opened(shared_postgres().url(new_name())) as ledger:
        for number in range(3):
            ledger.post(
                [Settle(f"a{number}", most, "reported", NOW, (), hold(f"a{number}", 0))], [a_reserve(f"b{number}", 0)]
            )
        assert ledger.balance(LIMIT.key, NOW) == Balance(settled_nusd=3 * most)
        reserve(ledger, Hold("a", (strict.key,), most - 1, LATER), [strict], NOW)
        assert isinstance(reserve(ledger, Hold("b", (strict.key,), 2, LATER), [strict], NOW), Refused)
        assert isinstance(reserve(ledger, Hold("c", (strict.key,), 1, LATER), [strict], NOW), Allowed)


def test_texts_that_the_server_does_not_keep() -> None:
    """
    NUL, a lone surrogate, a backslash, and a key that no index takes.
    """
    odd, long = 'b/none/user=a\0b\\c\ud800"', "b/none/user=" + "x" * 5_000
    with opened(shared_postgres().url(new_name())) as ledger:
        for number, key in enumerate((odd, long)):
            reserve(ledger, Hold(f"h{number}", (key,), 5, LATER, "m\0\ud800"), (), NOW)
            assert ledger.balance(key, NOW) == Balance(held_nusd=5)
        settle(ledger, "h0", 4, "reported", NOW)
        (charge,) = ledger.charges()
        assert (charge.keys, charge.model) == ((odd,), "m\0\ud800")
        assert odd in ledger.balances(NOW)


def test_answer_that_was_lost_is_asked_for() -> None:
    """
    The step was done once, and is reported as done.
    """
    name = new_name()
    with forwarded(shared_postgres().port) as way, opened(f"{way_url(way, name)}&sslmode=disable") as ledger:
        ledger.terms()
        way.lost_answers = 1
        posted = ledger.post([Settle("a", 4, "reported", NOW, (), hold("a"))], [a_reserve("b")])
        assert posted.settled == ["charged"]
        way.lost_answers = 1
        assert ledger.release("b")
    with opened(shared_postgres().url(name)) as ledger:
        assert ledger.balance(LIMIT.key, NOW) == Balance(settled_nusd=4)


def test_killed_and_started_again() -> None:
    """
    What was counted is still counted.
    """
    with running_postgres() as server, opened(server.url()) as ledger:
        ledger.set_budget(Budget("b", 100))
        ledger.post([Settle("a", 4, "reported", NOW, (), hold("a"))], [a_reserve("b")])
        server.kill()
        with pytest.raises(LedgerUnavailable, match="does not answer"):
            settle(ledger, "b", 3, "reported", NOW)
        server.start()
        assert tried(lambda: settle(ledger, "b", 3, "reported", NOW)) == "charged"
        assert ledger.balance(LIMIT.key, NOW) == Balance(settled_nusd=7)
        assert [one.name for one in ledger.budgets()] == ["b"]


def test_other_format_is_left_alone() -> None:
    """
    What a later savemode wrote is not changed by this one.
    """
    name = new_name()
    with opened(shared_postgres().url(name)) as ledger:
        ledger.check()
    with psycopg.connect(shared_postgres().dsn()) as raw:
        raw.execute(f"UPDATE {schema_of(name)}.format SET version = 2".encode())  # noqa: S608
    with opened(shared_postgres().url(name)) as ledger, pytest.raises(LedgerUnavailable, match="format 2"):
        ledger.post((), [a_reserve("a")])


def test_user_who_may_not_make_tables_is_told() -> None:
    """
    And what would help.
    """
    with psycopg.connect(shared_postgres().dsn()) as raw:
        raw.execute("DROP ROLE IF EXISTS guest")
        raw.execute("CREATE ROLE guest LOGIN")
    port = shared_postgres().port
    with opened(f"postgresql://guest@127.0.0.1:{port}/postgres?name={new_name()}") as ledger:
        with pytest.raises(LedgerUnavailable, match="permission denied") as error:
            ledger.check()
        assert "schema" in error.value.hint


def test_password_is_nowhere() -> None:
    """
    A server that nobody listens on, with a password: the error has neither.
    """
    ledger = open_ledger("postgresql://me@127.0.0.1:9/x", password="s3cretword")
    with pytest.raises(LedgerUnavailable) as error:
        ledger.check()
    assert "s3cretword" not in repr(error.value) + repr(error.value.__cause__)
    ledger.close()


def test_window_with_more_charges_than_a_step_returns() -> None:
    """
    When enough has left it is read from the rest.
    """
    from savemode_cli.core.budget.window import Window

    rolling = Budget("r", 100, Window("rolling", hours=5))
    key, at = rolling.key("", NOW), NOW + timedelta(minutes=5)
    with opened(shared_postgres().url(new_name())) as ledger:
        times = [NOW + timedelta(seconds=number) for number in range(250)]
        bills = [Settle(f"c{one}", 1, "reported", one, (), Hold(f"c{one}", (key,), 1, one)) for one in times]
        ledger.post(bills, ())
        decision = reserve(ledger, Hold("x", (key,), 1, LATER), [limit_of(rolling, "", at)], at)
        assert isinstance(decision, Refused)
        assert decision.standing is not None
        assert decision.standing.frees_at == times[150] + timedelta(hours=5)
