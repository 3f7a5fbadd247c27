"""
`savemode replay`: recorded traffic under other cache policies, with a grade for the model that says so.

Rule of this file: it finds files, shows how far it is and prints; readers read, and the core judges.
"""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace as changed
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from savemode_cli.cli import options
from savemode_cli.core.errors import BadInput

if TYPE_CHECKING:
    from savemode_cli.cli.replay_bodies import Bodies
    from savemode_cli.config import Settings
    from savemode_cli.core.body_replay import Judged
    from savemode_cli.core.recorded import Wanted
    from savemode_cli.core.replay import RatesOf, Replay, SessionReplay
    from savemode_cli.readers.files import Kind
    from savemode_cli.readers.problems import Problems
    from savemode_cli.views.replay import Shown


def replay(
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH...", help="Transcripts, captures, bodies, HAR files, or folders.")
    ],
    product: options.Product = None,
    ttl_policy: options.TtlPolicy = None,
    compat: options.Compat = None,
    allow_bedrock: options.AllowBedrock = None,
    allow_oauth_edits: options.AllowOauthEdits = None,
    since: Annotated[str | None, typer.Option(metavar="DAY", help="Count from this day or moment on (UTC).")] = None,
    until: Annotated[str | None, typer.Option(metavar="DAY", help="Count up to the end of this day.")] = None,
    session: Annotated[str | None, typer.Option(metavar="ID", help="Count sessions whose id begins so.")] = None,
    model: Annotated[str | None, typer.Option(metavar="NAME", help="Count models with this in their id.")] = None,
    jobs: Annotated[int, typer.Option(min=1, max=64, help="Processes to read transcripts with.")] = 1,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="A row for each body: raised, or why not.")] = False,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Write the bodies that would be sent.")] = None,
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw it too, as .svg or .png.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it for machines.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Exit 1 if the model cannot be believed.")] = False,
    price_file: options.PriceFile = None,
    config: options.Config = None,
) -> None:
    """
    Replay recorded traffic: what the cache cost, what 5m or 1h for all would have, how far to believe it.
    """
    from savemode_cli.config import load
    from savemode_cli.core.recorded import Wanted

    flags = {"product": product, "ttl_policy": ttl_policy, "compat": compat, "price_file": price_file}
    edits = {"allow_bedrock": allow_bedrock, "allow_oauth_edits": allow_oauth_edits}
    settings = load({**flags, **edits}, config=config)
    wanted = Wanted(_moment("--since", since), _moment("--until", until, end=True), session, model)
    kind = _picture_kind(plot)
    rows: list[dict[str, Any]] = []
    seen = _watcher(out, rows if as_json else None, verbose=verbose)
    shown = _replayed(_found(paths), settings, wanted, jobs, seen)
    if plot is not None:
        _draw(plot, kind, shown)
    if as_json:
        from savemode_cli.views.replay import to_json

        typer.echo(json.dumps({**to_json(shown), **({"bodies": rows} if verbose else {})}, indent=2))
    else:
        from savemode_cli.cli.screen import console
        from savemode_cli.views.replay import show

        show(shown, console())
    if check and shown.replay.grade.problem:
        raise typer.Exit(1)


def _found(paths: Sequence[str]) -> "list[tuple[Path, Kind]]":
    from savemode_cli.cli.captured import holds_bodies
    from savemode_cli.readers.files import kind_of, walk, why_other

    found = [(path, kind_of(path)) for path in walk(paths)]
    if not any(kind == "transcript" or holds_bodies(path, kind) for path, kind in found):
        why = f"; {found[0][0].name}: {why_other(found[0][0])}" if found else ""
        raise BadInput(
            f"{', '.join(paths)}: nothing recorded was found in {len(found):,} file{'' if len(found) == 1 else 's'}{why}",
            hint="give the folder of Claude Code's transcripts, like ~/.claude/projects, of captures, or recorded bodies",
        )
    return found


def _watcher(out: Path | None, rows: list[dict[str, Any]] | None, *, verbose: bool) -> "Callable[[Judged], None]":
    """
    What is done with each body beside the sums: its row, and its file.
    """
    from savemode_cli.cli.replay_bodies import writer
    from savemode_cli.views.upgrades import row, row_json

    watching: list[Callable[[Judged], object]] = [] if out is None else [writer(out)]
    if verbose and rows is None:
        watching.append(lambda one: typer.echo(row(one)))
    elif verbose and rows is not None:
        watching.append(lambda one: rows.append(row_json(one)))

    def seen(one: "Judged") -> None:
        for watch in watching:
            watch(one)

    return seen


def _replayed(
    found: "Sequence[tuple[Path, Kind]]",
    settings: "Settings",
    wanted: "Wanted",
    jobs: int,
    seen: "Callable[[Judged], None]",
) -> "Shown":
    from savemode_cli.cli.captured import holds_bodies
    from savemode_cli.cli.replay_bodies import replay_bodies
    from savemode_cli.core.replay import rates_by, summed
    from savemode_cli.prices import load_prices
    from savemode_cli.readers.problems import Problems

    problems = Problems()
    bodies = [(path, kind) for path, kind in found if holds_bodies(path, kind)]
    transcripts = [path for path, kind in found if kind == "transcript"]
    with _progress(sum(path.stat().st_size for path in (*transcripts, *(path for path, _ in bodies)))) as advance:
        sessions = list(_transcripts(transcripts, settings, wanted, jobs, problems, advance))
        done: Bodies | None = None
        if bodies:
            rates: RatesOf = rates_by(load_prices(settings.price_file))
            done = replay_bodies(bodies, settings, rates, wanted, problems, advance, seen)
            sessions += done.sessions
    return _shown(summed(sessions), settings, problems, done, len(found) - len(bodies) - len(transcripts))


def _shown(
    replay: "Replay", settings: "Settings", problems: "Problems", done: "Bodies | None", ignored: int
) -> "Shown":
    from savemode_cli.views.replay import Shown

    if done is not None:
        replay = changed(replay, copies=replay.copies + done.copies)
    return Shown(
        replay,
        product=settings.product,
        idle_prone=_is_idle_prone(settings),
        malformed=problems.count,
        problems=[str(one) for one in problems.named],
        ignored_files=ignored,
        upgrades=None if done is None else done.upgrades,
        unusable={} if done is None else done.unusable,
    )


def _transcripts(
    paths: Sequence[Path],
    settings: "Settings",
    wanted: "Wanted",
    jobs: int,
    problems: "Problems",
    advance: Callable[[int], None],
) -> "Iterator[SessionReplay]":
    from savemode_cli.prices import load_prices
    from savemode_cli.readers.sessions import Work, replayed
    from savemode_cli.readers.transcripts import groups

    work = Work(partial(load_prices, settings.price_file), wanted, _is_idle_prone(settings))
    if paths:
        yield from replayed(groups(paths), work, jobs, problems, advance)


def _is_idle_prone(settings: "Settings") -> bool:
    return settings.products.idle_prone.get(settings.product, False)


@contextmanager
def _progress(total_bytes: int) -> Iterator[Callable[[int], None]]:
    """
    A function that is told how many bytes are done; a bar where somebody watches.
    """
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

    bar = Progress(BarColumn(), DownloadColumn(), TimeRemainingColumn(), console=Console(stderr=True), transient=True)
    with bar:
        task = bar.add_task("", total=total_bytes)
        yield lambda count: bar.advance(task, count)


def _moment(name: str, text: str | None, *, end: bool = False) -> datetime | None:
    """
    A day or a moment; without a zone it is UTC. A day as an end counts to its last moment.
    """
    if text is None:
        return None
    from savemode_cli.readers.times import utc

    try:
        at = utc(datetime.fromisoformat(text.strip()))
    except ValueError:
        raise BadInput(f"{name} {text!r} is no day and no moment", hint=f"like {name} 2026-11-24") from None
    return at + timedelta(days=1) if end and len(text.strip()) == len("2026-11-24") else at


def _picture_kind(file: Path | None) -> str:
    """
    The ending of the picture's name, known before an hour of reading is wasted on a mistaken one.
    """
    kind = "" if file is None else file.suffix.lower()
    if file is not None and kind not in (".svg", ".png"):
        raise BadInput(f"--plot {file.name} is neither .svg nor .png", hint="like --plot cost.svg")
    return kind


def _draw(file: Path, kind: str, shown: "Shown") -> None:
    from savemode_cli.views.chart import png, svg

    picture = svg(shown.replay)
    try:
        file.write_bytes(png(picture) if kind == ".png" else picture.encode())
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise BadInput(f"cannot write {file}: {reason}", hint="give another file") from None
