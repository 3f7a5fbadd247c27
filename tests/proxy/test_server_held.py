"""
The known sizes of content that the API stores.
"""

import pytest

from savemode_cli.core.wire.additions import Additions
from savemode_cli.core.wire.facts import Facts
from savemode_cli.core.wire.usage import Tokens, Usage
from savemode_cli.proxy import server_held
from savemode_cli.proxy.server_held import ServerHeld

CREATE = Facts(model="m", added=Additions(thread="create"))


def going_on(previous: str) -> Facts:
    """
    The next turn of a thread.
    """
    return Facts(model="m", added=Additions(thread="continue", previous_id=previous))


def test_nothing_is_named() -> None:
    """
    A body that refers to nothing.
    """
    assert ServerHeld().tokens(Facts(model="m")) == ServerHeld().tokens(CREATE) == 0


def test_thread_and_files() -> None:
    """
    Every reference counts, and one unknown ID makes the total unknown.
    """
    held = ServerHeld()
    held.note(CREATE, "msg_1", Usage(Tokens(10, 20, 30, 40, 5)))
    held.note(Facts(model="m", added=Additions(files=("a",))), "msg_2", Usage(Tokens(input=7)))
    both = Additions(thread="continue", previous_id="msg_1", files=("a",))

    assert held.tokens(Facts(model="m", added=both)) == 105 + 7
    assert held.tokens(going_on("msg_2")) is None  # it was not a turn of a thread
    assert held.tokens(Facts(model="m", added=Additions(files=("a", "b")))) is None
    assert held.tokens(Facts(model="m", added=Additions(files=("a",), container=True))) is None


def test_answer_without_an_id() -> None:
    """
    No request can refer to it.
    """
    held = ServerHeld()
    held.note(CREATE, None, Usage(Tokens(input=1)))

    assert held.tokens(going_on("")) is None


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The least recently used size is forgotten first.
    """
    monkeypatch.setattr(server_held, "_REMEMBERED", 2)
    held = ServerHeld()
    for number in range(3):
        held.note(CREATE, f"msg_{number}", Usage(Tokens(input=number)))

    assert [held.tokens(going_on(f"msg_{number}")) for number in range(3)] == [None, 1, 2]
