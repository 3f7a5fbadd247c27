"""
Three proxies with 64 streams each on one cap: as on one machine.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from savemode_cli.ledgers import open_ledger
from tests.support.processes import ROOT
from tests.support.servers import PostgresServer, RedisServer, new_name, shared_postgres, shared_redis

CAP_NUSD = 10_000_000
HELD_NUSD = {"default": 360_000, "strict": 760_000}
"""What each request holds: what it is expected to cost, or strictly the most that it can cost."""
COST_NUSD = 340_000
STREAMS = 64
SERVERS: dict[str, Callable[[], RedisServer | PostgresServer]] = {"redis": shared_redis, "postgres": shared_postgres}


def start(url: str, name: str, rule: str) -> subprocess.Popen[str]:
    """
    A proxy's till.
    """
    words = [url, name, str(STREAMS), str(CAP_NUSD), rule]
    return subprocess.Popen(
        [sys.executable, "-m", "tests.ledgers.proxy_process", *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def lines(processes: list[subprocess.Popen[str]]) -> list[str]:
    """
    The next line of each.
    """
    return [one.stdout.readline().strip() for one in processes if one.stdout is not None]


def go(processes: list[subprocess.Popen[str]]) -> None:
    """
    Let all of them go on.
    """
    for one in processes:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()


def ended(processes: list[subprocess.Popen[str]]) -> None:
    """
    Wait for their ends.
    """
    for one in processes:
        one.communicate(timeout=60)
    assert [one.returncode for one in processes] == [0] * len(processes)


@pytest.mark.parametrize("rule", ["default", "strict"])
@pytest.mark.parametrize("server", SERVERS)
def test_three_proxies_are_one(server: str, rule: str) -> None:
    """
    Of 192 requests at once exactly those start that would on one machine; and until the cap is spent none starts beyond the
    rule, and a strict cap is not crossed.
    """
    url = SERVERS[server]().url(new_name(), "&timeout=30")
    processes = [start(url, name, rule) for name in "abc"]
    assert lines(processes) == ["ready"] * 3
    go(processes)
    first = [one for text in lines(processes) for one in json.loads(text)]
    go(processes)
    later = [one for text in lines(processes) for one in json.loads(text)]
    ended(processes)

    held_nusd = HELD_NUSD[rule]
    assert len(first) == CAP_NUSD // held_nusd + (rule == "default")
    assert {held for _, held in first} == {held_nusd}
    if rule == "strict":
        assert [one for one in first + later if sum(one) > CAP_NUSD] == []
    else:
        assert [one for one in first + later if one[0] >= CAP_NUSD] == []
    ledger = open_ledger(url)
    now = datetime.now(UTC)
    ((_, balance),) = ledger.balances(now).items()
    assert (balance.held_nusd, balance.unsettled_nusd) == (0, 0)
    assert balance.settled_nusd == COST_NUSD * len(ledger.charges())
    assert len(ledger.charges()) == len(first) + len(later)
    assert balance.settled_nusd > CAP_NUSD - held_nusd
    assert balance.settled_nusd <= (CAP_NUSD if rule == "strict" else CAP_NUSD + held_nusd)
    ledger.close()


def test_counting_after_the_fact_lets_all_of_them_start() -> None:
    """
    What `docs/team.md` compares it with: each looks at what is spent, starts, and is charged afterwards.
    """
    url = shared_redis().url(new_name(), "&timeout=30")
    processes = [start(url, name, "after") for name in "abc"]
    assert lines(processes) == ["ready"] * 3
    go(processes)
    assert sum(map(json.loads, lines(processes))) == 3 * STREAMS
    go(processes)
    ended(processes)
