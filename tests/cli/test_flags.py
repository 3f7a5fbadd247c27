"""
The flags that commands get from the table of options.
"""

import inspect
from typing import Any

import pytest

from savemode_cli.cli.flags import Flags, with_flags
from savemode_cli.config import OPTIONS


def taken(command: str = "serve", **given: Any) -> Flags:
    """
    What a command gets for the values that Typer read; what is not given is None.
    """
    seen: list[Flags] = []

    def function(flags: Flags) -> None:
        seen.append(flags)

    made = with_flags(function, command)
    made(**{name: given.get(name) for name in inspect.signature(made).parameters})
    return seen[0]


def test_a_command_takes_the_options_that_name_it() -> None:
    """
    Each stands where the parameter was, together with `--config`.
    """

    def function(word: str, flags: Flags, as_json: bool = False) -> None:
        assert word or flags or as_json

    names = list(inspect.signature(with_flags(function, "doctor")).parameters)

    assert names == ["word", *(name for name, row in OPTIONS.items() if "doctor" in row.commands), "config", "as_json"]


def test_a_command_without_options_stays_as_it_is() -> None:
    """
    `savemode clients` takes no option of the table.
    """

    def function(as_json: bool = False) -> None:
        assert as_json

    assert with_flags(function, "serve") is function


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("beta_header", True, False),
        ("beta_header", None, None),
        ("telemetry", True, False),
        ("debug", True, True),
        ("debug", None, None),
        ("port", "1", "1"),
        ("allow_host", [], None),
        ("allow_host", ["a"], ["a"]),
    ],
)
def test_what_a_flag_gives(name: str, value: object, expected: object) -> None:
    """
    `--no-x` gives the option x the value False. What was not given is None, so that files and variables count.
    """
    given: dict[str, Any] = {name: value}
    assert taken(**given).given[name] == expected


def test_settings() -> None:
    """
    The values become settings; a command may add some.
    """
    settings = taken(port="7", no="x").settings(host="::1")

    assert (settings.port, settings.host, settings.beta_header) == (7, "::1", True)
