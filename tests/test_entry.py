"""
Where the command starts: the status line without the rest, everything else as usual.
"""

import pytest

from savemode_cli import entry
from tests.support.processes import savemode


@pytest.mark.parametrize("words", [["statusline", "--help"], ["--version"]])
def test_everything_else_is_the_command_line(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    Help of the status line too.
    """
    monkeypatch.setattr("sys.argv", ["savemode", *words])
    with pytest.raises(SystemExit) as left:
        entry.main()

    assert left.value.code == 0
    assert "savemode" in capsys.readouterr().out


def test_as_a_module() -> None:
    """
    `python -m savemode_cli statusline` prints the line.
    """
    done = savemode("statusline")

    assert (done.returncode, done.stdout, done.stderr) == (0, b"no savemode proxy\n", b"")
