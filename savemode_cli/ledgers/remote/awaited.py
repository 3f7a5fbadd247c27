"""
A ledger on a server for the event loop of a proxy: its calls are awaited.

Rule of this file: no call takes longer than the timeout of the address, whatever the server does.
"""

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from savemode_cli.core.budget.budget import Budget
from savemode_cli.core.budget.ledger import Looked, Posted, Reserve, Settle
from savemode_cli.core.budget.personal import PersonalLimit
from savemode_cli.ledgers.remote.questions import NoAnswer, NotAsked, Question
from savemode_cli.ledgers.remote.steps import Asking, Steps

T = TypeVar("T")

MOST_CALLS = 4
"""How many calls are under way at once, and so how many connections there are. The others wait for their turn."""


class AsyncRemoteLedger(ABC):
    """
    An `AsyncLedger` whose server is asked by the methods that a back end adds.
    """

    def __init__(self, steps: Steps, timeout_s: float) -> None:
        """
        Args:
            steps: what the client of this server knows.
            timeout_s: how long a call may take, in seconds.
        """
        self._steps = steps
        self._timeout_s = timeout_s
        self._slots: asyncio.Semaphore | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def clock_offset(self) -> timedelta:
        """
        See `AsyncLedger`.
        """
        return self._steps.clock.offset

    async def post(self, settles: Sequence[Settle], reserves: Sequence[Reserve]) -> Posted:
        """
        See `AsyncLedger`.
        """
        return await self._run(self._steps.post(settles, reserves, strictly=True))

    async def look(self, keys: Sequence[str], now: datetime) -> Looked:
        """
        See `AsyncLedger`.
        """
        return await self._run(self._steps.look(keys, now))

    async def terms(self) -> tuple[tuple[Budget, ...], tuple[PersonalLimit, ...]]:
        """
        See `AsyncLedger`.
        """
        terms = await self._run(self._steps.known_terms())
        return terms.budgets, terms.limits

    async def check(self) -> None:
        """
        See `AsyncLedger`.
        """
        await self._run(self._steps.check())

    async def disconnect(self) -> None:
        """
        See `AsyncLedger`.
        """
        await self._disconnect()

    async def close(self) -> None:
        """
        See `AsyncLedger`.
        """
        await self._disconnect()

    @abstractmethod
    async def _ask(self, question: Question) -> Any:
        """
        The answer of the server.

        Raises:
            NotAsked: the server did not answer.
        """

    @abstractmethod
    async def _disconnect(self) -> None:
        """
        Close the connections of the running event loop.
        """

    async def _run(self, asking: Asking[T]) -> T:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeout_s
        if self._slots is None or self._loop is not loop:
            self._slots, self._loop = asyncio.Semaphore(MOST_CALLS), loop
        async with self._slots:
            return await self._run_now(asking, deadline)

    async def _run_now(self, asking: Asking[T], deadline: float) -> T:
        with contextlib.closing(asking):
            try:
                question = next(asking)
                while True:
                    try:
                        answer = await self._answer(question, deadline)
                    except NotAsked as error:
                        question = asking.throw(error)
                    else:
                        question = asking.send(answer)
            except StopIteration as done:
                result: T = done.value
                return result

    async def _answer(self, question: Question, deadline: float) -> Any:
        try:
            async with asyncio.timeout_at(deadline):
                return await self._ask(question)
        except TimeoutError:
            raise NoAnswer(f"no answer within {self._timeout_s:g} s") from None
