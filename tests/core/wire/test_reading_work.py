"""
How much work reading one body may take.
"""

import pytest

from savemode_cli.core.wire.reading_work import ReadingWork, TooMuchWork


def test_steps_are_spent_up_to_the_limit() -> None:
    """
    The last step that is allowed is made, and the next one is not.
    """
    work = ReadingWork(3, quick=False)
    work.spend(3)

    assert work.spent == 3
    with pytest.raises(TooMuchWork):
        work.spend(1)


def test_quick_reading_parses_few_bytes_again() -> None:
    """
    A reading that must be quick does not parse long parts of a body a second time; any other one does.
    """
    ReadingWork(1, quick=False).parse_again(10**9)
    with pytest.raises(TooMuchWork):
        ReadingWork(1, quick=True).parse_again(10**9)
