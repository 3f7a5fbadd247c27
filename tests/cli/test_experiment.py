"""
`savemode experiment ttl-key` without a proxy. `tests/proxy/test_ttl_key.py` makes the experiment.
"""

import json

from tests.support.command import Run, error_line


def test_asking_and_cancelling(savemode: Run) -> None:
    """
    Each says what is asked for now.
    """
    assert "no experiment is asked for" in savemode("experiment", "ttl-key", "--show").out
    assert "--hold-out 0.1" in savemode("experiment", "ttl-key", "--wait", "0.1").out
    data = json.loads(savemode("experiment", "ttl-key", "--show", "--json").out)
    assert data["asked_at"] is not None
    assert data["verdicts"] == []
    assert "no experiment is asked for" in savemode("experiment", "ttl-key", "--cancel").out


def test_show_and_cancel_exclude_each_other(savemode: Run) -> None:
    """
    One clear error.
    """
    assert "exclude each other" in error_line(savemode("experiment", "ttl-key", "--show", "--cancel"))
