"""
Budgets: how much, for how long, shared by whom, and where the spend of a request is counted.

Rule of this file: a key holds everything that keeps two spends apart, the window included. `now` is a parameter.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from functools import cache
from typing import Literal, assert_never
from zoneinfo import ZoneInfo

from savemode_cli.core.caller import Caller, Headers
from savemode_cli.core.errors import ConfigError
from savemode_cli.core.tiers import ENGAGE_AT, MOST_NUSD, WARN_AT, dollars

ALL = "all"
SCOPES = (ALL, "product", "user", "team", "key")
_HEADER_SCOPE = re.compile(r"header:([a-z0-9!#$%&'*+.^_`|~-]+)")
# A key is stored and printed. These headers are credentials; scope "key" tells keys apart by fingerprint instead.
_SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "x-api-key", "cookie"})
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_BILLING_DAY = re.compile(r"(?:billing-day[ -]|month:)(\d{1,2})", re.ASCII)
_LAST_BILLING_DAY = 31

Kind = Literal["month", "week", "day"]
_KINDS: dict[str, Kind] = {"month": "month", "week": "week", "day": "day"}


@dataclass(frozen=True, slots=True)
class Window:
    """
    How long a budget lasts: a month (from `billing_day` on, its last day where the month is shorter), a week from
    Monday on, or a day.
    """

    kind: Kind = "month"
    billing_day: int = 1

    def __post_init__(self) -> None:
        """
        Raises ConfigError for a day that no month has.
        """
        if not 1 <= self.billing_day <= _LAST_BILLING_DAY:
            raise ConfigError(f"billing day {self.billing_day} is in no month", hint="allowed: 1 to 31")

    def __str__(self) -> str:
        """
        As it is written in a configuration: `parse_window(str(window)) == window`.
        """
        return self.kind if self.kind != "month" or self.billing_day == 1 else f"billing-day {self.billing_day}"

    def start(self, day: date) -> date:
        """
        The first day of the window that `day` is in.
        """
        match self.kind:
            case "day":
                return day
            case "week":
                return day - timedelta(days=day.weekday())
            case "month":
                first = _day_of_month(day.year, day.month, self.billing_day)
                if first <= day:
                    return first
                before = day.replace(day=1) - timedelta(days=1)
                return _day_of_month(before.year, before.month, self.billing_day)
            case _:  # pragma: no cover - for the type checker
                assert_never(self.kind)

    def after(self, start: date) -> date:
        """
        The first day of the window that follows the one starting on `start`.
        """
        match self.kind:
            case "day":
                return start + timedelta(days=1)
            case "week":
                return start + timedelta(days=7)
            case "month":
                return _day_of_month(start.year + start.month // 12, start.month % 12 + 1, self.billing_day)
            case _:  # pragma: no cover - for the type checker
                assert_never(self.kind)

    def words(self) -> str:
        """
        For people.
        """
        if self.kind == "month" and self.billing_day != 1:
            return f"monthly from day {self.billing_day}"
        return {"month": "monthly", "week": "weekly", "day": "daily"}[self.kind]


def parse_window(text: str) -> Window:
    """
    Read `month`, `week`, `day` or `billing-day N`, which `month:N` is short for.

    Raises:
        ConfigError: it is none of them.
    """
    word = text.strip().lower()
    if word in _KINDS:
        return Window(_KINDS[word])
    match = _BILLING_DAY.fullmatch(word)
    if match is None:
        raise ConfigError(
            f"unknown window {text!r} of a budget", hint="allowed: month, week, day, month:N (from day N on)"
        )
    return Window("month", int(match[1]))


@dataclass(frozen=True, slots=True)
class Budget:
    """
    A cap. `limit_nusd` 0 or less caps nothing, and the spend is still counted.

    `scope` says who shares it: `all`, or each `product`, `user` (distinct id), `team` (property `team_id`), `key` (the
    credential's fingerprint) or `header:<name>` has its own. All but `key` are what the client says about itself, so
    they divide a spend between people who are honest; only `all` and `key` stop one who is not.

    `strict` admits a request only if its ceiling fits, so that the cap is never crossed; without it a request may start
    while anything is left, and the last one may cross. `warn_at` and `engage_at` are the client's fractions.
    """

    name: str
    limit_nusd: int
    window: Window = Window()
    zone: str = "UTC"
    scope: str = ALL
    strict: bool = False
    warn_at: Decimal = WARN_AT
    engage_at: Decimal = ENGAGE_AT

    def __post_init__(self) -> None:
        """
        Raises ConfigError for a value that is not one of the allowed ones.
        """
        if _NAME.fullmatch(self.name) is None:
            raise ConfigError(f"{self.name!r} cannot name a budget", hint="letters, digits, dot, dash and underscore")
        if abs(self.limit_nusd) > MOST_NUSD:
            raise ConfigError(f"budget {self.name}: the limit is beyond {dollars(MOST_NUSD)}")
        if not _in_order(self.warn_at, self.engage_at):
            raise ConfigError(
                f"budget {self.name}: warn_at {self.warn_at} and engage_at {self.engage_at} are out of order",
                hint="0 < warn_at <= engage_at <= 1, like 0.70 and 0.85",
            )
        _check_scope(self.name, self.scope)
        _zone(self.zone)

    def key(self, who: str, now: datetime) -> str:
        """
        Where the spend of `who` (see `identify`) is counted now: budget, window, scope.

        The window is in the key, so a new window starts from nothing without anybody resetting anything. A request
        charges the window it started in. The time zone is not in it: changing it moves the edges and keeps the spend.
        `who` comes last, for it may contain anything.
        """
        scope = self.scope if self.scope == ALL else f"{self.scope}={who}"
        return f"{self.name}/{self.window.kind}:{self._start(now).isoformat()}/{scope}"

    def resets_at(self, now: datetime) -> datetime:
        """
        When the window of `now` ends, in UTC: midnight in the budget's time zone, or the end of the gap where a change
        of the clocks skips midnight.
        """
        return self._midnight(self.window.after(self._start(now)))

    def starts_at(self, now: datetime) -> datetime:
        """
        When the window of `now` began, in UTC: the end of the window before.
        """
        return self._midnight(self._start(now))

    def local(self, moment: datetime) -> str:
        """
        A moment for people, in the budget's time zone.
        """
        return f"{moment.astimezone(_zone(self.zone)):%Y-%m-%d %H:%M} {self.zone}"

    def _midnight(self, day: date) -> datetime:
        return datetime.combine(day, time(), _zone(self.zone)).astimezone(UTC)

    def _start(self, now: datetime) -> date:
        return self.window.start(aware(now).astimezone(_zone(self.zone)).date())


@dataclass(frozen=True, slots=True)
class Limit:
    """
    A budget as it applies to one request: for whom, counted where, until when.
    """

    budget: Budget
    who: str
    key: str
    resets_at: datetime

    @property
    def nusd(self) -> int:
        """
        The cap.
        """
        return self.budget.limit_nusd

    @property
    def capped(self) -> bool:
        """
        Whether it caps anything.
        """
        return self.nusd > 0


def identify(scope: str, caller: Caller, headers: Headers) -> str:
    """
    Whose share of a budget with this scope a request uses.

    Empty where the request does not say: all who do not say share one pot, so that leaving it out is no way around.
    """
    match scope:
        case "all":
            return ""
        case "product":
            return caller.product
        case "user":
            return caller.distinct_id or ""
        case "team":
            return _printable(caller.properties.get("team_id"))
        case "key":
            return caller.key_fingerprint
        case _:
            name = scope.removeprefix("header:").encode()
            return next((value.decode("latin-1") for other, value in reversed(headers) if other == name), "")


def limit_of(budget: Budget, who: str, now: datetime) -> Limit:
    """
    One budget as it applies to `who` now.
    """
    return Limit(budget, who, budget.key(who, now), budget.resets_at(now))


def _in_order(warn_at: Decimal, engage_at: Decimal) -> bool:
    # NaN first: a decimal one raises when it is compared.
    return warn_at.is_finite() and engage_at.is_finite() and 0 < warn_at <= engage_at <= 1


def _check_scope(name: str, scope: str) -> None:
    if scope in SCOPES:
        return
    match = _HEADER_SCOPE.fullmatch(scope)
    if match is None:
        raise ConfigError(
            f"budget {name}: unknown scope {scope!r}", hint=f"allowed: {', '.join(SCOPES)}, header:<name in lower case>"
        )
    if match[1] in _SECRET_HEADERS:
        raise ConfigError(f"budget {name}: {match[1]} is a credential and is not stored", hint='use the scope "key"')


@cache
def _zone(name: str) -> tzinfo:
    # UTC needs no time-zone database; slim containers have none.
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError) as exc:
        raise ConfigError(f"unknown time zone {name!r}", hint="a name like Europe/Berlin") from exc


def aware(moment: datetime) -> datetime:
    """
    The moment itself.

    Raises:
        ValueError: it has no time zone. That is a bug in the caller.
    """
    if moment.tzinfo is None:
        raise ValueError(f"{moment} has no time zone: it would be read in the machine's own")
    return moment


def _day_of_month(year: int, month: int, day: int) -> date:
    following = date(year + month // 12, month % 12 + 1, 1)
    return min(date(year, month, 1) + timedelta(days=day - 1), following - timedelta(days=1))


def _printable(value: object) -> str:
    """
    A JSON value as text that every store can keep; a lone surrogate is legal in JSON and in no encoding.
    """
    return "" if value is None else str(value).encode("utf-8", "backslashreplace").decode()
