"""
`savemode ledger copy`.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from savemode_cli.core.budget.admission import Hold
from savemode_cli.core.budget.budget import Budget
from savemode_cli.core.budget.ledger import Settle, reserve
from savemode_cli.ledgers import open_ledger
from tests.support.command import Run
from tests.support.servers import PostgresServer, RedisServer, new_name, shared_postgres, shared_redis

NOW = datetime.now(UTC)


def fill(url: str) -> None:
    """
    A charge, an open hold and a budget.
    """
    ledger = open_ledger(url)
    hold = Hold("a", ("b/none/all",), 123_456_789_012_345, NOW, "m")
    ledger.post([Settle("a", 123_456_789_012_345, "reported", NOW, (), hold)], ())
    reserve(ledger, Hold("b", ("b/none/all",), 7, NOW + timedelta(hours=1)), (), NOW)
    ledger.set_budget(Budget("b", 2**53 - 1))
    ledger.close()


@pytest.mark.parametrize("server", [shared_redis, shared_postgres], ids=["redis", "postgres"])
def test_from_a_file_to_a_server_and_back(
    savemode: Run, tmp_path: Path, server: Callable[[], RedisServer | PostgresServer]
) -> None:
    """
    To the nano-dollar, and as often as one likes.
    """
    first, far, last = (
        f"sqlite:///{tmp_path}/a.db",
        server().url(new_name()),
        f"sqlite:///{tmp_path}/b.db",
    )
    fill(first)

    for source, target in ((first, far), (first, far), (far, last)):
        done = savemode("ledger", "copy", source, target)
        assert done.code == 0, done.err
        assert "1 charges of $123,456.7890, 1 open holds, 1 budgets" in done.out
        assert "same 1 balances" in done.out
    ledger = open_ledger(last)
    assert [one.nusd for one in ledger.charges()] == [123_456_789_012_345]
    ledger.close()
    shown = savemode("budget", "show", "--ledger", far)
    assert shown.code == 0
    assert "b" in shown.out
    assert savemode("report", "--ledger", far).code == 0


def test_ledgers_are_not_added_up(savemode: Run, tmp_path: Path) -> None:
    """
    One that has something else is refused, and left as it is; a file that is not there is not made.
    """
    first, other = f"sqlite:///{tmp_path}/a.db", f"sqlite:///{tmp_path}/b.db"
    fill(first)
    open_ledger(other).close()

    done = savemode("ledger", "copy", other, first)
    assert (done.code, "has 1 charges that FROM does not have" in done.err) == (2, True)
    assert savemode("ledger", "copy", first, first).code == 2
    assert savemode("ledger", "copy", f"sqlite:///{tmp_path}/none.db", first).code == 2
    assert savemode("ledger", "copy", "memory:", first).code == 2
    assert not (tmp_path / "none.db").exists()
