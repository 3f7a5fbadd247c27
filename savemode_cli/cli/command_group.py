"""
Groups of commands, whose commands are imported when they are used.

Rule of this file: to list commands, only the table `COMMANDS` is read. The module of a command is imported when the
command runs, or when its help or its options are requested.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import typer
import typer.main
from typer.core import TyperCommand, TyperGroup

from savemode_cli.cli.commands import COMMANDS, CommandLine


@dataclass(frozen=True, slots=True)
class Definition:
    """
    A command that needs more than its function.
    """

    function: Callable[..., None]
    cls: type[TyperCommand] | None = None
    """The class of the command; `savemode_cli.cli.command.Command` if none is given."""

    epilog: str | None = None
    """The text at the end of its help."""

    context_settings: dict[str, Any] = field(default_factory=dict)
    """Settings of Typer's context."""


class ListedCommand(TyperCommand):
    """
    A command as a list shows it: its name and its summary. It cannot run.
    """

    def __init__(self, line: CommandLine) -> None:
        """
        Create it from a line of the table.

        Args:
            line: the line of the table.
        """
        super().__init__(name=line.name.rpartition(" ")[2], short_help=line.summary, help=line.summary)
        self.line = line


class CommandGroup(TyperGroup):
    """
    The commands whose names have one word more than the name of the group.
    """

    def __init__(self, *, prefix: str = "", **settings: Any) -> None:
        """
        Create the group.

        Args:
            prefix: the name of the group and a space; empty for the commands of savemode itself.
            **settings: the settings of Typer's group.
        """
        super().__init__(**settings)
        for line in COMMANDS:
            name = line.name.removeprefix(prefix)
            if line.name.startswith(prefix) and " " not in name:
                self.add_command(ListedCommand(line))

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """
        Find the command that the words name, and import it.
        """
        name, listed, others = super().resolve_command(ctx, args)
        return name, load(listed.line) if isinstance(listed, ListedCommand) else listed, others

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """
        List the commands before the options, because users look for commands.
        """
        self.format_commands(ctx, formatter)
        TyperCommand.format_options(self, ctx, formatter)  # type: ignore[arg-type]

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - its signature is Typer's
        """
        List the commands by section, each with its whole summary.
        """
        listed = [command for command in self.commands.values() if isinstance(command, ListedCommand)]
        width = max(len(command.name or "") for command in listed)
        for section in dict.fromkeys(command.line.section for command in listed):
            rows = [
                ((command.name or "").ljust(width), command.line.summary)
                for command in listed
                if command.line.section == section
            ]
            with formatter.section(section):
                formatter.write_dl(rows)


def load(line: CommandLine) -> TyperCommand | TyperGroup:
    """
    Import a command, or make a group of commands.
    """
    name = line.name.rpartition(" ")[2]
    if not line.target:
        return CommandGroup(
            prefix=f"{line.name} ", name=name, help=f"{line.summary}.", no_args_is_help=True, rich_markup_mode=None
        )
    from savemode_cli.cli.command import Command
    from savemode_cli.cli.flags import with_flags

    definition = _definition(line.target)
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command(
        name,
        cls=definition.cls or Command,
        epilog=definition.epilog,
        context_settings=definition.context_settings or None,
    )(with_flags(definition.function, line.name))
    command = typer.main.get_command(app)
    assert isinstance(command, TyperCommand)  # noqa: S101 - it has one command and no callback
    return command


def _definition(target: str) -> Definition:
    module, _, name = target.partition(":")
    found = getattr(import_module(module), name)
    return found if isinstance(found, Definition) else Definition(found)
