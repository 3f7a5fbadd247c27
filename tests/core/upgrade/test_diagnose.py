"""
The rule that asks for the API's cache diagnostics.
"""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace as with_fields

from savemode_cli.core.upgrade.edits import Transformed, revert
from savemode_cli.core.upgrade.policy import Policy
from savemode_cli.core.upgrade.transform import transform
from savemode_cli.core.wire.caller import Caller

ASKS = Policy(rules=frozenset({"diagnose"}))
CALLER = Caller(product="llm_gateway", idle_prone=False)
BODY = b'{"model":"claude-opus-5-5","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}'


def transformed(body: bytes, before: str | None = None, policy: Policy = ASKS, caller: Caller = CALLER) -> Transformed:
    """
    A request after the rules.
    """
    return transform(body, policy, caller, None, before)


def codes(done: Transformed) -> list[str]:
    """
    Why the rule left it alone.
    """
    return [skip.code for skip in done.skips if skip.rule == "diagnose"]


def test_it_names_the_answer_before() -> None:
    """
    With null the first request asks to be remembered; nothing else changes.
    """
    first, second = transformed(BODY), transformed(BODY, "msg_1")

    assert json.loads(first.body) == {**json.loads(BODY), "diagnostics": {"previous_message_id": None}}
    assert json.loads(second.body)["diagnostics"] == {"previous_message_id": "msg_1"}
    assert [edit.rule for edit in second.edits] == ["diagnose"]
    assert second.edits[0].was == '{"'
    assert second.edits[0].becomes == '{"diagnostics":{"previous_message_id":"msg_1"},"'
    assert transformed(BODY, "msg_1", Policy()).edits == ()


@given(
    space=st.text(" \t\r\n", max_size=3), before=st.none() | st.text(min_size=1, max_size=9), key=st.text(max_size=4)
)
def test_taking_it_back_gives_the_original(space: str, before: str | None, key: str) -> None:
    """
    Byte for byte, with any whitespace, ID and further member.
    """
    body = space.encode() + b"{" + json.dumps(key).encode() + b":1," + BODY[1:]
    done = transformed(body, before)

    assert done.edits
    assert revert(done.body, done.edits) == body
    assert json.loads(done.body)["diagnostics"] == {"previous_message_id": before}


def test_a_second_run_adds_nothing() -> None:
    """
    Nor does the rule add anything to what a client asks itself, however that is spelled, null included.
    """
    once = transformed(BODY, "msg_1")
    escaped = BODY.replace(b'{"model"', b'{"\\u0064iagnostics":{},"model"')

    assert codes(transformed(once.body, "msg_2")) == ["own"]
    assert codes(transformed(BODY.replace(b'{"model"', b'{"diagnostics":null,"model"'))) == ["own"]
    assert codes(transformed(escaped)) == ["own"]
    assert transformed(BODY.replace(b'"hi"', b'"the \\"diagnostics\\" of it \\u0041"')).edits


@pytest.mark.parametrize(
    ("body", "caller", "code"),
    [
        (b'{"model":', CALLER, "unreadable"),
        (b"[]", CALLER, "unreadable"),
        (b" {} ", CALLER, "unreadable"),
        (BODY, with_fields(CALLER, oauth=True), "oauth"),
        (BODY, with_fields(CALLER, provider="bedrock"), "cloud"),
        (BODY.replace(b"claude-opus-5-5", b"us.anthropic.claude-opus-5-5-v1:0"), CALLER, "cloud"),
    ],
)
def test_what_is_left_alone(body: bytes, caller: Caller, code: str) -> None:
    """
    What cannot be read, a subscription's requests, and clouds, which have no diagnostics.
    """
    done = transformed(body, caller=caller)

    assert (done.body, codes(done)) == (body, [code])
    oauth = transformed(body, caller=caller, policy=replace(ASKS, allow_oauth=True))
    assert bool(oauth.edits) == (code == "oauth")
