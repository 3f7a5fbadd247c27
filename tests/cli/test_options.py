"""
The shared options: what is left out stays out, and every one of them has a name that configuration knows.
"""

import inspect
from pathlib import Path
from typing import Any, get_args

import pytest

from savemode_cli.cli import options
from savemode_cli.cli.diff_request import diff_request
from savemode_cli.cli.run import run
from savemode_cli.cli.serve import serve
from savemode_cli.config import OPTIONS


@pytest.mark.parametrize(("flag", "expected"), [(None, None), (True, False), (False, True)])
def test_negated(flag: bool | None, expected: bool | None) -> None:
    """
    `--no-x` is x turned round, and silence stays silence.
    """
    assert options.negated(flag) is expected


def test_flags() -> None:
    """
    A command's parameters are the settings' names, but for those that are about something else; silence stays silence.
    """
    given = {"port": 1, "allow_host": [], "no_beta_header": True, "quiet": None, "config": "file", "command": ["x"]}

    assert options.flags(given) == {
        "port": 1,
        "allow_host": None,
        "quiet": None,
        "beta_header": False,
        "telemetry": None,
    }
    assert options.flags({}) == {"beta_header": None, "telemetry": None}


SHARED = {name: value for name, value in vars(options).items() if get_args(value) and name[0].isupper()}


@pytest.mark.parametrize("name", [name for name in SHARED if name not in ("Annotated", "Path")])
def test_option_left_out_is_none(name: str) -> None:
    """
    Each can be None, or a file and the environment could never speak; each has a sentence of help.
    """
    type_, info = get_args(SHARED[name])

    assert type(None) in get_args(type_)
    assert info.help.endswith((".", "]"))


@pytest.mark.parametrize("command", [serve, run, diff_request], ids=lambda command: command.__name__)
def test_command_line_speaks_the_language_of_the_files(command: Any) -> None:
    """
    What can be set by a flag can be set in a file, under the same name.
    """
    here_only = {
        "config",  # says where the file is
        "no_beta_header",  # beta_header in a file
        "no_telemetry",  # telemetry in a file
        "command",
        *("file", "provider", "flag", "as_json", "as_patch", "output", "headers", "check"),  # about one body
    }

    assert set(inspect.signature(command).parameters) - here_only <= set(OPTIONS)


def test_config_is_a_path() -> None:
    """
    The configuration file is taken as a path.
    """
    assert Path in get_args(get_args(options.Config)[0])


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--capture"], ["--capture=true"]),
        (["--capture", "--port", "1"], ["--capture=true", "--port", "1"]),
        (["--capture", "dir", "--port", "1"], ["--capture", "dir", "--port", "1"]),
        (["--capture=dir"], ["--capture=dir"]),
        (["--capture", "--", "claude"], ["--capture=true", "--", "claude"]),
        (["--port", "--capture", "--capture"], ["--port", "--capture", "--capture=true"]),
        (["claude", "--capture"], ["claude", "--capture"]),
        (["--", "claude", "--capture"], ["--", "claude", "--capture"]),
        (["--port"], ["--port"]),
        ([], []),
    ],
)
def test_option_may_stand_without_its_value(words: list[str], expected: list[str]) -> None:
    """
    The value is put in where the next word is an option or none; the words of a command behind it are not touched.
    """
    assert options.with_value(words, "--capture", "true", {"--port", "--capture"}) == expected
