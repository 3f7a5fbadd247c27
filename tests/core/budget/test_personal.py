"""
Limits of single persons and lifted caps: what can be kept, whose it is, and which of two limits counts.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from savemode_cli.core.budget.budget import Budget, limit_of
from savemode_cli.core.budget.personal import Allowance, PersonalLimit, check_who, with_limits
from savemode_cli.core.errors import ConfigError

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
TEAM = Budget("team", 50, scope="user", set_at_us=10)

RIGHT: dict[str, Any] = {"budget": "team", "who": "ann", "limit_nusd": 1}


@pytest.mark.parametrize("who", ["", "x" * 257, "a\nb", "\x1b[31m", "\u202e"])
def test_what_cannot_name_a_person(who: str) -> None:
    """
    Empty names, long names, and control characters are refused.
    """
    with pytest.raises(ConfigError, match="cannot name a person"):
        check_who(who)


@pytest.mark.parametrize("who", ["alice", "alice@example.com", "Zoë Ünal", "0123456789abcdef"])
def test_what_names_a_person(who: str) -> None:
    """
    Whatever requests come with.
    """
    assert check_who(who) == who


@pytest.mark.parametrize("wrong", [{"who": ""}, {"limit_nusd": -1}, {"limit_nusd": 2**53}])
def test_limit_that_cannot_be_kept(wrong: dict[str, Any]) -> None:
    """
    It is refused where it is made.
    """
    with pytest.raises(ConfigError):
        PersonalLimit(**{**RIGHT, **wrong})


def test_person_of_no_budget() -> None:
    """
    This is a bug in the caller, as is a time without a time zone.
    """
    with pytest.raises(ValueError, match="one of a budget's"):
        Allowance(NOW, "", "ann")
    with pytest.raises(ValueError, match="time zone"):
        Allowance(datetime(2026, 11, 24))


@pytest.mark.parametrize(
    ("budget", "who", "seconds", "lifted"),
    [
        ("", "", 1, True),
        ("team", "", 1, True),
        ("team", "ann", 1, True),
        ("team", "bob", 1, False),
        ("other", "", 1, False),
        ("", "", 0, False),
        ("team", "ann", -1, False),
    ],
)
def test_what_an_allowance_lifts(budget: str, who: str, seconds: int, lifted: bool) -> None:
    """
    It lifts every budget, one budget, or that of one person, until its end.
    """
    allowance = Allowance(NOW + timedelta(seconds=seconds), budget, who)

    assert allowance.lifts(limit_of(TEAM, "ann", NOW), NOW) is lifted
    assert allowance.is_over(NOW) is (seconds <= 0)


@pytest.mark.parametrize(("set_at_us", "limit"), [(9, 70), (10, 70), (11, 80)])
def test_later_of_two_personal_limits_counts(set_at_us: int, limit: int) -> None:
    """
    A limit of the configuration counts from the time at which it was set, and one of the ledger from its own time.
    """
    own = replace(TEAM, limits=(("ann", 70),))
    stored = [PersonalLimit("team", "ann", 80, set_at_us), PersonalLimit("other", "ann", 1, 99)]

    assert with_limits(own, own, stored).limit_of("ann") == limit
    assert with_limits(own, own, stored).limit_of("bob") == 50


def test_limit_that_only_the_ledger_has() -> None:
    """
    It counts whenever it was set: the configuration says nothing of this person. So it does if another budget of that name
    was set in the ledger, which brings none along.
    """
    stored = [PersonalLimit("team", "bob", 20, 1)]
    own = replace(TEAM, limits=(("ann", 70),))
    raised = Budget("team", 60, scope="user", set_at_us=11)

    assert with_limits(own, own, stored).limits == (("ann", 70), ("bob", 20))
    assert with_limits(raised, own, stored).limits == (("ann", 70), ("bob", 20))
    assert with_limits(raised, None, stored).limits == (("bob", 20),)
    assert with_limits(raised, None, stored).limit_of("cyd") == 60
