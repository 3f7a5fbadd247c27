"""
Offsets in a body before and after it was edited.
"""

import pytest

from savemode_cli.core.diagnosis.splices import Splice, Splices

BODY = b"0123456789"
EDITED = b"012ab3456c789"
SPLICES = Splices((Splice(3, b"ab"), Splice(7, b"c")))


@pytest.mark.parametrize("offset", range(len(BODY)))
def test_each_byte_is_found_again(offset: int) -> None:
    """
    What was inserted stands before what followed it, and behind what stood before it.
    """
    inserted_here = sum(len(one.inserted) for one in SPLICES.items if one.at == offset)

    assert EDITED[SPLICES.after(offset) + inserted_here] == BODY[offset]
    assert SPLICES.before(SPLICES.after(offset)) == offset
    assert SPLICES.before(SPLICES.after(offset) + inserted_here) == offset


@pytest.mark.parametrize(
    ("other", "until"),
    [
        (SPLICES.items, 9),
        ((Splice(3, b"ab"),), 7),
        ((Splice(3, b"other"), Splice(7, b"c")), 3),
        ((Splice(1, b"x"), *SPLICES.items), 9),
        ((*SPLICES.items, Splice(8, b"x")), 8),
        ((*SPLICES.items, Splice(9, b"x")), 9),
        ((), 3),
    ],
)
def test_bodies_are_the_same_up_to_the_first_edit_that_differs(other: tuple[Splice, ...], until: int) -> None:
    """
    Edits before the stretch that is looked at, or behind it, do not count.
    """
    assert SPLICES.same_until(Splices(other), 2, 9) == until
    assert Splices(other).same_until(SPLICES, 2, 9) == until
