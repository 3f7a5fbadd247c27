"""
The table of clients: every row is whole, and what is found by it is found once.
"""

import pytest

from savemode_cli.clients.table import TABLE, client_named, clients, read_table, refusal_statuses

ROW = """
[[client]]
name = "x"
title = "X"
kind = "agent"
commands = ["x"]
by_hand = "export X={url}"
key_header = "x-api-key"
base_url_v1 = true
"""


def test_a_row() -> None:
    """
    A newcomer's table is enough; what it leaves out is empty.
    """
    (row,) = read_table(ROW)

    assert (row.name, row.commands, row.base_url_v1, row.config, row.attempts) == ("x", ("x",), True, None, None)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (ROW.replace('name = "x"', "name = 3"), r"Expected `str`, got `int` - at `\$.client\[0\].name`"),
        (ROW.replace('title = "X"', 'titel = "X"'), "titel"),
        (ROW.replace('key_header = "x-api-key"\n', ""), "key_header"),
        (ROW.replace('"agent"', '"robot"'), "robot"),
        (ROW + ROW, "these names occur twice: x"),
        ("[client", "Expected"),
    ],
)
def test_mistake_in_the_table(text: str, why: str) -> None:
    """
    It is an error that says what is wrong, and where.
    """
    with pytest.raises(ValueError, match=why):
        read_table(text)


def test_every_row_can_be_used() -> None:
    """
    No command, package or user agent is another client's, and each client can be led to the proxy.
    """
    rows = read_table(TABLE.read_text())

    assert rows == clients()
    for names in ([row.commands for row in rows], [row.packages for row in rows], [row.user_agents for row in rows]):
        named = [name for one in names for name in one]
        assert len(set(named)) == len(named)
    assert all(row.commands or row.kind != "agent" for row in rows)
    assert all(row.tried and "{url}" in row.by_hand for row in rows)
    assert all((row.config is None) == bool(row.variables) for row in rows)
    assert all(("/v1" in row.by_hand) == row.base_url_v1 for row in rows)


def test_finding_a_client() -> None:
    """
    By its name, its title or its command, in any case.
    """
    found = [client_named(word) for word in ("claude-code", "Claude Code", " CLAUDE ")]

    assert {one.name for one in found if one is not None} == {"claude-code"}
    assert client_named("nobody") is None


def test_statuses_of_refusals() -> None:
    """
    The official SDKs and Claude Code obey a 429; the names are in lower case.
    """
    statuses = refusal_statuses()

    assert {statuses[name] for name in ("claude-cli/", "anthropic/python", "anthropic/js")} == {429}
    assert all(name == name.lower() for name in statuses)
