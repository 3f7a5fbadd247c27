"""
A trace of requests with which a budget is simulated: one JSON object per line.

Rule of this file: every error names the field and what was found.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, Context, Decimal, InvalidOperation
from heapq import heappop, heappush, heappushpop
from typing import Any, TypeVar

from savemode_cli.core.money.amounts import MOST_NUSD

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Request:
    """
    One request of a trace: when it started, what it cost, and how long it ran.
    """

    at: datetime
    cost_nusd: int
    duration: timedelta = timedelta()


_UP = Context(prec=100, rounding=ROUND_CEILING)
_LONGEST_NUMBER = 60
_NONE = Decimal("NaN")
_YEARS = range(1970, 2200)
_LONGEST_S = 31 * 86_400


def read_request(line: str) -> Request:
    """
    Read `{"at": "2026-11-23T12:00:00Z", "cost_usd": "0.12", "duration_s": 3}`. Other keys are ignored.

    The cost is rounded up to the nano-dollar, as a bill is.

    Raises:
        ValueError: it is not such an object. The message says what was found, for people.
    """
    try:
        read = json.loads(line, parse_float=Decimal, parse_int=Decimal)
    except RecursionError:
        raise ValueError("nested too deeply to be read") from None
    except (ValueError, InvalidOperation) as error:
        raise ValueError(f"not JSON: {getattr(error, 'msg', 'a number without end').lower()}") from None
    if not isinstance(read, dict):
        raise ValueError("not a JSON object")
    return Request(
        _moment(read.get("at")), _cost_nusd(read.get("cost_usd")), _duration(read.get("duration_s", Decimal()))
    )


def _moment(value: Any) -> datetime:
    if not isinstance(value, str):
        raise ValueError("at is missing" if value is None else "at is no text")
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError("at is no time like 2026-11-23T12:00:00Z") from None
    if moment.tzinfo is None:
        raise ValueError("at has no time zone, like the Z in 2026-11-23T12:00:00Z")
    if moment.year not in _YEARS:
        raise ValueError(f"at is not between {_YEARS[0]} and {_YEARS[-1]}")
    return moment.astimezone(UTC)


def _cost_nusd(value: Any) -> int:
    if value is None:
        raise ValueError("cost_usd is missing")
    nusd = _number(value, "cost_usd").scaleb(9, _UP).to_integral_value(ROUND_CEILING, _UP)
    if not 0 <= nusd <= MOST_NUSD:
        raise ValueError("cost_usd is negative or too large")
    return int(nusd)


def _duration(value: Any) -> timedelta:
    seconds = _number(value, "duration_s")
    if not 0 <= seconds <= _LONGEST_S:
        raise ValueError("duration_s is negative or longer than a month")
    return timedelta(seconds=float(seconds))


def _number(value: Any, name: str) -> Decimal:
    try:
        number = Decimal(value) if isinstance(value, str | Decimal) and len(str(value)) <= _LONGEST_NUMBER else _NONE
    except InvalidOperation:
        number = _NONE
    if not number.is_finite() or abs(number.adjusted()) > _LONGEST_NUMBER:
        raise ValueError(f"{name} is no number")
    return number


def nearly_sorted(items: Iterable[Item], time_of: Callable[[Item], datetime], reach: int = 1024) -> Iterator[Item]:
    """
    Sort items by time that are almost sorted.

    A log is written when a request ends, and names the time at which it started.

    Args:
        items: in the order of a log.
        time_of: the time by which they are sorted.
        reach: how many places an item may be late. This many items are held in memory.
    """
    waiting: list[tuple[datetime, int, Item]] = []
    for number, item in enumerate(items):
        entry = (time_of(item), number, item)
        if len(waiting) < reach:
            heappush(waiting, entry)
        else:
            yield heappushpop(waiting, entry)[2]
    while waiting:
        yield heappop(waiting)[2]
