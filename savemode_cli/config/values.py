"""
The values that options may have: what somebody wrote, as what it means.

Rule of this file: a check takes whatever a flag, a variable or a TOML file holds, and gives a value or a `ValueError` that
says what is allowed. Where it was written, and by whom, is not its business.
"""

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from savemode_cli.core.budget import Budget, Window, parse_window
from savemode_cli.core.errors import ConfigError
from savemode_cli.core.tiers import MOST_NUSD, dollars, parse_usd

SIMULATED = "simulated"
"""In place of an upstream's address: one of our own, in this process."""

DEFAULT_POSTHOG_HOST = "https://us.i.posthog.com"

_ANY = "any"  # a budget's name, where only its form is asked about
T = TypeVar("T")


def boolean(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in ("true", "1", "yes", "on"):
        return True
    if isinstance(value, str) and value.strip().lower() in ("false", "0", "no", "off", ""):
        return False
    raise ValueError("true or false")


def port(value: object) -> int:
    try:
        number = int(value) if isinstance(value, str | int) and not isinstance(value, bool) else -1
    except ValueError:
        number = -1
    if not 0 <= number <= 65535:
        raise ValueError("a number from 0 to 65535 (0: a free port)")
    return number


def seconds(value: object) -> float:
    try:
        number = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else -1.0
    except (ValueError, OverflowError):
        number = -1.0
    if not 0 < number < 86_400:
        raise ValueError("a number of seconds above 0 and below a day")
    return number


def words(value: object) -> tuple[str, ...]:
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list | tuple) or not all(isinstance(one, str) for one in items):
        raise ValueError("a list of names")
    return tuple(one.strip().lower() for one in items if one.strip())


def text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("a text")
    return value.strip()


def token(value: object) -> str:
    if not isinstance(value, str) or re.fullmatch(r"[!-~]{16,256}", value.strip()) is None:
        raise ValueError("16 to 256 characters that a header can hold, without blanks")
    return value.strip()


def key(value: object) -> str:
    if not isinstance(value, str) or re.fullmatch(r"[!-~]{8,256}", value.strip()) is None:
        raise ValueError("the key of a project, like phc_..., or of a person, like phx_...")
    return value.strip()


def team(value: object) -> int:
    try:
        number = int(value) if isinstance(value, str | int) and not isinstance(value, bool) else -1
    except ValueError:
        number = -1
    if not 0 <= number < 10**18:
        raise ValueError("a team's number")
    return number


def one_of(*allowed: str) -> Callable[[object], str]:
    def check(value: object) -> str:
        if not isinstance(value, str) or value.strip().lower() not in allowed:
            raise ValueError(" | ".join(allowed))
        return value.strip().lower()

    return check


def upstream(value: object) -> str:
    if isinstance(value, str) and value.strip().lower() == SIMULATED:
        return SIMULATED
    return _address(value, "an http:// or https:// address, without user, query or fragment, or: simulated")


def posthog_host(value: object) -> str:
    return _address(
        value, f"an http:// or https:// address, without user, query or fragment, like {DEFAULT_POSTHOG_HOST}"
    )


def _address(value: object, wanted: str) -> str:
    try:
        parts = urlsplit(value.strip()) if isinstance(value, str) else urlsplit("")
    except ValueError:
        raise ValueError(wanted) from None
    bare = not (parts.username or parts.password or parts.query or parts.fragment)
    if parts.scheme not in ("http", "https") or not parts.hostname or not bare:
        raise ValueError(wanted)
    try:
        _ = parts.port
    except ValueError:
        raise ValueError("an address whose port is a number up to 65535") from None
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def table(value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("a table")
    return value


def usd(value: object) -> int:
    # A float of TOML becomes the text it was written as: the shortest that reads back as the same float.
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    nusd = parse_usd(str(value)) if is_number or isinstance(value, str) else None
    if nusd is None or nusd < 0:
        raise ValueError(f"US dollars, like 20 or 5.40, up to {dollars(MOST_NUSD)} (0: count, and cap nothing)")
    return nusd


def fraction(value: object) -> Decimal:
    text = str(value).strip() if not isinstance(value, bool) else ""
    if _FRACTION.fullmatch(text) is None or not 0 < Decimal(text) <= 1:
        raise ValueError("a fraction above 0 and up to 1, like 0.85")
    return Decimal(text)


_FRACTION = re.compile(r"\d?\.\d{1,20}|\d\.?", re.ASCII)


def window(value: object) -> Window:
    return _asked_of_core(lambda: parse_window(text(value)))


def zone(value: object) -> str:
    return _asked_of_core(lambda: Budget(_ANY, 0, zone=text(value))).zone


def scope(value: object) -> str:
    return _asked_of_core(lambda: Budget(_ANY, 0, scope=text(value))).scope


def _asked_of_core(make: Callable[[], T]) -> T:
    """
    What the core makes of a value; what it allows is said here together with the place.
    """
    try:
        return make()
    except ConfigError as error:
        raise ValueError(error.hint.removeprefix("allowed: ")) from None


def keep_for(value: object) -> timedelta | None:
    """
    How long captures are kept: `12h`, `7d`; None for `forever`.

    Raises:
        ValueError: it is none of them, and says what is.
    """
    text = value.strip().lower() if isinstance(value, str) else ""
    if text == "forever":
        return None
    match = _SPAN.fullmatch(text)
    span = timedelta() if match is None else timedelta(hours=int(match[1]) * (1 if match[2] == "h" else 24))
    if not span:
        raise ValueError("hours or days, like 12h or 7d, or forever")
    return span


_SPAN = re.compile(r"(\d{1,4})(h|d)", re.ASCII)


def path(value: object) -> Path:
    return value if isinstance(value, Path) else Path(text(value)).expanduser()
