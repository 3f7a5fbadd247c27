"""
`savemode captures`: what `--capture` has kept; list it, look at it, export it, remove it.

Rule of this file: bodies leave the store only where somebody asks for them, and into files that only they can read.
"""

import json
import os
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from savemode_cli.cli import options
from savemode_cli.core.errors import BadInput, SavemodeError

if TYPE_CHECKING:
    from savemode_cli.captures.store import CaptureStore, Filter
    from savemode_cli.core.capture import Capture

Dir = Annotated[
    Path | None, typer.Option("--dir", help="The folder that --capture named.  [default: the one configured, or yours]")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print it for machines.")]
Since = Annotated[
    str | None, typer.Option(metavar="TIME", help="From then on: 2026-11-24, 2026-11-24T12:30, or 7d, 12h ago.")
]
Until = Annotated[str | None, typer.Option(metavar="TIME", help="Before then.")]
Session = Annotated[str | None, typer.Option(metavar="KEY", help="Of this session; its beginning is enough.")]
Model = Annotated[str | None, typer.Option(help="Of requests for this model.")]


def list_captures(
    last: Annotated[int, typer.Option(min=0, help="Only so many, the newest; 0 for all.")] = 20,
    since: Since = None,
    until: Until = None,
    session: Session = None,
    model: Model = None,
    as_json: AsJson = False,
    folder: Dir = None,
    config: options.Config = None,
) -> None:
    """
    List the exchanges that were captured, the newest last.
    """
    from savemode_cli.views import captures as view

    which = _filter(since, until, session, model)
    with _opened(folder, config) as store:
        found = ((row.number, row.capture) for row in store.rows(which, _say_damaged))
        rows = deque(found, maxlen=last or None)
        stats = store.stats()
    if as_json:
        listed = [view.row_json(*row) for row in rows]
        typer.echo(json.dumps({**view.stats_json(stats), "rows": listed}, indent=2))
        return
    from savemode_cli.cli.screen import console

    view.show_rows(rows, console())
    view.show_stats(stats, console())


def show(
    exchange: Annotated[str, typer.Argument(metavar="ID", help="A number of the list, or a request's id.")],
    body: Annotated[
        str | None, typer.Option(metavar="WHICH", help="Print only a body, as bytes: request, sent or response.")
    ] = None,
    as_json: AsJson = False,
    folder: Dir = None,
    config: options.Config = None,
) -> None:
    """
    Show one exchange; its bodies with --body.
    """
    from savemode_cli.views import captures as view

    with _opened(folder, config) as store:
        number = _number(store, exchange)
        capture = store.get(number)
    if body is not None:
        _print_body(capture, body)
    elif as_json:
        typer.echo(json.dumps(view.whole_json(number, capture), indent=2))
    else:
        from savemode_cli.cli.screen import console

        view.show_whole(number, capture, console())


def export(
    har: Annotated[bool, typer.Option("--har", help="One HTTP Archive, for viewers.")] = False,
    jsonl: Annotated[bool, typer.Option("--jsonl", help="One JSON object a line, for programs and replay.")] = False,
    out: Annotated[str, typer.Option(metavar="FILE", help="Where to; - is stdout.")] = "-",
    since: Since = None,
    until: Until = None,
    session: Session = None,
    model: Model = None,
    folder: Dir = None,
    config: options.Config = None,
) -> None:
    """
    Write captures, bodies included, in a form that other programs read.
    """
    if har == jsonl:
        raise BadInput("choose one of --har and --jsonl", hint="savemode captures export --har --out captures.har")
    which = _filter(since, until, session, model)
    count = 0

    def counted(store: "CaptureStore") -> "Iterator[Capture]":
        nonlocal count
        for row in store.captures(which, _say_damaged):
            count += 1
            yield row.capture

    with _opened(folder, config) as store, _written(out) as file:
        for piece in _har(counted(store)) if har else _lines(counted(store)):
            file.write(piece)
    if out != "-":
        _say(f"{_exchanges(count)} written to {out}; it holds your prompts")


def prune(
    older_than: Annotated[
        str | None, typer.Option("--older-than", metavar="TIME", help="What started longer ago: 12h, 7d.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All of it.")] = False,
    as_json: AsJson = False,
    folder: Dir = None,
    config: options.Config = None,
) -> None:
    """
    Remove captures; what stood there is overwritten, and the space given back.
    """
    from savemode_cli.core.exchange import SCHEMA_VERSION

    if everything == (older_than is not None):
        raise BadInput("say what to remove", hint="--older-than 7d, or --all")
    before = None if older_than is None else _ago(older_than, "--older-than")
    with _opened(folder, config) as store:
        removed = store.prune(before)
        stats = store.stats()
    if as_json:
        left = {"exchanges": stats.exchanges, "file_bytes": stats.file_bytes}
        typer.echo(json.dumps({"schema_version": SCHEMA_VERSION, "removed": removed, **left}, indent=2))
    else:
        _say(f"{_exchanges(removed)} removed, {stats.exchanges} left")


@contextmanager
def _opened(folder: Path | None, config: Path | None) -> "Iterator[CaptureStore]":
    from savemode_cli.captures.store import CaptureStore
    from savemode_cli.config import load, user_captures

    settings = load({"capture": folder}, config=config)
    store = CaptureStore.open(settings.capture or user_captures())
    try:
        yield store
    finally:
        store.close()


def _filter(since: str | None, until: str | None, session: str | None, model: str | None) -> "Filter":
    from savemode_cli.captures.store import Filter

    return Filter(
        None if since is None else parse_when(since, "--since"),
        None if until is None else parse_when(until, "--until"),
        session,
        model,
    )


def parse_when(text: str, option: str) -> datetime:
    """
    A moment: an ISO date or time, in UTC unless it says otherwise, or how long ago.

    Raises:
        BadInput: it is neither.
    """
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        return _ago(text, option)
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _ago(text: str, option: str) -> datetime:
    from savemode_cli.config.values import keep_for

    try:
        span = keep_for(text)
    except ValueError:
        span = None
    if span is None:
        raise BadInput(f"{option} {text!r} is no time", hint="like 7d or 12h; --since also takes 2026-11-24T12:30")
    return datetime.now(UTC) - span


def _number(store: "CaptureStore", text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 19 else store.number_of(text)
    if number is None:
        raise BadInput(f"there is no exchange {text!r} in {store.path}", hint="savemode captures list")
    return number


def _print_body(capture: "Capture", which: str) -> None:
    bodies = {"request": capture.request_body, "sent": capture.sent_body, "response": capture.response_body}
    if which not in bodies:
        raise BadInput(f"--body {which!r} is none of a capture's", hint=f"one of {', '.join(bodies)}")
    body = bodies[which]
    if body is None:
        raise BadInput(
            f"this capture has no {which} body", hint="it was too large, or of a path whose bodies are not kept"
        )
    sys.stdout.buffer.write(body)
    sys.stdout.buffer.flush()


def _har(captures: "Iterator[Capture]") -> Iterator[bytes]:
    from savemode_cli import __version__
    from savemode_cli.core.har import archive

    return archive(captures, __version__)


def _lines(captures: "Iterator[Capture]") -> Iterator[bytes]:
    from savemode_cli.core.jsonl import line

    return (line(capture) + b"\n" for capture in captures)


@contextmanager
def _written(out: str) -> Iterator[BinaryIO]:
    """
    Standard output, or a file that nobody else can read, which is there once it is complete.
    """
    if out == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = Path(out)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with os.fdopen(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            yield file
        partial.replace(path)
    except OSError as error:
        raise BadInput(
            f"cannot write {out}: {(error.strerror or str(error)).lower()}", hint="give --out another file"
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def _say_damaged(number: int, error: SavemodeError) -> None:
    _say(f"warning: exchange {number} is left out: {error.message}")


def _exchanges(count: int) -> str:
    return "1 exchange" if count == 1 else f"{count} exchanges"


def _say(text: str) -> None:
    typer.echo(text, err=True)
