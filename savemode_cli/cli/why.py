"""
`savemode why`: which requests paid again for what the cache could have held, why, and what to do about it.

Rule of this file: it finds what to read, and prints. Readers read, and the core judges.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from savemode_cli.cli.flags import Flags
from savemode_cli.cli.progress import progress
from savemode_cli.cli.screen import console, echo_json
from savemode_cli.core.errors import BadInput

if TYPE_CHECKING:
    from savemode_cli.config import Settings
    from savemode_cli.core.diagnosis.excerpt import Excerpt
    from savemode_cli.core.diagnosis.report import Diagnosed
    from savemode_cli.readers.diagnosed import Files
    from savemode_cli.views.why import Shown

Choice = Callable[[Sequence["Diagnosed"]], Sequence["Diagnosed"]]
"""Selects the requests that are shown from all that were read, in the order in which they were read."""


def why(
    flags: Flags,
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="WHAT",
            help="Files or folders that replay reads, or an exchange or a session of the capture store.  "
            "[default: the exchanges of running proxies, else the last session of the store]",
        ),
    ] = None,
    top: Annotated[
        int, typer.Option(min=0, metavar="N", help="How many misses to show, the most expensive first; 0 shows all.")
    ] = 10,
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Only from this time on: 2026-11-24, 2026-11-24T12:30, 7d or 12h (ago)."),
    ] = None,
    no_text: Annotated[bool, typer.Option("--no-text", help="Do not show what changed in the requests.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Output JSON.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Exit with 1 if misses cost more than the amount of --budget.")
    ] = False,
    budget: Annotated[
        str | None, typer.Option("--budget", metavar="USD", help="The amount for --check.  [default: 0]")
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option("--dir", help="The folder given to --capture.  [default: the configured folder, or your own]"),
    ] = None,
) -> None:
    """
    Show why requests did not read what they could have read from the prompt cache, and what that cost.
    """
    from savemode_cli.views.why import show, to_json

    begin = _begin(since)
    limit_nusd = _limit(budget, check=check)
    settings = flags.settings(capture=folder)
    shown = _of_proxies(settings, begin, top or None) if not what and folder is None else None
    if shown is None:
        shown = _shown(*_sources(what or [], settings), settings, begin, top or None, with_text=not no_text)
    if as_json:
        echo_json(to_json(shown))
    else:
        show(shown, console())
    if check and shown.report.missed_nusd > limit_nusd:
        raise typer.Exit(1)


def _begin(since: str | None) -> datetime | None:
    from savemode_cli.cli.captures import parse_when

    return None if since is None else parse_when(since, "--since")


def _limit(budget: str | None, *, check: bool) -> int:
    from savemode_cli.core.money.amounts import parse_usd

    if budget is None:
        return 0
    if not check:
        raise BadInput("--budget without --check has no effect", hint="savemode why --check --budget 5")
    nusd = parse_usd(budget)
    if nusd is None or nusd < 0:
        raise BadInput(
            f"--budget {budget!r} is not an amount of US dollars", hint="for example --budget 5 or --budget 0.50"
        )
    return nusd


def _sources(what: Sequence[str], settings: "Settings") -> "tuple[Files, Choice]":
    """
    The files to read, and the choice of the requests to show.
    """
    if what and all(Path(name).exists() for name in what):
        from savemode_cli.readers.files import readable, walk

        files = list(readable(walk(what)))
        if not files:
            raise BadInput(
                f"{', '.join(what)}: no recorded traffic", hint="give captures, bodies, a HAR, or transcripts"
            )
        return files, list
    return _stored(what, settings)


def _stored(what: Sequence[str], settings: "Settings") -> "tuple[Files, Choice]":
    """
    The capture store, and the choice of its last session, or of the exchanges and sessions that were named.
    """
    from savemode_cli.captures.file import file_of, is_store
    from savemode_cli.config import user_captures
    from savemode_cli.readers.registry import READERS

    folder = settings.capture or user_captures()
    if not is_store(folder):
        named = f"{what[0]!r} is not a file, and there" if what else "there"
        raise BadInput(
            f"{named} are no captures in {folder}",
            hint="give files, such as ~/.claude/projects, or keep requests with: savemode serve --capture",
        )
    path = file_of(folder)
    return [(path, READERS["captures"])], _named(path, what) if what else _last_session


def _last_session(requests: "Sequence[Diagnosed]") -> "Sequence[Diagnosed]":
    newest = max(requests, key=lambda request: request.started_at, default=None)
    return [] if newest is None else [request for request in requests if request.session == newest.session]


def _named(path: Path, names: Sequence[str]) -> Choice:
    """
    The choice of exchanges, by number or ID, and of sessions, by the beginning of their key.
    """
    from savemode_cli.captures.store import CaptureStore

    store = CaptureStore.open(path)
    try:
        numbers = {name: int(name) if name.isascii() and name.isdigit() else store.number_of(name) for name in names}
    finally:
        store.close()
    places = {f"{path.name}: capture {number}" for number in numbers.values() if number is not None}
    sessions = tuple(name for name, number in numbers.items() if number is None)

    def chosen(requests: "Sequence[Diagnosed]") -> "Sequence[Diagnosed]":
        found = [
            request
            for request in requests
            if request.place in places
            or (sessions and (request.session.startswith(sessions) or request.session_key.startswith(sessions)))
        ]
        if not found:
            raise BadInput(
                f"{', '.join(names)}: no such file, exchange or session with a bill", hint="savemode captures list"
            )
        return found

    return chosen


def _of_proxies(settings: "Settings", since: datetime | None, top: int | None) -> "Shown | None":
    """
    What the running proxies have judged; None if there is none, or it has judged nothing yet.
    """
    from savemode_cli.core.diagnosis.report import Report
    from savemode_cli.readers.running_misses import running_misses
    from savemode_cli.views.why import Shown

    report = Report()
    for request in running_misses(settings.proxies_folder, settings.access_token):
        if since is None or request.started_at >= since:
            report.add(request)
    return Shown(report, report.dearest(top), {}) if report.requests else None


def _shown(
    files: "Files", choice: Choice, settings: "Settings", since: datetime | None, top: int | None, *, with_text: bool
) -> "Shown":
    from savemode_cli.core.diagnosis.report import Report
    from savemode_cli.prices import load_prices
    from savemode_cli.readers.diagnosed import Reading, diagnosed_requests
    from savemode_cli.views.why import Shown

    reading, report = Reading(), Report()
    prices = load_prices(settings.price_file)
    with progress(sum(path.stat().st_size for path, _ in files)) as advance:
        requests = list(diagnosed_requests(files, prices, settings.product, settings.products, reading, advance))
    for request in choice(requests):
        if since is None or request.started_at >= since:
            report.add(request)
    rows = report.dearest(top)
    excerpts = _excerpts(files, rows) if with_text else {}
    problems = [str(problem) for problem in reading.problems.named]
    return Shown(
        report,
        rows,
        excerpts,
        transcripts=reading.transcripts,
        rebuilt=reading.rebuilt,
        unusable=reading.unusable,
        malformed=reading.problems.count,
        problems=problems,
    )


def _excerpts(files: "Files", rows: "Sequence[Diagnosed]") -> "dict[str, Excerpt]":
    """
    What changed in the requests, by their places.
    """
    from savemode_cli.core.diagnosis.excerpt import excerpt
    from savemode_cli.readers.diagnosed import bodies_at

    pairs = [(row.place, row.verdict) for row in rows if any(miss.change for miss in row.verdict.misses)]
    bodies = bodies_at(files, {name for place, verdict in pairs for name in (place, verdict.base)})
    found = {}
    for place, verdict in pairs:
        miss = next(miss for miss in verdict.misses if miss.change)
        if place in bodies and verdict.base in bodies:
            found[place] = excerpt(bodies[verdict.base], bodies[place], miss)
    return {place: text for place, text in found.items() if text is not None}
