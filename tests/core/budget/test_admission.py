"""
Whether a request may start: both rules, several budgets, the override, and what the client is told.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from savemode_cli.core.budget.admission import (
    Allowed,
    Balance,
    Hold,
    Refused,
    Standing,
    check_limits,
    check_nusd,
    decide,
    decide_uncounted,
)
from savemode_cli.core.budget.budget import Budget, limit_of
from savemode_cli.core.budget.scales import guard
from savemode_cli.core.budget.window import Window
from savemode_cli.core.budget.without_ledger import unaccounted
from savemode_cli.core.money.amounts import MOST_NUSD
from tests.support.values import replace

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
USD = 10**9
HOLD = Hold("h", ("k",), 2 * USD, NOW + timedelta(minutes=10))


def standing(spent: int, held: int = 0, limit: int = 20, name: str = "b", **more: Any) -> Standing:
    """
    A budget and its balance, in whole dollars.
    """
    return Standing(limit_of(Budget(name, limit * USD, **more), "ann", NOW), Balance(spent * USD, 0, held * USD))


def headers_of(decision: Allowed | Refused) -> dict[str, str]:
    """
    The headers as text, without their common start.
    """
    return {name.decode().removeprefix("x-posthog-budget"): value.decode() for name, value in decision.headers()}


@pytest.mark.parametrize(
    ("spent", "held", "strict", "reason"),
    [
        (0, 0, False, None),
        (19, 0, False, None),
        (20, 0, False, "spent"),
        (25, 3, False, "spent"),
        (19, 1, False, "held"),
        (0, 20, False, "held"),
        (18, 0, True, None),
        (17, 1, True, None),
        (19, 0, True, "ask"),
        (17, 2, True, "held"),
        (20, 0, True, "spent"),
    ],
)
def test_rule(spent: int, held: int, strict: bool, reason: str | None) -> None:
    """
    By default a request starts while anything is left. With `strict` it starts only if the most that it may cost fits.
    Waiting helps only if nothing but holds prevents it.
    """
    decision = decide(HOLD, [standing(spent, held, strict=strict)], override=False)

    assert reason == (decision.reason if isinstance(decision, Refused) else None)


@given(st.integers(-5, 50), st.integers(0, 50), st.integers(-1, 30))
def test_default_rule_is_the_guards_table(spent: int, held: int, limit: int) -> None:
    """
    The ledger admits what the table allows, with holds counted as spent.
    """
    decision = decide(HOLD, [standing(spent, held, limit)], override=False)
    verdict = guard(limit * USD, (spent + held) * USD)

    assert verdict.allow == isinstance(decision, Allowed)
    assert verdict.status == decision.status


def test_unsettled_counts_as_spent() -> None:
    """
    A request does not wait for an expired hold.
    """
    limit = standing(0).limit

    decision = decide(HOLD, [Standing(limit, Balance(10 * USD, 10 * USD, 0))], override=False)

    assert isinstance(decision, Refused)
    assert decision.permanent


def test_headers_of_an_allowed_request() -> None:
    """
    Both scales, the amount left and the reset. What other requests hold is not left.
    """
    assert headers_of(decide(HOLD, [standing(12, 2)], override=False)) == {
        "": "ok",
        "-remaining-usd": "6.00",
        "-state": "warn",
        "-recommended-mode": "balanced",
        "-resets-at": "2026-12-01T00:00:00Z",
    }


def test_no_budget_no_headers() -> None:
    """
    Without a cap the answer carries no budget header at all.
    """
    decision = decide(HOLD, [standing(12, limit=0)], override=False)

    assert (decision, headers_of(decision)) == (Allowed(HOLD, None), {})


@pytest.mark.parametrize(("hold", "override"), [(HOLD, True), (replace(HOLD, override=True), False)])
def test_override(hold: Hold, override: bool) -> None:
    """
    With the header, or while a limit is lifted, the request starts, has the status `override`, and has a hold to
    charge.
    """
    decision = decide(hold, [standing(25)], override=override)

    assert isinstance(decision, Allowed)
    assert decision.hold == replace(HOLD, override=True)
    assert headers_of(decision) == {
        "": "override",
        "-state": "blocked",
        "-recommended-mode": "max_save",
        "-resets-at": "2026-12-01T00:00:00Z",
    }


def test_override_without_budget() -> None:
    """
    Only the status is reported.
    """
    assert headers_of(decide(HOLD, [], override=True)) == {"": "override"}


def test_all_budgets_must_pass() -> None:
    """
    One refusal is enough, whatever the other budgets say.
    """
    decision = decide(HOLD, [standing(1), standing(5, limit=5, name="small")], override=False)

    assert isinstance(decision, Refused)
    assert decision.standing == standing(5, limit=5, name="small")


def test_budget_with_the_fewest_dollars_left_is_reported() -> None:
    """
    The used share does not matter. Of equal amounts, the budget with the larger used share is reported.
    """
    order = [standing(90, limit=100, name="a"), standing(0, limit=2, name="b"), standing(18, name="c"), standing(9)]

    decision = decide(HOLD, order, override=False)

    assert isinstance(decision, Allowed)
    assert [one.limit.budget.name for one in decision.standings] == ["c", "b", "a", "b"]
    assert headers_of(decision)["-remaining-usd"] == "2.00"


def test_untouched_small_budget_is_reported_before_a_large_one_in_use() -> None:
    """
    A session's unused two cents are less than the $4.98 that are left of the day.
    """
    session = Standing(limit_of(Budget("session", 20_000_000), "", NOW), Balance())
    day = Standing(limit_of(Budget("day", 5 * USD, Window("day")), "", NOW), Balance(20_000_000))

    for order in ([session, day], [day, session]):
        assert headers_of(decide(HOLD, order, override=False))["-remaining-usd"] == "0.02"


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 60)), min_size=1, max_size=5))
def test_no_budget_has_less_left_than_the_reported_one(pairs: list[tuple[int, int]]) -> None:
    """
    Before and after the request, whatever is spent.
    """
    standings = [standing(spent, limit=limit, name=f"b{index}") for index, (limit, spent) in enumerate(pairs)]
    least = min(one.left_nusd for one in standings)
    decision = decide(HOLD, standings, override=True)
    assert isinstance(decision, Allowed)
    assert decision.standing is not None
    after = Allowed(None, "ok", tuple(standings)).after([one.balance for one in standings])
    assert after.standing is not None

    assert decision.standing.left_nusd == after.standing.left_nusd == least


def test_refusal_that_lasts_longest_is_reported() -> None:
    """
    A client is not told to come back tomorrow, or in a moment, when the month is spent.
    """
    day = standing(9, limit=5, name="day", window=Window("day"))
    month = standing(20, name="month")
    held = standing(0, 20, name="held", window=Window("month", 20))

    for order in ([day, month, held], [held, month, day]):
        decision = decide(HOLD, order, override=False)

        assert isinstance(decision, Refused)
        assert decision.standing == month


def test_strict_refusal() -> None:
    """
    It is permanent, because waiting does not make the request smaller. It says what is left, because a smaller request
    may fit.
    """
    decision = decide(HOLD, [standing(19, strict=True)], override=False)
    assert isinstance(decision, Refused)

    assert decision.permanent
    assert headers_of(decision)[""] == "exceeded"
    assert headers_of(decision)["-remaining-usd"] == "1.00"


def test_strict_refusal_for_the_moment() -> None:
    """
    `exceeded` says that this request may not start; the amount is what is left all the same, for a smaller one may.

    Only where nothing is left, and so without `--strict` always, is it 0.00.
    """
    strict = decide(HOLD, [standing(16, 3, strict=True)], override=False)
    held = decide(HOLD, [standing(16, 4)], override=False)
    assert isinstance(strict, Refused)
    assert isinstance(held, Refused)

    assert (strict.reason, strict.permanent, held.reason, held.permanent) == ("held", False, "held", False)
    assert (headers_of(strict)[""], headers_of(strict)["-remaining-usd"]) == ("exceeded", "1.00")
    assert (headers_of(held)[""], headers_of(held)["-remaining-usd"]) == ("exceeded", "0.00")


FIRM: dict[str, Any] = {"allow_override": False}


@pytest.mark.parametrize(
    ("standings", "status", "left", "lifted"),
    [
        ([standing(25)], "override", None, True),
        ([], "override", None, True),
        ([standing(0, limit=0)], "override", None, True),
        ([standing(0, limit=0, **FIRM)], "override", None, True),
        ([standing(12, **FIRM)], "ok", "8.00", False),
        ([standing(25), standing(18, name="firm", **FIRM)], "warn", "2.00", True),
    ],
)
def test_override_header(standings: list[Standing], status: str, left: str | None, lifted: bool) -> None:
    """
    It lifts the caps that accept it. Where a cap does not, that cap is judged and reported, and the answer says that the
    header was ignored; the request is recorded as an override only if a cap was lifted for it.
    """
    decision = decide(replace(HOLD, override=True), standings, override=False)
    assert isinstance(decision, Allowed)
    assert decision.hold is not None

    told = headers_of(decision)
    assert (told[""], told.get("-remaining-usd")) == (status, left)
    assert told.get("-override") == (None if left is None else "ignored")
    assert decision.hold.override is lifted


def test_cap_that_accepts_no_override_refuses() -> None:
    """
    The header changes nothing.
    """
    for override in (True, False):
        decision = decide(replace(HOLD, override=override), [standing(20, **FIRM)], override=False)

        assert isinstance(decision, Refused)
        assert (decision.reason, decision.override_ignored) == ("spent", override)


def test_what_the_owner_lifts_is_lifted() -> None:
    """
    `savemode budget allow` is not the caller's header: it lifts every cap, or one.
    """
    firm = standing(25, **FIRM)
    everything = decide(HOLD, [firm], override=True)
    this_one = decide(HOLD, [structs.replace(firm, lifted=True)], override=False)
    beside_another = decide(HOLD, [structs.replace(firm, lifted=True), standing(19, name="other")], override=False)
    beside_a_spent_one = decide(HOLD, [structs.replace(firm, lifted=True), standing(20, name="other")], override=False)

    assert (everything.status, this_one.status) == ("override", "override")
    assert headers_of(beside_another)[""] == "warn"
    assert isinstance(beside_another, Allowed)
    assert beside_another.hold == replace(HOLD, override=True)
    assert isinstance(beside_a_spent_one, Refused)


@pytest.mark.parametrize(
    ("standings", "override", "reason"),
    [
        ([standing(1)], False, None),
        ([], False, None),
        ([standing(0, limit=0, strict=True)], False, None),
        ([standing(1, strict=True)], False, "uncounted"),
        ([standing(1), standing(1, name="s", strict=True)], False, "uncounted"),
        ([standing(1, strict=True)], True, None),
        ([standing(1, strict=True, **FIRM)], True, "uncounted"),
        ([standing(20, strict=True)], False, "spent"),
        ([standing(20)], False, "spent"),
    ],
)
def test_request_whose_cost_is_not_counted(standings: list[Standing], override: bool, reason: str | None) -> None:
    """
    Above a limit it is refused like any other. Below it a strict budget refuses it, because that is never crossed.
    """
    hold = replace(HOLD, ask_nusd=0, override=override)
    decision = decide_uncounted(decide(hold, standings, override=False))

    assert reason == (decision.reason if isinstance(decision, Refused) else None)
    if reason == "uncounted":
        assert isinstance(decision, Refused)
        assert decision.standing is not None
        assert decision.standing.limit.budget.strict
        assert (decision.permanent, decision.status) == (True, "exceeded")


def test_refusal_of_a_stranger_comes_first() -> None:
    """
    It comes before a limit that is reached, because the client can correct it at once.
    """
    stranger = Standing(limit_of(Budget("b", USD, scope="user", unknown="refuse"), "", NOW), Balance())
    decision = decide(HOLD, [standing(25, window=Window("month", 31)), stranger], override=False)

    assert isinstance(decision, Refused)
    assert (decision.reason, decision.status) == ("unidentified", None)


@pytest.mark.parametrize(
    ("scope", "who", "reason"), [("user", "", "unidentified"), ("user", "ann", None), ("all", "", None)]
)
def test_who_is_a_stranger(scope: str, who: str, reason: str | None) -> None:
    """
    A request without an identity is refused only by a budget that requires one. A budget that all share does not.
    """
    limit = limit_of(Budget("b", USD, scope=scope, unknown="refuse"), who, NOW)
    without_a_ledger = unaccounted([limit], override=False, fail="open")

    assert Standing(limit, Balance()).reason(0) == reason
    assert isinstance(without_a_ledger, Refused) == (reason is not None)


@pytest.mark.parametrize(
    "wrong",
    [
        {"keys": ()},
        {"keys": ("k", "k")},
        {"ask_nusd": -1},
        {"ask_nusd": 2**53},
        {"expires_at": datetime(2026, 11, 24)},
    ],
)
def test_hold_no_ledger_could_keep(wrong: dict[str, Any]) -> None:
    """
    A bug in the caller raises an error where it is made.
    """
    with pytest.raises(ValueError, match=r"hold|amount|time zone"):
        replace(HOLD, **wrong)


def test_limit_without_key() -> None:
    """
    A limit that is judged but never charged would have no effect.
    """
    with pytest.raises(ValueError, match="not counted under"):
        check_limits(HOLD, [standing(0).limit])


@pytest.mark.parametrize(
    ("spent", "held", "ask", "strict", "reason"),
    [
        (9, 0, 99, False, None),
        (10, 0, 1, False, "spent"),
        (9, 1, 1, False, "held"),
        (10, 1, 1, False, "spent"),
        (9, 0, 1, True, None),
        (9, 0, 2, True, "ask"),
        (9, 1, 1, True, "held"),
        (9, 1, 2, True, "ask"),
        (8, 1, 2, True, "held"),
    ],
)
def test_rule_to_the_nano_dollar(spent: int, held: int, ask: int, strict: bool, reason: str | None) -> None:
    """
    The budget is ten nano-dollars: a request that fits exactly starts.
    """
    one = Standing(limit_of(Budget("b", 10, strict=strict), "", NOW), Balance(spent, 0, held))

    assert one.reason(ask) == reason
    assert one.left_nusd == max(0, 10 - spent - held)


def test_later_standings() -> None:
    """
    The same limits with other balances: the status is that of the one with the fewest dollars left then, and an override
    stays one.
    """
    small, large = standing(1, limit=10, name="small"), standing(10, limit=100, name="large")
    allowed = decide(HOLD, (small, large), override=False)
    assert isinstance(allowed, Allowed)
    moved = {"small": Balance(2 * USD), "large": Balance(93 * USD)}
    after = allowed.after([moved[one.limit.budget.name] for one in allowed.standings])
    assert after.standing is not None

    assert (after.status, after.standing.limit.budget.name) == ("warn", "large")
    let_through = replace(allowed, status="override")
    assert let_through.after([Balance(99 * USD)] * 2).status == "override"
    assert Allowed(None, "unknown").after([]).status == "unknown"


@pytest.mark.parametrize("nusd", [0, 1, MOST_NUSD])
def test_an_amount_is_one(nusd: int) -> None:
    """
    Amounts from 0 to the largest are valid.
    """
    assert check_nusd(nusd) == nusd


@pytest.mark.parametrize("nusd", [-1, MOST_NUSD + 1])
def test_what_is_no_amount(nusd: int) -> None:
    """
    One below and one above are not.
    """
    with pytest.raises(ValueError, match="no amount"):
        check_nusd(nusd)
