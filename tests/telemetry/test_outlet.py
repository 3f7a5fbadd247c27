"""
The error with which an outlet says that it did not deliver.
"""

import pytest

from savemode_cli.telemetry.outlet import Undelivered


@pytest.mark.parametrize(("final", "after_s"), [(False, None), (True, None), (False, 2.5)])
def test_a_failure_says_whether_and_when_to_try_again(final: bool, after_s: float | None) -> None:
    """
    The reason is its text; without further words, it is tried again soon.
    """
    failure = Undelivered("the server answered 503", final=final, after_s=after_s)

    assert (str(failure), failure.final, failure.after_s) == ("the server answered 503", final, after_s)
