"""
Times and time zones in options.

Rule of this file: a day begins in the time zone of the command. A time may name its own time zone.
"""

from datetime import UTC, datetime, timedelta, tzinfo

from savemode_cli.core.errors import BadInput


def moment(name: str, text: str | None, *, end: bool = False, zone: tzinfo | None = UTC) -> datetime | None:
    """
    The time that an option gives, in UTC; None if the option was not given.

    Args:
        name: the option.
        text: a day or a time.
        end: whether a day stands for its end.
        zone: the time zone of a day, and of a time without one; None for that of the system.

    Raises:
        BadInput: it is not a day or a time, or no request can have been sent then.
    """
    if text is None:
        return None
    from savemode_cli.readers.times import utc

    try:
        at = datetime.fromisoformat(text.strip())
        if end and len(text.strip()) == len("2026-11-24"):
            at += timedelta(days=1)
        if at.tzinfo is None:
            at = at.astimezone() if zone is None else at.replace(tzinfo=zone)
        return utc(at)
    except (ValueError, OverflowError):
        raise BadInput(f"{name} {text!r} is not a day or a time", hint=f"like {name} 2026-11-24") from None


def time_zone(name: str) -> tzinfo | None:
    """
    A time zone by its name; None for `local`, the time zone of the system.

    Raises:
        BadInput: there is no such time zone.
    """
    if name == "local":
        return None
    if name == "UTC":
        return UTC
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        raise BadInput(f"--timezone {name!r} is not a time zone", hint="like UTC, local or Europe/Berlin") from None
