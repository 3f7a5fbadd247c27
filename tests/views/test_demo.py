"""
The demonstration on a screen.
"""

from datetime import UTC, datetime
from typing import Any

from rich.console import Console

from savemode_cli.core.charge import Settlement
from savemode_cli.core.exchange import Exchange
from savemode_cli.views.demo import Day, Screen, folded
from tests.builders import a_refusal, an_allowance, an_exchange
from tests.views.drawn import drawn

REFUSED = an_exchange(outcome="refused", status=429, decision=a_refusal())


def costing(nusd: int) -> Exchange:
    """
    A call that was charged so much.
    """
    return an_exchange(settlement=Settlement(nusd, "reported"))


def screen(show: Any, width: int = 80) -> str:
    """
    What a screen shows.
    """

    def shown(console: Console) -> None:
        show(Screen(console, "1.45"))

    return drawn(shown, width=width)


def test_refused_calls_are_in_no_scene() -> None:
    """
    They were not made, and are counted apart.
    """
    day = Day().add("a", 0, [costing(5), REFUSED]).add("b", 9, [REFUSED])

    assert [len(part.exchanges) for part in day.parts] == [1, 0]
    assert day.refused == 2
    assert folded(day.parts[0].exchanges).cost_nusd == 5


def test_scene_in_which_nothing_was_made_is_not_compared() -> None:
    """
    What a cap kept from being made has no counterpart; the day's row adds up what is above it.
    """
    plain = Day().add("first", 0, [costing(3_000_000_000)]).add("last", 2, [costing(5_000_000_000)])
    saving = Day().add("first", 0, [costing(1_000_000_000)]).add("last", 2, [REFUSED])
    rows = screen(lambda one: one.compare(plain, saving)).splitlines()

    assert [row.split() for row in rows if row.startswith(("first", "last", "the day"))] == [
        ["first", "1", "$3.00", "$1.00", "$2.00", "cheaper"],
        ["the", "day", "1", "$3.00", "$1.00", "$2.00", "cheaper"],
    ]
    assert "refused by the cap: 1, at no cost" in rows


def test_line_of_a_request_is_cut_at_the_margin() -> None:
    """
    One line each, whatever the width.
    """
    shown = screen(lambda one: one.exchange(costing(5), {}), width=60)

    assert len(shown.splitlines()) == 1
    assert shown.endswith("…")


def test_cap_is_told_when_its_state_changes() -> None:
    """
    Once, and again only when it is another.
    """
    spends = an_exchange(decision=an_allowance(), decision_after=an_allowance())

    def twice(one: Screen) -> None:
        one.exchange(spends, {})
        one.exchange(spends, {})

    assert screen(twice).count("budget   ok, $10.00 left") == 1


def test_refusal_says_what_the_client_prints() -> None:
    """
    The sentence of the answer.
    """
    shown = screen(lambda one: one.exchange(REFUSED, {"error": {"message": "spend limit reached"}}))

    assert "refused  spend limit reached" in shown


def test_scene_names_its_pause() -> None:
    """
    The time, the scene, and how long nothing was said before.
    """
    at = datetime(2026, 11, 23, 9, 12, tzinfo=UTC)

    assert screen(lambda one: one.scene("after a coffee", 12, at)).strip() == "09:12 after a coffee, 12 min later"
    assert screen(lambda one: one.scene("first", 0, at)).strip() == "09:12 first"
