"""
A command of savemode: how its command line is read, and how its help lists its options.

Rule of this file: it knows no single command. What follows the name of another command on the command line belongs to that
command and is not touched.
"""

import re
from collections.abc import Collection, Sequence
from typing import Any

from typer.core import TyperCommand

from savemode_cli.config.options import OPTIONS
from savemode_cli.core.errors import BadInput

_NEGATIVE = re.compile(r"-\.?[0-9]")
_MOST_UNGROUPED = 12
"""How many options stand in one list of help. More are grouped by subject."""


class Command(TyperCommand):
    """
    A command that takes no empty argument. An option such as `--capture` may be given without its value.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """
        Parse the words of the command line.

        Raises:
            BadInput: a word is empty, such as that of a shell variable that is not set. It would mean "everything", or the
                current folder.
        """
        valued = frozenset(
            flag for parameter in self.params if not getattr(parameter, "is_flag", True) for flag in parameter.opts
        )
        own = args if ctx.allow_interspersed_args else args[: own_words(args, valued)]
        empty = empty_word(own)
        if empty is not None:
            raise BadInput(f"{empty} is empty", hint="give a value, or omit it")
        for option in OPTIONS.values():
            if option.bare and option.flag in valued:
                args = with_value(args, option.flag, option.bare, valued)
        return super().parse_args(ctx, args)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """
        List the options, by subject where they are many.
        """
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        options = [one for one in self.get_params(ctx) if one.param_type_name == "option"]
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                section = getattr(parameter, "rich_help_panel", None) if len(options) > _MOST_UNGROUPED else None
                is_option = parameter.param_type_name == "option"
                sections.setdefault((section or "Options") if is_option else "Arguments", []).append(record)
        for name, rows in sections.items():
            if rows:
                with formatter.section(name):
                    formatter.write_dl(rows)


class AmountCommand(Command):
    """
    A command that takes an amount of money as a word. A negative amount is an amount too, and not an unknown option.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """
        Parse the words, with negative amounts after `--`.
        """
        amounts = [word for word in args if _NEGATIVE.match(word)]
        others = [word for word in args if not _NEGATIVE.match(word)]
        return super().parse_args(ctx, [*others, *(["--"] if amounts and "--" not in others else []), *amounts])


def empty_word(words: Sequence[str]) -> str | None:
    """
    The option or the argument whose value is empty or blank; None where every word has a value.
    """
    for before, word in zip(("", *words), words, strict=False):
        name, sign, value = word.partition("=")
        if word.startswith("--") and sign and not value.strip():
            return name
        if not word.strip():
            return before if before.startswith("-") and before != "--" and "=" not in before else "an argument"
    return None


def own_words(words: Sequence[str], valued: Collection[str]) -> int:
    """
    How many words of a command line are options and their values. The words after them are another command.

    Args:
        words: the command line.
        valued: the options that take a value.
    """
    count = 0
    while count < len(words) and words[count].startswith("-") and words[count] != "--":
        count += 2 if words[count] in valued else 1
    return min(count, len(words))


def with_value(args: Sequence[str], option: str, value: str, valued: Collection[str]) -> list[str]:
    """
    A command line in which an option without a value gets one.

    Args:
        args: the command line. The words after the first one that is not an option or its value are another command.
        option: the option.
        value: the value that it gets.
        valued: the options that take a value.
    """
    completed: list[str] = []
    left = list(args)
    while left and left[0].startswith("-") and left[0] != "--":
        word = left.pop(0)
        if word == option and (not left or left[0].startswith("-")):
            word = f"{word}={value}"
        elif word in valued and left:
            completed.append(word)
            word = left.pop(0)
        completed.append(word)
    return completed + left
