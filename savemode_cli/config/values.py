"""
The checks of the values of options.

Rule of this file: a check takes what a flag, a variable or a TOML file holds, and returns the value of the option. Otherwise
it raises a `ValueError` whose text completes the sentence "give ...". A check does not know where the value was written.
"""

import re
import shlex
from collections.abc import Callable, Mapping
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from savemode_cli.config.folders import user_captures
from savemode_cli.core.budget.budget import Budget
from savemode_cli.core.budget.choices import REFUSAL_CHOICES
from savemode_cli.core.budget.window import Window, parse_window
from savemode_cli.core.errors import ConfigError
from savemode_cli.core.money.amounts import MOST_NUSD, dollars, parse_usd
from savemode_cli.core.upgrade.policy import MOST_PINGS

_ANY = "any"  # the name of a budget of which only one term is checked
T = TypeVar("T")


def asked(place: str, check: Callable[[object], T], value: object) -> T:
    """
    The checked value.

    Args:
        place: where it was written, for the error.
        check: one of the checks of this file.
        value: what was written.

    Raises:
        ConfigError: the check refused it.
    """
    try:
        return check(value)
    except ValueError as error:
        found = "not usable" if check in (token, key) else shown(value)
        raise ConfigError(f"{place} is {found}", hint=f"give {error}") from None


def shown(value: object) -> str:
    """
    A value as errors print it. A value that may hold a credential is not printed, such as `http://user:password@host`,
    `?key=...` or `#token=...`.
    """
    text = repr(value)
    return "not usable" if any(sign in text for sign in ("@", "?", "#", "sk-")) else text


def boolean(value: object) -> bool:
    """
    True or false; in a variable also 1, yes, on, 0, no, off, and an empty text for false.
    """
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in ("true", "1", "yes", "on"):
        return True
    if isinstance(value, str) and value.strip().lower() in ("false", "0", "no", "off", ""):
        return False
    raise ValueError("true or false")


def _whole_number(value: object, most: int, wanted: str) -> int:
    """
    A whole number from 0 to `most`; `wanted` says in the error what to give.
    """
    try:
        number = int(value) if isinstance(value, str | int) and not isinstance(value, bool) else -1
    except ValueError:
        number = -1
    if not 0 <= number <= most:
        raise ValueError(wanted)
    return number


def _number(value: object) -> float:
    """
    A number; -1 if it is something else.
    """
    try:
        return float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else -1.0
    except (ValueError, OverflowError):
        return -1.0


def _items(value: object, wanted: str) -> list[Any] | tuple[Any, ...]:
    """
    The items of a list; in a text they are separated by commas. `wanted` says in the error what to give.
    """
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list | tuple):
        raise ValueError(wanted)
    return items


def _texts(value: object, wanted: str) -> tuple[str, ...]:
    """
    The items of a list of texts, without blanks around them and without empty ones.
    """
    items = _items(value, wanted)
    if not all(isinstance(item, str) for item in items):
        raise ValueError(wanted)
    return tuple(item.strip() for item in items if item.strip())


def port(value: object) -> int:
    """
    A port to listen on.
    """
    return _whole_number(value, 65_535, "a number from 0 to 65535 (0: a free port)")


def seconds(value: object) -> float:
    """
    A duration in seconds.
    """
    number = _number(value)
    if not 0 < number < 86_400:
        raise ValueError("a number of seconds above 0 and below a day")
    return number


def words(value: object) -> tuple[str, ...]:
    """
    A list of names in lower case; in a text they are separated by commas.
    """
    return tuple(item.lower() for item in _texts(value, "a list of names"))


def texts(value: object) -> tuple[str, ...]:
    """
    A list of texts; in a text they are separated by commas.
    """
    return _texts(value, "a list of texts")


def text(value: object) -> str:
    """
    A text that is not empty, without the blanks around it.
    """
    if not isinstance(value, str) or not value.strip():
        raise ValueError("a text that is not empty")
    return value.strip()


def host(value: object) -> str:
    """
    An address or a name to listen on. An IPv6 address may have the brackets that it has in a URL.
    """
    name = text(value)
    return name[1:-1] if name.startswith("[") and name.endswith("]") else name


def token(value: object) -> str:
    """
    An access token.
    """
    if not isinstance(value, str) or re.fullmatch(r"[!-~]{16,256}", value.strip()) is None:
        raise ValueError("16 to 256 ASCII characters without blanks")
    return value.strip()


def key(value: object) -> str:
    """
    A key of PostHog.
    """
    if not isinstance(value, str) or re.fullmatch(r"[!-~]{8,256}", value.strip()) is None:
        raise ValueError("the key of a project, like phc_..., or of a person, like phx_...")
    return value.strip()


def password(value: object) -> str:
    """
    A password, on one line.
    """
    if not isinstance(value, str) or not value or not value.isprintable():
        raise ValueError("a password on one line")
    return value


def team(value: object) -> int:
    """
    The ID of a team in PostHog.
    """
    return _whole_number(value, 10**18 - 1, "the number of a team")


def count(value: object) -> int:
    """
    A number of things.
    """
    return _whole_number(value, 1_000_000, "a whole number, like 10 (0: no limit)")


def one_of(*allowed: str) -> Callable[[object], str]:
    """
    A check that accepts some words.
    """

    def check(value: object) -> str:
        if not isinstance(value, str) or value.strip().lower() not in allowed:
            raise ValueError(" | ".join(allowed))
        return value.strip().lower()

    return check


def refusal(value: object) -> str:
    """
    The status of a refusal, which may be written as a number.
    """
    return one_of(*REFUSAL_CHOICES)(str(value) if type(value) is int else value)


def table(value: object) -> Mapping[str, Any]:
    """
    A table of a config file.
    """
    if not isinstance(value, dict):
        raise ValueError("a table")
    return value


def usd(value: object) -> int:
    """
    An amount of US dollars, in nano-dollars.
    """
    # `str` gives the text that a float of TOML was written as: the shortest one that is read as the same float.
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    nusd = parse_usd(str(value)) if is_number or isinstance(value, str) else None
    if nusd is None or nusd < 0:
        raise ValueError(f"US dollars, like 20 or 5.40, up to {dollars(MOST_NUSD)} (0: count, and limit nothing)")
    return nusd


def fraction(value: object) -> Decimal:
    """
    A share of a budget.
    """
    number = str(value).strip() if not isinstance(value, bool) else ""
    if _FRACTION.fullmatch(number) is None or not 0 < Decimal(number) <= 1:
        raise ValueError("a fraction above 0 and up to 1, like 0.85")
    return Decimal(number)


_FRACTION = re.compile(r"\d?\.\d{1,20}|\d\.?", re.ASCII)


def pings(value: object) -> int:
    """
    How many keep-warm requests are sent in a row.
    """
    return _whole_number(value, MOST_PINGS, f"a number of requests from 0 to {MOST_PINGS}")


def share(value: object) -> float:
    """
    A share of a whole, which is not the whole itself.
    """
    number = _number(value)
    if not 0 <= number < 1:
        raise ValueError("a share from 0 to less than 1, like 0.1")
    return number


def fractions(value: object) -> tuple[Decimal, ...]:
    """
    Shares of a budget, in their order; in a text they are separated by commas.
    """
    items = _items(value, "a list of fractions, like [0.5, 0.8, 1]")
    return tuple(sorted({fraction(item) for item in items}))


def command(value: object) -> str:
    """
    A command with its arguments, as in a shell.
    """
    try:
        words = shlex.split(text(value))
    except ValueError:
        words = []
    if not words:
        raise ValueError("a command with its arguments")
    return text(value)


def window(value: object) -> Window:
    """
    How long a budget lasts.
    """
    return _checked_by_core(lambda: parse_window(text(value)))


def zone(value: object) -> str:
    """
    The name of a time zone.
    """
    return _checked_by_core(lambda: Budget(_ANY, 0, zone=text(value))).zone


def scope(value: object) -> str:
    """
    Who shares a budget.
    """
    return _checked_by_core(lambda: Budget(_ANY, 0, scope=text(value))).scope


def hint(value: object) -> str:
    """
    The advice that a refusal prints.
    """
    return _checked_by_core(lambda: Budget(_ANY, 0, refusal_hint=text(value))).refusal_hint


def _checked_by_core(make: Callable[[], T]) -> T:
    """
    Let the core check a value. What it allows becomes the text of the `ValueError`.
    """
    try:
        return make()
    except ConfigError as error:
        raise ValueError(error.hint.removeprefix("allowed: ")) from None


def keep_for(value: object) -> timedelta | None:
    """
    How long captures are kept: `12h`, `7d`; None for `forever`.

    Raises:
        ValueError: it is something else.
    """
    duration = value.strip().lower() if isinstance(value, str) else ""
    if duration == "forever":
        return None
    match = _SPAN.fullmatch(duration)
    span = timedelta() if match is None else timedelta(hours=int(match[1]) * (1 if match[2] == "h" else 24))
    if not span:
        raise ValueError("hours or days, like 12h or 7d, or forever")
    return span


_SPAN = re.compile(r"(\d{1,4})(h|d)", re.ASCII)


def path(value: object) -> Path:
    """
    The path of a file or folder. `~` is the home folder.
    """
    return value if isinstance(value, Path) else Path(text(value)).expanduser()


def capture(value: object) -> Path | None:
    """
    The folder of captures: for "true", and for a flag without a value, the one in the user's data folder; None for "false".
    """
    if isinstance(value, Path):
        return value
    try:
        return user_captures() if boolean(value) else None
    except ValueError:
        return path(value)
