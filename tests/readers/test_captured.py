"""
Captures of `serve --capture` are replayed like any other record.
"""

import json
from pathlib import Path

import pytest

from savemode_cli.captures.store import CaptureStore
from savemode_cli.core.exchange.capture import Capture
from savemode_cli.core.money.pricing import PriceTable
from savemode_cli.core.replay.bodies import judged
from savemode_cli.core.upgrade.policy import Policy
from savemode_cli.core.upgrade.transform import transform
from savemode_cli.core.wire.caller import Caller
from savemode_cli.core.wire.products import PRODUCTS
from savemode_cli.prices import load_prices
from savemode_cli.readers.problems import Problems
from tests.builders import a_skip, altered, an_exchange
from tests.core.replay.test_bodies import a_body, conversation
from tests.support.command import Run
from tests.support.processes import post, serving
from tests.support.reading import calls, format_of
from tests.support.values import replace
from tests.support.waiting import until


def captures() -> list[Capture]:
    """
    A conversation whose TTL was upgraded to one hour while it was served, with the resulting bills.
    """
    made = []
    for number, call in enumerate(conversation([10.0] * 12 + [400.0] * 9, hour=True)):
        assert call.started_at is not None
        assert call.ended_at is not None
        edits = transform(call.body, Policy("always"), Caller("x", idle_prone=True)).edits
        exchange = an_exchange(
            id=f"req_{number}", started_at=call.started_at, usage=call.usage, edits=edits, session="0123456789abcdef"
        )
        made.append(
            Capture(exchange, call.ended_at, request_headers=(("anthropic-beta", "b"),), request_body=call.body)
        )
    return made


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """
    The store with these captures.
    """
    store = CaptureStore.make(tmp_path / "captures")
    for capture in captures():
        store.append(capture)
    store.close()
    return store.path


def test_captures_are_calls(kept: Path) -> None:
    """
    Body, times, bill, session and product; the body is the one that the client sent.
    """
    found, problems = list(calls(kept, format_of(kept), Problems())), Problems()

    assert format_of(kept) == "captures"
    assert [call.body for call in found] == [capture.request_body for capture in captures()]
    assert [call.usage for call in found] == [capture.exchange.bill.usage for capture in captures()]
    assert (found[0].started_at, found[0].ended_at) == (captures()[0].exchange.started_at, captures()[0].ended_at)
    assert (found[0].session, found[0].headers) == ("0123456789abcdef", ((b"anthropic-beta", b"b"),))
    assert judged(found[0], Policy("product"), "llm_gateway", PRODUCTS).caller.product == "posthog_code"
    assert problems.count == 0


def test_calls_under_a_product_are_calls(tmp_path: Path) -> None:
    """
    A capture has the path as the client sent it, including the product.
    """
    store = CaptureStore.make(tmp_path / "captures")
    first = captures()[0]
    store.append(replace(first, exchange=altered(first.exchange, path="/posthog_code/v1/messages")))
    store.close()
    (found,) = calls(store.path, format_of(store.path), Problems())

    assert found.path == "/posthog_code/v1/messages"


def test_other_requests_and_missing_bodies(tmp_path: Path) -> None:
    """
    Other paths are skipped, missing bodies are listed, and OAuth traffic is recognised.
    """
    store = CaptureStore.make(tmp_path / "captures")
    first = captures()[0]
    counting = altered(first.exchange, path="/v1/messages/count_tokens")
    for capture in (
        replace(first, exchange=counting),
        replace(first, request_body=None),
        replace(first, exchange=altered(first.exchange, skips=(replace(a_skip(), code="oauth"),))),
    ):
        store.append(capture)
    store.close()
    problems = Problems()
    (call,) = calls(store.path, "captures", problems)

    assert call.subscription
    assert [one.what for one in problems.named] == ["its body was not recorded"]


def test_other_databases_are_not_recognised(tmp_path: Path) -> None:
    """
    They are not recognised, and a store that cannot be opened is listed.
    """
    other = tmp_path / "other.db"
    other.write_bytes(b"SQLite format 3\0" + bytes(100))
    problems = Problems()

    assert format_of(other) == ""
    assert list(calls(other, "captures", problems)) == []
    assert problems.count == 1


def test_a_damaged_capture_is_listed(kept: Path) -> None:
    """
    It is listed, and the other captures are read.
    """
    store = CaptureStore.open(kept)
    store._db.execute("UPDATE exchanges SET record = x'7b' WHERE id = 2")
    store.close()
    problems = Problems()

    assert len(list(calls(kept, "captures", problems))) == 21
    assert problems.named[0].file == f"{kept.name}: capture 2"


@pytest.mark.parametrize("what", ["folder", "file"])
def test_the_captures_of_a_proxy_that_runs(savemode: Run, tmp_path: Path, what: str) -> None:
    """
    They can be replayed while the proxy runs and everything is still in the write-ahead log.
    """
    folder = tmp_path / "kept"
    with serving("simulated", "--capture", str(folder)) as (server, url):
        headers = [("x-api-key", "sk-ant-api03-of-a-test"), ("anthropic-version", "2023-06-01")]
        assert post(url, a_body(1), headers)[0] == 200
        store = CaptureStore.open(folder)
        until(lambda: list(store.rows()))
        store.close()
        path = folder if what == "folder" else folder / "captures.sqlite3"
        data = json.loads(savemode("replay", str(path), "--json").out)
        assert post(url, a_body(1), headers)[0] == 200
        server.end()

    assert (data["upgrades"]["bodies"], data["requests"]) == (1, 1)


def test_the_command(savemode: Run, kept: Path) -> None:
    """
    The folder is sufficient; the cost equals the bills to the nano-dollar, and the model's predictions match.
    """
    data = json.loads(savemode("replay", str(kept.parent), "--json").out)
    prices: PriceTable = load_prices()
    bills = [
        prices.bill(one.exchange.bill.usage, one.exchange.call.model, one.exchange.started_at).cost.input_nusd
        for one in captures()
        if one.exchange.bill.usage is not None
    ]

    assert data["policies"]["recorded"]["cost_nusd"] == sum(bills)
    assert (data["requests"], data["grade"]["right_share"]) == (22, 1.0)
    assert data["policies"]["5m"]["difference_nusd"] > 0


def test_a_budget_on_captures(savemode: Run, kept: Path) -> None:
    """
    The same store with a cap.
    """
    data = json.loads(savemode("simulate-budget", "--budget", "1", "--trace", str(kept.parent), "--json").out)

    assert data["windows"][0]["requests"] == 22


def test_an_export_beside_the_store_counts_nothing_twice(savemode: Run, kept: Path) -> None:
    """
    An export in the replayed folder is not billed again.
    """
    alone = json.loads(savemode("replay", str(kept), "--json").out)
    for form, name in (("--har", "captures.har"), ("--jsonl", "captures.jsonl")):
        assert (
            savemode("captures", "export", form, "--out", str(kept.parent / name), "--dir", str(kept.parent)).code == 0
        )
    together = json.loads(savemode("replay", str(kept.parent), "--json").out)

    assert together["requests"] == alone["requests"] == 22
    assert together["policies"] == alone["policies"]
    assert (together["copies"], alone["copies"]) == (44, 0)


def test_refused_captures_are_no_calls_of_the_cache(tmp_path: Path) -> None:
    """
    A request that was refused at the cap never reached the upstream.
    """
    store = CaptureStore.make(tmp_path / "captures")
    first = captures()[0]
    for status, usage in ((429, None), (200, None), (None, None), (529, first.exchange.bill.usage)):
        store.append(replace(first, exchange=altered(first.exchange, status=status, usage=usage)))
    store.close()

    assert [call.answered for call in calls(store.path, "captures", Problems())] == [False, True, True, True]
