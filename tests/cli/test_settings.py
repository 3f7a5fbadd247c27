"""
What a command says about where its settings are from.
"""

from pathlib import Path

import pytest

from savemode_cli.cli.settings import deciding, load_settings, upstream_words
from savemode_cli.config import Settings, load


def test_one_warning(capsys: pytest.CaptureFixture[str]) -> None:
    """
    However often a command loads its settings; with the way out.
    """
    Path("savemode.toml").write_text('upstream = "https://evil.example"\n')
    for _ in range(3):
        assert load_settings({}) == Settings()

    assert capsys.readouterr().err == (
        f"WARNING untrusted_config: {Path.cwd()}/savemode.toml is not trusted, so these options of it are ignored: upstream; "
        "savemode trust shows what they would do, and asks\n"
    )


def test_no_warning_where_nothing_is_ignored(capsys: pytest.CaptureFixture[str]) -> None:
    """
    Harmless options need no trust.
    """
    Path("savemode.toml").write_text("quiet = true\n")

    assert load_settings({}).quiet
    assert capsys.readouterr().err == ""


def test_what_decided() -> None:
    """
    Each file with its options, and the upstream where it is not the default.
    """
    Path("other.toml").write_text('upstream = "https://b.example"\nquiet = true\n')
    file = f"{Path.cwd()}/other.toml"
    from_file = load({}, {}, config=Path("other.toml"))

    assert list(deciding(load({}, {}))) == []
    assert list(deciding(from_file)) == [
        ("config", f"{file}: upstream, quiet"),
        ("upstream", "https://b.example, from other.toml"),
    ]
    assert upstream_words(load({}, {"SAVEMODE_UPSTREAM": "http://c"})) == "http://c, from SAVEMODE_UPSTREAM"
    assert upstream_words(load({"upstream": "http://d"}, {}, config=Path("other.toml"))) == "http://d"
