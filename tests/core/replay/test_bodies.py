"""
Bodies through the upgrader as `serve` has it, and through one cache for each policy.
"""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace as with_fields

from savemode_cli.core.money.pricing import PriceTable
from savemode_cli.core.replay.bodies import BodyReplay, Upgrades, judged
from savemode_cli.core.replay.rates import RequestRates
from savemode_cli.core.replay.recording import Call, Wanted
from savemode_cli.core.replay.report import Replay, summed
from savemode_cli.core.upgrade.policy import Policy
from savemode_cli.core.wire.products import PRODUCTS
from savemode_cli.core.wire.usage import Tokens, Usage
from tests.builders import a_price, an_edit

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
ALWAYS, PRODUCT = Policy("always"), Policy("product")
RATES = RequestRates(PriceTable([a_price()]))
SYSTEM = "You are a careful engineer. " * 800


def a_body(turns: int, *, ttl: str | None = None, system: str = SYSTEM, model: str = "claude-opus-5-5") -> bytes:
    """
    A conversation of so many turns, marked on the system block and on the last message.
    """
    control = {"type": "ephemeral", **({} if ttl is None else {"ttl": ttl})}
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": [{"type": "text", "text": f"turn {turn} " * 600}]} for turn in range(turns)
    ]
    messages[-1]["content"][-1]["cache_control"] = control
    blocks = [{"type": "text", "text": system, "cache_control": control}]
    return json.dumps({"model": model, "max_tokens": 9, "system": blocks, "messages": messages}).encode()


def a_call(turns: int, after_s: float, usage: Usage | None, **more: Any) -> Call:
    """
    One call, so long after noon, with the bill.
    """
    at = NOON + timedelta(seconds=after_s)
    fields: dict[str, Any] = {"body": a_body(turns), "started_at": at, "ended_at": at + timedelta(seconds=3), **more}
    return Call(f"line {turns}", usage=usage, **fields)


def run(*calls: Call, product: str = "posthog_code", wanted: Wanted | None = None) -> tuple[Replay, BodyReplay]:
    """
    All of them, as an idle-prone product by default.
    """
    replay = BodyReplay(RATES, wanted or Wanted())
    for call in calls:
        replay.feed(judged(call, PRODUCT, product, PRODUCTS), PRODUCT)
    return summed(replay.sessions), replay


def billed(read: int, written: int, *, hour: bool = False) -> Usage:
    """
    A bill.
    """
    return Usage(Tokens(2, 0 if hour else written, written if hour else 0, read))


def conversation(pauses_s: list[float], *, hour: bool = False) -> list[Call]:
    """
    A growing conversation, billed as the API does: 10,000 tokens, 2,000 more a turn.
    """
    made, at, length = [], 0.0, 10_000
    for turn, pause_s in enumerate([0.0, *pauses_s], 1):
        at += pause_s
        read = length if turn > 1 and pause_s - 3 <= (3600 if hour else 300) else 0
        length += 2000 if turn > 1 else 0
        more = {"body": a_body(turn, ttl="1h")} if hour else {}
        made.append(a_call(turn, at, billed(read, length - read, hour=hour), **more))
    return made


@pytest.mark.parametrize(
    ("more", "policy", "product", "upgraded", "skips"),
    [
        pytest.param({}, ALWAYS, "llm_gateway", 2, [], id="always"),
        pytest.param({}, PRODUCT, "posthog_code", 2, [], id="an idle-prone product"),
        pytest.param({}, PRODUCT, "llm_gateway", 0, ["product"], id="another product"),
        pytest.param({"path": "/posthog_code/v1/messages"}, PRODUCT, "llm_gateway", 2, [], id="its path names one"),
        pytest.param({"path": "/nobody/v1/messages"}, PRODUCT, "llm_gateway", 0, ["product"], id="an unknown one"),
        pytest.param({"subscription": True}, ALWAYS, "llm_gateway", 0, ["oauth"], id="a subscription"),
        pytest.param(
            {"headers": ((b"authorization", b"Bearer sk-ant-oat01-x"),)},
            ALWAYS,
            "llm_gateway",
            0,
            ["oauth"],
            id="a token",
        ),
        pytest.param(
            {"headers": ((b"x-posthog-provider", b"bedrock"),)}, ALWAYS, "llm_gateway", 0, ["bedrock"], id="a cloud"
        ),
        pytest.param({"headers": ((b"x-posthog-provider", b"?"),)}, ALWAYS, "llm_gateway", 2, [], id="a bad header"),
        pytest.param(
            {"path": "/nobody/v1/messages", "headers": ((b"authorization", b"Bearer sk-ant-oat01-x"),)},
            ALWAYS,
            "llm_gateway",
            0,
            ["oauth"],
            id="a path that serve would refuse hides no header",
        ),
        pytest.param({"encoded": True}, ALWAYS, "llm_gateway", 0, ["encoded"], id="compressed on the wire"),
        pytest.param({"body": a_body(1, ttl="5m")}, ALWAYS, "x", 0, ["client-ttl"] * 2, id="the client's own"),
        pytest.param({"body": b"{}"}, ALWAYS, "x", 0, ["no-markers"], id="no markers"),
    ],
)
def test_each_body_is_judged_as_serve_does(
    more: dict[str, Any], policy: Policy, product: str, upgraded: int, skips: list[str]
) -> None:
    """
    With the gate open.
    """
    one = judged(a_call(1, 0, None, **more), policy, product, PRODUCTS)

    assert (one.upgraded, [skip.code for skip in one.done.skips]) == (upgraded, skips)
    other = replace(one, done=with_fields(one.done, edits=(*one.done.edits, an_edit(rule="other"))))
    assert other.upgraded == upgraded


def test_a_compressed_request_is_the_same_under_the_product_s_policy() -> None:
    """
    `serve` sends it as it came, so the product's rule changes nothing of its cost.
    """
    calls = conversation([10, 400])
    plain, _ = run(*calls)
    packed, _ = run(*(replace(call, encoded=True) for call in calls))

    assert packed.estimate("product").nusd == packed.estimate("recorded").nusd
    assert plain.estimate("product").nusd != plain.estimate("recorded").nusd


def test_totals_of_the_upgrader() -> None:
    """
    Bodies, bytes, breakpoints and reasons.
    """
    totals = Upgrades()
    for call in (a_call(1, 0, None), a_call(2, 0, None, body=b"{}"), a_call(1, 0, None, body=a_body(1, ttl="5m"))):
        totals.add(judged(call, ALWAYS, "x", PRODUCTS))

    assert (totals.bodies, totals.changed, totals.breakpoints, totals.upgraded) == (3, 1, 4, 2)
    assert totals.body_bytes == len(a_body(1)) + 2 + len(a_body(1, ttl="5m"))
    assert totals.skips == {"no-markers": 1, "client-ttl": 2}


def test_as_recorded_is_the_bill() -> None:
    """
    And the model, which sees only prompts and times, is right about all of it.
    """
    calls = conversation([10.0] * 12 + [400.0] * 9)
    done, _ = run(*calls)
    table = PriceTable([a_price()])
    bill = sum(
        table.bill(call.usage, "claude-opus-5-5", NOON).cost.input_nusd for call in calls if call.usage is not None
    )

    assert done.estimate("recorded").nusd == bill
    assert (done.requests, done.grade.requests, done.grade.right, done.grade.firsts) == (22, 21, 21, 1)
    assert (done.grade.long_requests, done.grade.problem) == (9, "")


def test_an_hour_keeps_what_five_minutes_lose() -> None:
    """
    Where the product is raised it costs the same; the other way round too.
    """
    done, _ = run(*conversation([400, 10, 400]))
    assert done.estimate("5m").nusd == done.estimate("recorded").nusd
    assert done.estimate("1h").tokens.read_tokens > done.estimate("recorded").tokens.read_tokens
    assert done.estimate("product").tokens == done.estimate("1h").tokens
    assert done.estimate("1h").tokens.write_5m_tokens == 0

    back, _ = run(*conversation([400, 10, 400], hour=True))
    assert back.estimate("1h").nusd == back.estimate("recorded").nusd == back.estimate("product").nusd
    assert back.estimate("5m").tokens.read_tokens < back.estimate("recorded").tokens.read_tokens
    assert back.estimate("5m").tokens.write_1h_tokens == 0


def test_another_product_is_not_raised() -> None:
    """
    So it costs what it did.
    """
    done, _ = run(*conversation([400, 10]), product="llm_gateway")

    assert done.estimate("product").tokens == done.estimate("recorded").tokens


def test_a_partly_raised_body_is_replayed_as_it_would_be_sent() -> None:
    """
    A marker that the client pinned to 5 minutes stops the upgrade behind it.
    """
    body = json.loads(a_body(1))
    body["messages"][0]["content"][0]["cache_control"]["ttl"] = "5m"
    call = a_call(1, 0, billed(0, 10_000), body=json.dumps(body).encode())
    kinds = run(call)[0].estimate("product").tokens

    assert kinds.write_1h_tokens > 0
    assert kinds.write_5m_tokens > 0
    assert kinds.write_1h_tokens + kinds.write_5m_tokens == 10_000


def test_a_changed_prefix_is_seen() -> None:
    """
    Nothing is rescued by an hour where the prompt itself had changed.
    """
    first = a_call(1, 0, billed(0, 10_000))
    changed = a_call(2, 400, billed(0, 12_000), body=a_body(2, system="Now be careless. " * 1200))
    done, _ = run(first, changed)

    assert done.estimate("1h").tokens.read_tokens == 0
    assert (done.grade.requests, done.grade.firsts) == (0, 2)


def test_outcomes_are_graded_by_the_longest_prefix_there_ever_was() -> None:
    """
    However long ago: full, partial and cold, as the model says and as it was billed.
    """
    half = a_call(2, 10, billed(5000, 7000))
    cold = a_call(3, 20, billed(0, 14_000))
    done, _ = run(a_call(1, 0, billed(0, 10_000)), half, cold, a_call(3, 30, billed(14_000, 0)))

    assert done.grade.outcomes == {("full", "partial"): 1, ("full", "cold"): 1, ("full", "full"): 1}


def test_conversations_of_one_session_have_their_own_pauses() -> None:
    """
    A question of another kind in between ends no pause.
    """
    side = a_call(1, 30, billed(0, 9000), session="s", body=a_body(1, system="Aside. " * 3000))
    main = [a_call(1, 0, billed(0, 10_000), session="s"), a_call(2, 53, billed(10_000, 2000), session="s")]
    done, _ = run(main[0], side, main[1])

    assert done.sessions == 1
    assert {one.name: one.requests for one in done.gaps if one.requests} == {"first": 2, "to_1m": 1}


@pytest.mark.parametrize(
    ("call", "why"),
    [
        (a_call(1, 0, billed(0, 9), started_at=None), "no time"),
        (a_call(1, 0, None), "no usage"),
        (a_call(1, 0, billed(0, 9), body=b'{"prompt":"x"}'), "no messages body"),
    ],
)
def test_what_cannot_be_replayed_is_counted(call: Call, why: str) -> None:
    """
    By its reason.
    """
    done, replay = run(call)

    assert (done.requests, replay.unusable) == (0, {why: 1})


def test_what_has_no_bill_still_warms_the_cache() -> None:
    """
    And what is not wanted does.
    """
    silent = a_call(1, 0, None)
    done, _ = run(silent, a_call(2, 60, billed(10_000, 2000)))
    assert done.grade.outcomes == {("full", "full"): 1}

    late = Wanted(since=NOON + timedelta(seconds=1))
    done, _ = run(a_call(1, 0, billed(0, 10_000)), a_call(2, 60, billed(10_000, 2000)), wanted=late)
    assert (done.requests, done.grade.outcomes) == (1, {("full", "full"): 1})


def test_an_end_that_was_not_recorded_is_assumed() -> None:
    """
    Five seconds after the start.
    """
    done, _ = run(a_call(1, 0, billed(0, 10_000), ended_at=None), a_call(2, 70, billed(10_000, 2000)))

    assert [one.name for one in done.gaps if one.requests] == ["first", "to_5m"]


def test_a_bill_without_cache_stays_without() -> None:
    """
    Too short to be cached, or not marked: input under every policy; unknown models are in no dollars.
    """
    body = json.dumps({"model": "claude-unheard-of", "messages": [{"role": "user", "content": "hi"}]}).encode()
    done, _ = run(a_call(1, 0, Usage(Tokens(input=9)), body=body))

    assert {one.tokens.input_tokens for one in done.estimates} == {9}
    assert done.unpriced == {"claude-unheard-of": 1}


def test_writes_that_no_marker_explains_are_written_for_as_long_as_asked() -> None:
    """
    The body shows no breakpoint, the bill shows writes: a proxy may have added them.
    """
    body = json.dumps({"model": "claude-opus-5-5", "messages": [{"role": "user", "content": "hi"}]}).encode()
    done, _ = run(a_call(1, 0, Usage(Tokens(3, 0, 500, 0)), body=body))
    kinds = {one.name: (one.tokens.write_5m_tokens, one.tokens.write_1h_tokens) for one in done.estimates}

    assert (kinds["recorded"], kinds["5m"], kinds["1h"], kinds["product"]) == ((0, 500), (500, 0), (0, 500), (0, 500))


def test_what_failed_is_in_no_cache() -> None:
    """
    A call that was refused or failed wrote nothing: the next one writes it all, and the model says so.
    """
    refused = a_call(1, 0, None, answered=False)
    retried = a_call(1, 60, billed(0, 10_000))
    after = a_call(2, 120, billed(10_000, 2000))
    result, replay = run(refused, retried, after)

    assert replay.unusable == {"failed": 1}
    assert [gap.requests for gap in result.gaps][:2] == [1, 1]
    assert result.grade == run(retried, after)[0].grade
