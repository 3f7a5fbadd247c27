"""
Which refusals the API bills.

Rule of this file: each rule has the date from which it applies, because older records are priced too.
Source: https://platform.claude.com/docs/en/build-with-claude/refusals-and-fallback and .../release-notes/overview
(checked 2026-11-30).
"""

from datetime import UTC, date, datetime

_UNBILLED_SINCE = date(2026, 6, 2)
_CATEGORIES_BILLED_SINCE = date(2026, 9, 24)
_BILLED_CATEGORIES = frozenset({"bio", "frontier_llm", "reasoning_extraction"})


def is_billed(declined: str | None, when: datetime) -> bool:
    """
    Whether the API bills the tokens of a model's attempt to answer.

    A model that declines before it has produced output reports its tokens, but since 2026-06-02 they are not billed.
    Since 2026-09-24 they are billed again in three policy categories, at the prices of that model. A model that
    declines after some output is always billed.

    Args:
        declined: None if the model produced output; else the policy category of its refusal, "" if none was named.
        when: when the request was sent, with a time zone. Days are UTC.
    """
    if declined is None:
        return True
    day = when.astimezone(UTC).date()
    return day < _UNBILLED_SINCE or (day >= _CATEGORIES_BILLED_SINCE and declined in _BILLED_CATEGORIES)
