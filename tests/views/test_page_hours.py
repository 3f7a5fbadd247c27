"""
Hours as shapes and as a table.
"""

import re
from datetime import UTC, datetime, timedelta

from savemode_cli.core.budget.charge import Settlement
from savemode_cli.core.exchange.running import RunningSummary
from savemode_cli.core.wire.usage import Tokens, Usage
from savemode_cli.views.page_hours import HOURS, charts
from tests.builders import a_verdict, an_exchange

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def test_charts_and_table_say_the_same() -> None:
    """
    Two hours with requests among 48: their bars, their dots and their rows.
    """
    running = RunningSummary(NOON)
    for hours, nusd in ((0, 10**9), (5, 4 * 10**9)):
        at = NOON + timedelta(hours=hours)
        running.add(
            an_exchange(
                started_at=at,
                usage=Usage(Tokens(100, 0, 0, 300, 7)),
                settlement=Settlement(nusd, "reported"),
                verdict=a_verdict("expired") if hours else None,
            ),
            at,
        )
    found = "".join(charts(running, NOON + timedelta(hours=6)))

    assert (found.count('class="bar"'), found.count('class="miss"'), found.count('class="dot"')) == (2, 1, 2)
    assert re.findall(r'data-hour="(\d+)" data-read="(\d+)"', found) == [
        (str(int((NOON + timedelta(hours=5)).timestamp())), "750"),
        (str(int(NOON.timestamp())), "750"),
    ]
    assert re.findall(r'data-nusd="(\d+)"', found) == ["4000000000", "10000000", "1000000000", "0"]
    assert found.count(f'data-hours="{HOURS}"') == 2


def test_before_the_first_request() -> None:
    """
    There are no shapes and no rows.
    """
    found = "".join(charts(RunningSummary(NOON), NOON))
    assert not [shape for shape in ('class="bar"', "data-hour=", "circle") if shape in found]
