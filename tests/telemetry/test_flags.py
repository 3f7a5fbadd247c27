"""
The gate's flag as PostHog evaluates it.
"""

import asyncio
import json
import threading
import time
from asyncio import StreamWriter
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from savemode_cli.core.upgrade.gate import FLAG
from savemode_cli.core.wire.caller import Caller, read_caller
from savemode_cli.telemetry.flags import Evaluation, Flags
from tests.conftest import FLAG as OPEN
from tests.support.receiver import Post, Receiver, receiver
from tests.support.upstream import Received, RunningProxy, Upstream, reply, running_proxy
from tests.support.waiting import LONG_S, until
from tests.support.wire import exchange, request

KEY, PERSONAL_KEY = "phc_test_key", "phx_test_key"
ME = read_caller([], "wizard")
OTHER = replace(ME, distinct_id="other")
BODY = (
    b'{"model":"claude-opus-5-5","max_tokens":1,"system":[{"type":"text","text":"s",'
    b'"cache_control":{"type":"ephemeral"}}],"messages":[]}'
)


class Oracle:
    """
    Who is asked, and what he says: a value, an error, or nothing until he may.
    """

    def __init__(self) -> None:
        """
        He may, and says yes.
        """
        self.asked: list[str] = []
        self.value: str | Exception = "true"
        self.may = threading.Event()
        self.may.set()

    def __call__(self, who: str) -> str:
        """
        Say it.
        """
        self.asked.append(who)
        assert self.may.wait(LONG_S)
        if isinstance(self.value, Exception):
            raise self.value
        return self.value


class World:
    """
    Flags over an oracle and a clock that can be turned.
    """

    def __init__(self, oracle: Oracle, limit_s: float = LONG_S) -> None:
        """
        Begin at noon.
        """
        self.now_s = 0.0
        self.said: list[tuple[str, str]] = []
        self.oracle = oracle
        self.flags = Flags(oracle, "me", lambda *one: self.said.append(one), clock=lambda: self.now_s, limit_s=limit_s)

    def ask(self, caller: Caller = ME) -> str:
        """
        What a request is told.
        """

        async def ask() -> str:
            return await self.flags(caller)

        return asyncio.run(ask())

    def settle(self) -> None:
        """
        Wait until nobody is asked any more.
        """
        until(lambda: not self.flags._requests)


def test_the_configured_person_is_asked_for_before_anybody_calls() -> None:
    """
    And then not again for a minute, however many calls there are.
    """
    world = World(Oracle())
    world.settle()

    assert [world.ask() for _ in range(5)] == ["true"] * 5
    world.now_s = 60.0
    assert world.ask() == "true"
    assert world.oracle.asked == ["me"]


def test_each_person_is_asked_for_once() -> None:
    """
    The first call of a person waits for the answer.
    """
    world = World(Oracle())

    assert [world.ask(OTHER) for _ in range(3)] == ["true"] * 3
    assert sorted(world.oracle.asked) == ["me", "other"]


def test_calls_at_once_share_one_request_to_posthog() -> None:
    """
    A client opens with many requests; PostHog hears of one.
    """
    oracle = Oracle()
    oracle.may.clear()
    world = World(oracle)

    async def ask_often() -> list[str]:
        asked = [asyncio.ensure_future(world.flags(OTHER)) for _ in range(20)]
        await asyncio.sleep(0.05)
        oracle.may.set()
        return await asyncio.gather(*asked)

    assert asyncio.run(ask_often()) == ["true"] * 20
    assert sorted(oracle.asked) == ["me", "other"]


def test_an_old_answer_is_given_while_a_new_one_is_asked_for() -> None:
    """
    After the first time a call waits for a dictionary only, also where PostHog has stopped answering.
    """
    world = World(Oracle())
    world.settle()
    world.oracle.value = "false"
    world.oracle.may.clear()
    world.now_s = 60.1
    began = time.monotonic()

    assert [world.ask() for _ in range(3)] == ["true"] * 3
    assert time.monotonic() - began < LONG_S / 2
    world.oracle.may.set()
    world.settle()
    assert world.ask() == "false"
    assert world.oracle.asked == ["me", "me"]


def test_a_failure_means_off_and_is_said_once() -> None:
    """
    Also where it was on before. The end of it is said, too; the words of the error are not.
    """
    world = World(Oracle())
    world.settle()
    world.oracle.value = ConnectionError("https://us.i.posthog.com?token=secret")
    for number in range(1, 4):
        world.now_s = number * 61.0
        world.ask()
        world.settle()
    assert world.ask() == "false"
    assert world.flags.trouble == f"PostHog could not be asked (ConnectionError): {FLAG} is off"
    assert [event for event, _ in world.said] == ["flags_unavailable"]
    world.oracle.value = "true"
    world.now_s += 61.0
    world.ask()
    world.settle()

    assert world.ask() == "true"
    assert ([event for event, _ in world.said], world.flags.trouble) == (["flags_unavailable", "flags_back"], "")
    assert "secret" not in repr(world.said)


def test_no_answer_within_the_limit_means_off() -> None:
    """
    For this call; the answer counts when it comes.
    """
    oracle = Oracle()
    oracle.may.clear()
    world = World(oracle, limit_s=0.05)

    assert world.ask() == "false"
    assert "did not answer within 0.05 s" in world.flags.trouble
    oracle.may.set()
    world.settle()
    assert world.ask() == "true"


def test_persons_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A caller may name any number of them.
    """
    monkeypatch.setattr("savemode_cli.telemetry.flags._MAX_PEOPLE", 3)
    world = World(Oracle())
    for number in range(10):
        world.ask(replace(ME, distinct_id=str(number)))

    assert len(world.flags._answers) <= 3


def remote(flags: dict[str, Any], **more: Any) -> Callable[[Post], Any]:
    """
    PostHog that evaluates so, and has no definitions for us.
    """
    return lambda post: (200, {"flags": flags, **more}) if post.path.startswith("/flags/?") else (401, {"detail": "no"})


def a_flag(value: object) -> dict[str, Any]:
    """
    A flag as the flags endpoint answers it.
    """
    variant = value if isinstance(value, str) else None
    return {FLAG: {"key": FLAG, "enabled": bool(value), "variant": variant, "reason": None, "metadata": None}}


@pytest.mark.parametrize(("value", "expected"), [(True, "true"), (False, "false"), ("variant-b", "variant-b")])
def test_posthog_evaluates(value: object, expected: str) -> None:
    """
    By the real SDK: one flag is asked for, for this person.
    """
    with receiver(remote(a_flag(value))) as posthog:
        assert Evaluation(KEY, posthog.url)("me") == expected

    (post,) = posthog.posts
    assert (post.body["distinct_id"], post.body["flag_keys_to_evaluate"], post.body["api_key"]) == ("me", [FLAG], KEY)


def test_a_flag_that_does_not_exist_is_off_and_no_failure() -> None:
    """
    Unless PostHog says that it could not evaluate.
    """
    with receiver(remote({})) as posthog:
        assert Evaluation(KEY, posthog.url)("me") == "false"
        posthog.answer = remote({}, errorsWhileComputingFlags=True)
        with pytest.raises(LookupError):
            Evaluation(KEY, posthog.url)("me")


@pytest.mark.parametrize("status", [401, 500])
def test_a_refusal_is_a_failure(status: int) -> None:
    """
    Not an answer without flags, which is how the SDK's client would put it.
    """
    with receiver(lambda _post: (status, {"detail": "no"})) as posthog, pytest.raises(Exception, match=str(status)):
        Evaluation(KEY, posthog.url)("me")


def definitions(percentage: int) -> dict[str, Any]:
    """
    The gate's flag as its definition, rolled out to so many percent of all.
    """
    groups = [{"properties": [], "rollout_percentage": percentage}]
    flag = {"id": 1, "key": FLAG, "active": True, "filters": {"groups": groups}}
    return {"flags": [flag], "group_type_mapping": {}, "cohorts": {}}


@pytest.mark.parametrize(("percentage", "expected"), [(100, "true"), (0, "false")])
def test_with_a_personal_key_it_is_evaluated_here(percentage: int, expected: str) -> None:
    """
    From definitions that are fetched once, for any number of persons; nothing else leaves.
    """
    with receiver(lambda _post: (200, definitions(percentage))) as posthog:
        evaluate = Evaluation(KEY, posthog.url, PERSONAL_KEY)
        assert [evaluate(who) for who in ("me", "you", "me")] == [expected] * 3
        evaluate.close()

    assert [post.path.partition("?")[0] for post in posthog.posts] == ["/flags/definitions"]


def test_without_definitions_posthog_evaluates() -> None:
    """
    A personal key that is refused is no reason to be off.
    """
    with receiver(remote(a_flag(value=True))) as posthog:
        evaluate = Evaluation(KEY, posthog.url, PERSONAL_KEY)
        assert evaluate("me") == "true"
        evaluate.close()


def gate_of(proxy: RunningProxy, *headers: tuple[str, str], path: str = "/v1/messages") -> tuple[bool, str]:
    """
    How the gate stood for a request.
    """
    count = len(proxy.exchanges)
    exchange(proxy.port, request("POST", path, BODY, *headers))
    gate = proxy.exchange(count).upgrade.gate
    return gate.on, gate.why


def configured(posthog: Receiver, **more: Any) -> dict[str, Any]:
    """
    The settings with which PostHog decides.
    """
    own = {"posthog_api_key": KEY, "posthog_host": posthog.url, "posthog_distinct_id": "me", "ttl_policy": "always"}
    return {**own, **more}


def test_where_posthog_decides_a_header_does_not(upstream: Upstream) -> None:
    """
    In either direction: a caller cannot switch on for himself, and need not send what he was given.
    """
    answers = {"me": a_flag(value=True), "other": a_flag(value=False)}

    def answer(post: Post) -> Any:
        return 200, {"flags": answers[post.body["distinct_id"]]}

    with receiver(answer) as posthog, running_proxy(upstream.url, **configured(posthog)) as proxy:
        assert gate_of(proxy) == (True, f"flag {FLAG} is true")
        assert gate_of(proxy, (f"x-posthog-flag-{FLAG}", "false"))[0]
        assert not gate_of(proxy, ("x-posthog-distinct-id", "other"), *OPEN.items())[0]

    assert [post.body["distinct_id"] for post in posthog.posts] == ["me", "other"]


def test_in_debug_the_header_counts(upstream: Upstream) -> None:
    """
    Where there is one.
    """
    with (
        receiver(remote(a_flag(value=False))) as posthog,
        running_proxy(upstream.url, **configured(posthog, debug=True)) as proxy,
    ):
        assert gate_of(proxy, *OPEN.items())[0]
        assert not gate_of(proxy)[0]


def test_what_is_not_judged_does_not_ask(upstream: Upstream) -> None:
    """
    Counting tokens waits for nobody's flags.
    """
    with receiver(remote(a_flag(value=True))) as posthog, running_proxy(upstream.url, **configured(posthog)) as proxy:
        gate_of(proxy, ("x-posthog-distinct-id", "somebody"), path="/v1/messages/count_tokens")
        until(lambda: len(posthog.posts) == 1)

    assert [post.body["distinct_id"] for post in posthog.posts] == ["me"]


def test_posthog_that_is_away_means_off_and_is_seen_in_the_health(upstream: Upstream) -> None:
    """
    The requests go on.
    """
    with receiver(lambda _post: (500, {})) as posthog, running_proxy(upstream.url, **configured(posthog)) as proxy:
        assert not gate_of(proxy, *OPEN.items())[0]
        health = json.loads(exchange(proxy.port, request("GET", "/-/health")).body)

    assert "is off" in health["flags"]
    assert [event for event, _ in proxy.announced] == ["flags_unavailable"]


def test_a_first_call_does_not_hold_up_others(upstream: Upstream) -> None:
    """
    While somebody waits for PostHog, whoever is known is served.
    """
    go_on = threading.Event()

    def answer(post: Post) -> Any:
        if post.body["distinct_id"] == "slow":
            go_on.wait(LONG_S)
        return 200, {"flags": a_flag(value=True)}

    async def script(_received: Received, writer: StreamWriter) -> None:
        writer.write(reply())

    upstream.script = script
    with receiver(answer) as posthog, running_proxy(upstream.url, **configured(posthog)) as proxy:
        gate_of(proxy)
        slow = threading.Thread(
            target=lambda: exchange(
                proxy.port, request("POST", "/v1/messages", BODY, ("x-posthog-distinct-id", "slow"))
            )
        )
        slow.start()
        until(lambda: len(posthog.posts) == 2)
        assert gate_of(proxy)[0]
        assert len(proxy.exchanges) == 2
        go_on.set()
        slow.join(LONG_S)

    assert len(proxy.exchanges) == 3
