"""
`savemode report`: what was spent, by day, project, model, session or agent.

Rule of this file: it finds the records, shows progress and prints. Readers read, and `Breakdown` adds up.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from savemode_cli.cli.flags import Flags
from savemode_cli.cli.periods import moment, time_zone
from savemode_cli.cli.progress import progress
from savemode_cli.cli.screen import console, echo_json, write_bytes
from savemode_cli.cli.spans import check_span
from savemode_cli.core.errors import BadInput, reason

if TYPE_CHECKING:
    from savemode_cli.config import Settings
    from savemode_cli.core.exchange.totals import BilledRequest, Breakdown, By, Totals
    from savemode_cli.readers.reader import Reader
    from savemode_cli.views.report import Report

_BY = ("day", "week", "month", "project", "model", "session", "agent")
_OVERVIEW: tuple["By", ...] = ("day", "week", "month", "project", "model", "session")
_OVERVIEW_SPAN = timedelta(days=7)


def report(
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PATH...]",
            help="Transcripts, captures, other recordings, or folders.  [default: your Claude Code transcripts, else your "
            "captures, else the ledger]",
            show_default=False,
        ),
    ] = None,
    by: Annotated[
        str | None, typer.Option(metavar="WHAT", help="Group by day, week, month, project, model, session or agent.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="DAY", help="Only requests from this day or time on.  [default: 7 days ago without --by]"),
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="DAY", help="Only requests up to the end of this day.")] = None,
    timezone: Annotated[str, typer.Option(metavar="ZONE", help="Where days begin: UTC, local, Europe/Berlin.")] = "UTC",
    *,
    flags: Flags,
    as_json: Annotated[bool, typer.Option("--json", help="Output JSON.")] = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Output CSV, with one row per day, or per group of --by.")
    ] = False,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write an HTML page that needs no network.")
    ] = None,
    trial: Annotated[
        bool, typer.Option("--trial", help="Compare upgraded sessions with those that --hold-out left at 5m.")
    ] = False,
) -> None:
    """
    Show what was spent, on what, and how much of it the cache missed.
    """
    from savemode_cli.views.report import show, to_csv, to_json

    if as_json and as_csv:
        raise BadInput("--json and --csv cannot be used together", hint="give one of them")
    settings = flags.settings()
    if trial:
        _only_trial(paths=bool(paths), by=by is not None, csv=as_csv, html=html is not None)
        _show_trial(settings, since, until, time_zone(timezone), as_json=as_json)
        return
    span = _span(by, since, until, time_zone(timezone), timezone)
    _check_target(html)
    files = [] if flags.given["ledger"] is not None else _files(list(paths or ()), settings)
    result = _report(files, settings, span)
    if html is not None:
        _write(html, result)
    if as_json:
        echo_json(to_json(result))
    elif as_csv:
        write_bytes(to_csv(result, result.by or "day").encode())
    else:
        show(result, console())


def _only_trial(**given: bool) -> None:
    """
    A trial has a file of its own, and two groups.
    """
    for name, is_given in given.items():
        if is_given:
            words = "a PATH" if name == "paths" else f"--{name}"
            raise BadInput(f"--trial and {words} exclude each other", hint="leave one out")


def _show_trial(
    settings: "Settings", since: str | None, until: str | None, zone: tzinfo | None, *, as_json: bool
) -> None:
    from savemode_cli.cli.trial import show_trial

    begin, end = moment("--since", since, zone=zone), moment("--until", until, end=True, zone=zone)
    check_span(begin, end)
    show_trial(settings, begin, end, zone, as_json=as_json)


@dataclass(frozen=True, slots=True)
class _Span:
    """
    What counts, and how it is grouped.
    """

    by: "By | None"
    since: datetime | None
    until: datetime | None
    compared_since: datetime | None
    """The beginning of the time of the same length before it; None if it is not compared."""
    zone: tzinfo | None
    zone_name: str


def _span(by: str | None, since: str | None, until: str | None, zone: tzinfo | None, zone_name: str) -> _Span:
    if by is not None and by not in _BY:
        raise BadInput(f"--by must be one of {', '.join(_BY)} (got {by!r})", hint="like --by day")
    now = datetime.now(UTC)
    begin, end = moment("--since", since, zone=zone), moment("--until", until, end=True, zone=zone)
    check_span(begin, end)
    compared = None
    if by is None and begin is None and end is None:
        begin = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0) - _OVERVIEW_SPAN
        compared = begin - (now - begin)
    elif by is None and begin is not None and end is not None:
        compared = begin - (min(end, now) - begin)
    return _Span(by, begin, end, compared, zone, zone_name)  # type: ignore[arg-type]


def _report(files: "Sequence[tuple[Path, Reader]]", settings: "Settings", span: _Span) -> "Report":
    """
    Read the files, or the ledger if there are none, and add up what they hold.
    """
    from savemode_cli.core.exchange.totals import Breakdown, Totals
    from savemode_cli.prices import load_prices
    from savemode_cli.readers.billed import BilledRequests
    from savemode_cli.views.report import Report

    prices = load_prices(settings.price_file)
    reading = BilledRequests(prices, prices if settings.price_file is None else load_prices(None))
    sums = _Sums(Breakdown(_OVERVIEW if span.by is None else (span.by,), span.zone), Totals(), span)
    if files:
        with progress(sum(path.stat().st_size for path, _ in files)) as advance:
            reading.advance = advance
            sums.add(reading.of_files(files))
        sources = _counted(files)
    else:
        sources = _add_charges(sums, settings)
    return Report(
        breakdown=sums.breakdown,
        by=span.by,
        since=span.since,
        until=span.until,
        before=None if span.compared_since is None else sums.before,
        last_at=sums.last_at,
        zone=span.zone,
        zone_name=span.zone_name,
        sources=sources,
        copies=reading.copies,
        unusable=reading.unusable,
        malformed=reading.problems.count,
        problems=[str(problem) for problem in reading.problems.named],
    )


@dataclass(slots=True)
class _Sums:
    """
    What counts, and what it is compared with.
    """

    breakdown: "Breakdown"
    before: "Totals"
    span: _Span
    last_at: datetime | None = None

    def add(self, requests: "Iterable[BilledRequest]") -> None:
        since, until, compared = self.span.since, self.span.until, self.span.compared_since
        for request in requests:
            at = request.at
            if self.last_at is None or at > self.last_at:
                self.last_at = at
            if (since is None or at >= since) and (until is None or at < until):
                self.breakdown.add(request)
            elif compared is not None and since is not None and compared <= at < since:
                self.before.add(request)


def _files(paths: Sequence[str], settings: "Settings") -> "list[tuple[Path, Reader]]":
    """
    The files to read, each with its reader; none if there is only a ledger.

    Raises:
        BadInput: there is nothing recorded at or below the given paths.
    """
    from savemode_cli.readers.files import readable, walk

    if paths:
        files = list(readable(walk(paths)))
        if not files:
            raise BadInput(
                f"{', '.join(paths)}: no recorded traffic there",
                hint="give the folder of Claude Code's transcripts, like ~/.claude/projects, or of captures",
            )
        return files
    return next((files for folders in _own(settings) if (files := list(readable(walk(folders))))), [])


def _own(settings: "Settings") -> Iterable[list[str]]:
    """
    Where this user's traffic may be recorded: transcripts, and then captures.
    """
    from savemode_cli.config import user_captures
    from savemode_cli.readers.mix import claude_projects

    for folders in (claude_projects(os.environ, Path.home()), [settings.capture or user_captures()]):
        yield [str(folder) for folder in folders if folder.exists()]


def _counted(files: "Sequence[tuple[Path, Reader]]") -> dict[str, int]:
    counts: dict[str, int] = {}
    for _, reader in files:
        counts[reader.title] = counts.get(reader.title, 0) + 1
    return counts


def _add_charges(sums: _Sums, settings: "Settings") -> dict[str, int]:
    from savemode_cli.ledgers import file_of, open_ledger
    from savemode_cli.readers.billed import of_charges

    file = file_of(settings.ledger_url)
    if not settings.ledger_id or (file is not None and not file.exists()):
        raise BadInput(
            f"nothing is recorded: no transcripts, no captures, and no ledger{'' if file is None else f' at {file}'}",
            hint="give a PATH, or run savemode run -- claude first",
        )
    ledger = open_ledger(settings.ledger_url, password=settings.password_of_ledger())
    try:
        sums.add(of_charges(ledger.charges()))
    finally:
        ledger.close()
    return {"the ledger": 1}


def _check_target(file: Path | None) -> None:
    """
    Refuse a file that cannot be written, before everything is read.
    """
    if file is not None and not file.parent.is_dir():
        raise BadInput(f"cannot write {file}: there is no folder {file.parent}", hint="give a different file")
    if file is not None and (file.is_dir() or not os.access(file if file.exists() else file.parent, os.W_OK)):
        raise BadInput(
            f"cannot write {file}: it is a folder, or you have no permission to write it", hint="give a different file"
        )


def _write(file: Path, result: "Report") -> None:
    from savemode_cli.views.report_html import html

    try:
        file.write_text(html(result), encoding="utf-8")
    except OSError as error:
        raise BadInput(f"cannot write {file}: {reason(error)}", hint="give a different file") from None
