"""
A budget rehearsed: the guard's and the client's tables through it, and traces whose outcome was worked out by hand.
"""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from savemode_cli.core.admission import Allowed, Refused
from savemode_cli.core.budget import Budget, Window
from savemode_cli.core.rehearsal import (
    COLUMNS,
    RULES,
    Crowd,
    Rehearsal,
    Request,
    Rule,
    boundaries,
    nearly_sorted,
    read_request,
    telling_spends,
    trial,
)
from savemode_cli.core.tiers import advise, guard, parse_usd

USD = 10**9
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
CAP = Budget("default", 20 * USD)
FIRST = datetime(2026, 11, 1, tzinfo=UTC)


def nusd(text: str) -> int:
    """
    An amount as written.
    """
    found = parse_usd(text)
    assert found is not None
    return found


def at(day: int, usd: str, *, minutes: int = 0, hour: int = 0) -> Request:
    """
    A request on a day of November.
    """
    moment = FIRST + timedelta(days=day - 1, hours=hour)
    return Request(moment, nusd(usd), timedelta(minutes=minutes))


def test_boundaries() -> None:
    """
    Of $20: 70 % is $14, 85 % is $17 on both scales, and the cap.
    """
    assert [(one.scale, one.name, one.from_nusd) for one in boundaries(CAP)] == [
        ("client", "warn", 14 * USD),
        ("guard", "warn", 17 * USD),
        ("client", "engage", 17 * USD),
        ("guard", "exceeded", 20 * USD),
        ("client", "blocked", 20 * USD),
    ]
    assert boundaries(Budget("b", 0)) == ()


@given(st.integers(1, 10**13), st.decimals("0.0001", "1", places=4), st.decimals("0.0001", "1", places=4))
def test_boundaries_are_where_the_tiers_begin(limit: int, one: Decimal, other: Decimal) -> None:
    """
    At each the scale has moved on, and a nano-dollar before it has not.
    """
    budget = Budget("b", limit, warn_at=min(one, other), engage_at=max(one, other))
    guards, clients = ["ok", "warn", "exceeded"], ["ok", "warn", "engage", "blocked"]
    for tier in boundaries(budget):
        for spend, reached in ((tier.from_nusd, True), (tier.from_nusd - 1, False)):
            if tier.scale == "guard":
                rank = guards.index(str(guard(limit, spend).status)) >= guards.index(tier.name)
            else:
                state = advise(limit, spend, budget.warn_at, budget.engage_at).state
                rank = clients.index(state) >= clients.index(tier.name)
            assert rank == reached


def test_telling_spends() -> None:
    """
    Nothing, each boundary and the nano-dollar before it, a quarter beyond the cap.
    """
    assert telling_spends(CAP) == (
        0,
        14 * USD - 1,
        14 * USD,
        17 * USD - 1,
        17 * USD,
        20 * USD - 1,
        20 * USD,
        25 * USD,
    )
    assert telling_spends(Budget("b", 0)) == (0,)


@pytest.mark.parametrize(
    ("budget", "spend", "override", "allow", "status", "remaining"),
    [
        ("20", "25", True, True, "override", None),
        ("0", "99", False, True, None, None),
        ("20", None, False, True, "unknown", None),
        ("20", "25", False, False, "exceeded", "0"),
        ("20", "12", False, True, "ok", "8"),
        ("20", "18", False, True, "warn", "2"),
        ("20", "20", False, False, "exceeded", "0"),
        ("20", "17", False, True, "warn", "3"),
        ("20", "16.99", False, True, "ok", "3.01"),
        ("-5", "1", False, True, None, None),
        ("20", "-5", False, True, "ok", "25"),
        ("5.40", "4.59", False, True, "warn", "0.81"),
    ],
)
def test_guard(
    budget: str, spend: str | None, override: bool, allow: bool, status: str | None, remaining: str | None
) -> None:
    """
    The guard's table.
    """
    one = trial(Budget("b", nusd(budget)), None if spend is None else nusd(spend), NOW, override=override)

    assert (one.allowed, one.status) == (allow, status)
    assert one.remaining_nusd == (None if remaining is None else nusd(remaining))


@pytest.mark.parametrize(
    ("spend", "mode", "model", "effort"),
    [
        ("5", "off", "claude-opus-4-8", "max"),
        ("15", "balanced", "claude-opus-4-8", "high"),
        ("17.5", "max_save", "claude-sonnet-4-6", "medium"),
        ("22", "max_save", "claude-sonnet-4-6", "medium"),
    ],
)
def test_advice(spend: str, mode: str, model: str, effort: str) -> None:
    """
    The client's table, and what its mode runs.
    """
    one = trial(CAP, nusd(spend), NOW)
    resolved = one.resolved("claude-opus-4-8", "max")

    assert one.advice is not None
    assert resolved is not None
    assert (one.advice.recommended_mode, resolved.model, resolved.effort) == (mode, model, effort)


def test_unknown_spend() -> None:
    """
    Nobody can advise on it, and `fail` decides.
    """
    one = trial(CAP, None, NOW, fail="closed")

    assert (one.allowed, one.status, one.advice, one.resolved("m", None)) == (False, "unknown", None, None)


@pytest.mark.parametrize(
    ("held", "ask", "strict", "reason"),
    [(3, 0, False, "held"), (1, 2, True, "held"), (0, 3, True, "ask"), (1, 1, True, None), (0, 9, False, None)],
)
def test_held_and_asked(held: int, ask: int, strict: bool, reason: str | None) -> None:
    """
    $18 of $20 spent: what others hold and, if strict, what the request may cost stand in the way.
    """
    budget = Budget("b", 20 * USD, strict=strict)
    decision = trial(budget, 18 * USD, NOW, held_nusd=held * USD, ask_nusd=ask * USD).decision

    assert reason == (decision.reason if isinstance(decision, Refused) else None)


def test_read_request() -> None:
    """
    Text or number, rounded up to the nano-dollar; any time zone; other keys are left alone.
    """
    read = read_request(
        '{"at": "2026-11-24T14:00:00+02:00", "cost_usd": 0.1234567891, "duration_s": 1.5, "model": "m"}'
    )

    assert read == Request(NOW, 123_456_790, timedelta(seconds=1.5))
    assert read_request('{"at": "2026-11-24T12:00:00Z", "cost_usd": "0.12"}') == Request(NOW, 120_000_000)
    assert read_request('{"at": "2026-11-24T12:00:00Z", "cost_usd": 3}').cost_nusd == 3 * USD


def line(**more: str) -> str:
    """
    A line of a trace, with some values as they stand.
    """
    values = {"at": '"2026-11-24T12:00:00Z"', "cost_usd": '"1"'} | more
    return "{" + ", ".join(f'"{name}": {value}' for name, value in values.items()) + "}"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("oops", "not JSON: expecting value"),
        ("[" * 100_000, "nested too deeply"),
        ("[1]", "not a JSON object"),
        (line(cost_usd="1e9999999999999999999999"), "not JSON: a number without end"),
        ('{"cost_usd": 1}', "at is missing"),
        (line(at="7"), "at is no text"),
        (line(at='"noon"'), "at is no time like"),
        (line(at='"2026-11-24T12:00:00"'), "at has no time zone"),
        (line(at='"0001-01-01T00:00:00+14:00"'), "at is not between 1970 and 2199"),
        ('{"at": "2026-11-24T12:00:00Z"}', "cost_usd is missing"),
        (line(cost_usd='"-0.01"'), "cost_usd is negative or too large"),
        (line(cost_usd="1e30"), "cost_usd is negative or too large"),
        (line(cost_usd="1e999"), "cost_usd is no number"),
        (line(cost_usd="true"), "cost_usd is no number"),
        (line(cost_usd="NaN"), "cost_usd is no number"),
        (line(cost_usd='"NaN"'), "cost_usd is no number"),
        (line(cost_usd='"ten"'), "cost_usd is no number"),
        (line(cost_usd="9" * 5000), "cost_usd is no number"),
        (line(duration_s="-1"), "duration_s is negative or longer than a month"),
        (line(duration_s='"x"'), "duration_s is no number"),
    ],
)
def test_bad_line(text: str, words: str) -> None:
    """
    Each says what was found.
    """
    with pytest.raises(ValueError, match=words):
        read_request(text)


def test_nearly_sorted() -> None:
    """
    What is a few places late is put right; what is later than that stays late.
    """
    days = [at(day, "1") for day in (2, 1, 4, 3, 9, 5)]

    assert [one.at.day for one in nearly_sorted(days, reach=2)] == [1, 2, 3, 4, 5, 9]
    assert [one.at.day for one in nearly_sorted([at(day, "1") for day in (5, 6, 1)], reach=1)] == [5, 1, 6]


def test_a_month() -> None:
    """
    $6 a day against $20: $6, $12, $18 and $24 run, the fourth crosses the line, then three are refused.
    """
    run = Rehearsal(CAP)
    decisions = [run.feed(at(day, "6")) for day in range(1, 8)]
    (window,) = run.windows

    assert [isinstance(one, Allowed) for one in decisions] == [True] * 4 + [False] * 3
    assert (window.offered.count, window.offered.nusd) == (7, 42 * USD)
    assert (window.ran.count, window.ran.nusd, window.over_nusd) == (4, 24 * USD, 4 * USD)
    assert (window.refused_in_all.count, window.refused_in_all.nusd) == (3, 18 * USD)
    assert set(window.refused) == {"spent"}
    assert window.first_refused_at == FIRST + timedelta(days=4)
    assert {name: moment.day for name, moment in window.began.items()} == {
        ("client", "warn"): 3,
        ("guard", "warn"): 3,
        ("client", "engage"): 3,
        ("guard", "exceeded"): 4,
        ("client", "blocked"): 4,
    }


def test_strict_month() -> None:
    """
    Strict: $6 three times; the fourth would cross and is refused, a smaller one still fits.
    """
    run = Rehearsal(Budget("b", 20 * USD, strict=True))
    for day, usd in ((1, "6"), (2, "6"), (3, "6"), (4, "6"), (5, "2"), (6, "0.01")):
        run.feed(at(day, usd))
    (window,) = run.windows

    assert (window.ran.nusd, window.over_nusd) == (20 * USD, 0)
    assert {reason: tally.count for reason, tally in window.refused.items()} == {"ask": 1, "spent": 1}


def test_held_by_others() -> None:
    """
    A request under way holds what it costs: one that comes meanwhile is refused for the moment, not for good.
    """
    run = Rehearsal(CAP)
    run.feed(at(1, "15", minutes=60))
    run.feed(at(1, "15", minutes=60))
    during = run.feed(at(1, "1", hour=0))
    after = run.feed(at(1, "1", hour=1))

    assert isinstance(during, Refused)
    assert isinstance(after, Refused)
    assert (during.reason, after.reason) == ("held", "spent")


def test_override() -> None:
    """
    With the override nothing is refused, and all is counted.
    """
    run = Rehearsal(CAP, override=True)
    for day in range(1, 8):
        run.feed(at(day, "6"))

    assert (run.windows[0].ran.nusd, run.windows[0].refused) == (42 * USD, {})


def test_windows() -> None:
    """
    A new window begins with nothing spent; a request is charged to the one it started in.
    """
    run = Rehearsal(Budget("b", 20 * USD, Window("week")))
    for day in (1, 2, 9):
        run.feed(at(day, "15"))

    assert [(one.starts_at.date().isoformat(), one.ran.nusd) for one in run.windows] == [
        ("2026-10-26", 15 * USD),
        ("2026-11-02", 15 * USD),
        ("2026-11-09", 15 * USD),
    ]


def test_late() -> None:
    """
    A request that comes too late is taken as if it came now, and counted.
    """
    run = Rehearsal(CAP)
    run.feed(at(9, "1"))
    run.feed(at(1, "1"))

    assert (run.late, run.windows[0].ran.count) == (1, 2)


def test_curve() -> None:
    """
    Half a day is one step of November's sixty; it ends with the last request.
    """
    run = Rehearsal(CAP)
    for request in (at(1, "6", hour=13), at(3, "6"), at(3, "10"), at(4, "6"), at(30, "1", hour=23)):
        run.feed(request)
    (window,) = run.windows

    assert window.curve_nusd[:7] == [0, 6 * USD, 6 * USD, 6 * USD, 22 * USD, 22 * USD, 22 * USD]
    assert (len(window.curve_nusd), window.curve_nusd[-1]) == (COLUMNS, 22 * USD)
    assert window.offered_curve_nusd[6:8] == [28 * USD, 28 * USD]


def crowd(rule: Rule, size: int, costs: list[str]) -> tuple[int, int]:
    """
    By how much the cap is crossed, and how many are refused for good.
    """
    run = Crowd(CAP, size, rule)
    for number, usd in enumerate(costs):
        run.feed(at(1 + number % 28 // 2, usd))
    run.finish()
    return run.windows[0].over_nusd, run.windows[0].refused.count


@pytest.mark.parametrize(
    ("rule", "over", "refused"),
    [
        # Rounds of four at $6: all see nothing spent, and $24 are gone; the second round sees it.
        ("no_hold", 4 * USD, 4),
        # The fourth starts with $18 held, and crosses; nobody else.
        ("default", 4 * USD, 4),
        # Three fit; the rest is too big for the $2 that are left.
        ("strict", 0, 5),
    ],
)
def test_crowd_of_four(rule: Rule, over: int, refused: int) -> None:
    """
    Eight requests of $6 by four at once.
    """
    assert crowd(rule, 4, ["6"] * 8) == (over, refused)


@pytest.mark.parametrize(("rule", "over", "refused"), [("no_hold", 28, 0), ("default", 4, 4), ("strict", 0, 5)])
def test_crowd_of_eight(rule: Rule, over: int, refused: int) -> None:
    """
    The same by eight at once: without holds all of them see nothing spent, $48 against $20.
    """
    assert crowd(rule, 8, ["6"] * 8) == (over * USD, refused)


@given(st.lists(st.integers(1, 800), max_size=60), st.integers(1, 9))
def test_crowds(cents: list[int], size: int) -> None:
    """
    One request may cross by default, none if strict; nobody is forgotten, and no holds is never the tightest.
    """
    costs = [f"{one / 100:.2f}" for one in cents]
    runs = {rule: Crowd(CAP, size, rule) for rule in RULES}
    for run in runs.values():
        for usd in costs:
            run.feed(at(1, usd))
        run.finish()
        assert sum(one.ran.count + one.refused.count for one in run.windows) == len(costs)
    over = {rule: sum(one.over_nusd for one in run.windows) for rule, run in runs.items()}

    assert over["strict"] == 0
    assert over["default"] < max(map(nusd, costs), default=1)
    assert size > 1 or over["default"] == over["no_hold"]


def test_crowd_starts_anew() -> None:
    """
    What waits at the end of a window still runs in it, and the next begins with nothing.
    """
    run = Crowd(CAP, 4, "default")
    run.feed(at(30, "15"))
    run.feed(at(31, "15"))
    run.finish()

    assert [one.ran.nusd for one in run.windows] == [15 * USD, 15 * USD]
