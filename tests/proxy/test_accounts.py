"""
Money on the road of a request, without the road: holds, bills, and what is said when the ledger is in trouble.

Prices are those of the price page: $4 input, $20 output, $5 and $8 writes, $0.20 reads per million tokens, so that a
token costs 4,000, 20,000, 5,000, 8,000 and 200 nano-dollars.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from savemode_cli.core.admission import Allowed, Balance, Decision, Hold, Refused
from savemode_cli.core.budget import Budget, Window
from savemode_cli.core.caller import Caller, read_caller
from savemode_cli.core.charge import Outcome, Settlement
from savemode_cli.core.errors import LedgerUnavailable
from savemode_cli.core.ledger import Ledger, MemoryLedger, Posted, Reserve, Settle
from savemode_cli.core.messages import Facts
from savemode_cli.core.pricing import PriceTable, Usage
from savemode_cli.core.tiers import MOST_NUSD, Fail
from savemode_cli.core.transform import Edit
from savemode_cli.proxy.accounts import Accounts, Settled
from savemode_cli.proxy.billing import Account
from tests.builders import a_price
from tests.proxy.test_billing import Meter

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
LATER = NOW + timedelta(seconds=7)
MODEL = "claude-opus-5-5"
TABLE = PriceTable([a_price(), a_price("dear", "10 50 12.5 20 1")])
ASKED = Facts(model=MODEL, max_tokens=10)
KEY = "default/month:2026-11-01/all"
MONTH = "month/month:2026-11-01/all"


class Moody(MemoryLedger):
    """
    A ledger on a disk that can be pulled out; like a real one it says in each error what was being done.
    """

    out = False
    full = False

    def post(self, settles: Sequence[Settle], reserves: Sequence[Reserve]) -> Posted:
        """
        Unless it is out.
        """
        doing = "reserve in" if reserves else "settle in"
        self._check(doing)
        if self.full:
            raise LedgerUnavailable(f"cannot {doing} the ledger l.db: the disk is full")
        return super().post(settles, reserves)

    def balance(self, key: str, now: datetime) -> Balance:
        """
        Unless it is out.
        """
        self._check("read")
        return super().balance(key, now)

    def budgets(self) -> tuple[Budget, ...]:
        """
        Unless it is out.
        """
        self._check("read")
        return super().budgets()

    def _check(self, doing: str) -> None:
        if self.out:
            raise LedgerUnavailable(f"cannot {doing} the ledger l.db: disk I/O error")


@dataclass
class Books:
    """
    Accounts, the ledger under them, and what they announced.
    """

    accounts: Accounts
    ledger: Moody
    announced: list[tuple[str, str]] = field(default_factory=list)
    count: int = 0

    def reserve(self, known: Facts = ASKED, body_bytes: int = 70, session: str = "s", **headers: str) -> Account:
        """
        Ask for a request.
        """
        self.count += 1
        ask = self.accounts.billing.ask(f"h{self.count}", caller(**headers), [], known, body_bytes, session, NOW)
        return self.accounts.post((), (ask,))[1][0]

    def settle(
        self, account: Account, outcome: Outcome, meter: Meter | None, edits: Sequence[Edit], now: datetime
    ) -> Settled:
        """
        It is over.
        """
        return self.accounts.post((self.accounts.billing.bill(account, outcome, meter, edits, now),), ())[0][0]

    @property
    def events(self) -> list[str]:
        """
        The names of what was announced.
        """
        return [event for event, _ in self.announced]


def caller(**headers: str) -> Caller:
    """
    Whoever sends these headers (`_` stands for `-`).
    """
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return read_caller(raw, "wizard")


def books(*budgets: Budget, fail: Fail = "open") -> Books:
    """
    Accounts with these budgets.
    """
    ledger = Moody()
    for budget in budgets:
        ledger.set_budget(budget)
    announced: list[tuple[str, str]] = []

    def announce(event: str, text: str) -> None:
        announced.append((event, text))

    return Books(Accounts(ledger, TABLE, announce, budgets=budgets, fail=fail), ledger, announced)


def held(account: Account) -> int:
    """
    What is held for an account that is allowed.
    """
    assert isinstance(account.decision, Allowed)
    return account.held_nusd


def test_first_request_of_a_session_is_held_at_its_opening() -> None:
    """
    70 bytes are 20 tokens, written for an hour at 8,000, and 10 tokens of output at 20,000: 360,000.
    """
    one = books(Budget("default", 10**9))

    assert held(one.reserve()) == 360_000
    assert one.ledger.balance(KEY, NOW) == Balance(held_nusd=360_000)


def test_strict_budget_holds_the_ceiling() -> None:
    """
    Every byte a token that is written for an hour: 70 x 8,000 + 10 x 20,000 = 760,000.
    """
    assert held(books(Budget("default", 10**9, strict=True)).reserve()) == 760_000


def test_settle() -> None:
    """
    The bill takes the place of the hold: 1 input, 2 and 3 written, 4 read, 5 output.

    4,000 + 2 x 5,000 + 3 x 8,000 + 4 x 200 + 5 x 20,000 = 138,800.
    """
    one = books(Budget("default", 10**9))

    settled = one.settle(one.reserve(), "ok", Meter(Usage(1, 2, 3, 4, 5)), (), LATER)

    assert settled.due.settlement == Settlement(138_800, "reported")
    assert settled.due.receipt.cost_nusd == 138_800
    assert one.ledger.balance(KEY, NOW) == Balance(settled_nusd=138_800)
    assert [(one.basis, one.settled_at) for one in one.ledger.charges()] == [("reported", LATER)]


def test_nothing_reported_is_charged_as_held() -> None:
    """
    Nobody knows what it cost, so what was held is spent.
    """
    one = books(Budget("default", 10**9))

    settled = one.settle(one.reserve(), "client_gone", Meter(final=False), (), LATER)

    assert settled.due.settlement == Settlement(360_000, "held")
    assert settled.due.receipt.cost_nusd is None
    assert one.ledger.balance(KEY, NOW) == Balance(settled_nusd=360_000)


def test_refused_holds_and_charges_nothing() -> None:
    """
    At the cap there is a refusal, no hold, and a settlement of nothing that writes nothing.
    """
    one = books(Budget("default", 100_000))
    one.settle(one.reserve(), "ok", Meter(Usage(input_tokens=25)), (), LATER)

    account = one.reserve()

    assert isinstance(account.decision, Refused)
    assert account.held_nusd == 0
    assert one.settle(account, "refused", None, (), LATER).due.settlement == Settlement(0, "none")
    assert one.ledger.balance(KEY, NOW) == Balance(settled_nusd=100_000)
    assert len(one.ledger.charges()) == 1


def test_without_a_budget_spend_is_counted() -> None:
    """
    A budget that is set later knows what was spent before it.
    """
    one = books()
    account = one.reserve()
    assert isinstance(account.decision, Allowed)
    assert account.decision.headers() == []
    one.settle(account, "ok", Meter(Usage(input_tokens=25)), (), LATER)

    one.ledger.set_budget(Budget("default", 100_000))

    assert isinstance(one.reserve().decision, Refused)


def test_budget_of_the_ledger_counts_at_once() -> None:
    """
    What another process sets in the ledger holds for the next request, raised or lowered.
    """
    one = books(Budget("default", 100_000))
    one.settle(one.reserve(), "ok", Meter(Usage(input_tokens=25)), (), LATER)
    assert isinstance(one.reserve().decision, Refused)

    one.ledger.set_budget(Budget("default", 100_001))
    assert isinstance(one.reserve().decision, Allowed)


def test_look_holds_nothing() -> None:
    """
    What is free asks where the budgets stand, and leaves no trace.
    """
    one = books(Budget("default", 10_000_000_000))

    decision = one.accounts.look(caller(), [], NOW)

    assert dict(decision.headers())[b"x-posthog-budget-remaining-usd"] == b"10.00"
    assert one.ledger.holds(NOW) == ()
    assert one.ledger.balances(NOW) == {}


def test_look_knows_the_override() -> None:
    """
    Both ways to lift a cap hold for batches too: the header, and the time set in the ledger, which ends.
    """
    one = books(Budget("default", 100_000))
    one.settle(one.reserve(), "ok", Meter(Usage(input_tokens=25)), (), LATER)
    assert isinstance(one.accounts.look(caller(), [], NOW), Refused)

    lifted = one.accounts.look(caller(x_posthog_budget_override="true"), [], NOW)
    assert dict(lifted.headers())[b"x-posthog-budget"] == b"override"

    one.ledger.allow(LATER)
    assert isinstance(one.accounts.look(caller(), [], NOW), Allowed)
    assert isinstance(one.accounts.look(caller(), [], LATER), Refused)


def test_standings_are_those_that_everybody_shares() -> None:
    """
    The banner shows the budgets for all, and no cap that caps nothing; without a ledger it says that nobody knows.
    """
    one = books(Budget("a", 10), Budget("b", 0), Budget("c", 10, scope="user"))

    assert [standing.limit.budget.name for standing in one.accounts.standings(NOW)] == ["a"]
    one.ledger.out = True
    with pytest.raises(LedgerUnavailable):
        one.accounts.standings(NOW)


def test_unavailable_and_open() -> None:
    """
    The request goes on with status `unknown`, nothing is held, and nothing is written when it is over.
    """
    one = books(Budget("default", 100_000))
    one.ledger.out = True

    account = one.reserve()
    settled = one.settle(account, "ok", Meter(Usage(input_tokens=25)), (), LATER)

    assert account.decision == Allowed(None, "unknown")
    assert settled.due.settlement == Settlement(100_000, "reported")
    assert one.events == ["ledger_unavailable"]
    assert "requests go on uncounted" in one.announced[0][1]


def test_unavailable_and_closed() -> None:
    """
    Told to fail closed, it refuses, and says so.
    """
    one = books(Budget("default", 100_000), fail="closed")
    one.ledger.out = True

    assert one.reserve().decision == Refused("unknown", None, 0)
    assert one.accounts.look(caller(), [], NOW) == Refused("unknown", None, 0)
    assert "requests are refused (--fail closed)" in one.announced[0][1]


def test_trouble_is_told_once_and_its_end_too() -> None:
    """
    Model calls and free calls meet the same trouble in different words; a person is told once, and when it is over.
    """
    one = books(Budget("default", 10**9))
    one.ledger.out = True
    for _ in range(3):
        one.reserve()
        one.accounts.look(caller(), [], NOW)
    assert one.events == ["ledger_unavailable"]
    assert one.accounts.ledger_trouble

    one.ledger.out = False
    for _ in range(2):
        one.reserve()
    assert one.events == ["ledger_unavailable", "ledger_back"]
    assert one.accounts.ledger_trouble == ""

    one.ledger.out = True
    one.reserve()
    assert one.events[2:] == ["ledger_unavailable"]


def test_last_budgets_known_hold_while_the_ledger_is_out() -> None:
    """
    A budget that was raised in the ledger is not forgotten with it; without any budget there is nothing to say.
    """
    one = books(fail="closed")
    one.reserve()
    one.ledger.out = True
    assert one.reserve().decision == Allowed(None, None)

    one.ledger.out = False
    one.ledger.set_budget(Budget("default", 10**9))
    one.reserve()
    one.ledger.out = True
    assert isinstance(one.reserve().decision, Refused)


def test_charge_that_cannot_be_written_is_written_later() -> None:
    """
    The hold counts until the ledger answers again; then the bill takes its place, before the next request is judged.
    """
    one = books(Budget("default", 10**9))
    account = one.reserve()
    one.ledger.out = True

    settled = one.settle(account, "ok", Meter(Usage(input_tokens=25)), (), LATER)

    assert settled.due.settlement == Settlement(100_000, "reported")
    one.ledger.out = False
    assert one.ledger.balance(KEY, NOW) == Balance(held_nusd=360_000)
    one.settle(one.reserve(), "refused", None, (), LATER)
    assert one.ledger.balance(KEY, NOW) == Balance(settled_nusd=100_000)
    assert one.events == ["ledger_unavailable", "ledger_back"]


def test_charge_that_is_never_written_is_said_with_its_amount() -> None:
    """
    A person learns what is missing, at the latest when the proxy stops.
    """
    one = books(Budget("default", 10**9))
    account = one.reserve()
    one.ledger.out = True
    one.settle(account, "ok", Meter(Usage(input_tokens=25)), (), LATER)

    one.accounts.close()

    assert one.events == ["ledger_unavailable", "charge_lost"]
    assert one.announced[1][1].startswith("$0.0001 (reported) of h1 not written: cannot settle in the ledger")


def test_flag_counts_and_a_later_set_counts_more() -> None:
    """
    What the ledger held at start gives way to what is configured; what is set there afterwards does not.
    """
    ledger = MemoryLedger()
    ledger.set_budget(Budget("default", 7))
    accounts = Accounts(ledger, TABLE, lambda _event, _text: None, budgets=(Budget("default", 5),))
    assert [one.limit.nusd for one in accounts.standings(NOW)] == [5]

    ledger.set_budget(Budget("default", 9))
    assert [one.limit.nusd for one in accounts.standings(NOW)] == [9]

    ledger.drop_budget("default")
    assert [one.limit.nusd for one in accounts.standings(NOW)] == [5]


def test_hold_that_the_ledger_forgot() -> None:
    """
    A ledger that was deleted meanwhile does not know the hold: said, not raised.
    """
    one = books(Budget("default", 10**9))
    account = one.reserve()
    one.ledger._open.clear()

    one.settle(account, "ok", Meter(Usage(input_tokens=25)), (), LATER)

    assert [text for _, text in one.announced] == [
        "$0.0001 (reported) of h1 not written: the ledger does not know the hold any more"
    ]


@pytest.mark.parametrize("strict", [False, True])
def test_request_for_more_than_there_is_money(strict: bool) -> None:
    """
    `max_tokens` is the client's to choose, up to numbers that no ledger can hold: judged like any other, never a crash.
    """
    one = books(Budget("default", 10**9, strict=strict))

    decision = one.reserve(Facts(model=MODEL, max_tokens=10**15)).decision

    assert isinstance(decision, Refused if strict else Allowed)


def test_bill_for_more_than_there_is_money() -> None:
    """
    What an upstream reports is not ours to choose either: the charge is the most there is, and settling does not raise.
    """
    one = books(Budget("default", 10**9))

    settled = one.settle(one.reserve(), "ok", Meter(Usage(input_tokens=2**60)), (), LATER)

    assert settled.due.settlement == Settlement(MOST_NUSD, "reported")
    assert isinstance(one.reserve().decision, Refused)


def stood(decision: Decision) -> dict[str, str]:
    """
    What a decision says in its headers, without their prefix.
    """
    return {name.decode().removeprefix("x-posthog-budget"): value.decode() for name, value in decision.headers()}


def test_budget_afterwards_has_the_charge_in_it() -> None:
    """
    $1.00 is left when the request is let through. It costs 25 tokens at $4 a million, and another one is held by then:
    of 1,000,000,000 nano-dollars 100,000 and 360,000 are gone.
    """
    one = books(Budget("default", 10**9))
    account = one.reserve()
    one.reserve(session="other")

    after = one.settle(account, "ok", Meter(Usage(input_tokens=25)), (), LATER).decision

    assert isinstance(account.decision, Allowed)
    assert isinstance(after, Allowed)
    assert (account.decision.standings[0].left_nusd, after.standings[0].left_nusd) == (10**9, 999_540_000)


def test_budget_afterwards_may_be_exceeded() -> None:
    """
    The request that crossed the cap was let through with `ok`, and says `exceeded` once it is paid.
    """
    one = books(Budget("default", 100_000))
    account = one.reserve()

    after = stood(one.settle(account, "ok", Meter(Usage(input_tokens=25)), (), LATER).decision)

    assert stood(account.decision)[""] == "ok"
    assert (after[""], after["-remaining-usd"], after["-state"]) == ("exceeded", "0.00", "blocked")


def test_tightest_budget_afterwards_may_be_another() -> None:
    """
    Before, the day's cap of 1,000,000 was half used by others; the bill makes the larger of two caps the tighter one.
    """
    one = books(Budget("day", 1_000_000, Window("day")), Budget("month", 1_100_000))
    one.ledger.reserve(Hold("other", ("day/day:2026-11-24/all",), 500_000, NOW + timedelta(hours=1)), (), NOW)
    account = one.reserve()
    one.ledger.settle("other", 0, "none", LATER)
    one.ledger.reserve(Hold("more", (MONTH,), 900_000, NOW + timedelta(hours=1)), (), NOW)

    after = one.settle(account, "ok", Meter(Usage(input_tokens=25)), (), LATER).decision

    assert isinstance(account.decision, Allowed)
    assert isinstance(after, Allowed)
    assert [each.standings[0].limit.budget.name for each in (account.decision, after)] == ["day", "month"]


def test_override_stays_one_afterwards() -> None:
    """
    Somebody let it through on purpose: that is the word for it, and no amount is claimed.
    """
    one = books(Budget("default", 1))
    account = one.reserve(x_posthog_budget_override="true")

    after = stood(one.settle(account, "ok", Meter(Usage(input_tokens=25)), (), LATER).decision)

    assert (after[""], "-remaining-usd" in after) == ("override", False)


def test_budget_afterwards_is_unknown_where_nobody_can_tell() -> None:
    """
    A ledger that went away in between makes no figure of before a figure of after.
    """
    one = books(Budget("default", 10**9))
    account = one.reserve()
    one.ledger.out = True

    assert stood(one.settle(account, "ok", Meter(Usage(1)), (), LATER).decision) == {"": "unknown"}


@pytest.mark.parametrize(
    ("budget", "headers", "stands"),
    [
        (None, {}, {}),
        (10**9, {}, {"": "ok", "-remaining-usd": "0.99"}),
        (10**9, {"x_posthog_budget_override": "true"}, {"": "override"}),
    ],
)
def test_budget_afterwards_where_it_can_be_read_but_not_written(
    budget: int | None, headers: dict[str, str], stands: dict[str, str]
) -> None:
    """
    As on a full disk: what stands there is told, the hold in it, and a label stays one.
    """
    one = books(*([] if budget is None else [Budget("default", budget)]))
    account = one.reserve(**headers)
    one.ledger.full = True

    told = stood(one.settle(account, "ok", Meter(Usage(1)), (), LATER).decision)
    assert {name: told[name] for name in ("", "-remaining-usd") if name in told} == stands
    assert one.ledger.balance(KEY, NOW) == Balance(held_nusd=360_000)


def test_refusal_stands_as_it_was_told() -> None:
    """
    It changed nothing, so there is nothing new to say; nor is there where no budget is set.
    """
    one, free = books(Budget("default", 1)), books()
    one.settle(one.reserve(), "ok", Meter(Usage(1)), (), LATER)
    refused, counted = one.reserve(), free.reserve()

    assert one.settle(refused, "refused", None, (), LATER).decision is refused.decision
    assert free.settle(counted, "ok", Meter(Usage(1)), (), LATER).decision is counted.decision


def test_close() -> None:
    """
    Closing the accounts closes the ledger.
    """
    closed: list[int] = []

    class Closing(MemoryLedger):
        def close(self) -> None:
            closed.append(1)

    ledger: Ledger = Closing()
    Accounts(ledger, TABLE, lambda _event, _text: None).close()

    assert closed == [1]
