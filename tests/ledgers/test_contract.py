"""
What every ledger does. To add one: an entry in `LEDGERS`.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from savemode_cli.core.admission import Allowed, Balance, Decision, Hold, Refused
from savemode_cli.core.budget import Budget, Limit, Window, limit_of
from savemode_cli.core.ledger import Charge, Ledger, MemoryLedger, OpenHold, Posted, Reserve, Settle
from savemode_cli.ledgers.sqlite import SqliteLedger
from tests.ledgers.worker import MOST_ASKED, NOW, race

ROOT = Path(__file__).parents[2]
LATER = NOW + timedelta(minutes=10)
BUDGET = Budget("b", 100)
LIMIT = limit_of(BUDGET, "", NOW)
KEY = LIMIT.key

LEDGERS: dict[str, Callable[[Path], Ledger]] = {
    "memory": lambda folder: MemoryLedger(),
    "sqlite": lambda folder: SqliteLedger(folder / "ledger.db", busy_s=30),
}


@pytest.fixture(params=LEDGERS)
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    """
    Each ledger in turn, new.
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

    decision = ledger.reserve(hold("h", 30), [LIMIT], NOW)

    assert isinstance(decision, Allowed)
    assert decision.hold == hold("h", 30)
    assert ledger.balance(KEY, NOW) == Balance(held_nusd=30)
    assert ledger.settle("h", 12, "reported", NOW) == "charged"
    assert ledger.balance(KEY, NOW) == Balance(settled_nusd=12)


def test_settle_counts_once(ledger: Ledger) -> None:
    """
    A second settle changes nothing, whatever it says.
    """
    ledger.reserve(hold("h", 30), [LIMIT], NOW)
    ledger.settle("h", 12, "reported", NOW)

    assert ledger.settle("h", 99, "estimated", LATER) == "repeated"
    assert ledger.balance(KEY, NOW) == Balance(settled_nusd=12)


def test_settle_of_an_unknown_hold(ledger: Ledger) -> None:
    """
    Nothing is charged to nobody, and the caller hears of it.
    """
    assert ledger.settle("never", 12, "reported", NOW) == "unknown"
    assert ledger.balances(NOW) == {}


def test_crossing_request_starts_and_the_next_does_not(ledger: Ledger) -> None:
    """
    The default rule: `spent + held < limit`.
    """
    assert isinstance(ledger.reserve(hold("a", 99), [LIMIT], NOW), Allowed)
    assert isinstance(ledger.reserve(hold("b", 99), [LIMIT], NOW), Allowed)

    decision = ledger.reserve(hold("c", 1), [LIMIT], NOW)

    assert isinstance(decision, Refused)
    assert (decision.reason, decision.permanent) == ("held", False)
    ledger.settle("a", 99, "reported", NOW)
    ledger.settle("b", 1, "reported", NOW)
    decision = ledger.reserve(hold("c", 1), [LIMIT], NOW)
    assert isinstance(decision, Refused)
    assert (decision.reason, decision.permanent) == ("spent", True)


def test_strict_fits_to_the_last_nano_dollar(ledger: Ledger) -> None:
    """
    The strict rule: `spent + held + ask <= limit`.
    """
    strict = limit_of(Budget("b", 100, strict=True), "", NOW)

    assert isinstance(ledger.reserve(hold("a", 60), [strict], NOW), Allowed)
    assert isinstance(ledger.reserve(hold("b", 41), [strict], NOW), Refused)
    assert isinstance(ledger.reserve(hold("c", 40), [strict], NOW), Allowed)


def test_refused_holds_nothing(ledger: Ledger) -> None:
    """
    All keys or none: a budget with room is not charged for a request that another one refused.
    """
    day = limit_of(Budget("day", 10, Window("day")), "", NOW)
    ledger.reserve(hold("a", 10, KEY, day.key), [LIMIT, day], NOW)

    decision = ledger.reserve(hold("b", 5, KEY, day.key), [LIMIT, day], NOW)

    assert isinstance(decision, Refused)
    assert decision.standing is not None
    assert decision.standing.limit == day
    assert ledger.balances(NOW) == {KEY: Balance(held_nusd=10), day.key: Balance(held_nusd=10)}
    assert ledger.settle("b", 5, "reported", NOW) == "unknown"


def test_several_budgets_are_charged_at_once(ledger: Ledger) -> None:
    """
    One request counts under each of its keys, also under one that caps nothing.
    """
    ledger.reserve(hold("a", 10, KEY, "team"), [LIMIT], NOW)
    ledger.settle("a", 7, "reported", NOW)

    assert ledger.balances(NOW) == {KEY: Balance(7), "team": Balance(7)}


def test_override_is_charged_and_labelled(ledger: Ledger) -> None:
    """
    Beyond the cap, on record as such.
    """
    ledger.reserve(hold("a", 100), [LIMIT], NOW)

    decision = ledger.reserve(hold("b", 50, override=True), [LIMIT], NOW)

    assert decision.status == "override"
    assert ledger.balance(KEY, NOW).held_nusd == 150
    ledger.settle("b", 50, "reported", NOW)
    assert [charge.override for charge in ledger.charges()] == [True]


def test_allow_for_a_while(ledger: Ledger) -> None:
    """
    Until its end every request has the override, and from then on none.
    """
    assert ledger.allowed_until() is None
    ledger.reserve(hold("a", 100), [LIMIT], NOW)
    ledger.allow(LATER)

    before, after = LATER - timedelta(microseconds=1), LATER
    assert ledger.allowed_until() == LATER
    assert ledger.reserve(hold("b", 1), [LIMIT], before).status == "override"
    assert ledger.reserve(hold("c", 1), [LIMIT], after).status == "exceeded"
    ledger.allow(None)
    assert ledger.allowed_until() is None
    assert ledger.reserve(hold("d", 1), [LIMIT], before).status == "exceeded"


def test_expired_hold_counts_as_spent(ledger: Ledger) -> None:
    """
    Nobody came back with the bill: the amount held is counted as spent, permanently, until somebody says otherwise.
    """
    ledger.reserve(hold("a", 100), [LIMIT], NOW)

    assert ledger.balance(KEY, LATER) == Balance(unsettled_nusd=100)
    assert ledger.holds(NOW) == (OpenHold(hold("a", 100), unsettled=False),)
    assert ledger.holds(LATER) == (OpenHold(hold("a", 100), unsettled=True),)
    decision = ledger.reserve(hold("b", 1), [LIMIT], LATER)
    assert isinstance(decision, Refused)
    assert decision.permanent


def test_late_bill_replaces_an_expired_hold_once(ledger: Ledger) -> None:
    """
    A settle after the hold ran out puts the real cost in its place, exactly once.
    """
    ledger.reserve(hold("a", 100), [LIMIT], NOW)

    assert ledger.settle("a", 30, "reported", LATER) == "charged"
    assert ledger.settle("a", 30, "reported", LATER) == "repeated"
    assert ledger.balance(KEY, LATER) == Balance(settled_nusd=30)
    assert ledger.holds(LATER) == ()


def test_release(ledger: Ledger) -> None:
    """
    A released hold counts no more; there is one release to a hold.
    """
    ledger.reserve(hold("a", 100), [LIMIT], NOW)

    assert ledger.release("a")
    assert not ledger.release("a")
    assert not ledger.release("never")
    assert ledger.balances(LATER) == {}
    assert ledger.holds(LATER) == ()
    assert ledger.charges() == ()


def test_bill_of_a_released_hold(ledger: Ledger) -> None:
    """
    Releasing forgets a claim, not a bill: should the request have been alive, it is charged, exactly once.
    """
    ledger.reserve(hold("a", 100), [LIMIT], NOW)
    ledger.release("a")

    assert ledger.settle("a", 30, "reported", LATER) == "charged"
    assert ledger.settle("a", 30, "reported", LATER) == "repeated"
    assert ledger.balance(KEY, LATER) == Balance(settled_nusd=30)


def test_hold_id_is_used_once(ledger: Ledger) -> None:
    """
    A second hold of the same name would be settled by the first one's bill: a bug in the caller, and said.
    """
    for prepare in (lambda: None, lambda: ledger.settle("a", 1, "reported", NOW)):
        if prepare() is None:
            ledger.reserve(hold("a", 1), [LIMIT], NOW)
        with pytest.raises(ValueError, match="used before"):
            ledger.reserve(hold("a", 1), [LIMIT], NOW)
    assert ledger.balance(KEY, NOW) == Balance(settled_nusd=1)


def test_bugs_of_the_caller_change_nothing(ledger: Ledger) -> None:
    """
    A limit the hold is not counted under, a negative amount, a moment without time zone.
    """
    with pytest.raises(ValueError, match="not counted under"):
        ledger.reserve(hold("a", 1, "other"), [LIMIT], NOW)
    ledger.reserve(hold("a", 1), [LIMIT], NOW)
    with pytest.raises(ValueError, match="no amount"):
        ledger.settle("a", -1, "reported", NOW)
    with pytest.raises(ValueError, match="no time zone"):
        ledger.allow(datetime(2026, 11, 24))

    assert ledger.balance(KEY, NOW) == Balance(held_nusd=1)


def test_charges_are_the_balances(ledger: Ledger) -> None:
    """
    Every settled amount is on record with its basis, and the record adds up to the balances.
    """
    ledger.reserve(hold("a", 10, KEY, "t", model="claude-opus-5-5"), [LIMIT], NOW)
    ledger.reserve(hold("b", 10), [LIMIT], NOW)
    ledger.settle("b", 3, "estimated", NOW)
    ledger.settle("a", 7, "reported", LATER)

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

    assert ledger.budgets() == (Budget("a", 2, Window("week")), full)
    assert ledger.drop_budget("a")
    assert not ledger.drop_budget("a")
    assert ledger.budgets() == (full,)


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
    ledger.reserve(Hold("a", (old.key,), 100, first + timedelta(minutes=10)), [old], last)

    assert isinstance(ledger.reserve(hold("b", 1, old.key), [old], last), Refused)
    assert isinstance(ledger.reserve(Hold("c", (new.key,), 1, first + timedelta(minutes=10)), [new], first), Allowed)
    ledger.settle("a", 90, "reported", first)
    assert (ledger.balance(old.key, first).settled_nusd, ledger.balance(new.key, first).settled_nusd) == (90, 0)


def check_race(ledger: Ledger, results: list[tuple[int, int, int]], limit_nusd: int, *, strict: bool) -> None:
    """
    Nobody was admitted beyond the rule, nothing was lost or counted twice, and the cap was really contested.
    """
    beyond = [(used, ask) for used, ask, _ in results if (used + ask > limit_nusd if strict else used >= limit_nusd)]
    assert beyond == []
    (balance,) = ledger.balances(NOW).values()
    assert balance == Balance(settled_nusd=sum(cost for _, _, cost in results))
    assert balance.settled_nusd <= (limit_nusd if strict else limit_nusd + MOST_ASKED - 1)
    assert balance.settled_nusd > limit_nusd - 8 * 3 * MOST_ASKED
    assert len(ledger.charges()) == len(results)


RACE_LIMIT = 40_000


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
@pytest.mark.parametrize("strict", [False, True], ids=["default", "strict"])
def test_threads_do_not_cross_the_cap(ledger: Ledger, strict: bool) -> None:
    """
    4,000 attempts from eight threads.
    """

    def run(name: str) -> list[tuple[int, int, int]]:
        return list(race(ledger, name, 500, RACE_LIMIT, strict=strict))

    with ThreadPoolExecutor(8) as pool:
        results = [one for ones in pool.map(run, "abcdefgh") for one in ones]

    check_race(ledger, results, RACE_LIMIT, strict=strict)


def start(what: str, path: Path, name: str, *more: str) -> subprocess.Popen[str]:
    """
    Another process on the same file.
    """
    return subprocess.Popen(
        [sys.executable, "-m", "tests.ledgers.worker", what, str(path), name, *more],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


@pytest.mark.parametrize("strict", [False, True], ids=["default", "strict"])
def test_processes_do_not_cross_the_cap(tmp_path: Path, strict: bool) -> None:
    """
    4,000 attempts from eight processes on one file, which they also create together.
    """
    path = tmp_path / "ledger.db"
    rule = "strict" if strict else "default"
    processes = [start("race", path, name, "500", str(RACE_LIMIT), rule) for name in "abcdefgh"]
    for one in processes:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    for one in processes:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    results = [tuple(row) for one in processes for row in json.loads(one.communicate()[0])]

    assert [one.returncode for one in processes] == [0] * 8
    ledger = SqliteLedger(path)
    check_race(ledger, results, RACE_LIMIT, strict=strict)
    ledger.close()


def test_killed_between_reserve_and_settle(tmp_path: Path) -> None:
    """
    The hold of a killed process survives it, then counts as spent, and can be listed and released.
    """
    path = tmp_path / "ledger.db"
    process = start("hold", path, "dead", "0", "100", "default")
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    process.kill()
    process.communicate()

    ledger = SqliteLedger(path)
    ((key, balance),) = ledger.balances(NOW).items()
    assert balance == Balance(held_nusd=7)
    assert ledger.balance(key, LATER) == Balance(unsettled_nusd=7)
    assert [(one.hold.id, one.unsettled) for one in ledger.holds(LATER)] == [("dead", True)]
    assert ledger.release("dead")
    assert ledger.balance(key, LATER) == Balance()
    ledger.close()


def test_killed_at_any_moment(tmp_path: Path) -> None:
    """
    Wherever a process is killed, the charges add up to the balance, and no charged hold is still open.
    """
    path = tmp_path / "ledger.db"
    for number in range(4):
        process = start("race", path, f"p{number}", "100000", str(2**50), "default")
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        process.stdin.write("go\n")
        process.stdin.flush()
        time.sleep(0.05 + number * 0.013)
        process.kill()
        process.communicate()

    ledger = SqliteLedger(path)
    charges = ledger.charges()
    (balance,) = ledger.balances(NOW).values()
    assert charges
    assert balance.settled_nusd == sum(charge.nusd for charge in charges)
    assert {charge.hold_id for charge in charges}.isdisjoint(one.hold.id for one in ledger.holds(NOW))
    ledger.close()


IDS = st.sampled_from("abcdef")
MOMENTS = st.sampled_from([NOW + timedelta(minutes=n) for n in (-1, 0, 5, 10, 11)])
AMOUNTS = st.integers(0, 120)
LIMITS = (
    LIMIT,
    limit_of(Budget("s", 80, strict=True), "", NOW),
    limit_of(Budget("none", 0, Window("day")), "", NOW),
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
SETTLES = st.builds(Settle, IDS, AMOUNTS, BASES, MOMENTS, st.sampled_from([(), (LIMIT.key,), (KEY, LIMITS[1].key)]))
RESERVES = st.builds(lambda asked, now: Reserve(*asked, now), HOLDS, MOMENTS)
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
    st.tuples(st.just("holds"), MOMENTS),
    st.tuples(st.just("charges"), st.none() | MOMENTS),
    st.tuples(st.just("balances"), MOMENTS),
)


def perform(ledger: Ledger, operation: tuple[Any, ...]) -> Any:
    """
    What a ledger answers to an operation; a bug of the caller is an answer too.
    """
    name, *arguments = operation
    if name == "reserve":
        (hold, limits), now = arguments
        arguments = [hold, limits, now]
    try:
        return getattr(ledger, name)(*arguments)
    except ValueError as error:
        return str(error)


@pytest.mark.parametrize("name", [name for name in LEDGERS if name != "memory"])
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(operations=st.lists(OPERATIONS, min_size=5, max_size=40))
def test_same_answers_as_memory(name: str, operations: list[tuple[Any, ...]]) -> None:
    """
    Any sequence of calls gets the same answers as from the specification, and the record adds up after it.
    """
    with tempfile.TemporaryDirectory() as folder:
        ledger, specification = LEDGERS[name](Path(folder)), MemoryLedger()
        for operation in operations:
            assert perform(specification, operation) == perform(ledger, operation)
        for moment in (NOW, LATER):
            assert specification.balances(moment) == ledger.balances(moment)
        sums: dict[str, int] = {}
        for charge in ledger.charges():
            for key in charge.keys:
                sums[key] = sums.get(key, 0) + charge.nusd
        assert sums == {key: one.settled_nusd for key, one in ledger.balances(NOW).items() if key in sums}
        ledger.close()


def one_by_one(ledger: Ledger, settles: list[Settle], reserves: list[Reserve]) -> Posted:
    """
    What `post` does, in many steps.
    """
    settled = [ledger.settle(one.hold_id, one.nusd, one.basis, one.now) for one in settles]
    balances = {key: ledger.balance(key, one.now) for one in settles for key in one.keys}
    return Posted(settled, balances, [ledger.reserve(one.hold, one.limits, one.now) for one in reserves])


@settings(deadline=None)
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
    ledger.reserve(hold("a", 30), [LIMIT], NOW)
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
    A bill makes room for who asks next, and who asks first takes it from who asks second.
    """
    ledger.reserve(hold("a", 100), [LIMIT], NOW)

    done = ledger.post(
        [Settle("a", 90, "reported", NOW, (KEY, "other"))],
        [Reserve(hold("b", 10), [LIMIT], NOW), Reserve(hold("c", 10), [LIMIT], NOW)],
    )

    assert done.settled == ["charged"]
    assert done.balances == {KEY: Balance(settled_nusd=90), "other": Balance()}
    assert [type(one) for one in done.decisions] == [Allowed, Refused]
    assert ledger.balance(KEY, NOW) == Balance(settled_nusd=90, held_nusd=10)


@settings(deadline=None)
@given(operations=st.lists(OPERATIONS, min_size=5, max_size=40))
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
                used = before.get(standing.limit.key, Balance()).used_nusd
                ask = decision.hold.ask_nusd if decision.hold and standing.limit.budget.strict else 1
                assert used + ask <= standing.limit.nusd
