"""
Spend and cache reads per hour: bars and a line that a script may replace by charts, and a table with the numbers.

Rule of this file: the charts take their numbers from the table, so that both say the same.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from html import escape

from savemode_cli.core.exchange.running import RunningSummary
from savemode_cli.core.exchange.totals import Totals
from savemode_cli.core.money.amounts import dollars
from savemode_cli.views.money import percent
from savemode_cli.views.page_html import clock, money, section, table

HOURS = 48
"""How many hours are shown."""

_WIDTH, _HEIGHT = 960, 150

Hour = tuple[datetime, Totals]


def charts(running: RunningSummary, now: datetime) -> Iterator[str]:
    """
    The part of the page about hours.
    """
    last = now.replace(minute=0, second=0, microsecond=0)
    starts = [last - timedelta(hours=back) for back in reversed(range(HOURS))]
    hours = [(start, running.hours.get(start, Totals())) for start in starts]
    legend = '<span class="key bar"></span>spent <span class="key miss"></span>of it missed cache reads'
    yield from section("spend", "Spend per hour", _chart("spend", "Spend per hour", _bars(hours), hours), legend)
    yield from section("hits", "Read from the cache", _chart("hits", "Share read from the cache", _line(hours), hours))
    yield '<details id="by-hour"><summary>Numbers by hour</summary>'
    yield from table("hours", ("hour", "requests", "cost", "missed", "read"), map(_row, _used(hours)))
    yield "</details>"


def _used(hours: Sequence[Hour]) -> list[Hour]:
    return [hour for hour in reversed(hours) if hour[1].requests]


def _row(hour: Hour) -> Iterator[str]:
    start, sums = hour
    permille = "" if sums.read_permille is None else str(sums.read_permille)
    yield f'<span data-hour="{int(start.timestamp())}" data-read="{permille}">{clock(start, "%a %H:%M")}</span>'
    yield f"{sums.requests:,}"
    yield money(sums.cost_nusd)
    yield money(sums.missed_nusd)
    yield percent(sums.read_permille)


def _chart(name: str, label: str, shapes: Iterator[str], hours: Sequence[Hour]) -> Iterator[str]:
    first, last = (clock(hour, "%a %H:%M") for hour in (hours[0][0], hours[-1][0]))
    yield f'<div class="chart" id="chart-{name}" data-first="{int(hours[0][0].timestamp())}" data-hours="{HOURS}">'
    yield f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT + 24}" role="img" aria-label="{label}; the numbers are below">'
    yield from shapes
    yield f'<line x1="0" x2="{_WIDTH}" y1="{_HEIGHT}" y2="{_HEIGHT}"></line>'
    yield f'<text x="0" y="{_HEIGHT + 18}">{first}</text>'
    yield f'<text x="{_WIDTH}" y="{_HEIGHT + 18}" text-anchor="end">{last}</text></svg></div>'


def _bars(hours: Sequence[Hour]) -> Iterator[str]:
    """
    The spend of each hour as a bar, the part that was missed in another colour.
    """
    largest = max(1, *(sums.cost_nusd for _, sums in hours))
    pitch = _WIDTH / len(hours)
    for place, (hour, sums) in enumerate(hours):
        if sums.cost_nusd:
            title = f"{clock(hour, '%a %H:%M')}: {dollars(sums.cost_nusd)}, missed {dollars(sums.missed_nusd)}"
            yield f"<g><title>{escape(title)}</title>{_bar(place * pitch, pitch, sums.cost_nusd, largest, 'bar')}"
            missed = min(sums.missed_nusd, sums.cost_nusd)
            yield f"{_bar(place * pitch, pitch, missed, largest, 'miss') if missed else ''}</g>"


def _bar(x: float, pitch: float, nusd: int, largest: int, name: str) -> str:
    height = max(1.0, _HEIGHT * nusd / largest)
    return (
        f'<rect class="{name}" x="{x + pitch * 0.1:.1f}" y="{_HEIGHT - height:.1f}" '
        f'width="{pitch * 0.8:.1f}" height="{height:.1f}"></rect>'
    )


def _line(hours: Sequence[Hour]) -> Iterator[str]:
    """
    The share that was read in each hour, as dots.
    """
    pitch = _WIDTH / len(hours)
    for place, (hour, sums) in enumerate(hours):
        if sums.read_permille is not None:
            y = _HEIGHT - _HEIGHT * sums.read_permille / 1000
            title = escape(f"{clock(hour, '%a %H:%M')}: {percent(sums.read_permille)}")
            yield f'<circle class="dot" cx="{(place + 0.5) * pitch:.1f}" cy="{y:.1f}" r="4"><title>{title}</title></circle>'
