"""
Forms of a model's id. Whose price a form gets is in the tests of the price table.
"""

import pytest

from savemode_cli.core.wire.models import LONGEST_ID, context_tokens, other_spellings


@pytest.mark.parametrize(
    ("model", "names", "regional"),
    [
        ("claude-opus-5-5", ["claude-opus-5-5"], False),
        ("claude-opus-5-5[1m]", ["claude-opus-5-5"], False),
        ("claude-haiku-4-5-20251001", ["claude-haiku-4-5-20251001", "claude-haiku-4-5"], False),
        ("eu.anthropic.claude-haiku-4-5-20251001-v1:0", ["claude-haiku-4-5-20251001", "claude-haiku-4-5"], True),
        ("global.anthropic.claude-opus-5-5[1m]", ["claude-opus-5-5"], False),
        ("claude-haiku-4-5@20251001", ["claude-haiku-4-5@20251001", "claude-haiku-4-5"], False),
        (
            "eu.anthropic.claude-opus-5-5.anthropic.claude-opus-5",
            ["eu.anthropic.claude-opus-5-5.anthropic.claude-opus-5"],
            False,
        ),
        (
            "anthropic/claude-4.5-sonnet-20250929",
            ["claude-4-5-sonnet-20250929", "claude-4-5-sonnet", "claude-sonnet-4-5"],
            False,
        ),
        ("bedrock/us-east-1/anthropic.claude-opus-5-5", ["claude-opus-5-5"], True),
        ("bedrock/converse/global.anthropic.claude-opus-5-5-v1:0", ["claude-opus-5-5"], False),
    ],
)
def test_spellings(model: str, names: list[str], regional: bool) -> None:
    """
    First with a date, then without; a region is in a Bedrock id only.
    """
    assert [(name, regional) for name in names] == list(other_spellings(model))


def test_too_long_is_no_id() -> None:
    """
    It is not cut to size either: the beginning of an id is no id.
    """
    assert list(other_spellings("claude-opus-5-5".rjust(LONGEST_ID + 1, "x"))) == []


@pytest.mark.parametrize(
    ("model", "tokens"),
    [
        ("claude-opus-5-5", 1_000_000),
        ("claude-opus-4-6", 1_000_000),
        ("claude-sonnet-4-6", 1_000_000),
        ("claude-opus-4-5", 200_000),
        ("claude-opus-4-5-20251101", 200_000),
        ("claude-sonnet-4-5@20250929", 200_000),
        ("claude-haiku-4-5", 200_000),
        ("us.anthropic.claude-haiku-4-5-20251001-v1:0", 200_000),
        ("anthropic/claude-3.5-haiku", 200_000),
        ("claude-next-9", 1_000_000),
        (None, 1_000_000),
    ],
)
def test_context(model: str | None, tokens: int) -> None:
    """
    The largest one where nobody knows.
    """
    assert context_tokens(model) == tokens
