"""
`savemode auto`: what the policy `auto` knows of a person, and how it came to know that.

Rule of this file: what is known are amounts, times and digests. Recorded traffic is read as `replay` reads it.
"""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from savemode_cli.cli.flags import Flags
from savemode_cli.cli.screen import console, echo, echo_json
from savemode_cli.core.errors import BadInput
from savemode_cli.views.printable import printable

if TYPE_CHECKING:
    from savemode_cli.config import Settings
    from savemode_cli.core.replay.sessions import SessionReplay
    from savemode_cli.proxy.auto_history import AutoHistoryFile

_PERSON = typer.Option(metavar="NAME", help="Whose, where people have access tokens.")


def show(
    person: Annotated[str | None, _PERSON] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Output JSON.")] = False,
) -> None:
    """
    Show what each TTL cost you so far, and what the policy auto would choose next.
    """
    from savemode_cli.views.auto import show as show_histories
    from savemode_cli.views.auto import to_json

    file = _file()
    histories = file.read()
    if person is not None:
        histories = {name: history for name, history in histories.items() if name == person}
    if as_json:
        echo_json(to_json(histories))
        return
    show_histories(histories, console())


def learn(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Transcripts, captures, or folders of them.")],
    flags: Flags,
    person: Annotated[str, _PERSON] = "",
) -> None:
    """
    Learn from recorded traffic what each TTL would have cost. Only amounts, times and digests are kept.
    """
    from savemode_cli.core.replay.learning import runs_of

    sessions = list(_sessions(paths, flags.settings()))
    runs = [(person, run) for session in sessions for run in runs_of(session)]
    if not runs:
        raise BadInput(
            f"{', '.join(paths)}: no recorded traffic with times and usage",
            hint="give the folder of Claude Code's transcripts, like ~/.claude/projects",
        )
    file = _file()
    file.add(runs)
    echo(
        f"learned from {len(sessions):,} session{'' if len(sessions) == 1 else 's'}; to see it: savemode auto show",
        err=True,
    )


def forget(
    person: Annotated[str | None, _PERSON] = None,
) -> None:
    """
    Delete what is known of one person, or of everybody.
    """
    count = _file().forget(person)
    whose = "" if person is None else f" of {printable(person)}"
    if person is not None and not count:
        raise BadInput(f"nothing is known{whose}", hint="savemode auto show")
    echo(f"forgotten{whose}" if count else "nothing was known", err=True)


def _file() -> "AutoHistoryFile":
    from savemode_cli.config.folders import user_state
    from savemode_cli.config.settings import AUTO_NAME
    from savemode_cli.proxy.auto_history import AutoHistoryFile

    return AutoHistoryFile(user_state() / AUTO_NAME)


def _sessions(paths: Sequence[str], settings: "Settings") -> "list[SessionReplay]":
    """
    The sessions in some files, replayed.
    """
    from savemode_cli.core.replay.recording import Wanted
    from savemode_cli.prices import load_prices
    from savemode_cli.readers.files import readable, walk
    from savemode_cli.readers.problems import Problems
    from savemode_cli.readers.replayed_files import replay_files
    from savemode_cli.readers.sessions import Work

    files = list(readable(list(walk(paths))))
    work = Work(partial(load_prices, settings.price_file), Wanted(), idle_prone=False)
    return replay_files(files, settings, work, None, Problems(), lambda _: None, lambda _: None).sessions
