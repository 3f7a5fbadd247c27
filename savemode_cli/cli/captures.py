"""
`savemode captures`: list, show, export and remove the exchanges that `--capture` has stored.

Rule of this file: bodies leave the store only if the user asks for them, and only into files that no other user can read.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from savemode_cli.cli.diff_request import compare_calls
from savemode_cli.cli.flags import Flags
from savemode_cli.cli.screen import console, echo, echo_json, write_bytes
from savemode_cli.cli.spans import check_span
from savemode_cli.core.errors import BadInput, SavemodeError, reason
from savemode_cli.views.printable import printable

if TYPE_CHECKING:
    from savemode_cli.captures.store import CaptureStore, Filter
    from savemode_cli.core.exchange.capture import Capture
    from savemode_cli.core.replay.recording import Call

Dir = Annotated[
    Path | None,
    typer.Option("--dir", help="The folder given to --capture.  [default: the configured folder, or your own]"),
]
AsJson = Annotated[bool, typer.Option("--json", help="Output JSON.")]
Since = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Only from this time on: 2026-11-24, 2026-11-24T12:30, 7d or 12h (ago)."),
]
Until = Annotated[str | None, typer.Option(metavar="TIME", help="Only before this time.")]
Session = Annotated[str | None, typer.Option(metavar="KEY", help="Only sessions whose ID starts with this.")]
Model = Annotated[str | None, typer.Option(help="Only requests for this model.")]


def list_captures(
    flags: Flags,
    last: Annotated[int, typer.Option(min=0, help="How many of the newest to list; 0 lists all.")] = 20,
    since: Since = None,
    until: Until = None,
    session: Session = None,
    model: Model = None,
    as_json: AsJson = False,
    folder: Dir = None,
) -> None:
    """
    List the captured exchanges, the newest last.
    """
    from savemode_cli.views import captures as view

    which = _filter(since, until, session, model)
    with _opened(folder, flags) as store:
        numbered = ((row.number, row.capture) for row in store.rows(which, _say_damaged))
        rows = deque(numbered, maxlen=last or None)
        stats = store.stats()
    if as_json:
        listed = [view.row_json(*row) for row in rows]
        echo_json({**view.stats_json(stats), "rows": listed})
        return
    view.show_rows(rows, console())
    view.show_stats(stats, console())


def show(
    exchange: Annotated[str, typer.Argument(metavar="ID", help="A number from the list, or a request ID.")],
    flags: Flags,
    body: Annotated[
        str | None, typer.Option(metavar="WHICH", help="Output one body as raw bytes: request, sent or response.")
    ] = None,
    diff: Annotated[
        bool,
        typer.Option(
            "--diff", help="Show what would change in the request, and where it differs from the one before it."
        ),
    ] = False,
    against: Annotated[
        str | None, typer.Option(metavar="ID", help="Show only where the request differs from this exchange's.")
    ] = None,
    as_json: AsJson = False,
    folder: Dir = None,
) -> None:
    """
    Show one exchange; a body with --body, what would change in the request and what did with --diff.
    """
    from savemode_cli.views import captures as view

    if (diff or against is not None) and body is not None:
        raise BadInput("--body and --diff cannot be used together", hint="for example savemode captures show 12 --diff")
    with _opened(folder, flags) as store:
        number = _number(store, exchange)
        capture = store.get(number)
        earlier = None
        if diff or against is not None:
            earlier = _before(store, number, capture) if against is None else _number(store, against)
        before = None if earlier is None else (earlier, store.get(earlier))
    if against is not None and before is not None:
        compare_calls(_call_of(*before), _call_of(number, capture), as_json=as_json)
    elif diff:
        _show_diff(number, capture, before, flags, as_json=as_json)
    elif body is not None:
        _print_body(capture, body)
    elif as_json:
        echo_json(view.whole_json(number, capture))
    else:
        view.show_whole(number, capture, console())


def _show_diff(
    number: int, capture: "Capture", before: "tuple[int, Capture] | None", flags: Flags, *, as_json: bool
) -> None:
    """
    Print what savemode changes in a request, and where it differs from the request before it.
    """
    from savemode_cli.cli.diff_request import compared, print_report, report_of
    from savemode_cli.views.diff import to_json
    from savemode_cli.views.request_difference import to_json as difference_json

    call = _call_of(number, capture)
    report = report_of(call, flags.settings())
    if as_json:
        difference = None if before is None else difference_json(compared(_call_of(*before), call))
        echo_json({**to_json(report), "against": difference})
        return
    print_report(report, headers=True)
    if before is not None:
        echo("")
        compare_calls(_call_of(*before), call, as_json=False)


def _before(store: "CaptureStore", number: int, capture: "Capture") -> int | None:
    """
    The number of the request that a request goes on from: as its verdict says, else the one before it in its session.
    """
    from savemode_cli.captures.store import Filter

    exchange = capture.exchange
    verdict = exchange.bill.verdict
    known = None if verdict is None or not verdict.base else store.number_of(verdict.base)
    if known is not None or exchange.call.session is None:
        return known
    same = Filter(until=exchange.started_at, session=exchange.call.session)
    numbers = [row.number for row in store.rows(same, lambda *_: None) if row.capture.exchange.call.is_model_call]
    return next((earlier for earlier in reversed(numbers) if earlier != number), None)


def _call_of(number: int, capture: "Capture") -> "Call":
    from savemode_cli.readers.calls import call_of_capture

    call = call_of_capture(capture, f"capture {number}")
    if call is None:
        raise BadInput(
            f"exchange {number} is not a model call", hint="only a POST to /v1/messages has cache breakpoints"
        )
    if isinstance(call, str):
        raise BadInput(f"exchange {number}: {call}", hint="the body was too large, or was not stored")
    return call


def export(
    flags: Flags,
    har: Annotated[bool, typer.Option("--har", help="Write one HTTP Archive (HAR), for viewers.")] = False,
    jsonl: Annotated[
        bool, typer.Option("--jsonl", help="Write one JSON object per line, for programs and replay.")
    ] = False,
    out: Annotated[str, typer.Option(metavar="FILE", help="The file to write; - is stdout.")] = "-",
    since: Since = None,
    until: Until = None,
    session: Session = None,
    model: Model = None,
    folder: Dir = None,
) -> None:
    """
    Write captures with their bodies in a format that other programs read.
    """
    if har == jsonl:
        raise BadInput(
            "give either --har or --jsonl", hint="for example savemode captures export --har --out captures.har"
        )
    which = _filter(since, until, session, model)
    count = 0

    def counted(store: "CaptureStore") -> "Iterator[Capture]":
        nonlocal count
        for row in store.captures(which, _say_damaged):
            count += 1
            yield row.capture

    with _opened(folder, flags) as store, _written(out) as write:
        for piece in _har(counted(store)) if har else _lines(counted(store)):
            write(piece)
    if out != "-":
        _say(f"{_exchanges(count)} written to {out}; the file contains your prompts")


def prune(
    flags: Flags,
    older_than: Annotated[
        str | None,
        typer.Option("--older-than", metavar="TIME", help="Remove exchanges that started longer ago: 12h, 7d."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Remove all exchanges.")] = False,
    as_json: AsJson = False,
    folder: Dir = None,
) -> None:
    """
    Remove captures, overwrite their data, and free the disk space.
    """
    from savemode_cli.core.exchange.exchange import SCHEMA_VERSION

    if everything == (older_than is not None):
        raise BadInput("give either --older-than or --all", hint="for example --older-than 7d")
    before = None if older_than is None else _ago(older_than, "--older-than", "7d or 12h")
    with _opened(folder, flags) as store:
        removed = store.prune(before)
        stats = store.stats()
    if as_json:
        left = {"exchanges": stats.exchanges, "file_bytes": stats.file_bytes}
        echo_json({"schema_version": SCHEMA_VERSION, "removed": removed, **left})
    else:
        _say(f"{_exchanges(removed)} removed, {stats.exchanges} left")


@contextmanager
def _opened(folder: Path | None, flags: Flags) -> "Iterator[CaptureStore]":
    from savemode_cli.captures.store import CaptureStore
    from savemode_cli.config import user_captures

    settings = flags.settings(capture=folder)
    store = CaptureStore.open(settings.capture or user_captures())
    try:
        yield store
    finally:
        store.close()


def _filter(since: str | None, until: str | None, session: str | None, model: str | None) -> "Filter":
    from savemode_cli.captures.store import Filter

    begin = None if since is None else parse_when(since, "--since")
    end = None if until is None else parse_when(until, "--until")
    check_span(begin, end)
    return Filter(begin, end, session, model)


def parse_when(text: str, option: str) -> datetime:
    """
    Read a time.

    Args:
        text: an ISO 8601 date or time, in UTC if it has no offset; or how long ago, like `7d`.
        option: the name of the option, for the error.

    Raises:
        BadInput: the text is neither.
    """
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return _ago(text, option, "7d, 12h or 2026-11-24T12:30")
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _ago(text: str, option: str, examples: str) -> datetime:
    from savemode_cli.config.values import keep_for

    try:
        span = keep_for(text)
    except ValueError:
        span = None
    if span is None:
        raise BadInput(f"{option} {text!r} is not a time", hint=f"for example {option} {examples}")
    return datetime.now(UTC) - span


def _number(store: "CaptureStore", text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 19 else store.number_of(text)
    if number is None:
        raise BadInput(f"there is no exchange {text!r} in {store.path}", hint="savemode captures list")
    return number


def _print_body(capture: "Capture", which: str) -> None:
    bodies = {"request": capture.request_body, "sent": capture.sent_body, "response": capture.response_body}
    if which not in bodies:
        raise BadInput(f"--body must be one of {', '.join(bodies)} (got {which!r})")
    body = bodies[which]
    if body is None:
        raise BadInput(
            f"this capture has no {which} body", hint="the body was too large, or bodies of its path are not stored"
        )
    write_bytes(body)


def _har(captures: "Iterator[Capture]") -> Iterator[bytes]:
    from savemode_cli import __version__
    from savemode_cli.captures.har import archive

    return archive(captures, __version__)


def _lines(captures: "Iterator[Capture]") -> Iterator[bytes]:
    from savemode_cli.captures.jsonl import line

    return (line(capture) + b"\n" for capture in captures)


@contextmanager
def _written(out: str) -> Iterator[Callable[[bytes], object]]:
    """
    A function that writes to stdout, or to a file that no other user can read and that appears once it is complete.
    """
    if out == "-":
        yield write_bytes
        return
    path = Path(out)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with os.fdopen(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            yield file.write
        partial.replace(path)
    except OSError as error:
        raise BadInput(f"cannot write {out}: {reason(error)}", hint="give --out a different file") from error
    finally:
        partial.unlink(missing_ok=True)


def _say_damaged(number: int, error: SavemodeError) -> None:
    _say(f"warning: exchange {number} is left out: {error.message}")


def _exchanges(count: int) -> str:
    return "1 exchange" if count == 1 else f"{count} exchanges"


def _say(text: str) -> None:
    echo(printable(text), err=True)
