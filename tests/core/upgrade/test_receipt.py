"""
Receipts: the module's table worked by hand, the unknowns one by one, and a second, independent model of both worlds.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from savemode_cli.core.cache.lifetimes import GRACE
from savemode_cli.core.money.pricing import Bill, PriceTable
from savemode_cli.core.upgrade.edits import Edit
from savemode_cli.core.upgrade.policy import Policy
from savemode_cli.core.upgrade.receipt import Receipt, receipt
from savemode_cli.core.upgrade.shadow import Shadow
from savemode_cli.core.upgrade.transform import transform
from savemode_cli.core.wire.caller import Caller
from savemode_cli.core.wire.facts import Facts, facts
from savemode_cli.core.wire.usage import Extra, Tokens, Usage
from tests.builders import a_price
from tests.support.values import replace

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
NANO = timedelta(microseconds=1)

TENTH = "claude-opus-5"
TWENTIETH = "claude-opus-5-5"
FORTIETH = "claude-fable-5-1"
TABLE = PriceTable(
    [
        a_price(TENTH, "5 25 6.25 10 0.50"),
        a_price(TWENTIETH, "4 20 5 8 0.20"),
        a_price(FORTIETH, "10 50 12.5 20 0.25"),
    ]
)

BARE: dict[str, str] = {"type": "ephemeral"}
FIVE = {"type": "ephemeral", "ttl": "5m"}
ONE = {"type": "ephemeral", "ttl": "1h"}


@dataclass(frozen=True)
class Sent:
    """
    What the breakpoints of a body were, and which of them were raised.
    """

    known: Facts
    edits: tuple[Edit, ...]


def sent(*controls: object, upgrade: bool = True) -> Sent:
    """
    A body with these markers in the system prompt, upgraded or not.
    """
    system = [{"type": "text", "text": "x", "cache_control": one} for one in controls]
    body = json.dumps({"model": TWENTIETH, "system": system, "messages": []}).encode()
    policy = Policy("always" if upgrade else "off")
    return Sent(facts(body), transform(body, policy, Caller("posthog_code", idle_prone=True)).edits)


OURS = sent(BARE, BARE)
UNTOUCHED = sent(BARE, BARE, upgrade=False)
TAIL_PINNED = sent(BARE, FIVE)
BESIDE_CLIENTS = sent(ONE, BARE)
CLIENTS = sent(ONE, ONE)
MADE_LEGAL = sent(BARE, ONE)


def bills(model: str | None = TWENTIETH) -> Callable[[Usage], Bill]:
    """
    The bill of an answer by this model at noon.
    """
    return lambda usage: TABLE.bill(usage, model, NOON)


class Session:
    """
    Requests one after the other, each an instant long, with the shadow handed on as a caller would.
    """

    def __init__(self, model: str | None = TWENTIETH) -> None:
        """
        It begins at noon.
        """
        self.now = NOON
        self.model = model
        self.shadow: Shadow | None = None

    def ask(self, usage: Usage | None, what: Sent = OURS, *, after: timedelta = 12 * MINUTE, **more: Any) -> Receipt:
        """
        One request `after` the end of the last.
        """
        self.now += after
        more = {"final": True, **more}
        model = more.pop("model", self.model)
        ended_at = self.now + more.pop("lasting", timedelta())
        printed, self.shadow = receipt(
            self.shadow, what.known, what.edits, usage, bills(model), self.now, ended_at, **more
        )
        self.now = ended_at
        return printed


def writes(hour: int = 0, five: int = 0, read: int = 0, **more: Any) -> Usage:
    """
    A usage of the cache alone.
    """
    return Usage(Tokens(write_5m=five, write_1h=hour, read=read), **more)


def warmed(model: str | None = TWENTIETH) -> Session:
    """
    A session that has just written its first 100,000 tokens for an hour.
    """
    session = Session(model)
    session.ask(writes(100_000))
    return session


# P = 100,000 and d = 2,000. By model, in nano-dollars a token: 5m write, 1h write, read.
#   a tenth: 6,250  10,000  500      a twentieth: 5,000  8,000  200      a fortieth: 12,500  20,000  250
@pytest.mark.parametrize(
    ("model", "pause", "usage", "cost", "counterfactual", "difference"),
    [
        (TENTH, None, writes(102_000), 1_020_000_000, 637_500_000, 382_500_000),
        (TENTH, 5 * MINUTE, writes(2_000, read=100_000), 70_000_000, 62_500_000, 7_500_000),
        (TENTH, 12 * MINUTE, writes(2_000, read=100_000), 70_000_000, 637_500_000, -567_500_000),
        (TENTH, 61 * MINUTE, writes(102_000), 1_020_000_000, 637_500_000, 382_500_000),
        (TWENTIETH, None, writes(102_000), 816_000_000, 510_000_000, 306_000_000),
        (TWENTIETH, 5 * MINUTE, writes(2_000, read=100_000), 36_000_000, 30_000_000, 6_000_000),
        (TWENTIETH, 12 * MINUTE, writes(2_000, read=100_000), 36_000_000, 510_000_000, -474_000_000),
        (TWENTIETH, 61 * MINUTE, writes(102_000), 816_000_000, 510_000_000, 306_000_000),
        (FORTIETH, None, writes(102_000), 2_040_000_000, 1_275_000_000, 765_000_000),
        (FORTIETH, 5 * MINUTE, writes(2_000, read=100_000), 65_000_000, 50_000_000, 15_000_000),
        (FORTIETH, 12 * MINUTE, writes(2_000, read=100_000), 65_000_000, 1_275_000_000, -1_210_000_000),
        (FORTIETH, 61 * MINUTE, writes(102_000), 2_040_000_000, 1_275_000_000, 765_000_000),
    ],
)
def test_table(
    model: str, pause: timedelta | None, usage: Usage, cost: int, counterfactual: int, difference: int
) -> None:
    """
    Each row of the economics: first, warm, after a pause, and after more than an hour.
    """
    session = Session(model) if pause is None else warmed(model)
    printed = session.ask(usage, after=pause or MINUTE)

    assert (cost, counterfactual) == (printed.cost_nusd, printed.counterfactual_nusd)
    assert difference == printed.difference_nusd
    assert (
        printed.requested_ttl,
        printed.billed_ttl,
        printed.verified,
        printed.basis,
    ) == ("1h", "1h", True, "reported")


@pytest.mark.parametrize(
    ("pause", "saves"),
    [
        (-MINUTE, False),
        (timedelta(), False),
        (5 * MINUTE + GRACE, False),
        (5 * MINUTE + GRACE + NANO, True),
        (HOUR, True),
        (HOUR + NANO, False),
    ],
)
def test_when_a_pause_saves(pause: timedelta, saves: bool) -> None:
    """
    A pause counts from the end of the answer before, beyond 5 minutes and the grace, up to an hour.
    """
    session = Session()
    session.ask(writes(100_000), lasting=2 * MINUTE)
    printed = session.ask(writes(read=100_000), after=pause)

    assert (-480_000_000 if saves else 0) == printed.difference_nusd
    assert (printed.verified, printed.billed_ttl) == (None, None)
    assert saves == ("100000 tokens" in printed.why)


def test_warm_again_after_the_rewrite() -> None:
    """
    The rewrite after a pause is charged once to the 5-minute cache, which is warm afterwards.
    """
    session = warmed()
    saved = session.ask(writes(1_000, read=100_000))
    after = session.ask(writes(1_000, read=101_000), after=5 * MINUTE)
    again = session.ask(writes(1_000, read=102_000))

    assert [one.difference_nusd for one in (saved, after, again)] == [-477_000_000, 3_000_000, -486_600_000]


@pytest.mark.parametrize(
    ("what", "usage", "requested"),
    [
        (UNTOUCHED, writes(five=2_000, read=100_000), "5m"),
        (CLIENTS, writes(2_000, read=100_000), "1h"),
        (sent(), Usage(Tokens(input=50)), None),
        (sent({"type": "persistent"}), Usage(Tokens(input=50)), None),
        (sent("no object"), Usage(Tokens(input=50)), None),
        (sent(BARE, ONE, upgrade=False), writes(1_000, five=500, read=100_000), "1h"),
    ],
)
def test_without_edits_nothing_differs(what: Sent, usage: Usage, requested: str | None) -> None:
    """
    If no breakpoint was upgraded, nothing is claimed, whoever chose the TTL, and whatever earlier upgrades keep in the
    cache.
    """
    printed = warmed().ask(usage, what)

    assert (requested, 0, None) == (printed.requested_ttl, printed.difference_nusd, printed.verified)


@pytest.mark.parametrize(
    ("what", "usage", "verified", "billed"),
    [
        (OURS, writes(1), True, "1h"),
        (OURS, writes(1, five=1), True, "mixed"),
        (TAIL_PINNED, writes(1, five=1), True, "mixed"),
        (BESIDE_CLIENTS, writes(1), True, "1h"),
        (OURS, writes(five=1), False, "5m"),
        (BESIDE_CLIENTS, writes(five=1), False, "5m"),
        (sent(BARE, "no object"), writes(five=1), False, "5m"),
        (CLIENTS, writes(five=1), False, "5m"),
        (CLIENTS, writes(1), None, "1h"),
        (OURS, writes(read=1), None, None),
        (OURS, Usage(Tokens(input=1)), None, None),
        (TAIL_PINNED, writes(five=1), None, "5m"),
        (OURS, writes(five=1, web_searches=1), None, "5m"),
        (UNTOUCHED, writes(five=1), None, "5m"),
        (UNTOUCHED, writes(1), None, "1h"),
    ],
)
def test_verified(what: Sent, usage: Usage, verified: bool | None, billed: str | None) -> None:
    """
    An upgrade is verified by a 1-hour write. A downgrade is verified by a write, if every breakpoint requested an hour.
    """
    printed = Session().ask(usage, what)

    assert (verified, billed) == (printed.verified, printed.billed_ttl)


def test_downgrade_claims_nothing() -> None:
    """
    Both worlds have 5-minute caches, whatever was read after whichever pause.
    """
    session = Session()
    first = session.ask(writes(five=100_000))
    warm = session.ask(writes(five=2_000, read=90_000), after=MINUTE)
    second = session.ask(writes(five=2_000, read=100_000))
    after_an_upgrade = warmed().ask(writes(five=2_000, read=100_000))

    for printed in (first, warm, second, after_an_upgrade):
        assert (printed.verified, printed.difference_nusd) == (False, 0)
        assert "silent downgrade" in printed.why


def test_searches_are_no_downgrade() -> None:
    """
    The API writes what its own tools find for 5 minutes, in either world.
    """
    printed = Session().ask(writes(five=500, web_searches=1))

    assert printed.difference_nusd == 0
    assert "search tools" in printed.why


def test_upgraded_head_of_a_pinned_tail() -> None:
    """
    The tail is written for 5 minutes in both worlds; after a pause only the head was saved.
    """
    session = Session()
    first = session.ask(writes(20_000, five=5_000), TAIL_PINNED)
    second = session.ask(writes(five=6_000, read=20_000), TAIL_PINNED)

    assert [first.difference_nusd, second.difference_nusd] == [60_000_000, -96_000_000]


def test_what_others_keep_warm_is_no_saving() -> None:
    """
    20,000 tokens were there before the session's first request, and perhaps still are.
    """
    session = Session()
    first = session.ask(writes(80_000, read=20_000))
    second = session.ask(writes(read=100_000))

    assert [first.difference_nusd, second.difference_nusd] == [240_000_000, -80_000 * 4_800]


def test_what_others_added_is_no_saving() -> None:
    """
    The 500 tokens beyond the session's own were written by a request that did not pass through savemode.
    """
    session = warmed()
    printed = session.ask(writes(read=100_500))

    assert printed.difference_nusd == -100_000 * 4_800
    assert session.shadow is not None
    assert session.shadow.kept_tokens == 500


def test_what_survives_without_us_is_no_saving() -> None:
    """
    A session of 5-minute entries reads something after a pause: other sessions wrote it, and are assumed to keep it.
    """
    session = Session()
    session.ask(writes(five=100_000), UNTOUCHED)
    second = session.ask(writes(80_000, read=20_000))
    third = session.ask(writes(read=100_000))

    assert [second.difference_nusd, third.difference_nusd] == [240_000_000, -80_000 * 4_800]
    assert "not counted" in second.why


def test_after_an_hour_others_are_looked_at_anew() -> None:
    """
    What is read after more than an hour is somebody else's; what nobody kept is the session's own again.
    """
    session = Session()
    session.ask(writes(80_000, read=20_000))
    session.ask(writes(100_000), after=2 * HOUR)

    assert session.ask(writes(read=100_000)).difference_nusd == -480_000_000


def test_after_a_cold_pause_others_are_looked_at_anew() -> None:
    """
    What others kept warm once and no longer do is the session's own from then on.
    """
    session = Session()
    session.ask(writes(five=80_000, read=20_000), UNTOUCHED)
    cold = session.ask(writes(100_000))

    assert (cold.difference_nusd, cold.why) == (300_000_000, "")
    assert session.ask(writes(read=100_000)).difference_nusd == -480_000_000


def test_others_are_remembered_while_the_session_is_warm() -> None:
    """
    After a request without edits in between, the 20,000 tokens still count as somebody else's.
    """
    session = Session()
    session.ask(writes(five=80_000, read=20_000), UNTOUCHED)
    session.ask(writes(five=1_000, read=100_000), UNTOUCHED, after=MINUTE)
    session.ask(writes(1_000, read=101_000), after=MINUTE)

    assert session.ask(writes(read=102_000)).difference_nusd == -82_000 * 4_800


def test_expired_tail_is_not_the_sessions_own() -> None:
    """
    Only 20,000 tokens were written for an hour: what was read beyond them after a pause was refreshed by somebody.
    """
    session = Session()
    session.ask(writes(20_000, five=5_000), TAIL_PINNED)
    session.ask(None, after=11 * MINUTE)
    session.ask(writes(read=25_000), TAIL_PINNED, after=MINUTE)

    assert session.shadow is not None
    assert session.shadow.kept_tokens == 5_000


def test_several_passes_save_one_rewrite() -> None:
    """
    An answer after a pause, with a server tool: its second pass reads what the first one read, and would have in a
    5-minute world too. The saving is one rewrite of the prefix, not two.
    """
    session = warmed()
    printed = session.ask(writes(7_000, read=202_000, prefix_tokens=107_000))
    single = warmed().ask(writes(7_000, read=100_000))

    assert printed.difference_nusd == single.difference_nusd


def test_the_sum_of_passes_is_not_the_prefix() -> None:
    """
    After such an answer the session's own entries reach as far as its last pass. What is read beyond is somebody else's.
    """
    session = warmed()
    session.ask(writes(7_000, read=202_000, prefix_tokens=107_000), after=MINUTE)
    printed = session.ask(writes(read=150_000))
    plain = warmed()
    plain.ask(writes(7_000, read=100_000), after=MINUTE)

    assert printed.difference_nusd == plain.ask(writes(read=150_000)).difference_nusd


def test_overlapping_requests_are_one_use() -> None:
    """
    The later end counts, whichever answer is recorded last.
    """
    session = Session()
    session.ask(writes(100_000), lasting=10 * MINUTE)
    ended_at = session.now
    session.ask(writes(read=100_000), after=-9 * MINUTE, lasting=MINUTE)
    session.ask(None, after=MINUTE)

    assert session.shadow is not None
    assert (session.shadow.last_used_at, session.shadow.last_tried_at) == (ended_at, ended_at)


def test_edits_of_other_rules_are_no_upgrade() -> None:
    """
    A rule that changes something else leaves the TTLs to the client.
    """
    other = Sent(OURS.known, tuple(replace(edit, rule="effort") for edit in OURS.edits))
    printed = Session().ask(writes(five=1_000), other)

    assert (printed.requested_ttl, printed.difference_nusd) == ("5m", 0)


def test_another_model_has_another_cache() -> None:
    """
    A read after a change of model is not the session's own, although the session wrote as much with the other model.
    """
    session = warmed()
    printed = session.ask(writes(read=20_000), model=FORTIETH)

    assert printed.difference_nusd == 0
    assert session.shadow is not None
    assert (session.shadow.model, session.shadow.kept_tokens, session.shadow.upgraded) == (FORTIETH, 20_000, False)


def test_side_question_does_not_hide_the_conversation() -> None:
    """
    A small request of the same session, after the large one, leaves the large one's cache to be claimed.
    """
    session = warmed()
    side = session.ask(writes(2_000), after=MINUTE)
    warm = session.ask(writes(read=100_000), after=MINUTE)
    after_side = session.ask(writes(2_000), after=MINUTE)
    cold = session.ask(writes(read=100_000))

    differences = [one.difference_nusd for one in (side, warm, after_side, cold)]
    assert differences == [6_000_000, 0, 6_000_000, -480_000_000]


def test_request_without_cache_changes_no_shadow() -> None:
    """
    Nothing was read or written, so nothing was refreshed.
    """
    session = warmed()
    before = session.shadow
    printed = session.ask(Usage(Tokens(10, output=5)))

    assert before == session.shadow
    assert printed.difference_nusd == 0


@pytest.mark.parametrize(
    ("usage", "pause", "difference"),
    [
        (writes(read=100_000), 5 * MINUTE, 0),
        (Usage(Tokens(input=7)), 12 * MINUTE, 0),
        (writes(1, read=100_000), 5 * MINUTE, None),
        (writes(read=100_000), 12 * MINUTE, None),
        (writes(five=1, read=100_000), 12 * MINUTE, 0),
    ],
)
def test_client_chose_an_hour_beside_us(usage: Usage, pause: timedelta, difference: int | None) -> None:
    """
    The client's own 1-hour tokens cannot be separated from the upgraded ones, unless there are none.
    """
    session = Session()
    session.ask(writes(100_000), BESIDE_CLIENTS)
    printed = session.ask(usage, BESIDE_CLIENTS, after=pause)

    assert difference == printed.difference_nusd
    assert (difference is None) == ("the client chose" in printed.why)


@pytest.mark.parametrize("clients", [CLIENTS, BESIDE_CLIENTS, UNTOUCHED])
def test_clients_own_hour_is_no_saving(clients: Sent) -> None:
    """
    What the client, or a gateway behind savemode, kept for an hour would exist without the upgrade, also later.
    """
    session = Session()
    session.ask(writes(100_000), clients)

    assert session.ask(writes(read=100_000)).difference_nusd == 0


def test_body_made_legal_has_no_counterfactual() -> None:
    """
    The API would have answered the client's own body with 400.
    """
    printed = Session().ask(writes(1_000), MADE_LEGAL)

    assert (printed.cost_nusd, printed.difference_nusd) == (8_000_000, None)
    assert "refused" in printed.why


@pytest.mark.parametrize(("read", "difference"), [(100_000, 6_000_000), (20_000, None)])
def test_change_while_warm(read: int, difference: int | None) -> None:
    """
    It is unknown whether the upgrade caused a miss after a change of TTL. A full read is not a miss.
    """
    session = Session()
    session.ask(writes(five=100_000), UNTOUCHED)
    printed = session.ask(writes(2_000, read=read), after=MINUTE)

    assert difference == printed.difference_nusd


@pytest.mark.parametrize(
    ("beside", "difference"),
    [
        (writes(1), None),
        (writes(read=1), None),
        (writes(five=1), -480_000_000),
        (Usage(Tokens(5, output=5)), -480_000_000),
    ],
)
def test_tokens_beside_the_totals(beside: Usage, difference: int | None) -> None:
    """
    A compaction that used the cache was not followed; one that did not costs the same in both worlds.
    """
    usage = writes(read=100_000, extra=(Extra("compaction", None, beside),))

    assert difference == warmed().ask(usage).difference_nusd


@pytest.mark.parametrize("reached", [True, False])
def test_nothing_reported_is_not_nothing_spent(reached: bool) -> None:
    """
    Refused, unreachable, or cut before the first word: n/a, never 0.
    """
    printed = Session(None).ask(None, reached=reached)

    assert Receipt("1h", why="no usage was reported") == printed
    assert printed.difference_nusd is None


@pytest.mark.parametrize(("reached", "difference"), [(True, 0), (False, -480_000_000)])
def test_unknown_fate_may_have_refreshed(reached: bool, difference: int) -> None:
    """
    A request that may have been processed may have kept a 5-minute cache warm. A refused request cannot.
    """
    session = warmed()
    session.ask(None, after=5 * MINUTE, reached=reached)
    printed = session.ask(writes(read=100_000), after=5 * MINUTE)

    assert difference == printed.difference_nusd


def test_unknown_fate_does_not_stretch_the_hour() -> None:
    """
    More than an hour after the last known use, nothing that is read is the session's own.
    """
    session = warmed()
    session.ask(None, after=50 * MINUTE)

    assert session.ask(writes(read=20_000), after=12 * MINUTE).difference_nusd == 0


def test_cut_stream_is_an_estimate() -> None:
    """
    The input side is known from the start of a stream, the output is not.
    """
    printed = Session().ask(writes(1_000), final=False)

    assert (printed.basis, printed.verified, printed.difference_nusd) == ("estimated", True, 3_000_000)
    assert "ended before" in printed.why


@pytest.mark.parametrize(
    ("what", "usage", "counterfactual"),
    [
        (OURS, writes(1_000), None),
        (OURS, Usage(Tokens(input=1_000)), 10_000_000),
        (UNTOUCHED, writes(1_000), 20_000_000),
    ],
)
def test_unpriced_model(what: Sent, usage: Usage, counterfactual: int | None) -> None:
    """
    It is charged at the highest known price, and no saving is claimed.
    """
    printed = Session("claude-next-9").ask(usage, what)

    assert counterfactual == printed.counterfactual_nusd
    assert printed.cost_nusd is not None
    assert printed.basis == "estimated"
    assert "no price is known" in printed.why


def test_json() -> None:
    """
    Units in the keys, exact dollars, signs kept, n/a as null.
    """
    saved = warmed().ask(writes(2_000, read=100_000))

    assert saved.to_json() == {
        "requested_ttl": "1h",
        "billed_ttl": "1h",
        "verified": True,
        "cost_nusd": 36_000_000,
        "counterfactual_nusd": 510_000_000,
        "difference_nusd": -474_000_000,
        "cost_usd": "0.036000000",
        "counterfactual_usd": "0.510000000",
        "difference_usd": "-0.474000000",
        "basis": "reported",
        "why": "a 5m cache would have expired in the pause, and 100000 tokens been written again",
    }
    assert {None} == {value for key, value in Receipt().to_json().items() if key != "why"}
    assert Receipt(cost_nusd=1_000_000_001).to_json()["cost_usd"] == "1.000000001"


seconds = st.one_of(st.integers(-5, 400), st.integers(0, 5_000), st.sampled_from([300, 320, 321, 3600, 3601, 90_000]))
tokens = st.integers(0, 300_000)


@dataclass(frozen=True)
class Turn:
    """
    A pause in seconds, then a request that adds tokens to its prompt; `kept` of the old ones did not change.
    """

    pause: int
    added: int
    input: int
    output: int
    kept: int


turns = st.lists(st.builds(Turn, seconds, st.integers(0, 20_000), tokens, tokens, tokens), min_size=1, max_size=12)


def lived(turns: Sequence[Turn], head: int, lifetime_s: int, *, hour: bool) -> list[Usage]:
    """
    The usage of a session whose entries live so long, and whose first `head` tokens others keep warm for ever.

    An entry lives from its last use, which a request that began earlier does not bring forward.
    """
    out: list[Usage] = []
    prompt = now_s = used_s = 0
    for turn in turns:
        now_s += turn.pause
        cached = min(prompt, turn.kept) if out and now_s - used_s <= lifetime_s else 0
        prompt = max(min(prompt, turn.kept), head) + turn.added
        read = max(cached, head)
        write = prompt - read
        if prompt:
            used_s = max(used_s, now_s) if out else now_s
        out.append(Usage(Tokens(turn.input, 0 if hour else write, write if hour else 0, read, turn.output)))
    return out


@example([Turn(0, 1, 0, 0, 0), Turn(-1, 0, 0, 0, 0), Turn(0, 1, 0, 0, 0), Turn(321, 0, 0, 0, 1)], 0, TENTH)
@given(turns, st.sampled_from([0, 9_000, 29_000]), st.sampled_from([TENTH, TWENTIETH, FORTIETH]))
def test_both_worlds(turns: list[Turn], head: int, model: str) -> None:
    """
    Played twice, with entries of an hour and of five minutes, a session costs what the receipts say, to the nano-dollar.
    """
    upgraded = lived(turns, head, 3600, hour=True)
    plain = lived(turns, head, 320, hour=False)
    session = Session(model)
    printed = [
        session.ask(usage, after=timedelta(seconds=turn.pause)) for turn, usage in zip(turns, upgraded, strict=True)
    ]
    billed, other = ([bills(model)(usage).cost.total_nusd for usage in world] for world in (upgraded, plain))

    assert billed == [one.cost_nusd for one in printed]
    assert other == [one.counterfactual_nusd for one in printed]
    assert sum(billed) - sum(other) == sum(one.difference_nusd or 0 for one in printed)


usages = st.builds(Usage, st.builds(Tokens, *[tokens] * 5), st.integers(0, 2))
requests = st.lists(
    st.tuples(
        st.none() | usages,
        st.sampled_from([OURS, UNTOUCHED, TAIL_PINNED, BESIDE_CLIENTS, CLIENTS, MADE_LEGAL]),
        seconds,
        st.sampled_from([TENTH, TWENTIETH, None]),
        st.booleans(),
    ),
    max_size=8,
)


@given(requests)
def test_any_session(requests: list[tuple[Usage | None, Sent, int, str | None, bool]]) -> None:
    """
    Whatever is reported: the differences sum up, nothing is clamped, and a saving needs an upgrade before a pause.
    """
    session = Session()
    bill = other_bill = total = 0
    upgraded = False
    for usage, what, pause, model, final in requests:
        printed = session.ask(usage, what, after=timedelta(seconds=pause), model=model, final=final)
        difference = printed.difference_nusd
        if difference is None or printed.cost_nusd is None or printed.counterfactual_nusd is None:
            continue
        bill, other_bill, total = (
            bill + printed.cost_nusd,
            other_bill + printed.counterfactual_nusd,
            total + difference,
        )
        if not what.edits or printed.verified is False:
            assert difference == 0
        if difference < 0:
            assert upgraded
            assert 320 < pause <= 3600
        upgraded = upgraded or printed.verified is True

    assert bill - other_bill == total


@given(usages, st.integers(50_000, 900_000), st.integers(1, 10_000))
def test_sign(any_usage: Usage, prefix: int, added: int) -> None:
    """
    A single cold request loses; a pause of 12 minutes on a large prefix wins.
    """
    tokens = any_usage.tokens - Tokens(write_1h=any_usage.tokens.write_1h, read=any_usage.tokens.read)
    cold = replace(any_usage, tokens=tokens + Tokens(write_1h=prefix))
    session = Session()
    lost = session.ask(cold)
    won = session.ask(writes(added, read=prefix))

    assert lost.difference_nusd == prefix * 3_000
    assert won.difference_nusd == added * 3_000 - prefix * 4_800
    assert won.difference_nusd < 0


def test_shadow_is_tiny() -> None:
    """
    One is kept for each of ten thousand sessions: a model's name, two times, three counts and one mark, no more.
    """
    assert len(Shadow.__struct_fields__) == 7
    assert not hasattr(Shadow(TENTH, NOON, NOON, 0, 0, 0), "__dict__")
