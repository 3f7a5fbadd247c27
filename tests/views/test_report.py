"""
A report on 80 columns, as JSON and as CSV.
"""

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from savemode_cli.core.exchange.totals import DIMENSIONS, BilledRequest, Breakdown, By, MissedRead, Totals
from savemode_cli.core.wire.usage import Tokens
from savemode_cli.views.console import PrintableConsole
from savemode_cli.views.report import Report, short_count, show, to_csv, to_json
from tests.support.command import lines
from tests.support.planted import NAME

MONDAY = datetime(2026, 11, 23, tzinfo=UTC)
DOLLAR = 10**9


def requests(days: int = 7, **more: Any) -> list[BilledRequest]:
    """
    One request a day.
    """
    common: dict[str, Any] = {
        "model": "claude-opus-5-5",
        "project": "/home/me/src/work",
        "session": "5e231473-1e70",
        "agent": "",
    }
    return [
        BilledRequest(
            at=MONDAY + timedelta(days=day, hours=9),
            cost_nusd=(day + 1) * DOLLAR,
            tokens=Tokens(10, 200, 0, 790, 5),
            missed=(MissedRead("expired", 40_000, DOLLAR // 2),) if day == 3 else (),
            **common | more,
        )
        for day in range(days)
    ]


def a_report(many: list[BilledRequest], by: By | None = None, **more: Any) -> Report:
    """
    A report on some requests.
    """
    breakdown = Breakdown(DIMENSIONS if by is None else (by,))
    for request in many:
        breakdown.add(request)
    known = {"since": MONDAY, "until": None, "zone": UTC, "zone_name": "UTC"}
    return Report(breakdown=breakdown, by=by, **known | more)


def printed(report: Report) -> list[str]:
    """
    Its lines.
    """
    out = io.StringIO()
    show(report, PrintableConsole(file=out, width=80))
    return lines(out.getvalue())


def test_one_screen() -> None:
    """
    A week is at most 30 lines: sums, days, projects, models, sessions, and the most expensive miss last.
    """
    before = Totals()
    before.add(BilledRequest(at=MONDAY, cost_nusd=14 * DOLLAR))
    shown = printed(a_report(requests(), before=before, sources={"Claude Code transcripts": 2}))

    assert len(shown) <= 30
    assert shown[:2] == [
        "spend from Mon 2026-11-23 00:00 to Sun 2026-11-29 09:00 (UTC)",
        "from Claude Code transcripts (2 files)",
    ]
    assert shown[3] == "spent            $28.0000  100 % more than in the same time before ($14.0000)"
    assert "missed reads      $0.5000  expired $0.5000" in shown
    assert any(line.startswith("Thu 2026-11-26") and line.split()[-2] == "$0.5000" for line in shown)
    assert any("/home/me/src/work" in line and "$28.0000" in line for line in shown)
    assert any(
        line.startswith("most expensive miss: $0.5000 on Thu 2026-11-26 09:00, 40,000 tokens, expired")
        for line in shown
    )


@pytest.mark.parametrize(("days", "period"), [(14, "day"), (15, "week"), (98, "week"), (106, "month"), (900, "month")])
def test_a_long_time_is_shown_by_week_or_month(days: int, period: str) -> None:
    """
    So that the overview stays one screen.
    """
    shown = printed(a_report(requests(days)))

    heads = [line.split()[0] for line in shown if line.endswith(("missed", "missed "))]
    assert heads[0] == period


def test_nothing_in_that_time() -> None:
    """
    It says when the last request was, and how to see it.
    """
    shown = printed(a_report([], last_at=MONDAY))

    assert shown[-1] == "no billed request in that time; the last is of 2026-11-23: --since 2026-11-23"
    assert printed(a_report([]))[-1] == "no billed request is recorded there"


def test_a_few_of_many() -> None:
    """
    The most expensive ones are listed, and how much the others cost.
    """
    many = [one for number in range(40) for one in requests(1, session=f"session-{number}")]

    assert any(line == "and 37 more: $37.0000 (add --by session)" for line in printed(a_report(many)))
    assert any(
        line == "and 10 more: $10.0000 (--csv and --json list all)" for line in printed(a_report(many, "session"))
    )


def test_what_is_not_exact_is_said() -> None:
    """
    A line for each kind.
    """
    odd = BilledRequest(at=MONDAY, cost_nusd=5, model="x", is_priced=False, is_partial=True, beside=Tokens(output=80))
    unlisted = BilledRequest(at=MONDAY, cost_nusd=3 * DOLLAR, requests=0)
    report = a_report([odd, unlisted], copies=1, unusable=2, malformed=3, problems=["a.jsonl:1: not JSON"])

    assert printed(report)[-8:] == [
        "80 tokens of compactions and advisors are in the dollars, not in the tokens",
        "$3.0000 is the client's own count for calls without a recorded answer",
        "unpriced: 1 request of x, counted at the highest known price (--price-file)",
        "the record of 1 answer ends early: their output tokens are too few",
        "left out: 1 copy of the same request",
        "left out: 2 requests without a time or a usage",
        "could not be read: 3 records",
        "  a.jsonl:1: not JSON",
    ]


def test_json_and_csv_agree() -> None:
    """
    The rows of both are those of the breakdown, amounts exact.
    """
    report = a_report(requests(), "day")
    rows = list(csv.DictReader(io.StringIO(to_csv(report, "day"))))
    groups = to_json(report)["groups"]["day"]

    assert [row["day"] for row in rows] == [group["day"] for group in groups]
    for name in ("cost_usd", "missed_usd", "requests", "cache_read_tokens"):
        assert [row[name] for row in rows] == [str(group[name]) for group in groups]
    assert to_json(report)["schema_version"] == 1
    assert to_json(report)["dearest_miss"]["cost_usd"] == "0.500000000"


@given(st.text(max_size=30))
def test_names_are_text(name: str) -> None:
    """
    Whatever a file names: a row of the table, one cell that no spreadsheet takes for a formula.
    """
    report = a_report(requests(1, model=name), "model")
    (row,) = csv.DictReader(io.StringIO(to_csv(report, "model")))

    assert row["model"][:1] not in ("=", "+", "-", "@")
    assert len([line for line in printed(report) if line.endswith("-")]) >= 1


def test_hostile_names() -> None:
    """
    Are shown, and steer nothing.
    """
    shown = "\n".join(printed(a_report(requests(4, model=NAME, project=NAME, session=NAME, agent=NAME))))

    assert "\x1b" not in shown


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0"), (999, "999"), (1000, "1.0k"), (12_345, "12.3k"), (123_456, "123k"), (10**6, "1.0M"), (10**9, "1.0G")],
)
def test_short_counts(count: int, text: str) -> None:
    """
    Rounded down.
    """
    assert short_count(count) == text
