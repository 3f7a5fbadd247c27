"""
What is known of an option, stated once.

Rule of this file: an `Option` is a row of the table `OPTIONS`. From it come the check of its value, the flag of each command
that takes it, its variable, its key in config files, what `savemode trust` says about it, and its row in the reference.

To add an option, add one field to a class in `savemode_cli/config/options/`:

    color: str = option(
        "auto",
        choices=("auto", "always", "never"),
        help="When output has colors.",
        commands=("serve", "run"),
        effect="when output has colors",
    )

Its value is `settings.color`. A command that `commands` names takes the flag if it has a parameter of the type
`savemode_cli.cli.flags.Flags`. An option that is neither a switch nor a choice needs a `check`, which is a function of
`savemode_cli.config.values`, and an example in `VALUES` of `tests/support/configured.py`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, Literal

from savemode_cli.config import values
from savemode_cli.core.errors import ConfigError

PREFIX = "SAVEMODE_"
"""What the name of an option's variable begins with."""

OptionKind = Literal["flag", "value", "path", "list", "table"]
"""
How an option is given: `flag` is true or false, `path` a file or folder, `list` may be given several times, `table` stands in
config files only.
"""

Risk = Literal["sends", "reveals", "spends", "edits", "other"]
"""The worst that an option in somebody else's config file can do. The order is that in which `savemode trust` lists options."""

RISKS: tuple[Risk, ...] = ("sends", "reveals", "spends", "edits", "other")

_KINDS: Mapping[Callable[[object], Any], OptionKind] = {
    values.boolean: "flag",
    values.path: "path",
    values.words: "list",
    values.table: "table",
}
_KEY = "option"  # of the metadata of a field


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """
    One option.
    """

    name: str
    """Its key in config files. In capitals behind `SAVEMODE_` it is the name of its variable."""

    check: Callable[[object], Any]
    """
    Turns what a flag, a variable or a file holds into the value.

    Raises:
        ValueError: it cannot. The message says what can be given.
    """

    help: str
    """What it does, as `--help` prints it."""

    effect: str
    """What it does when it stands in a file that somebody else wrote, for a person who is asked to trust the file."""

    risk: Risk = "other"
    harmless: bool = False
    """Whether it has its effect in the `savemode.toml` of a folder that is not trusted."""

    only_own: bool = False
    """Whether it has no effect in the `savemode.toml` of a folder, even if that is trusted."""

    doc: str = ""
    """What it does, as the reference says it; `help` where this is empty."""

    section: str = "Options"
    """The heading of help and of the reference."""

    commands: tuple[str, ...] = ()
    """The commands that take it as a flag."""

    default: object = None
    shown_default: str = ""
    """The default as help shows it, where that is not the text of `default`."""

    decl: str = ""
    """The flag, where its name is not that of the option."""

    short: str = ""
    """A further flag of one letter, such as `-q`."""

    metavar: str = ""
    """What stands for the value in help."""

    choices: tuple[str, ...] = ()
    """All values that can be given."""

    suggestions: tuple[str, ...] = ()
    """Values that a shell offers, where others can be given too."""

    bare: str = ""
    """The value of a flag that is given without one; empty where a flag needs one."""

    other_help: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """What `--help` of a command prints in the place of `help`, by command."""

    other_variables: tuple[str, ...] = ()
    """Variables of other programs that set it too. The one with `SAVEMODE_` counts more."""

    secret: bool = False
    """Whether its value may never be printed."""

    attribute: str = ""
    """The field of `Settings` that holds the value; empty where `Settings.others` holds it."""

    @property
    def kind(self) -> OptionKind:
        """
        How it is given.
        """
        return _KINDS.get(self.check, "value")

    @property
    def is_negative(self) -> bool:
        """
        Whether its flag turns off what is on by default.
        """
        return self.kind == "flag" and self.default is True

    @property
    def flag(self) -> str:
        """
        The flag, as errors name it.
        """
        return f"--{'no-' if self.is_negative else ''}{self.name.replace('_', '-')}"

    @property
    def variable(self) -> str:
        """
        The variable that sets it.
        """
        return f"{PREFIX}{self.name.upper()}"

    @property
    def placeholder(self) -> str:
        """
        What stands for the value in help.
        """
        return self.metavar or "|".join(self.choices) or {"path": "FILE"}.get(self.kind, "VALUE")

    @property
    def default_text(self) -> str:
        """
        The default in words; empty where there is none, and where the option is a flag or a table.
        """
        if self.shown_default or self.kind in ("flag", "table") or self.default in (None, "", ()):
            return self.shown_default
        return f"{self.default:g}" if isinstance(self.default, float) else str(self.default)

    def help_for(self, command: str) -> str:
        """
        What `--help` of a command prints, the default included.
        """
        if command in self.other_help:
            return self.other_help[command]
        return f"{self.help}  [default: {self.default_text}]" if self.default_text else self.help

    def checked(self, place: str, value: object) -> Any:
        """
        The value that was given in some place.

        Raises:
            ConfigError: it cannot be used. The error names the place, and what can be given.
        """
        try:
            return self.check(value)
        except ValueError as error:
            found = "not usable" if self.secret else values.shown(value)
            raise ConfigError(f"{place} is {found}", hint=f"give {error}") from None


def option(
    default: Any = None,
    check: Callable[[object], Any] | None = None,
    *,
    default_factory: Callable[[], Any] | None = None,
    **facts: Any,
) -> Any:
    """
    A field of a class of options.

    Args:
        default: the value where nobody gives one.
        check: see `Option.check`. By default it follows from `choices`, or from a default that is true or false.
        default_factory: makes the default, where it cannot be shared or is costly to import.
        **facts: the other fields of `Option`; `name` is the name of the field unless it is given.
    """
    if check is None:
        check = values.one_of(*facts["choices"]) if "choices" in facts else values.boolean
    metadata = {_KEY: {"check": check, "default": default, **facts}}
    is_shown = not facts.get("secret", False)
    if default_factory is not None:
        return field(default_factory=default_factory, repr=is_shown, metadata=metadata)
    return field(default=default, repr=is_shown, metadata=metadata)


def options_of(group: type, section: str) -> list[Option]:
    """
    The options that a class of options has as fields.

    Args:
        group: a dataclass whose fields are made by `option`.
        section: the heading under which they are listed.
    """
    declared = [(attribute.name, attribute.metadata.get(_KEY)) for attribute in fields(group)]
    return [
        Option(**{"name": name, "section": section, **facts, "attribute": name})
        for name, facts in declared
        if facts is not None
    ]
