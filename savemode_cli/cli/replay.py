"""
`savemode replay`: recorded traffic under other cache policies, with a grade for the model that says so.

Rule of this file: it finds files, shows how far it is and prints; readers read, and the core judges.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from savemode_cli.cli import options
from savemode_cli.core.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Callable

    from savemode_cli.config import Settings
    from savemode_cli.core.recorded import Wanted
    from savemode_cli.core.replay import Replay
    from savemode_cli.readers.problems import Problems
    from savemode_cli.readers.transcripts import Group
    from savemode_cli.views.replay import Shown


def replay(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Transcripts, or folders with them.")],
    product: options.Product = None,
    since: Annotated[str | None, typer.Option(metavar="DAY", help="Count from this day or moment on (UTC).")] = None,
    until: Annotated[str | None, typer.Option(metavar="DAY", help="Count up to the end of this day.")] = None,
    session: Annotated[str | None, typer.Option(metavar="ID", help="Count sessions whose id begins so.")] = None,
    model: Annotated[str | None, typer.Option(metavar="NAME", help="Count models with this in their id.")] = None,
    jobs: Annotated[int, typer.Option(min=1, max=64, help="Processes to read with.")] = 1,
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

    settings = load({"product": product, "price_file": price_file}, config=config)
    wanted = Wanted(_moment("--since", since), _moment("--until", until, end=True), session, model)
    shown = _replayed(paths, settings, wanted, jobs)
    if plot is not None:
        _draw(plot, shown)
    if as_json:
        from savemode_cli.views.replay import to_json

        typer.echo(json.dumps(to_json(shown), indent=2))
    else:
        from savemode_cli.cli.screen import console
        from savemode_cli.views.replay import show

        show(shown, console())
    if check and shown.replay.grade.problem:
        raise typer.Exit(1)


def _replayed(paths: Sequence[str], settings: "Settings", wanted: "Wanted", jobs: int) -> "Shown":
    from savemode_cli.readers.files import kind_of, walk
    from savemode_cli.readers.problems import Problems
    from savemode_cli.readers.transcripts import groups
    from savemode_cli.views.replay import Shown

    kinds = [(path, kind_of(path)) for path in walk(paths)]
    found = groups(path for path, kind in kinds if kind == "transcript")
    if not found:
        raise BadInput(
            f"{', '.join(paths)}: nothing recorded was found in {len(kinds):,} files",
            hint="give the folder of Claude Code's transcripts, like ~/.claude/projects",
        )
    problems = Problems()
    done = _replay_groups(found, settings, wanted, jobs, problems)
    return Shown(
        done,
        product=settings.product,
        idle_prone=_is_idle_prone(settings),
        malformed=problems.count,
        problems=[str(one) for one in problems.named],
        ignored_files=sum(kind != "transcript" for _, kind in kinds),
    )


def _replay_groups(
    found: "Sequence[Group]", settings: "Settings", wanted: "Wanted", jobs: int, problems: "Problems"
) -> "Replay":
    from savemode_cli.core.replay import summed
    from savemode_cli.prices import load_prices
    from savemode_cli.readers.sessions import Work, replayed

    work = Work(partial(load_prices, settings.price_file), wanted, _is_idle_prone(settings))
    with _progress(sum(group.bytes for group in found)) as advance:
        return summed(replayed(found, work, jobs, problems, advance))


def _is_idle_prone(settings: "Settings") -> bool:
    return settings.products.idle_prone.get(settings.product, False)


@contextmanager
def _progress(total_bytes: int) -> Iterator["Callable[[int], None]"]:
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
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        raise BadInput(f"{name} {text!r} is no day and no moment", hint=f"like {name} 2026-11-24") from None
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
    return at + timedelta(days=1) if end and len(text.strip()) == len("2026-11-24") else at


def _draw(file: Path, shown: "Shown") -> None:
    from savemode_cli.views.chart import png, svg

    kind = file.suffix.lower()
    if kind not in (".svg", ".png"):
        raise BadInput(f"--plot {file.name} is neither .svg nor .png", hint="like --plot cost.svg")
    picture = svg(shown.replay)
    try:
        file.write_bytes(png(picture) if kind == ".png" else picture.encode())
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise BadInput(f"cannot write {file}: {reason}", hint="give another file") from None
