"""
A replay in sentences: differences, recommendations, and what the figures do not show.
"""

import pytest

from savemode_cli.core.replay.recording import Session
from savemode_cli.core.replay.report import Replay
from savemode_cli.core.wire.usage import Tokens, Usage
from savemode_cli.views.replay_words import difference, not_established, plural, recommendation, title
from tests.core.replay.test_report import advised
from tests.support.replayed import PAUSING, a_session, many
from tests.support.shown_replay import shown
from tests.support.values import replace

STEADY = many(10, [10] * 5, hour=True)


def only_read(session: Session) -> Session:
    """
    The same, reading what another session wrote.
    """
    usage = Usage(Tokens(3, read=40_000))
    return Session(session.id, tuple(replace(one, usage=usage) for one in session.requests))


@pytest.mark.parametrize(
    ("nusd", "words"),
    [
        (-3_100_000_000, "$3.10 cheaper"),
        (420_000_000, "$0.42 more"),
        (9_999_999, "the same"),
        (-9_999_999, "the same"),
        (0, "the same"),
    ],
)
def test_differences_in_words(nusd: int, words: str) -> None:
    """
    Signs are easily misread.
    """
    assert difference(nusd) == words


@pytest.mark.parametrize(
    ("replay", "words"),
    [
        pytest.param(advised(*PAUSING), "Keep the cache for 1 hour: $6.76 cheaper (53.1 %;", id="1h"),
        pytest.param(advised(*STEADY), "Keep the cache for 5 minutes: $1", id="5m"),
        pytest.param(
            advised(*many(10, [10] * 5)),
            "Leave it as it is: everything is already kept for 5 minutes; 1 hour for all would have cost $1.35 more.",
            id="all 5m already",
        ),
        pytest.param(
            advised(*many(10, [600, 10, 600], hour=True)),
            "Leave it as it is: everything is already kept for 1 hour; 5 minutes for all would have cost $",
            id="all 1h already",
        ),
        pytest.param(
            advised(*many(20, [10] * 5), a_session("hour", [10], hour=True, start=4000)),
            "Leave it as it is: 5 minutes for all would have been $0.01 cheaper, less than 1 % of the bill.",
            id="mixed",
        ),
        pytest.param(
            advised(*many(20, [10] * 5), a_session("hour", [10], hour=True, start=400)),
            "Leave it as it is: 5 minutes for all would have cost the same.",
            id="mixed and the same",
        ),
        pytest.param(advised(*map(only_read, many(10, [10] * 5))), "Leave it as it is: nothing was written", id="none"),
        pytest.param(
            advised(*many(4, [600] * 5)), "for all would have been $2.70 cheaper, but 4 sessions are too few", id="few"
        ),
        pytest.param(
            advised(a_session("s", [600] * 25)), "cheaper, but 1 session is too few to tell.", id="one session"
        ),
        pytest.param(
            advised(a_session("lucky", [600] * 8, start=200_000), *many(20, [10] * 8)),
            "but 90 % of such records give",
            id="unclear",
        ),
        pytest.param(advised(*many(6, [600])), "No recommendation: only 6 requests follow another", id="poor"),
        pytest.param(advised(), "No recommendation: no request was found.", id="nothing"),
    ],
)
def test_recommendations(replay: Replay, words: str) -> None:
    """
    One sentence each, with a reason or with none to give.
    """
    said = recommendation(replay)

    assert words in said
    assert said.endswith(".")
    assert "\n" not in said


@pytest.mark.parametrize(
    ("count", "noun", "words"),
    [(1, "session", "1 session"), (2000, "session", "2,000 sessions"), (1, "body", "1 body"), (2, "body", "2 bodies")],
)
def test_numbers_have_the_right_noun(count: int, noun: str, words: str) -> None:
    """
    Thousands are separated.
    """
    assert plural(count, noun) == words


def test_what_the_figures_do_not_show() -> None:
    """
    Unknown prompts where pauses were not survived, and the small number of sessions where it is small.
    """
    few, enough = advised(*PAUSING), advised(*many(25, [10] * 5))

    assert "after 50 pauses that the recorded cache did not survive: 12.0 % of them" in not_established(few)[0]
    assert not_established(few)[-1].endswith("these are only 10")
    assert not any("did not survive" in claim or "only" in claim for claim in not_established(enough))


def test_the_title_says_when() -> None:
    """
    Nothing found is said as such.
    """
    assert title(shown(advised(*PAUSING))) == "10 sessions, 60 requests on 2026-11-24"
    assert title(shown(advised())) == "No matching request was found."
