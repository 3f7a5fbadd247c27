"""
A working day of a coding agent as a script, and the request bodies of its agents.

Rule of this file: the day is invented and deterministic, but has the structure of real ones: tools and system come first
and do not change, there are three breakpoints (two in the system prompt, one on the newest block), tool calls in a loop,
and pauses of typical lengths.
Source of the structure: Claude Code 2.1.330 on loopback (2026-11-23), and the pauses of 43 developers (arXiv 2606.30560).
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import cycle, islice
from typing import Any

MODEL = "claude-opus-5-5"
_BARE = {"type": "ephemeral"}
_TEXT = (
    "the build fails because a test expects the old path while module loads config before cache is warm and returns "
    "early so retry waits on lock until worker releases it then writes result to disk with checksum of every chunk"
)
_TOOL_NAMES = (
    "read",
    "edit",
    "write",
    "list",
    "find",
    "grep",
    "run",
    "test",
    "diff",
    "blame",
    "commit",
    "branch",
    "fetch",
    "plan",
    "ask",
    "note",
    "lint",
    "format",
    "type",
    "bench",
)
_TOOL_CHARS, _SYSTEM_CHARS, _RESULT_CHARS = 1_500, 7_000, 10_000


@dataclass(frozen=True, slots=True)
class Scene:
    """
    A part of the day.

    Attributes:
        title: its name on the screen.
        pause_min: the pause before it, in minutes.
        speaker: which agent runs: the main one, a sub-agent, or a compaction.
        asks: the user's message.
        result_chars: the length of each tool result.
    """

    title: str
    pause_min: int = 0
    speaker: str = "agent"
    asks: str = ""
    result_chars: int = _RESULT_CHARS


DAY = (
    Scene("first question", asks="Why is the build red?", result_chars=14_000),
    Scene("quick reply", 2, asks="Fix it, and run the tests."),
    Scene("after a coffee", 12, asks="Now the flaky one."),
    Scene("sub-agent searches", speaker="sub-agent", asks="Find every caller of the old loader."),
    Scene("after a meeting", 45, asks="Rename it everywhere."),
    Scene("compaction", 1, speaker="compaction", asks="Summarise what was done so far."),
    Scene("on with the summary", 2, asks="Go on with the second package."),
    Scene("after a long lunch", 90, asks="And the third."),
    Scene("after a call", 6, asks="Write the change log."),
    Scene("one more", 1, asks="And tag the release."),
)

# How many answers each turn has. All but the last answer of a turn call a tool.
_CALLS_PER_TURN = (4, 3, 4, 3, 1)


def script() -> list[dict[str, Any]]:
    """
    The answers for the simulated upstream. A sub-agent and a compaction start again at the first answer.
    """
    turns: list[dict[str, Any]] = []
    for count in _CALLS_PER_TURN:
        names = islice(cycle(_TOOL_NAMES), len(turns), len(turns) + count - 1)
        calls = ({"tool_use": [{"name": name, "input": {"path": "src/loader"}}]} for name in names)
        turns += [{"text": "Let me see.", "output_tokens": 260, **call} for call in calls]
        turns.append({"text": "Done: " + filler(400, len(turns)), "output_tokens": 700})
    return turns


def filler(chars: int, seed: int) -> str:
    """
    A text without meaning of about this length. Different seeds give different texts.
    """
    vocabulary = _TEXT.split()
    state, words, length = seed * 7919 + 17, [f"#{seed}"], 0
    while length < chars:
        state = (state * 1_103_515_245 + 12_345) % 2**31
        words.append(vocabulary[(state >> 8) % len(vocabulary)])
        length += len(words[-1]) + 1
    return " ".join(words)


@dataclass
class Agent:
    """
    One conversation. A sub-agent has the session of its parent and a `name` of its own.
    """

    session: str
    name: str = ""
    messages: list[dict[str, Any]] = field(default_factory=list)
    _spoken: int = 0

    @property
    def headers(self) -> dict[str, str]:
        """
        The headers that identify the session and the agent.
        """
        own = {"x-claude-code-session-id": self.session}
        return {**own, "x-claude-code-agent-id": self.name} if self.name else own

    def ask(self, text: str) -> None:
        """
        Add a message of the user, or of the agent that called this one.
        """
        self.messages.append({"role": "user", "content": [{"type": "text", "text": text}]})

    def add_answer(self, answer: dict[str, Any], result_chars: int) -> bool:
        """
        Add an answer and the results of its tool calls.

        Returns:
            Whether the agent must send another request.
        """
        self.messages.append({"role": "assistant", "content": answer["content"]})
        results = [self._result(block, result_chars) for block in answer["content"] if block["type"] == "tool_use"]
        if results:
            self.messages.append({"role": "user", "content": results})
        return bool(results)

    def compact(self, answer: dict[str, Any]) -> None:
        """
        Replace the conversation by a summary.
        """
        self.messages = []
        self.ask("What was done so far: " + answer["content"][0]["text"] + filler(6_000, 99))
        self.messages.append({"role": "assistant", "content": [{"type": "text", "text": "I go on from there."}]})

    def body(self) -> bytes:
        """
        The body of the next request.
        """
        role = "You search, and report." if self.name else "You are a careful engineer."
        system = [
            {"type": "text", "text": role},
            {"type": "text", "text": filler(_SYSTEM_CHARS, 1), "cache_control": _BARE},
            {"type": "text", "text": filler(_SYSTEM_CHARS // 3, 3 if self.name else 2), "cache_control": _BARE},
        ]
        return json.dumps(
            {
                "model": MODEL,
                "max_tokens": 8192,
                "system": system,
                "tools": list(_tools(5 if self.name else len(_TOOL_NAMES))),
                "messages": [*self.messages[:-1], _marked(self.messages[-1])],
            }
        ).encode()

    def _result(self, call: dict[str, Any], chars: int) -> dict[str, Any]:
        self._spoken += 1
        text = filler(chars, self._spoken + 100 * len(self.name))
        return {"type": "tool_result", "tool_use_id": call["id"], "content": [{"type": "text", "text": text}]}


def _marked(message: dict[str, Any]) -> dict[str, Any]:
    *before, last = message["content"]
    return {**message, "content": [*before, {**last, "cache_control": _BARE}]}


def _tools(count: int) -> Iterator[dict[str, Any]]:
    for number, name in enumerate(_TOOL_NAMES[:count]):
        properties = {"path": {"type": "string", "description": filler(200, number + 50)}}
        yield {
            "name": name,
            "description": filler(_TOOL_CHARS, number + 20),
            "input_schema": {"type": "object", "properties": properties},
        }
