"""
What a cache miss is, in one line for people and as fields for machines.

Rule of this file: every screen, log and event names misses in these words.
"""

from savemode_cli.core.diagnosis.causes import Miss
from savemode_cli.views.money import span


def describe(miss: Miss) -> str:
    """
    The cause, the place, and what is known of it: `system_changed at system[1].text: edited, only numbers, dates or IDs`.
    """
    place = f" at {miss.at}" if miss.at else ""
    details = ", ".join(filter(None, _details(miss)))
    return f"{miss.cause}{place}{f': {details}' if details else ''}"


def _details(miss: Miss) -> tuple[str, ...]:
    return (
        _change(miss),
        f"{miss.parameter} was {miss.before or 'absent'}, is {miss.after or 'absent'}" if miss.parameter else "",
        _times(miss),
        f"the cached prefix ends {miss.positions} positions before the breakpoint" if miss.positions else "",
        "this model leaves out the thinking of earlier turns" if miss.forgotten else "",
        "the TTL had ended too" if miss.also_expired else "",
    )


def _change(miss: Miss) -> str:
    if miss.change is None:
        return ""
    kind = f" {miss.type}" if miss.type not in ("", "text") else ""
    return f"{miss.change}{kind}{', only numbers, dates or IDs' if miss.values_only else ''}"


def _times(miss: Miss) -> str:
    if miss.cause not in ("expired", "not_kept") or miss.idle is None or miss.ttl is None:
        return ""
    idle = f"idle for {span(miss.idle)}, cached for {miss.ttl}"
    if miss.cause == "not_kept":
        return f"{idle} although 1h was asked for" if (miss.asked_ttl, miss.ttl) == ("1h", "5m") else idle
    return f"{idle}; {f'{miss.held_by} would have been long enough' if miss.held_by else 'no TTL is that long'}"
