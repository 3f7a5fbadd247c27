"""
The script of the demonstration's working day.
"""

import json

from savemode_cli.core.cache.prompt import prompt_of
from savemode_cli.core.wire.facts import facts
from savemode_cli.simulated.script import parse_script
from savemode_cli.simulated.workday import DAY, Agent, filler, script


def test_filler_is_the_same_each_time() -> None:
    """
    The text has the requested length, up to one word; another seed gives another text.
    """
    assert filler(500, 1) == filler(500, 1) != filler(500, 2)
    assert 500 <= len(filler(500, 1)) < 540


def test_script_is_one_of_the_simulated_upstream() -> None:
    """
    The script is valid, and only a text without tool calls ends a turn.
    """
    turns = parse_script(script())

    assert [turn.stop_reason for turn in turns if not turn.tools] == ["end_turn"] * 5
    assert all(turn.stop_reason == "tool_use" for turn in turns if turn.tools)


def test_body_has_the_shape_of_a_coding_agents() -> None:
    """
    Three breakpoints without ttl: two in the system prompt, one on the newest block; earlier content does not change.
    """
    agent = Agent("s")
    agent.ask("Why?")
    first = agent.body()
    agent.add_answer({"content": [{"type": "tool_use", "id": "toolu_1", "name": "read", "input": {}}]}, 100)
    second = agent.body()

    assert [one.path for one in facts(second).breakpoints] == [
        ("system", 1),
        ("system", 2),
        ("messages", 2, "content", 0),
    ]
    chain = prompt_of(first).chain
    assert prompt_of(second).chain[: len(chain)] == chain


def test_agent_stops_where_no_tool_is_called() -> None:
    """
    A text ends the turn, a tool call continues it.
    """
    agent = Agent("s")
    agent.ask("Why?")

    assert not agent.add_answer({"content": [{"type": "text", "text": "Because."}]}, 100)
    assert agent.add_answer({"content": [{"type": "tool_use", "id": "toolu_1", "name": "read", "input": {}}]}, 100)


def test_compaction_replaces_the_conversation() -> None:
    """
    Tools and system stay as they were, and a summary replaces the conversation.
    """
    agent = Agent("s")
    agent.ask("Why?")
    before = agent.body()
    agent.compact({"content": [{"type": "text", "text": "All is done."}]})
    agent.ask("And now?")

    after = json.loads(agent.body())
    assert after["tools"] == json.loads(before)["tools"]
    assert [message["role"] for message in after["messages"]] == ["user", "assistant", "user"]


def test_day_has_pauses_of_every_kind() -> None:
    """
    Pauses of less than 5 minutes, up to an hour, and longer; a sub-agent and a compaction.
    """
    pauses = [scene.pause_min for scene in DAY]

    assert any(pause < 5 for pause in pauses)
    assert {12, 45, 90} <= set(pauses)
    assert {scene.speaker for scene in DAY} == {"agent", "sub-agent", "compaction"}
