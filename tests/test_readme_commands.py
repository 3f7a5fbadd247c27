"""
Every command of the README's how-tos, run as it stands there, in order, in one folder.

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
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.cli.processes import ROOT, SAVEMODE, running, savemode
from tests.transcripts import Transcript, usage
from tests.upstream import Upstream

README = (ROOT / "README.md").read_text()
SERVERS = ("serve", "simulate-upstream")
CLAUDE = f"""#!{sys.executable}
import json, os, urllib.request
body = json.dumps({{"model": "claude-opus-5-5", "max_tokens": 5, "messages": [{{"role": "user", "content": "hi"}}]}})
request = urllib.request.Request(os.environ["ANTHROPIC_BASE_URL"] + "/v1/messages", body.encode(), {{"x-api-key": "made-up"}})
print(urllib.request.urlopen(request, timeout=20).status)
"""


def commands() -> list[str]:
    """
    The lines that run savemode, without what a shell takes for a comment; those behind the first heading of how-tos.
    """
    how_to = README[README.index("## How to") :]
    lines = "\n".join(re.findall(r"```sh\n(.*?)```", how_to, re.DOTALL)).splitlines()
    return [line for line in lines if re.match(r"(\w+=\w+ )*savemode ", line)]


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, upstream: Upstream) -> None:
    """
    What the commands speak of.
    """
    block = {"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}
    body = {"model": "claude-opus-5-5", "max_tokens": 5, "system": [block], "messages": []}
    Path("body.json").write_text(json.dumps(body))
    Path("costs.jsonl").write_text(json.dumps({"at": datetime.now(UTC).isoformat(), "cost_usd": "0.5"}) + "\n")
    Path("script.json").write_text('{"turns": [{"text": "Done."}]}')
    projects = Path(os.environ["HOME"]) / ".claude" / "projects"
    projects.mkdir(parents=True)
    Transcript("s").user().answer("1", usage()).write(projects)
    claude = tmp_path / "bin" / "claude"
    claude.parent.mkdir()
    claude.write_text(CLAUDE)
    claude.chmod(0o700)
    monkeypatch.setenv("PATH", f"{claude.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("SAVEMODE_UPSTREAM", upstream.url)


def words_of(line: str) -> tuple[dict[str, str], list[str]]:
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
            with running(sys.executable, "-c", CLAUDE.partition("\n")[2], ANTHROPIC_BASE_URL=url) as call:
                assert call.end(None) == 0
        assert server.end() == 0
    for line in commands():
        variables, words = words_of(line)
        if words[0] in SERVERS:
            with running(*SAVEMODE, *words, "--port", "0", **variables) as server:
                url = server.err.wait_for(r"export ANTHROPIC_BASE_URL=(\S+)")[1]
                urllib.request.urlopen(f"{url}/-/health", timeout=20).close()
                assert server.end(signal.SIGTERM) == 0, line
        else:
            done = savemode(*words, **variables)
            assert (done.returncode, b"Traceback" in done.stderr) == (0, False), (line, done.stderr)
