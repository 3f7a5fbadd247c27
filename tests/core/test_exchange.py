"""
The record of an exchange, and its form for machines.
"""

import dataclasses
import json

import pytest

from savemode_cli.core.exchange import Exchange, edit_json, skip_json
from savemode_cli.core.messages import MESSAGES_PATH
from tests.builders import a_skip, an_edit, an_exchange


@pytest.mark.parametrize(
    ("observed", "resent", "expected"), [(False, False, 2), (True, False, 0), (False, True, 0), (True, True, 0)]
)
def test_upgraded_counts_what_went_out(observed: bool, resent: bool, expected: int) -> None:
    """
    What was only observed, or taken back, was not raised.
    """
    assert an_exchange(edits=(an_edit(), an_edit()), observed=observed, resent=resent).upgraded == expected


def test_json_holds_every_field() -> None:
    """
    Nothing of the record is missing for machines, and it is JSON.
    """
    shown = an_exchange(edits=(an_edit(),), skips=(a_skip(),)).to_json()

    assert {one.name for one in dataclasses.fields(Exchange)} <= set(shown)
    assert json.loads(json.dumps(shown)) == shown


def test_json_has_units_and_round_numbers() -> None:
    """
    Microseconds are enough; the time says its zone.
    """
    shown = an_exchange().to_json()

    assert (shown["schema_version"], shown["event"], shown["path"]) == (1, "request.done", MESSAGES_PATH)
    assert (shown["duration_ms"], shown["first_byte_ms"]) == (1234.568, 12.346)
    assert shown["started_at"] == "2026-11-24T12:00:00.123+00:00"


def test_json_of_a_call_without_an_answer() -> None:
    """
    What did not happen is null, not zero.
    """
    shown = an_exchange(first_byte_ms=None, status=None, outcome="client_gone", upstream_request_id=None).to_json()

    assert (shown["first_byte_ms"], shown["status"], shown["upstream_request_id"]) == (None, None, None)


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
