"""
What follows from a row of the table of options.
"""

from dataclasses import dataclass, fields

import pytest

from savemode_cli.config import OPTIONS, Settings, values
from savemode_cli.config.option import Option, option, options_of
from savemode_cli.core.errors import ConfigError


@dataclass(frozen=True)
class Group:
    """
    A class of options.
    """

    switch: bool = option(default=False, help="Switch it.", effect="it is switched")
    color_name: str = option("red", choices=("red", "green"), name="color", help="Its color.", effect="its color")
    password: str = option("", values.text, secret=True, help="A password.", effect="the password")
    plain: int = 3


SWITCH, COLOR, PASSWORD = options_of(Group, "Paint")


def test_fields_are_rows() -> None:
    """
    The name of the field is the name of the option, unless another is given. A field without facts is not an option.
    """
    assert (SWITCH.name, SWITCH.attribute, SWITCH.section) == ("switch", "switch", "Paint")
    assert (COLOR.name, COLOR.attribute) == ("color", "color_name")
    assert Group() == Group(switch=False, color_name="red", password="", plain=3)
    assert "secret-word" not in repr(Group(password="secret-word"))


def test_spellings() -> None:
    """
    The flag and the variable follow from the name; the flag of what is on by default turns it off.
    """
    negative = Option(name="beta_header", check=values.boolean, default=True, help="", effect="")

    assert (COLOR.flag, COLOR.variable, COLOR.kind) == ("--color", "SAVEMODE_COLOR", "value")
    assert (negative.flag, negative.variable, negative.kind) == ("--no-beta-header", "SAVEMODE_BETA_HEADER", "flag")


def test_words_of_help() -> None:
    """
    The default and the choices stand in help without being written there.
    """
    other = Option(name="port", check=values.port, default=1, help="Port.", effect="", other_help={"run": "Another."})
    seconds = Option(name="s", check=values.seconds, default=30.0, help="Time.", effect="")

    assert COLOR.placeholder == "red|green"
    assert COLOR.help_for("serve") == "Its color.  [default: red]"
    assert SWITCH.help_for("serve") == "Switch it."
    assert (other.help_for("serve"), other.help_for("run")) == ("Port.  [default: 1]", "Another.")
    assert seconds.help_for("serve") == "Time.  [default: 30]"


def test_checked() -> None:
    """
    An error names the place, the value and what can be given; the value of a secret is not repeated.
    """
    assert COLOR.checked("--color", " GREEN ") == "green"
    with pytest.raises(ConfigError) as caught:
        COLOR.checked("--color", "blue")
    assert (caught.value.message, caught.value.hint) == ("--color is 'blue'", "give red | green")
    with pytest.raises(ConfigError) as caught:
        PASSWORD.checked("SAVEMODE_PASSWORD", 12345)
    assert caught.value.message == "SAVEMODE_PASSWORD is not usable"


@pytest.mark.parametrize("row", OPTIONS.values(), ids=lambda row: row.name)
def test_every_option_is_described(row: Option) -> None:
    """
    Help is sentences, an effect is the part of one, and a default passes the check of its option.
    """
    assert row.help.endswith(".")
    assert row.doc == "" or row.doc.endswith(".")
    assert row.effect
    assert not row.effect.endswith(".")
    if row.kind != "table" and row.default not in (None, "", ()) and isinstance(row.default, str | int | float):
        assert row.checked(row.flag, row.default) == row.default


def test_every_option_has_its_field() -> None:
    """
    The settings hold the value of each option, and little else. Switches of rules are in `others`.
    """
    assert {row.attribute for row in OPTIONS.values() if row.attribute} | {"others"} == {
        one.name for one in fields(Settings) if one.compare
    }
