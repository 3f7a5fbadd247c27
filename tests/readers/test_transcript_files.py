"""
A sub-agent's file belongs to the session below whose folder it is, at any depth.
"""

import os
from pathlib import Path

import pytest

from savemode_cli.readers.files import walk
from savemode_cli.readers.transcript_files import groups
from tests.support.transcripts import Transcript, usage

MAIN = "11111111-1111-4111-8111-111111111111"


def an_agent(name: str, session: str = MAIN) -> Transcript:
    """
    A sub-agent's file with one answer.
    """
    return Transcript(session, name).user().answer(name, usage(w5=9))


def sessions(folder: Path) -> dict[str, list[str]]:
    """
    The names of the files of each session, and their agents.
    """
    return {
        group.session: [f"{source.path.name} {source.agent}".strip() for source in group.sources]
        for group in groups(walk([str(folder)]))
    }


@pytest.mark.parametrize(
    "place",
    [
        pytest.param("subagents", id="of the session"),
        pytest.param("subagents/workflows/wf_1", id="of a workflow"),
        pytest.param("subagents/workflows/wf_1/steps/2", id="deeper"),
        pytest.param("subagents/agent-a0/subagents", id="of a sub-agent"),
    ],
)
@pytest.mark.parametrize("origin", [MAIN, "another-id", ""], ids=["own id", "an origin's id", "no id"])
def test_sub_agents_belong_to_the_session_above_them(origin: str, place: str, tmp_path: Path) -> None:
    """
    Also if their lines have the ID of the session that was resumed, or no ID.
    """
    Transcript(MAIN).user().answer("main", usage(w5=9)).write(tmp_path, f"p/{MAIN}.jsonl")
    made = an_agent("a1", origin)
    if not origin:
        for line in made.lines:
            del line["sessionId"]
    made.write(tmp_path, f"p/{MAIN}/{place}/agent-a1.jsonl")

    assert sessions(tmp_path) == {MAIN: [f"{MAIN}.jsonl", "agent-a1.jsonl a1"]}


def test_agents_of_two_workflows_are_of_one_session(tmp_path: Path) -> None:
    """
    Also without the session's own file, and next to a journal.
    """
    for number in (1, 2):
        folder = f"p/{MAIN}/subagents/workflows/wf_{number}"
        an_agent(f"a{number}").write(tmp_path, f"{folder}/agent-a{number}.jsonl")
        (tmp_path / folder / "journal.jsonl").write_text(f'{{"type":"started","sessionId":"{MAIN}"}}\n')

    (found,) = sessions(tmp_path).values()
    assert sorted(found) == ["agent-a1.jsonl a1", "agent-a2.jsonl a2", *["journal.jsonl journal"] * 2]


def test_a_project_called_subagents_is_not_a_session(tmp_path: Path) -> None:
    """
    The files below it are those of a normal project.
    """
    project = tmp_path / "subagents" / "projects" / "p"
    Transcript(MAIN).user().answer("main", usage(w5=9)).write(project, f"{MAIN}.jsonl")
    Transcript("other").user().answer("other", usage(w5=9)).write(project)
    an_agent("a1").write(project, f"{MAIN}/subagents/agent-a1.jsonl")

    assert sessions(tmp_path) == {MAIN: [f"{MAIN}.jsonl", "agent-a1.jsonl a1"], "other": ["other.jsonl"]}


def test_a_folder_is_known_from_inside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A relative path does not contain the name of the session.
    """
    an_agent("a1", "").write(tmp_path, f"p/{MAIN}/subagents/workflows/wf_1/agent-a1.jsonl")
    monkeypatch.chdir(tmp_path / f"p/{MAIN}/subagents/workflows/wf_1")

    assert sessions(Path(os.curdir)) == {MAIN: ["agent-a1.jsonl a1"]}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_hides_no_session(encoding: str, tmp_path: Path) -> None:
    """
    The first line contains the agent and the time of its beginning, so that the origin of a resumed session is read
    first.
    """
    path = an_agent("a1").write(tmp_path, "agent-a1.jsonl")
    plain = groups([path])[0].sources[0]
    path.write_bytes(path.read_text().encode(encoding))
    marked = groups([path])[0].sources[0]

    assert (marked.session, marked.agent, marked.family) == (plain.session, plain.agent, plain.family) != ("", "", "")
