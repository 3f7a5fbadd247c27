"""
Forms of a model's id. Whose price a form gets is in the tests of the price table.
"""

import pytest

from savemode_cli.core.model_ids import LONGEST_ID, other_spellings


@pytest.mark.parametrize(
    ("model", "names", "regional"),
    [
        ("claude-opus-5-5", ["claude-opus-5-5"] * 2, False),
        ("claude-opus-5-5[1m]", ["claude-opus-5-5"] * 2, False),
        ("claude-haiku-4-5-20251001", ["claude-haiku-4-5-20251001", "claude-haiku-4-5"], False),
        ("eu.anthropic.claude-haiku-4-5-20251001-v1:0", ["claude-haiku-4-5-20251001", "claude-haiku-4-5"], True),
        ("global.anthropic.claude-opus-5-5[1m]", ["claude-opus-5-5"] * 2, False),
        ("claude-haiku-4-5@20251001", ["claude-haiku-4-5@20251001", "claude-haiku-4-5"], False),
        (
            "eu.anthropic.claude-opus-5-5.anthropic.claude-opus-5",
            ["eu.anthropic.claude-opus-5-5.anthropic.claude-opus-5"] * 2,
            False,
        ),
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
