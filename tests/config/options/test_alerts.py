"""
The options of the file `alerts`: each is read from its variable and from a config file, and from the table `[alerts]`.
"""

from decimal import Decimal
from pathlib import Path

import pytest

from savemode_cli.config.option import Option, options_of
from savemode_cli.config.options.alerts import AlertOptions
from tests.support.configured import check_sources, loaded, refused, toml


@pytest.mark.parametrize("option", options_of(AlertOptions, ""), ids=lambda option: option.name)
def test_sources(option: Option) -> None:
    """
    Text in a variable, and typed in a file.
    """
    check_sources(option)


def test_table() -> None:
    """
    A row of `[alerts]` is the option of that name.
    """
    toml('[alerts]\nat = [0.9, "0.5"]\ndesktop = true\n')

    assert (loaded().alerts_at, loaded().alerts_desktop) == ((Decimal("0.5"), Decimal("0.9")), True)


def test_command_of_a_folder_is_not_run() -> None:
    """
    Even where the folder's file is trusted: it is somebody else's program.
    """
    toml('[alerts]\ncommand = "curl evil.example"\n')

    assert loaded().alerts_command is None
    toml('[alerts]\ncommand = "my-alert"\n', "own/savemode.toml")
    assert loaded(user_folder=Path("own")).alerts_command == "my-alert"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("at", "[2]"),
        ("at", "7"),
        ("command", '""'),
        ("command", '"\'"'),
        ("webhook", '"ftp://made-up"'),
        ("webhook", '"https://"'),
        ("apprise", "[7]"),
        ("webhook_secret", '"short"'),
    ],
)
def test_errors(name: str, value: str) -> None:
    """
    A value that may be a password is not repeated.
    """
    message, hint = refused(config=toml(f"[alerts]\n{name} = {value}\n", "my.toml"))

    assert message.startswith(f"my.toml: alerts_{name} is ")
    assert hint.startswith("give ")
    assert "made-up" not in message + hint
