"""
What the API refuses: each rule with its message, and what it does not check.
"""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from savemode_cli.core.wire.facts import facts
from savemode_cli.simulated.validation import MID_SYSTEM_BETA, SCOPE_BETA, marked, validation_error
from tests.benchmarks.bodies import agent_body

BARE = {"type": "ephemeral"}
FIVE = {"type": "ephemeral", "ttl": "5m"}
HOUR = {"type": "ephemeral", "ttl": "1h"}
SYSTEM_ROLE = (
    'messages: Unexpected role "system". The Messages API accepts a top-level `system` parameter, not "system" as an '
    "input message role."
)
ORDER = (
    "a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block. Note that blocks are processed in "
    "the following order: `tools`, `system`, `messages`."
)


def text(said: str = "hello", **more: Any) -> dict[str, Any]:
    """
    A text block.
    """
    return {"type": "text", "text": said, **more}


def user(*blocks: Any) -> dict[str, Any]:
    """
    A user message with these blocks.
    """
    return {"role": "user", "content": list(blocks)}


def assistant(*blocks: Any) -> dict[str, Any]:
    """
    An answer with these blocks.
    """
    return {"role": "assistant", "content": list(blocks)}


def call(number: int = 1) -> dict[str, Any]:
    """
    A tool call.
    """
    return {"type": "tool_use", "id": f"toolu_{number}", "name": "sh", "input": {}}


def result(number: int = 1, **more: Any) -> dict[str, Any]:
    """
    The result of a tool call.
    """
    return {"type": "tool_result", "tool_use_id": f"toolu_{number}", **more}


def body(*messages: Any, **more: Any) -> dict[str, Any]:
    """
    A valid request with these changes.
    """
    found = {"model": "claude-opus-5-5", "max_tokens": 64, "messages": list(messages) or [user(text())], **more}
    return {name: value for name, value in found.items() if value is not ...}


TOOL = {"name": "sh", "input_schema": {"type": "object"}}
THOUGHT = {"type": "thinking", "thinking": "x", "signature": "s"}
EFFORT = {"role": "system", "output_config": {"effort": "medium"}}
EMPTY = "all messages must have non-empty content except for the optional final assistant message"

REFUSED: list[tuple[Any, str]] = [
    ([], "the request body must be a JSON object"),
    (body(model=...), "model: Field required"),
    (body(max_tokens=...), "max_tokens: Field required"),
    (body(messages=...), "messages: Field required"),
    (body(messages=None), "messages: Field required"),
    (body(model=5), "model: Input should be a valid string"),
    (body(messages="hello"), "messages: Input should be a valid list"),
    (body(messages=[]), "messages: at least one message is required"),
    (body(max_tokens="64"), "max_tokens: Input should be a valid integer"),
    (body(max_tokens=True), "max_tokens: Input should be a valid integer"),
    (body(max_tokens=-1), "max_tokens: Input should be greater than or equal to 0"),
    (body(stream="yes"), "stream: Input should be a valid boolean"),
    (body(speed=2), "speed: Input should be a valid string"),
    (body(thinking="yes"), "thinking: Input should be a valid dictionary"),
    (body(tools={}), "tools: Input should be a valid list"),
    (body(tools=["sh"]), "tools.0: Input should be a valid dictionary"),
    (body(tools=[{"input_schema": {}}]), "tools.0.custom.name: Field required"),
    (body(tools=[{"name": "sh"}]), "tools.0.custom.input_schema: Field required"),
    (body(tools=[TOOL, TOOL]), "tools: Tool names must be unique."),
    (body(system=5), "system: Input should be a valid list"),
    (body(system=[{"type": "image"}]), "system.0: Input should be a text block"),
    (body(system=[text("")]), "system: text content blocks must be non-empty"),
    (body("hello"), "messages.0: Input should be a valid dictionary"),
    (body({"content": "hello"}), "messages.0.role: Field required"),
    (body({"role": "tool", "content": "hello"}), "messages.0.role: Input should be 'user' or 'assistant'"),
    (body({"role": "user"}), "messages.0.content: Field required"),
    (body({"role": "user", "content": 5}), "messages.0.content: Input should be a valid string or list"),
    (
        body({"role": "user", "content": ""}),
        "messages.0: all messages must have non-empty content except for the optional final assistant message",
    ),
    (
        body(user(text()), assistant(), user(text())),
        "messages.1: all messages must have non-empty content except for the optional final assistant message",
    ),
    (body(user(text()), {"role": "system", "content": []}), f"messages.1: {EMPTY}"),
    (body(user(text()), {"role": "system", "content": [], "output_config": {}}), f"messages.1: {EMPTY}"),
    (body(user(text()), {"role": "system", "output_config": {}}), "messages.1.content: Field required"),
    (body({**EFFORT, "role": "user", "content": []}, user(text())), f"messages.0: {EMPTY}"),
    (body(user(text()), {**EFFORT, "content": 5}), "messages.1.content: Input should be a valid string or list"),
    (body(user(text()), {**EFFORT, "content": [text("")]}), "messages: text content blocks must be non-empty"),
    (body(stop_sequences="x"), "stop_sequences: Input should be a valid list"),
    (body(temperature="1"), "temperature: Input should be a valid number"),
    (body(container=[]), "container: Input should be a valid string or dictionary"),
    (body(user({"type": "image"})), "messages.0.content.0.image.source: Field required"),
    (
        body(user(text()), assistant({"type": "thinking", "thinking": "x"})),
        "messages.1.content.0.thinking.signature: Field required",
    ),
    (body(user("hello")), "messages.0.content.0: Input should be a valid dictionary"),
    (body(user({})), "messages.0.content.0.type: Field required"),
    (body(user({"type": "text"})), "messages.0.content.0.text.text: Field required"),
    (body(user({"type": "text", "text": 5})), "messages.0.content.0.text.text: Input should be a valid string"),
    (body(user(text(""))), "messages: text content blocks must be non-empty"),
    (
        body(user(text("", cache_control=BARE))),
        "messages.0.content.0: cache_control cannot be set for empty text blocks",
    ),
    (body(assistant({"type": "tool_use", "id": "a"})), "messages.0.content.0.tool_use.name: Field required"),
    (body(user({"type": "tool_result"})), "messages.0.content.0.tool_result.tool_use_id: Field required"),
    (
        body(user(text()), assistant(call()), user(result(content=[text("")]))),
        "messages: text content blocks must be non-empty",
    ),
    (
        body(user(text(), *(text(cache_control=BARE) for _ in range(5)))),
        "A maximum of 4 blocks with cache_control may be provided. Found 5.",
    ),
    (
        body(user(*(text(cache_control=BARE) for _ in range(4))), cache_control=BARE),
        "A maximum of 4 blocks with cache_control may be provided. Found 5.",
    ),
    (
        body(user(text(cache_control=BARE), text(), text(), text(), text(cache_control=HOUR))),
        f"messages.0.content.4.cache_control.ttl: {ORDER}",
    ),
    (
        body(user(text(cache_control=HOUR)), tools=[{**TOOL, "cache_control": FIVE}]),
        f"messages.0.content.0.cache_control.ttl: {ORDER}",
    ),
    (
        body(user(text()), assistant(call()), user(result(content=[text(cache_control=BARE)], cache_control=HOUR))),
        f"messages.2.content.0.cache_control.ttl: {ORDER}",
    ),
    (body(system=[text(cache_control=BARE)], cache_control=HOUR), f"cache_control.ttl: {ORDER}"),
    (
        body(user(text(cache_control=BARE)), cache_control=HOUR),
        "cache_control.ttl: the last block has a cache_control of ttl='5m' already, which ttl='1h' contradicts",
    ),
    (
        body(user(text()), assistant({**THOUGHT, "cache_control": BARE})),
        "messages.1.content.0.thinking.cache_control: Extra inputs are not permitted",
    ),
    (
        body(user(text()), assistant({"type": "redacted_thinking", "data": "x", "cache_control": BARE})),
        "messages.1.content.0.redacted_thinking.cache_control: Extra inputs are not permitted",
    ),
    (body(system=[text(cache_control=5)]), "system.0.cache_control: Input should be a valid dictionary"),
    (body(cache_control="yes"), "cache_control: Input should be a valid dictionary"),
    (body(system=[text(cache_control={})]), "system.0.cache_control.type: Field required"),
    (
        body(system=[text(cache_control={"type": "persistent", "ttl": 3600})]),
        "system.0.cache_control: Input tag 'persistent' found using 'type' does not match any of the expected tags: "
        "'ephemeral'",
    ),
    (
        body(user(text(cache_control={"type": "ephemeral", "ttl": "24h"}))),
        "messages.0.content.0.text.cache_control.ephemeral.ttl: Input should be '5m' or '1h'",
    ),
    (
        body(system=[text(cache_control={**BARE, "scope": "global"})]),
        "system.0.cache_control.ephemeral.scope: Extra inputs are not permitted",
    ),
    (
        body(user(text()), assistant(call()), user(text())),
        "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: toolu_1. Each `tool_use` "
        "block must have a corresponding `tool_result` block in the next message.",
    ),
    (
        body(user(text()), assistant(call(1), call(2))),
        "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: toolu_1, toolu_2. Each "
        "`tool_use` block must have a corresponding `tool_result` block in the next message.",
    ),
    (
        body(user(text(), result())),
        "messages.0.content.1: unexpected `tool_use_id` found in `tool_result` blocks: toolu_1. Each `tool_result` block "
        "must have a corresponding `tool_use` block in the previous message.",
    ),
    (
        body(thinking={"type": "enabled"}),
        "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024",
    ),
    (
        body(thinking={"type": "enabled", "budget_tokens": 2000}),
        "`max_tokens` must be greater than `thinking.budget_tokens`.",
    ),
    (body(max_tokens=0, stream=True), "max_tokens: 0 cannot be combined with stream"),
    (
        body(max_tokens=0, thinking={"type": "enabled", "budget_tokens": 2000}),
        "max_tokens: 0 cannot be combined with thinking.enabled",
    ),
    (
        body(max_tokens=0, output_config={"format": {"type": "json_schema"}}),
        "max_tokens: 0 cannot be combined with output_config.format",
    ),
    (body(max_tokens=0, tool_choice={"type": "any"}), "max_tokens: 0 cannot be combined with tool_choice"),
]


@pytest.mark.parametrize(("asked", "sentence"), REFUSED, ids=lambda value: value[:60] if isinstance(value, str) else "")
def test_refused(asked: Any, sentence: str) -> None:
    """
    The message names the first error and its path.
    """
    assert validation_error(asked) == sentence


TAKEN: list[tuple[str, Any]] = [
    ("plain", body()),
    ("a string for content", body({"role": "user", "content": "hello"})),
    ("a string for system", body(system="be careful")),
    ("null for what may be left out", body(system=None, tools=None, stream=None, thinking=None, cache_control=None)),
    ("four markers", body(user(*(text(cache_control=BARE) for _ in range(4))))),
    ("null is no marker", body(user(*(text(cache_control=None) for _ in range(9))))),
    ("1h before 5m", body(user(text(cache_control=HOUR), text(cache_control=FIVE)))),
    ("a ttl of null", body(user(text(cache_control={**BARE, "ttl": None})))),
    ("automatic with the last block's own ttl", body(user(text(cache_control=FIVE)), cache_control=BARE)),
    ("automatic behind a string", body({"role": "user", "content": "hello"}, cache_control=HOUR)),
    (
        "automatic past a block that cannot carry it",
        body(user(text()), assistant(THOUGHT), cache_control=HOUR),
    ),
    (
        "automatic with nothing to go to",
        body(assistant({"type": "redacted_thinking", "data": "x"}), cache_control=HOUR),
    ),
    ("an empty last answer", body(user(text()), assistant())),
    ("a call and its result", body(user(text()), assistant(call()), user(result()))),
    ("results in two messages", body(user(text()), assistant(call(1), call(2)), user(result(1)), user(result(2)))),
    ("a system message", body(user(text()), {"role": "system", "content": "now"}, user(text()))),
    ("a system message that only sets the effort", body(user(text()), {**EFFORT, "content": []})),
    ("the same without the key", body(user(text()), EFFORT, assistant(text()), user(text()))),
    ("the same in front", body({**EFFORT, "content": []}, user(text()))),
    (
        "a system message with an empty setting",
        body(user(text()), {"role": "system", "content": "x", "output_config": {}}),
    ),
    ("a temperature", body(temperature=1, top_p=0.5, top_k=3)),
    ("a kind of block that is not known here", body(user({"type": "hologram", "of": 3}))),
    ("a key that is not known here", body(invented=True)),
    ("a server's tool", body(tools=[{"type": "web_search_20260209", "name": "web_search"}])),
    ("no output at all", body(max_tokens=0)),
    ("thinking within its budget", body(max_tokens=4096, thinking={"type": "enabled", "budget_tokens": 2000})),
    ("markers in the user's own data", body(tools=[{**TOOL, "input_schema": {"cache_control": {"type": "x"}}}])),
    ("blocks of a document", body(user({"type": "document", "source": {"type": "content", "content": [text(), "x"]}}))),
]


@pytest.mark.parametrize(("name", "asked"), TAKEN, ids=[name for name, _ in TAKEN])
def test_accepted(name: str, asked: Any) -> None:
    """
    What the API accepts, or may accept, is not refused.
    """
    assert validation_error(asked) is None


@pytest.mark.parametrize("model", ["claude-sonnet-5", "claude-opus-4-1", "claude-haiku-4-5"])
def test_system_message_of_older_models(model: str) -> None:
    """
    Models without mid-conversation system messages refuse them unless the beta is named; no model accepts one as the
    first message.
    """
    late = body(user(text()), {"role": "system", "content": "now"}, model=model)

    assert validation_error(late) == SYSTEM_ROLE
    assert validation_error(late, frozenset({MID_SYSTEM_BETA})) is None
    assert validation_error(body({"role": "system", "content": "now"}), frozenset({MID_SYSTEM_BETA})) == SYSTEM_ROLE


def test_scope_with_its_beta() -> None:
    """
    The undocumented key is accepted with the beta that the vendor's client names.
    """
    assert (
        validation_error(body(system=[text(cache_control={**BARE, "scope": "global"})]), frozenset({SCOPE_BETA}))
        is None
    )


def test_count_tokens_needs_no_max_tokens() -> None:
    """
    Counting tokens needs no limit for the output.
    """
    assert validation_error(body(max_tokens=...), counting=True) is None
    assert validation_error(body(max_tokens=..., messages=...), counting=True) == "messages: Field required"


@pytest.mark.parametrize("ttl", ["5m", "1h"])
def test_an_old_model_accepts_no_ttl(ttl: str) -> None:
    """
    An API without `ttl` refuses 5m like 1h, and accepts a breakpoint without ttl.
    """
    asked = body(user(text()), system=[text(cache_control={**BARE, "ttl": ttl})])

    assert (
        validation_error(asked, accepts_ttl=False)
        == "system.0.cache_control.ephemeral.ttl: Extra inputs are not permitted"
    )
    assert validation_error(body(system=[text(cache_control=BARE)]), accepts_ttl=False) is None


def test_an_agents_body_is_accepted() -> None:
    """
    A long conversation with tools, as an agent sends it.
    """
    from msgspec.json import decode

    assert validation_error(decode(agent_body(200 * 1024))) is None


blocks = st.builds(
    lambda control, said: text(said, **control),
    st.sampled_from([{}, {"cache_control": BARE}, {"cache_control": HOUR}, {"cache_control": None}]),
    st.sampled_from(["x", "cache_control"]),
)
contents = st.lists(blocks, min_size=1, max_size=3)


@given(tools=contents, system=contents, said=contents, nested=contents, automatic=st.sampled_from([None, BARE, HOUR]))
def test_breakpoints_are_those_that_the_proxy_finds(
    tools: list[Any], system: list[Any], said: list[Any], nested: list[Any], automatic: Any
) -> None:
    """
    The proxy's reader of bodies and this one find the same breakpoints in the same order.
    """
    from msgspec.json import encode

    asked = body(
        user(*said, result(content=nested), {"type": "document", "source": {"type": "content", "content": nested}}),
        tools=[{**TOOL, **one} for one in tools],
        system=system,
        cache_control=automatic,
    )

    found = facts(encode(asked)).breakpoints
    assert [path for path, _ in marked(asked)] == [one.path for one in found]
