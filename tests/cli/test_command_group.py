"""
Commands that are listed without being imported, and imported when they are used.
"""

import sys
from pathlib import Path

import pytest

from savemode_cli.cli.commands import COMMANDS, LOOK, CommandLine
from tests.support.command import Run, lines
from tests.support.processes import python

GREET = '''
import typer

def greet(name: str) -> None:
    """
    Greet somebody by name.
    """
    typer.echo(f"hello {name}")
'''


@pytest.fixture
def greet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    A command from outside: one file, and one line in the table.
    """
    (tmp_path / "greetings.py").write_text(GREET)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "greetings", raising=False)
    line = CommandLine("greet", "Greet somebody", "greetings:greet", LOOK)
    monkeypatch.setattr("savemode_cli.cli.command_group.COMMANDS", [*COMMANDS, line])


@pytest.mark.usefixtures("greet")
def test_a_new_command_is_listed_in_its_section(savemode: Run) -> None:
    """
    Its line is enough for help, and its file is not imported.
    """
    listed = lines(savemode("--help").out)

    section = listed[listed.index("Look:") : listed.index("Money:")]
    assert "  greet              Greet somebody" in section
    assert "greetings" not in sys.modules


@pytest.mark.usefixtures("greet")
def test_a_new_command_runs(savemode: Run) -> None:
    """
    It has its own help, takes its own arguments, and is suggested for a word that is like it.
    """
    assert savemode("greet", "Ann").out == "hello Ann\n"
    assert "Greet somebody by name." in savemode("greet", "--help").out
    assert "Did you mean 'greet'" in savemode("gret", "Ann").err


def test_a_group_lists_its_own_commands(savemode: Run) -> None:
    """
    The names in it are without the name of the group.
    """
    listed = lines(savemode("budget").out)

    assert "Commands:" in listed
    assert "  show      Show limits, spend and open holds" in listed
    assert not any("savemode.toml" in line for line in listed)


def test_help_imports_no_command() -> None:
    """
    The modules of commands are not among those that `--help` imports.
    """
    code = (
        "import sys\nfrom savemode_cli.cli import app\ntry:\n    app(['--help'], standalone_mode=False)\nfinally:\n"
        "    print(*sorted(name for name in sys.modules if name.startswith('savemode_cli.cli.')))"
    )
    targets = {line.target.partition(":")[0] for line in COMMANDS}
    loaded = python(code).splitlines()[-1].split()

    assert "savemode_cli.cli.command_group" in loaded
    assert targets.isdisjoint(loaded)


def test_help_names_how_to_start(savemode: Run) -> None:
    """
    The first screen says which command to try first, and the commands stand before the options.
    """
    listed = lines(savemode("--help").out)

    assert "  Try: savemode demo" in listed
    assert listed.index("Run:") < listed.index("Options:")
