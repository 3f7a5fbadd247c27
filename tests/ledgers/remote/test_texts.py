"""
Times, keys and terms as a server keeps them.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from savemode_cli.core.budget.budget import Budget
from savemode_cli.core.budget.personal import PersonalLimit
from savemode_cli.core.budget.window import Window
from savemode_cli.ledgers.remote.texts import (
    Terms,
    bucket,
    budget_of,
    budget_text,
    left_until,
    lettered,
    microseconds,
    moment,
)

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@given(st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)))
def test_moments_are_exact(when: datetime) -> None:
    """
    To the microsecond.
    """
    assert moment(str(microseconds(when))) == when


def test_budget_is_what_was_written() -> None:
    """
    With when it was set; amounts are not rounded.
    """
    budget = Budget("z", 2**53 - 1, Window("rolling", hours=5), "Europe/Berlin", "header:x", strict=True, set_at_us=7)
    budget = replace(budget, warn_at=Decimal("0.123456789"), refusal_hint="ask Maria")

    read = budget_of(budget_text(budget))

    assert (read, read.set_at_us) == (budget, 7)


def test_key_has_the_letter_of_its_window() -> None:
    """
    Only that of a rolling one says until when charges have left it.
    """
    rolling, month = Budget("r", 1, Window("rolling", hours=5)).key("", NOW), Budget("m", 1).key("", NOW)

    assert (lettered(rolling)[0], lettered(month)[0]) == ("r", "n")
    assert left_until(rolling, NOW) == str(microseconds(NOW - timedelta(hours=5)))
    assert left_until(month, NOW) == ""


def test_buckets_take_any_text() -> None:
    """
    Four digits, the same each time.
    """
    assert bucket("a") == bucket("a") != bucket("b")
    assert len(bucket("\ud800")) == 4


def test_terms_set_now_are_set_later() -> None:
    """
    Two budgets are equal whenever they were set, and their terms are not.
    """
    terms = Terms("v", (Budget("a", 1, set_at_us=5),), (PersonalLimit("a", "ann", 1, 9),))

    assert [terms.set_at(us) for us in (0, 9, 50)] == [10, 10, 50]
    assert terms.content != replace(terms, budgets=(Budget("a", 1, set_at_us=6),)).content
    assert terms.content == replace(terms, version="w").content
