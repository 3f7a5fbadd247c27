"""
A replay as JSON: what the text holds, in units that machines read.
"""

from savemode_cli.views.replay_json import to_json
from tests.core.replay.test_report import advised
from tests.support.replayed import PAUSING
from tests.support.shown_replay import shown
from tests.support.values import replace


def test_for_machines() -> None:
    """
    Amounts are integers of nano-dollars, shares are numbers, times are stamped.
    """
    replay = advised(*PAUSING)
    data = to_json(shown(replay))

    assert (data["schema_version"], data["sessions"], data["requests"]) == (1, 10, 60)
    assert data["first_at"] == "2026-11-24T12:00:00Z"
    assert (data["grade"]["passes"], data["grade"]["right_share"], data["grade"]["dollar_error"]) == (True, 1.0, 0.0)
    assert data["grade"]["outcomes"] == [{"predicted": "cold", "recorded": "cold", "requests": 50}]
    assert data["policies"]["1h"]["cost_nusd"] == replay.estimate("1h").nusd
    assert data["recommendation"]["policy"] == "1h"
    assert sum(data["pause_histogram"]["requests"]) == 50
    assert data["spent"]["all_1h_nusd"][-1] == replay.estimate("1h").nusd


def test_what_was_merged_is_in_the_json() -> None:
    """
    Each of the three by its own name.
    """
    data = to_json(shown(replace(advised(*PAUSING), copies=1, repeated=2, sharing=3)))

    assert [data[name] for name in ("copies", "repeated_in_their_session", "sharing_a_message_id")] == [1, 2, 3]


def test_auto_stands_beside_hindsight() -> None:
    """
    With its regret; the bill has none.
    """
    policies = to_json(shown(advised(*PAUSING)))["policies"]

    assert policies["auto"]["regret_nusd"] == policies["auto"]["cost_nusd"] - policies["optimum"]["cost_nusd"]
    assert "regret_nusd" not in policies["recorded"]


def test_what_is_not_established_is_listed() -> None:
    """
    The same sentences as in the text.
    """
    claims = to_json(shown(advised(*PAUSING)))["not_established"]

    assert len(claims) == 4
    assert all(isinstance(claim, str) for claim in claims)
