"""
Records that could not be read: all of them are counted, and the first ones are listed with their places.

Rule of this file: a problem contains the place and what is wrong there, never content of the file.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeVar

Item = TypeVar("Item")

MAX_NAMED = 100


@dataclass(frozen=True, slots=True)
class Problem:
    """
    One record that was left out.
    """

    file: str
    """The file's name, or a place in the file."""
    line: int | None
    """The number of the line, from 1; None if the file has no lines."""
    what: str
    """What is wrong."""

    def __str__(self) -> str:
        """
        The problem in one line: `name.jsonl:12: not JSON`.
        """
        return f"{self.file}{'' if self.line is None else f':{self.line}'}: {self.what}"


@dataclass(slots=True)
class Problems:
    """
    All records that were left out.
    """

    count: int = 0
    """How many there are."""
    named: list[Problem] = field(default_factory=list)
    """The first hundred of them."""
    other_requests: int = 0
    """How many records are valid but not model calls, such as calls that count tokens."""

    def add(self, file: str, line: int | None, what: str) -> None:
        """
        Count a problem.
        """
        self.count += 1
        if len(self.named) < MAX_NAMED:
            self.named.append(Problem(file, line, what))

    def taken(self, found: Item | str | None, file: str, line: int | None = None) -> Iterator[Item]:
        """
        The item that a reader found. If the reader found none, this counts why.

        Args:
            found: the item, what is wrong with the record, or None for a request that is not a model call.
            file: the file, or a place in it.
            line: the number of the line, from 1.
        """
        if found is None:
            self.other_requests += 1
        elif isinstance(found, str):
            self.add(file, line, found)
        else:
            yield found

    def take(self, other: "Problems") -> None:
        """
        Add the problems that another reader counted.
        """
        self.count += other.count
        self.other_requests += other.other_requests
        self.named += other.named[: max(MAX_NAMED - len(self.named), 0)]
