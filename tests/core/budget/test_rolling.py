"""
Charges of a rolling window: what counts, and when enough has left.
"""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from savemode_cli.core.budget.rolling import RollingCharges, frees_at

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
MINUTES = st.integers(0, 200).map(lambda minutes: NOW + timedelta(minutes=minutes))


@given(charges=st.lists(st.tuples(MINUTES, st.integers(0, 50))), dropped=MINUTES, now=MINUTES)
def test_what_is_younger_than_the_window_counts(
    charges: list[tuple[datetime, int]], dropped: datetime, now: datetime
) -> None:
    """
    Whatever the order of the charges, and whether or not older ones were forgotten before.
    """
    rolling = RollingCharges(HOUR)
    for settled_at, nusd in charges:
        rolling.add(settled_at, nusd)
    rolling.drop_left(min(dropped, now))

    inside = sorted((settled_at + HOUR, nusd) for settled_at, nusd in charges if settled_at + HOUR > now)
    assert rolling.leaving(now) == inside
    assert rolling.settled_nusd(now) == sum(nusd for _, nusd in inside)


@given(amounts=st.lists(st.integers(0, 50), max_size=20), too_much=st.integers(0, 200))
def test_enough_has_left_at_the_first_moment_that_it_has(amounts: list[int], too_much: int) -> None:
    """
    The spend is below the limit from then on, and was not before.
    """
    leaving = [(NOW + timedelta(minutes=number), nusd) for number, nusd in enumerate(amounts)]

    moment = frees_at(leaving, too_much)

    enough = [at for at, _ in leaving if sum(nusd for left, nusd in leaving if left <= at) > too_much]
    assert moment == (enough[0] if enough else None)
