"""
The outages of tests/benchmarks/outage.py in small: a real process beside a real lock, and on a real disk that is full.
"""

import re
from pathlib import Path

import pytest

from tests.benchmarks.outage import DISK_BYTES, Report, lock, no_room, outage
from tests.support.disks import small_disk

pytestmark = pytest.mark.process


def check(report: Report) -> None:
    """
    Every call was answered while it lasted, its bill was kept, and the ledger has it in the end.
    """
    assert report.statuses == {200}
    assert report.kept["calls"] > 0
    assert report.waits_s["during GET"]
    assert (report.charges, report.charged_nusd) == (report.calls, report.billed_nusd)
    assert "WARNING ledger_unavailable: cannot " in report.said
    assert re.search(
        r"WARNING ledger_back: the budget ledger answers again; \d+ bills of \$0\.\d+ entered", report.said
    )
    assert "entered in the ledger later" in report.said
    assert "not counted" not in report.said
    assert "Traceback" not in report.said


def test_nothing_is_missing_after_a_lock(tmp_path: Path) -> None:
    """
    Another process writes for a second and a half.
    """
    folder = tmp_path / "ledgers"
    folder.mkdir(mode=0o700)

    check(outage(folder, lock, 1.5))


def test_nothing_is_missing_after_a_full_disk(tmp_path: Path) -> None:
    """
    A disk of a megabyte is filled by somebody else; SQLite's shared memory is on it too.
    """
    folder = tmp_path / "disk"
    folder.mkdir(mode=0o700)
    with small_disk(folder, DISK_BYTES) as mounted:
        if not mounted:
            pytest.skip("only root can mount a small disk")
        check(outage(folder, no_room, 1.5))


def test_strict_refuses_during_a_lock(tmp_path: Path) -> None:
    """
    And what was let through before and after it is charged.
    """
    folder = tmp_path / "ledgers"
    folder.mkdir(mode=0o700)
    report = outage(folder, lock, 1.5, "--strict")

    assert report.statuses == {200, 429}
    assert (report.charges, report.charged_nusd) == (report.calls, report.billed_nusd)
    assert "requests under a strict budget are refused" in report.said
