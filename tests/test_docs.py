"""
The documentation is true: its commands exist, its output is what is printed, its links lead somewhere, and every option,
variable and reason is listed.

`SAVEMODE_UPDATE_DOCS=1 pytest tests/test_docs.py` writes the generated parts anew.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from savemode_cli import config
from savemode_cli.clients.table import clients
from savemode_cli.core.diagnosis.causes import ADVICE
from savemode_cli.views.clients import connect_table, refusal_table
from tests.clients.programs import FURTHER
from tests.support.command import runner
from tests.support.reference import reference

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
REFERENCE = ROOT / "docs" / "reference.md"
CLIENTS = ROOT / "docs" / "clients.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
EVERYTHING = "\n".join(page.read_text() for page in PAGES)
UPDATE = os.environ.get("SAVEMODE_UPDATE_DOCS") == "1"
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


def check_part(page: Path, mark: str, expected: str) -> None:
    """
    Compare the code block or the table that follows a mark in a page, or write it.
    """
    text = page.read_text()
    match = re.search(rf"(<!-- {re.escape(mark)} -->\n)(```\n.*?\n```\n|(?:\|[^\n]*\n)+)", text, re.DOTALL)
    assert match is not None, f"no {mark} in {page.name}"
    if UPDATE:
        page.write_text(text[: match.start(2)] + expected + "\n" + text[match.end(2) :])
        return
    assert match[2].strip() == expected.strip()


def test_demo_output() -> None:
    """
    The output shown is the one that the command prints: whole in the quickstart, its last part in the README.
    """
    output = savemode("demo")
    last = output[output.index("3. Both days side by side") :]

    check_part(ROOT / "docs" / "quickstart.md", "output: savemode demo", f"```\n{output}\n```")
    check_part(README, "excerpt: savemode demo", f"```\n{last}\n```")
    rows = output[output.index("  cost ") : output.index("09:00:14")].rstrip()
    check_part(README, "first rows: savemode demo", f"```\n{rows}\n```")


def test_why_output() -> None:
    """
    The example on the page about misses is what the command prints, and the table of causes is the program's.
    """
    page = ROOT / "docs" / "why.md"
    output = savemode("why", str(ROOT / "docs" / "examples" / "out-of-reach.jsonl"))
    check_part(page, "output: savemode why docs/examples/out-of-reach.jsonl", f"```\n{output}\n```")

    rows = re.findall(r"^\| `(\w+)` \| (.+) \| (.+) \|$", page.read_text(), re.MULTILINE)
    assert {cause: advice.replace("`", "") for cause, _, advice in rows} == ADVICE


def test_readme_is_short() -> None:
    """
    Details belong into `docs/`.
    """
    assert len(README.read_text().splitlines()) <= 150


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """
    Every relative link names a file that exists, and a heading in it.
    """
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text()):
        name, _, anchor = target.partition("#")
        other = (page.parent / name).resolve() if name else page
        assert other.exists(), f"{page.name} links to {target}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", other.read_text(), re.MULTILINE)
            assert anchor in {heading_anchor(heading) for heading in headings}, f"{page.name} links to {target}"


def heading_anchor(heading: str) -> str:
    """
    The anchor that a heading gets: lower case, hyphens for spaces, no punctuation.
    """
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_are_found(page: Path) -> None:
    """
    The README links to every page of `docs/`, directly or through a page that it links to.
    """
    linked = {target.partition("#")[0] for one in PAGES for target in re.findall(r"\]\(([^)]+)\)", one.read_text())}

    assert page == README or page.name in {name.rpartition("/")[2] for name in linked}


def test_reference(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """
    The reference is what `--help` prints, and the table of options.
    """
    monkeypatch.setenv("COLUMNS", "80")
    run = runner(monkeypatch, capsys)
    expected = reference(lambda name: steady(run(*name.split(), "--help").out), config.OPTIONS)
    if UPDATE:
        REFERENCE.parent.mkdir(exist_ok=True)
        REFERENCE.write_text(expected)

    assert REFERENCE.read_text() == expected


def test_clients() -> None:
    """
    The tables of the page about clients are those of clients.toml.
    """
    check_part(CLIENTS, "table: how to connect", connect_table(clients()))
    check_part(CLIENTS, "table: after a refusal", refusal_table(clients()))


def test_every_skip_is_explained() -> None:
    """
    A reason that is printed is one that the documentation explains.
    """
    sources = [ROOT / "savemode_cli/core/upgrade/cache_ttl.py", ROOT / "savemode_cli/proxy/relay.py"]
    text = "".join(path.read_text() for path in sources)
    codes = set(re.findall(r'_skip\([^"\n]*?"([a-z0-9-]+)"', text)) | set(re.findall(r'\.skip\("([a-z-]+)"', text))
    codes |= set(re.findall(r'\("([a-z0-9-]+)", [\'"]', text)) - {"bare", "broken", "utf-8"}  # not codes

    assert len(codes) > 12
    explained = (ROOT / "docs" / "cache-upgrades.md").read_text()
    assert {code for code in codes if f"`{code}`" not in explained} == set()


def test_shell_commands_name_real_options() -> None:
    """
    Every `--option` in a how-to exists.
    """
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", EVERYTHING, re.DOTALL))
    listed = REFERENCE.read_text()
    used = {option for line in blocks.splitlines() if "savemode" in line for option in re.findall(r"--[a-z-]+", line)}

    assert {option for option in used if option not in listed} == set()


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
    The documentation names the versions of the clients that CI installs, and no others.
    """
    installed = re.findall(r"from_(?:pypi|npm) \S+(?: @\S+)? (\d[\d.]+)", (ROOT / ".ci" / "clients").read_text())
    named = re.search(r"CI drives it with (.*?): streams", EVERYTHING, re.DOTALL)
    assert named is not None
    assert re.findall(r"\d+\.\d+\.\d+", named[1]) == installed


def test_where_to_add_something() -> None:
    """
    Each folder and file of the table in `docs/architecture.md` exists, and each table that it names is in its file.
    """
    page = (ROOT / "docs" / "architecture.md").read_text()
    rows = re.findall(
        r"^\| an? (?:.*?) \| (.*) \| (.*) \| (.*) \|$", page.split("## Where to add something")[1], re.MULTILINE
    )

    assert len(rows) >= 8
    for what, table, test in rows:
        for path in re.findall(r"`((?:savemode_cli|tests)/[^`]*)`", f"{what} {test}"):
            assert (ROOT / path.replace("NAME.py", "")).exists(), path
        for name, path in re.findall(r"`([A-Z_]+)` in `([^`]+)`", table):
            assert re.search(rf"^{name}\b", (ROOT / "savemode_cli" / path).read_text(), re.MULTILINE), name


def test_versions_of_further_clients() -> None:
    """
    CI installs the versions of the further clients that clients.toml names.
    """
    lines = re.findall(r"^ +further_from_(?:pypi|npm) (\S+) (.+)", (ROOT / ".ci" / "clients").read_text(), re.MULTILINE)
    rows = {row.name: row for row in clients()}

    assert len(lines) >= 10
    for name, packages in lines:
        versions = [re.split("==|@", package)[-1].strip("'") for package in packages.split()]
        assert versions[0] in rows[name].tried, name


def test_every_further_client_is_installed() -> None:
    """
    What the tests drive is what CI installs.
    """
    installed = re.findall(r"^ +further_from_(?:pypi|npm) (\S+)", (ROOT / ".ci" / "clients").read_text(), re.MULTILINE)

    assert sorted(installed) == sorted(client.name for client in FURTHER)
