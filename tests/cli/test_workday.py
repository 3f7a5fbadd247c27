"""
The script of the demonstration's day.
"""

import json

from savemode_cli.cli.workday import DAY, Agent, filler, script
from savemode_cli.core.messages import facts
from savemode_cli.core.prompt import prompt_of
from savemode_cli.proxy.simulated.script import parse_script


def test_filler_is_the_same_each_time() -> None:
    """
    As long as asked for, by a word; another seed is another text.
    """
    assert filler(500, 1) == filler(500, 1) != filler(500, 2)
    assert 500 <= len(filler(500, 1)) < 540


def test_script_is_one_of_the_simulated_upstream() -> None:
    """
    It is read without objection, and only words end a turn.
    """
    turns = parse_script(script())

    assert [turn.stop_reason for turn in turns if not turn.tools] == ["end_turn"] * 5
    assert all(turn.stop_reason == "tool_use" for turn in turns if turn.tools)


def test_body_has_the_shape_of_a_coding_agents() -> None:
    """
    Three bare breakpoints: two on the system, one on the newest block; what came before stays as it was.
    """
    agent = Agent("s")
    agent.ask("Why?")
    first = agent.body()
    agent.hear({"content": [{"type": "tool_use", "id": "toolu_1", "name": "read", "input": {}}]}, 100)
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
    Words end the turn, a call goes on.
    """
    agent = Agent("s")
    agent.ask("Why?")

    assert not agent.hear({"content": [{"type": "text", "text": "Because."}]}, 100)
    assert agent.hear({"content": [{"type": "tool_use", "id": "toolu_1", "name": "read", "input": {}}]}, 100)


def test_compaction_begins_anew() -> None:
    """
    Tools and system are what they were, the conversation is its summary.
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
    Within 5 minutes, up to an hour, beyond it; a sub-agent and a compaction.
    """
    pauses = [scene.pause_min for scene in DAY]

    assert any(pause < 5 for pause in pauses)
    assert {12, 45, 90} <= set(pauses)
    assert {scene.speaker for scene in DAY} == {"agent", "sub-agent", "compaction"}
