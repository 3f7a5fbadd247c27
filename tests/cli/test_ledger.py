"""
`savemode ledger copy`.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from savemode_cli.core.budget.admission import Hold
from savemode_cli.core.budget.budget import Budget
from savemode_cli.core.budget.ledger import Settle, reserve
from savemode_cli.ledgers import open_ledger
from tests.support.command import Run
from tests.support.servers import (
    WITHOUT_REDIS,
    PostgresServer,
    RedisServer,
    new_name,
    redis_program,
    running_redis,
    shared_postgres,
    shared_redis,
)
from tests.support.upstream import Upstream

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


@pytest.mark.parametrize("server", [shared_redis, shared_postgres], ids=["redis", "postgres"])
def test_budget_on_a_server_is_simulated(savemode: Run, server: Callable[[], RedisServer | PostgresServer]) -> None:
    """
    The one that `budget set` keeps there; one that is given counts more.
    """
    far = ("--ledger", server().url(new_name()))
    assert savemode("simulate-budget", "--spend", "25", *far).code == 2
    assert savemode("budget", "set", "20", *far).code == 0

    refused = savemode("simulate-budget", "--spend", "25", "--check", *far)
    assert (refused.code, "20.00" in refused.out) == (1, True)
    assert savemode("simulate-budget", "--spend", "25", "--budget", "30", "--check", *far).code == 0


@pytest.mark.skipif(redis_program() is None, reason=WITHOUT_REDIS)
def test_doctor_warns_of_a_server_that_may_lose_counts(savemode: Run, upstream: Upstream) -> None:
    """
    Of one that writes nothing to its disk, and of one that would delete keys.
    """
    words = ("doctor", "--json", "--port", "0", "--upstream", upstream.url, "--ledger")
    safe = json.loads(savemode(*words, shared_redis().url(new_name())).out)["findings"]
    assert [one["level"] for one in safe if one["about"] == "ledger"] == ["OK"]
    with running_redis("--appendonly", "no", "--maxmemory-policy", "volatile-lru") as server:
        done = savemode(*words, server.url())

    found = [one for one in json.loads(done.out)["findings"] if one["about"] == "ledger"]
    assert done.code == 1
    assert [one["level"] for one in found] == ["OK", "WARN", "WARN"]
    assert ["appendonly no" in found[1]["text"], "volatile-lru" in found[2]["text"]] == [True, True]
    assert ["appendonly" in found[1]["fix"], "noeviction" in found[2]["fix"]] == [True, True]


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
