"""
The flags of a command, made from the table of options.

Rule of this file: a command that has a parameter of the type `Flags` takes every option whose row in `OPTIONS` names the
command. Which options these are is stated there and nowhere else.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from savemode_cli.config.options import OPTIONS

if TYPE_CHECKING:
    from savemode_cli.config import Settings
    from savemode_cli.config.option import Option, OptionKind

_TYPES: Mapping["OptionKind", Any] = {"flag": bool | None, "path": Path | None, "list": list[str] | None}
_CONFIG = typer.Option("--config", metavar="FILE", help="A TOML file of options.")


@dataclass(frozen=True, slots=True)
class Flags:
    """
    What the command line gives of the options in the table.
    """

    given: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """The values by the names of options. A flag that was not given is None, so that files and variables count."""

    config: Path | None = None
    """The file of `--config`."""

    def settings(self, **others: Any) -> "Settings":
        """
        Load the settings, and warn if some of the working directory's config file is ignored.

        Args:
            **others: values that the command line gives for other options, by name.

        Raises:
            ConfigError: see `savemode_cli.config.load`.
        """
        from savemode_cli.cli.settings import load_settings

        return load_settings({**self.given, **others}, config=self.config)


def with_flags(function: Callable[..., None], command: str) -> Callable[..., None]:
    """
    A function with a parameter for each option of a command, in the place of its parameter of the type `Flags`.

    Args:
        function: the function of the command.
        command: the name of the command.

    Returns:
        The same function where it has no such parameter.
    """
    signature = inspect.signature(function)
    own = list(signature.parameters.values())
    name = next((parameter.name for parameter in own if parameter.annotation is Flags), None)
    if name is None:
        return function
    options = [option for option in OPTIONS.values() if command in option.commands]
    made = [_parameter(option, command) for option in options] + [_keyword("config", Path | None, _CONFIG)]

    @wraps(function)
    def call(**values: Any) -> None:
        given = {option.name: _value(option, values.pop(option.name)) for option in options}
        function(**{name: Flags(given, values.pop("config"))}, **values)

    parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own if parameter.name != name]
    place = [parameter.name for parameter in own].index(name)
    call.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*parameters[:place], *made, *parameters[place:]]
    )
    return call


def _parameter(option: "Option", command: str) -> inspect.Parameter:
    """
    The parameter from which Typer makes the flag of an option.
    """

    def complete(incomplete: str) -> list[str]:
        return [value for value in (*option.choices, *option.suggestions) if value.startswith(incomplete)]

    declarations = [option.decl or option.flag, *([option.short] if option.short else [])]
    is_flag = option.kind == "flag"
    made = typer.Option(
        *declarations,
        help=option.help_for(command),
        metavar=None if is_flag else option.placeholder,
        rich_help_panel=option.section,
        autocompletion=complete if option.choices or option.suggestions else None,
    )
    return _keyword(option.name, _TYPES.get(option.kind, str | None), made)


def _keyword(name: str, type_: Any, made: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[type_, made])


def _value(option: "Option", value: Any) -> Any:
    """
    The value of the option. The flag `--no-x` gives the option x the value False, and a list that is empty was not given.
    """
    if option.is_negative and value is not None:
        return not value
    return None if value == [] else value
