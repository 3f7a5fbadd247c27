"""
To which conversation and which trace a request belongs.
"""

import json
import uuid

import pytest
from msgspec.structs import replace

from savemode_cli.core.wire.caller import Caller, read_caller
from savemode_cli.core.wire.facts import Facts, facts
from savemode_cli.core.wire.sessions import conversation_key, session_key, trace_id
from tests.support.callers import FRESH, SESSION, conversation, encoded, fresh


def test_trace_prefers_traceparent() -> None:
    """
    `traceparent` beats `metadata.user_id` beats a fresh id.
    """
    traced = read_caller(encoded({"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}), "wizard")
    plain = read_caller([], "wizard")
    user = "0af76519-16cd-43dd-8448-eb211c80319d"

    assert trace_id(traced, user, fresh) == "0af76519-16cd-43dd-8448-eb211c80319c"
    assert trace_id(plain, user, fresh) == user
    assert trace_id(plain, None, fresh) == FRESH
    assert trace_id(plain, "", fresh) == FRESH


def test_trace_of_a_blob_is_stable() -> None:
    """
    A `user_id` that is no UUID gives the same UUID5 each time, an object under any order of its keys.
    """
    caller = read_caller([], "wizard")
    one = trace_id(caller, json.dumps({"device_id": "d", "session_id": "s"}), fresh)

    assert one == trace_id(caller, json.dumps({"session_id": "s", "device_id": "d"}), fresh)
    assert one == trace_id(caller, {"session_id": "s", "device_id": "d"}, fresh)
    assert one != trace_id(caller, json.dumps({"device_id": "d", "session_id": "t"}), fresh)
    assert uuid.UUID(one).version == 5
    assert uuid.UUID(trace_id(caller, "user_x_account_y", fresh)).version == 5


@pytest.mark.parametrize(
    ("headers", "user_id"),
    [
        ({"x-claude-code-session-id": SESSION}, None),
        ({"x-session-id": SESSION, "x-session-affinity": "other"}, None),
        ({"x-session-affinity": f" {SESSION} "}, None),
        ({"x-litellm-session-id": SESSION}, None),
        ({"x-claude-code-session-id": SESSION, "x-session-id": "other", "x-posthog-session-id": "visit"}, None),
        ({"x-session-id": SESSION}, {"session_id": "other"}),
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
def test_user_id_without_a_session(user_id: object) -> None:
    """
    It names a person: the words of the conversation tell, and the same words of two persons are two conversations.
    """
    caller = Caller("wizard", idle_prone=False)
    hi, ho = (facts(conversation(words)) for words in ("hi", "ho"))
    keys = {session_key(caller, replace(one, user_id=who)) for one in (hi, ho) for who in (user_id, "another", None)}

    assert len(keys) == 6
    assert session_key(caller, replace(hi, user_id="")) == session_key(caller, hi)


def test_user_id_whose_keys_change_order() -> None:
    """
    The same person, however it is serialised.
    """
    caller = Caller("wizard", idle_prone=False)
    ways = [{"a": 1, "b": 2}, {"b": 2, "a": 1}, '{"b": 2, "a": 1}']

    assert len({session_key(caller, Facts(user_id=way)) for way in ways}) == 1


@pytest.mark.parametrize("name", ["x-posthog-session-id", "x-posthog-distinct-id", "x-posthog-user"])
def test_conversations_that_begin_alike(name: str) -> None:
    """
    Whatever says whose conversation it is tells two that begin with the same words apart, and two of one visit stay two.
    """
    hi, ho = (facts(conversation(words)) for words in ("hi", "ho"))
    keys = {session_key(read_caller(encoded({name: who}), "wizard"), one) for one in (hi, ho) for who in ("a", "b", "")}

    assert len(keys) == 6


def test_trace_is_not_part_of_a_session() -> None:
    """
    A conversation may have one for each turn.
    """
    known = facts(conversation("hi"))
    keys = {session_key(read_caller(encoded({"x-posthog-trace-id": one}), "wizard"), known) for one in ("1", "2")}

    assert len(keys) == 1


def test_sub_agent_has_its_own_session() -> None:
    """
    A sub-agent shares the session id but not the conversation.
    """
    main = read_caller(encoded({"x-claude-code-session-id": SESSION}), "wizard")
    agent = read_caller(encoded({"x-claude-code-session-id": SESSION, "x-claude-code-agent-id": "a1"}), "wizard")

    assert session_key(main, Facts()) != session_key(agent, Facts())


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


def test_conversation_of_a_sub_agent_is_the_one_it_works_for() -> None:
    """
    By the name that the client gives it, else by what it begins with; without a body only a header names it.
    """
    asked = facts(b'{"model": "claude-opus-5-5", "messages": [{"role": "user", "content": "hello"}]}')
    caller = Caller("wizard", idle_prone=False)
    agent, named = replace(caller, agent_id="a1"), replace(caller, agent_id="a1", session_id="s-1")

    assert conversation_key(agent, asked) == conversation_key(caller, asked) == session_key(caller, asked)
    assert [conversation_key(named, known) for known in (asked, None)] == ["s-1", "s-1"]
    assert conversation_key(agent, None) == ""
