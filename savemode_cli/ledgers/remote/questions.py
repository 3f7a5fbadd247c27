"""
What a server of a ledger is asked, and how it may fail to answer.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """
    One step, see `encoding.step_arguments`. The answer: `["ok", TIME, settled, balances, decisions]`, or why nothing was done:
    `["terms"]`, `["used", ID]`, `["fenced"]`, `["full"]`, `["foreign", VERSION]`.
    """

    arguments: list[str]
    is_read: bool = False
    """Whether it writes nothing."""


@dataclass(frozen=True, slots=True)
class Undo:
    """
    Take back the holds of steps that were given up, and refuse these steps should they arrive yet. The answer: `["ok", TIME]`.
    """

    steps: tuple[tuple[str, tuple[str, ...]], ...]
    """The name of each step, and the ids of the holds that it asked for."""


@dataclass(frozen=True, slots=True)
class ReadTerms:
    """
    The answer: the `Terms`.
    """


@dataclass(frozen=True, slots=True)
class ReadLeaving:
    """
    The charges of a key that are younger than a time. The answer: pairs of "NUSD:ID" and the time, in their order.
    """

    key: str
    """With its letter."""
    since_us: str


Question = Step | Undo | ReadTerms | ReadLeaving


class NotAsked(Exception):
    """
    The server did not do what it was asked to do: it could not be reached, or it answered with an error.
    """

    def __init__(self, why: str, hint: str = "") -> None:
        """
        Args:
            why: the reason, for people.
            hint: what to do.
        """
        super().__init__(why)
        self.why = why
        self.hint = hint


class NoAnswer(NotAsked):
    """
    The server was asked and did not answer, so it is not known whether it did what it was asked to do.
    """

    def __init__(self, why: str, *, is_stale: bool = False) -> None:
        """
        Args:
            why: the reason, for people.
            is_stale: whether the connection is one that worked before, so that a new one may work at once.
        """
        super().__init__(why)
        self.is_stale = is_stale
