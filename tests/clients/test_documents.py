"""
Places in JSON and YAML documents: found, filled, and nothing else lost.
"""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from savemode_cli.clients.documents import parse, values_at, with_value, write

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(codec="utf-8"), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=12,
)
MODELS = {"models": [{"provider": "anthropic", "n": 1}, {"provider": "openai"}, "junk", {"provider": "anthropic"}]}


@pytest.mark.parametrize(
    ("document", "place", "found"),
    [
        ({"a": {"b": 1}}, "a.b", [1]),
        ({"a": {"b": 1}}, "a", [{"b": 1}]),
        ({"a": {"b": 1}}, "a.c", []),
        ({"a": {"b": 1}}, "a.b.c", []),
        ({"a": None}, "a", [None]),
        ([], "a", []),
        (None, "a", []),
        (MODELS, "models[provider=anthropic].n", [1]),
        (MODELS, "models[provider=google].n", []),
        ({"models": {"provider": "anthropic"}}, "models[provider=anthropic].n", []),
    ],
)
def test_values_at(document: Any, place: str, found: list[Any]) -> None:
    """
    Nothing, one value, or that of each item that is meant.
    """
    assert list(values_at(document, place)) == found


@pytest.mark.parametrize(
    ("document", "place", "expected"),
    [
        ({}, "a.b", {"a": {"b": "x"}}),
        ({"a": 3}, "a.b", {"a": {"b": "x"}}),
        ("junk", "a", {"a": "x"}),
        ({"a": {"b": 1, "c": 2}, "d": 3}, "a.b", {"a": {"b": "x", "c": 2}, "d": 3}),
        ({"models": "junk"}, "models[provider=anthropic].n", {"models": "junk"}),
    ],
)
def test_with_value(document: Any, place: str, expected: Any) -> None:
    """
    Missing tables are made, what is no table gives way, and the rest stays.
    """
    before = json.dumps(document)

    assert with_value(document, place, "x") == expected
    assert json.dumps(document) == before


def test_items_of_a_list() -> None:
    """
    Each that is meant changes, and no other.
    """
    changed = with_value(MODELS, "models[provider=anthropic].url", "x")

    assert [one.get("url") if isinstance(one, dict) else one for one in changed["models"]] == ["x", None, "junk", "x"]


@given(JSON, st.lists(st.sampled_from("abc"), min_size=1, max_size=3))
def test_what_is_set_is_found(document: Any, keys: list[str]) -> None:
    """
    Whatever stood there; and what is only set where it is absent changes nothing afterwards.
    """
    place = ".".join(keys)
    changed = with_value(document, place, "x")

    assert list(values_at(changed, place)) == ["x"]
    assert with_value(changed, place, "y", only_absent=True) == changed


@given(JSON, st.sampled_from(["a.json", "a.yaml", "a.yml"]))
@example(["\x85"], "a.yaml")
def test_what_is_written_is_read(document: Any, name: str) -> None:
    """
    In both formats.
    """
    assert parse(write(document, name), name) == document


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("{", "a.json"),
        ("// comment\n{}", "a.json"),
        ("[" * 100_000, "a.json"),
        ("a: [", "a.yaml"),
        ("!!python/x", "a.yml"),
    ],
)
def test_what_cannot_be_read(text: str, name: str) -> None:
    """
    One error in one line.
    """
    with pytest.raises(ValueError, match=r".") as raised:
        parse(text, name)
    assert "\n" not in str(raised.value)
