"""
How the table of clients is shown.
"""

from collections.abc import Callable, Sequence

import pytest

from savemode_cli.clients.table import Client, clients, read_table
from savemode_cli.views.clients import attempts_words, connect_table, refusal_table, run_line, to_json

ROW = """
[[client]]
name = "x"
title = "X"
kind = "{kind}"
by_hand = "export X={{url}}"
key_header = "x-api-key"
base_url_v1 = false
{more}
"""


def row(kind: str = "agent", more: str = "") -> Client:
    """
    A row that has what a test needs.
    """
    return read_table(ROW.format(kind=kind, more=more))[0]


@pytest.mark.parametrize(
    ("kind", "more", "expected"),
    [
        ("agent", 'commands = ["x", "y"]', "savemode run -- x"),
        ("python", "", "savemode run -- python script.py"),
        ("node", "", "savemode run -- node script.js"),
    ],
)
def test_line_to_copy(kind: str, more: str, expected: str) -> None:
    """
    The client's own command, or an example of a program.
    """
    assert run_line(row(kind, more)) == expected


@pytest.mark.parametrize(
    ("attempts", "seconds", "expected"),
    [
        (None, None, "not measured"),
        (1, None, "1 attempt"),
        (3, None, "3 attempts"),
        (4, 7.5, "4 attempts in 7.5 s"),
        (-1, None, "still retrying"),
        (-1, 100, "still retrying after 100 s"),
    ],
)
def test_attempts(attempts: int | None, seconds: float | None, expected: str) -> None:
    """
    The attempts as they were measured.
    """
    assert attempts_words(attempts, seconds) == expected


@pytest.mark.parametrize("table", [connect_table, refusal_table])
def test_tables_of_the_page(table: Callable[[Sequence[Client]], str]) -> None:
    """
    One line for each client, all with the same number of cells.
    """
    lines = table(clients()).splitlines()

    assert len(lines) == len(clients()) + 2
    assert {line.count("|") for line in lines} == {7}


def test_cells() -> None:
    """
    A command is code; what to write into a file is not.
    """
    connected = connect_table(clients())
    refused = refusal_table([row(more='attempts = 1\nattempts_429 = -1\nuser_agents = ["x/"]')])

    assert "`export ANTHROPIC_BASE_URL=http://127.0.0.1:8787/v1` | with /v1" in connected
    assert "| in ~/.pi/agent/models.json, set" in connected
    assert refused.splitlines()[2] == "| X | `x/` | 402 | 1 attempt | still retrying |  |"


def test_json() -> None:
    """
    Every column of the table, and the command to run.
    """
    (one,) = to_json([row("python")])["clients"]

    assert set(one) == {*Client.__struct_fields__, "run"}
