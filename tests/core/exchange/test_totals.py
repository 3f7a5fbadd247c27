"""
Sums over billed requests. No grouping loses a request.
"""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from savemode_cli.core.exchange.totals import (
    DIMENSIONS,
    BilledRequest,
    Breakdown,
    By,
    MissedRead,
    Totals,
    period_of,
    tokens_json,
)
from savemode_cli.core.wire.usage import Tokens

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)  # a Tuesday

counts = st.integers(0, 10**7)
tokens = st.builds(Tokens, counts, counts, counts, counts, counts)
names = st.sampled_from([None, "", "a", "b"])
requests = st.builds(
    BilledRequest,
    at=st.integers(0, 60 * 24 * 90).map(lambda minutes: NOON + timedelta(minutes=minutes)),
    cost_nusd=st.integers(0, 10**12),
    requests=st.integers(0, 1),
    model=names,
    project=names,
    session=names,
    agent=names,
    tokens=tokens,
    beside=tokens,
    web_searches=st.integers(0, 3),
    is_priced=st.booleans(),
    is_partial=st.booleans(),
    missed=st.lists(st.builds(MissedRead, st.sampled_from(["expired", "unknown"]), counts, counts), max_size=2).map(
        tuple
    ),
    difference_nusd=st.none() | st.integers(-(10**9), 10**9),
)


def merged(parts: list[Totals]) -> dict[str, int]:
    """
    The sums of groups together.
    """
    names = ("requests", "cost_nusd", "unlisted_nusd", "web_searches", "difference_nusd", "receipts", "missed_nusd")
    sums = {name: sum(getattr(part, name) for part in parts) for name in names}
    for kind in ("tokens", "beside"):
        for part in parts:
            for name, count in tokens_json(getattr(part, kind)).items():
                sums[f"{kind}.{name}"] = sums.get(f"{kind}.{name}", 0) + count
    return sums


@given(st.lists(requests, min_size=1, max_size=30))
def test_groups_add_up_to_the_total(many: list[BilledRequest]) -> None:
    """
    By every dimension, all that counts in the total counts in one group.
    """
    breakdown = Breakdown(DIMENSIONS)
    for request in many:
        breakdown.add(request)

    for dimension in DIMENSIONS:
        assert merged([totals for _, totals in breakdown.sorted(dimension)]) == merged([breakdown.total])
    assert breakdown.total.cost_nusd == sum(request.cost_nusd for request in many)
    assert breakdown.total.tokens == sum((request.tokens for request in many), Tokens())


@pytest.mark.parametrize(
    ("at", "by", "zone", "key"),
    [
        (NOON, "day", "UTC", "2026-11-24"),
        (NOON, "week", "UTC", "2026-11-23"),
        (NOON, "month", "UTC", "2026-11"),
        (NOON.replace(hour=23, minute=59), "day", "UTC", "2026-11-24"),
        (NOON.replace(hour=23, minute=59), "day", "Europe/Berlin", "2026-11-25"),
        (datetime(2026, 11, 30, 3, tzinfo=UTC), "week", "UTC", "2026-11-30"),
        (datetime(2026, 11, 30, 3, tzinfo=UTC), "week", "America/New_York", "2026-11-23"),
        (datetime(2026, 12, 1, 3, tzinfo=UTC), "month", "America/New_York", "2026-11"),
        (datetime(2027, 1, 1, 3, tzinfo=UTC), "week", "UTC", "2026-12-28"),
    ],
)
def test_periods(at: datetime, by: By, zone: str, key: str) -> None:
    """
    Days, weeks and months begin at midnight in the time zone; a week is named by its Monday.
    """
    assert period_of(at, by, ZoneInfo(zone)) == key


def test_order() -> None:
    """
    Periods by time, names by cost; a name that is not recorded is a group of its own.
    """
    breakdown = Breakdown(("day", "model"))
    for hours, nusd, model in ((24, 1, "a"), (0, 5, "b"), (0, 9, None)):
        breakdown.add(BilledRequest(at=NOON + timedelta(hours=hours), cost_nusd=nusd, model=model))

    assert [key for key, _ in breakdown.sorted("day")] == ["2026-11-24", "2026-11-25"]
    assert [key for key, _ in breakdown.sorted("model")] == [None, "b", "a"]


def test_dearest_miss() -> None:
    """
    It is the miss that cost most, not the one with the most tokens.
    """
    breakdown = Breakdown(())
    for number, (count, nusd) in enumerate([(10, 5), (1, 50), (99, 7)]):
        missed = (MissedRead("expired", count, nusd),)
        breakdown.add(BilledRequest(at=NOON, cost_nusd=100, session=str(number), missed=missed))
    breakdown.add(BilledRequest(at=NOON, cost_nusd=100))

    assert breakdown.dearest_miss is not None
    assert breakdown.dearest_miss.session == "1"


def test_for_machines() -> None:
    """
    Units are in the keys, amounts are exact, a cost without an answer is in the cost and named.
    """
    totals = Totals()
    totals.add(BilledRequest(at=NOON, cost_nusd=1_500_000_001, tokens=Tokens(1, 2, 3, 4, 5), is_priced=False))
    totals.add(BilledRequest(at=NOON, cost_nusd=7, requests=0, missed=(MissedRead("expired", 9, 8),)))

    shown = totals.to_json()
    assert (shown["requests"], shown["cost_nusd"], shown["cost_usd"]) == (1, 1_500_000_008, "1.500000008")
    assert (shown["unlisted_nusd"], shown["unpriced_requests"]) == (7, 1)
    assert shown["cache_write_1h_tokens"] == 3
    assert shown["missed"] == {"expired": {"requests": 1, "tokens": 9, "cost_nusd": 8, "cost_usd": "0.000000008"}}
    assert totals.read_permille == 400
