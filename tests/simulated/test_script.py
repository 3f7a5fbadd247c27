"""
The content of answers: the standard sentence, a turn of a script, a required tool call, and the limit on output.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from savemode_cli.core.errors import BadInput
from savemode_cli.simulated.answers import Answer, Block
from savemode_cli.simulated.script import answer_to, parse_script, read_script
from tests.support.simulated import asks

TOOL = {"name": "sh", "input_schema": {"type": "object"}}
LOOP: list[dict[str, Any]] = [
    {"thinking": "Look first.", "text": "I run it.", "tool_use": [{"name": "sh", "input": {"cmd": "make"}}]},
    {"text": "It is green.", "output_tokens": 40},
]


def user(said: Any = "hello") -> dict[str, Any]:
    """
    A user message.
    """
    return {"role": "user", "content": said}


def assistant(said: Any = "hello") -> dict[str, Any]:
    """
    An earlier answer.
    """
    return {"role": "assistant", "content": said}


def answer(body: dict[str, Any], script: Any = ()) -> Answer:
    """
    The answer, with one token for four characters.
    """
    return answer_to(body, parse_script(list(script)), lambda text: len(text) // 4, "sim_1")


def said(given: Answer) -> str:
    """
    The texts of an answer.
    """
    return "".join(block.text for block in given.blocks if block.kind == "text")


def test_the_standard_sentence() -> None:
    """
    The sentence says that it is simulated, depends on the last message, and is the same each time.
    """
    got = answer(asks("hello"))

    assert said(got) == "A simulated answer to your last 5 characters (2cf24dba)."
    assert (got.stop_reason, got.output_tokens) == ("end_turn", 14)
    assert got == answer(asks("hello"))
    assert said(got) != said(answer(asks("hellO")))


@pytest.mark.parametrize(
    "messages",
    [
        [user("hello")],
        [user([{"type": "text", "text": "hello"}])],
        [user("x"), assistant(), user("hello")],
        [user("x"), user([{"type": "tool_result", "tool_use_id": "a", "content": "hello"}])],
        [
            user("x"),
            user([{"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": "hello"}]}]),
        ],
        [user([{"type": "image", "source": {}}, {"type": "text", "text": "hello"}])],
    ],
)
def test_the_last_user_text(messages: Any) -> None:
    """
    The text of the user's last message is found in every form of content.
    """
    assert "last 5 characters (2cf24dba)" in said(answer(asks(messages)))


def test_a_conversation_without_user_messages() -> None:
    """
    A conversation with only assistant messages is answered too.
    """
    assert "last 0 characters" in said(answer(asks([assistant("hello")])))


def test_half_a_character() -> None:
    """
    A text that cannot be encoded (a lone surrogate) is answered too.
    """
    assert "last 1 characters" in said(answer(asks("\ud800")))


def test_an_agents_loop() -> None:
    """
    The first turn calls a tool, the second one follows the result, and after the last turn comes the standard sentence.
    """
    first = answer(asks([user()], tools=[TOOL], thinking={"type": "adaptive"}), LOOP)

    assert [block.kind for block in first.blocks] == ["thinking", "text", "tool_use"]
    assert first.blocks[-1] == Block("tool_use", name="sh", arguments={"cmd": "make"}, id="toolu_sim_1_2")
    assert (first.stop_reason, first.thinking_tokens) == ("tool_use", len("Look first.") // 4)
    second = answer(asks([user(), assistant(), user()], tools=[TOOL]), LOOP)
    assert (said(second), second.stop_reason, second.output_tokens) == ("It is green.", "end_turn", 40)
    third = answer(asks([user(), assistant(), user(), assistant(), user()], tools=[TOOL]), LOOP)
    assert "simulated answer" in said(third)


def test_a_prefill_is_not_a_turn() -> None:
    """
    An assistant message at the end is the beginning of this turn, and not an earlier turn.
    """
    assert said(answer(asks([user(), assistant(), user(), assistant("It")]), LOOP)) == "It is green."


def test_a_tool_that_is_not_offered() -> None:
    """
    A request without tools, such as an agent's side request, never gets a tool call.
    """
    assert [block.kind for block in answer(asks([user()]), LOOP).blocks] == ["text"]
    assert (
        answer(asks([user()], tools=[{"type": "web_search_20260209", "name": "web"}]), LOOP).stop_reason == "end_turn"
    )


def test_thinking_needs_thinking_in_the_request() -> None:
    """
    Without thinking in the request, the thinking blocks and their tokens are left out.
    """
    got = answer(asks([user()], tools=[TOOL]), LOOP)

    assert [block.kind for block in got.blocks] == ["text", "tool_use"]
    assert got.thinking_tokens == 0


@pytest.mark.parametrize(
    ("choice", "schema", "arguments"),
    [
        ({"type": "any"}, {"type": "object"}, {}),
        ({"type": "tool", "name": "sh"}, {"type": "object", "properties": {"a": {"type": "string"}}}, {}),
        (
            {"type": "any"},
            {
                "properties": {
                    "text": {"type": "string"},
                    "count": {"type": ["integer", "null"]},
                    "is": {"type": "boolean"},
                    "many": {"type": "array"},
                    "one": {"enum": ["x", "y"]},
                    "fixed": {"const": 5},
                    "usual": {"default": "u"},
                    "inner": {"type": "object", "properties": {"n": {"type": "number"}}, "required": ["n"]},
                    "odd": True,
                },
                "required": ["text", "count", "is", "many", "one", "fixed", "usual", "inner", "odd", "missing", 7],
            },
            {
                "text": "",
                "count": 0,
                "is": False,
                "many": [],
                "one": "x",
                "fixed": 5,
                "usual": "u",
                "inner": {"n": 0},
                "odd": None,
                "missing": None,
            },
        ),
        ({"type": "any"}, {"type": "string"}, {}),
    ],
)
def test_a_required_tool_call(choice: Any, schema: Any, arguments: Any) -> None:
    """
    The required tool is called with the smallest input that its schema allows.
    """
    got = answer(asks("hello", tools=[{"name": "sh", "input_schema": schema}], tool_choice=choice))

    assert [(block.name, block.arguments) for block in got.blocks] == [("sh", arguments)]
    assert got.stop_reason == "tool_use"


def test_a_recursive_schema() -> None:
    """
    The input for a schema that contains itself is cut off at a certain depth.
    """
    schema: dict[str, Any] = {"type": "object", "required": ["again"], "properties": {}}
    schema["properties"]["again"] = schema

    got = answer(asks("hello", tools=[{"name": "sh", "input_schema": schema}], tool_choice={"type": "any"}))
    assert json.dumps(got.blocks[0].arguments).endswith(": null" + "}" * 9)


@pytest.mark.parametrize(
    ("choice", "tools"),
    [
        ({"type": "auto"}, [TOOL]),
        ({"type": "none"}, [TOOL]),
        ({"type": "tool", "name": "other"}, [TOOL]),
        ({"type": "any"}, []),
    ],
)
def test_a_tool_choice_that_requires_no_tool(choice: Any, tools: Any) -> None:
    """
    A tool choice that does not require a tool, or names an unknown one, gets a text.
    """
    assert answer(asks("hello", tools=tools, tool_choice=choice)).stop_reason == "end_turn"


def test_no_output_wanted() -> None:
    """
    `max_tokens: 0` only processes the prompt.
    """
    assert answer(asks("hello", max_tokens=0), LOOP) == Answer((), "max_tokens", 0)


def test_output_is_cut_at_max_tokens() -> None:
    """
    Output above `max_tokens` is cut off, also within a word, and only the sent part is billed.
    """
    got = answer(asks("hello", max_tokens=5))

    assert (said(got), got.stop_reason, got.output_tokens) == ("A simulated answer t", "max_tokens", 5)


def test_a_tool_call_is_never_cut() -> None:
    """
    A part of a tool's input would not be valid JSON.
    """
    got = answer(asks([user()], tools=[TOOL], max_tokens=4), LOOP)

    assert [block.kind for block in got.blocks] == ["text"]
    assert (got.stop_reason, got.output_tokens) == ("max_tokens", 4)


def test_scripted_tokens_are_billed_as_written() -> None:
    """
    The number may exceed the estimate of the text; `max_tokens` limits it.
    """
    script = [{"text": "x" * 100, "output_tokens": 1000}]

    assert answer(asks("hello", max_tokens=2000), script).output_tokens == 1000
    cut = answer(asks("hello", max_tokens=500), script)
    assert (cut.output_tokens, said(cut), cut.stop_reason) == (500, "x" * 50, "max_tokens")


@given(most=st.integers(1, 60), tokens=st.one_of(st.none(), st.integers(0, 100)))
def test_never_more_than_max_tokens(most: int, tokens: int | None) -> None:
    """
    No script produces more than `max_tokens`.
    """
    got = answer(asks([user()], tools=[TOOL], max_tokens=most), [{**LOOP[0], "output_tokens": tokens}])

    assert got.output_tokens <= most
    assert got.thinking_tokens <= got.output_tokens


def test_a_script_in_a_file(tmp_path: Path) -> None:
    """
    An object with turns, or only the list; a single tool call needs no list.
    """
    one = tmp_path / "one.json"
    one.write_text(json.dumps({"turns": [{"tool_use": {"name": "sh"}, "stop_reason": "pause_turn"}]}))
    two = tmp_path / "two.json"
    two.write_text(json.dumps([{"text": "hello"}]))

    (turn,) = read_script(one)
    assert (turn.blocks, turn.stop_reason) == ((Block("tool_use", name="sh", arguments={}),), "pause_turn")
    assert [turn.blocks for turn in read_script(two)] == [(Block("text", "hello"),)]


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("hello", "script must have a list of turns"),
        ({}, "script must have a list of turns"),
        ([5], "script: turns.0 must be an object"),
        ([{}, {"txet": "x"}], "script: turns.1.txet: unknown key"),
        ([{"text": 5}], "script: turns.0.text must be a string"),
        ([{"tool_use": "sh"}], "script: turns.0.tool_use.0 must be a tool call"),
        ([{"tool_use": [{"name": "sh"}, {"input": {}}]}], "script: turns.0.tool_use.1 must be a tool call"),
        ([{"tool_use": [{"name": "sh", "input": "x"}]}], "script: turns.0.tool_use.0 must be a tool call"),
        ([{"stop_reason": "bored"}], "script: turns.0.stop_reason is 'bored'"),
        ([{"output_tokens": -1}], "script: turns.0.output_tokens is -1"),
        ([{"output_tokens": True}], "script: turns.0.output_tokens is True"),
    ],
)
def test_invalid_scripts(script: Any, why: str) -> None:
    """
    The error names the path and what is wrong there.
    """
    with pytest.raises(BadInput) as raised:
        parse_script(script)

    assert raised.value.message == why


def test_unreadable_script_files(tmp_path: Path) -> None:
    """
    The file does not exist or is not JSON.
    """
    with pytest.raises(BadInput, match="no such file or directory"):
        read_script(tmp_path / "missing.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(BadInput, match="is not JSON"):
        read_script(tmp_path / "bad.json")
