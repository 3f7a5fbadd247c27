"""
What changed, as text.
"""

import pytest

from savemode_cli.core.diagnosis.causes import Miss
from savemode_cli.core.diagnosis.excerpt import Excerpt, excerpt
from tests.support.prompts import encoded, text

LONG = "Read all of it. " * 9


def test_from_shortly_before_the_first_difference() -> None:
    """
    Long texts are cut on both sides; line breaks stay visible.
    """
    old, new = (encoded({"system": [text(f"{LONG}Today is\n{day}. {LONG}")]}) for day in ("Monday", "Tuesday"))
    found = excerpt(old, new, Miss("system_changed", 1, ("system", 0, "text"), "edited"))

    assert found is not None
    assert found.before.startswith("...ad all of it. Today is\\nMonday. Read")
    assert found.after.startswith("...ad all of it. Today is\\nTuesday. Read")
    assert max(map(len, (found.before, found.after))) < 80


def test_one_side_only() -> None:
    """
    What was inserted was not there, what was removed is not there.
    """
    one, two = encoded({"tools": [{"name": "a"}]}), encoded({"tools": [{"name": "b"}, {"name": "a"}]})

    assert excerpt(one, two, Miss("tools_changed", 1, ("tools", 0), "inserted")) == Excerpt("", '{"name":"b"}')
    assert excerpt(two, one, Miss("tools_changed", 1, ("tools", 0), "removed")) == Excerpt('{"name":"b"}', "")


@pytest.mark.parametrize(
    "miss",
    [Miss("expired", 1, ("system", 0)), Miss("system_changed", 1, ("system", 7), "edited")],
)
def test_nothing_to_show(miss: Miss) -> None:
    """
    No content changed, or the place is not there.
    """
    assert excerpt(encoded({"system": []}), b"{", miss) is None
