"""
The rule that upgrades cache breakpoints, guard by guard.
"""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from savemode_cli.core.upgrade import cache_ttl as cache_ttl_module
from savemode_cli.core.upgrade.cache_ttl import Choice, sticky, writes_one_hour
from savemode_cli.core.upgrade.policy import Policy
from savemode_cli.core.upgrade.transform import transform
from savemode_cli.core.wire.caller import Caller
from savemode_cli.core.wire.facts import Facts, facts
from tests.builders import an_edit
from tests.support.marked import BARE, PERSON, body_of, code_of, upgraded


@pytest.mark.parametrize(
    ("body", "policy", "caller", "code"),
    [
        (body_of(BARE), Policy("off"), PERSON, "policy-off"),
        (body_of(BARE), Policy("main"), Caller("wizard", idle_prone=False, agent_id="finder"), "sub-agent"),
        (body_of(BARE), Policy("product"), Caller("wizard", idle_prone=False), "product"),
        (body_of(), Policy("product"), PERSON, "no-markers"),
        (body_of(BARE, thread={"type": "continue"}), Policy("always"), PERSON, "thread"),
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
    Each guard leaves the whole request unchanged and says why.
    """
    done = transform(body, policy, caller)

    assert done.body is body
    assert [code] == code_of(done)
    assert done.skips[0].why


@pytest.mark.parametrize(
    ("policy", "caller", "model"),
    [
        (Policy("always"), Caller("wizard", idle_prone=False), "claude-opus-5-5"),
        (Policy("always"), Caller("wizard", idle_prone=False, agent_id="finder"), "claude-opus-5-5"),
        (Policy("product"), Caller("posthog_code", idle_prone=True, agent_id="finder"), "claude-opus-5-5"),
        (Policy("main"), Caller("wizard", idle_prone=False), "claude-opus-5-5"),
        (Policy("always", allow_oauth=True), Caller("posthog_code", idle_prone=True, oauth=True), "claude-opus-5-5"),
        (Policy("always", allow_bedrock=True), PERSON, "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        (Policy("always", allow_bedrock=True), PERSON, "claude-haiku-4-5@20251001"),
        (Policy("always", allow_bedrock=True), PERSON, "global.anthropic.claude-opus-4-6[1m]"),
        (Policy("always", allow_bedrock=True), PERSON, "vertex_ai/claude-opus-4-6"),
        (Policy("always", allow_bedrock=True), Caller("w", idle_prone=False, provider="bedrock"), "claude-opus-4-6"),
    ],
)
def test_guard_lifted(policy: Policy, caller: Caller, model: str) -> None:
    """
    Each guard has its option.
    """
    assert upgraded(transform(body_of(BARE, model=model), policy, caller)) == ["system.0"]


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
    Each breakpoint that stays has a reason with a stable code.
    """
    assert codes == code_of(transform(body_of(*markers), Policy("always"), PERSON))


def test_thinking_block_stops_the_run() -> None:
    """
    The API refuses a breakpoint on a thinking block. Breakpoints after it are not edited.
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
    The choice of a session changes only while its cache is cold.
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

    assert writes_one_hour(known, edits) == writes_one_hour(known, (*edits, an_edit(rule="other"))) == hour


def test_a_mistaken_upgrade_is_dropped_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    If the rule ever upgraded a breakpoint after one that it leaves at 5m, which the API refuses, it upgrades nothing.
    """
    right = cache_ttl_module._upgrade_leading_run

    def mistaken(known: Facts) -> Any:
        edits, skips = right(known)
        return edits[1:], skips

    monkeypatch.setattr(cache_ttl_module, "_upgrade_leading_run", mistaken)
    body = body_of(BARE, BARE)
    done = transform(body, Policy("always"), PERSON)

    assert (done.body, done.edits, code_of(done)) == (body, (), ["order"])
