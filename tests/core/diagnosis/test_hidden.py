"""
What a request changed, on the simulated upstream: a conversation of three requests, of which the third is changed in one way.
"""

import pytest

from savemode_cli.core.diagnosis.causes import Cause
from tests.support.changes import CHANGES
from tests.support.diagnosed import Diagnosed, copied
from tests.support.mutations import (
    IMAGE,
    LONG,
    Mutation,
    conversation,
    is_change,
    marked,
    replaced,
)
from tests.support.prompts import MARK, MODEL, Object, assistant, text, user


@pytest.mark.parametrize(
    ("mutation", "cause", "at", "kind"), [row[1:] for row in CHANGES], ids=[row[0] for row in CHANGES]
)
def test_one_change(mutation: Mutation, cause: Cause, at: str, kind: str | None) -> None:
    """
    Each change has its cause, its place and its kind, and all that was missed belongs to it.
    """
    program = Diagnosed()
    program.ask(conversation(1))
    program.ask(conversation(2))
    assert program.verdicts[-1].misses == ()
    body = conversation(3)
    mutation(body)
    if cause not in ("no_breakpoint", "out_of_reach"):
        body = marked(body)
    is_change(program.ask(body), cause, at, kind)


def test_a_date_is_told_from_words() -> None:
    """
    In the system prompt and in the first message: nothing but numbers, dates and IDs changed.
    """
    for path, old, new in (
        (("system", 1, "text"), "2026-11-24", "2026-11-25"),
        (("system", 1, "text"), "Today is", "Now it is"),
    ):
        program = Diagnosed()
        program.ask(conversation(1))
        body = conversation(2)
        replaced(old, new, *path)(body)
        assert [miss.values_only for miss in program.ask(body).misses] == [old == "2026-11-24"]


def test_parameters_tell_both_values() -> None:
    """
    From and to; one that is not sent is absent.
    """
    program = Diagnosed()
    program.ask(conversation(1))
    (miss,) = program.ask(conversation(2, output_config={"effort": "low"})).misses

    assert (miss.parameter, miss.before, miss.after) == ("effort", "absent", '"low"')


def test_a_removed_image_is_found_where_it_was() -> None:
    """
    The only image of a prompt is a parameter of the messages; one of several is a block.
    """
    program = Diagnosed()
    program.ask(conversation(1, opening=(IMAGE,)))
    (miss,) = program.ask(conversation(2)).misses
    assert (miss.cause, miss.at, miss.before, miss.after) == (
        "parameters_changed",
        "messages[0].content[0]",
        "on",
        "off",
    )

    program = Diagnosed()
    other = {**IMAGE, "source": {**IMAGE["source"], "data": "AAAA"}}
    program.ask(conversation(1, opening=(other, IMAGE)))
    is_change(program.ask(conversation(2, opening=(IMAGE,))), "messages_changed", "messages[0].content[0]", "removed")


def test_an_older_model_forgets_thinking() -> None:
    """
    With the next message of a person it drops the thinking of earlier turns, whatever the client sends.
    """
    program = Diagnosed()
    more: Object = {"model": "claude-sonnet-4-5", "thinking": {"type": "enabled", "budget_tokens": 1024}}
    program.ask({**conversation(2, **more), "max_tokens": 2000})
    body = conversation(2, **more) | {"max_tokens": 2000}
    body["messages"] += [assistant(text("Done.")), user(text("Now the other one."))]
    verdict = program.ask(marked(body))

    is_change(verdict, "messages_changed", "messages[1].content[0]", "removed")
    assert verdict.misses[0].forgotten


def test_no_breakpoint_at_all() -> None:
    """
    The dearest miss: what was sent before is paid for again in full. The place is where a breakpoint would have been.
    """
    program = Diagnosed()
    bodies = [copied(conversation(turns)) for turns in (1, 2)]
    for body in bodies:
        body["messages"][-1]["content"][-1].pop("cache_control")
        body["system"][1].pop("cache_control")
    program.ask(bodies[0])
    is_change(program.ask(bodies[1]), "no_breakpoint", "messages[2].content[1]", None)


def test_a_breakpoint_on_the_system_prompt_alone() -> None:
    """
    The messages have none.
    """
    program = Diagnosed()
    bodies = [copied(conversation(turns)) for turns in (3, 4)]
    for body in bodies:
        body["messages"][-1]["content"][-1].pop("cache_control")
    program.ask(bodies[0])
    is_change(program.ask(bodies[1]), "no_breakpoint", "messages[6].content[1]", None)


def test_a_prompt_that_is_too_short() -> None:
    """
    Breakpoints below the model's minimum have no effect.
    """
    program = Diagnosed()
    for words in ("one", "two"):
        verdict = program.ask(
            {
                "model": MODEL,
                "max_tokens": 9,
                "system": [text("Be good. " * 99, **MARK)],
                "messages": [user(text(words))],
            }
        )

    is_change(verdict, "too_short", "system[0]", None)


def test_one_shot_requests_with_a_date() -> None:
    """
    Each is a conversation of its own, but the system prompt is the same one.
    """
    program = Diagnosed()
    for minute in range(3):
        system = [text(f"It is 12:0{minute}. {LONG * 99}", **MARK)]
        verdict = program.ask(
            {"model": MODEL, "max_tokens": 9, "system": system, "messages": [user(text(f"Classify {minute * 'x'}."))]}
        )

    is_change(verdict, "system_changed", "system[0].text", "edited")
    assert verdict.misses[0].values_only


def test_a_breakpoint_that_moved_backwards() -> None:
    """
    It looks at an entry, and what was missed stands behind it: that is not out of reach, and so for the request after it.
    """
    program = Diagnosed()
    program.ask(conversation(2))
    for _ in range(2):
        body = copied(conversation(2))
        del body["messages"][-1]["content"][-1]["cache_control"]
        body["messages"][-2]["content"][-1] |= MARK
        body["messages"][-1]["content"].append(text("Sum it up."))
        (miss,) = program.ask(body).misses

        assert miss.cause == "no_breakpoint"
