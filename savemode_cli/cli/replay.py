"""
`savemode replay`: what recorded traffic cost, what it would have cost under other cache policies, and how reliable that is.

Rule of this file: it finds files, shows progress and prints. Readers read, and the core judges.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace as changed
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from savemode_cli.cli.command import Command
from savemode_cli.cli.command_group import Definition
from savemode_cli.cli.flags import Flags
from savemode_cli.cli.periods import moment
from savemode_cli.cli.progress import progress
from savemode_cli.cli.screen import console, echo, echo_json
from savemode_cli.cli.spans import check_span
from savemode_cli.core.errors import BadInput, reason

if TYPE_CHECKING:
    from savemode_cli.config import Settings
    from savemode_cli.core.replay.bodies import Judged
    from savemode_cli.core.replay.recording import Wanted
    from savemode_cli.core.replay.report import Replay
    from savemode_cli.readers.problems import Problems
    from savemode_cli.readers.reader import Reader
    from savemode_cli.readers.replayed_files import ReplayedFiles
    from savemode_cli.readers.sessions import Executor
    from savemode_cli.views.replay_words import Shown


class ReplayCommand(Command):
    """
    The command `replay`, whose help lists the readers that are registered.
    """

    def format_epilog(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - its signature is click's
        """
        List the formats and the policies after the options. They are imported here, so that other commands start fast.
        """
        from savemode_cli.core.replay.policies import REPLAY_POLICIES
        from savemode_cli.readers.registry import READERS

        with formatter.section("Formats, recognised by content"):
            formatter.write_dl([(reader.name, reader.title) for reader in READERS.values()])
        with formatter.section("Policies that are compared"):
            formatter.write_dl([(policy.name, policy.description) for policy in REPLAY_POLICIES.values()])


def replay(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH...", help="Transcripts, captures, bodies, HAR files, cassettes, or folders."),
    ],
    flags: Flags,
    since: Annotated[
        str | None, typer.Option(metavar="DAY", help="Only requests from this day or time on (UTC).")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="DAY", help="Only requests up to the end of this day.")] = None,
    session: Annotated[str | None, typer.Option(metavar="ID", help="Only sessions whose ID starts with this.")] = None,
    model: Annotated[str | None, typer.Option(metavar="NAME", help="Only models whose ID contains this.")] = None,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, max=64, help="Number of processes that read transcripts.", show_default="1"),
    ] = None,
    executor: Annotated[
        str | None,
        typer.Option(
            metavar="dask[://HOST:PORT]",
            help="Read transcripts on a Dask cluster: the one of this scheduler, or one that is started here with --jobs "
            "workers.  [default for them: one for each core]",
        ),
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show for each body what would be upgraded.")
    ] = False,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Write the bodies that would be sent.")] = None,
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write a chart (.svg).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Output JSON.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Exit with 1 if the cache model's predictions are not accurate enough.")
    ] = False,
) -> None:
    """
    Show what recorded traffic cost, and what it would have cost with another cache TTL.
    """
    from savemode_cli.core.replay.recording import Wanted

    settings = flags.settings()
    wanted = Wanted(moment("--since", since), moment("--until", until, end=True), session, model)
    check_span(wanted.since, wanted.until)
    _check_chart_name(plot)
    rows: list[dict[str, Any]] = []
    watch = _watcher(out, rows if as_json else None, verbose=verbose)
    readers = _executor(executor, jobs)
    files, others = _files(paths)
    shown = _replayed(files, others, settings, wanted, readers, watch)
    if plot is not None:
        _draw(plot, shown)
    if as_json:
        from savemode_cli.views.replay_json import to_json

        echo_json({**to_json(shown), **({"bodies": rows} if verbose else {})})
    else:
        from savemode_cli.views.replay import show

        show(shown, console(), verbose=verbose)
    if check and shown.replay.grade.problem:
        raise typer.Exit(1)


def _executor(name: str | None, jobs: int | None) -> "Executor":
    """
    Who reads transcripts.

    Raises:
        BadInput: there is no such executor, or both options say how many workers there are.
    """
    if name is None:
        from savemode_cli.readers.processes import Processes

        return Processes(jobs or 1)
    from savemode_cli.readers.dask_cluster import DaskCluster

    if jobs is not None and "://" in name:
        raise BadInput(f"--jobs has no effect on the cluster {name}", hint="omit --jobs")
    return DaskCluster(name, jobs or os.cpu_count() or 1)


REPLAY = Definition(replay, cls=ReplayCommand)


def _files(paths: Sequence[str]) -> "tuple[list[tuple[Path, Reader]], int]":
    """
    The files that a reader recognises, each with its reader, and how many others there are.
    """
    from savemode_cli.readers.files import readable, walk, why_unrecognised

    every = list(walk(paths))
    files = list(readable(every))
    if not files:
        why = f"; {every[0].name}: {why_unrecognised(every[0])}" if every else ""
        raise BadInput(
            f"{', '.join(paths)}: no recorded traffic in {len(every):,} file{'' if len(every) == 1 else 's'}{why}",
            hint="give the folder of Claude Code's transcripts, like ~/.claude/projects, of captures, or recorded bodies",
        )
    return files, len(every) - len(files)


def _watcher(out: Path | None, rows: list[dict[str, Any]] | None, *, verbose: bool) -> "Callable[[Judged], None]":
    """
    A function that is called with each body: it shows the body's row, and writes its file.

    Args:
        out: the folder of the files; None to write none.
        rows: collects the rows for JSON; None to print them.
        verbose: whether there are rows.
    """
    from savemode_cli.readers.replayed_bodies import writer
    from savemode_cli.views.upgrades import row, row_json

    watchers: list[Callable[[Judged], object]] = [] if out is None else [writer(out)]
    if verbose and rows is None:
        watchers.append(lambda judgement: echo(row(judgement)))
    elif verbose and rows is not None:
        watchers.append(lambda judgement: rows.append(row_json(judgement)))

    def watch(judgement: "Judged") -> None:
        for watcher in watchers:
            watcher(judgement)

    return watch


def _replayed(
    files: "Sequence[tuple[Path, Reader]]",
    others: int,
    settings: "Settings",
    wanted: "Wanted",
    executor: "Executor",
    watch: "Callable[[Judged], None]",
) -> "Shown":
    from savemode_cli.core.replay.report import summed
    from savemode_cli.prices import load_prices
    from savemode_cli.readers.problems import Problems
    from savemode_cli.readers.replayed_files import bytes_to_read, replay_files
    from savemode_cli.readers.sessions import Work

    listed = None if settings.price_file is None else partial(load_prices, None)
    work = Work(partial(load_prices, settings.price_file), wanted, _is_idle_prone(settings), listed)
    problems = Problems()
    with progress(bytes_to_read(files)) as advance:
        done = replay_files(files, settings, work, executor, problems, advance, watch)
    return _shown(summed(done.sessions), settings, problems, done, _counted(files), others)


def _counted(files: "Sequence[tuple[Path, Reader]]") -> "dict[Reader, int]":
    from savemode_cli.readers.registry import READERS

    counts = {reader: sum(own is reader for _, own in files) for reader in READERS.values()}
    return {reader: count for reader, count in counts.items() if count}


def _shown(
    replay: "Replay",
    settings: "Settings",
    problems: "Problems",
    done: "ReplayedFiles",
    files: "dict[Reader, int]",
    others: int,
) -> "Shown":
    from savemode_cli.views.replay_words import Shown

    bodies = done.bodies
    if bodies is not None:
        replay = changed(replay, copies=replay.copies + bodies.copies)
    return Shown(
        replay,
        product=settings.product,
        idle_prone=_is_idle_prone(settings),
        malformed=problems.count,
        problems=[str(problem) for problem in problems.named],
        files={reader.name: count for reader, count in files.items()},
        formats={reader.name: reader.title for reader in files},
        ignored_files=others,
        upgrades=None if bodies is None else bodies.upgrades,
        unusable={} if bodies is None else bodies.unusable,
        other_requests=problems.other_requests,
        ways=done.ways,
    )


def _is_idle_prone(settings: "Settings") -> bool:
    return settings.products.idle_prone.get(settings.product, False)


def _check_chart_name(file: Path | None) -> None:
    """
    Refuse a file that cannot be a chart or cannot be written, before an hour of reading is lost.
    """
    if file is None:
        return
    if file.suffix.lower() != ".svg":
        raise BadInput(f"--plot {file.name} does not end in .svg", hint="like --plot cost.svg")
    if not file.parent.is_dir():
        raise BadInput(f"cannot write {file}: no such file or directory", hint="give a different file")
    if file.is_dir() or not os.access(file if file.exists() else file.parent, os.W_OK):
        raise BadInput(
            f"cannot write {file}: it is a folder, or you have no permission to write it", hint="give a different file"
        )


def _draw(file: Path, shown: "Shown") -> None:
    from savemode_cli.views.chart import svg

    try:
        file.write_text(svg(shown.replay), encoding="utf-8")
    except OSError as error:
        raise BadInput(f"cannot write {file}: {reason(error)}", hint="give a different file") from None
