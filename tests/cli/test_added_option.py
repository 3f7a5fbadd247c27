"""
An option is one entry in the table: help, flags, variables, config files, `doctor`, `trust` and the reference find it there.
"""

from pathlib import Path

import pytest

from savemode_cli.config import OPTIONS, load, values
from savemode_cli.config.option import Option
from savemode_cli.core.errors import ConfigError
from tests.support.command import Run, error_line
from tests.support.reference import reference
from tests.support.trusting import trusted_config

COLOR = Option(
    name="paint",
    check=values.one_of("red", "green"),
    choices=("red", "green"),
    default="red",
    help="The color of the paint.",
    effect="which color the paint has",
    section="Output",
    commands=("doctor", "serve"),
)


@pytest.fixture(autouse=True)
def added(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Add the option from outside.
    """
    monkeypatch.setitem(OPTIONS, COLOR.name, COLOR)


@pytest.mark.parametrize("command", ["doctor", "serve"])
def test_in_help(savemode: Run, command: str) -> None:
    """
    A flag of the commands that its row names, and of no other.
    """
    assert "--paint red|green" in savemode(command, "--help").out
    assert "The color of the paint." in savemode(command, "--help").out
    assert "--paint" not in savemode("run", "--help").out


def test_in_the_reference() -> None:
    """
    A row of the table of its section.
    """
    page = reference(lambda name: name, OPTIONS)

    assert "| `paint` | `--paint` of doctor, serve | `SAVEMODE_PAINT` | red | The color of the paint. |" in page


def test_as_flag_variable_and_line_of_a_file() -> None:
    """
    The nearest source wins, and a wrong value is named with its place.
    """
    trusted_config('paint = "green"\n')

    assert load({}, {}).others == {"paint": "green"}
    assert load({}, {"SAVEMODE_PAINT": "red"}).others == {"paint": "red"}
    assert load({"paint": "green"}, {"SAVEMODE_PAINT": "red"}).others == {"paint": "green"}
    with pytest.raises(ConfigError, match="SAVEMODE_PAINT is 'blue'") as caught:
        load({}, {"SAVEMODE_PAINT": "blue"})
    assert caught.value.hint == "give red | green"


def test_in_doctor(savemode: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    It takes the flag, and names the variable or the file that set the option.
    """
    assert "--paint is" not in savemode("doctor", "--port", "0", "--paint", "red").out
    assert "--paint is 'blue'" in savemode("doctor", "--port", "0", "--paint", "blue").out
    monkeypatch.setenv("SAVEMODE_PAINT", "green")
    assert "SAVEMODE_PAINT" in savemode("doctor", "--port", "0").out
    monkeypatch.delenv("SAVEMODE_PAINT")
    trusted_config('paint = "green"\n')
    assert "paint" in savemode("doctor", "--port", "0").out


def test_wrong_flag(savemode: Run) -> None:
    """
    One error, before anything starts.
    """
    assert error_line(savemode("serve", "--paint", "blue")).startswith("error: --paint is 'blue'")


def test_in_trust(savemode: Run) -> None:
    """
    Whoever trusts a file reads first what its option does.
    """
    Path("savemode.toml").write_text('paint = "green"\n')

    assert "which color the paint has" in savemode("trust", "--yes").out
