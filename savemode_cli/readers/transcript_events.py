"""
What happened before an answer of a transcript, as far as it changes the prompt: instructions of the client, a restart, thinking.

Rule of this file: it looks at one record and at the event before it.
"""

from typing import Literal

import msgspec

Event = Literal["", "instructions", "hook", "restart"]
"""
What happened before an answer. `hook`: a hook has run, and the next record shows when: a hook that runs directly before a
message of a person is one of the start of a session.
"""


_HOOK = b'"hook_progress"'
_HOOK_EVENT = b'"hookEvent"'
_SESSION_START = b'"hookEvent":"SessionStart"'


def event_of_user(before: Event, *, is_meta: bool, by_person: bool) -> Event:
    """
    What has happened before an answer to a user's record.

    Args:
        before: what had happened before the record.
        is_meta: whether the client added it.
        by_person: whether it is a message of a person.
    """
    if is_meta:
        return "restart" if before == "restart" else "instructions"
    if by_person:
        return "restart" if before in ("hook", "restart") else ""
    return "" if before == "hook" else before


def event_of(kind: str, line: bytes, before: Event) -> Event:
    """
    What has happened before an answer to another record.

    Args:
        kind: the type of the record.
        line: its line.
        before: what had happened before the record.
    """
    if kind == "progress" and _HOOK in line and _HOOK_EVENT not in line:
        return before or "hook"
    if kind in ("progress", "attachment") and _SESSION_START in line:
        return "restart"
    return "" if before == "hook" else before


def has_thinking(content: msgspec.Raw) -> bool | None:
    """
    Whether the content of an answer has thinking; None without content.
    """
    text = bytes(content)
    if not text:
        return None
    # One search decides most lines.
    return b'thinking"' in text and (b'"thinking"' in text or b'"redacted_thinking"' in text)
