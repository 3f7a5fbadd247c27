"""
The list of models, page by page.
"""

from typing import Any

import pytest

from savemode_cli.prices import load_prices
from savemode_cli.simulated.models import is_known, page, row


def ids(found: dict[str, Any]) -> list[str]:
    """
    The IDs on a page.
    """
    return [one["id"] for one in found["data"]]


def test_pages_make_the_list() -> None:
    """
    The pages together contain each model once.
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
    An invalid limit gives the default page size.
    """
    assert ids(page(limit, "nobody"))[0] == "claude-opus-5-5"
    assert page(limit, "")["has_more"] is False


def test_page_after_the_last_model() -> None:
    """
    The page after the last model is empty.
    """
    assert page("", "claude-haiku-4-5") == {"data": [], "has_more": False, "first_id": None, "last_id": None}


def test_every_model_has_a_price() -> None:
    """
    Every listed model can be billed.
    """
    from datetime import UTC, datetime

    table = load_prices(None)
    assert [table.at(model, datetime.now(UTC)).model for model in ids(page("", ""))]


def test_every_model_with_a_price_is_known() -> None:
    """
    Every model with a price can be requested.
    """
    assert {row.model for row in load_prices(None).rows if not is_known(row.model)} == set()


@pytest.mark.parametrize(
    ("model", "known"),
    [
        ("claude-opus-5-5", True),
        ("claude-opus-4-5-20251101", True),
        ("claude-3-5-haiku-latest", True),
        ("claude-opus-4-0", True),
        ("us.anthropic.claude-opus-4-1-20250805-v1:0", True),
        ("claude-sonnet-4-5@20250929", True),
        ("claude-opus-5-5@default", True),
        ("gpt-4", False),
        ("claude", False),
        ("claude-nonsense-9", False),
        ("claude-opus-5-5-1", False),
        ("my-claude-opus-5-5", False),
        ("Claude-Opus-5-5", False),
        ("claude-opus-5.5", False),
        ("claude-opus-5-5-thinking", False),
        ("claude-opus-5-5[1m]", False),
        ("global.anthropic.claude-opus-5-5[1m]", False),
        ("anthropic/claude-opus-5-5", False),
        ("us.anthropic.claude-nonsense-9-v1:0", False),
    ],
)
def test_is_known(model: str, known: bool) -> None:
    """
    The spellings of the API and of clouds are known; the spellings of routers and clients never reach the API.
    """
    assert is_known(model) == known


def test_known() -> None:
    """
    Only listed models have a row.
    """
    assert row("claude-opus-5-5") == page("1", "")["data"][0]
    assert row("claude-nonsense") is None
