"""
What was changed in a request, counted by the rules that changed it.
"""

import pytest

from savemode_cli.core.upgrade.auto import Decision
from savemode_cli.core.upgrade.upgrade import Upgrade, auto_json, edit_json, skip_json
from tests.builders import a_skip, an_edit

OTHER = an_edit(rule="another")


@pytest.mark.parametrize(
    ("observed", "resent", "expected"), [(False, False, 2), (True, False, 0), (False, True, 0), (True, True, 0)]
)
def test_upgraded_counts_what_went_out(observed: bool, resent: bool, expected: int) -> None:
    """
    An edit that was only observed, or taken back, upgraded nothing.
    """
    upgrade = Upgrade(edits=(an_edit(), an_edit()), observed=observed, resent=resent)

    assert (upgrade.upgraded, len(upgrade.on_wire), upgrade.proposed) == (expected, expected, 2)


def test_an_edit_of_another_rule_is_not_an_upgrade() -> None:
    """
    It is counted by its own rule, and only if it was sent.
    """
    edits = (OTHER, an_edit(), OTHER)

    assert (Upgrade(edits=edits).upgraded, Upgrade(edits=edits).proposed) == (1, 1)
    assert Upgrade(edits=edits).other_edits == {"another": 2}
    assert Upgrade(edits=edits, observed=True).other_edits == {}


def test_what_is_left_out_is_counted_by_its_rule() -> None:
    """
    Twenty are kept. Of the rest, those that upgrade a TTL still count as upgraded.
    """
    short = Upgrade(edits=(an_edit(),) * 21 + (OTHER,) * 4).shortened()

    assert (len(short.edits), short.edits_left_out, short.upgraded) == (20, 5, 21)


def test_edit_json() -> None:
    """
    Paths have dots, what stood nowhere is null, lengths and offsets are bytes.
    """
    assert edit_json(an_edit(inserted=b',"ttl":"\xc3\xa9"')) == {
        "rule": "cache-ttl",
        "path": "system.0.cache_control.ttl",
        "before": None,
        "after": "1h",
        "was": '{"type":"ephemeral"}',
        "becomes": '{"type":"ephemeral","ttl":"1h"}',
        "at_bytes": 40,
        "removed_bytes": 0,
        "inserted_bytes": 11,
        "why": "because",
    }
    assert edit_json(an_edit(before="5m", after=3600))["before"] == "5m"


def test_json_of_a_decision() -> None:
    """
    Of the policy `auto` alone. What it expects is the cost less that with the other TTL.
    """
    assert "auto" not in Upgrade().to_json()
    assert Upgrade(auto=Decision("1h", "start", 31_000_000, "why")).to_json()["auto"] == {
        "ttl": "1h",
        "situation": "start",
        "expects_nusd": -31_000_000,
        "expects_usd": "-0.031000000",
        "reason": "why",
    }
    assert auto_json(Decision("5m", "agent", None, "why"))["expects_usd"] is None


def test_skip_json() -> None:
    """
    A skip of the whole request says so in its path.
    """
    assert skip_json(a_skip(path=(), code="oauth", why="because")) == {
        "rule": "cache-ttl",
        "path": "(request)",
        "code": "oauth",
        "why": "because",
    }
