"""
The list of models, a page at a time.
"""

from typing import Any

import pytest

from savemode_cli.prices import load_prices
from savemode_cli.proxy.simulated.models import is_known, page, row


def ids(found: dict[str, Any]) -> list[str]:
    """
    The ids on a page.
    """
    return [one["id"] for one in found["data"]]


def test_pages_make_the_list() -> None:
    """
    Page behind page, each model once.
    """
    seen: list[str] = []
    after, more = "", True
    while more:
        found = page("3", after)
        seen += ids(found)
        after, more = found["last_id"], found["has_more"]

    assert seen == ids(page("1000", ""))
    assert len(set(seen)) == len(seen) > 10


@pytest.mark.parametrize("limit", ["", "0", "many", "5000"])
def test_odd_limits(limit: str) -> None:
    """
    What is no limit is the usual one.
    """
    assert ids(page(limit, "nobody"))[0] == "claude-opus-5-5"
    assert page(limit, "")["has_more"] is False


def test_behind_the_last() -> None:
    """
    A page of nothing.
    """
    assert page("", "claude-haiku-4-5") == {"data": [], "has_more": False, "first_id": None, "last_id": None}


def test_every_model_has_a_price() -> None:
    """
    What is listed can be billed: a list to choose from is no list of typing errors.
    """
    from datetime import UTC, datetime

    table = load_prices(None)
    assert [table.at(model, datetime.now(UTC)).model for model in ids(page("", ""))]


def test_known() -> None:
    """
    Any Claude model in any spelling; a row only for those listed.
    """
    assert is_known("us.anthropic.claude-opus-4-1-20250805-v1:0")
    assert not is_known("gpt-4")
    assert row("claude-opus-5-5") == page("1", "")["data"][0]
    assert row("claude-nonsense") is None
