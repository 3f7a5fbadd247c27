"""
The size of a block is the length of its text in UTF-8, known without decoding it.
"""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from savemode_cli.core.cache.block_sizes import begins, measured, string


def members(**values: object) -> dict[str, Raw]:
    """
    The members of a block as JSON texts.
    """
    return {name: Raw(json.dumps(value).encode()) for name, value in values.items()}


@given(st.text(), st.booleans())
def test_the_length_of_a_text(text: str, escaped: bool) -> None:
    """
    However its characters are written.
    """
    written = json.dumps(text, ensure_ascii=escaped).encode("utf-8", "surrogatepass")

    assert measured("text", {"text": Raw(written)}, "text") == ("text", len(text.encode("utf-8", "surrogatepass")))


@pytest.mark.parametrize(
    ("name", "block", "expected"),
    [
        ("text", {"text": "abc"}, ("data", 3)),
        ("text", {}, ("data", 0)),
        ("text", {"text": 7}, ("data", 0)),
        ("thinking", {"thinking": "abcd", "signature": "x" * 100}, ("thinking", 4)),
        ("thinking", {"thinking": "", "signature": "x" * 100}, ("thinking", 50)),
        ("redacted_thinking", {"data": "x" * 10}, ("thinking", 5)),
        ("image", {"source": {"data": "x" * 10}}, ("image", 0)),
        ("document", {"source": {"type": "text", "data": "abc"}}, ("text", 3)),
        ("document", {"source": {"type": "base64", "data": "abcd"}}, ("document", 4)),
        ("document", {"source": "x"}, ("document", 0)),
        ("tool_result", {"content": "abc", "tool_use_id": "t"}, ("data", 3)),
        ("tool_use", {"id": "t", "type": "tool_use", "input": {"a": 1}}, ("data", len('{"a": 1}'))),
    ],
)
def test_what_counts(name: str, block: dict[str, object], expected: tuple[str, int]) -> None:
    """
    What reaches the model as text, by the type of the block.
    """
    assert measured(name, members(**block), "data") == expected


def test_strings() -> None:
    """
    A value of another type is not a string.
    """
    assert string(Raw(b'"a\\n"')) == "a\n"
    assert string(Raw(b"7")) == string(None) == ""
    assert begins(Raw(b'[{"a":1}]'), b"[{")
    assert not begins(Raw(b"["), b"[{")
