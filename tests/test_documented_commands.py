"""
Every command that the README and `docs/` show, run as it stands there, page by page, in one folder.

Only what a stranger has and a test has not is put in place: a body, a trace, a transcript, something called `claude`, and
an upstream and an address on loopback. The two commands at the top are CI's to run.
"""

import json
import os
import re
import shlex
import signal
import sys
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import ROOT, SAVEMODE, running, savemode
from tests.support.service_managers import StandIn
from tests.support.terminal import in_a_terminal
from tests.support.transcripts import Transcript, usage
from tests.support.upstream import Upstream

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SERVERS = ("serve", "simulate-upstream")
SCREENS = ("top",)
"""Commands that need a terminal and a proxy that runs, and that end at q."""
ANSWERS = {
    "trust": ["--yes"],
    "init": ["--force"],
    "init --budget 20 --warn-at 0.7 --save": ["--force"],
    "service install": ["--", "--port", "0"],
}
"""What is added as a person would on a terminal, where an earlier page has been followed, and where a port may be taken."""

CLIENT = f"""#!{sys.executable}
import json, os, urllib.request
body = json.dumps({{"model": "claude-opus-5-5", "max_tokens": 5, "messages": [{{"role": "user", "content": "hi"}}]}})
url = os.environ["ANTHROPIC_BASE_URL"].removesuffix("/v1") + "/v1/messages"
request = urllib.request.Request(url, body.encode(), {{"x-api-key": "made-up"}})
print(urllib.request.urlopen(request, timeout=20).status)
"""


def commands() -> list[str]:
    """
    The lines that run savemode in blocks of shell, each once, without what a shell takes for a comment; and the commands in
    the README's table of tasks.
    """
    text = "\n".join(page.read_text() for page in PAGES)
    lines = "\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL)).splitlines()
    lines += re.findall(r"^\|[^|]*\| `(savemode [^`]*)` \|", PAGES[0].read_text(), re.MULTILINE)
    return list(dict.fromkeys(line for line in lines if re.match(r"(\w+=\w+ )*savemode ", line)))


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, upstream: Upstream) -> None:
    """
    What the commands speak of.
    """
    block = {"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}
    body = {"model": "claude-opus-5-5", "max_tokens": 5, "system": [block], "messages": []}
    Path("body.json").write_text(json.dumps(body))
    Path("costs.jsonl").write_text(json.dumps({"at": datetime.now(UTC).isoformat(), "cost_usd": "0.5"}) + "\n")
    Path("savemode.toml").write_text("quiet = true\n")
    Path("script.json").write_text('{"turns": [{"text": "Done."}]}')
    example = (ROOT / "docs" / "examples" / "out-of-reach.jsonl").read_bytes()
    Path("recordings").mkdir()
    for recorded in ("capture.jsonl", "recordings/more.jsonl"):
        Path(recorded).write_bytes(example)
    projects = Path(os.environ["HOME"]) / ".claude" / "projects"
    projects.mkdir(parents=True)
    Transcript("s").user().answer("1", usage()).write(projects)
    days = Transcript("days", at=datetime.now(UTC) - timedelta(days=20))
    for number in range(20):
        days.user().answer(f"day {number}", usage()).wait(days=1)
    days.write(projects)
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("claude", "opencode"):
        (programs / name).write_text(CLIENT)
        (programs / name).chmod(0o700)
    managers = StandIn(tmp_path / "managers", "launchctl" if sys.platform == "darwin" else "systemctl")
    monkeypatch.setenv("PATH", os.pathsep.join(map(str, (programs, managers.folder, os.environ["PATH"]))))
    monkeypatch.setenv("SAVEMODE_UPSTREAM", upstream.url)


def words_of(line: str) -> tuple[dict[str, Any], list[str]]:
    """
    The variables before a command, and its words behind `savemode`.
    """
    words = shlex.split(line, comments=True)
    first = words.index("savemode")
    home = os.environ["HOME"]
    return dict(word.split("=", 1) for word in words[:first]), [re.sub("^~", home, word) for word in words[first + 1 :]]


def test_there_are_commands() -> None:
    """
    The pattern finds them; each subcommand with a how-to is among them.
    """
    named = {words_of(line)[1][0] for line in commands()}

    assert len(commands()) >= 24
    assert named >= {"diff-request", "run", "serve", "doctor", "budget", "simulate-budget", "replay", "captures"}


@pytest.mark.usefixtures("stranger")
def test_every_command_does_what_it_should() -> None:
    """
    Servers come up and stop when told; everything else ends with 0, one after the other as a reader would type them.
    """
    with running(*SAVEMODE, "serve", "--port", "0", "--capture") as server:
        url = server.err.wait_for(r"export ANTHROPIC_BASE_URL=(\S+)")[1]
        for _ in range(12):  # `captures show 12` wants so many
            with running(sys.executable, "-c", CLIENT.partition("\n")[2], ANTHROPIC_BASE_URL=url) as call:
                assert call.end(None) == 0
        assert server.end() == 0
    for line in commands():
        variables, words = words_of(line)
        if words[0] in SERVERS:
            with running(*SAVEMODE, *words, "--port", "0", **variables) as server:
                url = server.err.wait_for(r"export ANTHROPIC_BASE_URL=(\S+)")[1]
                urllib.request.urlopen(f"{url}/-/health", timeout=20).close()
                assert server.end(signal.SIGTERM) == 0, line
        elif words[0] in SCREENS:
            with running(*SAVEMODE, "serve", "--port", "0") as server:
                server.err.wait_for(r"export ANTHROPIC_BASE_URL=(\S+)")
                with in_a_terminal(*words) as screen:
                    screen.wait_for(b"spent")
                    screen.type(b"q")
                    assert screen.end() == 0, line
                assert server.end() == 0
        else:
            done = savemode(*words, *ANSWERS.get(" ".join(words), ()), **variables)
            assert (done.returncode, b"Traceback" in done.stderr) == (0, False), (line, done.stderr)
