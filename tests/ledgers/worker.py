"""
The operations of another process on a ledger, for the tests: `python -m tests.ledgers.worker race|hold URL ...`.
"""

import json
import random
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from savemode_cli.core.budget.admission import Allowed, Hold
from savemode_cli.core.budget.budget import Budget, Limit, limit_of
from savemode_cli.core.budget.ledger import Ledger, reserve, settle
from savemode_cli.ledgers import open_ledger

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
MOST_ASKED = 100


def race_limit(limit_nusd: int, *, strict: bool) -> Limit:
    """
    The limit of a race: each rule has one of its own.
    """
    return limit_of(Budget("strict-race" if strict else "race", limit_nusd, strict=strict), "", NOW)


def race(ledger: Ledger, name: str, attempts: int, limit_nusd: int, *, strict: bool) -> Iterator[tuple[int, int, int]]:
    """
    Try to spend, with three requests at a time. For each allowed one, report the balance before it, the amount asked and
    the cost.
    """
    rng = random.Random(name)
    limit = race_limit(limit_nusd, strict=strict)
    under_way: list[tuple[str, int]] = []
    for number in range(attempts):
        ask = rng.randint(1, MOST_ASKED)
        hold = Hold(f"{name}-{limit.budget.name}-{number}", (limit.key,), ask, NOW + timedelta(minutes=10))
        decision = reserve(ledger, hold, [limit], NOW)
        if isinstance(decision, Allowed):
            cost = rng.randint(0, ask)
            under_way.append((hold.id, cost))
            yield decision.standings[0].balance.used_nusd, ask, cost
        while under_way and (len(under_way) > 2 or number == attempts - 1 or not isinstance(decision, Allowed)):
            hold_id, cost = under_way.pop(0)
            assert settle(ledger, hold_id, cost, "reported", NOW) == "charged"


def main(what: str, url: str, name: str, attempts: str, limit_nusd: str) -> None:
    """
    Run a race by each rule, or hold money and wait until killed.
    """
    ledger = open_ledger(url, busy_s=60)
    if what == "hold":
        limit = race_limit(int(limit_nusd), strict=False)
        reserve(ledger, Hold(name, (limit.key,), 7, NOW + timedelta(minutes=10)), [limit], NOW)
        print("held", flush=True)
        time.sleep(60)
    print("ready", flush=True)
    sys.stdin.readline()
    results = [list(race(ledger, name, int(attempts), int(limit_nusd), strict=strict)) for strict in (False, True)]
    print(json.dumps(results))


if __name__ == "__main__":
    main(*sys.argv[1:])
