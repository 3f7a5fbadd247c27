"""
The rows of `savemode top`, from answers of a proxy.
"""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from savemode_cli.views.top import snapshot as shown
from savemode_cli.views.top.snapshot import SORTS, Snapshot
from tests.views.top.answers import URL, budget, exchange, session, snapshot


@pytest.fixture(autouse=True)
def _utc() -> Iterator[None]:
    """
    Clocks in UTC, whatever the zone of this machine.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


def test_heading_and_totals() -> None:
    """
    Which proxy it is, and its sums, each in a line of 80 columns.
    """
    assert shown.heading(snapshot()) == f"savemode  {URL}  since 2026-11-29 08:00  2 running"
    assert shown.totals(snapshot()) == ("spent $1.7000   1,234 requests   read 90.0 %   missed $0.4400   saved $0.0500")
    assert "3 refused" in shown.totals(snapshot(counts={"over_budget": 3}))


def test_proxy_that_does_not_answer() -> None:
    """
    The heading says so, and every table is empty.
    """
    gone = Snapshot(URL)

    assert shown.heading(gone).endswith("does not answer")
    assert (shown.totals(gone), shown.budgets(gone, 4), max(shown.spend_per_hour(gone))) == ("", [], 0)
    tables = (shown.sessions, shown.agents, shown.requests, shown.misses, shown.receipts)
    assert not any(table(gone).rows for table in tables)


@pytest.mark.parametrize(
    ("found", "lines"),
    [
        (None, [("The ledger does not answer.", "unknown")]),
        ([], [("No budget is set: savemode budget set 20", "")]),
        ([budget("default")], [("default          ███░░░░░░░  34 %   $3.3000 left of $5.0000", "ok")]),
        (
            [budget("team", used=1200, left=-1_000_000_000, status="exceeded")],
            [("team             ██████████ 120 %   $0.0000 left of $5.0000", "exceeded")],
        ),
        ([budget("free", left=None)], [("free             $1.7000 spent, no limit", "ok")]),
    ],
)
def test_budgets(found: Any, lines: list[tuple[str, str]]) -> None:
    """
    A bar, what is left, and the limit; a share above 100 % fills the bar and no more.
    """
    assert shown.budgets(snapshot(budgets=found), 4) == lines


def test_the_budget_with_the_fewest_dollars_left_is_first() -> None:
    """
    And what there is no room for is counted.
    """
    found = [budget("none", left=None), *(budget(f"b{left}", left=left * 10**9) for left in (3, 1, 2, 4))]

    lines = [line for line, _ in shown.budgets(snapshot(budgets=found), 3)]

    assert [line.split()[0] for line in lines] == ["b1", "b2", "b3"]
    assert lines[-1].endswith("and 2 more")


def test_spend_per_hour() -> None:
    """
    In dollars, the newest hour last, and nothing where nothing was spent.
    """
    hours = shown.spend_per_hour(snapshot())

    assert (len(hours), hours[-3:]) == (48, [0.0, 1.5, 0.2])


def test_sessions() -> None:
    """
    A row each, the most recent first.
    """
    table = shown.sessions(snapshot())

    assert table.rows == [
        ("11111111", "opus-5-5", "1", "90.0 %", "$1.0000", "$0.0000", "1h to 10:15", "09:15"),
        ("99999999", "haiku-4-5", "1", "90.0 %", "$0.7000", "$0.0000", "1h to 10:15", "09:10"),
    ]
    assert [len(table.heads)] == [len(table.rows[0])]


@pytest.mark.parametrize("sort", SORTS)
def test_sessions_are_sorted(sort: str) -> None:
    """
    By each column that can sort, the largest first.
    """
    less = session("less", 1, requests=1, missed_nusd=1, last_at="2026-11-29T09:00:00+00:00")
    more = session("more", 2, requests=2, missed_nusd=2, last_at="2026-11-29T09:00:01+00:00")

    assert [row[0] for row in shown.sessions(snapshot(sessions=[less, more]), sort).rows] == ["more", "less"]


def test_only_rows_with_the_words() -> None:
    """
    Of the session, the model, the sub-agent or the cause.
    """
    given = snapshot(exchanges=[exchange(), exchange("claude-haiku-4-5")])

    assert [row[0] for row in shown.sessions(given, words="haiku").rows] == ["99999999"]
    assert [row[0] for row in shown.sessions(given, words="1111").rows] == ["11111111"]
    assert [row[0] for row in shown.agents(given, words="a1").rows] == ["a1"]
    assert [row[1] for row in shown.requests(given, words="haiku").rows] == ["haiku-4-5"]
    assert [row[0] for row in shown.misses(given, words="system").rows] == ["system changed"]
    assert len(shown.receipts(given, words="opus").rows) == 1


def test_requests_misses_and_receipts() -> None:
    """
    Each request with its cost and the cause of its misses, the causes with their cost, and what each upgrade saved.
    """
    refused = exchange(
        status=429, outcome="refused", usage=None, cost_nusd=None, verdict=None, receipt=None, upgraded=0
    )
    given = snapshot(exchanges=[exchange(), refused])

    assert shown.requests(given).rows == [
        ("09:15:32", "opus-5-5", "429 refused", "1.2", "-", "-", "-", ""),
        ("09:15:32", "opus-5-5", "200", "1.2", "2.0k", "24", "$0.0145", "system changed"),
    ]
    assert shown.misses(given).rows == [
        ("system changed", "1", "1.2k", "$0.4300"),
        ("expired", "1", "1.2k", "$0.0100"),
    ]
    assert shown.receipts(given).rows == [
        ("09:15:32", "opus-5-5", "1h", "yes", "$0.0145", "$0.2075", "-$0.1930"),
    ]


def test_text_of_others_is_printable() -> None:
    """
    A model or a session with control characters steers no terminal.
    """
    hostile = "\x1b[2J\u202emodel"
    given = snapshot(sessions=[session(hostile, 1, model=hostile)], exchanges=[exchange(hostile)])

    cells = [cell for table in (shown.sessions(given), shown.requests(given)) for row in table.rows for cell in row]

    assert all(cell.isprintable() for cell in cells)


def test_what_is_expected_of_a_budget() -> None:
    """
    The day on which it is reached; otherwise what is spent at its reset.
    """
    never = {"reached": {"expected": None}, "at_reset": {"expected_nusd": 4_321_000_000}}
    soon = {"reached": {"expected": "2026-11-27T12:00:00+00:00"}, "at_reset": None}
    rolling = {"reached": {"expected": None}, "at_reset": None}
    found = [{**budget("x"), "forecast": forecast} for forecast in (never, soon, rolling, None)]
    lines = [line for line, _ in shown.budgets(snapshot(budgets=found), 4)]

    assert [line.partition("left of $5.0000")[2] for line in lines] == [
        "  $4.32 at reset",
        "  reached Fri 27 Nov",
        "",
        "",
    ]
    assert max(map(len, lines)) <= 80


def test_a_request_of_savemode_is_marked() -> None:
    """
    It is not one of a client.
    """
    rows = shown.requests(snapshot(exchanges=[exchange(keep_warm=True), exchange()])).rows
    assert [row[2] for row in rows] == ["200", "200 keep-warm"]
