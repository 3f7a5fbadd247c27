"""
What a request is compared with, on the simulated upstream.
"""

import pytest

from tests.support.diagnosed import Diagnosed
from tests.support.mutations import LONG, conversation, is_change, marked, replaced
from tests.support.prompts import MARK, MODEL, Object, assistant, text, tool, user

NO_MISS: dict[str, list[Object]] = {
    "grows": [conversation(turns) for turns in range(4)],
    "is-sent-again": [conversation(0), conversation(0)],
    "is-rewound": [
        conversation(0),
        conversation(1),
        conversation(2),
        conversation(3),
        marked(
            conversation(3)
            | {"messages": [*conversation(2)["messages"], assistant(text("Well.")), user(text("No, the other one."))]}
        ),
    ],
    "begins-anew": [
        conversation(0),
        conversation(1),
        marked(conversation(0) | {"messages": [user(text("Something else. " * 300))]}),
    ],
    "another-program": [
        conversation(0),
        {
            "model": MODEL,
            "max_tokens": 9,
            "tools": [tool("search")],
            "system": [text(f"You search. {LONG * 99}", **MARK)],
            "messages": [user(text(f"Search for it. {LONG * 99}", **MARK))],
        },
    ],
    "a-title": [
        conversation(0),
        {"model": "claude-haiku-5-5", "max_tokens": 9, "messages": [conversation(0)["messages"][0]]},
        conversation(1),
    ],
    "system-as-a-string": [
        conversation(0, system=LONG * 80),
        conversation(1, system=[text(LONG * 80)]),
    ],
    "automatic": [
        conversation(0, cache_control={"type": "ephemeral"}),
        conversation(1, cache_control={"type": "ephemeral"}),
    ],
}


@pytest.mark.parametrize("bodies", NO_MISS.values(), ids=NO_MISS)
def test_nothing_was_missed(bodies: list[Object]) -> None:
    """
    What was not cached before cannot be missed.
    """
    program = Diagnosed()
    for body in bodies:
        verdict = program.ask(body)

        assert verdict.misses == (), verdict
        program.wait(seconds=10)


def test_a_sub_agent_has_a_lane_of_its_own() -> None:
    """
    Its first request misses nothing, and its requests do not disturb the main conversation.
    """
    program = Diagnosed()
    program.ask(conversation(2))
    assert program.ask(conversation(0, tools=[tool("search")]), agent="a").misses == ()
    assert program.ask(conversation(1, tools=[tool("search")]), agent="a").misses == ()
    assert program.ask(conversation(3)).misses == ()


def test_a_compacted_history() -> None:
    """
    The client says so, or most of the history was replaced by something short.
    """
    summary = "This session is being continued from a previous conversation. The summary: " + LONG * 200
    program = Diagnosed()
    program.ask(conversation(6))
    body = conversation(0)
    body["messages"] = [user(text(summary)), assistant(text("Yes.")), user(text("Go on."))]
    is_change(program.ask(marked(body)), "compacted", "messages[0].content[0]", None)

    program = Diagnosed()
    program.ask(conversation(8))
    body = conversation(9)
    body["messages"][1:13] = [assistant(text("I did many things.")), user(text("Good."))]
    is_change(program.ask(marked(body)), "compacted", "messages[0].content[0]", None)


def test_a_session_without_a_name_is_compared_with_the_others() -> None:
    """
    A client that names no session gets a key that is made from its system prompt, so that a date in it is a new session.
    """
    program = Diagnosed()
    program.ask(conversation(1), session="a")
    body = conversation(2)
    replaced("11-24", "11-25", "system", 1, "text")(body)
    is_change(program.ask(body, session="b", named=False), "system_changed", "system[1].text", "edited")


def test_a_session_without_a_name_and_with_another_key() -> None:
    """
    Nothing is expected of it: keys of different workspaces share nothing.
    """
    program = Diagnosed()
    program.ask(conversation(0), session="a", payer="a")

    assert program.ask(conversation(0), session="b", named=False, payer="b").misses == ()


def test_a_compacted_history_with_another_system_prompt() -> None:
    """
    The first difference is the cause.
    """
    program = Diagnosed()
    program.ask(conversation(6))
    body = conversation(0)
    body["messages"] = [user(text("This session is being continued from a previous conversation. " + LONG * 200))]
    replaced("good", "bad", "system", 0, "text")(body)
    is_change(program.ask(marked(body)), "system_changed", "system[0].text", "edited")


def test_a_history_that_is_rendered_anew_for_another_model() -> None:
    """
    The same tools and system prompt in the same session: the model is the cause, though hardly a message is the same.
    """
    program = Diagnosed()
    program.ask(conversation(3))
    body = conversation(3)
    body["messages"] = [user(text(f"Another form of it. {LONG * 90}"))]
    (miss,) = program.ask({**marked(body), "model": "claude-sonnet-5"}).misses

    assert (miss.cause, miss.before, miss.after) == ("model_changed", MODEL, "claude-sonnet-5")
