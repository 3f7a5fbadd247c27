"""
What the API refuses with a 400, and with which message.

Rule of this file: it only refuses what the API is known to refuse. An unknown field or an unknown type of block is
accepted, because the API adds new ones often. Nothing is repaired.

Messages marked "exact" were reported from the real API. The others have its form (a path, a colon, what is wrong), but
their wording is savemode's own: a client must not match it.
Source: https://platform.claude.com/docs/en/build-with-claude/prompt-caching and .../api/errors (checked 2026-11-23).
"""

import re
from collections.abc import Iterator
from itertools import chain
from typing import Any

from savemode_cli.core.wire.messages import CONTROL, FIVE_MINUTES, ONE_HOUR, TTL, Path, dotted, order_errors
from savemode_cli.simulated.request_types import FIELDS, PARTS, is_kind

MAX_BREAKPOINTS = 4

SCOPE_BETA = "prompt-caching-scope-2026-01-05"
MID_SYSTEM_BETA = "mid-conversation-system-2026-04-07"
MID_SYSTEM_BETAS = frozenset(
    {
        MID_SYSTEM_BETA,
        "mid-conversation-output-config-2026-07-01",
        "mid-conversation-system-clear-at-2026-08-21",
        "mid-conversation-tool-changes-2026-07-01",
        "per-turn-control-2026-07-01",
    }
)
"""
The betas that allow system messages in the middle of a conversation. Claude Code names the last one, the SDK the others.
"""

_EXTRA = "Extra inputs are not permitted"
_REQUIRED = "Field required"
_MID_SYSTEM = re.compile(r"opus-4-8|opus-5|fable|mythos|-5-5")
_CANNOT_CARRY = ("thinking", "redacted_thinking")

Object = dict[str, Any]


def validation_error(
    body: object, betas: frozenset[str] = frozenset(), *, counting: bool = False, accepts_ttl: bool = True
) -> str | None:
    """
    The message with which the API would refuse this body; None if it would accept it.

    Args:
        body: the decoded body.
        betas: the values of `anthropic-beta`.
        counting: whether this is a call of count_tokens, which needs no `max_tokens`.
        accepts_ttl: False simulates an old API, such as models before 4.5 on Bedrock, that refuses every `ttl`, even 5m.
    """
    if not isinstance(body, dict):
        return "the request body must be a JSON object"
    # Each check relies on the checks before it. The generators are lazy, so nothing after the first error runs.
    errors = chain(
        _fields(body, counting=counting),
        _tools(body.get("tools")),
        _system(body.get("system")),
        _messages(body["messages"] if isinstance(body.get("messages"), list) else [], body, betas),
        _markers(body, betas, accepts_ttl=accepts_ttl),
        _pairs(body),
        _thinking(body, counting=counting),
    )
    return next(errors, None)


def _fields(body: Object, *, counting: bool) -> Iterator[str]:
    for name in ("model", "messages") if counting else ("model", "max_tokens", "messages"):
        if body.get(name) is None:
            yield f"{name}: {_REQUIRED}"
    for name, kind in FIELDS.items():
        if body.get(name) is not None and not is_kind(body[name], kind):
            yield f"{name}: Input should be a valid {kind}"
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
            continue  # a server tool; each type has its own fields
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
    for index, message in enumerate(messages):
        at = f"messages.{index}"
        if not isinstance(message, dict):
            yield f"{at}: Input should be a valid dictionary"
        yield from _role(message, at, body, betas, is_first=not index)
        content = message.get("content")
        if _configures(message):
            # Such a message needs no `content`.
            if content is not None and not isinstance(content, str | list):
                yield f"{at}.content: Input should be a valid string or list"
        else:
            yield from _content(message, at, is_last=index == len(messages) - 1)
        if isinstance(content, list):
            yield from _blocks(content, ("messages", index, "content"))


def _role(message: Object, at: str, body: Object, betas: frozenset[str], *, is_first: bool) -> Iterator[str]:
    role = message.get("role")
    if role == "system":
        takes = not MID_SYSTEM_BETAS.isdisjoint(betas) or _MID_SYSTEM.search(body["model"]) is not None
        if not takes or (is_first and not _configures(message)):
            yield (
                'messages: Unexpected role "system". The Messages API accepts a top-level `system` parameter, not '
                '"system" as an input message role.'
            )
    elif role not in ("user", "assistant"):
        wrong = _REQUIRED if role is None else "Input should be 'user' or 'assistant'"
        yield f"{at}.role: {wrong}"


def _configures(message: Object) -> bool:
    """
    Whether this is a system message that changes settings for the rest of the conversation. Claude Code sends one after a
    compaction.

    Source: the SDK's `BetaSystemMessageParam`: a message with neither content nor a field in `output_config` is refused.
    """
    return message.get("role") == "system" and bool(message.get("output_config"))


def _content(message: Object, at: str, *, is_last: bool) -> Iterator[str]:
    content = message.get("content")
    if content is None:
        yield f"{at}.content: {_REQUIRED}"
    if not isinstance(content, str | list):
        yield f"{at}.content: Input should be a valid string or list"
    if not content and not (message["role"] == "assistant" and is_last):
        yield f"{at}: all messages must have non-empty content except for the optional final assistant message"


def _blocks(content: list[Any], at: Path) -> Iterator[str]:
    for index, block in enumerate(content):
        if not isinstance(block, dict):
            yield f"{dotted((*at, index))}: Input should be a valid dictionary"
        kind = block.get("type")
        if not isinstance(kind, str):
            yield f"{dotted((*at, index, 'type'))}: {_REQUIRED}"
        for name, wanted in PARTS.get(kind, ()):
            if not is_kind(block.get(name), wanted):
                missing = _REQUIRED if block.get(name) is None else f"Input should be a valid {wanted}"
                yield f"{dotted((*at, index, kind, name))}: {missing}"
        if kind == "text" and not block["text"]:
            yield _empty((*at, index), block)
        nested = block.get("content")
        if kind == "tool_result" and isinstance(nested, list):
            yield from _blocks(nested, (*at, index, "content"))


def _empty(path: Path, block: Object) -> str:
    if block.get(CONTROL) is not None:
        return f"{dotted(path)}: {CONTROL} cannot be set for empty text blocks"
    return f"{path[0]}: text content blocks must be non-empty"


def marked(body: Object) -> list[tuple[Path, Object]]:
    """
    The objects that have a `cache_control`, in the order in which the API evaluates them: nested blocks before the block
    that contains them, the request itself last.

    Args:
        body: a decoded body whose structure is valid.
    """
    found: list[tuple[Path, Object]] = []
    for section in ("tools", "system"):
        _collect(body.get(section), (section,), found)
    for index, message in enumerate(body["messages"]):
        _collect(message.get("content"), ("messages", index, "content"), found)
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


def _markers(body: Object, betas: frozenset[str], *, accepts_ttl: bool) -> Iterator[str]:
    found = marked(body)
    for path, block in found:
        yield from _marker(_place(path, block), block, betas, accepts_ttl=accepts_ttl)
    if len(found) > MAX_BREAKPOINTS:
        # Exact for breakpoints on blocks. The documentation says that automatic caching counts too, but not with which message.
        yield f"A maximum of {MAX_BREAKPOINTS} blocks with {CONTROL} may be provided. Found {len(found)}."
    lifetimes = [(path, block[CONTROL].get(TTL) or FIVE_MINUTES) for path, block in found]
    if found and found[-1][0] == ():
        yield from _automatic(body, dict(lifetimes))
    yield from order_errors(lifetimes)  # exact


def _marker(place: str, block: Object, betas: frozenset[str], *, accepts_ttl: bool) -> Iterator[str]:
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
    if TTL in control and not accepts_ttl:
        yield f"{at}.ephemeral.{TTL}: {_EXTRA}"  # exact after the path, from old Bedrock models
    if control.get(TTL) not in (None, FIVE_MINUTES, ONE_HOUR):
        yield f"{at}.ephemeral.{TTL}: Input should be '{FIVE_MINUTES}' or '{ONE_HOUR}'"
    for key in control:
        if key not in ("type", TTL) and not (key == "scope" and SCOPE_BETA in betas):
            yield f"{at}.ephemeral.{key}: {_EXTRA}"  # exact for `scope` in a system block


def _place(path: Path, block: Object) -> str:
    """
    The path of the object that has a breakpoint, as the API's parser names it: with the type of the block, except for
    system blocks.
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
    The request's own breakpoint applies to the last block that can have one. That block may already have another TTL.
    """
    for index, message in reversed(list(enumerate(body["messages"]))):
        content = message.get("content") or []
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
    Every tool call must be followed by its result, and every result must follow its call.
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
        for tool_use_id, place in given.items():
            if tool_use_id not in asked:
                yield (
                    f"messages.{index}.content.{place}: unexpected `tool_use_id` found in `tool_result` blocks: {tool_use_id}. "
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
    The messages as the API joins them: adjacent messages of one role form one turn, and system messages form no turn. The
    number is the index of the last message of the turn.
    """
    turns: list[tuple[int, str, list[tuple[int, Object]]]] = []
    for index, message in enumerate(messages):
        role, content = message["role"], message.get("content")
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
