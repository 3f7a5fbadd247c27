"""
Budgets: how much may be spent, in which time, shared by whom, and under which key the spend of a request is counted.

Rule of this file: a key contains everything that separates two spends, including the window. `now` is a parameter.
"""

import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, tzinfo
from decimal import Decimal
from functools import cache
from zoneinfo import ZoneInfo

from savemode_cli.core.budget.choices import ACTIONS, UNKNOWNS, Action, Unknown
from savemode_cli.core.budget.scales import ENGAGE_AT, WARN_AT
from savemode_cli.core.budget.scopes import ALL, SCOPES, scope_named
from savemode_cli.core.budget.window import MONTH, NEVER, Window
from savemode_cli.core.errors import ConfigError
from savemode_cli.core.money.amounts import MOST_NUSD, dollars

DEFAULT_BUDGET = "default"
"""The name of the budget that `--budget` and the other plain options describe."""

RUN_BUDGET = "run"
"""The name of the budget that `--run-budget` describes."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_LONGEST_HINT = 200


@dataclass(frozen=True, slots=True)
class Budget:
    """
    A limit on spend in a window of time.
    """

    name: str
    limit_nusd: int
    """In nano-USD. 0 or less means that spend is counted and not limited."""
    window: Window = MONTH
    zone: str = "UTC"
    """The time zone in which windows begin."""
    scope: str = ALL
    """
    Who shares it, see `scopes.SCOPES`. A scope whose name the caller chooses divides spend among honest clients, and
    does not stop others; see `scopes.is_chosen_by_caller`.
    """
    strict: bool = False
    """
    Whether a request may start only if the most that it can cost fits, so that the limit is never crossed. Otherwise a
    request may start while anything is left, and the last one may cross the limit.
    """
    warn_at: Decimal = WARN_AT
    """The share of the limit at which clients are told `warn`."""
    engage_at: Decimal = ENGAGE_AT
    """The share of the limit at which clients are told `engage`."""
    allow_override: bool = True
    """Whether the header `x-posthog-budget-override` lifts this limit."""
    refusal_hint: str = ""
    """What a refusal advises instead of the commands that raise a limit, like "ask Maria"."""
    unknown: Unknown = "share"
    """What happens to a request that does not say who sends it."""
    action: Action = "refuse"
    """What happens above the limit. With `warn` nothing is refused; the headers and the request line say `exceeded`."""
    limits: tuple[tuple[str, int], ...] = ()
    """The limits of single persons, teams or keys, by name."""
    set_at_us: int = field(default=0, compare=False)
    """When it was set, in microseconds since 1970. Of two budgets with one name the later one counts."""
    source: str = field(default="", compare=False)
    """Where it was set, for people, like `--budget` or `savemode.toml: budgets.team`."""

    def __post_init__(self) -> None:
        """
        Check the values.

        Raises:
            ConfigError: a value is not allowed.
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
        if self.unknown not in UNKNOWNS:
            raise ConfigError(
                f"budget {self.name}: unknown is {self.unknown!r}", hint=f"allowed: {', '.join(UNKNOWNS)}"
            )
        if self.action not in ACTIONS:
            raise ConfigError(f"budget {self.name}: action is {self.action!r}", hint=f"allowed: {', '.join(ACTIONS)}")
        if self.strict and self.action == "warn":
            raise ConfigError(
                f"budget {self.name} is strict, and its action is warn: a cap that refuses nothing can be crossed",
                hint='leave out one of them, or set action = "refuse"',
            )
        if len(self.refusal_hint) > _LONGEST_HINT or not self.refusal_hint.isprintable():
            raise ConfigError(
                f"budget {self.name}: the refusal_hint is not one line of text",
                hint=f"allowed: up to {_LONGEST_HINT} characters that can be printed",
            )
        if self.limits and self.scope == ALL:
            raise ConfigError(
                f"budget {self.name}: everybody shares it, so nobody has a limit of their own",
                hint='give it a scope, like "user"',
            )
        _check_scope(self.name, self.scope)
        _zone(self.zone)

    @property
    def refuses(self) -> bool:
        """
        Whether it refuses requests of those who have no limit of their own.
        """
        return self.action == "refuse"

    def limit_of(self, who: str) -> int:
        """
        The limit for a person, in nano-USD: their own, or the general one.
        """
        return dict(self.limits).get(who, self.limit_nusd) if self.limits else self.limit_nusd

    def key(self, who: str, now: datetime) -> str:
        """
        The key under which the spend of `who` (see `identities`) is counted now: budget, window, scope.

        The key contains the window, so that a new calendar window begins at zero without a reset. A request is charged
        in the window in which it started. The key does not contain the time zone: changing it moves the edges of the
        window and keeps the spend. `who` comes last, because it may contain any character.
        """
        scope = self.scope if self.scope == ALL else f"{self.scope}={who}"
        start = None if self.window.calendar is None else self._start(now)
        return f"{self.name}/{self.window.in_key(start)}/{scope}"

    def resets_at(self, now: datetime) -> datetime:
        """
        When the window of `now` ends, in UTC: at midnight in the budget's time zone, or at the end of the gap if a
        clock change skips midnight. For a rolling window: when everything that counts now has left it. `NEVER` for a
        window that does not end.
        """
        if self.window.calendar is not None:
            return self._midnight(self.window.after(self._start(now)))
        return NEVER if self.window.span is None else aware(now).astimezone(UTC) + self.window.span

    def starts_at(self, now: datetime) -> datetime:
        """
        When the calendar window of `now` began, in UTC: the end of the previous window.
        """
        return self._midnight(self._start(now))

    def resets(self, moment: datetime) -> str:
        """
        When the spend no longer counts, for people, like `resets 2026-12-01 00:00 UTC`.

        Args:
            moment: `resets_at`, or the time when enough has left a rolling window.
        """
        if self.window.kind == "none":
            return "never resets"
        return f"{'free' if self.window.span else 'resets'} {self.local(moment)}"

    def local(self, moment: datetime) -> str:
        """
        A time for people, in the budget's time zone.
        """
        return f"{moment.astimezone(_zone(self.zone)):%Y-%m-%d %H:%M} {self.zone}"

    def _midnight(self, day: date) -> datetime:
        return datetime.combine(day, time(), _zone(self.zone)).astimezone(UTC)

    def _start(self, now: datetime) -> date:
        return self.window.start(aware(now).astimezone(_zone(self.zone)).date())


@dataclass(frozen=True, slots=True)
class Limit:
    """
    A budget as it applies to one request.
    """

    budget: Budget
    who: str
    """Whose share of the budget the request uses."""
    key: str
    """The key under which it is counted."""
    resets_at: datetime
    nusd: int
    """The cap: everybody's, or one of their own."""

    @property
    def capped(self) -> bool:
        """
        Whether it limits anything.
        """
        return self.nusd > 0

    @property
    def refuses(self) -> bool:
        """
        Whether a request above it is refused.
        """
        return self.capped and self.budget.refuses

    @property
    def unidentified(self) -> bool:
        """
        Whether the request does not say who sends it, and is refused for that.
        """
        return self.budget.unknown == "refuse" and self.budget.scope != ALL and not self.who


def limit_of(budget: Budget, who: str, now: datetime) -> Limit:
    """
    A budget as it applies to a person now.
    """
    return Limit(budget, who, budget.key(who, now), budget.resets_at(now), budget.limit_of(who))


def _in_order(warn_at: Decimal, engage_at: Decimal) -> bool:
    # NaN first: a decimal one raises when it is compared.
    return warn_at.is_finite() and engage_at.is_finite() and 0 < warn_at <= engage_at <= 1


def _check_scope(name: str, scope: str) -> None:
    try:
        scope_named(scope)
    except ValueError as error:
        hint = f"allowed: {', '.join(SCOPES)}, header:<name in lower case>"
        if "credential" in str(error):
            hint = 'use the scope "key"'
        raise ConfigError(f"budget {name}: {error}", hint=hint) from None


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
    Check a time and return it.

    Raises:
        ValueError: it has no time zone. This is a bug in the caller.
    """
    if moment.tzinfo is None:
        raise ValueError(f"{moment} has no time zone: it would be read in the machine's own")
    return moment
