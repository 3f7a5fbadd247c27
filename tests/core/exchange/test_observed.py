"""
What sinks receive.
"""

from savemode_cli.core.exchange.observed import Content
from tests.builders import an_observed


def test_content_does_not_say_what_it_holds() -> None:
    """
    A record in a log or a traceback shows neither a credential nor a prompt.
    """
    content = Content([(b"x-api-key", b"sk-ant-secret")], b"a prompt", [(b"set-cookie", b"secret")], b"an answer")
    shown = repr(an_observed(content=content))

    for secret in ("sk-ant", "secret", "prompt", "an answer"):
        assert secret not in shown


def test_content_can_be_left_out() -> None:
    """
    Exchange and caller stay as they were.
    """
    record = an_observed(content=Content([], b"a prompt"))

    assert record.without_content() == an_observed()
    assert record.without_content().without_content() == an_observed()
