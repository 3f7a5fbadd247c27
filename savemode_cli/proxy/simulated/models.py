"""
The models that the simulated upstream lists.

Rule of this file: a list to choose from, not a limit: every id that names a Claude model is answered.
"""

from typing import Any

from savemode_cli.proxy.simulated.answers import model_row

_CREATED = "2026-01-01T00:00:00Z"  # made up, and the same for all
_NAMES = (
    "Opus 5.5",
    "Sonnet 5.5",
    "Haiku 5.5",
    "Fable 5.2",
    "Mythos 5.2",
    "Opus 5",
    "Sonnet 5",
    "Opus 4.8",
    "Opus 4.7",
    "Opus 4.6",
    "Sonnet 4.6",
    "Opus 4.5",
    "Sonnet 4.5",
    "Haiku 4.5",
)
_ROWS = [
    model_row(f"claude-{name.lower().replace(' ', '-').replace('.', '-')}", f"Claude {name}", _CREATED)
    for name in _NAMES
]
_LONGEST_PAGE = 1000
_USUAL_PAGE = 20


def is_known(model: str) -> bool:
    """
    Whether it names a Claude model, in any cloud's spelling and of any date.
    """
    return "claude" in model


def row(model: str) -> dict[str, Any] | None:
    """
    A model of the list.
    """
    return next((one for one in _ROWS if one["id"] == model), None)


def page(limit: str, after: str) -> dict[str, Any]:
    """
    A page of the list: so many behind the model `after`.
    """
    ids = [one["id"] for one in _ROWS]
    start = ids.index(after) + 1 if after in ids else 0
    length = min(int(limit), _LONGEST_PAGE) if limit.isdecimal() and int(limit) else _USUAL_PAGE
    rows = _ROWS[start : start + length]
    return {
        "data": rows,
        "has_more": start + length < len(ids),
        "first_id": rows[0]["id"] if rows else None,
        "last_id": rows[-1]["id"] if rows else None,
    }
