"""
The demonstration on a screen.
"""

from datetime import UTC, datetime
from typing import Any

from rich.console import Console

from savemode_cli.core.budget.charge import Settlement
from savemode_cli.core.exchange.exchange import Exchange
from savemode_cli.views.demo import NEXT, Day, Screen, summed, to_json
from savemode_cli.views.printable import without_colours
from tests.builders import a_refusal, a_standing, an_allowance, an_exchange
from tests.support.drawn import drawn

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
        def say(text: str) -> None:
            console.print(without_colours(text), soft_wrap=True)

        show(Screen(console, say, "1.45"))

    return drawn(shown, width=width)


def test_refused_calls_are_in_no_scene() -> None:
    """
    They were not made, and are counted apart.
    """
    day = Day().add("a", 0, [costing(5), REFUSED]).add("b", 9, [REFUSED])

    assert [len(part.exchanges) for part in day.parts] == [1, 0]
    assert day.refused == 2
    assert summed(day.parts[0].exchanges).cost_nusd == 5


def test_scene_in_which_nothing_was_made_is_not_compared() -> None:
    """
    What a cap kept from being made has no counterpart; the day's row adds up what is above it.
    """
    plain = Day().add("first", 0, [costing(3_000_000_000)]).add("last", 2, [costing(5_000_000_000)])
    saving = Day().add("first", 0, [costing(1_000_000_000)]).add("last", 2, [REFUSED])
    rows = screen(lambda one: one.compare(plain, saving)).splitlines()

    assert [row.split() for row in rows if row.startswith(("first", "last", "the day"))] == [
        ["first", "1", "$3.0000", "$1.0000", "-$2.0000"],
        ["the", "day", "1", "$3.0000", "$1.0000", "-$2.0000"],
    ]
    assert "1 more call was refused by the cap, at no cost." in rows
    assert "The same calls cost $1.0000 instead of $3.0000: saved $2.0000 (66.7 %)." in rows


def test_json_has_the_same_figures() -> None:
    """
    Both days, each scene, what was saved, and a command that saves.
    """
    plain = Day().add("first", 0, [costing(3_000_000_000)]).add("last", 2, [costing(5_000_000_000)])
    saving = Day().add("first", 0, [costing(1_000_000_000)]).add("last", 2, [REFUSED])
    value = to_json(plain, saving, 1_450_000_000)

    assert (value["cap_usd"], value["saved_usd"], value["refused"]) == ("1.450000000", "2.000000000", 1)
    assert [day["summary"]["cost_nusd"] for day in value["days"]] == [8_000_000_000, 1_000_000_000]
    assert [scene["title"] for scene in value["days"][1]["scenes"]] == ["first", "last"]
    assert value["next"] == NEXT


def test_demo_ends_with_a_command_that_saves() -> None:
    """
    The last line can be copied.
    """
    assert screen(lambda one: one.compare(Day(), Day())).splitlines()[-1] == f"  {NEXT}"


def test_budget_is_told_when_its_state_changes() -> None:
    """
    Once, and again only when it is another.
    """
    warned = an_allowance(a_standing(7_500_000_000))
    spends = an_exchange(decision=warned, decision_after=warned)

    def twice(one: Screen) -> None:
        one.exchange(spends, {})
        one.exchange(spends, {})

    assert screen(twice).count("budget: warn; clients are told to use the mode balanced") == 1


def test_refusal_says_what_the_client_prints() -> None:
    """
    The sentence of the answer.
    """
    shown = screen(lambda one: one.exchange(REFUSED, {"error": {"message": "spend limit reached"}}))

    assert "the client is told: spend limit reached" in shown


def test_scene_names_its_pause() -> None:
    """
    The time, the scene, and how long nothing was sent before.
    """
    at = datetime(2026, 11, 23, 9, 12, tzinfo=UTC)

    assert screen(lambda one: one.scene("after a coffee", 12, at)).strip() == "09:12 after a coffee, 12 min later"
    assert screen(lambda one: one.scene("first", 0, at)).strip() == "09:12 first"
