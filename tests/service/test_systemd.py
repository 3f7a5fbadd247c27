"""
The unit: every word arrives as it was, read back by the rules of systemd.
"""

import re
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from savemode_cli.service.definition import Service, State
from savemode_cli.service.systemd import Systemd
from tests.support.service_managers import stand_in

HOME = Path("/home/a/.config")
HOSTILE = [
    "a b",
    "100%",
    "%h",
    "$HOME",
    "${HOME}",
    "$$",
    "o'b",
    'q"q',
    "back\\slash",
    "é",
    ";",
    "=",
    "#",
    "",
]
WORDS = st.text(
    st.characters(min_codepoint=32, exclude_characters="\x7f", exclude_categories=["Cs"]), max_size=20
) | st.sampled_from(HOSTILE)


def words_of(line: str) -> list[str]:
    """
    The words of a line, with their quotes and escapes undone: systemd.syntax(7), for words that all stand in double quotes.
    """
    assert re.fullmatch(r'"(?:[^"\\]|\\[\\"])*"(?: "(?:[^"\\]|\\[\\"])*")*', line)
    return [re.sub(r"\\([\"\\])", r"\1", inner) for inner in re.findall(r'"((?:[^"\\]|\\.)*)"', line)]


def specified(word: str) -> str:
    """
    A word with its specifiers replaced: every `%` must be the half of a `%%`.
    """
    assert "%" not in word.replace("%%", "")
    return word.replace("%%", "%")


def expanded(word: str) -> str:
    """
    An argument with its variables replaced: every `$` must be the half of a `$$`.
    """
    assert "$" not in word.replace("$$", "")
    return word.replace("$$", "$")


def read_back(text: str) -> tuple[list[str], list[str]]:
    """
    The words that the service runs, and its variables.
    """
    (command,) = re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)
    words = [expanded(specified(word)) for word in words_of(command)]
    if words[:2] == ["/bin/sh", "-c"]:
        assert words.pop(2) == 'exec "$0" "$@"'
        del words[:2]
    else:
        assert not set("'\"\\$") & set(words[0]), "systemd refuses these in the path of a program"
    values = [specified(words_of(value)[0]) for value in re.findall(r"^Environment=(.*)$", text, re.MULTILINE)]
    return words, values


@given(st.lists(WORDS, max_size=4), WORDS, WORDS)
def test_words_arrive_as_they_are(arguments: list[str], folder: str, value: str) -> None:
    """
    Blanks, percent signs, dollar signs, quotes and backslashes, in the program, the arguments and variables.
    """
    service = Service((f"/{folder}/python", *arguments), {"XDG_DATA_HOME": value})
    text = Systemd(HOME).content(service)

    assert read_back(text) == ([*service.words], [f"XDG_DATA_HOME={value}"])
    assert all(re.match(r"[\[#A-Z]|$", line) for line in text.split("\n")), "no value continues on a line of its own"


def test_plain_unit() -> None:
    """
    A path without such letters runs without a shell.
    """
    text = Systemd(HOME).content(Service(("/opt/my venv/python", "serve"), stop_s=20))

    assert 'ExecStart="/opt/my venv/python" "serve"\nWorkingDirectory=/\n' in text
    assert "TimeoutStopSec=20\n" in text
    assert Systemd(HOME).file == HOME / "systemd" / "user" / "savemode.service"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_accepts_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The real checker, on a program whose path has every letter that can be trouble.
    """
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    program = tmp_path / "".join(HOSTILE)
    program.touch(0o700)
    unit = tmp_path / "savemode.service"
    unit.write_text(Systemd(HOME).content(Service((str(program), *HOSTILE), {"XDG_DATA_HOME": "".join(HOSTILE)})))

    assert Systemd(HOME).check(unit) == ""
    unit.write_text(unit.read_text().replace("Type=notify", "Type=quick").replace('"/bin/sh"', '"/bin/no-sh"'))
    assert "Failed to parse service type" in Systemd(HOME).check(unit)


def test_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What `systemctl show` says.
    """
    manager = stand_in("systemctl", tmp_path, monkeypatch)
    manager.set("running")
    manager.set("enabled")
    manager.set("pid", "71")
    assert Systemd(HOME).state() == State("active (running)", is_running=True, is_enabled=True, pid=71)

    manager.drop("running")
    manager.drop("enabled")
    manager.set("broken")
    manager.set("pid", "")
    words = "failed (failed), last result: exit-code"
    assert Systemd(HOME).state() == State(words, is_running=False, is_enabled=False)
