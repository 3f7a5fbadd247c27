"""
The validation of the simulated upstream against the request types of the installed SDK, field by field.

Every value that a type allows must be accepted; otherwise a program that the API serves would fail here. Every required
field must be required, and every value that a type does not allow must be refused; otherwise a program that the API
refuses would work here. Values that a `Literal` does not list are accepted, because the API adds new ones before the SDK
does.
"""

from collections.abc import Iterator
from typing import Any

import anthropic
import msgspec
import pytest
import typing_extensions as te
from anthropic.types import message_count_tokens_params, message_create_params
from anthropic.types.beta import message_count_tokens_params as beta_count_tokens_params
from anthropic.types.beta import message_create_params as beta_create_params

from savemode_cli.core.cache.prompt import prompt_of
from savemode_cli.simulated.models import page
from savemode_cli.simulated.validation import validation_error
from tests.support.sdk_types import Field, alternatives, fields, is_list, json_kinds, least, values

CHECKED = (2, 14)
"""The SDK version that the validation follows. An older version has other types."""

pytestmark = pytest.mark.skipif(
    tuple(int(part) for part in anthropic.__version__.split(".")[:2]) < CHECKED,
    reason="the SDK is older than the checks",
)

NOT_IN_THE_BODY = {"betas"}
REQUESTS = {
    "plain": (message_create_params.MessageCreateParamsNonStreaming, False),
    "streamed": (message_create_params.MessageCreateParamsStreaming, False),
    "counted": (message_count_tokens_params.MessageCountTokensParams, True),
    "beta": (beta_create_params.MessageCreateParamsNonStreaming, False),
    "beta streamed": (beta_create_params.MessageCreateParamsStreaming, False),
    "beta counted": (beta_count_tokens_params.MessageCountTokensParams, True),
}
USER = {"role": "user", "content": "x"}
BASE: dict[str, Any] = {"model": "claude-opus-5-5", "max_tokens": 4096, "messages": [USER]}
"""A valid request. Its `max_tokens` leaves room for a thinking budget."""

WRONG: dict[type, Any] = {str: "x", int: 7, bool: True, dict: {}, list: [], float: 0.5}


def messages_with(block: dict[str, Any], role: str) -> list[Any]:
    """
    A conversation in which the block is valid: a tool call has its result, and a result its call.
    """
    if block["type"] == "tool_use":
        result = {"type": "tool_result", "tool_use_id": block["id"]}
        return [USER, {"role": "assistant", "content": [block]}, {"role": "user", "content": [result]}]
    if block["type"] == "tool_result":
        call = {"type": "tool_use", "id": block["tool_use_id"], "name": "x", "input": {}}
        return [USER, {"role": "assistant", "content": [call]}, {"role": "user", "content": [block]}]
    return [USER, {"role": role, "content": [block]}] if role != "user" else [{"role": role, "content": [block]}]


def message_kinds(request: Any) -> dict[str, Any]:
    """
    The types of messages by their role.
    """
    (listed,) = (one for one in alternatives(fields(request)["messages"].type) if is_list(one))
    found: dict[str, Any] = {}
    for kind in alternatives(te.get_args(listed)[0]):
        for role in te.get_args(fields(kind)["role"].type):
            found[role] = kind
    return found


def block_kinds(message: Any) -> dict[str, Any]:
    """
    The types of content blocks by their `type`.
    """
    (listed,) = (one for one in alternatives(fields(message)["content"].type) if is_list(one))
    kinds = alternatives(te.get_args(listed)[0])
    return {te.get_args(fields(kind)["type"].type)[0]: kind for kind in kinds if te.is_typeddict(kind)}


def allowed(request: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """
    Bodies that the type of a request allows, each with the field that it tests.
    """
    for field in fields(request).values():
        if field.name == "messages" or field.name in NOT_IN_THE_BODY:
            continue
        for value in values(field.type):
            yield field.name, {**BASE, field.name: value}
    seen: set[Any] = set()
    for role, message in message_kinds(request).items():
        for field in fields(message).values():
            if field.name in ("role", "content"):
                continue
            for value in values(field.type):
                yield (
                    f"messages {field.name}",
                    {**BASE, "messages": [USER, {"role": role, "content": "x", field.name: value}]},
                )
        for name, block in block_kinds(message).items():
            for value in values(block, seen):
                yield f"messages {role} {name}", {**BASE, "messages": messages_with(value, role)}


@pytest.mark.parametrize("name", REQUESTS)
def test_allowed_values_are_accepted(name: str) -> None:
    """
    Every field with every alternative of its type. The reader of the prompt accepts it too.
    """
    request, counting = REQUESTS[name]
    bodies = list(allowed(request))
    refused = [(about, validation_error(body, counting=counting)) for about, body in bodies]
    for _, body in bodies:
        prompt_of(msgspec.json.encode(body))

    assert [(about, sentence) for about, sentence in refused if sentence is not None] == []
    assert len(bodies) > 400


@pytest.mark.parametrize("name", REQUESTS)
def test_required_fields_of_a_request(name: str) -> None:
    """
    Each required field of a request.
    """
    request, counting = REQUESTS[name]
    for field in fields(request).values():
        if field.required and field.name != "stream":
            without = {key: value for key, value in BASE.items() if key != field.name}
            assert validation_error(without, counting=counting) == f"{field.name}: Field required"


@pytest.mark.parametrize("name", REQUESTS)
def test_fields_of_a_wrong_type_are_refused(name: str) -> None:
    """
    Each field of a request with a value of each JSON type that it does not allow.
    """
    request, counting = REQUESTS[name]
    for field in fields(request).values():
        if field.name in NOT_IN_THE_BODY:
            continue
        for wrong in wrong_values(field):
            sentence = validation_error({**BASE, field.name: wrong}, counting=counting)
            assert sentence is not None, (field.name, wrong)
            assert sentence.startswith(f"{field.name}: Input should be "), (field.name, wrong, sentence)


def wrong_values(field: Field) -> Iterator[Any]:
    """
    A value of each JSON type that a field does not allow.
    """
    kinds = json_kinds(field.type)
    for kind, value in WRONG.items():
        if kind not in kinds and not (kind is int and float in kinds):
            yield value


@pytest.mark.parametrize("name", ["plain", "beta"])
def test_required_fields_of_a_block(name: str) -> None:
    """
    Each required field of each type of block, absent and with a wrong type; also for blocks inside a tool result.
    """
    request, _ = REQUESTS[name]
    for message in message_kinds(request).values():
        kinds = block_kinds(message)
        for kind, block in kinds.items():
            for about, faulty in faults_of(block):
                assert_refused([{"role": "user", "content": [faulty]}], f"messages.0.content.0.{kind}.{about}: ")
        if "tool_result" in kinds:
            for kind, block in block_kinds(kinds["tool_result"]).items():
                for about, faulty in faults_of(block):
                    result = {"type": "tool_result", "tool_use_id": "x", "content": [faulty]}
                    at = f"messages.0.content.0.content.0.{kind}.{about}: "
                    assert_refused([{"role": "user", "content": [result]}], at)


def faults_of(block: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """
    Blocks that lack a required field or have it with a wrong type, each with the field's name.
    """
    whole = least(block)
    for field in fields(block).values():
        if field.required and field.name != "type":
            yield field.name, {key: value for key, value in whole.items() if key != field.name}
            yield from ((field.name, {**whole, field.name: wrong}) for wrong in wrong_values(field))


def assert_refused(messages: list[Any], start: str) -> None:
    """
    The messages are refused with a message that starts like this.
    """
    sentence = validation_error({**BASE, "messages": messages})
    assert sentence is not None, (start, messages)
    assert sentence.startswith(start), (start, sentence)


@pytest.mark.parametrize("name", ["plain", "beta"])
def test_required_fields_of_a_tool(name: str) -> None:
    """
    This applies to client tools. The fields of a server tool depend on its type and are not checked.
    """
    request, _ = REQUESTS[name]
    (listed,) = (one for one in alternatives(fields(request)["tools"].type) if is_list(one))
    custom = next(
        kind for kind in alternatives(te.get_args(listed)[0]) if kind.__name__ in ("ToolParam", "BetaToolParam")
    )
    whole = least(custom)
    for field in fields(custom).values():
        if field.required:
            tool = {key: value for key, value in whole.items() if key != field.name}
            assert validation_error({**BASE, "tools": [tool]}) == f"tools.0.custom.{field.name}: Field required"


def test_listed_models_are_those_of_the_sdk() -> None:
    """
    The list contains the SDK's model names, except those with dates, which name the same models.
    """
    from anthropic.types.model import Model

    (literal,) = (one for one in te.get_args(Model) if one is not str)
    named = {name for name in te.get_args(literal) if not name[-8:].isdigit()}

    assert {row["id"] for row in page("1000", "")["data"]} == named
