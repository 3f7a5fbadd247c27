"""
Verdicts added up.
"""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from savemode_cli.core.diagnosis.causes import CAUSES, Cause, Miss, Verdict
from savemode_cli.core.diagnosis.report import Diagnosed, Report

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def a_request(minute: int, misses: tuple[Miss, ...], rest: int = 0) -> Diagnosed:
    """
    A request with some misses, and something too little to be one.
    """
    tokens = sum(miss.tokens for miss in misses) + rest
    at = NOON + timedelta(minutes=minute)
    return Diagnosed(f"call {minute}", "s", "m", at, Verdict(tokens + 5, 5, misses), 10)


MISSES = st.builds(Miss, st.sampled_from(CAUSES), st.integers(1, 10**6), cost_nusd=st.integers(0, 10**9))
REQUESTS = st.lists(st.tuples(st.lists(MISSES, max_size=2), st.integers(0, 1024)), max_size=20)


@given(REQUESTS)
def test_the_sums_are_those_of_the_requests(rows: list[tuple[list[Miss], int]]) -> None:
    """
    To the token and to the nano-dollar; the dearest come first.
    """
    report = Report()
    for minute, (misses, rest) in enumerate(rows):
        report.add(a_request(minute, tuple(misses), rest))
    by_cause = report.by_cause()
    costs = [request.verdict.cost_nusd for request in report.dearest()]

    assert sum(total.tokens for _, total in by_cause) + report.unexplained_tokens == report.missed_tokens
    assert sum(total.cost_nusd for _, total in by_cause) == report.missed_nusd == sum(costs)
    assert costs == sorted(costs, reverse=True)
    assert len(costs) == sum(bool(misses) for misses, _ in rows)
    assert (report.requests, report.cost_nusd) == (len(rows), 10 * len(rows))
    assert report.dearest(2) == report.dearest()[:2]


def test_one_request_with_two_causes() -> None:
    """
    Counts for both.
    """
    causes: tuple[Cause, Cause] = ("expired", "system_changed")
    report = Report()
    report.add(a_request(0, tuple(Miss(cause, 2000, cost_nusd=7) for cause in causes)))

    assert {cause: total.requests for cause, total in report.by_cause()} == dict.fromkeys(causes, 1)
    assert report.missed_nusd == 14
