"""
The README is true: its commands exist, its output is what is printed, every option, variable and reason is in it.

`SAVEMODE_UPDATE_DOCS=1 pytest tests/test_docs.py` writes the generated parts anew.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from savemode_cli import config
from savemode_cli.cli import app
from tests.cli.command import runner

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
TABLES = ("products", "aliases", "budgets")
UPDATE = os.environ.get("SAVEMODE_UPDATE_DOCS") == "1"
COMMANDS = [info.name for info in app.registered_commands if info.name] + [
    f"{group.name} {info.name}"
    for group in app.registered_groups
    if group.typer_instance is not None
    for info in group.typer_instance.registered_commands
]
VOLATILE = [
    (re.compile(r"python -m savemode_cli"), "savemode"),
    (re.compile(r"127\.0\.0\.1:\d+"), "127.0.0.1:40000"),
    (re.compile(r"req_sm_[0-9a-f]{20}"), "req_sm_5f0c9d3e7a1b42d6908e"),
    (re.compile(r"(first_ms|ms)=\d+"), r"\1=2"),
]


def savemode(*arguments: str) -> str:
    """
    What a command prints, with clock times, ports, ids and durations made steady.
    """
    environ = {**os.environ, "COLUMNS": "80", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "savemode_cli", *arguments], capture_output=True, text=True, check=True, env=environ
    )
    return steady(done.stdout)


def steady(text: str) -> str:
    """
    A text without what differs from one run to the next, or from one way to start it.
    """
    for pattern, constant in VOLATILE:
        text = pattern.sub(constant, text)
    return "\n".join(line.rstrip() for line in text.splitlines()).strip()


def check_part(mark: str, expected: str) -> None:
    """
    Compare what follows a mark in the README, up to the next mark or heading, or write it.
    """
    text = README.read_text()
    pattern = re.compile(rf"(<!-- {re.escape(mark)} -->\n)(.*?)(?=\n(?:#|<!--|Each request))", re.DOTALL)
    match = pattern.search(text)
    assert match is not None, f"no {mark} in the README"
    if UPDATE:
        README.write_text(text[: match.start(2)] + expected + "\n" + text[match.end(2) :])
        return
    assert match[2].strip() == expected.strip()


def test_demo_output() -> None:
    """
    The output below the first command is the one it prints.
    """
    check_part("output: savemode demo", f"```\n{savemode('demo')}\n```")


def test_reference(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """
    The reference is what `--help` says.
    """
    monkeypatch.setenv("COLUMNS", "80")
    run = runner(monkeypatch, capsys)
    parts = [f"```\n{steady(run(*name.split(), '--help').out)}\n```" for name in COMMANDS]
    check_part("reference", "\n\n".join(parts))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_shown(name: str) -> None:
    """
    A command is in the README before it is released.
    """
    assert f"savemode {name}" in README.read_text()


@pytest.mark.parametrize("name", config.OPTIONS)
def test_every_variable_is_listed(name: str) -> None:
    """
    One page lists every option that the environment can set.
    """
    spelled = f"`{name}`" if name in TABLES else f"SAVEMODE_{name.upper()}"
    found = f"[{name}" if name in TABLES else spelled

    assert found in README.read_text()


def test_every_skip_is_explained() -> None:
    """
    A reason that is printed is one that the README explains.
    """
    sources = [ROOT / "savemode_cli/core/transform.py", ROOT / "savemode_cli/proxy/relay.py"]
    text = "".join(path.read_text() for path in sources)
    codes = set(re.findall(r'_skip\([^"\n]*?"([a-z0-9-]+)"', text)) | set(re.findall(r'\.skip\("([a-z-]+)"', text))
    codes |= set(re.findall(r'\("([a-z0-9-]+)", [\'"]', text)) - {"bare", "broken", "utf-8"}  # not codes

    assert len(codes) > 12
    assert {code for code in codes if f"`{code}`" not in README.read_text()} == set()


def test_shell_commands_name_real_options() -> None:
    """
    Every `--option` in a how-to exists.
    """
    text = README.read_text()
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL))
    reference = text[text.index("<!-- reference -->") :]
    used = {option for line in blocks.splitlines() if "savemode" in line for option in re.findall(r"--[a-z-]+", line)}

    assert {option for option in used if option not in reference} == set()


def test_changelog_and_version_agree() -> None:
    """
    The changelog has a head for what is coming, and no release that the package is not at.
    """
    changelog = (ROOT / "CHANGELOG.md").read_text()
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)

    assert version is not None
    released = re.findall(r"^## \[(\d.*?)\]", changelog, re.MULTILINE)
    assert "## [Unreleased]" in changelog
    assert released == [] or released[0] == version[1]


def test_tested_clients() -> None:
    """
    The README names the versions of the clients that CI installs, and no others.
    """
    installed = re.findall(r"from_(?:pypi|npm) \S+(?: @\S+)? (\d[\d.]+)", (ROOT / ".ci" / "clients").read_text())
    named = re.search(r"CI drives it with (.*?): streams", README.read_text(), re.DOTALL)
    assert named is not None
    assert re.findall(r"\d+\.\d+\.\d+", named[1]) == installed
