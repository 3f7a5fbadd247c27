"""
The content of simulated answers: a standard sentence, or the turn of a script for this place in the conversation.

Rule of this file: the same request gets the same content. The number of the turn is the number of assistant messages in
the request, and the upstream keeps no count. So a retry, a second client and a new run all get the right turn.

A script is a JSON object with `turns`, or only the list of turns:

    {"turns": [
      {"thinking": "Look first.", "text": "I run it.", "tool_use": [{"name": "sh", "input": {"cmd": "make"}}]},
      {"text": "The build is green.", "output_tokens": 800, "stop_reason": "end_turn"}
    ]}

The answer is the standard sentence if the script has no turn for this place, or if the turn calls a tool that the request
does not offer. `output_tokens` is the number of tokens that is billed, instead of an estimate.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from savemode_cli.core.errors import BadInput, reason
from savemode_cli.simulated.answers import Answer, Block, Kind

Object = dict[str, Any]
Estimate = Callable[[str], int]
"""Estimates the number of tokens of a text. No tokenizer is public."""

STOP_REASONS = ("end_turn", "tool_use", "max_tokens", "stop_sequence", "pause_turn", "refusal")
_KEYS = ("text", "thinking", "tool_use", "stop_reason", "output_tokens")
_MAX_SAMPLE_DEPTH = 8


@dataclass(frozen=True, slots=True)
class Turn:
    """
    One answer of a script. Its tool calls have no IDs yet.
    """

    blocks: tuple[Block, ...]
    stop_reason: str
    output_tokens: int | None = None

    @property
    def tools(self) -> set[str]:
        """
        The names of the tools that it calls.
        """
        return {block.name for block in self.blocks if block.kind == "tool_use"}


Script = tuple[Turn, ...]


def read_script(path: Path) -> Script:
    """
    Read a script from a file.

    Raises:
        BadInput: the file cannot be read, or it is not a script.
    """
    try:
        return parse_script(msgspec.json.decode(path.read_bytes()), str(path))
    except OSError as error:
        raise BadInput(f"cannot read {path}: {reason(error)}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(f"{path} is not JSON: {error}", hint=_EXAMPLE) from error


_EXAMPLE = 'a script is {"turns": [{"text": "...", "tool_use": [{"name": "...", "input": {}}]}, ...]}'


def parse_script(read: object, place: str = "script") -> Script:
    """
    Parse a script from a JSON value.

    Args:
        read: the decoded JSON.
        place: where the script comes from, for error messages.

    Raises:
        BadInput: the value is not a script; the error names the path and what is allowed there.
    """
    turns = read.get("turns") if isinstance(read, dict) else read
    if not isinstance(turns, list):
        raise BadInput(f"{place} must have a list of turns", hint=_EXAMPLE)
    return tuple(_turn(turn, f"{place}: turns.{index}") for index, turn in enumerate(turns))


def _turn(turn: object, place: str) -> Turn:
    if not isinstance(turn, dict):
        raise BadInput(f"{place} must be an object", hint=_EXAMPLE)
    for key in turn:
        if key not in _KEYS:
            raise BadInput(f"{place}.{key}: unknown key", hint=f"keys: {', '.join(_KEYS)}")
    blocks = (*_text_blocks(turn, place), *_tool_calls(turn.get("tool_use", []), place))
    reason = turn.get("stop_reason", "tool_use" if any(block.kind == "tool_use" for block in blocks) else "end_turn")
    if reason not in STOP_REASONS:
        raise BadInput(f"{place}.stop_reason is {reason!r}", hint=f"it must be one of {', '.join(STOP_REASONS)}")
    tokens = turn.get("output_tokens")
    if tokens is not None and (not isinstance(tokens, int) or isinstance(tokens, bool) or tokens < 0):
        raise BadInput(f"{place}.output_tokens is {tokens!r}", hint="it must be a number of tokens")
    return Turn(blocks, reason, tokens)


def _text_blocks(turn: Object, place: str) -> Iterator[Block]:
    kinds: tuple[Kind, ...] = ("thinking", "text")
    for kind in kinds:
        text = turn.get(kind)
        if not isinstance(text, str | None):
            raise BadInput(f"{place}.{kind} must be a string")
        if text:
            yield Block(kind, text)


def _tool_calls(calls: object, place: str) -> Iterator[Block]:
    for index, call in enumerate(calls if isinstance(calls, list) else [calls]):
        name = call.get("name") if isinstance(call, dict) else None
        arguments = call.get("input", {}) if isinstance(call, dict) else None
        if not isinstance(name, str) or not isinstance(arguments, dict):
            hint = 'like {"name": "sh", "input": {"cmd": "make"}}'
            raise BadInput(f"{place}.tool_use.{index} must be a tool call", hint=hint)
        yield Block("tool_use", name=name, arguments=arguments)


def answer_to(body: Object, script: Script, estimate: Estimate, answer_id: str) -> Answer:
    """
    The answer to a valid request.

    Args:
        body: the decoded request; `validation` has accepted it.
        script: the turns, if there are any.
        estimate: estimates the tokens of a text.
        answer_id: the base of the IDs of tool calls.
    """
    max_tokens = body["max_tokens"]
    if max_tokens == 0:
        return Answer((), "max_tokens", 0)
    turn = _scripted(body, script) or _forced(body) or _standard_sentence(body)
    thinks = (body.get("thinking") or {}).get("type") in ("enabled", "adaptive")
    blocks = tuple(block for block in _with_ids(turn, answer_id) if thinks or block.kind != "thinking")
    tokens = (
        sum(estimate(block.streamed_text) for block in blocks) if turn.output_tokens is None else turn.output_tokens
    )
    reason = turn.stop_reason
    if tokens > max_tokens:
        blocks, tokens, reason = tuple(_cut(blocks, max_tokens, tokens)), max_tokens, "max_tokens"
    thought = sum(estimate(block.streamed_text) for block in blocks if block.kind == "thinking")
    return Answer(blocks, reason, tokens, min(thought, tokens))


def _with_ids(turn: Turn, answer_id: str) -> Iterator[Block]:
    for index, block in enumerate(turn.blocks):
        yield replace(block, id=f"toolu_{answer_id}_{index}") if block.kind == "tool_use" else block


def _scripted(body: Object, script: Script) -> Turn | None:
    # An assistant message at the end is the beginning of this answer (a prefill), so it is not counted.
    index = sum(message["role"] == "assistant" for message in body["messages"][:-1])
    if index >= len(script):
        return None
    turn = script[index]
    offered = [tool.get("name") for tool in body.get("tools") or ()]
    return turn if all(name in offered for name in turn.tools) else None


def _forced(body: Object) -> Turn | None:
    """
    A call of the tool that the request requires (`tool_choice`), with the smallest input that its schema allows.
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
    if not isinstance(schema, dict) or depth > _MAX_SAMPLE_DEPTH:
        return None
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    if isinstance(schema.get("enum"), list) and schema["enum"]:
        return schema["enum"][0]
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) and kind else kind  # a list of alternative types
    if kind == "object" or (kind is None and "properties" in schema):
        properties, required = schema.get("properties"), schema.get("required")
        known = properties if isinstance(properties, dict) else {}
        names = [name for name in required if isinstance(name, str)] if isinstance(required, list) else []
        return {name: _sample(known.get(name), depth + 1) for name in names}
    plain: dict[str, object] = {"string": "", "integer": 0, "number": 0, "boolean": False, "array": []}
    return plain.get(str(kind))


def _standard_sentence(body: Object) -> Turn:
    text = _last_user_text(body["messages"])
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return Turn((Block("text", f"A simulated answer to your last {len(text):,} characters ({digest})."),), "end_turn")


def _last_user_text(messages: list[Object]) -> str:
    """
    The text of the last user message, including tool results.
    """
    last = next((message for message in reversed(messages) if message["role"] == "user"), None)
    return "" if last is None else "\n".join(_texts(last["content"]))


def _texts(content: object) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        for block in content:
            if isinstance(block, dict):
                text = block.get("text")
                yield from _texts(text if isinstance(text, str) else block.get("content"))


def _cut(blocks: tuple[Block, ...], max_tokens: int, tokens: int) -> Iterator[Block]:
    """
    As much of the blocks as fits into `max_tokens` of `tokens`. A tool call is included whole or not at all.
    """
    remaining = sum(len(block.streamed_text) for block in blocks) * max_tokens // tokens
    for block in blocks:
        length = len(block.streamed_text)
        if length <= remaining:
            yield block
        elif remaining > 0 and block.kind != "tool_use":
            yield replace(block, text=block.text[:remaining])
        remaining -= length
        if remaining <= 0:
            return
