"""
The cache upgrade: every case of the table under both rules, the guards, the choice that sticks.
"""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from savemode_cli.core import transform as transform_module
from savemode_cli.core.caller import Caller, read_caller
from savemode_cli.core.messages import Facts, dotted, facts
from savemode_cli.core.transform import (
    ABSENT,
    Choice,
    Policy,
    Transformed,
    describe,
    is_cloud_model,
    revert,
    sticky,
    transform,
    writes_one_hour,
)
from tests.cases import cases

BARE = {"type": "ephemeral"}
PERSON = Caller("posthog_code", idle_prone=True)


def body_of(*markers: Any, **more: Any) -> bytes:
    """
    A body with one system block per marker.
    """
    system = [{"type": "text", "text": f"s{n}", "cache_control": marker} for n, marker in enumerate(markers)]
    return json.dumps({"model": "claude-opus-5-5", "system": system, **more}).encode()


def upgraded(done: Transformed) -> list[str]:
    """
    Where a TTL was added, as the table writes it.
    """
    return [".".join(str(step) for step in edit.path[:-2]) for edit in done.edits]


@pytest.mark.parametrize("spaced", [False, True], ids=["compact", "spaced"])
@pytest.mark.parametrize(("compat", "column"), [(False, "upgraded"), (True, "upgraded_compat")], ids=["ours", "compat"])
@pytest.mark.parametrize("case", cases("upgrade"))
def test_case(case: dict[str, Any], compat: bool, column: str, spaced: bool) -> None:
    """
    Exactly the listed paths gain `ttl`, the rest stays byte for byte, and a second run changes nothing.
    """
    body = json.dumps(case["body"], indent=1 if spaced else None, separators=None if spaced else (",", ":")).encode()
    policy = Policy(ttl="product", compat=compat)
    caller = read_caller([], case["product"])

    done = transform(body, policy, caller)

    assert case[column] == upgraded(done)
    assert body == revert(done.body, done.edits)
    assert transform(done.body, policy, caller).body == done.body
    for edit in done.edits:
        assert (edit.before, edit.after) == (ABSENT, "1h")


def test_no_edit_is_the_same_object() -> None:
    """
    A body without edits is not even copied.
    """
    body = body_of({"type": "ephemeral", "ttl": "5m"})

    assert transform(body, Policy(ttl="always"), PERSON).body is body


def test_default_policy_changes_nothing() -> None:
    """
    `Policy()` is off.
    """
    assert transform(body_of(BARE), Policy(), PERSON).edits == ()


def code_of(done: Transformed) -> list[str]:
    """
    The codes of the skips, in order.
    """
    return [skip.code for skip in done.skips]


@pytest.mark.parametrize(
    ("body", "policy", "caller", "code"),
    [
        (body_of(BARE), Policy("off"), PERSON, "policy-off"),
        (body_of(BARE), Policy("product"), Caller("wizard", idle_prone=False), "product"),
        (body_of(), Policy("product"), PERSON, "no-markers"),
        (b"", Policy("product"), PERSON, "no-markers"),
        (b'{"cache_control":', Policy("product"), PERSON, "unreadable"),
        (body_of(BARE), Policy("always"), Caller("posthog_code", idle_prone=True, oauth=True), "oauth"),
        (body_of(BARE), Policy("always"), Caller("posthog_code", idle_prone=True, provider="bedrock"), "bedrock"),
        (body_of(BARE, model="us.anthropic.claude-opus-4-5-v1:0"), Policy("always"), PERSON, "bedrock"),
        (body_of(BARE, model="claude-opus-4-1@20250805"), Policy("always", allow_bedrock=True), PERSON, "bedrock"),
    ],
)
def test_guard(body: bytes, policy: Policy, caller: Caller, code: str) -> None:
    """
    Each guard leaves the whole request alone and says why.
    """
    done = transform(body, policy, caller)

    assert done.body is body
    assert [code] == code_of(done)
    assert done.skips[0].why


@pytest.mark.parametrize(
    ("policy", "caller", "model"),
    [
        (Policy("always"), Caller("wizard", idle_prone=False), "claude-opus-5-5"),
        (Policy("always", allow_oauth=True), Caller("posthog_code", idle_prone=True, oauth=True), "claude-opus-5-5"),
        (Policy("always", allow_bedrock=True), PERSON, "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        (Policy("always", allow_bedrock=True), PERSON, "claude-haiku-4-5@20251001"),
        (Policy("always", allow_bedrock=True), Caller("w", idle_prone=False, provider="bedrock"), "claude-opus-4-6"),
    ],
)
def test_guard_lifted(policy: Policy, caller: Caller, model: str) -> None:
    """
    Each guard has its option.
    """
    assert upgraded(transform(body_of(BARE, model=model), policy, caller)) == ["system.0"]


@pytest.mark.parametrize(
    ("model", "cloud"),
    [
        ("claude-opus-5-5", False),
        ("claude-opus-4-5-20251101", False),
        ("claude-3-5-haiku-latest", False),
        ("", False),
        ("anthropic.claude-opus-5-5", True),
        ("global.anthropic.claude-haiku-4-5-20251001-v1:0", True),
        ("arn:aws:bedrock:eu-west-1:1:application-inference-profile/x", True),
        ("claude-sonnet-4-5@20250929", True),
        ("amazon.nova-pro-v1:0", True),
    ],
)
def test_cloud_model(model: str, cloud: bool) -> None:
    """
    Bedrock and Vertex are told by how they spell model ids.
    """
    assert cloud == is_cloud_model(model)


@pytest.mark.parametrize(
    ("markers", "codes"),
    [
        ([{**BARE, "ttl": "1h"}, BARE], ["client-ttl"]),
        ([BARE, {**BARE, "ttl": "5m"}, BARE], ["client-ttl", "after-5m"]),
        ([{**BARE, "ttl": None}, BARE], ["ttl-null", "after-5m"]),
        ([{"type": "persistent", "ttl": 3600}, BARE], ["persistent", "after-5m"]),
        ([{"type": "other"}, BARE], ["unknown", "after-5m"]),
        ([{**BARE, "ttl": "2h"}, BARE], ["unknown", "after-5m"]),
        ([{}, BARE], ["unknown", "after-5m"]),
        (["ephemeral", BARE], ["not-an-object"]),
        ([None, BARE], []),
    ],
)
def test_skip_has_its_reason(markers: list[Any], codes: list[str]) -> None:
    """
    Each breakpoint that stays says why, under a stable code.
    """
    assert codes == code_of(transform(body_of(*markers), Policy("always"), PERSON))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'{"type":"ephemeral"}', b'{"type":"ephemeral","ttl":"1h"}'),
        (b'{"type": "ephemeral"}', b'{"type": "ephemeral", "ttl": "1h"}'),
        (b'{ "type" :\t"ephemeral"\n }', b'{ "type" :\t"ephemeral","ttl":"1h"\n }'),
        (b'{"scope":"global","type":"ephemeral"}', b'{"scope":"global","type":"ephemeral","ttl":"1h"}'),
        (b'{"t\\u0079pe":"eph\\u0065meral"}', b'{"t\\u0079pe":"eph\\u0065meral","ttl":"1h"}'),
    ],
)
def test_insertion(before: bytes, after: bytes) -> None:
    """
    The TTL goes in behind the last value, as the vendor's own client writes it, in the style of what stands there.
    """
    body = b'{"system":[{"type":"text","text":"x","cache_control":%b}]}'

    assert body % after == transform(body % before, Policy("always"), PERSON).body


def test_description() -> None:
    """
    A change and a skip each read as one line.
    """
    done = transform(body_of(BARE, {**BARE, "ttl": "5m"}), Policy("always"), PERSON)

    assert (
        describe(done.edits[0]) == 'system.0.cache_control {"type": "ephemeral"} -> {"type": "ephemeral", "ttl": "1h"}'
    )
    assert describe(done.skips[0]) == 'system.1.cache_control client-ttl: the client chose ttl "5m"'


def test_thinking_block_stops_the_run() -> None:
    """
    The API refuses a marker on a thinking block; nothing behind it is touched.
    """
    blocks = [
        {"type": "thinking", "thinking": "t", "cache_control": BARE},
        {"type": "text", "text": "x", "cache_control": BARE},
    ]
    body = json.dumps({"messages": [{"role": "assistant", "content": blocks}]}).encode()

    assert code_of(transform(body, Policy("always"), PERSON)) == ["unknown", "after-5m"]


def test_automatic_target_steps_over_what_cannot_carry() -> None:
    """
    Automatic caching marks the last block that can carry a breakpoint, not the last block.
    """
    marked = {"type": "text", "text": "x", "cache_control": BARE}
    tail = [{"type": "text", "text": ""}, {"type": "thinking", "thinking": "t"}]
    messages = [{"role": "user", "content": [marked, *tail]}]
    body = json.dumps({"cache_control": {**BARE, "ttl": "5m"}, "messages": messages}).encode()

    assert facts(body).automatic_target == ("messages", 0, "content", 0)
    assert code_of(transform(body, Policy("always"), PERSON)) == ["automatic-5m", "client-ttl"]


NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("before", "wanted", "idle", "expected"),
    [
        (None, True, timedelta(0), True),
        (None, False, timedelta(0), False),
        (False, True, timedelta(minutes=5), False),
        (False, True, timedelta(minutes=5, seconds=1), True),
        (True, False, timedelta(minutes=59), True),
        (True, False, timedelta(hours=1, seconds=1), False),
        (True, True, timedelta(days=1), True),
    ],
)
def test_choice_sticks_while_warm(before: bool | None, wanted: bool, idle: timedelta, expected: bool) -> None:
    """
    A session's choice changes only where its cache is cold anyway.
    """
    previous = None if before is None else Choice(before, NOON)

    assert Choice(expected, NOON + idle) == sticky(previous, wanted, NOON + idle)


@pytest.mark.parametrize(
    ("markers", "raised", "hour"),
    [
        ([], False, False),
        ([BARE, {"type": "ephemeral", "ttl": "5m"}], False, False),
        ([BARE, BARE], True, True),
        ([{"type": "ephemeral", "ttl": "1h"}, BARE], False, True),
    ],
)
def test_one_hour_is_written_where_we_or_the_client_asked_for_it(markers: list[Any], raised: bool, hour: bool) -> None:
    """
    That is the choice which a session keeps.
    """
    known = facts(body_of(*markers))
    edits = transform(body_of(*markers), Policy("always"), PERSON).edits if raised else ()

    assert writes_one_hour(known, edits) == hour


def test_a_mistaken_upgrade_is_dropped_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Should the rule ever raise a breakpoint behind one it leaves at 5m, which the API refuses, nothing is raised.
    """
    right = transform_module._upgrade_leading_run

    def mistaken(known: Facts) -> Any:
        edits, skips = right(known)
        return edits[1:], skips

    monkeypatch.setattr(transform_module, "_upgrade_leading_run", mistaken)
    body = body_of(BARE, BARE)
    done = transform(body, Policy("always"), PERSON)

    assert (done.body, done.edits, code_of(done)) == (body, (), ["order"])


def test_paths_are_written_as_the_api_writes_them() -> None:
    """
    Dots between the steps; the request itself has a name of its own.
    """
    assert (dotted(("messages", 0, "content", 1)), dotted(())) == ("messages.0.content.1", "(request)")
