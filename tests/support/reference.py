"""
The generated page `docs/reference.md`.
"""

from collections.abc import Callable, Mapping

from savemode_cli.cli.commands import COMMANDS
from savemode_cli.config.option import Option
from savemode_cli.core.upgrade.rules import RULES

_HEAD = """\
# Reference

This page is generated from the tables of commands, options and rules: `scripts/fix` writes it, and a test compares it.
"""

_OPTIONS = """\
## Options

An option can be given as a flag of the commands named here, as a variable, and by its name in a config file. Which of them
decides is described in [configuration](configuration.md).
"""


_RULES = """\
## Rules that edit requests

Each edit and each skip of a request names its rule. How edits are made is described in [cache upgrades](cache-upgrades.md).

| rule | option that turns it on | what it does |
|---|---|---|
"""


def reference(help_of: Callable[[str], str], options: Mapping[str, Option]) -> str:
    """
    The whole page.

    Args:
        help_of: prints the help of a command, by its name; the empty name is savemode itself.
        options: the table of options.
    """
    names = ["", *(line.name for line in COMMANDS if line.target)]
    parts = [f"### {f'savemode {name}'.strip()}\n\n```text\n{help_of(name)}\n```\n" for name in names]
    return "\n".join([_HEAD, "## Commands\n", *parts, _OPTIONS, *_sections(options), _RULES + _rules()])


def _rules() -> str:
    """
    The rows of the table of rules.
    """
    return "".join(f"| `{rule.name}` | `{rule.switch}` | {rule.description} |\n" for rule in RULES.values())


def _sections(options: Mapping[str, Option]) -> list[str]:
    """
    A table for each heading.
    """
    names = dict.fromkeys(option.section for option in options.values())
    return [
        f"### Options: {name.lower()}\n\n| option | flag of | variable | default | what it does |\n|---|---|---|---|---|\n"
        + "".join(_row(option) for option in options.values() if option.section == name)
        for name in names
    ]


def _row(option: Option) -> str:
    variables = [] if option.kind == "table" else [option.variable, *option.other_variables]
    flag = f"`{option.flag}` of {', '.join(option.commands)}" if option.commands else ""
    default = str(option.default).lower() if option.kind == "flag" else option.default_text
    cells = (f"`{option.name}`", flag, ", ".join(f"`{one}`" for one in variables), default, option.doc or option.help)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"
