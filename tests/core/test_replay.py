"""
Sessions under other policies: the bill is the bill, differences are inferred, and no advice is given lightly.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from savemode_cli.core.price import LongContext
from savemode_cli.core.pricing import PriceTable, Usage
from savemode_cli.core.recorded import Recorded, Session, Wanted
from savemode_cli.core.replay import (
    Cell,
    Money,
    Replay,
    SessionReplay,
    changed_share,
    rates_by,
    replay_session,
    summed,
)
from tests.builders import a_price, usd

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
MODEL = "claude-opus-5-5"
RATES = rates_by(
    PriceTable([a_price(), a_price("claude-old", long=LongContext(above_tokens=1500, rates=usd("8 20 10 16 1")))])
)


def a_session(
    name: str, pauses_s: Iterable[float], *, hour: bool = False, step: int = 1000, start: int = 40_000, **more: object
) -> Session:
    """
    A conversation whose cache behaves as the model thinks, growing by so many tokens a turn.
    """
    at, length, made = NOON, start, []
    for number, pause_s in enumerate((None, *pauses_s)):
        warm = pause_s is not None and pause_s <= (3600 if hour else 300)
        read = length if warm else 0
        at += timedelta(seconds=pause_s or 0)
        length += step if number else 0
        written = length - read
        usage = Usage(3, 0 if hour else written, written if hour else 0, read)
        fields: dict[str, object] = {"agent": "", "model": MODEL, **more}
        made.append(Recorded(name, started_at=at, ended_at=at, usage=usage, **fields))  # type: ignore[arg-type]
    return Session(name, tuple(made))


def replayed(*sessions: Session, wanted: Wanted | None = None, idle_prone: bool = False) -> list[SessionReplay]:
    """
    Each of them, where something of it is wanted.
    """
    done = (replay_session(one, RATES, wanted or Wanted(), idle_prone=idle_prone) for one in sessions)
    return [one for one in done if one is not None]


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
        kinds = one.kinds
        assert kinds.input_tokens == 3 * len(bills)
        assert kinds.read_tokens + kinds.write_5m_tokens + kinds.write_1h_tokens == sum(
            request.usage.prompt_tokens - 3 for each in sessions for request in each.requests
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
    assert one.kinds["5m"].read_tokens == 41_000
    assert one.kinds["5m"].write_5m_tokens == 40_000 + 41_000 + 1000


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


@settings(max_examples=50, deadline=None)
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


def test_an_unknown_model_is_in_no_dollars() -> None:
    """
    Its tokens are counted and it is named.
    """
    done = summed(replayed(a_session("a", [10], model="claude-unheard-of"), a_session("b", [10])))

    assert done.unpriced == {"claude-unheard-of": 2}
    assert done.models == {"claude-opus-5-5": 2, "claude-unheard-of": 2}
    assert done.estimate("recorded").nusd == summed(replayed(a_session("b", [10]))).estimate("recorded").nusd
    assert done.estimate("recorded").kinds.read_tokens == 80_000


def test_a_long_prompt_has_its_own_rates() -> None:
    """
    From the token on that the price says, and not from a round number.
    """
    short = a_session("a", [], model="claude-old", start=1497)
    long = a_session("b", [], model="claude-old", start=1498)
    nusd = [one.total["recorded"].expected_nusd(Fraction(0)) for one in replayed(short, long)]

    assert nusd == [1497 * 5000 + 3 * 4000, 1498 * 10_000 + 3 * 8000]


def test_the_share_of_changed_pauses() -> None:
    """
    One in ten before any was counted, then what was counted.
    """
    assert changed_share(0, 0) == Fraction(1, 10)
    assert changed_share(90, 0) == Fraction(1, 100)
    assert changed_share(30, 7) == Fraction(8, 40)


def many(count: int, pauses_s: list[float], **more: object) -> list[Session]:
    """
    Sessions alike.
    """
    return [a_session(f"s{number}", pauses_s, **more) for number in range(count)]  # type: ignore[arg-type]


def advised(*sessions: Session) -> Replay:
    """
    All of them summed.
    """
    return summed(replayed(*sessions))


def test_advice_to_switch() -> None:
    """
    Where even the worse end of the interval is cheaper, with the interval.
    """
    done = advised(*many(10, [600] * 5))
    hour = done.estimate("1h")

    assert (done.advice.verdict, done.advice.policy) == ("switch", "1h")
    assert hour.low_nusd is not None
    assert hour.high_nusd is not None
    assert hour.low_nusd <= hour.difference_nusd <= hour.high_nusd < 0

    back = advised(*many(10, [10] * 5, hour=True))
    assert (back.advice.verdict, back.advice.policy) == ("switch", "5m")


def test_no_advice_where_it_is_not_clear() -> None:
    """
    One session of many decides: another sample might say the opposite.
    """
    lucky = a_session("lucky", [600] * 8, start=200_000)
    done = advised(lucky, *many(20, [10] * 8, step=1000))

    assert done.advice.verdict == "unclear"


def test_no_advice_to_change_what_is_good() -> None:
    """
    Neither TTL would have changed the bill by a hundredth.
    """
    assert advised(*many(10, [10] * 5)).advice.verdict == "keep"


def test_no_advice_from_few_sessions() -> None:
    """
    There is no interval then.
    """
    done = advised(*many(4, [600] * 5))

    assert (done.advice.verdict, done.advice.policy) == ("few", "1h")
    assert {(one.low_nusd, one.high_nusd) for one in done.estimates} == {(None, None)}


def test_no_advice_from_a_poor_model() -> None:
    """
    Nor from nothing.
    """
    assert advised(*many(6, [600])).advice.verdict == "ungraded"
    nothing = advised()
    assert (nothing.advice.verdict, nothing.first_at, nothing.curve_hours) == ("nothing", None, ())


def test_the_same_seed_gives_the_same_interval() -> None:
    """
    And another one a slightly different one.
    """
    done = replayed(*many(5, [600] * 4), a_session("other", [10] * 9), a_session("third", [600, 10, 10, 10]))
    one, same, other = (summed(done, seed=seed).estimate("1h") for seed in (1, 1, 99))

    assert one == same
    assert (one.low_nusd, one.high_nusd) != (other.low_nusd, other.high_nusd)


def test_sums_of_cells() -> None:
    """
    A cell keeps what it is given apart.
    """
    one, other = Cell(1), Cell(2)
    other.money["1h"].add(Money(5, 2))
    one.add(other)
    one.add(other)

    assert (one.requests, one.money["1h"], one.money["5m"], other.money["1h"]) == (
        5,
        Money(10, 4),
        Money(),
        Money(5, 2),
    )
