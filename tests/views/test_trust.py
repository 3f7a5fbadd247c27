"""
What a person sees before a file is trusted, and of the files that are.
"""

from datetime import UTC, datetime

from savemode_cli.views.trust import TrustedFile, files_json, show_effects, show_files
from tests.support.drawn import drawn

EFFECTS = {"upstream": "your prompts go there", "budget": "the cap", "quiet": "how much is printed"}
WHEN = datetime(2026, 11, 24, 12, 30, tzinfo=UTC)
FILES = [TrustedFile("/a/savemode.toml", WHEN, "trusted"), TrustedFile("/b\x1b/savemode.toml", WHEN, "changed")]


def test_effects() -> None:
    """
    The gravest first, each with its value and what it does; what has its effect anyway says so.
    """
    table = {"quiet": True, "budget": "20", "upstream": "https://evil.example/\u202e" + "x" * 300}

    assert drawn(show_effects, "/a/savemode.toml", table, EFFECTS, ["quiet"], width=300).splitlines() == [
        "/a/savemode.toml sets:",
        '  upstream = "https://evil.example/\\u202e' + "x" * 177 + "...",
        "  your prompts go there",
        '  budget = "20"',
        "  the cap",
        "  quiet = true",
        "  how much is printed (also without trust)",
    ]


def test_values_of_toml() -> None:
    """
    A table in one line; a date, which JSON does not have.
    """
    table = {"budget": {"a": [1, 2.5]}, "upstream": WHEN}

    assert drawn(show_effects, "/a", table, EFFECTS, []).splitlines()[1::2] == [
        '  upstream = "2026-11-24 12:30:00+00:00"',
        '  budget = {"a": [1, 2.5]}',
    ]


def test_files() -> None:
    """
    One a line, with what has become of it.
    """
    assert drawn(show_files, FILES).splitlines() == [
        "/a/savemode.toml  2026-11-24 12:30 UTC  trusted",
        "/b\\x1b/savemode.toml  2026-11-24 12:30 UTC  changed since, not trusted",
    ]
    assert drawn(show_files, []) == "no config file is trusted"


def test_files_as_json() -> None:
    """
    The same for machines.
    """
    assert files_json(FILES[:1]) == {
        "schema_version": 1,
        "files": [{"path": "/a/savemode.toml", "state": "trusted", "trusted_at": "2026-11-24T12:30:00+00:00"}],
    }
