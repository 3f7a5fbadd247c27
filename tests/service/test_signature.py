"""
A file is recognised by its content: what savemode wrote, and nobody changed.
"""

import pytest

from savemode_cli.service.signature import is_own, signed

TEXT = "[Unit]\nDescription=x\n"


@pytest.mark.parametrize(
    "text",
    [signed(TEXT), signed("<head>\n<body/>\n", after="<head>\n", comment=("<!-- ", " -->"))],
    ids=["unit", "xml"],
)
def test_signed(text: str) -> None:
    """
    Any change is noticed, also one of the line itself.
    """
    assert is_own(text)
    assert not is_own(text + "\n")
    assert not is_own(text.replace("body" if "body" in text else "x", "y"))
    assert not is_own(text.replace("sha256 ", "sha256 0"))


def test_place_of_the_line() -> None:
    """
    After the beginning, where the format has one.
    """
    text = signed("<head>\n<body/>\n", after="<head>\n", comment=("<!-- ", " -->"))

    assert text.splitlines()[0] == "<head>"
    assert text.splitlines()[1].startswith("<!-- Written by `savemode service install`")
    assert text.splitlines()[1].endswith("deletes it. -->")
    assert text.splitlines()[2] == "<body/>"


@pytest.mark.parametrize("text", ["", TEXT, "# Written by `savemode service install`, sha256 abc. x\n"])
def test_of_others(text: str) -> None:
    """
    Not every file with such words is savemode's.
    """
    assert not is_own(text)
