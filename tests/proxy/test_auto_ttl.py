"""
`--ttl-policy auto` in a running proxy: what it decides, when it changes a decision, and what it learns.
"""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from savemode_cli.core.budget.charge import Settlement
from savemode_cli.core.exchange.observed import Observed
from savemode_cli.core.money.pricing import PriceTable
from savemode_cli.core.upgrade.auto import Run
from savemode_cli.core.wire.caller import Caller
from savemode_cli.core.wire.facts import Facts
from savemode_cli.core.wire.usage import Tokens
from savemode_cli.proxy.auto_history import AutoHistoryFile
from savemode_cli.proxy.auto_ttl import AutoTtl
from savemode_cli.views.logfmt import logfmt
from tests.builders import a_price, a_usage, an_observed
from tests.conftest import FLAG
from tests.support.prompts import MARK, MODEL, text, user
from tests.support.upstream import RunningProxy, Upstream, running_proxy
from tests.support.wire import exchange, request

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
KNOWN = Facts(model="claude-opus-5-5")
PRICES = PriceTable([a_price()])


def caller(agent: str | None = None, person: str | None = None) -> Caller:
    """
    A person, or one of their sub-agents.
    """
    return Caller("llm_gateway", idle_prone=False, agent_id=agent, person=person)


def billed(minutes: float, usage: Tokens, session: str = "s", who: Caller | None = None) -> Observed:
    """
    A request that was sent this many minutes after noon and took ten seconds.
    """
    at = NOON + minutes * MINUTE
    return an_observed(
        caller=who or caller(),
        started_at=at,
        ended_at=at + timedelta(seconds=10),
        session=session,
        usage=a_usage(usage.input, usage.write_5m, usage.write_1h, usage.read),
        settlement=Settlement(1, "reported"),
    )


def policy(file: AutoHistoryFile | None = None) -> tuple[AutoTtl, list[tuple[str, str]]]:
    """
    The policy with a list of its announcements.
    """
    said: list[tuple[str, str]] = []
    return AutoTtl(PRICES, file, lambda event, text: said.append((event, text))), said


def decided(auto: AutoTtl, minutes: float, session: str = "s", who: Caller | None = None) -> str:
    """
    The TTL of a request that is sent this many minutes after noon.
    """
    return auto.decide(who or caller(), KNOWN, session, 100_000, NOON + minutes * MINUTE).ttl


def quick_day(auto: AutoTtl, session: str, start: float, who: Caller | None = None) -> None:
    """
    A conversation without pauses, which costs less with 5 minutes.
    """
    auto.keep(billed(start, Tokens(0, 0, 100_000), session, who))
    for number in range(1, 20):
        auto.keep(billed(start + number, Tokens(0, 0, 5_000, 95_000 + 5_000 * number), session, who))


def test_without_history() -> None:
    """
    1 hour for a conversation, 5 minutes for a sub-agent, and the expected saving.
    """
    auto, _ = policy()
    decision = auto.decide(caller(), KNOWN, "s", 100_000, NOON)

    assert (decision.ttl, decided(auto, 0, who=caller("a1"))) == ("1h", "5m")
    assert decision.expected_difference_nusd is not None
    assert decision.expected_difference_nusd < 0
    assert auto.decide(caller(), Facts(model="unheard-of"), "t", 9, NOON).expected_difference_nusd is None


def test_it_learns_from_bills_and_keeps_its_word() -> None:
    """
    After a conversation without pauses, the next one gets 5 minutes. A conversation with a warm cache keeps 1 hour.
    """
    auto, _ = policy()
    assert decided(auto, -1, "warm") == "1h"
    quick_day(auto, "quick", 0)

    assert decided(auto, 24, "new") == "1h", "it may still go on"
    assert decided(auto, 25, "newer") == "5m"
    assert decided(auto, 26, "warm") == "1h"
    assert decided(auto, 100, "warm") == "5m"


def test_an_answer_keeps_a_lane_warm() -> None:
    """
    The time counts from the end of the answer.
    """
    auto, _ = policy()
    assert decided(auto, 0) == "1h"
    auto.keep(billed(50, Tokens(0, 0, 100_000)))
    quick_day(auto, "quick", 55)

    assert decided(auto, 109) == "1h"
    assert decided(auto, 200) == "5m"


def pausing_day(auto: AutoTtl, session: str, start: float) -> None:
    """
    A conversation whose person comes back after eight minutes, again and again.
    """
    for number in range(8):
        tokens = 100_000 + 20_000 * number
        auto.keep(billed(start + 8 * number, Tokens(0, tokens), session))
        auto.keep(billed(start + 8 * number + 0.5, Tokens(0, 20_000, 0, tokens), session))


def test_keep_warm_is_a_third_choice_where_it_can_be_sent() -> None:
    """
    After a conversation with pauses of some minutes, the next one is kept warm at 5 minutes.
    """
    auto, _ = policy()
    pausing_day(auto, "one", 0)
    assert decided(auto, 200, "two") == "1h"
    auto.allow_keep_warm(lambda asks, _: asks.agent_id is None)
    decision = auto.decide(caller(), KNOWN, "three", 100_000, NOON + 200 * MINUTE)

    assert (decision.ttl, decision.keeps_warm) == ("5m", True)
    assert not auto.decide(caller("a1"), KNOWN, "three", 100_000, NOON + 200 * MINUTE).keeps_warm
    pauses = auto.pauses()[""]
    assert (pauses.returned[0], pauses.stayed_away) == (7, 1)


def test_people_and_sub_agents_are_apart() -> None:
    """
    The sessions of one person do not affect the decisions for another.
    """
    auto, _ = policy()
    quick_day(auto, "quick", 0, caller(person="alice"))

    assert decided(auto, 60, "a", caller(person="alice")) == "5m"
    assert decided(auto, 60, "b", caller(person="bob")) == "1h"


@pytest.mark.parametrize(
    "change",
    [
        {"settlement": None},
        {"settlement": Settlement(1, "held")},
        {"usage": None},
        {"session": None},
        {"caller": None},
        {"model": "unheard-of"},
    ],
    ids=str,
)
def test_what_was_not_billed_teaches_nothing(change: dict[str, object], tmp_path: Path) -> None:
    """
    No file is created.
    """
    file = AutoHistoryFile(tmp_path / "auto.json")
    auto, said = policy(file)
    fields: dict[str, object] = {
        "caller": caller(),
        "started_at": NOON,
        "ended_at": NOON,
        "usage": a_usage(1, 2),
        "settlement": Settlement(1, "reported"),
        **change,
    }
    auto.keep(an_observed(**fields))  # type: ignore[arg-type]
    auto.close()

    assert not file.path.exists()
    assert said == []


def test_the_next_proxy_reads_the_history(tmp_path: Path) -> None:
    """
    What was learned is saved at the end, without any content of the session.
    """
    file = AutoHistoryFile(tmp_path / "auto.json")
    auto, said = policy(file)
    quick_day(auto, "secret-session", 0)
    auto.close()
    later, _ = policy(file)

    assert decided(later, 60, "new") == "5m"
    assert said == []
    assert "secret" not in file.path.read_text()
    assert "opus" not in file.path.read_text()


def test_a_damaged_history_is_announced_once(tmp_path: Path) -> None:
    """
    The proxy works without it and does not change it.
    """
    file = AutoHistoryFile(tmp_path / "auto.json")
    file.path.write_text("not JSON")
    auto, said = policy(file)
    quick_day(auto, "quick", 0)
    assert decided(auto, 60, "new") == "5m"
    auto.close()

    assert [event for event, _ in said] == ["auto_history"]
    assert "savemode auto forget" in said[0][1]
    assert auto.trouble
    assert file.path.read_text() == "not JSON"


OPEN = tuple(FLAG.items())
BODY = json.dumps(
    {"model": MODEL, "max_tokens": 9, "system": [text("Be good.", **MARK)], "messages": [user(text("hi"))]}
).encode()
AGENT = ("x-claude-code-agent-id", "agent-1")


def ask(proxy: RunningProxy, body: bytes, *headers: tuple[str, str]) -> None:
    """
    Post a body to the proxy.
    """
    assert exchange(proxy.port, request("POST", "/v1/messages", body, *headers)).status == 200


def test_on_the_wire(upstream: Upstream) -> None:
    """
    The conversation is upgraded, its sub-agent is not; each line shows the decision and its reason.
    """
    with running_proxy(upstream.url, ttl_policy="auto") as proxy:
        ask(proxy, BODY, ("x-claude-code-session-id", "one"), *OPEN)
        ask(proxy, BODY, ("x-claude-code-session-id", "one"), AGENT, *OPEN)
        ask(proxy, BODY, ("x-claude-code-session-id", "one"))
        upgraded, kept, closed = (proxy.exchange(number) for number in range(3))

    assert b'"ttl": "1h"' in upstream.received[0].body
    assert upstream.received[1].body == BODY
    assert upgraded.upgrade.auto is not None
    assert (upgraded.upgrade.auto.ttl, upgraded.upgrade.upgraded > 0) == ("1h", True)
    assert kept.upgrade.auto is not None
    assert (kept.upgrade.auto.ttl, [skip.code for skip in kept.upgrade.skips]) == ("5m", ["auto-5m"])
    assert closed.upgrade.auto is None
    line = logfmt(upgraded)
    assert " ttl_policy=auto:1h expects_usd=-" in line
    data = upgraded.to_json()["auto"]
    assert (data["ttl"], data["situation"]) == ("1h", "start")
    assert data["expects_nusd"] < 0
    assert "nothing is known of your pauses" in data["reason"]


def test_a_history_decides_on_the_wire(upstream: Upstream) -> None:
    """
    The history is read from the user's state folder when the proxy starts.
    """
    from savemode_cli.config.folders import user_state

    file = AutoHistoryFile(user_state() / "auto.json")
    file.add([("", Run(f"r{number}", "start", NOON, 10**9, 2 * 10**9)) for number in range(5)])
    with running_proxy(upstream.url, ttl_policy="auto") as proxy:
        ask(proxy, BODY, *OPEN)
        done = proxy.exchange()

    assert upstream.received[0].body == BODY
    assert (
        "your last 5 conversations, recent ones counting more, cost 100.0 % less with 5m" in done.upgrade.skips[0].why
    )


def test_a_tool_s_result_is_not_a_person_s_turn() -> None:
    """
    After ten minutes of a tool the whole prompt would have been read for 1 hour. After a person's pause a part of it had
    changed. Both are learned as `replay` learns them.
    """
    savings = []
    for opens_turn in (True, False):
        auto, _ = policy()
        auto.keep(billed(0, Tokens(0, 100_000)))
        later = billed(10, Tokens(0, 101_000))
        call = replace(later.exchange.call, opens_turn=opens_turn)
        auto.keep(replace(later, exchange=replace(later.exchange, call=call)))
        auto.close()
        (run,) = auto._persons[""].history.runs("start")
        savings.append(run.saving_nusd)

    assert savings[0] < savings[1]


def test_the_kind_of_turn_is_read_from_the_body(upstream: Upstream) -> None:
    """
    It is part of the exchange.
    """
    result = {"type": "tool_result", "tool_use_id": "t", "content": "done"}
    body = json.dumps({"model": MODEL, "max_tokens": 9, "messages": [user(result)]}).encode()
    with running_proxy(upstream.url) as proxy:
        ask(proxy, body)
        ask(proxy, BODY)
        kinds = [proxy.exchange(number).call.opens_turn for number in range(2)]

    assert kinds == [False, True]
