"""
The span of `--since` and `--until`.
"""

from datetime import UTC, datetime

import pytest

from savemode_cli.cli.spans import check_span
from savemode_cli.core.errors import BadInput

EARLIER, LATER = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 2, tzinfo=UTC)


@pytest.mark.parametrize(("since", "until"), [(None, None), (EARLIER, None), (None, EARLIER), (EARLIER, LATER)])
def test_span_with_a_length(since: datetime | None, until: datetime | None) -> None:
    """
    Either end may be open.
    """
    check_span(since, until)


@pytest.mark.parametrize("until", [EARLIER, LATER])
def test_span_without_a_length(until: datetime) -> None:
    """
    The end must be after the beginning.
    """
    with pytest.raises(BadInput, match="--until is not after --since"):
        check_span(LATER, until)
