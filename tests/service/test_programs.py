"""
Programs of a service manager: missing, failing, and never ending.
"""

import pytest

from savemode_cli.core.errors import ServiceUnavailable
from savemode_cli.service import programs


def test_done() -> None:
    """
    What it printed about its failure is one line.
    """
    done = programs.run("/bin/sh", "-c", "echo out; printf 'a\\nb\\n' >&2; exit 3")

    assert (done.code, done.out, done.words) == (3, "out\n", "a; b")
    assert programs.run("/bin/sh", "-c", "echo out; exit 3").words == "out"
    assert programs.run("/bin/sh", "-c", "exit 3").words == "exit code 3"


def test_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Each names the program and what to look at.
    """
    monkeypatch.setattr(programs, "_LIMIT_S", 0.01)
    with pytest.raises(ServiceUnavailable, match="/bin/sleep 60 did not end within"):
        programs.run("/bin/sleep", "60")
    with pytest.raises(ServiceUnavailable, match="cannot run /no/such: no such file"):
        programs.run("/no/such")
    monkeypatch.setattr(programs, "_LIMIT_S", 60)
    with pytest.raises(ServiceUnavailable, match="/bin/sh -c exit 4 failed: exit code 4") as raised:
        programs.must("/bin/sh", "-c", "exit 4", hint="do this")

    assert raised.value.hint == "do this"
    assert programs.exists("sh")
    assert not programs.exists("no-such-program")
