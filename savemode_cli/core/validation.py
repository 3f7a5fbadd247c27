"""
What the API refuses with a 400, and in which words.

Rule of this file: only what the API is known to refuse is refused; a field or a type of block that is not known here
passes, for the API gains them faster than we learn of them. Nothing is repaired.

Sentences marked "exact" were reported from the real API. The others keep its form (a path, a colon, what was wrong), but
their wording is ours: a client must not match it.
Source: https://platform.claude.com/docs/en/build-with-claude/prompt-caching and .../api/errors (checked 2026-11-23).
"""

import re
from collections.abc import Iterator
from itertools import chain
from typing import Any

from savemode_cli.core.messages import CONTROL, FIVE_MINUTES, ONE_HOUR, TTL, Path, dotted, order_errors

MOST_BREAKPOINTS = 4

SCOPE_BETA = "prompt-caching-scope-2026-01-05"
MID_SYSTEM_BETA = "mid-conversation-system-2026-04-07"

_EXTRA = "Extra inputs are not permitted"
_REQUIRED = "Field required"
_MID_SYSTEM = re.compile(r"opus-4-8|opus-5|fable|mythos|-5-5")
_CANNOT_CARRY = ("thinking", "redacted_thinking")

Object = dict[str, Any]


def objection(
    body: object, betas: frozenset[str] = frozenset(), *, counting: bool = False, knows_ttl: bool = True
) -> str | None:
    """
    The sentence with which the API would refuse this body; None if it would not.

    `counting` is for count_tokens, which needs no `max_tokens`. Without `knows_ttl` the API is an old one, as Bedrock
    has it for models before 4.5, that takes no `ttl` at all, not even 5m.
    """
    if not isinstance(body, dict):
        return "the request body must be a JSON object"
    # Each check may rely on the ones before it: nothing is looked at behind the first sentence.
    sentences = chain(
        _fields(body, counting=counting),
        _tools(body.get("tools")),
        _system(body.get("system")),
        _messages(body["messages"] if isinstance(body.get("messages"), list) else [], body, betas),
        _markers(body, betas, knows_ttl=knows_ttl),
        _pairs(body),
        _thinking(body, counting=counting),
    )
    return next(sentences, None)


_TYPES: tuple[tuple[str, type, str], ...] = (
    ("model", str, "string"),
    ("messages", list, "list"),
    ("max_tokens", int, "integer"),
    ("stream", bool, "boolean"),
    ("tool_choice", dict, "dictionary"),
    ("thinking", dict, "dictionary"),
    ("metadata", dict, "dictionary"),
    ("output_config", dict, "dictionary"),
    ("speed", str, "string"),
)


def _fields(body: Object, *, counting: bool) -> Iterator[str]:
    for name in ("model", "messages") if counting else ("model", "max_tokens", "messages"):
        if body.get(name) is None:
            yield f"{name}: {_REQUIRED}"
    for name, kind, words in _TYPES:
        value = body.get(name)
        # To Python true is a number, to JSON it is none.
        if value is not None and (not isinstance(value, kind) or (kind is int and isinstance(value, bool))):
            yield f"{name}: Input should be a valid {words}"
    if not body["messages"]:
        yield "messages: at least one message is required"
    if (body.get("max_tokens") or 0) < 0:
        yield "max_tokens: Input should be greater than or equal to 0"


def _tools(tools: Any) -> Iterator[str]:
    if not isinstance(tools, list | None):
        yield "tools: Input should be a valid list"
    seen: set[str] = set()
    for index, tool in enumerate(tools or ()):
        if not isinstance(tool, dict):
            yield f"tools.{index}: Input should be a valid dictionary"
        if tool.get("type", "custom") not in ("custom", None):
            continue  # a server's own tool; each kind has fields of its own
        name = tool.get("name")
        if not isinstance(name, str) or not name:
            yield f"tools.{index}.custom.name: {_REQUIRED}"
        if not isinstance(tool.get("input_schema"), dict):
            yield f"tools.{index}.custom.input_schema: {_REQUIRED}"
        if name in seen:
            yield "tools: Tool names must be unique."
        seen.add(name)


def _system(system: Any) -> Iterator[str]:
    if not isinstance(system, str | list | None):
        yield "system: Input should be a valid list"
    for index, block in enumerate(system if isinstance(system, list) else ()):
        if not isinstance(block, dict) or block.get("type") != "text" or not isinstance(block.get("text"), str):
            yield f"system.{index}: Input should be a text block"
        if not block["text"]:
            yield _empty(("system", index), block)


def _messages(messages: list[Any], body: Object, betas: frozenset[str]) -> Iterator[str]:
    late_system = MID_SYSTEM_BETA in betas or _MID_SYSTEM.search(body["model"]) is not None
    for index, message in enumerate(messages):
        if not isinstance(message, dict):
            yield f"messages.{index}: Input should be a valid dictionary"
        role, content = message.get("role"), message.get("content")
        if role == "system" and not (late_system and index):
            yield (
                'messages: Unexpected role "system". The Messages API accepts a top-level `system` parameter, not '
                '"system" as an input message role.'
            )
        elif role not in ("user", "assistant", "system"):
            missing = _REQUIRED if role is None else "Input should be 'user' or 'assistant'"
            yield f"messages.{index}.role: {missing}"
        if content is None:
            yield f"messages.{index}.content: {_REQUIRED}"
        if not isinstance(content, str | list):
            yield f"messages.{index}.content: Input should be a valid string or list"
        if not content and not (role == "assistant" and index == len(messages) - 1):
            yield (
                f"messages.{index}: all messages must have non-empty content except for the optional final assistant "
                "message"
            )
        if isinstance(content, list):
            yield from _blocks(content, ("messages", index, "content"))


def _blocks(content: list[Any], at: Path) -> Iterator[str]:
    for index, block in enumerate(content):
        if not isinstance(block, dict):
            yield f"{dotted((*at, index))}: Input should be a valid dictionary"
        kind = block.get("type")
        if not isinstance(kind, str):
            yield f"{dotted((*at, index, 'type'))}: {_REQUIRED}"
        for name, wanted in _PARTS.get(kind, ()):
            if not isinstance(block.get(name), wanted):
                missing = _REQUIRED if block.get(name) is None else "Input should be of another type"
                yield f"{dotted((*at, index, kind, name))}: {missing}"
        if kind == "text" and not block["text"]:
            yield _empty((*at, index), block)
        nested = block.get("content")
        if kind == "tool_result" and isinstance(nested, list):
            yield from _blocks(nested, (*at, index, "content"))


_PARTS: dict[str, tuple[tuple[str, type], ...]] = {
    "text": (("text", str),),
    "tool_use": (("id", str), ("name", str), ("input", dict)),
    "tool_result": (("tool_use_id", str),),
}
"""What a block of these kinds must have."""


def _empty(path: Path, block: Object) -> str:
    if block.get(CONTROL) is not None:
        return f"{dotted(path)}: {CONTROL} cannot be set for empty text blocks"
    return f"{path[0]}: text content blocks must be non-empty"


def marked(body: Object) -> list[tuple[Path, Object]]:
    """
    What carries a `cache_control`, in the order in which the API evaluates it: nested blocks before the one that holds
    them, the request itself last. The body is one without objections to its shape.
    """
    found: list[tuple[Path, Object]] = []
    for section in ("tools", "system"):
        _collect(body.get(section), (section,), found)
    for index, message in enumerate(body["messages"]):
        _collect(message["content"], ("messages", index, "content"), found)
    if body.get(CONTROL) is not None:
        found.append(((), body))
    return found


def _collect(blocks: object, at: Path, found: list[tuple[Path, Object]]) -> None:
    if not isinstance(blocks, list):
        return
    for index, block in enumerate(blocks):
        if not isinstance(block, dict):
            continue
        nested = block.get("content")
        if isinstance(nested, list):
            _collect(nested, (*at, index, "content"), found)
        source = block.get("source")
        if isinstance(source, dict) and isinstance(source.get("content"), list):
            _collect(source["content"], (*at, index, "source", "content"), found)
        if block.get(CONTROL) is not None:
            found.append(((*at, index), block))


def _markers(body: Object, betas: frozenset[str], *, knows_ttl: bool) -> Iterator[str]:
    found = marked(body)
    for path, block in found:
        yield from _marker(_place(path, block), block, betas, knows_ttl=knows_ttl)
    if len(found) > MOST_BREAKPOINTS:
        # Exact, for markers on blocks. That automatic caching is counted with them is documented, its words are not.
        yield f"A maximum of {MOST_BREAKPOINTS} blocks with {CONTROL} may be provided. Found {len(found)}."
    lifetimes = [(path, block[CONTROL].get(TTL) or FIVE_MINUTES) for path, block in found]
    if found and found[-1][0] == ():
        yield from _automatic(body, dict(lifetimes))
    yield from order_errors(lifetimes)  # exact


def _marker(place: str, block: Object, betas: frozenset[str], *, knows_ttl: bool) -> Iterator[str]:
    control = block[CONTROL]
    if block.get("type") in _CANNOT_CARRY:
        yield f"{place}.{CONTROL}: {_EXTRA}"  # exact
    if not isinstance(control, dict):
        yield f"{place}.{CONTROL}: Input should be a valid dictionary".removeprefix(".")
    at = f"{place}.{CONTROL}".removeprefix(".")
    kind = control.get("type")
    if kind is None:
        yield f"{at}.type: {_REQUIRED}"
    if kind != "ephemeral":
        yield f"{at}: Input tag {kind!r} found using 'type' does not match any of the expected tags: 'ephemeral'"
    if TTL in control and not knows_ttl:
        yield f"{at}.ephemeral.{TTL}: {_EXTRA}"  # exact behind the place, as old Bedrock models have it
    if control.get(TTL) not in (None, FIVE_MINUTES, ONE_HOUR):
        yield f"{at}.ephemeral.{TTL}: Input should be '{FIVE_MINUTES}' or '{ONE_HOUR}'"
    for key in control:
        if key not in ("type", TTL) and not (key == "scope" and SCOPE_BETA in betas):
            yield f"{at}.ephemeral.{key}: {_EXTRA}"  # exact for `scope` in a system block


def _place(path: Path, block: Object) -> str:
    """
    The path of what holds a marker as the API's parser names it: with the kind of block, which system blocks have not.
    """
    match path[:1]:
        case ():
            return ""
        case ("system",):
            return dotted(path)
        case ("tools",):
            return f"{dotted(path)}.{block.get('type') or 'custom'}"
    return f"{dotted(path)}.{block.get('type')}"


def _automatic(body: Object, lifetimes: dict[Path, str]) -> Iterator[str]:
    """
    The request's own marker goes to the last block that can carry one, which may have another lifetime already.
    """
    for index, message in reversed(list(enumerate(body["messages"]))):
        content = message["content"]
        if isinstance(content, str):
            return
        for place, block in reversed(list(enumerate(content))):
            if block["type"] in _CANNOT_CARRY:
                continue
            path: Path = ("messages", index, "content", place)
            if lifetimes.get(path, lifetimes[()]) != lifetimes[()]:
                yield (
                    f"{CONTROL}.{TTL}: the last block has a {CONTROL} of ttl='{lifetimes[path]}' already, which "
                    f"ttl='{lifetimes[()]}' contradicts"
                )
            return


def _pairs(body: Object) -> Iterator[str]:
    """
    Every tool call is followed by its result, and every result follows its call.
    """
    asked: set[str] = set()
    last = -1
    for index, role, blocks in _turns(body["messages"]):
        given = {block["tool_use_id"]: place for place, block in blocks if block["type"] == "tool_result"}
        if asked and not asked <= given.keys():
            missing = ", ".join(sorted(asked - given.keys()))
            yield (
                f"messages.{last}: `tool_use` ids were found without `tool_result` blocks immediately after: {missing}. "
                "Each `tool_use` block must have a corresponding `tool_result` block in the next message."
            )
        for one, place in given.items():
            if one not in asked:
                yield (
                    f"messages.{index}.content.{place}: unexpected `tool_use_id` found in `tool_result` blocks: {one}. "
                    "Each `tool_result` block must have a corresponding `tool_use` block in the previous message."
                )
        asked = {block["id"] for _, block in blocks if block["type"] == "tool_use"} if role == "assistant" else set()
        last = index
    if asked:
        yield (
            f"messages.{last}: `tool_use` ids were found without `tool_result` blocks immediately after: "
            f"{', '.join(sorted(asked))}. Each `tool_use` block must have a corresponding `tool_result` block in the next "
            "message."
        )


def _turns(messages: list[Object]) -> list[tuple[int, str, list[tuple[int, Object]]]]:
    """
    The messages as the API joins them: neighbours of one role are one, and system messages are no turns. The number is
    that of the last one of a turn.
    """
    turns: list[tuple[int, str, list[tuple[int, Object]]]] = []
    for index, message in enumerate(messages):
        role, content = message["role"], message["content"]
        if role == "system":
            continue
        blocks = list(enumerate(content)) if isinstance(content, list) else []
        if turns and turns[-1][1] == role:
            turns[-1] = (index, role, turns[-1][2] + blocks)
        else:
            turns.append((index, role, blocks))
    return turns


def _thinking(body: Object, *, counting: bool) -> Iterator[str]:
    thinking = body.get("thinking") or {}
    enabled = thinking.get("type") == "enabled"
    budget = thinking.get("budget_tokens")
    if enabled and (not isinstance(budget, int) or budget < 1024):
        yield "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024"
    if counting:
        return
    if body["max_tokens"] == 0:
        choice = (body.get("tool_choice") or {}).get("type")
        forbidden = {
            "stream": body.get("stream") is True,
            "thinking.enabled": enabled,
            "output_config.format": (body.get("output_config") or {}).get("format") is not None,
            "tool_choice": choice in ("tool", "any"),
        }
        for name, given in forbidden.items():
            if given:
                yield f"max_tokens: 0 cannot be combined with {name}"
    elif enabled and body["max_tokens"] <= budget:
        yield "`max_tokens` must be greater than `thinking.budget_tokens`."
