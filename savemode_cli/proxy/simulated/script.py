"""
What the simulated upstream says: a line of its own, or what a script has for this place in the conversation.

Rule of this file: the same request gets the same words. Which turn of a script it is, is counted in the request (the
assistant's messages in it), not in the upstream, so that a retry, a second client and a run from the beginning all find
their place.

A script is JSON, an object with `turns`, or the list of turns itself:

    {"turns": [
      {"thinking": "Look first.", "text": "I run it.", "tool_use": [{"name": "sh", "input": {"cmd": "make"}}]},
      {"text": "The build is green.", "output_tokens": 800, "stop_reason": "end_turn"}
    ]}

A turn that calls a tool which the request does not offer is not played, nor is one behind the last; a line of our own is
said then. `output_tokens` is what is billed, in place of an estimate.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from savemode_cli.core.errors import BadInput
from savemode_cli.proxy.simulated.answers import Answer, Block, Kind

Object = dict[str, Any]
Estimate = Callable[[str], int]
"""Characters to tokens, roughly: no tokenizer is public."""

STOP_REASONS = ("end_turn", "tool_use", "max_tokens", "stop_sequence", "pause_turn", "refusal")
_KEYS = ("text", "thinking", "tool_use", "stop_reason", "output_tokens")
_DEEPEST_SAMPLE = 8


@dataclass(frozen=True, slots=True)
class Turn:
    """
    One answer of a script; its tool calls have no ids yet.
    """

    blocks: tuple[Block, ...]
    stop_reason: str
    output_tokens: int | None = None

    @property
    def tools(self) -> set[str]:
        """
        The names of the tools it calls.
        """
        return {block.name for block in self.blocks if block.kind == "tool_use"}


Script = tuple[Turn, ...]


def read_script(path: Path) -> Script:
    """
    The script in a file.

    Raises:
        BadInput: it cannot be read, or is no script.
    """
    try:
        return parse_script(msgspec.json.decode(path.read_bytes()), str(path))
    except OSError as error:
        raise BadInput(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(f"{path} is not JSON: {error}", hint=_FORM) from error


_FORM = 'a script is {"turns": [{"text": "...", "tool_use": [{"name": "...", "input": {}}]}, ...]}'


def parse_script(read: object, place: str = "script") -> Script:
    """
    The script in a JSON value; `place` is for the error.

    Raises:
        BadInput: naming the path and what is allowed there.
    """
    turns = read.get("turns") if isinstance(read, dict) else read
    if not isinstance(turns, list):
        raise BadInput(f"{place}: no list of turns", hint=_FORM)
    return tuple(_turn(turn, f"{place}: turns.{index}") for index, turn in enumerate(turns))


def _turn(turn: object, place: str) -> Turn:
    if not isinstance(turn, dict):
        raise BadInput(f"{place} is no object", hint=_FORM)
    for key in turn:
        if key not in _KEYS:
            raise BadInput(f"{place}.{key}: there is no such key", hint=f"keys: {', '.join(_KEYS)}")
    blocks = (*_said(turn, place), *_calls(turn.get("tool_use", []), place))
    reason = turn.get("stop_reason", "tool_use" if any(one.kind == "tool_use" for one in blocks) else "end_turn")
    if reason not in STOP_REASONS:
        raise BadInput(f"{place}.stop_reason is {reason!r}", hint=f"one of {', '.join(STOP_REASONS)}")
    tokens = turn.get("output_tokens")
    if tokens is not None and (not isinstance(tokens, int) or isinstance(tokens, bool) or tokens < 0):
        raise BadInput(f"{place}.output_tokens is {tokens!r}", hint="a number of tokens")
    return Turn(blocks, reason, tokens)


def _said(turn: Object, place: str) -> Iterator[Block]:
    kinds: tuple[Kind, ...] = ("thinking", "text")
    for kind in kinds:
        said = turn.get(kind)
        if not isinstance(said, str | None):
            raise BadInput(f"{place}.{kind} is no text")
        if said:
            yield Block(kind, said)


def _calls(calls: object, place: str) -> Iterator[Block]:
    for index, call in enumerate(calls if isinstance(calls, list) else [calls]):
        name = call.get("name") if isinstance(call, dict) else None
        arguments = call.get("input", {}) if isinstance(call, dict) else None
        if not isinstance(name, str) or not isinstance(arguments, dict):
            hint = 'like {"name": "sh", "input": {"cmd": "make"}}'
            raise BadInput(f"{place}.tool_use.{index} is no tool call", hint=hint)
        yield Block("tool_use", name=name, arguments=arguments)


def answer_to(body: Object, script: Script, estimate: Estimate, answer_id: str) -> Answer:
    """
    What is said to this request, which is one without objections. `answer_id` makes the ids of tool calls.
    """
    most = body["max_tokens"]
    if most == 0:
        return Answer((), "max_tokens", 0)
    turn = _scripted(body, script) or _forced(body) or _line(body)
    thinks = (body.get("thinking") or {}).get("type") in ("enabled", "adaptive")
    blocks = tuple(
        _named(turn, answer_id) if thinks else (one for one in _named(turn, answer_id) if one.kind != "thinking")
    )
    tokens = sum(estimate(block.said) for block in blocks) if turn.output_tokens is None else turn.output_tokens
    reason = turn.stop_reason
    if tokens > most:
        blocks, tokens, reason = tuple(_cut(blocks, most, tokens)), most, "max_tokens"
    thought = sum(estimate(block.said) for block in blocks if block.kind == "thinking")
    return Answer(blocks, reason, tokens, min(thought, tokens))


def _named(turn: Turn, answer_id: str) -> Iterator[Block]:
    for index, block in enumerate(turn.blocks):
        yield replace(block, id=f"toolu_{answer_id}_{index}") if block.kind == "tool_use" else block


def _scripted(body: Object, script: Script) -> Turn | None:
    # Behind the last answer the user speaks; an assistant's message in the end is one that is to be continued.
    place = sum(message["role"] == "assistant" for message in body["messages"][:-1])
    if place >= len(script):
        return None
    turn = script[place]
    offered = [tool.get("name") for tool in body.get("tools") or ()]
    return turn if all(name in offered for name in turn.tools) else None


def _forced(body: Object) -> Turn | None:
    """
    A call of the tool that the request insists on, with the plainest input its schema allows.
    """
    choice = body.get("tool_choice") or {}
    tools = [tool for tool in body.get("tools") or () if isinstance(tool.get("input_schema"), dict)]
    if choice.get("type") == "tool":
        tools = [tool for tool in tools if tool.get("name") == choice.get("name")]
    elif choice.get("type") != "any":
        return None
    if not tools:
        return None
    arguments = _sample(tools[0]["input_schema"])
    call = Block("tool_use", name=tools[0]["name"], arguments=arguments if isinstance(arguments, dict) else {})
    return Turn((call,), "tool_use")


def _sample(schema: object, depth: int = 0) -> object:
    if not isinstance(schema, dict) or depth > _DEEPEST_SAMPLE:
        return None
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    if isinstance(schema.get("enum"), list) and schema["enum"]:
        return schema["enum"][0]
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) and kind else kind  # a list of alternatives
    if kind == "object" or (kind is None and "properties" in schema):
        properties, required = schema.get("properties"), schema.get("required")
        known = properties if isinstance(properties, dict) else {}
        names = [name for name in required if isinstance(name, str)] if isinstance(required, list) else []
        return {name: _sample(known.get(name), depth + 1) for name in names}
    plain: dict[str, object] = {"string": "", "integer": 0, "number": 0, "boolean": False, "array": []}
    return plain.get(str(kind))


def _line(body: Object) -> Turn:
    said = _last_words(body["messages"])
    digest = hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return Turn((Block("text", f"A simulated answer to your last {len(said):,} characters ({digest})."),), "end_turn")


def _last_words(messages: list[Object]) -> str:
    """
    The text of the user's last message, tool results included.
    """
    last = next((one for one in reversed(messages) if one["role"] == "user"), None)
    return "" if last is None else "\n".join(_texts(last["content"]))


def _texts(content: object) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        for block in content:
            if isinstance(block, dict):
                text = block.get("text")
                yield from _texts(text if isinstance(text, str) else block.get("content"))


def _cut(blocks: tuple[Block, ...], most: int, tokens: int) -> Iterator[Block]:
    """
    As much of the blocks as `most` of `tokens` pay for. A tool call is whole or is not there.
    """
    left = sum(len(block.said) for block in blocks) * most // tokens
    for block in blocks:
        length = len(block.said)
        if length <= left:
            yield block
        elif left > 0 and block.kind != "tool_use":
            yield replace(block, text=block.text[:left])
        left -= length
        if left <= 0:
            return
