"""
The caller: the table of headers, the product, the credentials, the trace and the session.
"""

from typing import Any

import pytest

from savemode_cli.core.errors import BadHeader
from savemode_cli.core.wire.caller import read_caller, without_posthog_headers
from savemode_cli.core.wire.products import Products
from savemode_cli.core.wire.route import read_route
from tests.cases import cases
from tests.support.callers import encoded


@pytest.mark.parametrize("case", cases("headers"))
def test_case(case: dict[str, Any]) -> None:
    """
    Every row of the table: flags, properties, provider, fallback, trace, and the values that are refused.
    """
    expected = dict(case["expect"])
    if expected.pop("error", None):
        with pytest.raises(BadHeader) as caught:
            read_caller(encoded(case["headers"]), "wizard")
        assert caught.value.hint
        return

    caller = read_caller(encoded(case["headers"]), "wizard")

    assert expected == {name: getattr(caller, name) for name in expected}


def test_products_are_configurable() -> None:
    """
    A table of one's own replaces names, aliases and default.
    """
    mine = Products({"ide": True, "ci": False}, {"editor": "ide"}, default="ci")

    assert read_route("/v1/messages", mine).product == "ci"
    assert read_caller([], read_route("/editor/v1/messages", mine).product, mine).idle_prone


@pytest.mark.parametrize(
    ("product", "idle_prone"),
    [("posthog_code", True), ("slack_app", True), ("llm_gateway", False), ("background_agents", False)],
)
def test_idle_prone(product: str, idle_prone: bool) -> None:
    """
    Two products have people who pause at the other end.
    """
    assert idle_prone == read_caller([], product).idle_prone


@pytest.mark.parametrize(
    ("headers", "oauth"),
    [
        ({"Authorization": "Bearer sk-ant-oat01-abc"}, True),
        ({"Authorization": "bearer sk-ant-oat01-abc"}, True),
        ({"Authorization": "Bearer sk-ant-api03-abc"}, False),
        ({"x-api-key": "sk-ant-oat01-abc"}, False),
        ({}, False),
    ],
)
def test_oauth(headers: dict[str, str], oauth: bool) -> None:
    """
    A subscription is told by its bearer token.
    """
    assert oauth == read_caller(encoded(headers), "wizard").oauth


def test_no_credential_in_the_caller() -> None:
    """
    The credential is there as a fingerprint only: equal for equal keys, and not the key.
    """
    one, same, other = (
        read_caller(encoded({"x-api-key": key}), "wizard") for key in ("sk-ant-api-A", "sk-ant-api-A", "sk-ant-api-B")
    )

    assert one.key_fingerprint == same.key_fingerprint != other.key_fingerprint
    assert "sk-ant" not in repr(one)


SAME_KEY = [
    [("x-api-key", "sk-ant-api-A")],
    [("X-Api-Key", " sk-ant-api-A ")],
    [("Authorization", "Bearer sk-ant-api-A")],
    [("authorization", "bearer sk-ant-api-A")],
    [("Authorization", "BEARER   sk-ant-api-A")],
    [("Authorization", " Bearer\tsk-ant-api-A")],
    [("Authorization", "sk-ant-api-A")],
    [("x-api-key", "sk-ant-api-A"), ("Authorization", "Bearer sk-ant-api-A")],
    [("Authorization", "Bearer sk-ant-api-A"), ("Authorization", "Bearer sk-ant-api-A")],
    [("x-api-key", ""), ("Authorization", "Bearer sk-ant-api-A")],
    [("x-api-key", "sk-ant-api-A"), ("Authorization", "Bearer ")],
]


@pytest.mark.parametrize("headers", SAME_KEY, ids=str)
def test_a_key_has_one_fingerprint_in_every_spelling(headers: list[tuple[str, str]]) -> None:
    """
    The same key is the same payer, whichever header holds it and however it is spelled.
    """
    encoded_headers = [(name.lower().encode(), value.encode()) for name, value in headers]
    plain = read_caller([(b"x-api-key", b"sk-ant-api-A")], "wizard")

    assert read_caller(encoded_headers, "wizard").key_fingerprints == plain.key_fingerprints != ()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Bearer A", "Bearer B"),
        ("Bearer A", "Bearer a"),  # only the scheme is case-insensitive
        ("Basic QTpC", "Bearer QTpC"),
        ("Bearer A", ""),
    ],
)
def test_different_credentials_have_different_fingerprints(one: str, other: str) -> None:
    """
    Folding spellings together must not fold keys together.
    """
    first, second = (read_caller([(b"authorization", value.encode())], "wizard") for value in (one, other))

    assert first.key_fingerprint != second.key_fingerprint


def test_schemes_are_case_insensitive() -> None:
    """
    Also those that are not Bearer.
    """
    first, second = (read_caller([(b"authorization", value)], "wizard") for value in (b"Basic QTpC", b"basic  QTpC"))

    assert first.key_fingerprints == second.key_fingerprints


def test_two_keys_in_one_request() -> None:
    """
    Each has its fingerprint. A header that is there twice with two values is ambiguous, and refused.
    """
    both = read_caller([(b"authorization", b"Bearer B"), (b"x-api-key", b"A")], "wizard")
    alone = [read_caller([(b"x-api-key", key)], "wizard").key_fingerprint for key in (b"A", b"B")]

    assert list(both.key_fingerprints) == alone
    for name in (b"x-api-key", b"authorization"):
        with pytest.raises(BadHeader, match="several different"):
            read_caller([(name, b"A"), (name, b"B")], "wizard")


def test_single_property_beats_the_object() -> None:
    """
    A property that is spelled as its own header is the more specific one, whatever the order.
    """
    headers = encoded({"x-posthog-property-n": "one", "x-posthog-properties": '{"n": "many", "Other": 2}'})

    assert dict(read_caller(headers, "wizard").properties) == {"n": "one", "other": 2}


def test_last_flag_wins() -> None:
    """
    A header sent twice counts as it stands last.
    """
    headers = [(b"x-posthog-flag-a", b"1"), (b"x-posthog-flag-a", b"2")]

    assert read_caller(headers, "wizard").flags == {"a": "2"}


@pytest.mark.parametrize("value", ["[1]", "3", '"x"', "{", "[" * 5000])
def test_properties_must_be_an_object(value: str) -> None:
    """
    Anything else is the client's mistake and is said, not dropped.
    """
    with pytest.raises(BadHeader):
        read_caller([(b"x-posthog-properties", value.encode())], "wizard")


@pytest.mark.parametrize(("value", "override"), [("true", True), (" TRUE ", True), ("1", False), ("", False)])
def test_budget_override(value: str, override: bool) -> None:
    """
    The override is exactly `true`.
    """
    assert override == read_caller(encoded({"x-posthog-budget-override": value}), "wizard").override


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"x-posthog-user": "ann"}, {"distinct_id": "ann"}),
        ({"x-posthog-user": "ann", "x-posthog-distinct-id": "bob"}, {"distinct_id": "bob"}),
        ({"x-posthog-user": "ann", "x-posthog-distinct-id": " "}, {"distinct_id": "ann"}),
        ({"x-posthog-session-id": "visit"}, {"posthog_session_id": "visit", "session_id": None}),
        ({"x-posthog-trace-id": "turn 1"}, {"trace_id": "turn 1"}),
        ({"x-posthog-trace-id": "x" * 1000}, {"trace_id": "x" * 200}),
        (
            {"x-posthog-trace-id": "t", "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
            {"trace_id": "t"},
        ),
        ({"x-posthog-product": "wizard"}, {"product": "wizard"}),
        ({"x-posthog-product": "twig"}, {"product": "posthog_code", "idle_prone": True}),
        ({"x-posthog-product": "anything else"}, {"product": "llm_gateway"}),
    ],
)
def test_headers_of_the_other_gateway(headers: dict[str, str], expected: dict[str, object]) -> None:
    """
    `x-posthog-user`, `-session-id`, `-trace-id` and `-product` mean what they mean to the gateway that invented them.
    """
    caller = read_caller(encoded(headers), "llm_gateway")

    assert expected == {name: getattr(caller, name) for name in expected}


def test_product_of_the_path_wins() -> None:
    """
    The header names a product only where the path names none.
    """
    assert read_caller(encoded({"x-posthog-product": "wizard"}), "slack_app").product == "slack_app"


def test_our_headers_stay_here() -> None:
    """
    Headers with our prefix are not for the upstream; the rest keeps its order and its repetitions.
    """
    headers = [
        (b"anthropic-beta", b"a"),
        (b"x-posthog-flag-a", b"1"),
        (b"anthropic-beta", b"b"),
        (b"x-posthog-provider", b""),
    ]

    assert without_posthog_headers(headers) == [(b"anthropic-beta", b"a"), (b"anthropic-beta", b"b")]


def test_parent_of_a_sub_agent() -> None:
    """
    Claude Code names the agent that started the one that asks.
    """
    caller = read_caller([(b"x-claude-code-agent-id", b"b"), (b"x-claude-code-parent-agent-id", b" a ")], "wizard")

    assert (caller.agent_id, caller.parent_agent_id) == ("b", "a")
    assert read_caller([], "wizard").parent_agent_id is None
