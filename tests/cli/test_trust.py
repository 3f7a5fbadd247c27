"""
`savemode trust`: seen, confirmed, listed, ended.
"""

import json
import os
import pty
import subprocess
from pathlib import Path

import pytest

from savemode_cli.config import load
from tests.support.command import Run, error_line, lines
from tests.support.processes import SAVEMODE, environment
from tests.support.waiting import LONG_S

FILE = Path("savemode.toml")
TEXT = 'quiet = true\nbudget = "5"\nupstream = "https://gateway.example"\n'


def is_trusted() -> bool:
    """
    Whether the file of this folder decides.
    """
    return load({}, {}).upstream == "https://gateway.example"


def test_seen_then_trusted(savemode: Run) -> None:
    """
    Every setting is shown with what it does, the gravest first, and then has its effect.
    """
    FILE.write_text(TEXT)
    done = savemode("trust", "--yes")

    assert (done.code, done.err) == (0, "trusted until it changes\n")
    shown = lines(done.out)
    assert "savemode.toml sets:" in " ".join(" ".join(shown).split())
    found = [line.strip() for line in shown if " = " in line]
    assert found == ['upstream = "https://gateway.example"', 'budget = "5"', "quiet = true"]
    assert "your API key and every prompt go to this address" in done.out
    assert is_trusted()
    assert savemode("trust").err == "this file is already trusted; to stop trusting it: savemode trust --untrust\n"


def test_a_changed_file_is_seen_again(savemode: Run) -> None:
    """
    With a word that it was another one.
    """
    FILE.write_text(TEXT)
    savemode("trust", "--yes")
    FILE.write_text(TEXT + 'capture = "c"\n')

    assert not is_trusted()
    assert savemode("trust", "--yes").err == "this file was trusted with different content\ntrusted until it changes\n"
    assert is_trusted()


def test_another_folder(savemode: Run) -> None:
    """
    By its path, from wherever, and through a link.
    """
    folder = Path("repository")
    folder.mkdir()
    (folder / "savemode.toml").write_text(TEXT)
    Path("link").symlink_to(folder)

    assert savemode("trust", "link", "--yes").code == 0
    assert load({}, {}, folder=folder).upstream == "https://gateway.example"
    assert (
        savemode("trust", "--untrust", "repository").err == f"{folder.resolve()}/savemode.toml is no longer trusted\n"
    )
    assert load({}, {}, folder=folder).untrusted is not None


@pytest.mark.parametrize(("answer", "code", "trusted"), [("y\n", 0, True), ("n\n", 1, False), ("\n", 1, False)])
def test_asked_on_a_terminal(answer: str, code: int, trusted: bool) -> None:
    """
    Only a yes is one; what was shown stands before the question.
    """
    FILE.write_text(TEXT)
    ours, its = pty.openpty()
    process = subprocess.Popen(
        [*SAVEMODE, "trust"], stdin=its, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment()
    )
    os.close(its)
    os.write(ours, answer.encode())
    said = process.communicate(timeout=LONG_S)[0].decode()
    os.close(ours)

    assert said.index("upstream = ") < said.index("Trust this file? [y/N]")
    assert (process.returncode, is_trusted()) == (code, trusted)


def test_nobody_to_ask(savemode: Run) -> None:
    """
    It is shown, not trusted, and said how.
    """
    FILE.write_text(TEXT)
    done = savemode("trust")

    assert done.code == 2
    assert "upstream" in done.out
    assert done.err == (
        "error: cannot ask for confirmation: stdin is not a terminal [bad_input]\n  read the list above, then add --yes\n"
    )
    assert not is_trusted()


def test_list(savemode: Run) -> None:
    """
    Each file with what has become of it, for people and for machines.
    """
    for name in ("a", "b", "c"):
        Path(name).mkdir()
        (Path(name) / "savemode.toml").write_text(TEXT)
        savemode("trust", name, "--yes")
    (Path("b") / "savemode.toml").write_text("[")
    (Path("c") / "savemode.toml").unlink()

    read = json.loads(savemode("trust", "--list", "--json").out)
    assert [(Path(one["path"]).parent.name, one["state"]) for one in read["files"]] == [
        ("a", "trusted"),
        ("b", "changed"),
        ("c", "missing"),
    ]
    assert [line.split("UTC")[1].strip() for line in savemode("trust", "--list").out.splitlines()] == [
        "trusted",
        "changed since, not trusted",
        "the file does not exist",
    ]


def test_mistakes(savemode: Run) -> None:
    """
    One error with a way out; a file with a mistake is not trusted, or its mistake would come later.
    """
    assert "there is no savemode.toml in " in error_line(savemode("trust"))
    assert "is not trusted" in error_line(savemode("trust", "--untrust"))
    assert "cannot be used together" in error_line(savemode("trust", "--untrust", "--list"))
    assert "--json needs --list" in error_line(savemode("trust", "--json"))
    for text, message in (
        ("[", "is not TOML"),
        ("prot = 1", "prot: there is no such option"),
        ("port = 99999", "port is 99999"),
        ('product = "p"', "unknown product 'p'"),
    ):
        FILE.write_text(text)
        assert message in error_line(savemode("trust", "--yes"))
        assert not list(Path(os.environ["XDG_STATE_HOME"]).rglob("*.json"))
