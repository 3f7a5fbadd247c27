"""
Lanes in segments, each priced for both TTLs.
"""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from savemode_cli.core.replay.prompt_tokens import PromptTokens
from savemode_cli.core.replay.segments import PolicySum, Segment
from tests.support.examples import examples
from tests.support.replayed import a_session, replayed


def segments(pauses_s: list[float], **more: object) -> list[Segment]:
    """
    The segments of a session with one lane.
    """
    (session,) = replayed(a_session("a", pauses_s, **more))  # type: ignore[arg-type]
    (lane,) = session.segments.lanes.values()
    return lane


def test_a_lane_is_cut_at_pauses_of_more_than_five_minutes() -> None:
    """
    A 1-hour cache survives one of them, and not the other.
    """
    assert [(one.start, one.requests) for one in segments([10, 600, 20, 30, 4000])] == [
        ("cold", 2),
        ("pause", 3),
        ("cold", 1),
    ]


def test_each_segment_by_hand() -> None:
    """
    Opus 5.5, 40,000 tokens, ten minutes, 41,000 tokens: 5m writes at $5, 1h writes at $8, reads at $0.20 per million.
    """
    first, second = segments([600])
    plain = 3 * 4000
    everything, nothing = Fraction(1), Fraction(0)

    assert first.five.expected_nusd(everything) == 40_000 * 5000 + plain
    assert first.hour.expected_nusd(everything) == first.hour_kept.expected_nusd(nothing) == 40_000 * 8000 + plain
    assert second.five.expected_nusd(everything) == 41_000 * 5000 + plain
    assert second.hour.expected_nusd(nothing) == 41_000 * 8000 + plain
    assert second.hour_kept.expected_nusd(nothing) == 40_000 * 200 + 1000 * 8000 + plain
    assert second.hour_kept.expected_nusd(everything) == 41_000 * 8000 + plain


def test_a_segment_that_is_kept_warm_by_hand() -> None:
    """
    Two keep-warm requests in ten minutes, and four after the last answer, at $0.20. A segment that begins to be kept warm after
    the pause writes its prompt, and owns no keep-warm requests before it.
    """
    first, second = segments([600])
    plain, nothing = 3 * 4000, Fraction(0)

    assert first.warm.expected_nusd(nothing) == 40_000 * 5000 + plain + 4 * 40_000 * 200
    assert first.warm == first.warm_kept
    assert second.warm.expected_nusd(nothing) == 41_000 * 5000 + plain + 4 * 41_000 * 200
    kept = 40_000 * 200 + 1000 * 5000 + plain + (4 * 41_000 - 2 * 40_000) * 200
    assert second.warm_kept.expected_nusd(nothing) == kept


def test_pauses_that_are_long_enough_for_a_keep_warm_request() -> None:
    """
    After 4.5 minutes; the pause before a segment is not in it.
    """
    assert [one.short_pauses for one in segments([269, 270, 299, 600, 280])] == [2, 1]


def test_a_sub_agent_has_segments_of_its_own() -> None:
    """
    And they say so. It is not kept warm.
    """
    agents = segments([600], agent="a1")

    assert [one.is_agent for one in agents] == [True, True]
    assert [one.warm for one in agents] == [one.five for one in agents]
    assert [one.is_agent for one in segments([])] == [False]


@examples(50)
@given(st.lists(st.sampled_from([5, 290, 310, 700, 3500, 5000]), max_size=6), st.booleans())
def test_the_segments_are_the_whole(pauses_s: list[float], hour: bool) -> None:
    """
    With one TTL for all of them they cost what the policies cost that have one TTL for all.
    """
    (session,) = replayed(a_session("a", pauses_s, hour=hour))
    five, kept, warm = PolicySum(), PolicySum(), PolicySum()
    for segment in segments(pauses_s, hour=hour):
        five.add(segment.five)
        kept.add(segment.hour_kept)
        warm.add(segment.warm_kept)

    assert (five, kept, warm) == (session.total["5m"], session.total["1h"], session.total["keep-warm"])


def test_expected_tokens() -> None:
    """
    Rescued writes become reads.
    """
    one = PolicySum(PromptTokens(1, 2, 10, 3), rescuable_tokens=8)

    assert one.expected_tokens(Fraction(1, 4)) == PromptTokens(1, 2, 4, 9)
    assert one.tokens == PromptTokens(1, 2, 10, 3)
