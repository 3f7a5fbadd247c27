"""
Whether a keep-warm request is worth its price, and how it looks.
"""

import json
from datetime import timedelta
from typing import Any

import pytest

from savemode_cli.core.upgrade.keep_warm import Stakes, expectation, ping_body
from savemode_cli.core.upgrade.pauses import Pauses
from savemode_cli.core.upgrade.policy import MOST_PINGS
from tests.support.prompts import MARK, text

MINUTE = timedelta(minutes=1)
CHEAP = Stakes(ping_nusd=50, rewrite_nusd=1_200)
"""A model that reads for a twentieth of its input price."""
DEAR = Stakes(ping_nusd=100, rewrite_nusd=1_150)
"""One that reads for a tenth."""


def test_published_pauses_decide_first() -> None:
    """
    The cheaper a read is, the longer it pays to wait; at some point it does not pay any more.
    """
    plans = [expectation(Pauses(), CHEAP, sent, MOST_PINGS) for sent in range(MOST_PINGS)]

    assert plans[0].pings == 6
    assert expectation(Pauses(), DEAR, 0, MOST_PINGS).pings == 2
    assert plans[0].saving_nusd > plans[1].saving_nusd > 0
    assert [plan.pings for plan in plans[:7]] == [6, 5, 4, 3, 2, 1, 0]
    assert all(plan.saving_nusd == 0 for plan in plans if not plan.pings)


def test_the_expected_saving() -> None:
    """
    One request: what comes back in its window saves 88 % of a rewrite, and all pay.
    """
    plan = expectation(Pauses(), CHEAP, 0, 1)

    assert plan.pings == 1
    assert plan.saving_nusd == round(67 / 341 * 1_200 * 0.88 - 50)


@pytest.mark.parametrize(("sent", "most"), [(0, 0), (2, 2), (3, 1), (MOST_PINGS, 99)])
def test_the_limit(sent: int, most: int) -> None:
    """
    Nothing is planned beyond it.
    """
    assert expectation(Pauses(), CHEAP, sent, most).pings == 0


def test_a_person_who_never_comes_back() -> None:
    """
    After some such pauses nothing is worth it; one who always comes back after a quarter of an hour is.
    """
    gone, quarter = Pauses(), Pauses()
    for _ in range(200):
        gone.note(90 * MINUTE)
        quarter.note(15 * MINUTE)

    assert expectation(gone, DEAR, 0, MOST_PINGS).pings == 0
    assert expectation(quarter, DEAR, 0, MOST_PINGS).pings >= 3


def a_body(**more: Any) -> bytes:
    """
    A request with a breakpoint.
    """
    fields = {
        "model": "claude-opus-5-5",
        "max_tokens": 64,
        "stream": True,
        "messages": [],
        "system": [text("s", **MARK)],
    }
    return json.dumps({**fields, **more}).encode()


def test_only_two_fields_change() -> None:
    """
    The bytes of every other value stay, blanks and the order of keys included.
    """
    body = b'{"b" : {"z": 1.0,  "a": "\\u00e9"}, "max_tokens": 5, "stream":true, "messages":[ ], "model":"m"}'

    assert ping_body(body) == b'{"b":{"z": 1.0,  "a": "\\u00e9"},"max_tokens":0,"messages":[ ],"model":"m"}'
    assert json.loads(ping_body(a_body()) or b"")["max_tokens"] == 0


@pytest.mark.parametrize(
    "more",
    [
        {"thinking": {"type": "enabled", "budget_tokens": 2048}},
        {"tool_choice": {"type": "any"}},
        {"tool_choice": {"type": "tool", "name": "a"}},
        {"output_config": {"format": {"type": "json_schema"}}},
        {"thread": {}},
        {"container": "c"},
        {"fallbacks": []},
        {"mcp_servers": []},
        {"max_tokens": "many"},
    ],
    ids=str,
)
def test_what_cannot_be_sent(more: dict[str, Any]) -> None:
    """
    The API refuses it, or its prompt is more than the body.
    """
    assert ping_body(a_body(**more)) is None


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b'{"max_tokens":1,"thinking":{' + b"[" * 9999])
def test_what_is_no_request(body: bytes) -> None:
    """
    Nothing is raised.
    """
    assert ping_body(body) is None


@pytest.mark.parametrize(
    "more",
    [{"thinking": {"type": "adaptive"}}, {"tool_choice": {"type": "auto"}}, {"output_config": {"effort": "low"}}],
    ids=str,
)
def test_what_can_be_sent(more: dict[str, Any]) -> None:
    """
    The field stays as it is.
    """
    sent = json.loads(ping_body(a_body(**more)) or b"")

    assert sent[next(iter(more))] == next(iter(more.values()))
    assert "stream" not in sent
