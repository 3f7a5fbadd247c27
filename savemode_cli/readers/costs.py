"""
What recorded traffic cost, request by request, for `simulate-budget`.

Rule of this file: it uses the price table and the readers, and has no rules of its own.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path

from savemode_cli.core.budget.trace import Request
from savemode_cli.core.money.mix import TokenMix
from savemode_cli.core.money.pricing import PriceTable
from savemode_cli.core.replay.rates import RequestRates
from savemode_cli.core.replay.stated import account, unlisted
from savemode_cli.core.wire.facts import facts
from savemode_cli.core.wire.usage import Usage
from savemode_cli.readers.answers import Ids
from savemode_cli.readers.files import calls_in, readable, walk
from savemode_cli.readers.problems import Problems
from savemode_cli.readers.reader import Reader
from savemode_cli.readers.registry import TRANSCRIPTS
from savemode_cli.readers.transcript_files import groups
from savemode_cli.readers.transcripts import read_group


def recorded_files(name: str) -> list[tuple[Path, Reader]]:
    """
    The files of recorded traffic at or below a path. Empty if the path is a trace of costs or does not exist.
    """
    if name == "-" or not Path(name).exists():
        return []
    return list(readable(walk([name])))


def recorded_costs(
    files: Sequence[tuple[Path, Reader]],
    prices: PriceTable,
    problems: Problems,
    mix: TokenMix | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> list[Request]:
    """
    Each request with its time, its whole cost and its duration, in the order in which the requests were sent.

    A model without a price is charged at the highest known rates, as in `serve`.

    Args:
        files: files of recorded traffic, each with its reader.
        prices: what tokens cost.
        problems: counts what cannot be read.
        mix: collects the tokens of each request.
        advance: called with the number of bytes that were read since the last call.
    """
    mix = TokenMix() if mix is None else mix
    requests = [
        *_in_transcripts(files, prices, problems, mix, advance),
        *_in_bodies(files, prices, problems, mix, advance),
    ]
    return sorted(requests, key=_when)


def recorded_usages(files: Sequence[tuple[Path, Reader]], problems: Problems) -> Iterator[Usage]:
    """
    The usage of each request, in no particular order.
    """
    ids = Ids()
    for group in groups(path for path, reader in files if reader is TRANSCRIPTS):
        yield from (request.usage for request in read_group(group, ids, problems).requests if not request.copy)
    for path, reader in files:
        yield from (call.usage for call in calls_in(path, reader, problems) if call.usage is not None)


def _in_transcripts(
    files: Sequence[tuple[Path, Reader]],
    prices: PriceTable,
    problems: Problems,
    mix: TokenMix,
    advance: Callable[[int], None],
) -> Iterator[Request]:
    """
    The answers, and the cost that only the client's own count contains, as a request without duration at the time of that
    count.
    """
    ids, accounts, rates = Ids(), [], RequestRates(prices)
    for group in groups(path for path, reader in files if reader is TRANSCRIPTS):
        session = read_group(group, ids, problems)
        for request in session.requests:
            if not request.copy:
                mix.add(request.usage)
                yield _request(request.usage, request.model, request.started_at, request.ended_at, prices)
        accounts.append(account(session, rates.whole_nusd))
        advance(group.bytes)
    for count in unlisted(one_account for one_account in accounts if one_account is not None):
        yield Request(count.at, count.nusd)


def _in_bodies(
    files: Sequence[tuple[Path, Reader]],
    prices: PriceTable,
    problems: Problems,
    mix: TokenMix,
    advance: Callable[[int], None],
) -> Iterator[Request]:
    for path, reader in files:
        if reader is not TRANSCRIPTS:
            advance(path.stat().st_size)
        for call in calls_in(path, reader, problems):
            if call.usage is None or call.started_at is None:
                problems.add(call.place, None, f"no {'usage' if call.usage is None else 'time'} was recorded")
                continue
            mix.add(call.usage)
            yield _request(
                call.usage, facts(call.body).model, call.started_at, call.ended_at or call.started_at, prices
            )


def _request(usage: Usage, model: str | None, started: datetime, ended: datetime, prices: PriceTable) -> Request:
    return Request(started, prices.bill(usage, model, started).cost.total_nusd, ended - started)


def _when(request: Request) -> datetime:
    return request.at
