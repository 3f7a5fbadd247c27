"""
Distributions of a fixed size.
"""

from hypothesis import given
from hypothesis import strategies as st

from savemode_cli.core.exchange.histogram import SECONDS, Histogram


@given(st.lists(st.floats(0, 1000)))
def test_it_counts_what_is_at_most_so_large(values: list[float]) -> None:
    """
    This is counted for each bound, and for all values.
    """
    histogram = Histogram()
    for value in values:
        histogram.add(value)

    assert histogram.cumulative == [*(sum(value <= bound for value in values) for bound in SECONDS), len(values)]
    assert histogram.sum == sum(values)
