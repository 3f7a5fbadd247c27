"""
The caller: the table of headers, the path's product, the trace and the session.
"""

import json
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from savemode_cli.core.caller import (
    Caller,
    Products,
    check_spelling,
    read_caller,
    read_route,
    session_key,
    trace_id,
    without_posthog_headers,
)
from savemode_cli.core.errors import BadHeader
from savemode_cli.core.messages import Facts, facts
from tests.cases import cases

FRESH = "11111111-2222-4333-8444-555555555555"


def encoded(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    """
    Headers as a server hands them over.
    """
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]


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


@pytest.mark.parametrize(
    ("path", "product", "forwarded", "kind"),
    [
        ("/v1/messages", "llm_gateway", "/v1/messages", "messages"),
        ("/posthog_code/v1/messages", "posthog_code", "/v1/messages", "messages"),
        ("/array/v1/messages", "posthog_code", "/v1/messages", "messages"),
        ("/twig/v1/messages", "posthog_code", "/v1/messages", "messages"),
        ("/slack-twig/v1/messages", "slack-posthog-code", "/v1/messages", "messages"),
        ("/wizard/v1/messages/count_tokens", "wizard", "/v1/messages/count_tokens", "count_tokens"),
        ("/v1/messages/batches", "llm_gateway", "/v1/messages/batches", "batches"),
        ("/v1/messages/batches/b_1/results", "llm_gateway", "/v1/messages/batches/b_1/results", "batches"),
        ("/v1/models", "llm_gateway", "/v1/models", "other"),
        ("/wizard/v1/models", "wizard", "/v1/models", "other"),
        ("/api/hello", "llm_gateway", "/api/hello", "other"),
        ("/unknown/v1/models", "llm_gateway", "/unknown/v1/models", "other"),
        ("/v1/messages/", "llm_gateway", "/v1/messages/", "other"),
        ("//v1/messages", "llm_gateway", "//v1/messages", "other"),
        ("/", "llm_gateway", "/", "other"),
        ("", "llm_gateway", "", "other"),
    ],
)
def test_route(path: str, product: str, forwarded: str, kind: str) -> None:
    """
    A known product is taken off the path; everything else stays as it came.
    """
    route = read_route(path)

    assert (product, forwarded, kind) == (route.product, route.path, route.kind)


def test_unknown_product_names_the_known_ones() -> None:
    """
    A misspelled product must not be billed to the default one in silence.
    """
    with pytest.raises(BadHeader) as caught:
        read_route("/posthog-code/v1/messages")

    assert "posthog_code" in caught.value.hint
    assert "twig" in caught.value.hint


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("/v1/messages/", "/v1/messages"),
        ("//v1/messages", "/v1/messages"),
        ("/v1/./messages", "/v1/messages"),
        ("/x/y/../../v1/messages", "/v1/messages"),
        ("/v1/x/../messages", "/v1/messages"),
        ("/v1/%6dessages", "/v1/messages"),
        ("/v1/%25256dessages", "/v1/messages"),
        ("/v1/messages%0d%0a", "/v1/messages"),
        ("/V1\\Messages;a=b", "/v1/messages"),
        ("/a/b/v1/messages", "/v1/messages"),
        ("/v1/messages%3Fx%23y", "/v1/messages"),
        ("/v1/messages/batches/", "/v1/messages/batches"),
        ("/v1/messages/%62atches", "/v1/messages/batches"),
        ("/v1/messages", None),
        ("/wizard/v1/messages", None),
        ("/v1/messages/batches", None),
        ("/v1/messages/batches/b_1/cancel", None),
        ("/v1/messages/count_tokens", None),
        ("/v1/messages/../models", None),
        ("/v1/messages%", None),
        ("/v1/files/%zz", None),
        ("/", None),
        ("", None),
    ],
)
def test_spelling(path: str, meant: str | None) -> None:
    """
    A path that some server may read as a model call is one, or is refused with the spelling that is wanted.
    """
    route = read_route(path)
    if meant is None:
        check_spelling(route, route.path)
        return

    with pytest.raises(BadHeader) as caught:
        check_spelling(route, route.path)

    assert f"send it to {meant}, " in caught.value.hint


def test_spelling_below_an_upstream() -> None:
    """
    What counts is the path as the upstream sees it.
    """
    with pytest.raises(BadHeader):
        check_spelling(read_route("/messages"), "/v1/messages")
    check_spelling(read_route("/v1/messages"), "/gateway/v1/messages")


@given(st.text("/.;%v1mesag25fFe\\", max_size=30))
def test_spelling_of_anything(path: str) -> None:
    """
    Any path is judged: it passes or is refused, and a path that passes as no model call never ends like one.
    """
    try:
        route = read_route(f"/{path}")
        check_spelling(route, route.path)
    except BadHeader:
        return
    assert route.kind in ("messages", "batches") or not route.path.endswith("/v1/messages")


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


def test_trace_prefers_traceparent() -> None:
    """
    `traceparent` beats `metadata.user_id` beats a fresh id.
    """
    traced = read_caller(encoded({"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}), "wizard")
    plain = read_caller([], "wizard")
    user = "0af76519-16cd-43dd-8448-eb211c80319d"

    assert trace_id(traced, user, FRESH) == "0af76519-16cd-43dd-8448-eb211c80319c"
    assert trace_id(plain, user, FRESH) == user
    assert trace_id(plain, None, FRESH) == FRESH
    assert trace_id(plain, "", FRESH) == FRESH


def test_trace_of_a_blob_is_stable() -> None:
    """
    A `user_id` that is no UUID gives the same UUID5 each time, an object under any order of its keys.
    """
    caller = read_caller([], "wizard")
    one = trace_id(caller, json.dumps({"device_id": "d", "session_id": "s"}), FRESH)

    assert one == trace_id(caller, json.dumps({"session_id": "s", "device_id": "d"}), FRESH)
    assert one == trace_id(caller, {"session_id": "s", "device_id": "d"}, FRESH)
    assert one != trace_id(caller, json.dumps({"device_id": "d", "session_id": "t"}), FRESH)
    assert uuid.UUID(one).version == 5
    assert uuid.UUID(trace_id(caller, "user_x_account_y", FRESH)).version == 5


SESSION = "6a1f2b3c-0000-4000-8000-000000000001"


@pytest.mark.parametrize(
    ("headers", "user_id"),
    [
        ({"x-claude-code-session-id": SESSION}, None),
        ({}, json.dumps({"device_id": "d", "session_id": SESSION})),
        ({}, {"session_id": SESSION}),
        ({}, f"user_abc_account_def_session_{SESSION}"),
    ],
)
def test_session_from_its_id(headers: dict[str, str], user_id: object) -> None:
    """
    All spellings of one session give one key, and the body is not needed.
    """
    expected = session_key(Caller("wizard", idle_prone=False, session_id=SESSION), Facts())

    assert expected == session_key(read_caller(encoded(headers), "wizard"), Facts(user_id=user_id))


@pytest.mark.parametrize("user_id", ["somebody", "[1]", '{"session_id": ""}', '{"session_id": 7}', "[" * 100_000, 7])
def test_a_user_id_without_a_session_names_none(user_id: object) -> None:
    """
    The words of the conversation tell then, as they do without a user id.
    """
    caller = Caller("wizard", idle_prone=False)

    assert session_key(caller, Facts(user_id=user_id)) == session_key(caller, Facts())


def test_sub_agent_has_its_own_session() -> None:
    """
    A sub-agent shares the session id but not the conversation.
    """
    main = read_caller(encoded({"x-claude-code-session-id": SESSION}), "wizard")
    agent = read_caller(encoded({"x-claude-code-session-id": SESSION, "x-claude-code-agent-id": "a1"}), "wizard")

    assert session_key(main, Facts()) != session_key(agent, Facts())


def conversation(first: str, *, marked: bool = False, turns: int = 1, system: str = "s") -> bytes:
    """
    A request body without any session id.
    """
    block: dict[str, Any] = {"type": "text", "text": first}
    if marked:
        block["cache_control"] = {"type": "ephemeral"}
    messages: list[Any] = [{"role": "user", "content": [block]}]
    messages += [{"role": "assistant", "content": "a"}, {"role": "user", "content": "more"}] * (turns - 1)
    return json.dumps({"model": "m", "system": system, "messages": messages}).encode()


def test_session_without_an_id() -> None:
    """
    The beginning of a conversation identifies it, whatever is marked and however long it has become.
    """
    caller = read_caller(encoded({"x-api-key": "k"}), "wizard")
    key = session_key(caller, facts(conversation("hi")))

    assert key == session_key(caller, facts(conversation("hi", marked=True, turns=3)))
    assert key != session_key(caller, facts(conversation("ho")))
    assert key != session_key(caller, facts(conversation("hi", system="other")))
    assert key != session_key(read_caller(encoded({"x-api-key": "l"}), "wizard"), facts(conversation("hi")))


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"\xff", b'{"messages":[3]}', b'{"messages":' + b"[" * 5000])
def test_session_of_any_body(body: bytes) -> None:
    """
    A body that cannot be read still has a session key.
    """
    assert len(session_key(read_caller([], "wizard"), facts(body))) == 16


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
