"""
What `auto` knows, as a table and as JSON.
"""

from datetime import UTC, datetime

from savemode_cli.core.upgrade.auto import History, Run
from savemode_cli.views.auto import show, to_json
from tests.support.drawn import drawn

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
HISTORY = History(
    [
        Run("a", "start", NOON, 2_000_000_000, 1_000_000_000, 500_000_000, (4, *[0] * 11)),
        Run("b", "agent", NOON, 1_000_000_000, 1_400_000_000),
    ]
)


def test_the_table() -> None:
    """
    Amounts for both TTLs, what is chosen next, and why.
    """
    lines = drawn(show, {"": HISTORY, "al\x1bice": History()}).splitlines()

    assert lines[0] == "the latest runs, and what is chosen next"
    assert lines[2] == "  conversations     1  $2.0000  $1.0000  -$1.0000  1h      $0.5000  5m warm"
    assert lines[4] == "  sub-agents        1  $1.0000  $1.4000  +$0.4000  5m            -  5m"
    assert lines[5] == "  kept warm: 5m with --keep-warm, and what is chosen next where it is on"
    assert lines[6] == "  conversations: your last conversation cost 50.0 % less with 1h"
    assert "the latest runs of al\\x1bice, and what is chosen next" in lines


def test_for_machines() -> None:
    """
    The same, in nano-dollars.
    """
    (person,) = to_json({"": HISTORY})["persons"]
    start, pause = person["situations"]["start"], person["situations"]["pause"]

    assert (start["runs"], start["with_5m_nusd"], start["with_1h_nusd"]) == (1, 2_000_000_000, 1_000_000_000)
    assert (start["last_at"], start["next"]["ttl"]) == ("2026-11-24T12:00:00Z", "1h")
    assert (pause["runs"], pause["last_at"]) == (0, None)
    assert (start["with_5m_kept_warm_nusd"], start["next_with_keep_warm"]["keeps_warm"]) == (500_000_000, True)
    assert "next_with_keep_warm" not in person["situations"]["agent"]
    assert person["pauses"] == {"returned_by_4m30s": [4, *[0] * 11], "stayed_away": 1}
