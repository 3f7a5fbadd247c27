"""
What sends Claude Code past us: every way it can be told to, in the order in which they count.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from savemode_cli.config import bypasses as module
from savemode_cli.config.bypasses import PROVIDERS, bypasses

OWN = ["http://127.0.0.1:8787"]
ELSEWHERE = "https://user:secret@relay.example/path?key=secret"


@pytest.fixture(autouse=True)
def managed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """
    The folder of an administrator's settings, in place of this machine's.
    """
    folder = tmp_path / "managed"
    monkeypatch.setattr(module, "_MANAGED_FOLDERS", {"linux": str(folder)})
    monkeypatch.setattr("sys.platform", "linux")
    return folder


def put(file: Path, env: Any) -> Path:
    """
    A settings file with these variables.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"model": "x", "env": env}))
    return file


def found(environ: dict[str, str] | None = None, *command: str) -> list[tuple[str, str | None, str]]:
    """
    Each reason: the variable, the file's name, where requests go.
    """
    done = bypasses(environ or {}, OWN, command)
    assert "secret" not in repr(done) + "".join(one.what + one.fix for one in done)
    return [(one.name, None if one.file is None else one.file.name, one.where) for one in done]


@pytest.mark.parametrize("name", PROVIDERS)
def test_other_providers(name: str) -> None:
    """
    Each variable that chooses one, unless it says no.
    """
    assert found({name: "1"}) == found({name: "true"}) == [(name, None, PROVIDERS[name])]
    assert found({name: "0"}) == found({name: "False"}) == found({name: ""}) == found() == []


@pytest.mark.parametrize(
    ("name", "value", "where"),
    [
        ("ANTHROPIC_UNIX_SOCKET", "x.sock", ["a local socket"]),
        ("CLAUDE_CODE_API_BASE_URL", ELSEWHERE, ["relay.example:443"]),
        ("CLAUDE_CODE_API_BASE_URL", OWN[0], []),
        ("ANTHROPIC_BASE_URL", ELSEWHERE, []),
    ],
)
def test_addresses_in_the_environment(name: str, value: str, where: list[str]) -> None:
    """
    The base URL itself is what `run` sets, so it is no reason.
    """
    assert [one[2] for one in found({name: value})] == where


@pytest.mark.parametrize(
    ("url", "ours"),
    [
        ("http://127.0.0.1:8787", True),
        ("http://127.0.0.1:8787/", True),
        ("http://localhost:8787/v1", True),
        ("http://127.0.0.1:8788", False),
        ("https://api.anthropic.com", False),
        ("not an address", False),
        ("http://[", False),
        ("http://host:99999", False),
    ],
)
def test_base_url_in_a_settings_file(tmp_path: Path, url: str, ours: bool) -> None:
    """
    It counts more than the environment's: one that is not ours is a reason.
    """
    put(tmp_path / ".claude" / "settings.json", {"ANTHROPIC_BASE_URL": url})
    assert (found({"HOME": str(tmp_path)}) == []) is ours


def test_what_counts_most(tmp_path: Path, managed: Path) -> None:
    """
    An administrator's file, `--settings`, the folder's two files, the person's own, the environment.
    """
    own = put(tmp_path / "config" / "settings.json", {"CLAUDE_CODE_USE_BEDROCK": "1"})
    environ = {"CLAUDE_CONFIG_DIR": str(own.parent), "HOME": "/nowhere", "CLAUDE_CODE_USE_BEDROCK": "1"}
    name, where = "CLAUDE_CODE_USE_BEDROCK", "Amazon Bedrock"
    assert found(environ) == [(name, "settings.json", where)]

    put(Path(".claude") / "settings.json", {name: "0"})
    assert found(environ) == []
    put(Path(".claude") / "settings.local.json", {name: "true"})
    assert found(environ) == [(name, "settings.local.json", where)]
    put(Path("given.json"), {name: "no"})
    assert found(environ, "claude", "--settings", "given.json") == []
    assert found(environ, "claude", "--settings=given.json") == []
    put(managed / "managed-settings.json", {name: 1})
    assert found(environ, "claude", "--settings", "given.json") == [(name, "managed-settings.json", where)]
    put(managed / "managed-settings.d" / "10.json", {name: False})
    assert found(environ) == []


def test_settings_in_the_command() -> None:
    """
    As JSON they have no file.
    """
    text = json.dumps({"env": {"CLAUDE_CODE_USE_VERTEX": "1"}})

    assert found({}, "claude", "--settings", text) == [("CLAUDE_CODE_USE_VERTEX", "--settings", "Google Cloud")]
    assert found({}, "claude", "--settings") == found({}, "claude", "--settings", "none.json") == []


@pytest.mark.parametrize("text", ["", "junk", "[]", "3", '{"env": 3}', "[" * 100_000, '{"env": {"OTHER": "1"}}'])
def test_what_is_not_settings(tmp_path: Path, text: str) -> None:
    """
    No reason, and no error.
    """
    file = tmp_path / ".claude" / "settings.json"
    file.parent.mkdir()
    file.write_text(text)
    assert found({"HOME": str(tmp_path)}) == []


def test_folder_in_place_of_a_file(tmp_path: Path) -> None:
    """
    The same.
    """
    (tmp_path / ".claude" / "settings.json").mkdir(parents=True)
    assert found({"HOME": str(tmp_path)}) == []


def test_syntax() -> None:
    """
    What is set, what follows, what to do.
    """
    put(Path(".claude") / "settings.json", {"ANTHROPIC_BASE_URL": ELSEWHERE})
    by_file, by_variable = (bypasses(environ, OWN)[0] for environ in ({}, {"CLAUDE_CODE_USE_BEDROCK": "1"}))
    assert by_variable.what == (
        "CLAUDE_CODE_USE_BEDROCK is set: Claude Code sends its requests to Amazon Bedrock, not to savemode"
    )
    assert by_variable.fix == "unset CLAUDE_CODE_USE_BEDROCK"
    assert by_file.what == (
        "ANTHROPIC_BASE_URL is set in .claude/settings.json: Claude Code sends its requests to relay.example:443, not to savemode"
    )
    assert by_file.fix == "remove ANTHROPIC_BASE_URL from .claude/settings.json"
