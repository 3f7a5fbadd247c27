"""
Where in a body that was edited something stands that stood somewhere else in the body as it came.

Rule of this file: an edit here only inserts. A body from which something was removed is not looked at in this way.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest


@dataclass(frozen=True, slots=True, order=True)
class Splice:
    """
    Something that was inserted.
    """

    at: int
    """The offset in the body as it came."""
    inserted: bytes


@dataclass(frozen=True, slots=True)
class Splices:
    """
    The edits in a body, in ascending order of their offsets.
    """

    items: Sequence[Splice] = ()

    def after(self, offset: int) -> int:
        """
        The offset in the edited body of what stood at this offset of the body as it came. What was inserted there stands
        behind it.
        """
        return offset + sum([len(one.inserted) for one in self.items if one.at < offset])

    def before(self, offset: int) -> int:
        """
        The offset in the body as it came of what stands at this offset of the edited body.
        """
        for one in self.items:
            if one.at >= offset:
                break
            offset -= len(one.inserted)
        return offset

    def same_until(self, other: "Splices", start: int, end: int) -> int:
        """
        Up to which offset from `start` on, and at most to `end`, two bodies that came alike were edited alike.
        """
        mine, others = ([one for one in side.items if start <= one.at < end] for side in (self, other))
        for one, another in zip_longest(mine, others):
            if one != another:
                return min(splice.at for splice in (one, another) if splice is not None)
        return end


NO_SPLICES = Splices()
