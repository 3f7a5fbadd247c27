"""
What sinks are given.
"""

from savemode_cli.core.record import Content, Record
from tests.builders import an_exchange


def test_content_does_not_say_what_it_holds() -> None:
    """
    A record in a log or a traceback shows neither a credential nor a prompt.
    """
    content = Content([(b"x-api-key", b"sk-ant-secret")], b"a prompt", [(b"set-cookie", b"secret")], b"an answer")
    shown = repr(Record(an_exchange(), content=content))

    for secret in ("sk-ant", "secret", "prompt", "an answer"):
        assert secret not in shown


def test_content_can_be_left_out() -> None:
    """
    Exchange and caller stay as they were.
    """
    record = Record(an_exchange(), content=Content([], b"a prompt"))

    assert record.without_content() == Record(an_exchange())
    assert record.without_content().without_content() == Record(an_exchange())
