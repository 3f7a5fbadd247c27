"""
A local ledger with the interface that the till awaits.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from inspect import iscoroutinefunction

import pytest

from savemode_cli.core.budget.admission import Allowed, Balance, Hold
from savemode_cli.core.budget.budget import Budget, limit_of
from savemode_cli.core.budget.ledger import AsyncLedger, Looked, Reserve, Settle
from savemode_cli.core.budget.memory_ledger import MemoryLedger
from savemode_cli.core.budget.personal import Allowance
from savemode_cli.proxy.local_ledger import LocalLedger, completed

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
LIMIT = limit_of(Budget("b", 100), "", NOW)


def test_every_call_is_that_of_the_ledger_and_does_not_suspend() -> None:
    """
    The test has no event loop, so nothing can be awaited.
    """
    ledger = MemoryLedger()
    local = LocalLedger(ledger)
    hold = Hold("h", (LIMIT.key,), 60, NOW + timedelta(minutes=1))

    (decision,) = completed(local.post((), (Reserve(hold, (LIMIT,), NOW),))).decisions
    assert isinstance(decision, Allowed)
    completed(local.post((Settle("h", 40, "reported", NOW),), ()))
    ledger.set_budget(Budget("b", 100))
    ledger.allow(NOW)

    looked = completed(local.look([LIMIT.key], NOW))
    assert looked == Looked({LIMIT.key: Balance(settled_nusd=40)}, ledger.allowances())
    assert looked.allowances == (Allowance(NOW),)
    assert completed(local.terms()) == ledger.terms()
    completed(local.check())
    completed(local.disconnect())
    completed(local.close())


def test_it_has_every_call_that_is_awaited() -> None:
    """
    A local ledger has every method of the protocol.
    """
    calls = [name for name, value in vars(AsyncLedger).items() if iscoroutinefunction(value)]

    assert [name for name in calls if iscoroutinefunction(getattr(LocalLedger, name))] == calls != []


def test_what_suspends_is_a_fault() -> None:
    """
    A coroutine that suspends cannot be completed, and is closed.
    """
    with pytest.raises(RuntimeError, match="suspended"):
        completed(asyncio.sleep(0))
