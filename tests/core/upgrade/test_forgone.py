"""
What `--save` would have changed: the table of the module worked by hand, and what cannot be estimated.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from savemode_cli.core.cache.lifetimes import GRACE
from savemode_cli.core.money.pricing import Bill, PriceTable
from savemode_cli.core.upgrade.forgone import Forgone, SentAsItCame
from savemode_cli.core.upgrade.policy import Policy
from savemode_cli.core.wire.caller import Caller
from savemode_cli.core.wire.facts import Facts, facts
from savemode_cli.core.wire.usage import Extra, Tokens, Usage
from tests.builders import a_price

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)
MODEL = "claude-opus-5-5"
TABLE = PriceTable([a_price(MODEL, "4 20 5 8 0.20")])
BARE = {"type": "ephemeral"}
PERSON = Caller("llm_gateway", idle_prone=False)
MTOK = 1_000_000
DOLLAR = 1_000_000_000
PREMIUM = 3 * DOLLAR  # of a million tokens written for 1 hour and not for 5 minutes
RESCUED = (8 * DOLLAR - DOLLAR // 5) * 8 // 10  # of a million tokens read and not written, where 80 % are unchanged


def body_facts(*controls: object) -> Facts:
    """
    The facts of a body with these markers.
    """
    system = [{"type": "text", "text": "x", "cache_control": control} for control in controls]
    return facts(json.dumps({"model": MODEL, "system": system, "messages": []}).encode())


def bill_for(usage: Usage) -> Bill:
    """
    The bill of an answer at noon.
    """
    return TABLE.bill(usage, MODEL, NOON)


@dataclass
class Lane:
    """
    Requests one after the other, each an instant long.
    """

    forgone: Forgone
    now: datetime = NOON

    def ask(
        self,
        tokens: Tokens,
        after: timedelta = MINUTE,
        *,
        lane: str = "a",
        known: Facts | None = None,
        caller: Caller = PERSON,
        usage: Usage | None = None,
    ) -> None:
        """
        One request, `after` the end of the last one.
        """
        self.now += after
        known = body_facts(BARE, BARE) if known is None else known
        sent = SentAsItCame(lane, known, caller, usage or Usage(tokens), self.now, self.now)
        self.forgone.add(sent, bill_for)


@pytest.fixture
def lane() -> Lane:
    """
    A lane of a process that upgrades nothing.
    """
    return Lane(Forgone(Policy("product")))


@pytest.mark.parametrize(
    ("pause", "expected", "pauses"),
    [
        (4 * MINUTE, 2 * PREMIUM, 0),
        (5 * MINUTE + GRACE, 2 * PREMIUM, 0),
        (5 * MINUTE + GRACE + SECOND, 2 * PREMIUM - RESCUED, 1),
        (60 * MINUTE, 2 * PREMIUM - RESCUED, 1),
        (60 * MINUTE + SECOND, 2 * PREMIUM, 0),
    ],
)
def test_pauses(lane: Lane, pause: timedelta, expected: int, pauses: int) -> None:
    """
    A million tokens are written, and written again after a pause. 1 hour would have read them after 5 to 60 minutes.
    """
    lane.ask(Tokens(write_5m=MTOK))
    lane.ask(Tokens(write_5m=MTOK), pause)

    assert (lane.forgone.difference_nusd, lane.forgone.pauses) == (expected, pauses)
    assert (lane.forgone.requests, lane.forgone.breakpoints, lane.forgone.is_known) == (2, 4, True)


@pytest.mark.parametrize(
    ("second", "why"),
    [
        (Tokens(read=MTOK), "others kept it warm, and nothing was written again"),
        (Tokens(write_5m=MTOK // 2), "the conversation was cut"),
        (Tokens(input=MTOK), "nothing is cached any more"),
    ],
)
def test_what_is_not_rescued(lane: Lane, second: Tokens, why: str) -> None:
    """
    Nothing is saved if the client did not write its prefix again because of the pause.
    """
    lane.ask(Tokens(write_5m=MTOK))
    lane.ask(second, 12 * MINUTE)

    assert lane.forgone.difference_nusd == PREMIUM + second.write_5m * 3000, why
    assert lane.forgone.pauses == 0


def test_head_that_was_read(lane: Lane) -> None:
    """
    Only tokens that were written again would have been read. Other sessions kept the head in the cache.
    """
    lane.ask(Tokens(write_5m=MTOK))
    lane.ask(Tokens(read=MTOK // 2, write_5m=MTOK // 2), 12 * MINUTE)

    assert lane.forgone.difference_nusd == PREMIUM + PREMIUM // 2 - RESCUED // 2


def test_other_lane_has_another_cache(lane: Lane) -> None:
    """
    Tokens that another session or model wrote are not read.
    """
    lane.ask(Tokens(write_5m=MTOK))
    lane.ask(Tokens(write_5m=MTOK), 12 * MINUTE, lane="b")

    assert lane.forgone.pauses == 0


def test_request_without_cache_leaves_the_lane(lane: Lane) -> None:
    """
    A request that neither reads nor writes the cache does not refresh it.
    """
    lane.ask(Tokens(write_5m=MTOK))
    lane.ask(Tokens(input=9), 4 * MINUTE)
    lane.ask(Tokens(write_5m=MTOK), 4 * MINUTE)

    assert lane.forgone.pauses == 1


@pytest.mark.parametrize(
    ("known", "usage"),
    [
        (body_facts(BARE, {**BARE, "ttl": "5m"}), Usage(Tokens(write_5m=9))),
        (body_facts(BARE, BARE), Usage(Tokens(write_1h=9))),
        (
            body_facts(BARE, BARE),
            Usage(Tokens(write_5m=9), extra=(Extra("compaction", None, Usage(Tokens(write_5m=9))),)),
        ),
    ],
    ids=["some stay at 5m", "the client chose 1h", "several passes"],
)
def test_not_compared(lane: Lane, known: Facts, usage: Usage) -> None:
    """
    Such a request would be upgraded, and the effect is unknown. Then the sum is unknown too.
    """
    lane.ask(Tokens(write_5m=MTOK))
    lane.ask(Tokens(), known=known, usage=usage)

    assert (lane.forgone.requests, lane.forgone.compared, lane.forgone.is_known) == (2, 1, False)


def test_unpriced() -> None:
    """
    A model without a price is not compared.
    """
    forgone = Forgone(Policy("product"))
    sent = SentAsItCame("a", body_facts(BARE), PERSON, Usage(Tokens(write_5m=9)), NOON, NOON)

    forgone.add(sent, lambda usage: TABLE.bill(usage, "nobody-knows-it", NOON))

    assert (forgone.requests, forgone.is_known) == (1, False)


@pytest.mark.parametrize(
    ("known", "caller", "code"),
    [
        (body_facts(), PERSON, "no-markers"),
        (body_facts({**BARE, "ttl": "5m"}), PERSON, "client-ttl"),
        (body_facts(BARE), Caller("p", idle_prone=True, oauth=True), "oauth"),
        (body_facts(BARE), Caller("p", idle_prone=True, agent_id="finder"), "sub-agent"),
    ],
)
def test_obstacles(lane: Lane, known: Facts, caller: Caller, code: str) -> None:
    """
    A request that `--save` would leave alone is counted by the reason.
    """
    lane.ask(Tokens(write_5m=MTOK), known=known, caller=caller)

    assert (lane.forgone.requests, lane.forgone.obstacles) == (0, {code: 1})


def test_options_in_force_hold_here_too() -> None:
    """
    A user who allowed edits of subscription traffic would have them with `--save` too.
    """
    lane = Lane(Forgone(Policy("product", allow_oauth=True)))

    lane.ask(Tokens(write_5m=MTOK), caller=Caller("p", idle_prone=True, oauth=True))

    assert lane.forgone.requests == 1


def test_memory_is_bounded(lane: Lane) -> None:
    """
    The oldest of very many lanes is forgotten.
    """
    for number in range(5000):
        lane.ask(Tokens(write_5m=9), SECOND, lane=str(number))

    assert len(lane.forgone._lanes) == 4096


@given(
    st.lists(
        st.tuples(st.integers(0, 5000), st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6)), max_size=9
    )
)
def test_never_better_than_reading_everything(asked: list[tuple[int, int, int, int]]) -> None:
    """
    Whatever comes, `--save` cannot have saved more than all writes, nor cost more than the dearer writes.
    """
    lane = Lane(Forgone(Policy("product")))
    for seconds, plain, written, read in asked:
        lane.ask(Tokens(input=plain, write_5m=written, read=read), timedelta(seconds=seconds))
    written_tokens = sum(one[2] for one in asked)

    assert -written_tokens * 4800 - len(asked) <= lane.forgone.difference_nusd <= written_tokens * 3000 + len(asked)
