"""
The table of commands: names, summaries, and targets that can be imported.
"""

import pytest

from savemode_cli.cli.command_group import load
from savemode_cli.cli.commands import COMMANDS, LOOK, MONEY, RUN, SET_UP, SIMULATE, CommandLine


@pytest.mark.parametrize("line", COMMANDS, ids=lambda line: line.name)
def test_summary_is_whole_at_80_columns(line: CommandLine) -> None:
    """
    A summary has at most 50 characters, begins with a verb in capitals, and ends without a point.
    """
    assert len(line.summary) <= 50
    assert line.summary[0].isupper()
    assert not line.summary.endswith(".")


def test_names_are_unique() -> None:
    """
    Each command has one line.
    """
    names = [line.name for line in COMMANDS]

    assert len(names) == len(set(names))


def test_every_command_is_in_a_group() -> None:
    """
    A command of two words belongs to a group that is listed, and a group has commands.
    """
    groups = {line.name for line in COMMANDS if not line.target}

    assert groups == {line.name.split()[0] for line in COMMANDS if " " in line.name}


def test_every_section_is_known() -> None:
    """
    The commands of savemode itself are listed in five sections.
    """
    sections = [line.section for line in COMMANDS if " " not in line.name]

    assert list(dict.fromkeys(sections)) == [RUN, LOOK, MONEY, SIMULATE, SET_UP]


@pytest.mark.parametrize("line", COMMANDS, ids=lambda line: line.name)
def test_target_can_be_imported(line: CommandLine) -> None:
    """
    The target is a function with a docstring, under the name of the table.
    """
    command = load(line)

    assert command.name == line.name.split()[-1]
    assert command.help
