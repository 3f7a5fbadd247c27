"""
The result of a trial, as text and as JSON.
"""

from datetime import UTC, datetime, timedelta

from savemode_cli.core.exchange.trial import GroupSum, TrialResult
from savemode_cli.views.trial import show, to_json
from tests.support.drawn import drawn

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def a_result(verdict: str = "cheaper", **more: object) -> TrialResult:
    """
    A trial of a hundred sessions: a tenth held out, and a fifth less for the others.
    """
    fields: dict[str, object] = {
        "groups": {
            "policy": GroupSum(90, 3_000, 200_000_000, 80_000_000_000),
            "hold-out": GroupSum(10, 300, 20_000_000, 10_000_000_000),
        },
        "verdict": verdict,
        "switched": 0,
        "first_at": NOON,
        "last_at": NOON + timedelta(days=9),
        "difference_nusd": -100_000,
        "low_nusd": -150_000,
        "high_nusd": -50_000,
        "needed_sessions": 130,
        **more,
    }
    return TrialResult(**fields)  # type: ignore[arg-type]


def test_a_saving() -> None:
    """
    Both groups, the difference in percent with its interval, within 80 columns.
    """
    assert drawn(show, a_result(), zone=UTC).splitlines() == [
        "trial of upgraded cache TTLs, 2026-11-24 to 2026-12-03",
        "                  sessions  requests  prompt tokens   prompts  for 1,000 tokens",
        "  by the policy         90     3,000    200,000,000  $80.0000        $0.0004000",
        "  held out at 5m        10       300     20,000,000  $10.0000        $0.0005000",
        "",
        "The policy saves: for the same tokens -20.0 % (95 % interval: -30.0 % to",
        "-10.0 %), and the interval excludes zero.",
    ]


def test_what_is_not_enough() -> None:
    """
    The interval includes zero: how many sessions it takes. A loss is called one.
    """
    unclear = " ".join(drawn(show, a_result("unclear", high_nusd=3_000, switched=1), zone=UTC).split())
    same = drawn(show, a_result("unclear", difference_nusd=0, needed_sessions=None), zone=UTC)
    few = drawn(show, a_result("few"), zone=UTC)
    loss = drawn(show, a_result("dearer"), zone=UTC)

    assert "Not enough yet: for the same tokens -20.0 % (95 % interval: -30.0 % to +0.6 %)" in unclear
    assert "about 130 sessions would show it in 8 of 10 trials; there are 100." in unclear
    assert "1 session changed their group" in unclear
    assert "no number of sessions would show a difference" in same
    assert "each group needs 5 sessions" in few
    assert "The policy costs more" in loss


def test_nothing_yet() -> None:
    """
    How to begin.
    """
    empty = a_result("few", first_at=None, last_at=None)

    assert "savemode run --save --hold-out 0.1 -- claude" in drawn(show, empty, zone=UTC)


def test_for_machines() -> None:
    """
    Amounts in integers and text, times as ISO 8601.
    """
    data = to_json(a_result(), malformed=2)

    assert (data["verdict"], data["enough"], data["malformed_lines"]) == ("cheaper", True, 2)
    assert data["groups"]["hold_out"]["per_1000_tokens_nusd"] == 500_000
    assert data["difference_percent"] == -20.0
    assert data["first_at"] == "2026-11-24T12:00:00+00:00"
