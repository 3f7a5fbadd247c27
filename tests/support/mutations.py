"""
A conversation, and ways to change one of its requests.
"""

from collections.abc import Callable
from typing import Any

from savemode_cli.core.diagnosis.causes import Cause, Verdict
from tests.support.diagnosed import copied
from tests.support.prompts import MARK, MODEL, Object, assistant, call, result, text, tool, user

LONG = "Read the whole of it before you answer. "
IMAGE: dict[str, Any] = {
    "type": "image",
    "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="},
}
DOCUMENT = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": LONG * 100}}
THINKING = {"type": "thinking", "thinking": "Let me look. " * 20, "signature": "c2ln" * 40}


def conversation(turns: int, *, opening: tuple[Object, ...] = (), **more: Any) -> Object:
    """
    A request after so many answers, with a breakpoint on the system prompt and on its last block.
    """
    messages = [user(*opening, text(f"Please do it. {LONG * 60}"))]
    for turn in range(turns):
        words = {"rows": [{"line": turn, "words": LONG * 40}], "total": 1}
        messages.append(assistant(THINKING, text(f"I look at {turn}."), call(f"toolu_{turn}")))
        messages.append(user(result(f"toolu_{turn}", str(words).replace("'", '"')), text(f"Reminder {turn}.")))
    body = {
        "model": MODEL,
        "max_tokens": 64,
        "tools": [tool("read"), tool("write"), tool("run")],
        "system": [text(f"You are good. {LONG * 40}"), text(f"Today is 2026-11-24. {LONG * 40}", **MARK)],
        "messages": messages,
        "thinking": {"type": "adaptive"},
        **more,
    }
    return marked(body)


def marked(body: Object, control: Object = MARK) -> Object:
    """
    The same with a breakpoint on its last block.
    """
    changed = copied(body)
    for message in changed["messages"]:
        for block in message["content"]:
            block.pop("cache_control", None)
    changed["messages"][-1]["content"][-1] |= control
    return changed


Mutation = Callable[[Object], Any]


def set_(*path: Any, value: Any) -> Mutation:
    """
    Write a value into the body.
    """

    def mutate(body: Object) -> None:
        place: Any = body
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value

    return mutate


def insert(*path: Any, value: Any) -> Mutation:
    """
    Put a value before a place of a list.
    """

    def mutate(body: Object) -> None:
        place: Any = body
        for step in path[:-1]:
            place = place[step]
        place.insert(path[-1], value)

    return mutate


def remove(*path: Any) -> Mutation:
    """
    Take an item of a list out.
    """

    def mutate(body: Object) -> None:
        place: Any = body
        for step in path[:-1]:
            place = place[step]
        del place[path[-1]]

    return mutate


def swap(name: str, one: int, other: int) -> Mutation:
    """
    Exchange two items of a list.
    """

    def mutate(body: Object) -> None:
        items = body[name]
        items[one], items[other] = items[other], items[one]

    return mutate


def backwards(*path: Any) -> Mutation:
    """
    Turn the order of an object's keys around.
    """

    def mutate(body: Object) -> None:
        place: Any = body
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = dict(reversed(place[path[-1]].items()))

    return mutate


def replaced(old: str, new: str, *path: Any) -> Mutation:
    """
    Replace a part of a text.
    """

    def mutate(body: Object) -> None:
        place: Any = body
        for step in path[:-1]:
            place = place[step]
        assert old in place[path[-1]]
        place[path[-1]] = place[path[-1]].replace(old, new)

    return mutate


def is_change(verdict: Verdict, cause: Cause, at: str, kind: str | None) -> None:
    """
    Check the one cause of a verdict.
    """
    assert [(miss.cause, miss.at, miss.change) for miss in verdict.misses] == [(cause, at, kind)]
    assert verdict.unexplained_tokens == 0


SEARCH = {"type": "web_search_20250305", "name": "web_search"}
