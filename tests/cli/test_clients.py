"""
`savemode clients`: all rows, one row, and an unknown name.
"""

import json

import pytest

from savemode_cli.clients.table import clients
from tests.support.command import Run, error_line


def test_all(savemode: Run) -> None:
    """
    Each client has the command to copy.
    """
    done = savemode("clients")

    assert (done.code, done.err) == (0, "")
    for row in clients():
        assert any(line.startswith(f"{row.name} ") for line in done.out.splitlines())
    assert "savemode run -- opencode" in done.out
    assert "savemode run -- python script.py" in done.out


@pytest.mark.parametrize("name", ["cline", "Cline", "continue", "cn"])
def test_one(savemode: Run, name: str) -> None:
    """
    A name, a title and a command find the client.
    """
    done = savemode("clients", name)

    words = " ".join(done.out.split())
    assert "http://127.0.0.1:8787/v1" in words
    assert "base URL with /v1 (the proxy accepts both)" in words
    assert "refusal status 402: " in words
    assert "status 429: " in words


@pytest.mark.parametrize("name", [row.name for row in clients()])
def test_lines_to_copy_are_whole(savemode: Run, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """
    What is to be copied is not wrapped, however narrow the terminal is.
    """
    monkeypatch.setenv("COLUMNS", "40")
    (row,) = [row for row in clients() if row.name == name]

    lines = [line.strip() for line in savemode("clients", name).out.splitlines()]

    assert row.by_hand.format(url="http://127.0.0.1:8787") in lines
    assert any(line.startswith("savemode run -- ") for line in lines)


def test_json(savemode: Run) -> None:
    """
    All columns, of all rows or of one.
    """
    every = json.loads(savemode("clients", "--json").out)
    (one,) = json.loads(savemode("clients", "pi", "--json").out)["clients"]

    assert (every["schema_version"], len(every["clients"])) == (1, len(clients()))
    assert (one["name"], one["base_url_v1"], one["config"]["arguments"]) == ("pi", False, ["--extension", "{file}"])


def test_nobody(savemode: Run) -> None:
    """
    An unknown name is an error that suggests the nearest one.
    """
    done = savemode("clients", "clin")

    assert done.code == 2
    assert error_line(done).startswith("error: unknown client: 'clin'")
    assert "did you mean cline?" in done.err
