"""
The lines in which Claude Code writes what a session has cost so far.

Rule of this file: it reads these counts and determines when each was written. `core.replay.stated` interprets them.

Since August 2026, clients write a `cost-state` line into the main conversation's file at the end of each run. The line
has no time.
"""

from datetime import datetime

import msgspec
from msgspec import Struct

from savemode_cli.core.money.amounts import MOST_NUSD, NUSD_PER_USD
from savemode_cli.core.replay.recording import StatedCost
from savemode_cli.readers.times import YEARS, utc

COST_LINE = "cost-state"


class _CostState(Struct, gc=False):
    totalCostUSD: float | None = None  # noqa: N815 - as it is spelled in the file
    startTime: float | None = None  # noqa: N815
    hasUnknownModelCost: bool | None = None  # noqa: N815


_decode = msgspec.json.Decoder(_CostState).decode


class _Count:
    """
    One line, until the record after it is read.
    """

    __slots__ = ("after", "at", "read", "total_nusd", "until")

    def __init__(self, read: _CostState, total_nusd: int, at: datetime | None, after: datetime | None) -> None:
        self.read = read
        self.total_nusd = total_nusd
        self.at = at
        self.after = after
        self.until: datetime | None = None


class CostLines:
    """
    The counts of one session, with the times of the records before and after them.
    """

    def __init__(self) -> None:
        self._counts: list[_Count] = []
        self._open: list[_Count] = []
        self._at: datetime | None = None
        self._after: datetime | None = None

    def pause(self) -> None:
        """
        Start another file: its records do not follow a count of the previous file.
        """
        self._open.clear()
        self._at = self._after = None

    def take(self, line: bytes) -> None:
        """
        Read one such line. A line without a plausible count is ignored.

        Raises:
            msgspec.DecodeError: a field has an unknown type.
        """
        read = _decode(line)
        dollars = read.totalCostUSD
        if dollars is None or not 0 <= dollars * NUSD_PER_USD <= MOST_NUSD:
            return
        count = _Count(read, round(dollars * NUSD_PER_USD), None if self._at is None else utc(self._at), self._after)
        self._counts.append(count)
        self._open.append(count)

    def record(self, at: datetime) -> None:
        """
        Set the time of the next record of the main conversation.
        """
        if at.year not in YEARS:
            return
        self._at = at
        if self._open:
            for count in self._open:
                count.until = utc(at)
            self._open.clear()

    def answer(self, ended_at: datetime) -> None:
        """
        Set the time of the next line of an answer of the main conversation.
        """
        self._after = ended_at

    def stated(self) -> tuple[StatedCost, ...]:
        """
        All counts, in order. A count without a record before or after it has no time and is left out.
        """
        return tuple(
            StatedCost(
                count.total_nusd,
                at,
                count.after,
                count.until,
                count.read.startTime,
                certain=not count.read.hasUnknownModelCost,
            )
            for count in self._counts
            if (at := count.at or count.until) is not None
        )
