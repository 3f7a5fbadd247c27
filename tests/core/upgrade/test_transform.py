"""
The cache upgrade: every case of the table under both rules, the guards, the choice that sticks.
"""

import json
from typing import Any

import pytest

from savemode_cli.core.upgrade.edits import ABSENT, revert
from savemode_cli.core.upgrade.policy import Policy
from savemode_cli.core.upgrade.rules import RULES, Rule
from savemode_cli.core.upgrade.transform import transform
from savemode_cli.core.wire.caller import read_caller
from savemode_cli.core.wire.facts import facts
from savemode_cli.core.wire.models import is_cloud_model
from tests.builders import an_edit
from tests.cases import cases
from tests.support.marked import BARE, PERSON, body_of, upgraded


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
        ("bedrock/us.anthropic.claude-opus-5-5", True),
        ("bedrock/arn:aws:bedrock:eu-west-1:1:application-inference-profile/x", True),
        ("vertex_ai/claude-opus-5-5", True),
        ("publishers/anthropic/models/claude-opus-5-5", True),
        ("anthropic/claude-opus-5-5", False),
        ("openrouter/anthropic/claude-opus-5.5", False),
    ],
)
def test_cloud_model(model: str, cloud: bool) -> None:
    """
    Bedrock and Vertex are told by how they spell model ids.
    """
    assert cloud == is_cloud_model(model)


def test_a_rule_is_one_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A rule that is added from outside edits beside the others, and its edit is taken back like theirs.
    """
    body = body_of(BARE)
    at = body.index(b"claude-opus-5-5")
    edit = an_edit(
        rule="other",
        path=("model",),
        before="a",
        after="b",
        at=at,
        removed=b"claude-opus-5-5",
        inserted=b"claude-fable",
    )
    rule = Rule(name="other", description="Name another model.", function=lambda _: ([edit], []))
    monkeypatch.setitem(RULES, "other", rule)
    done = transform(body, Policy(ttl="always", rules=frozenset({"other"})), PERSON)

    assert [one.rule for one in done.edits] == ["cache-ttl", "other"]
    assert json.loads(done.body)["model"] == "claude-fable"
    assert revert(done.body, done.edits) == body
    without = transform(body, Policy(rules=frozenset({"other"})), PERSON)
    assert [one.rule for one in without.edits] == ["other"]
    assert transform(body, Policy(), PERSON, facts(body)).edits == ()
