"""
What could not be read: counted in full, named up to a bound.

Rule of this file: no content of a file is repeated, only its place and what is wrong there.
"""

from dataclasses import dataclass, field

MOST_NAMED = 100


@dataclass(frozen=True, slots=True)
class Problem:
    """
    One thing that was left out. `line` is None where the file has no lines.
    """

    file: str
    line: int | None
    what: str

    def __str__(self) -> str:
        """
        As people read it: `name.jsonl:12: not JSON`.
        """
        return f"{self.file}{'' if self.line is None else f':{self.line}'}: {self.what}"


@dataclass(slots=True)
class Problems:
    """
    All of them: how many, and the first hundred.
    """

    count: int = 0
    named: list[Problem] = field(default_factory=list)

    def add(self, file: str, line: int | None, what: str) -> None:
        """
        One more.
        """
        self.count += 1
        if len(self.named) < MOST_NAMED:
            self.named.append(Problem(file, line, what))

    def take(self, other: "Problems") -> None:
        """
        Those that another reader met.
        """
        self.count += other.count
        self.named += other.named[: max(MOST_NAMED - len(self.named), 0)]
