"""
Claims on one machine: the first one gets it.
"""

import os
import time
from pathlib import Path

from savemode_cli.alerts.claims import is_first


def test_first_claims(tmp_path: Path) -> None:
    """
    Each name once. The folder is its owner's alone.
    """
    folder = tmp_path / "state" / "alerts"

    assert [is_first(folder, name) for name in ("alert_a", "alert_a", "alert_b", "alert_a")] == [
        True,
        False,
        True,
        False,
    ]
    assert folder.stat().st_mode & 0o777 == 0o700


def test_old_claims_are_forgotten(tmp_path: Path) -> None:
    """
    When another one is made; files of others stay.
    """
    old = time.time() - 25 * 3600
    folder = tmp_path / "alerts"
    folder.mkdir()
    for name in ("alert_old", "notes"):
        (folder / name).touch()
        os.utime(folder / name, (old, old))

    assert is_first(folder, "alert_new")
    assert sorted(one.name for one in folder.iterdir()) == ["alert_new", "notes"]


def test_everybody_tells_where_nothing_can_be_written(tmp_path: Path) -> None:
    """
    An alert too many is better than none.
    """
    (tmp_path / "file").touch()

    assert is_first(tmp_path / "file" / "alerts", "alert_a")
    assert is_first(tmp_path / "file" / "alerts", "alert_a")
