"""
Reservations and bills without sockets: holds, bills, and the announcements when the ledger does not answer.

Prices are those of the price page: $4 input, $20 output, $5 and $8 writes, $0.20 reads per million tokens, so that a
token costs 4,000, 20,000, 5,000, 8,000 and 200 nano-dollars.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from inspect import iscoroutinefunction
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest

from savemode_cli.core.budget.admission import Allowed, Balance, Decision, Hold, Refused
from savemode_cli.core.budget.budget import Budget
from savemode_cli.core.budget.charge import Ending, Settlement
from savemode_cli.core.budget.choices import Fail
from savemode_cli.core.budget.ledger import Ledger, Posted, Reserve, Settle, reserve, settle
from savemode_cli.core.budget.memory_ledger import MemoryLedger
from savemode_cli.core.budget.overview import InForce
from savemode_cli.core.budget.unwritten import Unwritten
from savemode_cli.core.budget.window import Window
from savemode_cli.core.errors import LedgerBusy, LedgerUnavailable
from savemode_cli.core.money.amounts import MOST_NUSD
from savemode_cli.core.money.pricing import PriceTable
from savemode_cli.core.upgrade.edits import Edit
from savemode_cli.core.wire.answer import Outcome
from savemode_cli.core.wire.caller import Caller, read_caller
from savemode_cli.core.wire.facts import Facts
from savemode_cli.core.wire.usage import Tokens, Usage
from savemode_cli.proxy.ledger_access import LedgerAccess
from savemode_cli.proxy.local_ledger import LocalLedger, completed
from savemode_cli.proxy.pricing_memory import PricingMemory
from savemode_cli.proxy.reservation import Invoice, Reservation, reservation_of
from tests.builders import a_call_in_progress, a_price
from tests.proxy.test_pricing_memory import Meter

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
LATER = NOW + timedelta(seconds=7)
MODEL = "claude-opus-5-5"
TABLE = PriceTable([a_price(), a_price("dear", "10 50 12.5 20 1")])
ASKED = Facts(model=MODEL, max_tokens=10)
KEY = "default/month:2026-11-01/all"
MONTH = "month/month:2026-11-01/all"


class UnreliableLedger(MemoryLedger):
    """
    A ledger on a disk that the test can disconnect; like a real one, it names the operation in each error.
    """

    out = False
    full = False
    busy = False
    asked = 0

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

    def check(self) -> None:
        """
        Unless it is out.
        """
        self._check("write")

    def _check(self, doing: str) -> None:
        self.asked += 1
        if self.busy:
            raise LedgerBusy(f"cannot {doing} the ledger l.db: another process keeps it locked")
        if self.out:
            raise LedgerUnavailable(f"cannot {doing} the ledger l.db: disk I/O error")


class Access:
    """
    The access to a local ledger, whose calls do not suspend.
    """

    def __init__(self, ledger: Ledger, announce: Callable[[str, str], None], **more: Any) -> None:
        """
        See `LedgerAccess`.
        """
        object.__setattr__(self, "_access", LedgerAccess(LocalLedger(ledger), announce, **more))

    def __getattr__(self, name: str) -> Any:
        """
        An attribute, or a method whose result is available when it returns.
        """
        value = getattr(self._access, name)
        return (lambda *args, **more: completed(value(*args, **more))) if iscoroutinefunction(value) else value

    def __setattr__(self, name: str, value: Any) -> None:
        """
        Set it where it is used.
        """
        setattr(self._access, name, value)


@dataclass
class SettledInvoice:
    """
    An invoice in the ledger, and the decision with the state of the budgets that includes it.
    """

    invoice: Invoice
    decision: Decision


@dataclass
class AccessFixture:
    """
    The access to a ledger, the ledger, the prices, and the announcements.
    """

    access: Access
    prices: PricingMemory
    ledger: UnreliableLedger
    announced: list[tuple[str, str]] = field(default_factory=list)
    count: int = 0

    def reserve(self, known: Facts = ASKED, body_bytes: int = 70, session: str = "s", **headers: str) -> Reservation:
        """
        Ask to reserve money for a request.
        """
        self.count += 1
        call = a_call_in_progress(
            f"h{self.count}", known, caller=caller(**headers), session=session, body_bytes=body_bytes, now=NOW
        )
        quote = self.prices.quote(call)
        (decision,) = self.access.post((), (quote,))[1]
        return reservation_of(quote, decision)

    def settle(
        self, account: Reservation, outcome: Outcome, meter: Meter | None, edits: Sequence[Edit], now: datetime
    ) -> SettledInvoice:
        """
        Charge a finished request.
        """
        invoice = self.prices.invoice(account, Ending(outcome), meter, edits, now)
        (decision,) = self.access.post((invoice,), ())[0]
        return SettledInvoice(invoice, decision)

    def recover(self) -> bool:
        """
        Do what the till does once a second; returns whether the ledger answers.
        """
        while self.access.ledger_trouble:
            batch = self.access.next_batch()
            try:
                self.access.write(batch)
            except LedgerUnavailable:
                return False
            self.access.written(batch)
        return True

    @property
    def events(self) -> list[str]:
        """
        The events of the announcements.
        """
        return [event for event, _ in self.announced]


def caller(**headers: str) -> Caller:
    """
    A caller with these headers (`_` stands for `-`).
    """
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return read_caller(raw, "wizard")


def books(*budgets: Budget, fail: Fail | None = None) -> AccessFixture:
    """
    The access with these budgets.
    """
    ledger = UnreliableLedger()
    for budget in budgets:
        ledger.set_budget(budget)
    announced: list[tuple[str, str]] = []

    def announce(event: str, text: str) -> None:
        announced.append((event, text))

    return AccessFixture(
        Access(ledger, announce, budgets=budgets, fail=fail), PricingMemory(TABLE, announce), ledger, announced
    )


def held(account: Reservation) -> int:
    """
    The amount that an allowed reservation holds.
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

    settled = one.settle(one.reserve(), "ok", Meter(Usage(Tokens(1, 2, 3, 4, 5))), (), LATER)

    assert settled.invoice.settlement == Settlement(138_800, "reported")
    assert settled.invoice.receipt.cost_nusd == 138_800
    assert one.ledger.balance(KEY, NOW) == Balance(settled_nusd=138_800)
    assert [(one.basis, one.settled_at) for one in one.ledger.charges()] == [("reported", LATER)]


def test_nothing_reported_is_charged_as_held() -> None:
    """
    The cost is unknown, so the held amount is charged.
    """
    one = books(Budget("default", 10**9))

    settled = one.settle(one.reserve(), "client_gone", Meter(final=False), (), LATER)

    assert settled.invoice.settlement == Settlement(360_000, "held")
    assert settled.invoice.receipt.cost_nusd is None
    assert one.ledger.balance(KEY, NOW) == Balance(settled_nusd=360_000)


def test_refused_holds_and_charges_nothing() -> None:
    """
    At the cap there is a refusal and no hold, and its settlement writes nothing.
    """
    one = books(Budget("default", 100_000))
    one.settle(one.reserve(), "ok", Meter(Usage(Tokens(input=25))), (), LATER)

    account = one.reserve()

    assert isinstance(account.decision, Refused)
    assert account.held_nusd == 0
    assert one.settle(account, "refused", None, (), LATER).invoice.settlement == Settlement(0, "none")
    assert one.ledger.balance(KEY, NOW) == Balance(settled_nusd=100_000)
    assert len(one.ledger.charges()) == 1


def test_agent_spends_from_the_budgets_of_those_above_it() -> None:
    """
    The budget of an agent is that of all below it, and the main conversation's requests are counted elsewhere.
    """
    one = books(Budget("tree", 10**9, Window("none"), scope="agent"))
    main = one.reserve()
    for agent, parent in (("a", ""), ("b", "a"), ("c", "b")):
        account = one.reserve(x_claude_code_agent_id=agent, x_claude_code_parent_agent_id=parent)
        one.settle(account, "ok", Meter(Usage(Tokens(input=25))), (), LATER)
    one.settle(main, "ok", Meter(Usage(Tokens(input=25))), (), LATER)

    spent = {key: balance.settled_nusd for key, balance in one.ledger.balances(NOW).items()}
    assert spent == {
        "default/month:2026-11-01/all": 100_000,
        "tree/none/agent=a": 300_000,
        "tree/none/agent=b": 200_000,
        "tree/none/agent=c": 100_000,
    }


def test_agent_is_refused_where_one_above_it_is_at_its_cap() -> None:
    """
    The refusal names the agent whose budget is spent.
    """
    one = books(Budget("tree", 100_000, Window("none"), scope="agent"))
    for agent, parent in (("a", ""), ("b", "a")):
        account = one.reserve(x_claude_code_agent_id=agent, x_claude_code_parent_agent_id=parent)
        one.settle(account, "ok", Meter(Usage(Tokens(input=13))), (), LATER)

    refused = one.reserve(x_claude_code_agent_id="b", x_claude_code_parent_agent_id="a").decision

    assert isinstance(refused, Refused)
    assert refused.standing is not None
    assert (refused.standing.limit.who, refused.standing.limit.key) == ("a", "tree/none/agent=a")
    assert isinstance(one.reserve(x_claude_code_agent_id="z").decision, Allowed)


def test_rolling_budget_of_a_person_is_among_the_standings() -> None:
    """
    It is on the receipt of those who used it, like a budget with a calendar window.
    """
    one = books(Budget("mine", 10**9, Window("rolling", hours=5), scope="session"))
    account = one.reserve(x_session_id="s-1")
    one.settle(account, "ok", Meter(Usage(Tokens(input=25))), (), LATER)

    (standing,) = one.access.standings(LATER, personal=True)

    assert (standing.limit.who, standing.balance.settled_nusd) == ("s-1", 100_000)


def test_without_a_budget_spend_is_counted() -> None:
    """
    A later budget includes the earlier spend.
    """
    one = books()
    account = one.reserve()
    assert isinstance(account.decision, Allowed)
    assert account.decision.headers() == []
    one.settle(account, "ok", Meter(Usage(Tokens(input=25))), (), LATER)

    one.ledger.set_budget(Budget("default", 100_000))

    assert isinstance(one.reserve().decision, Refused)


def test_budget_of_the_ledger_counts_at_once() -> None:
    """
    A budget that another process sets applies to the next request.
    """
    one = books(Budget("default", 100_000))
    one.settle(one.reserve(), "ok", Meter(Usage(Tokens(input=25))), (), LATER)
    assert isinstance(one.reserve().decision, Refused)

    one.ledger.set_budget(Budget("default", 100_001))
    assert isinstance(one.reserve().decision, Allowed)


def test_look_holds_nothing() -> None:
    """
    A free request reads the state of the budgets and changes nothing.
    """
    one = books(Budget("default", 10_000_000_000))

    decision = one.access.look(caller(), [], NOW)

    assert dict(decision.headers())[b"x-posthog-budget-remaining-usd"] == b"10.00"
    assert one.ledger.holds(NOW) == ()
    assert one.ledger.balances(NOW) == {}


def test_look_knows_the_override() -> None:
    """
    Both ways to lift a cap apply to batches too: the header, and the time in the ledger, which ends.
    """
    one = books(Budget("default", 100_000))
    one.settle(one.reserve(), "ok", Meter(Usage(Tokens(input=25))), (), LATER)
    assert isinstance(one.access.look(caller(), [], NOW), Refused)

    lifted = one.access.look(caller(x_posthog_budget_override="true"), [], NOW)
    assert dict(lifted.headers())[b"x-posthog-budget"] == b"override"

    one.ledger.allow(LATER)
    assert isinstance(one.access.look(caller(), [], NOW), Allowed)
    assert isinstance(one.access.look(caller(), [], LATER), Refused)


def test_standings_are_those_of_shared_budgets() -> None:
    """
    The banner shows the shared budgets with a cap; without a ledger their state is unknown.
    """
    one = books(Budget("a", 10), Budget("b", 0), Budget("c", 10, scope="user"))

    assert [standing.limit.budget.name for standing in one.access.standings(NOW)] == ["a"]
    one.ledger.out = True
    with pytest.raises(LedgerUnavailable):
        one.access.standings(NOW)


def test_unavailable_and_open() -> None:
    """
    The request is allowed with status `unknown`; its hold and its bill count in memory and are written later.
    """
    one = books(Budget("default", 10**9))
    one.ledger.out = True

    account = one.reserve()
    running = one.reserve(session="other")
    settled = one.settle(account, "ok", Meter(Usage(Tokens(input=25))), (), LATER)

    assert account.decision == Allowed(account.hold, "unknown")
    assert held(account) == 360_000
    assert settled.invoice.settlement == Settlement(100_000, "reported")
    assert stood(settled.decision) == {"": "unknown"}
    assert one.access.unwritten.balance(KEY) == Balance(100_000, 0, 360_000)
    assert one.ledger.charges() == ()
    assert one.announced == [
        (
            "ledger_unavailable",
            "cannot reserve in the ledger l.db: disk I/O error; until it answers, requests are allowed, and their bills are kept "
            "in memory",
        )
    ]
    one.ledger.out = False
    assert one.recover()
    assert one.ledger.balance(KEY, NOW) == Balance(100_000, 0, 360_000)
    assert one.announced[1:] == [("ledger_back", "the budget ledger answers again; 1 bill of $0.0001 entered")]
    one.settle(running, "ok", Meter(Usage(Tokens(input=25))), (), LATER)
    assert one.ledger.balance(KEY, NOW) == Balance(200_000)
    assert len(one.announced) == 2


def test_what_costs_nothing_known_is_charged_as_held() -> None:
    """
    Also a call that was allowed without a ledger and gave no usable answer.
    """
    one = books(Budget("default", 10**9))
    one.ledger.out = True

    settled = one.settle(one.reserve(), "broken", Meter(final=False), (), LATER)

    assert settled.invoice.settlement == Settlement(360_000, "held")


def test_cap_is_checked_against_the_known_spend() -> None:
    """
    The ledger had $0.0001 of $0.0005; calls that are allowed meanwhile hold and spend the rest, and then requests are
    refused.
    """
    one = books(Budget("default", 500_000))
    one.settle(one.reserve(), "ok", Meter(Usage(Tokens(input=25))), (), LATER)
    running = one.reserve()
    one.ledger.out = True

    free = one.reserve()
    assert stood(free.decision) == {"": "unknown"}
    refused = one.reserve().decision
    assert isinstance(refused, Refused)
    assert (refused.reason, refused.permanent) == ("held", False)
    assert refused.standing is not None
    assert refused.standing.balance.used_nusd == 100_000 + held(running) + held(free)

    for account in (running, free):
        one.settle(account, "ok", Meter(Usage(Tokens(input=50))), (), LATER)
    refused = one.reserve().decision
    assert isinstance(refused, Refused)
    assert refused.reason == "spent"
    assert isinstance(one.access.look(caller(), [], NOW), Refused)
    assert isinstance(one.reserve(x_posthog_budget_override="true").decision, Allowed)


def test_override_of_the_ledger_holds_without_it() -> None:
    """
    If the caps were lifted for an hour, a locked ledger does not refuse requests; after the hour it does.
    """
    one = books(Budget("default", 100_000))
    one.settle(one.reserve(), "ok", Meter(Usage(Tokens(input=25))), (), LATER)
    one.ledger.allow(LATER)
    assert one.reserve().decision.status == "override"
    one.ledger.out = True

    assert one.reserve().decision.status == "override"
    assert isinstance(one.access.look(caller(), [], LATER), Refused)


@pytest.mark.parametrize(
    ("strict", "fail", "words"),
    [
        (False, "closed", "requests are refused (--fail closed)"),
        (True, None, "requests under a strict budget are refused (--fail open allows them)"),
    ],
)
def test_unavailable_and_closed(strict: bool, fail: Fail | None, words: str) -> None:
    """
    With fail closed, or with a strict budget, the request is refused with the reason.
    """
    one = books(Budget("default", 10**9, strict=strict), fail=fail)
    one.ledger.out = True

    assert one.reserve().decision == Refused("unknown", None, 0)
    assert one.access.look(caller(), [], NOW) == Refused("unknown", None, 0)
    assert one.announced[0][1].endswith(f"until it answers, {words}")


def test_strict_budget_with_fail_open() -> None:
    """
    The strict rule uses what is known: the highest possible cost of a request must fit.
    """
    one = books(Budget("default", 1_000_000, strict=True), fail="open")
    one.ledger.out = True

    assert isinstance(one.reserve().decision, Allowed)
    refused = one.reserve().decision
    assert isinstance(refused, Refused)
    assert refused.reason == "held"


def test_locked_ledger_is_the_callers_to_wait_for() -> None:
    """
    Nothing is changed or announced; after the caller gives up, requests are judged from memory, and a refusal may be
    retried.
    """
    one = books(Budget("default", 10**9, strict=True))
    one.ledger.busy = True
    with pytest.raises(LedgerBusy):
        one.reserve()
    look = one.access.look(caller(), [], NOW)
    assert (look, one.events, one.access.ledger_trouble) == (Refused("busy", None, 0), [], "")

    one.access.give_up(LedgerBusy("locked"))
    assert one.reserve().decision == Refused("busy", None, 0)
    assert one.events == ["ledger_unavailable"]


def test_ledger_that_does_not_answer_is_not_asked() -> None:
    """
    No call uses it until it has been written to again.
    """
    one = books(Budget("default", 10**9))
    account = one.reserve()
    one.ledger.out = True
    one.reserve()
    before = one.ledger.asked

    one.settle(account, "ok", Meter(Usage(Tokens(input=25))), (), LATER)
    one.reserve()
    one.access.look(caller(), [], NOW)
    with pytest.raises(LedgerUnavailable, match="disk I/O error"):
        one.access.standings(NOW)
    assert one.ledger.asked == before


def test_trouble_and_its_end_are_announced_once() -> None:
    """
    Model calls and free calls have different messages for the same problem; it is announced once, and so is its end.
    """
    one = books(Budget("default", 10**9), fail="closed")
    one.ledger.out = True
    for _ in range(3):
        one.reserve()
        one.access.look(caller(), [], NOW)
        assert not one.recover()
    assert one.events == ["ledger_unavailable"]
    assert one.access.ledger_trouble

    one.ledger.out = False
    for _ in range(2):
        assert one.recover()
        one.reserve()
    assert one.announced[1:] == [("ledger_back", "the budget ledger answers again")]
    assert one.access.ledger_trouble == ""

    one.ledger.out = True
    one.reserve()
    assert one.events[2:] == ["ledger_unavailable"]


def test_free_call_meets_the_trouble_first() -> None:
    """
    It gets its answer, and the next call does not use the ledger.
    """
    one = books(Budget("default", 10**9))
    one.ledger.out = True

    assert stood(one.access.look(caller(), [], NOW)) == {"": "unknown"}
    assert one.events == ["ledger_unavailable"]


def test_ledger_that_could_not_be_opened() -> None:
    """
    It is announced at the start, and not used before it has been written to.
    """
    ledger, announced = UnreliableLedger(), []
    access = Access(
        ledger, lambda event, _: announced.append(event), budgets=[Budget("b", 5)], trouble=LedgerBusy("locked")
    )

    assert (announced, ledger.asked, access.ledger_trouble) == (["ledger_unavailable"], 0, "locked")
    access.write(access.next_batch())
    assert access.written(access.next_batch())
    assert [one.limit.nusd for one in access.standings(NOW)] == [5]


def test_last_budgets_known_hold_while_the_ledger_is_out() -> None:
    """
    A budget that was raised in the ledger stays known; without any budget nothing is reported.
    """
    one = books(fail="closed")
    one.reserve()
    one.ledger.out = True
    decision = one.reserve().decision
    assert isinstance(decision, Allowed)
    assert decision.headers() == []

    one.ledger.out = False
    assert one.recover()
    one.ledger.set_budget(Budget("default", 10**9))
    one.reserve()
    one.ledger.out = True
    assert isinstance(one.reserve().decision, Refused)


def test_charge_that_cannot_be_written_is_written_later() -> None:
    """
    The hold counts in the ledger until the ledger answers again; then the bill replaces it.
    """
    one = books(Budget("default", 10**9))
    account = one.reserve()
    one.ledger.out = True

    settled = one.settle(account, "ok", Meter(Usage(Tokens(input=25))), (), LATER)

    assert settled.invoice.settlement == Settlement(100_000, "reported")
    one.ledger.out = False
    assert one.ledger.balance(KEY, NOW) == Balance(held_nusd=360_000)
    assert one.recover()
    assert one.ledger.balance(KEY, NOW) == Balance(settled_nusd=100_000)
    assert one.events == ["ledger_unavailable", "ledger_back"]


def test_hold_that_was_written_all_the_same() -> None:
    """
    The ledger wrote the hold although it reported an error: it exists once, and its bill replaces it.
    """
    one = books(Budget("default", 10**9))
    one.ledger.out = True
    first, second = one.reserve(), one.reserve()
    assert first.hold is not None
    one.ledger.out = False
    reserve(one.ledger, first.hold, (), NOW)

    assert one.recover()
    assert one.ledger.balance(KEY, NOW) == Balance(held_nusd=720_000)
    for account in (first, second):
        one.settle(account, "ok", Meter(Usage(Tokens(input=25))), (), LATER)
    assert one.ledger.balance(KEY, NOW) == Balance(200_000)


def test_ledger_is_written_in_batches() -> None:
    """
    Hundreds of bills are written in several steps, between which other processes can write; new bills are kept meanwhile.
    """
    one = books(Budget("default", 10**12))
    one.ledger.out = True
    for _ in range(450):
        one.settle(one.reserve(), "ok", Meter(Usage(Tokens(input=25))), (), LATER)
    one.ledger.out = False

    sizes = []
    while one.access.ledger_trouble:
        batch = one.access.next_batch()
        sizes.append(len(batch.bills))
        one.access.write(batch)
        one.settle(one.reserve(), "ok", Meter(Usage(Tokens(input=25))), (), LATER)
        one.access.written(batch)

    assert sizes == [200, 200, 52]
    assert one.ledger.balance(KEY, NOW) == Balance(453 * 100_000)
    assert one.announced[1][1] == "the budget ledger answers again; 453 bills of $0.0453 entered"


def test_last_bills_meet_a_lock() -> None:
    """
    If the ledger is locked again before everything is written, it still does not answer, and nothing is lost or written
    twice.
    """
    one = books(Budget("default", 10**9))
    one.ledger.out = True
    for _ in range(2):
        one.settle(one.reserve(), "ok", Meter(Usage(Tokens(input=25))), (), LATER)
    one.ledger.out = False
    batch = one.access.next_batch()
    one.access.write(batch)
    one.settle(one.reserve(), "ok", Meter(Usage(Tokens(input=25))), (), LATER)
    one.ledger.busy = True

    assert not one.access.written(batch)
    assert one.events == ["ledger_unavailable"]
    one.ledger.busy = False
    assert one.recover()
    assert one.ledger.balance(KEY, NOW) == Balance(300_000)
    assert one.announced[1][1].endswith("; 3 bills of $0.0003 entered")


def test_charge_that_is_never_written_is_announced_with_its_amount() -> None:
    """
    The amount is announced, at the latest when the proxy stops.
    """
    one = books(Budget("default", 10**9))
    account = one.reserve()
    one.ledger.out = True
    for each in (account, one.reserve()):
        one.settle(each, "ok", Meter(Usage(Tokens(input=25))), (), LATER)

    one.access.close()

    assert one.events == ["ledger_unavailable", "charge_lost"]
    assert one.announced[1][1] == "2 bills of $0.0002 not entered: cannot settle in the ledger l.db: disk I/O error"


def test_closing_waits_for_a_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    No requests are served any more, so closing waits for up to a few seconds.
    """
    one = books(Budget("default", 10**9))
    one.ledger.busy = True
    one.access.give_up(LedgerBusy("locked"))
    one.settle(one.reserve(), "ok", Meter(Usage(Tokens(input=25))), (), LATER)
    naps = 0

    def sleep(_seconds: float) -> None:
        nonlocal naps
        naps += 1
        one.ledger.busy = naps < 3

    monkeypatch.setattr("savemode_cli.proxy.ledger_access.time", SimpleNamespace(monotonic=lambda: 0.0, sleep=sleep))
    one.access.close()

    assert (naps, one.events) == (3, ["ledger_unavailable", "ledger_back"])
    assert one.ledger.balance(KEY, NOW) == Balance(100_000)


def test_closing_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What could not be written because of a lock is announced.
    """
    one = books(Budget("default", 10**9))
    one.ledger.busy = True
    one.access.give_up(LedgerBusy("locked"))
    one.settle(one.reserve(), "ok", Meter(Usage(Tokens(input=25))), (), LATER)
    clock = count(0.0, 1.0)
    monkeypatch.setattr(
        "savemode_cli.proxy.ledger_access.time", SimpleNamespace(monotonic=lambda: next(clock), sleep=lambda _: None)
    )
    one.access.close()

    assert one.events == ["ledger_unavailable", "charge_lost"]


def test_more_bills_than_can_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Bills beyond the limit are added up, and the sums are limited too; what does not fit is announced when the ledger
    answers.
    """
    one = books(Budget("default", 10**12))
    one.access.unwritten = Unwritten(most_bills=2, most_sums=0)
    one.ledger.out = True
    for _ in range(3):
        one.settle(one.reserve(), "ok", Meter(Usage(Tokens(input=25))), (), LATER)
    one.ledger.out = False

    assert one.recover()
    assert one.announced[1:] == [
        ("ledger_back", "the budget ledger answers again; 2 bills of $0.0002 entered"),
        ("charge_lost", "1 bill of $0.0001 not entered: there were too many to keep"),
    ]


def test_what_was_set_later_counts() -> None:
    """
    A budget that was in the ledger at the start is replaced by the configured one; a budget that is set later replaces
    it, even with the same amount.
    """
    ledger = MemoryLedger()
    ledger.set_budget(Budget("default", 7, set_at_us=10))
    configured = Budget("default", 5, set_at_us=20, source="--budget")
    access = Access(ledger, lambda _event, _text: None, budgets=(configured,))
    assert [one.limit.nusd for one in access.standings(NOW)] == [5]
    assert access.in_force() == (InForce(configured, "configuration", Budget("default", 7)),)

    for number, nusd in enumerate((7, 9, 7)):
        ledger.set_budget(Budget("default", nusd, set_at_us=30 + number))
        assert [one.limit.nusd for one in access.standings(NOW)] == [nusd]
        assert access.in_force() == (InForce(Budget("default", nusd), "ledger", configured),)

    ledger.drop_budget("default")
    assert [one.limit.nusd for one in access.standings(NOW)] == [5]


def test_hold_that_the_ledger_forgot() -> None:
    """
    A deleted ledger does not have the hold, so the bill brings it.
    """
    one = books(Budget("default", 10**9))
    account = one.reserve()
    one.ledger._open.clear()
    one.ledger._counted.clear()

    one.settle(account, "ok", Meter(Usage(Tokens(input=25))), (), LATER)

    assert one.announced == []
    assert one.ledger.balance(KEY, NOW) == Balance(100_000)


@pytest.mark.parametrize("strict", [False, True])
def test_request_for_more_than_there_is_money(strict: bool) -> None:
    """
    A client can set `max_tokens` to any number: the request is judged like any other.
    """
    one = books(Budget("default", 10**9, strict=strict))

    decision = one.reserve(Facts(model=MODEL, max_tokens=10**15)).decision

    assert isinstance(decision, Refused if strict else Allowed)


def test_bill_for_more_than_there_is_money() -> None:
    """
    An upstream can report any usage: the charge is the largest possible amount, and settling does not raise.
    """
    one = books(Budget("default", 10**9))

    settled = one.settle(one.reserve(), "ok", Meter(Usage(Tokens(input=2**60))), (), LATER)

    assert settled.invoice.settlement == Settlement(MOST_NUSD, "reported")
    assert isinstance(one.reserve().decision, Refused)


def stood(decision: Decision) -> dict[str, str]:
    """
    The budget headers of a decision, without their prefix.
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

    after = one.settle(account, "ok", Meter(Usage(Tokens(input=25))), (), LATER).decision

    assert isinstance(account.decision, Allowed)
    assert isinstance(after, Allowed)
    assert (account.decision.standings[0].left_nusd, after.standings[0].left_nusd) == (10**9, 999_540_000)


def test_budget_afterwards_may_be_exceeded() -> None:
    """
    The request that crossed the cap was allowed with `ok`, and its state after the charge is `exceeded`.
    """
    one = books(Budget("default", 100_000))
    account = one.reserve()

    after = stood(one.settle(account, "ok", Meter(Usage(Tokens(input=25))), (), LATER).decision)

    assert stood(account.decision)[""] == "ok"
    assert (after[""], after["-remaining-usd"], after["-state"]) == ("exceeded", "0.00", "blocked")


def test_tightest_budget_afterwards_may_be_another() -> None:
    """
    Before, the day's cap of 1,000,000 was half used by others; the bill makes the larger of two caps the tighter one.
    """
    one = books(Budget("day", 1_000_000, Window("day")), Budget("month", 1_100_000))
    reserve(one.ledger, Hold("other", ("day/day:2026-11-24/all",), 500_000, NOW + timedelta(hours=1)), (), NOW)
    account = one.reserve()
    settle(one.ledger, "other", 0, "none", LATER)
    reserve(one.ledger, Hold("more", (MONTH,), 900_000, NOW + timedelta(hours=1)), (), NOW)

    after = one.settle(account, "ok", Meter(Usage(Tokens(input=25))), (), LATER).decision

    assert isinstance(account.decision, Allowed)
    assert isinstance(after, Allowed)
    assert [each.standings[0].limit.budget.name for each in (account.decision, after)] == ["day", "month"]


def test_override_stays_one_afterwards() -> None:
    """
    The status stays `override`, and no amount is given.
    """
    one = books(Budget("default", 1))
    account = one.reserve(x_posthog_budget_override="true")

    after = stood(one.settle(account, "ok", Meter(Usage(Tokens(input=25))), (), LATER).decision)

    assert (after[""], "-remaining-usd" in after) == ("override", False)


def test_budget_afterwards_is_unknown_without_a_ledger() -> None:
    """
    If the ledger stopped answering, the earlier figures are not shown as current.
    """
    one = books(Budget("default", 10**9))
    account = one.reserve()
    one.ledger.out = True

    assert stood(one.settle(account, "ok", Meter(Usage(Tokens(input=1))), (), LATER).decision) == {"": "unknown"}


@pytest.mark.parametrize(
    ("budget", "headers", "stands"),
    [
        (None, {}, {}),
        (10**9, {}, {"": "unknown"}),
        (10**9, {"x_posthog_budget_override": "true"}, {"": "override"}),
    ],
)
def test_budget_afterwards_where_it_cannot_be_written(
    budget: int | None, headers: dict[str, Any], stands: dict[str, str]
) -> None:
    """
    For example on a full disk: what others spend meanwhile is unknown, and an override stays an override.
    """
    one = books(*([] if budget is None else [Budget("default", budget)]))
    account = one.reserve(**headers)
    one.ledger.full = True

    told = stood(one.settle(account, "ok", Meter(Usage(Tokens(input=1))), (), LATER).decision)
    assert {name: told[name] for name in ("", "-remaining-usd") if name in told} == stands
    assert one.ledger.balance(KEY, NOW) == Balance(held_nusd=360_000)


def test_refusal_keeps_its_state() -> None:
    """
    A refusal changes nothing, so its state stays the same; the same holds if there is no budget.
    """
    one, free = books(Budget("default", 1)), books()
    one.settle(one.reserve(), "ok", Meter(Usage(Tokens(input=1))), (), LATER)
    refused, counted = one.reserve(), free.reserve()

    assert one.settle(refused, "refused", None, (), LATER).decision is refused.decision
    assert free.settle(counted, "ok", Meter(Usage(Tokens(input=1))), (), LATER).decision is counted.decision


def test_close() -> None:
    """
    Closing the access closes the ledger.
    """
    closed: list[int] = []

    class Closing(MemoryLedger):
        def close(self) -> None:
            closed.append(1)

    ledger: Ledger = Closing()
    Access(ledger, lambda _event, _text: None).close()

    assert closed == [1]
