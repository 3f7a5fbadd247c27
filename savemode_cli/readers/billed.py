"""
The billed requests of recorded traffic, each once: from transcripts, captures, other recordings, and ledgers.

Rule of this file: it reads through the readers and takes every price from the price table. It computes no totals.

Two records may contain the same request. The reader of transcripts marks copies between transcripts. A request in two
other files is recognised by its time in milliseconds and its usage. If a session has a transcript, its requests in other
records are left out, because another program measured their times.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from savemode_cli.captures.file import is_store
from savemode_cli.core.budget.ledger import CLAIMS, Charge
from savemode_cli.core.errors import BadHeader, SavemodeError
from savemode_cli.core.exchange.billed import billed_request
from savemode_cli.core.exchange.totals import BilledRequest, MissedRead, beside
from savemode_cli.core.money.pricing import PriceTable, nusd_of
from savemode_cli.core.replay.inference import LaneRequest, lane_requests
from savemode_cli.core.replay.misses import miss_of
from savemode_cli.core.replay.rates import RequestRates
from savemode_cli.core.replay.recording import Call, Session
from savemode_cli.core.replay.stated import Account, account, unlisted
from savemode_cli.core.wire.caller import Caller, read_caller
from savemode_cli.core.wire.facts import facts
from savemode_cli.core.wire.products import PRODUCTS
from savemode_cli.core.wire.route import read_route
from savemode_cli.core.wire.sessions import named_session_key, session_key
from savemode_cli.core.wire.usage import Usage
from savemode_cli.readers.answers import Ids
from savemode_cli.readers.files import calls_in
from savemode_cli.readers.problems import Problems
from savemode_cli.readers.reader import Reader
from savemode_cli.readers.registry import TRANSCRIPTS
from savemode_cli.readers.transcript_files import groups
from savemode_cli.readers.transcripts import read_group

_Key = tuple[datetime, Usage]


@dataclass(slots=True)
class BilledRequests:
    """
    Reads the billed requests of files.
    """

    prices: PriceTable
    list_prices: PriceTable
    """The prices that the client counts with, which are those of the price page."""
    advance: Callable[[int], None] = lambda _: None
    """Called with the number of bytes that were read since the last call."""
    problems: Problems = field(default_factory=Problems)
    copies: int = 0
    """How many requests were left out because another record contains them too."""
    unusable: int = 0
    """How many recorded requests have no time, or no usage."""
    _transcribed: set[tuple[str, str]] = field(default_factory=set)
    """The agents and sessions that have transcripts."""
    _keys: dict[str, set[str]] = field(default_factory=dict)
    """The session keys of these sessions, by product."""
    _files: dict[_Key, Path] = field(default_factory=dict)

    def of_files(self, files: Sequence[tuple[Path, Reader]]) -> Iterator[BilledRequest]:
        """
        The requests of some files, each with its reader, in no particular order.
        """
        yield from self._of_transcripts(path for path, reader in files if reader is TRANSCRIPTS)
        others = [file for file in files if file[1] is not TRANSCRIPTS]
        for path, reader in sorted(others, key=lambda file: file[1].rank):
            requests = self._of_store(path) if is_store(path) else self._of_calls(path, reader)
            for key, product, request in requests:
                if self._is_new(key, path, product, request.session):
                    yield request
            self.advance(path.stat().st_size)

    def _of_transcripts(self, paths: Iterable[Path]) -> Iterator[BilledRequest]:
        rates, ids = RequestRates(self.prices), Ids()
        list_rates = rates if self.list_prices is self.prices else RequestRates(self.list_prices)
        accounts: list[Account | None] = []
        projects: dict[str, str] = {}
        for group in groups(paths):
            session = read_group(group, ids, self.problems)
            self._transcribed.update((request.agent, session.id) for request in session.requests)
            projects[session.id] = group.project
            accounts.append(account(session, list_rates.whole_nusd))
            yield from self._of_session(session, group.project, rates)
            self.advance(group.bytes)
        for count in unlisted(one_account for one_account in accounts if one_account is not None):
            yield BilledRequest(
                at=count.at,
                cost_nusd=count.nusd,
                requests=0,
                session=count.session,
                agent="",
                project=projects[count.session],
            )

    def _of_session(self, session: Session, project: str, rates: RequestRates) -> Iterator[BilledRequest]:
        self.copies += session.repeated
        for item in lane_requests(session.requests):
            request = item.request
            if request.copy:
                self.copies += 1
                continue
            bill = self.prices.bill(request.usage, request.model, request.started_at)
            yield BilledRequest(
                at=request.started_at,
                cost_nusd=bill.cost.total_nusd,
                model=request.model,
                project=project,
                session=request.session,
                agent=request.agent,
                tokens=request.usage.tokens,
                beside=beside(request.usage),
                web_searches=request.usage.web_searches,
                is_priced=bill.state != "unpriced",
                is_partial=request.partial_output,
                missed=_missed(item, rates),
            )

    def _of_store(self, path: Path) -> Iterator[tuple[_Key, str, BilledRequest]]:
        """
        The requests of a capture store. The bodies are not read.
        """

        def damaged(number: int, error: SavemodeError) -> None:
            self.problems.add(f"{path.name}: capture {number}", None, error.message)

        from savemode_cli.captures.store import CaptureStore  # noqa: PLC0415 - transcripts do not need it

        try:
            store = CaptureStore.open(path)
        except SavemodeError as error:
            self.problems.add(path.name, None, error.message)
            return
        try:
            for row in store.rows(damaged=damaged):
                exchange = row.capture.exchange
                request = billed_request(exchange)
                if request is not None:
                    key = exchange.started_at, exchange.bill.usage or Usage()
                    yield key, exchange.call.product, request
        finally:
            store.close()

    def _of_calls(self, path: Path, reader: Reader) -> Iterator[tuple[_Key, str, BilledRequest]]:
        for call in calls_in(path, reader, self.problems):
            if call.usage is None or call.started_at is None:
                self.unusable += 1
            else:
                caller = _caller(call)
                key = call.started_at, call.usage
                yield key, caller.product, self._of_call(call, caller, call.usage, call.started_at)

    def _of_call(self, call: Call, caller: Caller, usage: Usage, at: datetime) -> BilledRequest:
        request_facts = facts(call.body)
        bill = self.prices.bill(usage, request_facts.model, at)
        return BilledRequest(
            at=at,
            cost_nusd=bill.cost.total_nusd,
            model=request_facts.model,
            session=call.session or session_key(caller, request_facts),
            agent=caller.agent_id or "",
            tokens=usage.tokens,
            beside=beside(usage),
            web_searches=usage.web_searches,
            is_priced=bill.state != "unpriced",
        )

    def _is_new(self, key: _Key, path: Path, product: str, session: str | None) -> bool:
        """
        Whether no earlier file and no transcript contains the same request.
        """
        at, usage = key
        moment = at.replace(microsecond=at.microsecond // 1000 * 1000)  # an HTTP archive has times in milliseconds
        if product not in self._keys:
            self._keys[product] = {
                named_session_key(product, agent, session_id) for agent, session_id in self._transcribed
            }
        is_new = self._files.setdefault((moment, usage), path) == path and session not in self._keys[product]
        self.copies += not is_new
        return is_new


def _caller(call: Call) -> Caller:
    """
    The caller of a recorded call. A path or a header that `serve` would refuse is treated as absent.
    """
    product = PRODUCTS.default
    with suppress(BadHeader):
        product = read_route(call.path, PRODUCTS).product
    try:
        return read_caller(call.headers, product, PRODUCTS)
    except BadHeader:
        return read_caller((), product, PRODUCTS)


def of_charges(charges: Iterable[Charge]) -> Iterator[BilledRequest]:
    """
    The charges of a ledger, which have only amounts, models and times.
    """
    for charge in charges:
        if charge.keys == (CLAIMS,):
            continue
        yield BilledRequest(at=charge.settled_at, cost_nusd=charge.nusd, model=charge.model or None)


def _missed(item: LaneRequest, rates: RequestRates) -> tuple[MissedRead, ...]:
    miss = miss_of(item)
    if miss is None:
        return ()
    price = rates(item.request)
    written = price.write_1h if item.ttl == "1h" else price.write_5m
    return (MissedRead(miss.cause, miss.tokens, nusd_of(miss.tokens * (written - price.read))),)
