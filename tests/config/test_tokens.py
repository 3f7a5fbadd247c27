"""
Where the digests of access tokens stand: tables of config files, and a file that savemode writes.
"""

from pathlib import Path

import pytest

from savemode_cli.config import Settings, load
from savemode_cli.config.tokens import check_tokens, line, read_file, write_file
from savemode_cli.core.errors import ConfigError
from savemode_cli.core.wire.access_tokens import AccessTokens, digest_of

A, B, C = (digest_of(f"smt_{name}") for name in "abc")


def loaded(user_folder: Path, text: str = "") -> Settings:
    """
    The settings with a file that --config names, and a user's own folder.
    """
    config = Path("given.toml")
    config.write_text(text)
    return load({}, {}, config=config, user_folder=user_folder)


def test_file_is_written_whole_and_read_back(tmp_path: Path) -> None:
    """
    Whatever a person is called; for this user's eyes only, and with nothing left over.
    """
    folder = tmp_path / "new" / "savemode"
    people = {"bob": B, "alice@example.com": A, 'Zoë "Z" Ünal': C}
    path = write_file(folder, people)

    assert read_file(folder) == people
    assert oct(path.stat().st_mode & 0o777) == "0o600"
    assert [one.name for one in folder.iterdir()] == ["tokens.toml"]
    assert read_file(tmp_path / "nowhere") == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[tokens", "is not TOML"),
        ('budget = "20"', "budget is not allowed in this file"),
        ("tokens = 3", "tokens is not a table"),
        ("[tokens]\nalice = 3", "the token of alice is not a digest"),
        ('[tokens]\nalice = "smt_secret"', "the token of alice is not a digest"),
        (f'[tokens]\n"" = "{A}"', "'' cannot name a person"),
    ],
)
def test_what_the_file_may_not_hold(tmp_path: Path, text: str, said: str) -> None:
    """
    One error that names the file, and repeats no value.
    """
    (tmp_path / "tokens.toml").write_text(text)
    with pytest.raises(ConfigError) as raised:
        read_file(tmp_path)

    assert said in raised.value.message
    assert str(tmp_path / "tokens.toml") in raised.value.message
    assert "smt_secret" not in raised.value.message + raised.value.hint


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """
    An error, and the old file is as it was.
    """
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot write"):
        write_file(tmp_path / "file", {"alice": A})


@pytest.mark.parametrize(
    ("name", "key"), [("alice", "alice"), ("a-b_2", "a-b_2"), ("a@b.c", '"a@b.c"'), ("Zoë", '"Zoë"'), ('"', '"\\""')]
)
def test_line(name: str, key: str) -> None:
    """
    What can be put below [tokens] by hand.
    """
    assert line(name, A) == f'{key} = "{A}"'


def test_tables_are_joined(tmp_path: Path) -> None:
    """
    The user's own file, and config files, whose word on a person is the last.
    """
    write_file(tmp_path, {"alice": A, "bob": B})
    settings = loaded(tmp_path, f'[tokens]\nbob = "{C}"\n')

    assert settings.tokens == AccessTokens({"alice": A, "bob": C})
    assert loaded(tmp_path / "none").tokens == AccessTokens()
    assert C[7:] not in repr(settings)


def test_mistakes_in_a_table(tmp_path: Path) -> None:
    """
    Each with its place; the same token for two is found across files.
    """
    with pytest.raises(ConfigError, match=r"given\.toml: tokens: the token of alice is not a digest"):
        loaded(tmp_path, '[tokens]\nalice = "smt_secret"\n')
    write_file(tmp_path, {"alice": A})
    with pytest.raises(ConfigError, match="alice and bob have the same token"):
        loaded(tmp_path, f'[tokens]\nbob = "{A}"\n')


def test_scope_without_tokens(tmp_path: Path) -> None:
    """
    A budget by access token where nobody has one would be one budget for all.
    """
    text = '[budgets.a]\nlimit_usd = 1\nscope = "token"\n'
    with pytest.raises(
        ConfigError, match=r'given\.toml: budgets\.a has the scope "token", and nobody has an access token'
    ):
        loaded(tmp_path, text)

    write_file(tmp_path, {"alice": A})
    assert loaded(tmp_path, text).budgets()[0].scope == "token"


def test_table_is_checked_by_itself() -> None:
    """
    What is right comes back.
    """
    assert check_tokens("x", {"alice": A}) == {"alice": A}
