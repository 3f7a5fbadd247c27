"""
The kills of tests/benchmarks/kills.py in small.
"""

from pathlib import Path

import pytest

from tests.benchmarks.kills import killed

pytestmark = pytest.mark.process


@pytest.mark.parametrize(
    ("options", "cap_nusd"), [((), 10**12), (("--strict",), 200_000_000)], ids=["default", "strict"]
)
def test_killed_proxies_leave_no_call_out(tmp_path: Path, options: tuple[str, ...], cap_nusd: int) -> None:
    """
    Three proxies on one ledger under load, one of them killed twice: every call that reached the upstream is charged or
    held, and a strict cap is reached and not crossed.
    """
    report = killed(2, tmp_path, *options, cap_nusd=cap_nusd)

    assert report.problems == []
    assert report.served > 0
