"""
Sessions under other policies: the bill is the bill, differences are inferred, and no advice is given lightly.
"""

from dataclasses import replace
from datetime import timedelta
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from savemode_cli.core.money.pricing import PriceTable
from savemode_cli.core.replay.recording import Recorded, Session, Wanted
from savemode_cli.core.replay.report import summed
from savemode_cli.core.replay.segments import PolicySum
from savemode_cli.core.replay.sessions import Cell
from tests.builders import a_price
from tests.support.examples import examples
from tests.support.replayed import NOON, a_session, replayed


def test_the_bill_is_the_bill() -> None:
    """
    As recorded is what each request was billed, added up; every other policy has the same tokens in all.
    """
    sessions = [a_session("a", [10, 600, 4000, 10]), a_session("b", [10, 600, 4000], hour=True)]
    table = PriceTable([a_price()])
    bills = [
        table.bill(one.usage, one.model, one.started_at).cost.input_nusd for each in sessions for one in each.requests
    ]
    done = summed(replayed(*sessions))

    assert done.estimate("recorded").nusd == sum(bills)
    for one in done.estimates:
        kinds = one.tokens
        assert kinds.input_tokens == 3 * len(bills)
        assert kinds.read_tokens + kinds.write_5m_tokens + kinds.write_1h_tokens == sum(
            request.usage.tokens.prompt - 3 for each in sessions for request in each.requests
        )


def test_each_policy_by_hand() -> None:
    """
    Opus 5.5: 5m writes at $5, 1h writes at $8, reads at $0.20 per million; one pause of 10 minutes, 41,000 tokens.
    """
    (one,) = replayed(a_session("a", [600], start=40_000))
    total = one.total
    input_nusd = 6 * 4000

    assert total["recorded"].expected_nusd(Fraction(0)) == (40_000 + 41_000) * 5000 + input_nusd
    assert total["5m"] == total["recorded"] == total["product"]
    sure = 40_000 * 8000 + 40_000 * 200 + 1000 * 8000 + input_nusd
    assert total["1h"].expected_nusd(Fraction(0)) == sure
    assert total["1h"].expected_nusd(Fraction(1)) == 81_000 * 8000 + input_nusd
    assert total["1h"].expected_nusd(Fraction(1, 4)) == sure + 10_000 * (8000 - 200)


def test_an_hour_kept_for_five_minutes() -> None:
    """
    Loses what the pause outlived, and writes the rest cheaper.
    """
    (one,) = replayed(a_session("a", [600, 10], hour=True))

    assert one.total["recorded"] == one.total["1h"]
    assert one.total["5m"].tokens.read_tokens == 41_000
    assert one.total["5m"].tokens.write_5m_tokens == 40_000 + 41_000 + 1000


def test_product_raises_what_the_original_would() -> None:
    """
    5m to 1h where the product is idle-prone; a cloud's model stays as it is.
    """
    (raised,) = replayed(a_session("a", [600]), idle_prone=True)
    (cloud,) = replayed(a_session("a", [600], model="us.anthropic.claude-opus-5-5-v1:0"), idle_prone=True)

    assert raised.total["product"] == raised.total["1h"] != raised.total["recorded"]
    assert cloud.total["product"] == cloud.total["recorded"]


def test_hindsight_is_never_beaten() -> None:
    """
    It takes the cheapest for each session.
    """
    done = summed(replayed(a_session("long", [600] * 9), a_session("short", [10] * 9)))
    nusd = {one.name: one.nusd for one in done.estimates}

    assert nusd["optimum"] < min(nusd["recorded"], nusd["5m"], nusd["1h"])
    assert [one.difference_nusd < 0 for one in done.by_session] == [True, False]


@examples(50)
@given(st.lists(st.lists(st.sampled_from([5, 100, 290, 310, 700, 3500, 5000]), max_size=5), min_size=1, max_size=7))
def test_parts_are_the_whole(pauses: list[list[int]]) -> None:
    """
    Classes of pauses, hours and sessions each add up to the policy, whatever the order of the sessions.
    """
    sessions = [a_session(f"s{number}", one, hour=number % 2 == 0) for number, one in enumerate(pauses)]
    done = summed(replayed(*sessions))

    assert summed(replayed(*reversed(sessions))) == done
    for name in ("recorded", "5m", "1h", "product"):
        whole = done.estimate(name).nusd
        assert abs(sum(one.nusd[name] for one in done.gaps) - whole) <= len(done.gaps)
        assert done.curves[name][-1] == whole
    assert sum(one.requests for one in done.gaps) == done.requests == sum(map(len, pauses)) + len(pauses)
    assert sum(done.pauses) == sum(map(len, pauses))
    assert done.estimate("optimum").nusd <= min(done.estimate(name).nusd for name in ("recorded", "5m", "1h")) + 7


def test_what_is_not_wanted_still_warms_the_cache() -> None:
    """
    A request before the first counted day left what the first counted one reads.
    """
    session = a_session("a", [10, 10])
    (one,) = replayed(session, wanted=Wanted(since=NOON + timedelta(seconds=10)))

    assert (one.requests, one.tally.firsts, one.first_at) == (2, 0, NOON + timedelta(seconds=10))
    assert replayed(session, wanted=Wanted(model="haiku")) == []


def test_copies_are_counted_as_copies() -> None:
    """
    They warm the cache, cost nothing again, and are said.
    """
    session = a_session("a", [10, 10])
    first, *rest = session.requests
    copied = Recorded(first.session, first.agent, first.model, first.started_at, first.ended_at, first.usage, copy=True)
    (one,) = replayed(Session("a", (copied, *rest)))

    assert (one.requests, one.copies, one.tally.firsts) == (2, 1, 0)
    assert summed([one]).copies == 1


def test_what_was_merged_in_a_session_is_handed_on() -> None:
    """
    Beside what was kept apart, and summed.
    """
    session = replace(a_session("a", [10]), repeated=2, sharing=3)
    (one,) = replayed(session)
    both = summed([one, one])

    assert (one.repeated, one.sharing, both.repeated, both.sharing) == (2, 3, 4, 6)


def test_an_unknown_model_is_in_no_dollars() -> None:
    """
    Its tokens are counted and it is named.
    """
    done = summed(replayed(a_session("a", [10], model="claude-unheard-of"), a_session("b", [10])))

    assert done.unpriced == {"claude-unheard-of": 2}
    assert done.models == {"claude-opus-5-5": 2, "claude-unheard-of": 2}
    assert done.estimate("recorded").nusd == summed(replayed(a_session("b", [10]))).estimate("recorded").nusd
    assert done.estimate("recorded").tokens.read_tokens == 80_000


def test_a_long_prompt_has_its_own_rates() -> None:
    """
    From the token on that the price says, and not from a round number.
    """
    short = a_session("a", [], model="claude-old", start=1497)
    long = a_session("b", [], model="claude-old", start=1498)
    nusd = [one.total["recorded"].expected_nusd(Fraction(0)) for one in replayed(short, long)]

    assert nusd == [1497 * 5000 + 3 * 4000, 1498 * 10_000 + 3 * 8000]


def test_sums_of_cells() -> None:
    """
    A cell keeps what it is given apart.
    """
    one, other = Cell(1), Cell(2)
    other.sums["1h"].add(PolicySum(ausd=5, rescuable_ausd=2))
    one.add(other)
    one.add(other)

    assert (one.requests, one.sums["1h"], one.sums["5m"], other.sums["1h"]) == (
        5,
        PolicySum(ausd=10, rescuable_ausd=4),
        PolicySum(),
        PolicySum(ausd=5, rescuable_ausd=2),
    )
