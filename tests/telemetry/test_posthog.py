"""
Events by the real SDK to a real receiver.
"""

import itertools
import json
import logging
import random
import socket
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from savemode_cli.core.budget.charge import Settlement
from savemode_cli.core.exchange.observed import Observed
from savemode_cli.telemetry.background import Background
from savemode_cli.telemetry.event import Origin, ai_generation
from savemode_cli.telemetry.outlet import Undelivered
from savemode_cli.telemetry.posthog import PostHog
from savemode_cli.telemetry.spool import Spool
from tests.builders import an_observed
from tests.support.receiver import Post, receiver, takes
from tests.support.waiting import LONG_S, until

KEY = "phc_test_key"
MAKE = partial(ai_generation, origin=Origin("http://upstream", "1"))


def a_record(number: int) -> Observed:
    """
    A record whose cost is its number.
    """
    return an_observed(id=f"req_sm_{number}", settlement=Settlement(number, "reported"))


def number_of(event: dict[str, Any]) -> int:
    """
    Of which record an event was made.
    """
    cost_usd: float = event["properties"]["$ai_total_cost_usd"]
    return round(cost_usd * 1e9)


@pytest.fixture
def said() -> list[tuple[str, str]]:
    """
    What was announced.
    """
    return []


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    """
    Where events wait for the next start.
    """
    folder = tmp_path / "spool"
    folder.mkdir()
    return folder


def a_sink(
    url: str, said: list[tuple[str, str]], spool: Path | None = None, *, compress: bool = False, **more: Any
) -> Background:
    """
    The sink as `serve` makes it, with short waits.
    """
    options: dict[str, Any] = {"batch_s": 0.05, "timeout_s": 2.0, "close_s": 5.0} | more
    store = None if spool is None else Spool(spool, f"{url} {KEY}")
    outlet = PostHog(KEY, url, compress=compress)
    return Background("telemetry", MAKE, outlet, lambda *one: said.append(one), store=store, **options)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Pauses short enough for a test.
    """
    monkeypatch.setattr("savemode_cli.telemetry.background._FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr("savemode_cli.telemetry.background._LONGEST_PAUSE_S", 0.02)
    monkeypatch.setattr("savemode_cli.telemetry.background._LAST_PAUSE_S", 0.01)


@pytest.mark.parametrize("compress", [False, True])
def test_a_batch_is_what_posthogs_ingestion_reads(said: list[tuple[str, str]], compress: bool) -> None:
    """
    To the batch endpoint, compressed or not, the key once and beside the events, the events as they were made, in order.
    """
    with receiver() as posthog:
        sink = a_sink(posthog.url, said, compress=compress)
        for number in range(3):
            sink.keep(a_record(number))
        posthog.await_events(3)
        sink.close()

    (post,) = posthog.posts
    assert post.path == "/batch/"
    assert post.body["api_key"] == KEY
    assert (post.raw[:2] == b"\x1f\x8b") == compress
    assert "sent_at" in post.body
    assert post.events == [json.loads(json.dumps(MAKE(a_record(number)))) for number in range(3)]
    assert said == []
    assert (sink.trouble, sink.delivered, sink.lost) == ("", 3, 0)


def test_what_is_no_generation_is_not_sent(said: list[tuple[str, str]]) -> None:
    """
    Nor is a request made for it.
    """
    with receiver() as posthog:
        sink = a_sink(posthog.url, said)
        sink.keep(an_observed(path="/v1/messages/count_tokens"))
        sink.close()

    assert (posthog.posts, sink.trouble) == ([], "")


def fails_one_in(share: int, seed: int) -> Any:
    """
    An answer that fails so often, in every way there is.
    """
    chance = random.Random(seed)
    kinds: Iterator[Any] = itertools.cycle([(500, {}), (503, b"busy"), (429, {}), None, (502, b"<html>")])

    def answer(post: Post) -> Any:
        return next(kinds) if chance.randrange(share) == 0 else takes(post)

    return answer


@pytest.mark.usefixtures("quick")
def test_ten_thousand_events_through_a_receiver_that_fails_one_call_in_five(
    said: list[tuple[str, str]], spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    None is lost, none comes twice, and they come in order.
    """
    monkeypatch.setattr("savemode_cli.telemetry.background.BATCH", 50)
    with receiver(fails_one_in(5, 7)) as posthog:
        sink = a_sink(posthog.url, said, spool)
        for number in range(10_000):
            sink.keep(a_record(number))
        posthog.await_events(10_000)
        sink.close()

    assert len(posthog.posts) > 200 + 20  # of 200 calls that had to arrive, some came again
    assert [number_of(one) for one in posthog.taken] == list(range(10_000))
    assert len({one["uuid"] for one in posthog.taken}) == 10_000
    assert (sink.lost, sink.delivered) == (0, 10_000)
    assert list(spool.iterdir()) == []


@pytest.mark.usefixtures("quick")
def test_what_the_end_cuts_off_is_sent_at_the_next_start(said: list[tuple[str, str]], spool: Path) -> None:
    """
    Whatever the first process did not get through comes with the second, and all of it once.
    """
    with receiver(fails_one_in(2, 3)) as posthog:
        first = a_sink(posthog.url, said, spool, batch_s=0.0)
        for number in range(2_000):
            first.keep(a_record(number))
        first.close()
        kept = len(posthog.taken)
        posthog.answer = takes
        second = a_sink(posthog.url, said, spool)
        second.keep(a_record(2_000))
        posthog.await_events(2_001)
        second.close()

    assert kept < 2_000
    assert sorted(number_of(one) for one in posthog.taken) == list(range(2_001))
    assert list(spool.iterdir()) == []
    assert [event for event, _ in said].count("telemetry_kept") == 1


@pytest.mark.usefixtures("quick")
def test_two_processes_do_not_both_send_what_was_kept(said: list[tuple[str, str]], spool: Path) -> None:
    """
    The first to claim it has it.
    """
    with receiver() as posthog:
        address = f"{posthog.url} {KEY}"
        Spool(spool, address).save([MAKE(a_record(number)) or {} for number in range(500)])
        sinks = [a_sink(posthog.url, said, spool) for _ in range(4)]
        posthog.await_events(500)
        for sink in sinks:
            sink.close()

    assert sorted(number_of(one) for one in posthog.taken) == list(range(500))


def free_port() -> int:
    """
    A port on which nobody listens.
    """
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@pytest.mark.usefixtures("quick")
def test_nobody_there_is_said_once_and_costs_nothing(said: list[tuple[str, str]], spool: Path) -> None:
    """
    Events wait, the health says so, the end comes soon, and they are kept for the next start, for no one else to read.
    """
    sink = a_sink(f"http://127.0.0.1:{free_port()}", said, spool)
    for number in range(50):
        sink.keep(a_record(number))
    until(lambda: bool(sink.trouble))
    trouble = sink.trouble
    began = time.monotonic()
    sink.close()
    sink.close()

    assert time.monotonic() - began < LONG_S / 2
    assert "cannot be reached; 50 events wait, 0 were lost" in trouble
    assert [event for event, _ in said] == ["telemetry_trouble", "telemetry_kept"]
    (kept,) = spool.iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600
    assert len(kept.read_text().splitlines()) == 50
    assert KEY not in kept.read_text() + kept.name


@pytest.mark.usefixtures("quick")
def test_trouble_that_ends_is_said_too(said: list[tuple[str, str]]) -> None:
    """
    Once when it begins, once when it is over, however often it was tried between.
    """
    answers: Iterator[Any] = iter([(500, {})] * 5)
    with receiver(lambda post: next(answers, None) or takes(post)) as posthog:
        sink = a_sink(posthog.url, said)
        sink.keep(a_record(1))
        posthog.await_events(1)
        until(lambda: len(said) == 2)
        sink.close()

    assert [event for event, _ in said] == ["telemetry_trouble", "telemetry_back"]
    assert (sink.trouble, sink.lost) == ("", 0)


@pytest.mark.usefixtures("quick")
def test_a_refused_key_is_named_without_being_shown(said: list[tuple[str, str]], spool: Path) -> None:
    """
    Trying again at once would not help: one request, then a minute's pause.
    """
    with receiver(lambda _post: (401, {"detail": f"bad key {KEY}"})) as posthog:
        sink = a_sink(posthog.url, said, spool, close_s=0.5)
        sink.keep(a_record(1))
        until(lambda: bool(sink.trouble))
        assert "HTTP 401: is the key that of a project there?" in sink.trouble
        assert len(posthog.posts) == 1
        sink.close()

    assert KEY not in repr(said)
    assert len(list(spool.iterdir())) == 1


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("status", [400, 413])
def test_one_bad_event_costs_itself_only(said: list[tuple[str, str]], status: int) -> None:
    """
    A batch that is refused for what is in it is halved until what is refused is alone.
    """

    def answer(post: Post) -> Any:
        bad = any(number_of(one) == 13 for one in post.events)
        return (status, {"detail": "no"}) if bad else takes(post)

    with receiver(answer) as posthog:
        sink = a_sink(posthog.url, said)
        for number in range(64):
            sink.keep(a_record(number))
        posthog.await_events(63)
        until(lambda: sink.lost == 1)
        sink.close()

    assert [number_of(one) for one in posthog.taken] == [one for one in range(64) if one != 13]
    assert [event for event, _ in said] == ["telemetry_lost"]


@pytest.mark.usefixtures("quick")
def test_a_receiver_that_stalls_holds_up_nothing(said: list[tuple[str, str]], spool: Path) -> None:
    """
    A delivery that is under way at the end is not waited for beyond the bound; its events are kept.
    """
    go_on = threading.Event()

    def answer(post: Post) -> Any:
        go_on.wait(2 * LONG_S)
        return takes(post)

    with receiver(answer) as posthog:
        sink = a_sink(posthog.url, said, spool, timeout_s=2 * LONG_S, close_s=0.3)
        began = time.monotonic()
        sink.keep(a_record(1))
        posthog.await_posts(1)
        for number in range(2, 100):
            sink.keep(a_record(number))
        assert time.monotonic() - began < LONG_S
        began = time.monotonic()
        sink.close()
        assert time.monotonic() - began < LONG_S
        go_on.set()
        (kept,) = spool.iterdir()

    numbers = [number_of(json.loads(line)) for line in kept.read_text().splitlines()]
    assert numbers == list(range(1, 100))


@pytest.mark.usefixtures("quick")
def test_no_answer_in_time_is_a_failure_that_is_tried_again(said: list[tuple[str, str]]) -> None:
    """
    The second time is under the same uuid, so that an event which did arrive is one event.
    """
    slow = iter([0.6])
    with receiver() as posthog:
        posthog.answer = lambda post: (time.sleep(next(slow, 0)), takes(post))[1]  # type: ignore[func-returns-value]
        sink = a_sink(posthog.url, said, timeout_s=0.2)
        sink.keep(a_record(1))
        posthog.await_posts(2)
        until(lambda: sink.delivered == 1)
        sink.close()

    assert {one["uuid"] for post in posthog.posts for one in post.events} == {(MAKE(a_record(1)) or {})["uuid"]}
    assert "does not answer in time" in said[0][1]


@pytest.mark.usefixtures("quick")
def test_a_redirect_takes_nothing(said: list[tuple[str, str]]) -> None:
    """
    Followed, the POST would become a GET whose 200 has taken nothing: it is a failure with a way out.
    """
    with receiver(lambda post: (301, {}) if post.path == "/batch/" else (200, {})) as posthog:
        sink = a_sink(posthog.url, said, close_s=0.3)
        sink.keep(a_record(1))
        until(lambda: bool(said))
        sink.close()

    assert "redirects to another address" in said[0][1]
    assert sink.lost == 1


def test_more_than_can_wait_is_counted(said: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The oldest stay: they were taken. What finds no room is lost, and said so once.
    """
    monkeypatch.setattr("savemode_cli.telemetry.background.MOST_WAITING", 10)
    sink = a_sink(f"http://127.0.0.1:{free_port()}", said, batch_s=60.0, close_s=0.1)
    for number in range(15):
        sink.keep(a_record(number))
    until(lambda: len(said) == 1)
    assert (sink.lost, [event for event, _ in said]) == (5, ["telemetry_lost"])
    sink.close()

    assert sink.lost == 15


def test_the_sdk_says_nothing_by_itself(said: list[tuple[str, str]], capfd: pytest.CaptureFixture[str]) -> None:
    """
    Its log lines would stand between the requests, again and again.
    """
    with receiver(lambda _post: (500, {})) as posthog:
        sink = a_sink(posthog.url, said, close_s=0.3)
        sink.keep(a_record(1))
        until(lambda: bool(said))
        logging.getLogger("posthog").error("noise")
        sink.close()

    assert capfd.readouterr() == ("", "")


def test_the_sdk_is_not_there(said: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """
    It is said, and the events wait.
    """
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(Undelivered, match="not installed"):
        PostHog(KEY).deliver([], 1.0)


@pytest.mark.parametrize(
    ("error", "words", "final"),
    [
        (TypeError("x"), "cannot be written as JSON", True),
        (UnicodeEncodeError("utf-8", "x", 0, 1, KEY), "cannot be written as JSON", True),
        (OSError(KEY), "cannot be asked", False),
    ],
)
def test_what_the_sdk_raises_becomes_a_sentence(error: Exception, words: str, final: bool) -> None:
    """
    Without what the exception holds; what is the event's fault is final.
    """
    outlet = PostHog(KEY)

    def post(*_args: Any, **_more: Any) -> None:
        raise error

    outlet._post = post
    with pytest.raises(Undelivered) as raised:
        outlet.deliver([], 1.0)

    assert (words in raised.value.reason, raised.value.final, KEY in raised.value.reason) == (True, final, False)
