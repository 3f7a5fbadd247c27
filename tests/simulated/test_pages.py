"""
The pages that the API does not have.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from savemode_cli.simulated.clock import Clock
from savemode_cli.simulated.pages import PAGES
from tests.support.simulated import Simulated, asks, read, running_simulated, sent, system


@pytest.fixture
def simulated() -> Iterator[Simulated]:
    """
    A simulated upstream whose clock stands still.
    """
    with running_simulated(clock=Clock(datetime(2026, 11, 24, 12, tzinfo=UTC))) as running:
        yield running


def page(simulated: Simulated, path: str, body: Any = None) -> Any:
    """
    Get a page, or change it with a body.
    """
    return read(sent(simulated.port, body, target=path, method="GET" if body is None else "POST"))


@pytest.mark.parametrize("path", PAGES)
def test_every_page_says_its_schema(simulated: Simulated, path: str) -> None:
    """
    Every page has a schema version, because programs read the pages.
    """
    assert page(simulated, path)["schema_version"] == 1


def test_the_clock(simulated: Simulated) -> None:
    """
    It is shown, and can be advanced any number of times.
    """
    assert page(simulated, "/-/clock") == {"schema_version": 1, "now": "2026-11-24T12:00:00+00:00", "turned_s": 0.0}
    page(simulated, "/-/clock", {"advance_s": 600})
    assert page(simulated, "/-/clock", {"advance_s": 0.5})["now"] == "2026-11-24T12:10:00.500000+00:00"


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/-/clock", b"{", "send a JSON object"),
        ("/-/clock", [], "send a JSON object"),
        ("/-/clock", {}, 'send {"advance_s": 600}'),
        ("/-/clock", {"advance_s": 1, "more": 1}, 'send {"advance_s": 600}'),
        ("/-/clock", {"advance_s": "600"}, "advance_s must be a number of seconds"),
        ("/-/clock", {"advance_s": True}, "advance_s must be a number of seconds"),
        ("/-/clock", {"advance_s": -1}, "advance_s must be a number of seconds from 0 to 31622400"),
        ("/-/faults", {"faults": "drop"}, "faults must be a list of strings"),
        ("/-/faults", {"faults": [5]}, "faults must be a list of strings"),
        ("/-/faults", {}, 'send {"faults": ["status=529*2"]}, or an empty list'),
        ("/-/faults", {"faults": ["nonsense"]}, "fault 'nonsense': unknown fault; use NAME"),
        ("/-/script", {"turns": 5}, "script must have a list of turns; a script is {"),
    ],
)
def test_invalid_values_for_a_page(simulated: Simulated, path: str, body: Any, said: str) -> None:
    """
    The error says what to send, and nothing changes.
    """
    before = page(simulated, path)
    answer = sent(simulated.port, body, target=path)

    assert answer.status == 400
    assert read(answer)["error"]["message"].startswith(said)
    assert page(simulated, path) == before


def test_the_methods_of_a_page(simulated: Simulated) -> None:
    """
    A page that only shows something refuses POST, and every page refuses PUT.
    """
    assert sent(simulated.port, {}, target="/-/state").status == 405
    assert sent(simulated.port, {}, target="/-/clock", method="PUT").status == 405
    assert sent(simulated.port, None, target="/-/clock", method="HEAD").status == 200


def test_reset(simulated: Simulated) -> None:
    """
    The cache and the usage are empty again; the clock stays.
    """
    sent(simulated.port, asks("hello", system=system()))
    page(simulated, "/-/clock", {"advance_s": 60})

    state = page(simulated, "/-/reset", {})
    assert (state["answers"], state["cache_entries"], state["statuses"], state["turned_s"]) == (0, 0, {}, 60.0)


def test_faults_while_it_runs(simulated: Simulated) -> None:
    """
    A test sets faults, reads which ones remain, and removes them.
    """
    set_ = page(simulated, "/-/faults", {"faults": ["status=529*2", "stall=0,after=3"]})
    assert set_["faults"] == [
        {"name": "status", "count": 2, "status": 529, "type": "overloaded_error"},
        {"name": "stall", "count": None, "after_events": 3},
    ]
    assert sent(simulated.port, asks("hello")).status == 529
    assert page(simulated, "/-/faults")["faults"][0]["count"] == 1
    page(simulated, "/-/faults", {"faults": []})
    assert sent(simulated.port, asks("hello")).status == 200


def test_a_script_while_it_runs(simulated: Simulated) -> None:
    """
    The next request gets its answer from the script.
    """
    assert page(simulated, "/-/script", {"turns": [{"text": "as told"}]})["turns"] == 1
    assert read(sent(simulated.port, asks("hello")))["content"][0]["text"] == "as told"
    assert page(simulated, "/-/script", {"turns": []})["turns"] == 0


def test_health(simulated: Simulated) -> None:
    """
    Whether the upstream runs.
    """
    assert page(simulated, "/-/health")["simulated"] is True
