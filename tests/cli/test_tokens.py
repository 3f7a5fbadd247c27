"""
`savemode tokens`: a token is printed once, its digest is kept, and it can be taken back.
"""

import json
import os
import re
from pathlib import Path

import pytest

from savemode_cli.config import load
from savemode_cli.core.wire.access_tokens import TOKEN_HEADER
from tests.support.command import Run, error_line


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """
    The user's own file of tokens.
    """
    monkeypatch.setattr("sys.platform", "linux")
    return Path(os.environ["XDG_CONFIG_HOME"]) / "savemode" / "tokens.toml"


def test_add(savemode: Run, file: Path) -> None:
    """
    The token alone on stdout, what to do with it on stderr; in the file is its digest, which the settings know.
    """
    done = savemode("tokens", "add", "alice")
    token = done.out.strip()

    assert done.code == 0
    assert re.fullmatch(r"smt_[A-Za-z0-9_-]{43}", token)
    assert f'its digest is in {file}, below [tokens]:\n  alice = "sha256:' in done.err
    assert f"export ANTHROPIC_CUSTOM_HEADERS='x-savemode-token: {token}'" in done.err
    assert token not in file.read_text()
    assert load({}, {}).tokens.whose([(TOKEN_HEADER, token.encode())]) == "alice"
    assert savemode("tokens", "add", "bob").out.strip() != token
    listed = savemode("tokens", "list")
    assert listed.out.splitlines() == ["alice", "bob"]
    assert "no budget is for each person" in listed.err


def test_what_each_person_has_left(savemode: Run, file: Path, tmp_path: Path) -> None:
    """
    In the ledger that the options name; without a budget for each person, the names and how to set one.
    """
    ledger = f"sqlite:///{tmp_path}/ledger.db"
    savemode("tokens", "add", "alice")
    plain = savemode("tokens", "list", "--ledger", ledger)
    savemode("budget", "set", "person", "80", "--scope", "token", "--ledger", ledger)
    savemode("budget", "set", "person", "5", "--who", "alice", "--ledger", ledger)
    done = savemode("tokens", "list", "--ledger", ledger)
    (alice,) = json.loads(savemode("tokens", "list", "--json", "--ledger", ledger).out)["people"]

    assert plain.code == 2
    assert "there is no ledger" in plain.err
    assert done.out.splitlines()[1].split()[:7] == ["alice", "person", "$0.0000", "$0.0000", "$5.0000", "$5.0000", "ok"]
    assert (alice["name"], alice["budgets"][0]["remaining_usd"]) == ("alice", "5.000000000")


def test_nothing_is_written(savemode: Run, file: Path) -> None:
    """
    With --print: the line is for another machine.
    """
    done = savemode("tokens", "add", "alice", "--print")

    assert not file.exists()
    assert "no file was written" in done.err
    assert 'alice = "sha256:' in done.err


def test_revoke(savemode: Run, file: Path) -> None:
    """
    The token is nobody's any more; the others stay.
    """
    savemode("tokens", "add", "bob")
    token = savemode("tokens", "add", "alice").out.strip()
    done = savemode("tokens", "revoke", "alice")

    assert (done.code, done.out) == (0, "")
    assert load({}, {}).tokens.names == ("bob",)
    assert load({}, {}).tokens.whose([(TOKEN_HEADER, token.encode())]) is None
    assert "bob" in file.read_text()


def test_nobody(savemode: Run, file: Path) -> None:
    """
    Said, with what to do.
    """
    done = savemode("tokens", "list")

    assert (done.code, done.out) == (0, "")
    assert "savemode tokens add NAME" in done.err
    assert json.loads(savemode("tokens", "list", "--json").out)["people"] == []
    assert not file.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["add", "alice"], "alice already has a token"),
        (["add", ""], "an argument is empty"),
        (["add", "a\nb"], "cannot name a person"),
        (["revoke", "bob"], "savemode wrote no token for bob"),
        (["add"], "Missing argument"),
    ],
)
def test_mistakes(savemode: Run, file: Path, words: list[str], said: str) -> None:
    """
    One error line, and no token: what was there is as it was.
    """
    savemode("tokens", "add", "alice")
    before = file.read_text()

    assert said in error_line(savemode("tokens", *words))
    assert file.read_text() == before
