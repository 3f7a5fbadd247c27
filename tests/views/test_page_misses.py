"""
The dearest misses on the page.
"""

from datetime import UTC, datetime

from savemode_cli.core.diagnosis.causes import ADVICE, Miss, Verdict
from savemode_cli.core.exchange.dearest import DearMiss
from savemode_cli.core.exchange.totals import Missed, Totals
from savemode_cli.views.page_misses import causes, misses
from tests.builders import a_verdict

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def a_miss(verdict: Verdict, name: str = "req_sm_1", agent: str = "") -> DearMiss:
    """
    A miss of a session.
    """
    return DearMiss(name, NOON, "session-1", agent, "claude-opus-5-5", 10**9, verdict)


def test_where_the_prompts_differ() -> None:
    """
    The place, the kind of change, the other request, the sizes and what to do.
    """
    found = "".join(misses([a_miss(a_verdict("system_changed"), agent="finder")]))

    for text in (
        "system changed <code>system[1].text</code>",
        "<dt>differs at</dt><dd><code>system[1].text</code></dd>",
        "2,000 of 2,500 tokens",
        "req_sm_0",
        ADVICE["system_changed"].split('"')[0],
        "sub-agent",
        "savemode why req_sm_1",
    ):
        assert text in found


def test_nothing_differs_where_a_cache_has_expired() -> None:
    """
    The pause is what matters then.
    """
    miss = Miss("expired", 2000, ("messages", 3), ttl="5m", cost_nusd=5)
    found = "".join(misses([a_miss(Verdict(2000, 0, (miss,)))]))

    assert "differs at" not in found
    assert "it was not seen" in found


def test_a_few_are_shown_and_the_others_are_folded() -> None:
    """
    All of them are there.
    """
    found = "".join(misses([a_miss(a_verdict("expired"), f"req_{number}") for number in range(20)]))

    assert found.count('<details class="miss"') == 20
    assert '<summary class="quiet">12 more</summary>' in found
    assert "Nothing of note" in "".join(misses([]))


def test_sums_by_cause() -> None:
    """
    The dearest first; none without a miss.
    """
    found = "".join(causes(Totals(missed={"expired": Missed(1, 5, 7), "model_changed": Missed(2, 6, 9)})))

    assert found.index("model changed") < found.index("expired")
    assert list(causes(Totals())) == []
