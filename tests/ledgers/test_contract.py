"""
What every ledger must do. To test another ledger, add an entry to `LEDGERS`.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace as with_fields

from savemode_cli.core.budget.admission import Allowed, Balance, Decision, Hold, Refused
from savemode_cli.core.budget.budget import Budget, Limit, limit_of
from savemode_cli.core.budget.ledger import Charge, Ledger, OpenHold, Posted, Reserve, Settle, reserve, settle
from savemode_cli.core.budget.memory_ledger import MemoryLedger
from savemode_cli.core.budget.personal import Allowance, PersonalLimit
from savemode_cli.core.budget.window import Window
from savemode_cli.ledgers import connected_ledger, open_ledger
from savemode_cli.ledgers.sqlite import SqliteLedger
from tests.ledgers.worker import MOST_ASKED, NOW, race, race_limit
from tests.support.awaited import BlockedLedger
from tests.support.servers import new_name, shared_postgres, shared_redis, shared_valkey
from tests.support.values import replace
from tests.support.waiting import until

ROOT = Path(__file__).parents[2]
LATER = NOW + timedelta(minutes=10)
BUDGET = Budget("b", 100)
LIMIT = limit_of(BUDGET, "", NOW)
KEY = LIMIT.key

LEDGERS: dict[str, Callable[[Path], Ledger]] = {
    "memory": lambda folder: MemoryLedger(),
    "sqlite": lambda folder: SqliteLedger(folder / "ledger.db", busy_s=30),
    "redis": lambda folder: open_ledger(URLS["redis"](folder)),
    "redis, awaited": lambda folder: awaited(URLS["redis"](folder)),
    "valkey": lambda folder: open_ledger(shared_valkey().url(new_name())),
    "postgres": lambda folder: open_ledger(shared_postgres().emptied_url()),
    "postgres, awaited": lambda folder: awaited(shared_postgres().emptied_url()),
}
LOCAL = ("memory", "sqlite")
"""The ledgers that are on this machine: a call costs no round trip, so a test can make more of them."""

URLS: dict[str, Callable[[Path], str]] = {
    "sqlite": lambda folder: f"sqlite:///{folder / 'ledger.db'}",
    "redis": lambda folder: shared_redis().url(new_name()),
    "postgres": lambda folder: shared_postgres().url(new_name()),
}
"""An address of a new ledger, for each kind that processes share."""


def awaited(url: str) -> Ledger:
    """
    The ledger of an address as a proxy uses it.
    """
    connected = connected_ledger(url)
    assert connected is not None
    return BlockedLedger.of(connected, open_ledger(url))


@pytest.fixture(params=URLS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """
    The address of a new ledger, for each kind.
    """
    return URLS[request.param](tmp_path)


@pytest.fixture(params=LEDGERS)
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    """
    A new ledger of each kind.
    """
    made = LEDGERS[request.param](tmp_path)
    yield made
    made.close()


def hold(hold_id: str, ask: int, *keys: str, **more: Any) -> Hold:
    """
    A hold of ten minutes.
    """
    return Hold(hold_id, keys or (KEY,), ask, LATER, **more)


def test_reserve_and_settle(ledger: Ledger) -> None:
    """
    Money is held while a request runs, and replaced by what it cost.
    """
    assert ledger.balance(KEY, NOW) == Balance()

    decision = reserve(ledger, hold("h", 30), [LIMIT], NOW)

    assert isinstance(decision, Allowed)
    assert decision.hold == hold("h", 30)
    assert ledger.balance(KEY, NOW) == Balance(held_nusd=30)
    assert settle(ledger, "h", 12, "reported", NOW) == "charged"
    assert ledger.balance(KEY, NOW) == Balance(settled_nusd=12)


def test_settle_counts_once(ledger: Ledger) -> None:
    """
    A second settle changes nothing, whatever its amount is.
    """
    reserve(ledger, hold("h", 30), [LIMIT], NOW)
    settle(ledger, "h", 12, "reported", NOW)

    assert settle(ledger, "h", 99, "estimated", LATER) == "repeated"
    assert ledger.balance(KEY, NOW) == Balance(settled_nusd=12)


def test_settle_of_an_unknown_hold(ledger: Ledger) -> None:
    """
    Nothing is charged, and the result says that the hold is unknown.
    """
    assert settle(ledger, "never", 12, "reported", NOW) == "unknown"
    assert ledger.balances(NOW) == {}


def test_crossing_request_starts_and_the_next_does_not(ledger: Ledger) -> None:
    """
    The default rule: `spent + held < limit`.
    """
    assert isinstance(reserve(ledger, hold("a", 99), [LIMIT], NOW), Allowed)
    assert isinstance(reserve(ledger, hold("b", 99), [LIMIT], NOW), Allowed)

    decision = reserve(ledger, hold("c", 1), [LIMIT], NOW)

    assert isinstance(decision, Refused)
    assert (decision.reason, decision.permanent) == ("held", False)
    settle(ledger, "a", 99, "reported", NOW)
    settle(ledger, "b", 1, "reported", NOW)
    decision = reserve(ledger, hold("c", 1), [LIMIT], NOW)
    assert isinstance(decision, Refused)
    assert (decision.reason, decision.permanent) == ("spent", True)


def test_strict_fits_to_the_last_nano_dollar(ledger: Ledger) -> None:
    """
    The strict rule: `spent + held + ask <= limit`.
    """
    strict = limit_of(Budget("b", 100, strict=True), "", NOW)

    assert isinstance(reserve(ledger, hold("a", 60), [strict], NOW), Allowed)
    assert isinstance(reserve(ledger, hold("b", 41), [strict], NOW), Refused)
    assert isinstance(reserve(ledger, hold("c", 40), [strict], NOW), Allowed)


def test_refused_holds_nothing(ledger: Ledger) -> None:
    """
    All keys or none: a budget with room is not charged for a request that another one refused.
    """
    day = limit_of(Budget("day", 10, Window("day")), "", NOW)
    reserve(ledger, hold("a", 10, KEY, day.key), [LIMIT, day], NOW)

    decision = reserve(ledger, hold("b", 5, KEY, day.key), [LIMIT, day], NOW)

    assert isinstance(decision, Refused)
    assert decision.standing is not None
    assert decision.standing.limit == day
    assert ledger.balances(NOW) == {KEY: Balance(held_nusd=10), day.key: Balance(held_nusd=10)}
    assert settle(ledger, "b", 5, "reported", NOW) == "unknown"


def test_several_budgets_are_charged_at_once(ledger: Ledger) -> None:
    """
    One request counts under each of its keys, also under one that caps nothing.
    """
    reserve(ledger, hold("a", 10, KEY, "team"), [LIMIT], NOW)
    settle(ledger, "a", 7, "reported", NOW)

    assert ledger.balances(NOW) == {KEY: Balance(7), "team": Balance(7)}


def test_override_is_charged_and_labelled(ledger: Ledger) -> None:
    """
    A request beyond the cap is charged, and its charge has the label.
    """
    reserve(ledger, hold("a", 100), [LIMIT], NOW)

    decision = reserve(ledger, hold("b", 50, override=True), [LIMIT], NOW)

    assert decision.status == "override"
    assert ledger.balance(KEY, NOW).held_nusd == 150
    settle(ledger, "b", 50, "reported", NOW)
    assert [charge.override for charge in ledger.charges()] == [True]


def test_allow_for_a_while(ledger: Ledger) -> None:
    """
    Until its end every request has the override, and from then on none.
    """
    assert ledger.allowed_until() is None
    reserve(ledger, hold("a", 100), [LIMIT], NOW)
    ledger.allow(LATER)

    before, after = LATER - timedelta(microseconds=1), LATER
    assert ledger.allowed_until() == LATER
    assert reserve(ledger, hold("b", 1), [LIMIT], before).status == "override"
    assert reserve(ledger, hold("c", 1), [LIMIT], after).status == "exceeded"
    ledger.allow(None)
    assert ledger.allowed_until() is None
    assert reserve(ledger, hold("d", 1), [LIMIT], before).status == "exceeded"


def test_expired_hold_counts_as_spent(ledger: Ledger) -> None:
    """
    No bill came: the held amount counts as spent, until the hold is settled or released.
    """
    reserve(ledger, hold("a", 100), [LIMIT], NOW)

    assert ledger.balance(KEY, LATER) == Balance(unsettled_nusd=100)
    assert ledger.holds(NOW) == (OpenHold(hold("a", 100), unsettled=False),)
    assert ledger.holds(LATER) == (OpenHold(hold("a", 100), unsettled=True),)
    decision = reserve(ledger, hold("b", 1), [LIMIT], LATER)
    assert isinstance(decision, Refused)
    assert decision.permanent


def test_late_bill_replaces_an_expired_hold_once(ledger: Ledger) -> None:
    """
    A settle after the hold ran out puts the real cost in its place, exactly once.
    """
    reserve(ledger, hold("a", 100), [LIMIT], NOW)

    assert settle(ledger, "a", 30, "reported", LATER) == "charged"
    assert settle(ledger, "a", 30, "reported", LATER) == "repeated"
    assert ledger.balance(KEY, LATER) == Balance(settled_nusd=30)
    assert ledger.holds(LATER) == ()


def test_release(ledger: Ledger) -> None:
    """
    A released hold no longer counts, and can be released only once.
    """
    reserve(ledger, hold("a", 100), [LIMIT], NOW)

    assert ledger.release("a")
    assert not ledger.release("a")
    assert not ledger.release("never")
    assert ledger.balances(LATER) == {}
    assert ledger.holds(LATER) == ()
    assert ledger.charges() == ()


def test_bill_of_a_released_hold(ledger: Ledger) -> None:
    """
    If the request of a released hold ends after all, it is charged exactly once.
    """
    reserve(ledger, hold("a", 100), [LIMIT], NOW)
    ledger.release("a")

    assert settle(ledger, "a", 30, "reported", LATER) == "charged"
    assert settle(ledger, "a", 30, "reported", LATER) == "repeated"
    assert ledger.balance(KEY, LATER) == Balance(settled_nusd=30)


def test_bill_that_brings_its_hold(ledger: Ledger) -> None:
    """
    A ledger that does not know the call charges its keys exactly once, and its ID counts as used.
    """
    unheard = hold("a", 100, KEY, "team", model="m", override=True)
    bill = Settle("a", 30, "estimated", LATER, (KEY,), unheard)

    posted = ledger.post([bill, bill], ())

    assert posted.settled == ["charged", "repeated"]
    assert posted.balances == {KEY: Balance(settled_nusd=30)}
    assert ledger.balances(NOW) == {KEY: Balance(settled_nusd=30), "team": Balance(settled_nusd=30)}
    assert ledger.charges() == (Charge("a", (KEY, "team"), 30, "estimated", "m", LATER, override=True),)
    with pytest.raises(ValueError, match="used before"):
        reserve(ledger, unheard, (), NOW)


def test_bill_that_brings_a_hold_on_record(ledger: Ledger) -> None:
    """
    It replaces that hold, as any bill does. With the hold of another request it is a bug in the caller.
    """
    reserve(ledger, hold("a", 100), [LIMIT], NOW)
    with pytest.raises(ValueError, match="has the hold"):
        ledger.post([Settle("a", 30, "reported", NOW, (), hold("b", 1))], ())

    assert ledger.post([Settle("a", 30, "reported", NOW, (), hold("a", 100))], ()).settled == ["charged"]
    assert ledger.balances(NOW) == {KEY: Balance(settled_nusd=30)}


def test_step_returns_the_override_by_which_it_judged(ledger: Ledger) -> None:
    """
    The till needs it to judge later without the ledger.
    """
    assert ledger.post((), [Reserve(hold("a", 1), [LIMIT], NOW)]).allowed_until is None
    ledger.allow(LATER)
    assert ledger.post((), [Reserve(hold("b", 1), [LIMIT], NOW)]).allowed_until == LATER
    assert ledger.post([Settle("b", 1, "reported", NOW)], ()).allowed_until is None


def test_check_changes_nothing(ledger: Ledger) -> None:
    """
    For a ledger that can be written, the check raises nothing.
    """
    reserve(ledger, hold("a", 1), [LIMIT], NOW)
    ledger.check()

    assert ledger.balances(NOW) == {KEY: Balance(held_nusd=1)}


def test_hold_id_is_used_once(ledger: Ledger) -> None:
    """
    A second hold of the same name would be settled by the bill of the first one. This is a bug in the caller, and raises.
    """
    for prepare in (lambda: None, lambda: settle(ledger, "a", 1, "reported", NOW)):
        if prepare() is None:
            reserve(ledger, hold("a", 1), [LIMIT], NOW)
        with pytest.raises(ValueError, match="used before"):
            reserve(ledger, hold("a", 1), [LIMIT], NOW)
    assert ledger.balance(KEY, NOW) == Balance(settled_nusd=1)


def test_bugs_of_the_caller_change_nothing(ledger: Ledger) -> None:
    """
    A limit the hold is not counted under, a negative amount, a moment without time zone.
    """
    with pytest.raises(ValueError, match="not counted under"):
        reserve(ledger, hold("a", 1, "other"), [LIMIT], NOW)
    reserve(ledger, hold("a", 1), [LIMIT], NOW)
    with pytest.raises(ValueError, match="no amount"):
        settle(ledger, "a", -1, "reported", NOW)
    with pytest.raises(ValueError, match="no time zone"):
        ledger.allow(datetime(2026, 11, 24))

    assert ledger.balance(KEY, NOW) == Balance(held_nusd=1)


def test_charges_are_the_balances(ledger: Ledger) -> None:
    """
    Every settled amount is on record with its basis, and the record adds up to the balances.
    """
    reserve(ledger, hold("a", 10, KEY, "t", model="claude-opus-5-5"), [LIMIT], NOW)
    reserve(ledger, hold("b", 10), [LIMIT], NOW)
    settle(ledger, "b", 3, "estimated", NOW)
    settle(ledger, "a", 7, "reported", LATER)

    first = Charge("b", (KEY,), 3, "estimated", "", NOW, override=False)
    second = Charge("a", (KEY, "t"), 7, "reported", "claude-opus-5-5", LATER, override=False)
    assert ledger.charges() == (first, second)
    assert ledger.charges(since=LATER) == (second,)
    assert ledger.balances(NOW) == {KEY: Balance(10), "t": Balance(7)}


def test_budgets_are_kept(ledger: Ledger) -> None:
    """
    What was set is what is read, one to a name, by name.
    """
    full = Budget("z", 7, Window("month", 31), "Europe/Berlin", "header:x-team", strict=True, warn_at=Decimal("0.5"))
    ledger.set_budget(full)
    ledger.set_budget(Budget("a", 1))
    ledger.set_budget(Budget("a", 2, Window("week")))
    others = (Budget("b", 3, Window("none"), action="warn"), Budget("c", 4, FIVE_HOURS))
    for other in others:
        ledger.set_budget(other)

    assert ledger.budgets() == (Budget("a", 2, Window("week")), *others, full)
    for other in others:
        ledger.drop_budget(other.name)
    assert ledger.drop_budget("a")
    assert not ledger.drop_budget("a")
    assert ledger.budgets() == (full,)


def test_terms_for_persons_are_stored(ledger: Ledger) -> None:
    """
    Whether it accepts the override, its hint, and what applies to unknown persons. Personal limits are stored separately.
    """
    firm = Budget("a", 1, scope="user", allow_override=False, refusal_hint="ask Maria", unknown="refuse")
    ledger.set_budget(replace(firm, limits=(("ann", 5),), source="x.toml"))
    (kept,) = ledger.budgets()

    assert (kept, kept.source) == (firm, "")


def test_personal_limits_are_kept(ledger: Ledger) -> None:
    """
    One to a person and budget, each set later than whatever is kept; those of a budget that is dropped go with it.
    """
    ledger.set_budget(Budget("a", 1, scope="user", set_at_us=100))
    for budget, who, nusd in (("a", "bob", 3), ("b", "ann", 4), ("a", "ann", 5), ("a", "bob", 6)):
        ledger.set_limit(PersonalLimit(budget, who, nusd))

    assert ledger.limits() == (
        PersonalLimit("a", "ann", 5, 103),
        PersonalLimit("a", "bob", 6, 104),
        PersonalLimit("b", "ann", 4, 102),
    )
    assert ledger.drop_limit("a", "ann")
    assert not ledger.drop_limit("a", "ann")
    ledger.drop_budget("a")
    assert ledger.limits() == (PersonalLimit("b", "ann", 4, 102),)


USERS = Budget("users", 10, scope="user")
TEAMS = Budget("teams", 10, scope="team")


@pytest.mark.parametrize(
    ("allowance", "lifted"),
    [
        ((LATER,), [True, True, True]),
        ((LATER, "users"), [True, True, False]),
        ((LATER, "users", "ann"), [True, False, False]),
        ((LATER, "teams", "ann"), [False, False, True]),
        ((LATER, "others"), [False, False, False]),
        ((NOW, "users"), [False, False, False]),
    ],
)
def test_a_cap_can_be_lifted_for_one(ledger: Ledger, allowance: tuple[Any, ...], lifted: list[bool]) -> None:
    """
    For a budget or for one person under it, until that time, and until it is ended.
    """
    limits = [limit_of(USERS, "ann", NOW), limit_of(USERS, "bob", NOW), limit_of(TEAMS, "ann", NOW)]
    for limit in limits:
        reserve(ledger, Hold(f"spent {limit.key}", (limit.key,), 10, LATER), [], NOW)
        settle(ledger, f"spent {limit.key}", 10, "reported", NOW)

    def passed(label: str) -> list[bool]:
        decisions = [reserve(ledger, Hold(f"{label} {one.key}", (one.key,), 1, LATER), [one], NOW) for one in limits]
        return [isinstance(one, Allowed) and one.status == "override" for one in decisions]

    ledger.allow(*allowance)
    assert passed("lifted") == lifted
    assert ledger.allowances() == (Allowance(*allowance),)
    ledger.allow(None, *allowance[1:])
    assert passed("ended") == [False] * 3
    assert ledger.allowances() == ()


def test_ending_what_is_lifted_for_all_ends_everything(ledger: Ledger) -> None:
    """
    "End it" means all of it; ending one leaves the others.
    """
    for who in ("", "ann", "bob"):
        ledger.allow(LATER, "users", who)
    ledger.allow(LATER)
    ledger.allow(None, "users", "bob")
    assert ledger.allowances() == (Allowance(LATER), Allowance(LATER, "users"), Allowance(LATER, "users", "ann"))

    ledger.allow(None)
    assert ledger.allowances() == ()
    assert ledger.allowed_until() is None


def test_personal_limit_is_judged(ledger: Ledger) -> None:
    """
    The others go by the budget's.
    """
    budget = replace(USERS, limits=(("ann", 30),))
    decisions = []
    for who in ("ann", "bob"):
        limit = limit_of(budget, who, NOW)
        reserve(ledger, Hold(f"first {who}", (limit.key,), 20, LATER), [limit], NOW)
        decisions.append(reserve(ledger, Hold(f"second {who}", (limit.key,), 1, LATER), [limit], NOW))

    assert isinstance(decisions[0], Allowed)
    assert decisions[0].standings[0].left_nusd == 10
    assert isinstance(decisions[1], Refused)


def test_budget_is_set_later_than_those_before_it(ledger: Ledger) -> None:
    """
    It is kept when it was set; a clock that was put back, or none, does not make it an earlier one.
    """
    times = []
    for at in (0, 0, 50, 49, 50, 1_000):
        ledger.set_budget(Budget("a", 1, set_at_us=at))
        times.append(ledger.budgets()[0].set_at_us)

    assert times == [1, 2, 50, 51, 52, 1_000]
    ledger.set_budget(Budget("b", 1))
    assert ledger.budgets()[1].set_at_us == 1_001


@pytest.mark.parametrize(
    ("window", "zone", "before", "after"),
    [
        (Window("month"), "UTC", "2026-11-30T23:59:59.999999+00:00", "2026-12-01T00:00:00+00:00"),
        (Window("month"), "Europe/Berlin", "2026-10-31T22:59:59.999999+00:00", "2026-10-31T23:00:00+00:00"),
        (Window("day"), "Europe/Berlin", "2026-10-25T22:59:59.999999+00:00", "2026-10-25T23:00:00+00:00"),
        (Window("month", 31), "UTC", "2027-02-27T23:59:59.999999+00:00", "2027-02-28T00:00:00+00:00"),
        (Window("week"), "America/New_York", "2026-11-02T04:59:59.999999+00:00", "2026-11-02T05:00:00+00:00"),
    ],
)
def test_new_window_starts_from_nothing(ledger: Ledger, window: Window, zone: str, before: str, after: str) -> None:
    """
    At the edge, across time zones and changes of the clocks, the cap is whole again; a request that runs over the edge
    is charged where it started.
    """
    budget = Budget("b", 100, window, zone)
    last, first = datetime.fromisoformat(before), datetime.fromisoformat(after)
    old, new = limit_of(budget, "", last), limit_of(budget, "", first)
    assert old.resets_at == first
    reserve(ledger, Hold("a", (old.key,), 100, first + timedelta(minutes=10)), [old], last)

    assert isinstance(reserve(ledger, hold("b", 1, old.key), [old], last), Refused)
    assert isinstance(reserve(ledger, Hold("c", (new.key,), 1, first + timedelta(minutes=10)), [new], first), Allowed)
    settle(ledger, "a", 90, "reported", first)
    assert (ledger.balance(old.key, first).settled_nusd, ledger.balance(new.key, first).settled_nusd) == (90, 0)


FIVE_HOURS = Window("rolling", hours=5)
ROLLING = Budget("r", 100, FIVE_HOURS)


def charge(ledger: Ledger, budget: Budget, hold_id: str, nusd: int, at: datetime) -> None:
    """
    Charge an amount at a time.
    """
    ledger.post([Settle(hold_id, nusd, "reported", at, hold=Hold(hold_id, (budget.key("", at),), nusd, at))], [])


def ask(ledger: Ledger, budget: Budget, hold_id: str, nusd: int, at: datetime) -> Decision:
    """
    Ask for an amount at a time.
    """
    limit = limit_of(budget, "", at)
    return reserve(ledger, Hold(hold_id, (limit.key,), nusd, at + timedelta(minutes=10)), [limit], at)


def test_charge_leaves_a_rolling_window_when_it_is_that_old(ledger: Ledger) -> None:
    """
    To the microsecond, one charge after the other, whether or not anything asked in between.
    """
    key = ROLLING.key("", NOW)
    for number, (minutes, nusd) in enumerate([(0, 60), (90, 30), (90, 10)]):
        charge(ledger, ROLLING, str(number), nusd, NOW + timedelta(minutes=minutes))
    first_leaves, others_leave = NOW + timedelta(hours=5), NOW + timedelta(hours=6.5)
    instant = timedelta(microseconds=1)

    at = [NOW + timedelta(hours=2), first_leaves - instant, first_leaves, others_leave - instant, others_leave]
    assert [ledger.balance(key, moment).settled_nusd for moment in at] == [100, 100, 40, 40, 0]
    assert isinstance(ask(ledger, ROLLING, "a", 1, first_leaves - instant), Refused)
    assert isinstance(ask(ledger, ROLLING, "b", 1, first_leaves), Allowed)
    assert [ledger.balance(key, moment).settled_nusd for moment in at[2:]] == [40, 40, 0]
    assert len(ledger.charges()) == 3


def test_refusal_of_a_rolling_window_has_the_time_at_which_enough_has_left(ledger: Ledger) -> None:
    """
    When the spend falls below the limit; for a strict budget, when the request fits.
    """
    strict = replace(ROLLING, name="s", strict=True)
    for budget in (ROLLING, strict):
        for number, nusd in enumerate([30, 50, 40]):
            charge(ledger, budget, f"{budget.name}{number}", nusd, NOW + timedelta(hours=number))
    at = NOW + timedelta(hours=3)

    decisions = [ask(ledger, ROLLING, "a", 1, at), ask(ledger, strict, "b", 60, at), ask(ledger, strict, "c", 101, at)]

    times = [one.standing.resets_at for one in decisions if isinstance(one, Refused) and one.standing is not None]
    assert times == [NOW + timedelta(hours=5), NOW + timedelta(hours=6), at + timedelta(hours=5)]
    assert isinstance(ask(ledger, ROLLING, "d", 1, times[0]), Allowed)
    assert isinstance(ask(ledger, strict, "e", 60, times[1]), Allowed)


def test_abandoned_hold_leaves_a_rolling_window(ledger: Ledger) -> None:
    """
    It counts as spent from the moment it ran out, and no longer than a charge of that moment would.
    """
    key = ROLLING.key("", NOW)
    ask(ledger, ROLLING, "a", 40, NOW)
    expired = NOW + timedelta(minutes=10)

    balances = [ledger.balance(key, at) for at in (NOW, expired, expired + timedelta(hours=5))]
    assert balances == [Balance(held_nusd=40), Balance(unsettled_nusd=40), Balance()]
    assert settle(ledger, "a", 25, "reported", expired + timedelta(hours=6)) == "charged"
    assert ledger.balance(key, expired + timedelta(hours=6)) == Balance(settled_nusd=25)


def test_window_that_does_not_end(ledger: Ledger) -> None:
    """
    What was spent years ago counts.
    """
    budget = Budget("run", 100, Window("none"))
    charge(ledger, budget, "a", 100, NOW)

    decision = ask(ledger, budget, "b", 1, NOW + timedelta(days=3000))

    assert isinstance(decision, Refused)
    assert b"x-posthog-budget-resets-at" not in dict(decision.headers())


def test_clients_cannot_name_a_window(ledger: Ledger) -> None:
    """
    The window is read from the place in the key that no client chooses.
    """
    limit = limit_of(Budget("team", 100, Window("day"), scope="team"), "x/rolling:1h/y", NOW)
    reserve(ledger, Hold("a", (limit.key,), 10, LATER), [limit], NOW)
    settle(ledger, "a", 10, "reported", NOW)

    assert ledger.balance(limit.key, NOW + timedelta(hours=2)).settled_nusd == 10


def test_budget_that_warns_refuses_nothing(ledger: Ledger) -> None:
    """
    Past its cap a request starts, with the status exceeded. Other budgets still refuse.
    """
    warning = limit_of(Budget("w", 10, action="warn"), "", NOW)
    reserve(ledger, Hold("a", (warning.key, KEY), 50, LATER), [warning, LIMIT], NOW)
    settle(ledger, "a", 50, "reported", NOW)

    allowed = reserve(ledger, Hold("b", (warning.key, KEY), 50, LATER), [warning, LIMIT], NOW)
    refused = reserve(ledger, Hold("c", (warning.key, KEY), 1, LATER), [warning, LIMIT], NOW)

    assert isinstance(allowed, Allowed)
    assert dict(allowed.headers())[b"x-posthog-budget"] == b"exceeded"
    assert isinstance(refused, Refused)
    assert refused.standing is not None
    assert refused.standing.limit == LIMIT


def check_race(ledger: Ledger, results: list[tuple[int, int, int]], limit_nusd: int, *, strict: bool) -> None:
    """
    No request was admitted against the rule, nothing was lost or counted twice, and more was requested than the cap allows.
    """
    beyond = [(used, ask) for used, ask, _ in results if (used + ask > limit_nusd if strict else used >= limit_nusd)]
    assert beyond == []
    key = race_limit(limit_nusd, strict=strict).key
    balance = ledger.balance(key, NOW)
    assert balance == Balance(settled_nusd=sum(cost for _, _, cost in results))
    assert balance.settled_nusd <= (limit_nusd if strict else limit_nusd + MOST_ASKED - 1)
    assert balance.settled_nusd > limit_nusd // 2
    assert len([one for one in ledger.charges() if one.keys == (key,)]) == len(results)


@pytest.mark.parametrize("together", [False, True], ids=["alone", "together"])
def test_every_text_is_a_key_of_its_own(ledger: Ledger, together: bool) -> None:
    """
    Also one with a NUL or other characters that a store may cut, fold or replace. Two budgets are asked about it at once.
    """
    names = ["a", "a\x00b", "a\x00c", "A", "a ", "\x1b[2J\u202e", "\x9b", "", "'\"\\"]
    budgets = [Budget(name, 100, scope="user") for name in ("one", "other")]
    limits = [[limit_of(budget, name, NOW) for budget in budgets] for name in names]
    reserves = [
        Reserve(Hold(f"h{number}\x00{name}", tuple(limit.key for limit in asked), 10 + number, LATER), asked, NOW)
        for number, (name, asked) in enumerate(zip(names, limits, strict=True))
    ]

    for step in [reserves] if together else [[one] for one in reserves]:
        assert all(isinstance(decision, Allowed) for decision in ledger.post((), step).decisions)

    for number, asked in enumerate(limits):
        assert [ledger.balance(limit.key, NOW).held_nusd for limit in asked] == [10 + number] * 2
    settles = [Settle(one.hold.id, 1000, "reported", NOW, keys=one.hold.keys) for one in reserves[1:]]
    for bills in [settles] if together else [[one] for one in settles]:
        assert [*ledger.post(bills, ()).settled] == ["charged"] * len(bills)
    refused = [Reserve(with_fields(one.hold, id=f"again {one.hold.id}"), one.limits, NOW) for one in reserves]
    decisions = ledger.post((), refused).decisions
    assert [isinstance(decision, Allowed) for decision in decisions] == [True] + [False] * (len(names) - 1)


@pytest.fixture
def restless() -> Iterator[None]:
    """
    Threads change places after microseconds: with the usual 5 ms a ledger without a lock passes as well.
    """
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("restless")
@pytest.mark.parametrize("name", LEDGERS)
def test_threads_do_not_cross_the_cap(name: str, tmp_path: Path) -> None:
    """
    1,600 attempts from eight threads, or 320 over a network, by each rule.
    """
    attempts = 200 if name in LOCAL else 40
    limit_nusd = 8 * 10 * attempts
    with closing(LEDGERS[name](tmp_path)) as ledger, ThreadPoolExecutor(8) as pool:
        for strict in (False, True):
            run = partial(race, ledger, attempts=attempts, limit_nusd=limit_nusd, strict=strict)
            results = [one for ones in pool.map(lambda who: list(run(who)), "abcdefgh") for one in ones]  # noqa: B023
            check_race(ledger, results, limit_nusd, strict=strict)


def start(what: str, url: str, name: str, *more: str) -> subprocess.Popen[str]:
    """
    Another process on the same ledger.
    """
    return subprocess.Popen(
        [sys.executable, "-m", "tests.ledgers.worker", what, url, name, *more],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def test_processes_do_not_cross_the_cap(url: str) -> None:
    """
    300 attempts from three processes by each rule on one ledger, which they also create together.
    """
    limit_nusd = 3_000
    processes = [start("race", url, name, "100", str(limit_nusd)) for name in "abc"]
    for one in processes:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    for one in processes:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    answers = [json.loads(one.communicate()[0]) for one in processes]

    assert [one.returncode for one in processes] == [0] * 3
    ledger = open_ledger(url)
    for strict in (False, True):
        results = [tuple(row) for answer in answers for row in answer[strict]]
        check_race(ledger, results, limit_nusd, strict=strict)
    ledger.close()


def test_killed_between_reserve_and_settle(url: str) -> None:
    """
    The hold of a killed process survives it, then counts as spent, and can be listed and released.
    """
    process = start("hold", url, "dead", "0", "100")
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    process.kill()
    process.communicate()

    ledger = open_ledger(url)
    ((key, balance),) = ledger.balances(NOW).items()
    assert balance == Balance(held_nusd=7)
    assert ledger.balance(key, LATER) == Balance(unsettled_nusd=7)
    assert [(one.hold.id, one.unsettled) for one in ledger.holds(LATER)] == [("dead", True)]
    assert ledger.release("dead")
    assert ledger.balance(key, LATER) == Balance()
    ledger.close()


def test_killed_at_any_moment(url: str) -> None:
    """
    Wherever a process is killed, the charges add up to the balance, and no charged hold is still open.
    """
    ledger = open_ledger(url)
    for number in range(4 if url.startswith("sqlite") else 2):
        count = len(ledger.charges())
        process = start("race", url, f"p{number}", "100000", str(2**50))
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        process.stdin.write("go\n")
        process.stdin.flush()
        until(lambda: len(ledger.charges()) > count)  # noqa: B023 - called at once
        time.sleep(0.05 + number * 0.013)
        process.kill()
        process.communicate()

    charges = ledger.charges()
    (balance,) = ledger.balances(NOW).values()
    assert charges
    assert balance.settled_nusd == sum(charge.nusd for charge in charges)
    assert {charge.hold_id for charge in charges}.isdisjoint(one.hold.id for one in ledger.holds(NOW))
    ledger.close()


IDS = st.sampled_from("abcdef")
MOMENTS = st.sampled_from([NOW + timedelta(minutes=n) for n in (-1, 0, 5, 10, 11, 60, 69, 70, 71)])
AMOUNTS = st.integers(0, 120)
LIMITS = (
    LIMIT,
    limit_of(Budget("s", 80, strict=True), "", NOW),
    limit_of(Budget("none", 0, Window("day")), "", NOW),
    limit_of(Budget("rolling", 100, Window("rolling", hours=1)), "a/rolling:1h", NOW),
    limit_of(Budget("warning", 60, Window("none"), action="warn"), "", NOW),
)


def make_hold(hold_id: str, limits: list[Limit], ask: int, expires_at: datetime, *, override: bool) -> Hold:
    """
    A hold under the keys of these limits.
    """
    return Hold(hold_id, tuple(one.key for one in limits), ask, expires_at, "m", override)


HOLDS = st.lists(st.sampled_from(LIMITS), min_size=1, max_size=3, unique=True).flatmap(
    lambda limits: st.tuples(
        st.builds(make_hold, IDS, st.just(limits), AMOUNTS, MOMENTS, override=st.sampled_from([False] * 5 + [True])),
        st.just(limits),
    )
)
BASES = st.sampled_from(["reported", "estimated", "held", "none"])
SETTLES = st.builds(
    lambda hold_id, nusd, basis, now, keys, hold: Settle(
        hold_id, nusd, basis, now, keys, None if hold is None else with_fields(hold[0], id=hold_id)
    ),
    IDS,
    AMOUNTS,
    BASES,
    MOMENTS,
    st.sampled_from([(), (LIMIT.key,), (KEY, LIMITS[1].key)]),
    st.none() | HOLDS,
)
RESERVES = st.builds(lambda asked, now: Reserve(asked[0], asked[1], now), HOLDS, MOMENTS)
POSTS = st.tuples(
    st.just("post"),
    st.lists(SETTLES, max_size=4),
    st.lists(RESERVES, max_size=4, unique_by=lambda one: one.hold.id),
)
OPERATIONS = st.one_of(
    st.tuples(st.just("reserve"), HOLDS, MOMENTS),
    st.tuples(st.just("settle"), IDS, AMOUNTS, BASES, MOMENTS),
    POSTS,
    st.tuples(st.just("release"), IDS),
    st.tuples(st.just("allow"), st.none() | MOMENTS),
    st.tuples(st.just("allow"), st.none() | MOMENTS, st.sampled_from([LIMIT.budget.name, "other"]), st.just("")),
    st.tuples(st.just("allowances")),
    st.tuples(st.just("holds"), MOMENTS),
    st.tuples(st.just("charges"), st.none() | MOMENTS),
    st.tuples(st.just("balances"), MOMENTS),
)


def perform(ledger: Ledger, operation: tuple[Any, ...]) -> Any:
    """
    What a ledger answers to an operation; a bug of the caller is an answer too.
    """
    name, *arguments = operation
    try:
        match name:
            case "reserve":
                (hold, limits), now = arguments
                return reserve(ledger, hold, limits, now)
            case "settle":
                return settle(ledger, *arguments)
        return getattr(ledger, name)(*arguments)
    except ValueError as error:
        return str(error)


OPERATION_LISTS = st.lists(OPERATIONS, min_size=5, max_size=40)


@settings(max_examples=50, deadline=None)
@given(operations=OPERATION_LISTS)
def test_same_answers_as_memory(operations: list[tuple[Any, ...]]) -> None:
    """
    Any sequence of calls gets the same answers as from the specification, and the record adds up after it.
    """
    with tempfile.TemporaryDirectory() as folder:
        check_answers("sqlite", folder, operations)


@pytest.mark.parametrize("name", [name for name in LEDGERS if name not in LOCAL])
@settings(max_examples=12, deadline=None)
@given(operations=OPERATION_LISTS)
def test_same_answers_over_a_network(name: str, operations: list[tuple[Any, ...]]) -> None:
    """
    The same, with fewer sequences.
    """
    check_answers(name, "", operations)


def check_answers(name: str, folder: str, operations: list[tuple[Any, ...]]) -> None:
    """
    These calls get the same answers as from the specification.
    """
    specification = MemoryLedger()
    with closing(LEDGERS[name](Path(folder))) as ledger:
        for operation in operations:
            assert perform(specification, operation) == perform(ledger, operation)
        for moment in (NOW, LATER):
            assert specification.balances(moment) == ledger.balances(moment)
        assert_the_record_adds_up(ledger)


def assert_the_record_adds_up(ledger: Ledger) -> None:
    """
    The charges under a key are its settled balance. In a rolling window: those that are younger than it is long.
    """
    latest = NOW + timedelta(minutes=71)
    sums: dict[str, int] = {}
    for charge in ledger.charges():
        for key in charge.keys:
            counts = key != LIMITS[3].key or charge.settled_at > latest - timedelta(hours=1)
            sums[key] = sums.get(key, 0) + charge.nusd * counts
    assert sums == {key: one.settled_nusd for key, one in ledger.balances(latest).items() if key in sums}


def one_by_one(ledger: Ledger, settles: list[Settle], reserves: list[Reserve]) -> Posted:
    """
    What `post` does, in many steps.
    """
    settled = [ledger.post((one,), ()).settled[0] for one in settles]
    balances = {key: ledger.balance(key, one.now) for one in settles for key in one.keys}
    decisions = [reserve(ledger, one.hold, one.limits, one.now) for one in reserves]
    return Posted(settled, balances, decisions, ledger.allowed_until() if reserves else None)


@settings(max_examples=60)
@given(before=st.lists(OPERATIONS, max_size=10), post=POSTS)
def test_post_is_the_calls_one_by_one(before: list[tuple[Any, ...]], post: tuple[Any, ...]) -> None:
    """
    With the same answers and the same state after it; where one of the calls is a bug, nothing was changed.
    """
    whole, parts, untouched = MemoryLedger(), MemoryLedger(), MemoryLedger()
    for operation in before:
        for ledger in (whole, parts, untouched):
            perform(ledger, operation)

    answer = perform(whole, post)

    if isinstance(answer, str):
        with pytest.raises(ValueError, match="used before"):
            one_by_one(parts, *post[1:])
        same = untouched
    else:
        assert one_by_one(parts, *post[1:]) == answer
        same = parts
    assert whole.charges() == same.charges()
    assert whole.holds(NOW) == same.holds(NOW)
    assert whole.balances(LATER) == same.balances(LATER)


def test_post_with_a_bug_in_it_changes_nothing(ledger: Ledger) -> None:
    """
    All of it or nothing, also where the last of it is wrong.
    """
    reserve(ledger, hold("a", 30), [LIMIT], NOW)
    paid = Settle("a", 12, "reported", NOW)
    for reserves, why in (
        ([Reserve(hold("b", 1), [LIMIT], NOW), Reserve(hold("b", 1), [LIMIT], NOW)], "used before"),
        ([Reserve(hold("b", 1), [LIMIT], NOW), Reserve(hold("a", 1), [LIMIT], NOW)], "used before"),
        ([Reserve(hold("b", 1, "other"), [LIMIT], NOW)], "not counted under"),
        ([Reserve(hold("b", 1), [LIMIT], datetime(2026, 11, 24))], "no time zone"),
    ):
        with pytest.raises(ValueError, match=why):
            ledger.post([paid], reserves)
    with pytest.raises(ValueError, match="no amount"):
        ledger.post([paid, Settle("b", -1, "reported", NOW)], [])
    with pytest.raises(ValueError, match="no time zone"):
        ledger.post([paid, Settle("b", 1, "reported", datetime(2026, 11, 24))], [])

    assert ledger.balance(KEY, NOW) == Balance(held_nusd=30)


def test_post_judges_by_what_it_settled_and_held(ledger: Ledger) -> None:
    """
    A bill makes room for the requests of the same step, and an earlier request takes it before a later one.
    """
    reserve(ledger, hold("a", 100), [LIMIT], NOW)

    done = ledger.post(
        [Settle("a", 90, "reported", NOW, (KEY, "other"))],
        [Reserve(hold("b", 10), [LIMIT], NOW), Reserve(hold("c", 10), [LIMIT], NOW)],
    )

    assert done.settled == ["charged"]
    assert done.balances == {KEY: Balance(settled_nusd=90), "other": Balance()}
    assert [type(one) for one in done.decisions] == [Allowed, Refused]
    assert ledger.balance(KEY, NOW) == Balance(settled_nusd=90, held_nusd=10)


@settings(max_examples=60)
@given(operations=OPERATION_LISTS)
def test_specification_keeps_the_rules(operations: list[tuple[Any, ...]]) -> None:
    """
    Seen from outside: what a strict budget admits without override fits, and what a default one admits was not at its cap.
    """
    ledger = MemoryLedger()
    for operation in operations:
        before = perform(ledger, ("balances", operation[-1])) if operation[0] == "reserve" else {}
        decision: Decision | Any = perform(ledger, operation)
        if isinstance(decision, Allowed) and decision.status != "override":
            for standing in decision.standings:
                if standing.limit.budget.action == "warn":
                    continue  # it warns, and refuses nothing
                used = before.get(standing.limit.key, Balance()).used_nusd
                ask = decision.hold.ask_nusd if decision.hold and standing.limit.budget.strict else 1
                assert used + ask <= standing.limit.nusd
