"""
What a record says of the answer after it.
"""

import msgspec
import pytest

from savemode_cli.readers.transcript_events import Event, event_of, event_of_user, has_thinking

HOOK = b'{"type":"progress","data":{"type":"hook_progress"}}'
START = b'{"type":"progress","data":{"type":"hook_progress","hookEvent":"SessionStart"}}'


@pytest.mark.parametrize(
    ("kind", "line", "before", "event"),
    [
        ("progress", HOOK, "", "hook"),
        ("progress", HOOK, "restart", "restart"),
        ("progress", START, "", "restart"),
        ("system", START, "hook", ""),
        ("system", b"{}", "instructions", "instructions"),
    ],
)
def test_other_records(kind: str, line: bytes, before: Event, event: Event) -> None:
    """
    A hook of the start of a session, and one of anything else.
    """
    assert event_of(kind, line, before) == event


def test_records_of_users() -> None:
    """
    A hook directly before a person's message belongs to the start of a session.
    """
    assert event_of_user("hook", is_meta=False, by_person=True) == "restart"
    assert event_of_user("hook", is_meta=False, by_person=False) == ""
    assert event_of_user("", is_meta=True, by_person=False) == "instructions"
    assert event_of_user("restart", is_meta=True, by_person=False) == "restart"


def test_thinking() -> None:
    """
    It is known only of an answer with content.
    """
    assert has_thinking(msgspec.Raw(b'[{"type":"thinking"}]')) is True
    assert has_thinking(msgspec.Raw(b'[{"type":"text"}]')) is False
    assert has_thinking(msgspec.Raw()) is None
