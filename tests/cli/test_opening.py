"""
The parts that the settings of a proxy ask for.
"""

from pathlib import Path

import pytest

from savemode_cli.cli.opening import ledger_options
from savemode_cli.config import Settings


@pytest.mark.parametrize(
    ("given", "advised"),
    [
        ({}, ""),
        ({"upstream": "simulated"}, None),
        ({"ledger": "memory:"}, None),
        ({"upstream": "simulated", "ledger": "sqlite:///x y.db"}, " --ledger 'sqlite:///{here}/x y.db'"),
        ({"ledger": "sqlite:///x.db"}, " --ledger sqlite:///{here}/x.db"),
    ],
)
def test_what_commands_need_to_reach_the_ledger(given: dict[str, str], advised: str | None) -> None:
    """
    Nothing for the user's own; the file's whole path for another, as commands are run in other folders; and no command
    reaches what a proxy counts in its memory.
    """
    settings = Settings(**given)  # type: ignore[arg-type]

    assert ledger_options(settings) == (None if advised is None else advised.format(here=Path.cwd()))


def test_users_own_ledger_by_its_name() -> None:
    """
    Naming it changes nothing.
    """
    assert ledger_options(Settings(ledger=Settings().ledger_url)) == ""
