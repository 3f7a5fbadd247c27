"""
A ledger on a server for commands: its calls wait.

Rule of this file: it asks one question at a time, behind one lock.
"""

import contextlib
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from threading import Lock
from typing import Any, TypeVar

from savemode_cli.core.budget.admission import Balance, Hold
from savemode_cli.core.budget.budget import Budget, aware
from savemode_cli.core.budget.ledger import Charge, OpenHold, Posted, Reserve, Settle
from savemode_cli.core.budget.open_holds import is_expired
from savemode_cli.core.budget.personal import Allowance, PersonalLimit
from savemode_cli.core.errors import LedgerUnavailable
from savemode_cli.ledgers.remote.questions import NoAnswer, NotAsked, Question
from savemode_cli.ledgers.remote.steps import Asking, Steps
from savemode_cli.ledgers.remote.texts import Terms, kept_budget

T = TypeVar("T")


class RemoteLedger(ABC):
    """
    A `Ledger` whose server is asked by the methods that a back end adds.
    """

    def __init__(self, steps: Steps) -> None:
        """
        Args:
            steps: what the client of this server knows.
        """
        self._steps = steps
        self._lock = Lock()
        self._closed = False

    @property
    def clock_offset(self) -> timedelta:
        """
        See `Ledger`.
        """
        return self._steps.clock.offset

    def post(self, settles: Sequence[Settle], reserves: Sequence[Reserve]) -> Posted:
        """
        See `Ledger`.
        """
        return self._run(self._steps.post(settles, reserves))

    def release(self, hold_id: str) -> bool:
        """
        See `Ledger`.
        """
        call_id = secrets.token_hex(8)
        return self._call(lambda: self._release(hold_id, call_id))

    def balance(self, key: str, now: datetime) -> Balance:
        """
        See `Ledger`.
        """
        return self._run(self._steps.balance(key, now))

    def balances(self, now: datetime) -> dict[str, Balance]:
        """
        See `Ledger`. Each key is read at a moment of its own.
        """
        keys = self._call(self._read_keys)
        return self._run(self._steps.balances(sorted(keys), now))

    def holds(self, now: datetime) -> tuple[OpenHold, ...]:
        """
        See `Ledger`.
        """
        holds = self._call(self._read_holds)
        return tuple(OpenHold(hold, is_expired(hold.expires_at, now)) for hold in holds)

    def charges(self, since: datetime | None = None) -> tuple[Charge, ...]:
        """
        See `Ledger`.
        """
        return self._call(lambda: self._read_charges(since))

    def allow(self, until: datetime | None, budget: str = "", who: str = "") -> None:
        """
        See `Ledger`.
        """
        if until is not None:
            aware(until)

        def change(terms: Terms) -> Terms:
            if until is None and not budget:
                return replace(terms, allowances=())
            others = tuple(one for one in terms.allowances if (one.budget, one.who) != (budget, who))
            return replace(terms, allowances=others if until is None else (*others, Allowance(until, budget, who)))

        self._change(change)

    def allowed_until(self) -> datetime | None:
        """
        See `Ledger`.
        """
        return self._run(self._steps.fresh_terms()).allowed_until

    def allowances(self) -> tuple[Allowance, ...]:
        """
        See `Ledger`.
        """
        return self._run(self._steps.fresh_terms()).allowances

    def set_limit(self, limit: PersonalLimit) -> None:
        """
        See `Ledger`.
        """

        def change(terms: Terms) -> Terms:
            others = tuple(one for one in terms.limits if (one.budget, one.who) != (limit.budget, limit.who))
            return replace(terms, limits=(*others, replace(limit, set_at_us=terms.set_at(limit.set_at_us))))

        self._change(change)

    def drop_limit(self, budget: str, who: str) -> bool:
        """
        See `Ledger`.
        """
        return self._change(
            lambda terms: replace(
                terms, limits=tuple(one for one in terms.limits if (one.budget, one.who) != (budget, who))
            )
        )

    def limits(self) -> tuple[PersonalLimit, ...]:
        """
        See `Ledger`.
        """
        return self.terms()[1]

    def set_budget(self, budget: Budget) -> None:
        """
        See `Ledger`.
        """

        def change(terms: Terms) -> Terms:
            others = tuple(one for one in terms.budgets if one.name != budget.name)
            return replace(terms, budgets=(*others, kept_budget(budget, terms.set_at(budget.set_at_us))))

        self._change(change)

    def drop_budget(self, name: str) -> bool:
        """
        See `Ledger`.
        """
        had_it = False

        def change(terms: Terms) -> Terms:
            nonlocal had_it
            budgets = tuple(one for one in terms.budgets if one.name != name)
            had_it = had_it or len(budgets) < len(terms.budgets)
            return replace(terms, budgets=budgets, limits=tuple(one for one in terms.limits if one.budget != name))

        self._change(change)
        return had_it

    def budgets(self) -> tuple[Budget, ...]:
        """
        See `Ledger`.
        """
        return self.terms()[0]

    def terms(self) -> tuple[tuple[Budget, ...], tuple[PersonalLimit, ...]]:
        """
        See `Ledger`.
        """
        terms = self._run(self._steps.fresh_terms())
        return terms.budgets, terms.limits

    def check(self) -> None:
        """
        See `Ledger`.
        """
        self._run(self._steps.check())

    def concerns(self) -> tuple[tuple[str, str], ...]:
        """
        What about the server may cost counts one day: what it is, and what helps.

        Raises:
            LedgerUnavailable: the server does not answer.
        """
        return self._call(self._read_concerns)

    def _read_concerns(self) -> tuple[tuple[str, str], ...]:
        return ()

    def close(self) -> None:
        """
        See `Ledger`.
        """
        with self._lock:
            self._closed = True
            self._disconnect()

    @abstractmethod
    def _ask(self, question: Question) -> Any:
        """
        The answer of the server.

        Raises:
            NotAsked: the server did not answer.
        """

    @abstractmethod
    def _release(self, hold_id: str, call_id: str) -> bool:
        """
        See `Ledger.release`. Raises `NotAsked`, like all of these. A call of the same id that was not answered counts as this.
        """

    @abstractmethod
    def _read_keys(self) -> list[str]:
        """
        Every budget key that was ever used.
        """

    @abstractmethod
    def _read_holds(self) -> list[Hold]:
        """
        The holds neither settled nor released, in order.
        """

    @abstractmethod
    def _read_charges(self, since: datetime | None) -> tuple[Charge, ...]:
        """
        See `Ledger.charges`.
        """

    @abstractmethod
    def _change_terms(self, change: Callable[[Terms], Terms], version: str) -> bool:
        """
        Replace the terms by the result of `change`, in one step between which no other client changes them.

        Returns:
            Whether the terms have changed.


        Terms that already have this version are those of the same call, which was not answered.
        """

    @abstractmethod
    def _disconnect(self) -> None:
        """
        Close the connections.
        """

    def _run(self, asking: Asking[T]) -> T:
        with self._lock, contextlib.closing(asking):
            self._check_open()
            try:
                question = next(asking)
                while True:
                    try:
                        answer = self._ask(question)
                    except NotAsked as error:
                        question = asking.throw(error)
                    else:
                        question = asking.send(answer)
            except StopIteration as done:
                result: T = done.value
                return result

    def _change(self, change: Callable[[Terms], Terms]) -> bool:
        version = secrets.token_hex(8)
        return self._call(lambda: self._change_terms(change, version))

    def _call(self, call: Callable[[], T]) -> T:
        """
        The result of a call that may be repeated. It is repeated once if the connection was stale.
        """
        with self._lock:
            self._check_open()
            for is_last in (False, True):
                try:
                    return call()
                except NoAnswer as error:
                    if is_last or not error.is_stale:
                        raise self._steps.unavailable(error) from error
                except NotAsked as error:
                    raise self._steps.unavailable(error) from error
        raise AssertionError  # pragma: no cover - the last one returns or raises

    def _check_open(self) -> None:
        if self._closed:
            raise LedgerUnavailable("the ledger was closed", hint="open it again")
