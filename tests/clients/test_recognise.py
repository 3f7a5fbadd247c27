"""
Which client a command line runs: the program itself, or behind what runs it.
"""

import pytest

from savemode_cli.clients.recognise import recognise


@pytest.mark.parametrize(
    ("line", "name", "position"),
    [
        ("claude -p hello", "claude-code", 0),
        ("/usr/local/bin/claude", "claude-code", 0),
        (r"C:\tools\claude.cmd -p", "claude-code", 0),
        ("npx -y @anthropic-ai/claude-code@2.1.332 -p", "claude-code", 2),
        ("npx claude", "claude-code", 1),
        ("bunx opencode-ai run", "opencode", 1),
        ("npm exec @earendil-works/pi-coding-agent -- -p", "pi", 3),
        ("pnpm dlx cline hello", "cline", 2),
        ("uvx --from aider-chat aider --yes", "aider", 3),
        ("uvx llm hello", "llm", 1),
        ("uv tool run mini-swe-agent -t x", "mini-swe-agent", 3),
        ("uv run llm hello", "llm", 2),
        ("pipx run aider-chat==0.86.2", "aider", 2),
        ("python3.12 -m aider", "aider", 2),
        ("env A=1 nice -n 5 opencode run", "opencode", 5),
        ("timeout 60 cn -p hello", "continue", 2),
    ],
)
def test_client(line: str, name: str, position: int) -> None:
    """
    The client, and the word behind which its own words stand.
    """
    found = recognise(line.split(" "))

    assert found is not None
    assert (found.client.name, found.position) == (name, position)


@pytest.mark.parametrize(
    "line",
    [
        "python script.py",
        "python -m",
        "python -m pytest",
        "node claude.js",
        "claude-wrapper",
        "npx",
        "npx create-something claude",
        "env",
        "env A=1",
        "make llm",
        "./claude/run.sh",
        "echo claude",
    ],
)
def test_no_client(line: str) -> None:
    """
    A word in the wrong place names no client.
    """
    assert recognise(line.split(" ")) is None


def test_no_command() -> None:
    """
    Nothing runs nothing.
    """
    assert recognise([]) is None
