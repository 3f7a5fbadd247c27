"""
A till of a proxy in a process of its own, for tests of several proxies on one ledger: `python -m tests.ledgers.proxy_process URL
NAME STREAMS CAP_NUSD RULE`.

It opens so many requests at once when it reads a line, and prints what each that may start was judged by. When it reads another
one, it charges them, and goes on opening and charging until all are refused. By the rule "after" it only
looks at what is spent, and prints how many would start.
"""

import asyncio
import json
import sys
from datetime import UTC, datetime

from savemode_cli.core.budget.admission import Allowed
from savemode_cli.core.budget.budget import Budget
from savemode_cli.core.budget.charge import Ending
from savemode_cli.core.money.pricing import PriceTable
from savemode_cli.core.wire.facts import Facts
from savemode_cli.core.wire.usage import Tokens, Usage
from savemode_cli.ledgers import connected_ledger
from savemode_cli.proxy.reservation import Reservation
from savemode_cli.proxy.till import Till
from tests.builders import a_call_in_progress, a_price
from tests.proxy.test_pricing_memory import Meter

MOST_ROUNDS = 50


def till_of(url: str, cap_nusd: int, *, strict: bool) -> Till:
    """
    The till of a proxy with this cap.
    """
    ledger = connected_ledger(url)
    assert ledger is not None
    budget = Budget("default", cap_nusd, strict=strict)
    return Till(
        ledger, PriceTable([a_price()]), lambda event, text: print(event, text, file=sys.stderr), budgets=[budget]
    )


async def opened(till: Till, names: list[str]) -> list[Reservation]:
    """
    What the till says to these requests, which come at once.
    """
    facts = Facts(model="claude-opus-5-5", max_tokens=10)
    calls = [a_call_in_progress(name, facts, session=name, now=datetime.now(UTC)) for name in names]
    return list(await asyncio.gather(*(till.open(call) for call in calls)))


def judged(reservations: list[Reservation]) -> list[tuple[int, int]]:
    """
    Of each request that may start, what was used before it, and what it holds.
    """
    return [
        (one.decision.standings[0].balance.used_nusd, one.held_nusd)
        for one in reservations
        if isinstance(one.decision, Allowed) and one.decision.standings
    ]


def charge(till: Till, reservations: list[Reservation]) -> int:
    """
    Charge those that started with what they held less a little; how many there are.
    """
    started = [one for one in reservations if isinstance(one.decision, Allowed)]
    for one in started:
        usage = Usage(Tokens(input=80, output=1))
        till.close(one, Ending("ok"), datetime.now(UTC), lambda _: None, meter=Meter(usage))
    return len(started)


async def run(url: str, name: str, streams: int, cap_nusd: int, rule: str) -> None:
    """
    See above.
    """
    till = till_of(url, cap_nusd, strict=rule == "strict")
    loop = asyncio.get_running_loop()
    await till.standings(datetime.now(UTC))
    print("ready", flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)
    if rule == "after":
        looks = await asyncio.gather(*(till.standings(datetime.now(UTC)) for _ in range(streams)))
        print(sum(standing.left_nusd > 0 for (standing,) in looks), flush=True)
        await loop.run_in_executor(None, sys.stdin.readline)
        await till.shut()
        return
    reservations = await opened(till, [f"{name}-0-{number}" for number in range(streams)])
    print(json.dumps(judged(reservations)), flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)
    later: list[tuple[int, int]] = []
    for turn in range(1, MOST_ROUNDS):
        charge(till, reservations)
        await till.post_waiting()
        reservations = await opened(till, [f"{name}-{turn}-{number}" for number in range(streams)])
        found = judged(reservations)
        later += found
        if not found:
            break
    charge(till, reservations)
    await till.shut()
    print(json.dumps(later), flush=True)


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]))
