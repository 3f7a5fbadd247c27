"""
How a ledger on a server is asked: what is sent, what is read from the answers, and what happens if no answer comes.

Rule of this file: it sends nothing. A call is a generator of questions, to which the caller sends answers, or throws `NotAsked`.

A step that may have been done and was not answered is given up before anything else is asked: `Undo` takes back the holds that
it made, and refuses it should it arrive yet. So "nothing was changed" is true of its reserves. Its settles are kept by the
caller, who repeats them, and each is charged once.
"""

import secrets
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from savemode_cli.core.budget.admission import Balance, Decision, rolling_in_the_way, with_free_time
from savemode_cli.core.budget.ledger import (
    Looked,
    Posted,
    Reserve,
    Settle,
    TermsChanged,
    check_posted,
)
from savemode_cli.core.errors import LedgerUnavailable
from savemode_cli.ledgers.remote.connection import Contact, ServerClock
from savemode_cli.ledgers.remote.encoding import (
    MOST_LEAVING,
    PlannedReserve,
    balance_of,
    decision_of,
    is_listed,
    leaving,
    leaving_of,
    planned,
    step_arguments,
)
from savemode_cli.ledgers.remote.questions import NoAnswer, NotAsked, Question, ReadLeaving, ReadTerms, Step, Undo
from savemode_cli.ledgers.remote.texts import Terms, left_until, lettered

T = TypeVar("T")
Asking = Generator[Question, Any, T]

_MOST_CHANGES = 20  # of the terms, during one call
_KEYS_AT_ONCE = 200


class Steps:
    """
    What one client of a server knows: the terms, the clock, and which steps were not answered. Belongs to one thread.
    """

    def __init__(self, shown: str, clock: Callable[[], float] = time.time) -> None:
        """
        Args:
            shown: the address, for errors.
            clock: the clock of this machine, in seconds since 1970.
        """
        self.clock = ServerClock(clock)
        self.contact = Contact(time.monotonic)
        self.terms: Terms | None = None
        self._shown = shown
        self._step = secrets.token_hex(8)
        self._given_up: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def post(self, settles: Sequence[Settle], reserves: Sequence[Reserve], *, strictly: bool = False) -> Asking[Posted]:
        """
        See `Ledger.post`.

        Args:
            settles: what to settle.
            reserves: what to judge and hold.
            strictly: whether to raise `TermsChanged` as `AsyncLedger.post` does.
        """
        check_posted(settles, reserves)
        wanted = {key: one.now for one in settles for key in one.keys}
        ids = tuple(one.hold.id for one in reserves)
        terms = Terms("*")
        plans: list[PlannedReserve] = []
        answer: list[Any] = ["terms"]
        while answer[0] == "terms":
            terms = (yield from self._known_terms()) if reserves else terms
            plans = [planned(one, terms) for one in reserves]
            answer = yield from self._stepped(terms.version, step_arguments(settles, wanted, plans), ids)
            if answer[0] == "terms":
                yield from self._read_terms(strictly=strictly)
        _, _, settled, balances, decisions = answer
        judged = []
        for plan, decision in zip(plans, decisions, strict=True):
            judged.append((yield from self._decision(plan, decision)))
        return Posted(settled, _balances(wanted, balances), judged, terms.allowed_until if reserves else None)

    def look(self, keys: Sequence[str], now: datetime) -> Asking[Looked]:
        """
        See `AsyncLedger.look`.
        """
        terms = yield from self._known_terms()
        wanted = dict.fromkeys(keys, now)
        answer = yield from self._stepped(terms.version, step_arguments((), wanted, ()), is_read=True)
        if answer[0] == "terms":
            yield from self._read_terms(strictly=True)
            terms = yield from self._known_terms()  # only the version was another one
            answer = yield from self._stepped("*", step_arguments((), wanted, ()), is_read=True)
        return Looked(_balances(wanted, answer[3]), terms.allowances)

    def balances(self, keys: Sequence[str], now: datetime) -> Asking[dict[str, Balance]]:
        """
        The balances of those of these keys that a ledger lists.
        """
        found: dict[str, Balance] = {}
        for start in range(0, len(keys), _KEYS_AT_ONCE):
            wanted = dict.fromkeys(keys[start : start + _KEYS_AT_ONCE], now)
            answer = yield from self._stepped("*", step_arguments((), wanted, ()), is_read=True)
            listed = zip(wanted, answer[3], strict=True)
            found |= {key: balance_of(key, one) for key, one in listed if is_listed(one)}
        return found

    def balance(self, key: str, now: datetime) -> Asking[Balance]:
        """
        See `Ledger.balance`.
        """
        answer = yield from self._stepped("*", step_arguments((), {key: now}, ()), is_read=True)
        return balance_of(key, answer[3][0])

    def check(self) -> Asking[None]:
        """
        See `Ledger.check`.
        """
        yield from self._stepped("*", step_arguments((), {}, ()), must_write=True)

    def fresh_terms(self) -> Asking[Terms]:
        """
        The terms as they are now.
        """
        self.terms = yield from self._asked(ReadTerms())
        return self.terms

    def known_terms(self) -> Asking[Terms]:
        """
        The terms as this client knows them.
        """
        return (yield from self._known_terms())

    def resolved(self) -> Asking[None]:
        """
        Give up the steps that were not answered.
        """
        while self._given_up:
            steps = self._given_up
            sent_us = self.clock.now_us()
            answer = yield from self._asked(Undo(steps))
            self._given_up = tuple(one for one in self._given_up if one not in steps)
            self._learn_time(answer, sent_us)

    def unavailable(self, error: NotAsked) -> LedgerUnavailable:
        """
        The error for people.
        """
        hint = error.hint or "see that the server runs and can be reached; savemode doctor says more"
        return LedgerUnavailable(f"the ledger {self._shown} does not answer: {error.why}", hint=hint)

    def _stepped(
        self,
        terms: str,
        arguments: list[str],
        ids: tuple[str, ...] = (),
        *,
        is_read: bool = False,
        must_write: bool = False,
    ) -> Asking[list[Any]]:
        """
        The answer to a step, which is `ok` or `terms`.
        """
        before, tries = "", 0
        while True:
            yield from self.resolved()
            head = [self._step, before, terms, str(int(must_write))]
            sent_us = self.clock.now_us()
            try:
                answer: list[Any] = yield Step([*head, *arguments], is_read)
            except NoAnswer as error:
                tries += 1
                before = before if is_read else self._give_up(ids)
                if tries == 1 and error.is_stale:
                    continue
                raise self.unavailable(error) from error
            except NotAsked as error:
                raise self.unavailable(error) from error
            except GeneratorExit:
                # The caller does not wait any longer.
                if not is_read:
                    self._give_up(ids)
                raise
            if answer[0] != "fenced":
                self._learn_time(answer, sent_us)
                return self._checked(answer)
            self._step = secrets.token_hex(8)

    def _give_up(self, ids: tuple[str, ...]) -> str:
        """
        Remember a step that was not answered; the name of that step.
        """
        step, self._step = self._step, secrets.token_hex(8)
        self._given_up += ((step, ids),)
        return step

    def _checked(self, answer: list[Any]) -> list[Any]:
        match answer[0]:
            case "used":
                raise ValueError(f"hold {answer[1]} was used before")
            case "foreign":
                raise LedgerUnavailable(
                    f"the ledger {self._shown} has the format {answer[1]}, which this savemode does not know",
                    hint="use a newer savemode, or another ledger: add ?name=NAME to its address",
                )
            case "full":
                raise LedgerUnavailable(
                    f"the ledger {self._shown} cannot count more than a billion dollars under one key",
                    hint="use another ledger: add ?name=NAME to its address",
                )
        return answer

    def _learn_time(self, answer: list[Any], sent_us: int) -> None:
        if answer[0] == "ok":
            seconds, microseconds = answer[1]
            self.clock.learn(int(seconds) * 1_000_000 + int(microseconds), sent_us)

    def _known_terms(self) -> Asking[Terms]:
        if self.terms is None:
            self.terms = yield from self._asked(ReadTerms())
        return self.terms

    def _read_terms(self, *, strictly: bool) -> Asking[None]:
        """
        Read the terms again, because their version has changed.
        """
        known = self.terms
        present = self.terms = yield from self._asked(ReadTerms())
        if strictly and known is not None and known.content[:2] != present.content[:2]:
            raise TermsChanged

    def _asked(self, question: Question) -> Asking[Any]:
        """
        The answer to a question that changes nothing, or may be repeated. It is asked again if the connection was stale.
        """
        for is_last in (False, True):
            try:
                return (yield question)
            except NoAnswer as error:
                if is_last or not error.is_stale:
                    raise self.unavailable(error) from error
            except NotAsked as error:
                raise self.unavailable(error) from error
        raise AssertionError  # pragma: no cover - the last one returns or raises

    def _decision(self, one: PlannedReserve, answer: list[Any]) -> Asking[Decision]:
        decision = decision_of(one, answer)
        standing = rolling_in_the_way(decision)
        if standing is None:
            return decision
        key = standing.limit.key
        charges = leaving_of(one, key, answer)
        if len(charges) >= MOST_LEAVING:
            found = with_free_time(decision, charges)
            in_the_way = rolling_in_the_way(found)
            if in_the_way is not None and in_the_way.frees_at is not None:
                return found
            try:
                pairs = yield ReadLeaving(lettered(key), left_until(key, one.reserve.now))
                charges = leaving(key, pairs)
            except NotAsked:
                pass  # it is refused all the same; only when it may start is not known
        return with_free_time(decision, charges)


def _balances(wanted: Mapping[str, datetime], answers: Sequence[Any]) -> dict[str, Balance]:
    return {key: balance_of(key, answer) for key, answer in zip(wanted, answers, strict=True)}
