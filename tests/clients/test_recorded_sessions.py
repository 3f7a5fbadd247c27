"""
Scripted sessions of Claude Code 2.1.332, which records its requests: what the cache missed in each is known beforehand. The
proxy's verdicts, and those on the rebuilt requests of the transcripts, must name it, and nothing else.
"""

import json
import subprocess
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from savemode_cli.captures.sink import CaptureSink
from savemode_cli.captures.store import CaptureStore
from savemode_cli.core.cache.prompt import prompt_of
from savemode_cli.core.wire.products import PRODUCTS
from savemode_cli.prices import load_prices
from savemode_cli.readers.diagnosed import Reading, diagnosed_requests
from savemode_cli.readers.files import readable, walk
from savemode_cli.readers.rebuilt import rebuilt_sessions
from savemode_cli.readers.transcript_files import groups
from savemode_cli.simulated.clock import Clock
from savemode_cli.simulated.script import parse_script
from tests.clients.conftest import where_installed
from tests.clients.driven import PATIENCE_S, ClaudeCode
from tests.support.simulated import Simulated, running_simulated
from tests.support.upstream import RunningProxy, running_proxy

pytestmark = pytest.mark.clients

RECORDING = "claude-code-2.1.332"
NO_SNAPSHOT = ("--system-prompt-snapshot", "off")


@dataclass
class Sessions:
    """
    The client in a folder of its own, a proxy and a simulated API behind it; their clock can be advanced.
    """

    claude: ClaudeCode
    work: Path
    proxy: RunningProxy
    upstream: Simulated
    clock: Clock
    advanced: list[tuple[datetime, float]] = field(default_factory=list)
    """When the clock was advanced, and by how many seconds."""

    def says(self, *turns: dict[str, Any]) -> None:
        """
        What the model says from now on; without turns, a line of its own.
        """
        self.upstream.app.script = parse_script(list(turns))

    def ask(self, *words: str, **environ: str) -> None:
        """
        Run the client once, and wait for its end.
        """
        done = subprocess.run(
            [self.claude.program, "-p", *words],
            env=self.claude.environment(self.proxy.url, **environ),
            cwd=self.work,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=2 * PATIENCE_S,
            check=False,
        )
        assert done.returncode == 0, (words, done.stdout[-300:], done.stderr[-300:])

    def wait(self, seconds: float) -> None:
        """
        Advance the clock. The client's own clock does not know of it, see `transcripts`.
        """
        self.advanced.append((datetime.now(UTC), seconds))
        self.clock.advance(seconds)

    def reading(self, *names: str) -> dict[str, Any]:
        """
        A turn in which the model reads files.
        """
        calls = [{"name": "Read", "input": {"file_path": str(self.work / name)}} for name in names]
        return {"text": "I look.", "tool_use": calls}

    def causes(self) -> list[str]:
        """
        The causes of all misses, as the proxy names them.
        """
        verdicts = [exchange.bill.verdict for exchange in self.proxy.exchanges]
        return [miss.cause for verdict in verdicts if verdict is not None for miss in verdict.misses]

    def transcripts(self) -> Path:
        """
        The folder of the transcripts. Their times are made those of the proxy's clock.
        """
        folder = self.claude.home / "projects"
        for path in folder.rglob("*.jsonl"):
            lines = [json.loads(line) for line in path.read_text().splitlines()]
            path.write_text("".join(json.dumps(self._timed(line)) + "\n" for line in lines))
        return folder

    def _timed(self, line: dict[str, Any]) -> dict[str, Any]:
        if "timestamp" not in line:
            return line
        at = datetime.fromisoformat(line["timestamp"])
        later = timedelta(seconds=sum(seconds for when, seconds in self.advanced if when <= at))
        return {**line, "timestamp": f"{at + later:%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"}


@pytest.fixture(params=[where_installed(RECORDING)])
def sessions(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Sessions]:
    """
    The client, with files to read and instructions.
    """
    home, work = tmp_path / "client", tmp_path / "folder"
    home.mkdir()
    work.mkdir()
    (work / "one.txt").write_text("forty-two\n" * 300)
    (work / "two.txt").write_text("forty-three\n" * 300)
    (work / "CLAUDE.md").write_text("Be careful. " * 400)
    clock = Clock()
    sink = CaptureSink(tmp_path / "captures", lambda *_: None)
    with running_simulated(clock=clock) as upstream, running_proxy(upstream.url, now=clock, sinks=[sink]) as proxy:
        yield Sessions(ClaudeCode(home, request.param), work, proxy, upstream, clock)
    sink.close()


def new_session() -> str:
    """
    The ID of a session.
    """
    return str(uuid.uuid4())


def tool_loop(made: Sessions) -> None:
    """
    Three requests of one turn.
    """
    made.says(made.reading("one.txt"), made.reading("two.txt"), {"text": "Done."})
    made.ask("read both", "--session-id", new_session())


def parallel_tools(made: Sessions) -> None:
    """
    Two tools in one answer.
    """
    made.says(made.reading("one.txt", "two.txt"), {"text": "Done."})
    made.ask("read both at once", "--session-id", new_session())


def sub_agents(made: Sessions) -> None:
    """
    Two sub-agents at the same time, each with a prompt of its own.
    """
    call = {"description": "look", "prompt": "Look into it. " * 300, "subagent_type": "general-purpose"}
    agents = [{"name": "Agent", "input": {**call, "run_in_background": False}} for _ in range(2)]
    made.says({"text": "I ask.", "tool_use": agents}, {"text": "Done."})
    made.ask("ask two agents", "--session-id", new_session())


def resumed(made: Sessions) -> None:
    """
    Three turns of one session, each a process of its own.
    """
    session = new_session()
    made.ask("hello", "--session-id", session)
    made.ask("go on", "--resume", session)
    made.ask("and on", "--resume", session)


def forked(made: Sessions) -> None:
    """
    A fork, and the origin after it.
    """
    session = new_session()
    made.ask("hello", "--session-id", session)
    made.ask("another way", "--resume", session, "--fork-session")
    made.ask("go on", "--resume", session)


def compacted(made: Sessions) -> None:
    """
    A compaction, and two turns after it.
    """
    session = new_session()
    made.says(made.reading("one.txt"), {"text": "Done."})
    made.ask("read it", "--session-id", session)
    made.ask("/compact", "--resume", session)
    made.ask("go on", "--resume", session)
    made.ask("and on", "--resume", session)


def fewer_tools(made: Sessions) -> None:
    """
    The second turn has two tools only.
    """
    session = new_session()
    made.ask("hello", "--session-id", session, *NO_SNAPSHOT)
    made.ask("go on", "--resume", session, "--tools", "Bash,Read", *NO_SNAPSHOT)


def pause_of_six_minutes(made: Sessions) -> None:
    """
    Longer than the TTL of 5 minutes.
    """
    session = new_session()
    made.ask("hello", "--session-id", session)
    made.wait(360)
    made.ask("go on", "--resume", session)


def pauses_with_an_hour(made: Sessions) -> None:
    """
    With a TTL of an hour: one pause that it survives, and one that it does not.
    """
    session = new_session()
    hour = {"ENABLE_PROMPT_CACHING_1H": "1"}
    made.ask("hello", "--session-id", session, **hour)
    made.wait(360)
    made.ask("go on", "--resume", session, **hour)
    made.wait(3700)
    made.ask("and on", "--resume", session, **hour)


def edited_instructions(made: Sessions) -> None:
    """
    Another CLAUDE.md: the client says so in a new message, and the prefix stays.
    """
    session = new_session()
    made.ask("hello", "--session-id", session)
    (made.work / "CLAUDE.md").write_text("Be quick. " * 400)
    made.ask("go on", "--resume", session)
    made.ask("and on", "--resume", session)


def another_model(made: Sessions) -> None:
    """
    The client renders its history anew for a model that takes no messages of the system.
    """
    session = new_session()
    made.ask("hello", "--session-id", session)
    made.ask("go on", "--resume", session, "--model", "claude-sonnet-5")


def another_system_prompt(made: Sessions) -> None:
    """
    Another text of the flag, without the record that the client would send instead.
    """
    session = new_session()
    made.ask("hello", "--session-id", session, "--append-system-prompt", "Be kind. " * 50, *NO_SNAPSHOT)
    made.ask("go on", "--resume", session, "--append-system-prompt", "Be rude. " * 50, *NO_SNAPSHOT)


def recorded_system_prompt(made: Sessions) -> None:
    """
    The same with that record: the second text is never sent.
    """
    session = new_session()
    made.ask("hello", "--session-id", session, "--append-system-prompt", "Be kind. " * 50)
    made.ask("go on", "--resume", session, "--append-system-prompt", "Be rude. " * 50)


def two_at_once(made: Sessions) -> None:
    """
    Two sessions at the same time, twice: neither counts as what the other one goes on from.
    """
    made.upstream.app.behaviour = replace(made.upstream.app.behaviour, answer_s=1.0)
    names = [new_session(), new_session()]
    for words in (["hello", "--session-id"], ["go on", "--resume"]):
        running = [threading.Thread(target=made.ask, args=(*words, name)) for name in names]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (tool_loop, []),
        (parallel_tools, []),
        (sub_agents, []),
        (resumed, []),
        (forked, []),
        (compacted, ["compacted"]),
        (fewer_tools, ["tools_changed"]),
        (pause_of_six_minutes, ["expired"]),
        (pauses_with_an_hour, ["expired"]),
        (edited_instructions, []),
        (another_model, ["model_changed"]),
        (another_system_prompt, ["system_changed"]),
        (recorded_system_prompt, []),
        (two_at_once, []),
    ],
)
def test_the_cause(sessions: Sessions, script: Callable[[Sessions], None], expected: list[str]) -> None:
    """
    The proxy and the transcripts name the same cause; each rebuilt request is what the proxy saw to the cache.
    """
    script(sessions)
    # Both calls of a compaction move their breakpoint before the newest tool result. Transcripts do not record these calls.
    unrecorded = ["no_breakpoint"] * 2 if script is compacted else []
    assert sessions.causes() == unrecorded + expected

    folder = sessions.transcripts()
    reading = Reading()
    files = list(readable(walk([str(folder)])))
    found = list(diagnosed_requests(files, load_prices(None), "llm_gateway", PRODUCTS, reading))
    assert (reading.transcripts, reading.problems.count) == (0, 0)
    assert [miss.cause for request in found for miss in request.verdict.misses] == expected
    calls = [call for session in rebuilt_sessions(groups(path for path, _ in files)) for call in session.calls()]
    assert calls
    assert {prompt_of(call.body).chain for call in calls} <= sent(folder.parents[1] / "captures", sessions)


def sent(store: Path, sessions: Sessions) -> set[tuple[bytes, ...]]:
    """
    The prompts that the proxy saw, as the cache sees them.
    """
    sessions.proxy.stop()
    sessions.proxy.thread.join(20)
    opened = CaptureStore.open(store)
    try:
        return {prompt_of(row.capture.request_body or b"").chain for row in opened.captures()}
    finally:
        opened.close()
