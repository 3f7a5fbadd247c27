"""
How often a conversation has called the same tool with the same input, read from the body.
"""

import json
from typing import Any

import pytest

from savemode_cli.core.wire.facts import facts
from savemode_cli.core.wire.repeats import NO_CALL, RepeatedCall, repeated_call, seen_row
from savemode_cli.core.wire.request_body import decode_body
from tests.support.streams import text, tool_use

RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "done"}


def turns(*calls: dict[str, Any]) -> list[dict[str, Any]]:
    """
    A prompt, and each call with its result.
    """
    pairs = [
        message
        for call in calls
        for message in ({"role": "assistant", "content": [call]}, {"role": "user", "content": [RESULT]})
    ]
    return [{"role": "user", "content": "go"}, *pairs]


def last_call(messages: Any) -> RepeatedCall:
    """
    What the facts of a body say.
    """
    return facts(json.dumps({"model": "m", "messages": messages}).encode()).last_call


LS, PWD = tool_use("Bash", {"command": "ls"}), tool_use("Bash", {"command": "pwd"})


def test_the_row_at_the_end_counts() -> None:
    """
    Another input, or another tool, begins a new row.
    """
    assert last_call(turns(LS, LS, PWD, PWD, PWD)) == RepeatedCall("Bash", 3)
    assert last_call(turns(LS, LS, LS, tool_use("Read", {"command": "ls"}))) == RepeatedCall("Read", 1)
    assert last_call(turns(LS, LS, LS)) == RepeatedCall("Bash", 3)


def test_parallel_calls_count_one_by_one() -> None:
    """
    In their order in the message; texts between them do not end the row.
    """
    both = {"role": "assistant", "content": [text("again"), LS, LS]}
    answers = {"role": "user", "content": [RESULT, RESULT, text("a reminder")]}

    assert last_call([*turns(LS), both, answers]) == RepeatedCall("Bash", 3)


READ = tool_use("Read", {"file_path": "a"})


@pytest.mark.parametrize(
    ("calls", "tool", "count"),
    [
        ([LS, PWD] * 4, "Bash, Bash", 4),
        ([READ, LS] * 4 + [READ], "Read, Bash", 4),
        ([READ, LS, PWD] * 3, "Read, Bash, Bash", 3),
        ([READ, LS, PWD] * 3 + [READ, LS], "Read, Bash, Bash", 3),
        ([PWD, READ, LS, READ, LS], "Read, Bash", 2),
        ([READ, LS] * 3 + [PWD], "Bash", 1),
        ([READ, LS] * 3 + [LS], "Bash", 2),
        ([LS, LS, READ] * 2, "Bash, Bash, Read", 2),
        ([READ, LS, PWD, tool_use("Read", {"file_path": "b"})] * 3, "Read", 1),
    ],
)
def test_rounds_of_two_and_three_calls(calls: list[dict[str, Any]], tool: str, count: int) -> None:
    """
    A round counts when it is complete, and its tools are named from its first call on. Longer rounds are not looked for.
    """
    assert last_call(turns(*calls)) == RepeatedCall(tool, count)


def test_a_person_ends_the_row() -> None:
    """
    A message without a result of a tool is a person's.
    """
    again = {"role": "user", "content": [text("try once more")]}

    assert last_call([*turns(LS, LS), again, *turns(LS)[1:]]) == RepeatedCall("Bash", 1)
    assert last_call([*turns(LS, LS), again]) == NO_CALL


def test_the_row_goes_on_from_messages_that_were_read_before() -> None:
    """
    Wherever they are divided in two or three parts.
    """
    again = {"role": "user", "content": [text("once more")]}
    said = [*turns(LS, LS), again, *turns(PWD, LS, LS, PWD, LS)[1:], {"role": "assistant", "content": "done"}]
    for length in range(len(said) + 1):
        read = decode_body(json.dumps({"messages": said[:length]}).encode()).messages
        assert isinstance(read, list)
        for one in range(length + 1):
            for other in range(one, length + 1):
                row = seen_row(read[one:other], seen_row(read[:one]))
                assert repeated_call(read[other:], row) == repeated_call(read) == last_call(said[:length])


def test_input_with_a_marker_inside() -> None:
    """
    A key that savemode numbers in its own copy of the body does not make two inputs differ.
    """
    write = tool_use("Write", {"body": {"cache_control": {"type": "ephemeral"}, "a": [{"cache_control": None}]}})

    assert last_call(turns(write, write)) == RepeatedCall("Write", 2)


@pytest.mark.parametrize("name", ["", "a b", "x" * 129, "\x1b[31m", 7, None])
def test_names_that_the_api_does_not_allow_are_left_out(name: Any) -> None:
    """
    They are counted, and not repeated to anybody.
    """
    call = {**LS, "name": name}

    assert last_call(turns(call, call)) == RepeatedCall("", 2)


@pytest.mark.parametrize("messages", [None, 7, "text", {}, [], [7], [{"role": "assistant", "content": "hi"}], [[LS]]])
def test_odd_bodies(messages: Any) -> None:
    """
    What is not a conversation has made no call.
    """
    assert last_call(messages) == NO_CALL


def test_other_blocks_are_not_calls() -> None:
    """
    Calls that the API runs itself, and calls in a message that is not the model's, do not count.
    """
    assert last_call(turns({**LS, "type": "server_tool_use"})) == NO_CALL
    assert last_call([{"role": "user", "content": [RESULT, LS]}]) == NO_CALL
