"""
The file of experiments and their verdicts.
"""

import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from savemode_cli.core.errors import ConfigError
from savemode_cli.core.upgrade.ttl_key import TtlKeyVerdict
from savemode_cli.proxy.ttl_key_file import TtlKeyFile

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def a_verdict(outcome: Any, model: str = "m") -> TtlKeyVerdict:
    """
    A verdict.
    """
    return TtlKeyVerdict(model, NOON, outcome, 100, 99, 1)


def test_a_clear_verdict_ends_the_experiment(tmp_path: Path) -> None:
    """
    An unclear one does not. The latest clear one of each model counts.
    """
    file = TtlKeyFile(tmp_path / "state" / "ttl-key.json")
    assert (file.changed_at(), file.read().verdicts) == (0, [])
    file.ask(NOON)
    file.add(a_verdict("unclear"))
    assert file.read().asked_at == NOON
    file.add(a_verdict("in_key"))
    file.add(a_verdict("carries_over"))
    file.add(a_verdict("unclear"))
    file.add(a_verdict("in_key", "n"))
    state = file.read()

    assert state.asked_at is None
    assert {model: verdict.outcome for model, verdict in state.latest().items()} == {"m": "carries_over", "n": "in_key"}
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert file.changed_at() > 0


@pytest.mark.parametrize("text", ["", "[]", '{"schema_version": 9}', '{"verdicts": [{}]}', " " * 2_000_000])
def test_what_cannot_be_used(tmp_path: Path, text: str) -> None:
    """
    One error with the place, and a way out.
    """
    file = TtlKeyFile(tmp_path / "ttl-key.json")
    file.path.write_text(text)

    with pytest.raises(ConfigError, match="is damaged"):
        file.read()
