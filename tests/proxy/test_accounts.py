"""
The books of the relay: what is held, what is charged, and what is said when something is wrong.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from savemode_cli.core.admission import Allowed, Refused
from savemode_cli.core.budget import Budget
from savemode_cli.core.caller import Caller
from savemode_cli.core.errors import LedgerUnavailable
from savemode_cli.core.ledger import MemoryLedger
from savemode_cli.core.messages import Facts, facts
from savemode_cli.core.pricing import PriceTable
from savemode_cli.core.transform import Policy, transform
from savemode_cli.core.usage import UsageMeter
from savemode_cli.proxy.accounts import Account, Accounts
from tests.builders import a_price

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
CALLER = Caller("posthog_code", idle_prone=True)
KNOWN = Facts(model="claude-opus-5-5", max_tokens=100)
DOLLAR = 10**9


class Books:
    """
    Accounts over a ledger in memory, and what they announced.
    """

    def __init__(self, *budgets: Budget, **options: Any) -> None:
        """
        The budgets are in the ledger.
        """
        self.ledger = MemoryLedger()
        for budget in budgets:
            self.ledger.set_budget(budget)
        self.said: list[str] = []
        table = PriceTable([a_price()])
        self.accounts = Accounts(
            self.ledger, lambda: table, lambda event, _: self.said.append(event), budgets=budgets, **options
        )
        self.number = 0

    def reserve(self, *, body_bytes: int = 350, session: str = "s", now: datetime = NOON, **more: Any) -> Account:
        """
        Ask for a request.
        """
        self.number += 1
        caller = more.get("caller", CALLER)
        return self.accounts.reserve(f"h{self.number}", caller, [], more.get("known", KNOWN), body_bytes, session, now)

    def spent(self) -> int:
        """
        What the ledger has as settled, under its one key.
        """
        return sum(one.settled_nusd for one in self.ledger.balances(NOON).values())


def answered(**usage: Any) -> UsageMeter:
    """
    The meter of a whole JSON answer.
    """
    meter = UsageMeter("application/json", "")
    full = {"input_tokens": 0, "output_tokens": 0, **usage}
    meter.feed(json.dumps({"model": "claude-opus-5-5", "stop_reason": "end_turn", "usage": full}).encode())
    meter.close()
    return meter


def test_bill_takes_the_place_of_the_hold() -> None:
    """
    10 x 4,000 + 7 x 20,000 nano-dollars are charged, once, and nothing stays held.
    """
    books = Books(Budget("default", DOLLAR))
    account = books.reserve()

    settled = books.accounts.settle(account, "ok", answered(input_tokens=10, output_tokens=7), (), NOON)
    books.accounts.settle(account, "ok", answered(input_tokens=10, output_tokens=7), (), NOON)

    assert (settled.settlement.nusd, settled.settlement.basis) == (180_000, "reported")
    assert books.spent() == 180_000
    assert books.ledger.holds(NOON) == ()


def test_first_hold_is_a_guess_and_the_next_follows_the_bills() -> None:
    """
    350 bytes are taken for 100 tokens written for an hour, and 100 of output; then twice what the session's calls cost.
    """
    books = Books(Budget("default", DOLLAR))
    first = books.reserve()
    books.accounts.settle(first, "ok", answered(input_tokens=10), (), NOON)

    assert first.held_nusd == 100 * 8_000 + 100 * 20_000
    assert books.reserve().held_nusd == 2 * 40_000
    assert books.reserve(session="another").held_nusd == first.held_nusd


def test_strict_holds_the_ceiling() -> None:
    """
    A byte is at most a token, and the surcharge for US inference may apply: (350 x 8,000 + 100 x 20,000) x 1.1.
    """
    table_factor = a_price().us_multiplier
    books = Books(Budget("default", DOLLAR, strict=True))

    assert books.reserve().held_nusd == (350 * 8_000 + 100 * 20_000) * table_factor


def test_refusal_holds_nothing() -> None:
    """
    At the cap a request is refused for good, and leaves no trace in the ledger.
    """
    books = Books(Budget("default", 180_000))
    books.accounts.settle(books.reserve(), "ok", answered(input_tokens=10, output_tokens=7), (), NOON)

    refused = books.reserve()

    assert isinstance(refused.decision, Refused)
    assert refused.decision.permanent
    assert refused.held_nusd == 0
    assert books.accounts.settle(refused, "refused", None, (), NOON).settlement.nusd == 0
    assert books.spent() == 180_000


def test_raised_budget_counts_at_once() -> None:
    """
    What `savemode budget set` writes is asked for at the next request.
    """
    books = Books(Budget("default", 1))
    books.accounts.settle(books.reserve(), "ok", answered(input_tokens=10), (), NOON)
    assert isinstance(books.reserve().decision, Refused)

    books.ledger.set_budget(Budget("default", DOLLAR))

    assert isinstance(books.reserve().decision, Allowed)


def test_new_window_starts_from_nothing() -> None:
    """
    The limit kept for a window is not kept beyond it.
    """
    books = Books(Budget("default", 1))
    books.accounts.settle(books.reserve(), "ok", answered(input_tokens=10), (), NOON)
    assert isinstance(books.reserve().decision, Refused)

    assert isinstance(books.reserve(now=NOON + timedelta(days=7)).decision, Allowed)


def test_override_is_charged() -> None:
    """
    Who overrides the cap may start, and pays.
    """
    books = Books(Budget("default", 1))
    books.accounts.settle(books.reserve(), "ok", answered(input_tokens=10), (), NOON)
    over = books.reserve(caller=Caller("posthog_code", idle_prone=True, override=True))

    books.accounts.settle(over, "ok", answered(input_tokens=10), (), NOON)

    assert dict(over.decision.headers())[b"x-posthog-budget"] == b"override"
    assert books.spent() == 80_000


def test_looking_holds_nothing() -> None:
    """
    A free call learns where the budget stands, at no cost.
    """
    books = Books(Budget("default", DOLLAR))

    decision = books.accounts.look(CALLER, [], NOON)

    assert dict(decision.headers())[b"x-posthog-budget"] == b"ok"
    assert books.ledger.holds(NOON) == ()


def test_unpriced_model_is_charged_dearly_and_said_once() -> None:
    """
    No price is no way around the budget.
    """
    books = Books()
    meter = UsageMeter("application/json", "")
    meter.feed(b'{"model":"claude-new","stop_reason":"end_turn","usage":{"input_tokens":10,"output_tokens":0}}')
    meter.close()

    for _ in range(2):
        settled = books.accounts.settle(books.reserve(), "ok", meter, (), NOON)

    assert settled.bill is not None
    assert settled.bill.state == "unpriced"
    assert settled.settlement.nusd == 40_000
    assert books.said == ["model_unpriced"]


def test_downgrade_is_said_once() -> None:
    """
    Asked for 1h, billed 5m: no upgrade happened there.
    """
    body = b'{"model":"claude-opus-5-5","system":[{"type":"text","text":"s","cache_control":{"type":"ephemeral"}}]}'
    known = facts(body)
    edits = transform(body, Policy("always"), CALLER, known).edits
    books = Books()
    split = {"ephemeral_5m_input_tokens": 9, "ephemeral_1h_input_tokens": 0}

    for _ in range(2):
        meter = answered(cache_creation_input_tokens=9, cache_creation=split)
        settled = books.accounts.settle(books.reserve(known=known), "ok", meter, edits, NOON)

    assert settled.receipt.verified is False
    assert books.said == ["ttl_downgraded"]
    assert books.accounts.downgraded_models == {"claude-opus-5-5"}


class Broken(MemoryLedger):
    """
    A ledger that stops answering when told.
    """

    broken = False

    def __getattribute__(self, name: str) -> Any:
        """
        Every method fails while it is broken.
        """
        if name in ("reserve", "settle", "budgets", "balance", "allowed_until") and Broken.broken:
            raise LedgerUnavailable("the disk is gone")
        return super().__getattribute__(name)


@pytest.fixture
def broken() -> Any:
    """
    Breaks and mends the ledgers of this kind.
    """

    def switch(value: bool) -> None:
        Broken.broken = value

    yield switch
    Broken.broken = False


@pytest.mark.parametrize(("fail", "kind"), [("open", Allowed), ("closed", Refused)])
def test_ledger_that_does_not_answer(broken: Callable[[bool], None], fail: Any, kind: type) -> None:
    """
    Open lets requests pass with the status unknown, closed refuses them; the trouble is said once, and its end.
    """
    ledger, said = Broken(), []
    ledger.set_budget(Budget("default", DOLLAR))
    table = PriceTable([a_price()])
    accounts = Accounts(ledger, lambda: table, lambda event, _: said.append(event), budgets=ledger.budgets(), fail=fail)
    broken(True)  # noqa: FBT003

    decisions = [accounts.reserve(f"h{n}", CALLER, [], KNOWN, 9, "s", NOON).decision for n in range(2)]

    assert [type(one) for one in decisions] == [kind, kind]
    assert dict(decisions[0].headers())[b"x-posthog-budget"] == b"unknown"
    assert isinstance(accounts.look(CALLER, [], NOON), kind)
    assert said == ["ledger_unavailable"]
    assert accounts.standings(NOON) == ()

    broken(False)  # noqa: FBT003
    accounts.reserve("h3", CALLER, [], KNOWN, 9, "s", NOON)
    assert said == ["ledger_unavailable", "ledger_back"]


def test_bill_that_cannot_be_written_is_said(broken: Callable[[bool], None]) -> None:
    """
    A lost charge is told with its amount, and the answer is not harmed.
    """
    ledger, said = Broken(), []
    table = PriceTable([a_price()])
    accounts = Accounts(ledger, lambda: table, lambda event, text: said.append((event, text)))
    account = accounts.reserve("h1", CALLER, [], KNOWN, 9, "s", NOON)
    broken(True)  # noqa: FBT003

    settled = accounts.settle(account, "ok", answered(input_tokens=10), (), NOON)

    assert settled.settlement.nusd == 40_000
    assert said[0][0] == "charge_lost"
    assert "$0.00004" in said[0][1]
