"""
What `serve --capture` kept is replayed like any other record.
"""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from savemode_cli.captures.store import CaptureStore
from savemode_cli.cli.captured import calls_in, holds_bodies
from savemode_cli.core.body_replay import judged
from savemode_cli.core.caller import PRODUCTS, Caller
from savemode_cli.core.capture import Capture
from savemode_cli.core.pricing import PriceTable
from savemode_cli.core.transform import Policy, transform
from savemode_cli.prices import load_prices
from savemode_cli.readers.files import kind_of
from savemode_cli.readers.problems import Problems
from tests.builders import a_skip, an_exchange
from tests.cli.command import Run
from tests.core.test_body_replay import conversation


def captures() -> list[Capture]:
    """
    A conversation that was raised to an hour while it was served, billed accordingly.
    """
    made = []
    for number, call in enumerate(conversation([10] * 12 + [400] * 9, hour=True)):
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
    The store that they are in.
    """
    store = CaptureStore.make(tmp_path / "captures")
    for capture in captures():
        store.append(capture)
    store.close()
    return store.path


def test_captures_are_calls(kept: Path) -> None:
    """
    Body, times, bill, session and product; the body is the client's own.
    """
    found, problems = list(calls_in(kept, kind_of(kept), Problems())), Problems()

    assert holds_bodies(kept, kind_of(kept))
    assert [call.body for call in found] == [capture.request_body for capture in captures()]
    assert [call.usage for call in found] == [capture.exchange.usage for capture in captures()]
    assert (found[0].started_at, found[0].ended_at) == (captures()[0].exchange.started_at, captures()[0].ended_at)
    assert (found[0].session, found[0].headers) == ("0123456789abcdef", ((b"anthropic-beta", b"b"),))
    assert judged(found[0], Policy("product"), "llm_gateway", PRODUCTS).caller.product == "posthog_code"
    assert problems.count == 0


def test_calls_under_a_product_are_calls(tmp_path: Path) -> None:
    """
    A capture has the path as the client spelled it, the product before it.
    """
    store = CaptureStore.make(tmp_path / "captures")
    first = captures()[0]
    store.append(replace(first, exchange=replace(first.exchange, path="/posthog_code/v1/messages")))
    store.close()
    (found,) = calls_in(store.path, kind_of(store.path), Problems())

    assert found.path == "/posthog_code/v1/messages"


def test_what_is_no_call_or_has_no_body(tmp_path: Path) -> None:
    """
    Other paths are passed over, missing bodies are named; a subscription stays one.
    """
    store = CaptureStore.make(tmp_path / "captures")
    first = captures()[0]
    counting = replace(first.exchange, path="/v1/messages/count_tokens")
    for capture in (
        replace(first, exchange=counting),
        replace(first, request_body=None),
        replace(first, exchange=replace(first.exchange, skips=(replace(a_skip(), code="oauth"),))),
    ):
        store.append(capture)
    store.close()
    problems = Problems()
    (call,) = calls_in(store.path, "captures", problems)

    assert call.subscription
    assert [one.what for one in problems.named] == ["its body was not kept"]


def test_other_databases_are_not_ours(tmp_path: Path) -> None:
    """
    They are passed over, and a store that cannot be opened is named.
    """
    other = tmp_path / "other.db"
    other.write_bytes(b"SQLite format 3\0" + bytes(100))
    problems = Problems()

    assert not holds_bodies(other, kind_of(other))
    assert list(calls_in(other, "captures", problems)) == []
    assert problems.count == 1


def test_a_damaged_capture_is_named(kept: Path) -> None:
    """
    And the rest goes on.
    """
    store = CaptureStore.open(kept)
    store._db.execute("UPDATE exchanges SET record = x'7b' WHERE id = 2")
    store.close()
    problems = Problems()

    assert len(list(calls_in(kept, "captures", problems))) == 21
    assert problems.named[0].file == f"{kept.name}: capture 2"


def test_the_command(savemode: Run, kept: Path) -> None:
    """
    The folder is enough; what it cost is what the bills say, to the nano-dollar, and the model agrees.
    """
    data = json.loads(savemode("replay", str(kept.parent), "--json").out)
    prices: PriceTable = load_prices()
    bills = [
        prices.bill(one.exchange.usage, one.exchange.model, one.exchange.started_at).cost.input_nusd
        for one in captures()
        if one.exchange.usage is not None
    ]

    assert data["policies"]["recorded"]["cost_nusd"] == sum(bills)
    assert (data["requests"], data["grade"]["right_share"]) == (22, 1.0)
    assert data["policies"]["5m"]["difference_nusd"] > 0


def test_a_budget_on_captures(savemode: Run, kept: Path) -> None:
    """
    The same store, against a cap.
    """
    data = json.loads(savemode("simulate-budget", "--budget", "1", "--trace", str(kept.parent), "--json").out)

    assert data["windows"][0]["requests"] == 22


def test_an_export_beside_the_store_counts_nothing_twice(savemode: Run, kept: Path) -> None:
    """
    Whoever exports into the folder that is replayed pays no bill again.
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
    A refusal at the cap never reached the upstream.
    """
    store = CaptureStore.make(tmp_path / "captures")
    first = captures()[0]
    for status, usage in ((429, None), (200, None), (None, None), (529, first.exchange.usage)):
        store.append(replace(first, exchange=replace(first.exchange, status=status, usage=usage)))
    store.close()

    assert [call.answered for call in calls_in(store.path, "captures", Problems())] == [False, True, True, True]
