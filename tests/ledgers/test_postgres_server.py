"""
Texts, parameters and errors of PostgreSQL.
"""

import json

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from savemode_cli.core.errors import ConfigError
from savemode_cli.ledgers.postgres_server import (
    check_server,
    definitions,
    failure,
    original,
    plain,
    postgres_address,
    schema_of,
    step_parameters,
)
from savemode_cli.ledgers.remote.questions import NoAnswer, NotAsked


@given(st.text(st.characters(exclude_categories=()), max_size=100))
def test_any_text_can_be_kept(text: str) -> None:
    """
    And is read as it was written.
    """
    kept = plain(text)

    kept.encode()
    assert "\0" not in kept
    assert original(kept) == text


def test_long_text_is_shortened_by_a_digest() -> None:
    """
    No index takes more than 2,704 bytes.
    """
    assert len(plain("x" * 9_000)) < 300
    assert plain("x" * 9_000) != plain("x" * 9_001)


def test_parameters_of_a_step() -> None:
    """
    The same step as JSON of texts.
    """
    settle = ["s", "beef", "5", "reported", "1", "m", "0", "2", "nk", "nl"]
    reserves = ["h", "beef", "7", "9", "m", "1", "2", "1", "nk", "1", "nk", "99", ""]
    brought = ["i", "", "7", "9", "m", "1", "2", "1", "nk", "0"]
    words = ["step", "", "*", "0", "1", *settle, "1", "nk", "3", "", "2", *reserves, *brought]

    *head, settles, wanted, asked = step_parameters(words)

    assert head == ["step", "", "*", "0"]
    assert json.loads(settles) == [["s", "5", "reported", "1", "m", "0", ["nk", "nl"]]]
    assert json.loads(wanted) == [["nk", "3", ""]]
    assert json.loads(asked) == [
        ["h", "7", "9", "m", "1", "2", ["nk"], [["nk", "99", ""]], ""],
        ["i", "7", "9", "m", "1", "2", ["nk"], [], "1"],
    ]


def test_schema_is_that_of_the_name() -> None:
    """
    In every statement.
    """
    text = definitions(schema_of("team"))

    assert "SCHEMA." not in text
    assert text.startswith('CREATE SCHEMA IF NOT EXISTS "savemode_team";')


def test_server_that_cannot_keep_a_ledger() -> None:
    """
    Too old, or of a later savemode.
    """
    check_server(130_000, 1)
    for version, layout, why in ((120_018, 1, "PostgreSQL 12"), (150_000, 2, "format 2")):
        with pytest.raises(NotAsked, match=why):
            check_server(version, layout)


@pytest.mark.parametrize(
    ("error", "kind", "why"),
    [
        (psycopg.errors.QueryCanceled("canceling statement"), NotAsked, "in time"),
        (psycopg.errors.DiskFull("no space"), NotAsked, "full"),
        (psycopg.errors.ReadOnlySqlTransaction("read-only"), NotAsked, "standby"),
        (psycopg.errors.InsufficientPrivilege("permission denied"), NotAsked, "refuses"),
        (psycopg.OperationalError("the connection is closed"), NoAnswer, "closed"),
    ],
)
def test_errors(error: psycopg.Error, kind: type[NotAsked], why: str) -> None:
    """
    Only one that leaves open what happened is `NoAnswer`.
    """
    found = failure(error, is_connected=True)

    assert (type(found), why in found.why) == (kind, True)
    assert type(failure(error, is_connected=False)) is NotAsked


@pytest.mark.parametrize(
    "url", ["postgresql://me:secret@h/db", "postgres://h/db?password=secret", "postgresql://h/db?x=1"]
)
def test_address_that_cannot_be_used(url: str) -> None:
    """
    Its error does not repeat a password.
    """
    with pytest.raises(ConfigError) as error:
        postgres_address(url, None)
    assert "secret" not in error.value.message + error.value.hint
