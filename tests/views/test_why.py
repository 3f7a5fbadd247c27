"""
The report of `savemode why`.
"""

from datetime import UTC, datetime, timedelta
from io import StringIO

from savemode_cli.core.diagnosis.causes import Miss, Verdict
from savemode_cli.core.diagnosis.excerpt import Excerpt
from savemode_cli.core.diagnosis.report import Diagnosed, Report
from savemode_cli.views.console import PrintableConsole
from savemode_cli.views.why import Shown, show, to_json

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def a_report(*verdicts: Verdict) -> Report:
    """
    Requests with these verdicts.
    """
    report = Report()
    for minute, verdict in enumerate(verdicts):
        at = NOON + timedelta(minutes=minute)
        report.add(Diagnosed(f"call {minute}", "s", "claude-opus-5-5", at, verdict, 2_000_000_000))
    return report


def printed(shown: Shown) -> str:
    """
    What a person reads.
    """
    out = StringIO()
    show(shown, PrintableConsole(file=out, width=80, no_color=True))
    return out.getvalue()


MISS = Miss("system_changed", 6000, ("system", 0, "text"), "edited", "text", cost_nusd=28_800_000)


def test_nothing_was_missed() -> None:
    """
    It says so, and what was read.
    """
    report = a_report(Verdict(7000, 6900))
    assert printed(Shown(report, [], {})) == (
        "1 request cost $2.0000. Nothing was missed: 6,900 tokens were read from the cache.\n"
    )
    assert printed(Shown(Report(), [], {})) == "No request with a bill was found.\n"


def test_a_hostile_excerpt_stays_text() -> None:
    """
    What somebody else wrote steers no terminal.
    """
    report = a_report(Verdict(7000, 1000, (MISS,)))
    text = printed(Shown(report, report.dearest(), {"call 0": Excerpt("a\x1b[2Jb", "")}))

    assert "\x1b" not in text
    assert "- a\\x1b[2Jb" in text
    assert "+ (nothing)" in text


def test_two_causes_of_one_request() -> None:
    """
    Each with its own tokens.
    """
    other = Miss("expired", 2000, idle=timedelta(minutes=9), ttl="5m", cost_nusd=1)
    report = a_report(Verdict(9000, 1000, (MISS, other)))
    shown = Shown(
        report, report.dearest(), {}, transcripts=2, unusable={"no time": 3}, malformed=1, problems=["a:1: x"]
    )
    text = printed(shown)

    assert "system_changed at system[0].text: edited (6,000 tokens)" in text
    assert "expired: idle for 9 min, cached for 5m; 1h would have been long enough (2,000 tokens)" in text
    assert "2 sessions of transcripts" in text
    assert "left out: 3 (the time of sending was not recorded)" in text
    assert "not read: 1; first: a:1: x" in text
    assert [cause["requests"] for cause in to_json(shown)["causes"]] == [1, 1]
