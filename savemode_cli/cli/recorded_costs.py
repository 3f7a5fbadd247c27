"""
What recorded traffic cost, request by request, for a budget to be rehearsed on.

Rule of this file: one price table and one reader for all; it adds nothing to what they say.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from savemode_cli.cli.captured import calls_in, holds_bodies
from savemode_cli.core.messages import facts
from savemode_cli.core.pricing import PriceTable, Usage
from savemode_cli.core.rehearsal import Request
from savemode_cli.readers.files import Kind, kind_of, walk
from savemode_cli.readers.problems import Problems
from savemode_cli.readers.transcripts import Ids, groups, read_group


def recorded_files(name: str) -> list[tuple[Path, Kind]]:
    """
    The files of recorded traffic at or below a path; none if it is a trace of costs, or is not there.
    """
    path = Path(name)
    if name == "-" or not path.exists():
        return []
    known = ((file, kind_of(file)) for file in walk([name]))
    return [(file, kind) for file, kind in known if kind == "transcript" or holds_bodies(file, kind)]


def recorded_costs(files: Sequence[tuple[Path, Kind]], prices: PriceTable, problems: Problems) -> list[Request]:
    """
    Each request with its time, its whole cost and how long it ran, in the order in which they were sent.

    A model without a price costs the dearest known one, as it does in `serve`.
    """
    found = [*_in_transcripts(files, prices, problems), *_in_bodies(files, prices, problems)]
    return sorted(found, key=_when)


def _in_transcripts(files: Sequence[tuple[Path, Kind]], prices: PriceTable, problems: Problems) -> Iterator[Request]:
    ids = Ids()
    for group in groups(path for path, kind in files if kind == "transcript"):
        for one in read_group(group, ids, problems).requests:
            if not one.copy:
                yield _request(one.usage, one.model, one.started_at, one.ended_at, prices)


def _in_bodies(files: Sequence[tuple[Path, Kind]], prices: PriceTable, problems: Problems) -> Iterator[Request]:
    for path, kind in files:
        if kind == "transcript":
            continue
        for call in calls_in(path, kind, problems):
            if call.usage is None or call.started_at is None:
                problems.add(call.place, None, f"no {'usage' if call.usage is None else 'time'} was recorded")
                continue
            yield _request(
                call.usage, facts(call.body).model, call.started_at, call.ended_at or call.started_at, prices
            )


def _request(usage: Usage, model: str | None, started: datetime, ended: datetime, prices: PriceTable) -> Request:
    return Request(started, prices.bill(usage, model, started).cost.total_nusd, ended - started)


def _when(request: Request) -> datetime:
    return request.at
