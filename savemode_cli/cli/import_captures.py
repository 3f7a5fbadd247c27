"""
`savemode captures import`: makes captures of the requests that Claude Code's transcripts record.

Rule of this file: it writes prompts to disk only because it was asked to, into the folder that `--capture` would use.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from savemode_cli.cli.flags import Flags
from savemode_cli.cli.progress import progress
from savemode_cli.cli.screen import echo, echo_json
from savemode_cli.core.errors import BadInput

if TYPE_CHECKING:
    from savemode_cli.config import Settings
    from savemode_cli.readers.rebuilt import RebuiltSession

_MOST_NAMED = 5


def import_captures(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Transcripts, or folders of them.")],
    flags: Flags,
    as_json: Annotated[bool, typer.Option("--json", help="Output JSON.")] = False,
    folder: Annotated[
        Path | None,
        typer.Option("--dir", help="The folder given to --capture.  [default: the configured folder, or your own]"),
    ] = None,
) -> None:
    """
    Store the requests that Claude Code's transcripts record as captures. Requests that are stored already are left out.
    """
    from savemode_cli.config import user_captures
    from savemode_cli.readers.files import readable, walk
    from savemode_cli.readers.rebuilt import rebuilt_sessions
    from savemode_cli.readers.registry import TRANSCRIPTS
    from savemode_cli.readers.replayed_files import requests_in_order
    from savemode_cli.readers.transcript_files import groups

    settings = flags.settings(capture=folder)
    sessions = groups(path for path, reader in readable(walk(paths)) if reader is TRANSCRIPTS)
    if not sessions:
        raise BadInput(f"{', '.join(paths)}: no transcripts", hint="give the folder ~/.claude/projects")
    target = settings.capture or user_captures()
    count = _Count()
    with ExitStack() as stack, progress(sum(group.bytes for group in sessions)) as advance:
        write = _writer(target, settings, count, stack)
        for session, number in requests_in_order(count.each(rebuilt_sessions(sessions), advance)):
            write(session, number)
    if as_json:
        echo_json(count.to_json())
    else:
        count.say(target)


class _Count:
    """
    What was imported, and what was left out.
    """

    def __init__(self) -> None:
        self.imported = self.known = self.unanswered = self.sessions = self.unrecorded = 0
        self.problems: list[str] = []

    def each(self, sessions: "Iterable[RebuiltSession]", advance: Callable[[int], None]) -> "Iterator[RebuiltSession]":
        """
        The same sessions, counted.

        Args:
            sessions: the sessions.
            advance: called with the bytes of each that was read.
        """
        for session in sessions:
            self.sessions += not session.problem
            self.unrecorded += not session.is_recorded
            if session.is_recorded and session.problem:
                self.problems.append(session.problem)
            advance(session.group.bytes)
            yield session

    def to_json(self) -> dict[str, Any]:
        from savemode_cli.core.exchange.exchange import SCHEMA_VERSION

        return {
            "schema_version": SCHEMA_VERSION,
            "imported": self.imported,
            "already_stored": self.known,
            "without_answer": self.unanswered,
            "sessions": self.sessions,
            "sessions_without_requests": self.unrecorded,
            "sessions_incomplete": len(self.problems),
            "problems": self.problems[:_MOST_NAMED],
        }

    def say(self, target: Path) -> None:
        from savemode_cli.views.printable import printable
        from savemode_cli.views.replay_words import plural

        echo(
            f"{plural(self.imported, 'request')} of {plural(self.sessions, 'session')} imported into {target}", err=True
        )
        if self.imported:
            echo("the store contains your prompts; to see it: savemode captures list", err=True)
        if self.known:
            echo(f"{plural(self.known, 'request')} left out: stored already", err=True)
        if self.unanswered:
            echo(f"{plural(self.unanswered, 'request')} left out: no answer was recorded", err=True)
        if self.unrecorded:
            echo(
                f"{plural(self.unrecorded, 'session')} left out: no requests are recorded;"
                " Claude Code 2.1.332 and later record them",
                err=True,
            )
        for problem in self.problems[:_MOST_NAMED]:
            echo(f"1 session left out: {printable(problem)}", err=True)
        if len(self.problems) > _MOST_NAMED:
            echo(f"and {len(self.problems) - _MOST_NAMED:,} more sessions left out", err=True)


def _writer(
    target: Path, settings: "Settings", count: _Count, stack: ExitStack
) -> "Callable[[RebuiltSession, int], None]":
    """
    A function that stores a request of a session. The store is made with the first one.

    Args:
        target: the folder of the store.
        settings: the settings of the command.
        count: counts what is stored.
        stack: closes the store.
    """
    from savemode_cli.captures.store import CaptureStore
    from savemode_cli.prices import load_prices
    from savemode_cli.readers.imported import imported_capture

    prices = load_prices(settings.price_file)
    store: CaptureStore | None = None

    def write(session: "RebuiltSession", number: int) -> None:
        nonlocal store
        if store is None:
            store = CaptureStore.make(target)
            stack.callback(store.close)
        if store.number_of(session.request_id(number)) is not None:
            count.known += 1
            return
        capture = imported_capture(session, number, prices, settings.product, settings.products)
        if capture is None:
            count.unanswered += 1
        else:
            store.append(capture)
            count.imported += 1

    return write
