"""
The models that the simulated upstream knows.

Rule of this file: a model that the API does not have is refused; otherwise a program with a misspelled model would work
here and fail with the API. A retired model is accepted, because recorded traffic contains them.
Source: https://platform.claude.com/docs/en/about-claude/models/overview and the SDK's `Model` (checked 2026-11-29).
"""

import re
from typing import Any

from savemode_cli.core.wire.models import is_cloud_model, other_spellings
from savemode_cli.simulated.answers import model_row

_CREATED = "2026-01-01T00:00:00Z"  # invented, and the same for all models
_NAMES = (
    "Opus 5.5",
    "Sonnet 5.5",
    "Haiku 5.5",
    "Fable 5.2",
    "Mythos 5.2",
    "Fable 5.1",
    "Mythos 5.1",
    "Opus 5",
    "Sonnet 5",
    "Fable 5",
    "Mythos 5",
    "Mythos Preview",
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
_MAX_PAGE = 1000
_DEFAULT_PAGE = 20


_RETIRED = (
    "claude-3-haiku",
    "claude-3-opus",
    "claude-3-sonnet",
    "claude-3-5-haiku",
    "claude-3-5-sonnet",
    "claude-3-7-sonnet",
    "claude-opus-4",
    "claude-opus-4-0",
    "claude-opus-4-1",
    "claude-sonnet-4",
    "claude-sonnet-4-0",
)
_KNOWN = frozenset({*(row["id"] for row in _ROWS), *_RETIRED})
_ID = re.compile(r"(?P<name>claude-[a-z0-9-]+?)(?:-20\d{6}|-latest)?")


def is_known(model: str) -> bool:
    """
    Whether this is a Claude model ID in the spelling of the API, with or without a date, or in the spelling of a cloud
    provider.

    Router IDs (`anthropic/claude-...`) and the suffix `[1m]` of Claude Code are not known to the API either: the programs
    that use them replace them before they call the API.
    """
    own = _ID.fullmatch(model)
    if own is not None and own["name"] in _KNOWN:
        return True
    return is_cloud_model(model) and "[" not in model and any(name in _KNOWN for name, _ in other_spellings(model))


def row(model: str) -> dict[str, Any] | None:
    """
    The list entry of a model; None if the list does not contain it.
    """
    return next((row for row in _ROWS if row["id"] == model), None)


def page(limit: str, after: str) -> dict[str, Any]:
    """
    A page of the list.

    Args:
        limit: how many models, at most 1,000; 20 if this is not a positive number.
        after: the ID of the model before the first one of the page; the page starts at the beginning if there is no such
            model.
    """
    ids = [row["id"] for row in _ROWS]
    start = ids.index(after) + 1 if after in ids else 0
    length = min(int(limit), _MAX_PAGE) if limit.isdecimal() and int(limit) else _DEFAULT_PAGE
    rows = _ROWS[start : start + length]
    return {
        "data": rows,
        "has_more": start + length < len(ids),
        "first_id": rows[0]["id"] if rows else None,
        "last_id": rows[-1]["id"] if rows else None,
    }
