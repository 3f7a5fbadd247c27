"""
The judgement as numbers.
"""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from savemode_cli.core.budget.admission import Allowed, Balance, Hold, Standing, decide
from savemode_cli.core.budget.budget import Budget, Limit, limit_of
from savemode_cli.core.budget.thresholds import thresholds

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)

BUDGETS = st.builds(
    lambda number, nusd, strict, action, unknown, scope, allow_override: Budget(
        f"b{number}",
        nusd,
        strict=strict and action == "refuse",
        action=action,
        unknown=unknown,
        scope=scope,
        allow_override=allow_override,
    ),
    st.integers(0, 2),
    st.integers(-1, 6),
    st.booleans(),
    st.sampled_from(["refuse", "warn"]),
    st.sampled_from(["share", "refuse"]),
    st.sampled_from(["all", "user"]),
    st.booleans(),
)
LIMITS = st.builds(lambda budget, who: limit_of(budget, who, NOW), BUDGETS, st.sampled_from(["", "ann"]))
CASES = st.lists(st.tuples(LIMITS, st.booleans(), st.integers(0, 7)), max_size=3, unique_by=lambda case: case[0].key)


@given(cases=CASES, ask=st.integers(0, 7), own=st.booleans(), override=st.sampled_from([False, False, True]))
def test_thresholds_are_the_judgement(
    cases: list[tuple[Limit, bool, int]], ask: int, own: bool, override: bool
) -> None:
    """
    Whatever is used, a request starts exactly if it is at most the threshold under each limit, and its hold is the same.
    """
    limits, lifted = [case[0] for case in cases], [case[1] for case in cases]
    hold = Hold("h", ("other", *(limit.key for limit in limits)), ask, NOW, override=own)

    kept, found = thresholds(hold, limits, lifted, override=override)

    decision = decide(hold, [Standing(limit, Balance(used), skip) for limit, skip, used in cases], override=override)
    fits = all(most is None or used <= most for most, (_, _, used) in zip(found, cases, strict=True))
    assert isinstance(decision, Allowed) == fits
    if isinstance(decision, Allowed):
        assert decision.hold == kept
