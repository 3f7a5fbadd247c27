"""
A replay as a picture to keep: what had been spent under each policy, and how long the pauses were. SVG, written by hand.

Rule of this file: it scales what it is given; where the grade is poor it draws the bill alone. The text is escaped.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from html import escape

from savemode_cli.core.money.amounts import usd
from savemode_cli.core.replay.policies import PolicyName
from savemode_cli.core.replay.report import Replay
from savemode_cli.core.replay.sessions import PAUSE_EDGES_S, SECONDS_PER_SLOT

_WIDTH, _HEIGHT = 860, 560
_LEFT, _RIGHT = 90, 700
_CURVE_TOP, _CURVE_BOTTOM = 70, 320
_BARS_TOP, _BARS_BOTTOM = 400, 500
_STEPS = 4
_LINES: tuple[tuple[PolicyName, str, str], ...] = (
    ("5m", "all 5m", "#d97706"),
    ("1h", "all 1h", "#2563eb"),
    ("recorded", "as recorded", "#111827"),
)
_GREY, _BLUE = "#9ca3af", "#2563eb"
_LABEL_GAP = 16


def svg(replay: Replay) -> str:
    """
    The picture as a standalone SVG file.
    """
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" '
        'font-family="system-ui, sans-serif" font-size="12" fill="#111827">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
        _text(_LEFT, 34, f"What the prompts of {replay.requests:,} requests cost", size=17, weight=600),
    ]
    if replay.curve_hours:
        parts += _curves(replay)
        parts += _bars(replay)
    return "\n".join([*parts, "</svg>", ""])


def _text(
    x: float, y: float, text: str, *, anchor: str = "start", fill: str = "", size: int = 0, weight: int = 0
) -> str:
    more = "".join(
        f' {name}="{value}"' for name, value in (("fill", fill), ("font-size", size), ("font-weight", weight)) if value
    )
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{escape(text)}</text>'


def _curves(replay: Replay) -> Iterator[str]:
    drawn = [line for line in _LINES if line[0] == "recorded" or not replay.grade.problem]
    top = max(1, *(max(replay.curves[name]) for name, _, _ in drawn))
    for step in range(_STEPS + 1):
        y = _CURVE_BOTTOM - (_CURVE_BOTTOM - _CURVE_TOP) * step / _STEPS
        yield f'<line x1="{_LEFT}" x2="{_RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#e5e7eb"/>'
        yield _text(_LEFT - 8, y + 4, f"${usd(top * step // _STEPS)}", anchor="end", fill="#6b7280")
    hours = replay.curve_hours
    for name, _, colour in drawn:
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in _points(hours, replay.curves[name], top))
        yield f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>'
    y = float("inf")
    for name, words, colour in sorted(drawn, key=lambda line: replay.curves[line[0]][-1]):
        last = replay.curves[name][-1]
        y = min(y - _LABEL_GAP, _CURVE_BOTTOM - (_CURVE_BOTTOM - _CURVE_TOP) * last / top + 4)
        yield _text(_RIGHT + 8, y, f"{words} ${usd(last)}", fill=colour, weight=600)
    yield _text(_LEFT, _CURVE_BOTTOM + 18, _day(hours[0]), fill="#6b7280")
    yield _text(_RIGHT, _CURVE_BOTTOM + 18, _day(hours[-1]), anchor="end", fill="#6b7280")


def _points(hours: Sequence[int], curve: Sequence[int], top: int) -> Iterator[tuple[float, float]]:
    width = max(1, hours[-1] - hours[0])
    height = _CURVE_BOTTOM - _CURVE_TOP
    before = 0
    for hour, nusd in zip(hours, curve, strict=True):
        x = _LEFT + (_RIGHT - _LEFT) * (hour - hours[0]) / width
        yield x, _CURVE_BOTTOM - height * before / top
        yield x, _CURVE_BOTTOM - height * nusd / top
        before = nusd
    yield _RIGHT, _CURVE_BOTTOM - height * before / top


def _bars(replay: Replay) -> Iterator[str]:
    """
    The pauses that only the longer TTL survives are blue.
    """
    yield _text(
        _LEFT, _BARS_TOP - 22, "Pauses before a request, in blue those that 1 hour survives and 5 minutes does not"
    )
    edges = (0, *PAUSE_EDGES_S)
    counts = replay.pauses[1:]
    largest = max(1, *counts)
    pitch = (_RIGHT - _LEFT) / len(counts)
    for place, count in enumerate(counts):
        low = edges[place + 1]
        height = (_BARS_BOTTOM - _BARS_TOP) * count / largest
        x = _LEFT + pitch * place
        colour = _BLUE if 300 <= low < 3600 else _GREY
        yield (
            f'<rect x="{x + 3:.1f}" y="{_BARS_BOTTOM - height:.1f}" width="{pitch - 6:.1f}" height="{height:.1f}" '
            f'fill="{colour}"/>'
        )
        middle = x + pitch / 2
        yield _text(middle, _BARS_BOTTOM - height - 5, f"{count:,}", anchor="middle", fill="#6b7280")
        yield _text(middle, _BARS_BOTTOM + 16, f"> {_length(low)}", anchor="middle", fill="#6b7280")


def _length(seconds: int) -> str:
    return f"{seconds // 60} min" if seconds < 3600 else f"{seconds // 3600} h"


def _day(slot: int) -> str:
    return f"{datetime.fromtimestamp(slot * SECONDS_PER_SLOT, UTC):%Y-%m-%d}"
