"""
The lines of one answer are one bill, however often they are repeated; different answers are billed separately, with any
IDs.
"""

import copy
import json
from collections.abc import Iterable
from itertools import count
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from savemode_cli.core.replay.recording import Session
from savemode_cli.readers.answers import Ids
from savemode_cli.readers.files import walk
from savemode_cli.readers.problems import Problems
from savemode_cli.readers.transcript_files import groups
from savemode_cli.readers.transcripts import read_group
from tests.support.examples import examples
from tests.support.transcripts import NOON, Transcript, usage

Ids_ = Literal["api", "gateway", "relay", "relay with request ids", "relay that repeats both"]
Line = dict[str, Any]

_NUMBERS = count()


def conversation(session: str, turns: int, ids: Ids_ = "api", *, lines: int = 1, at: int = 0) -> Transcript:
    """
    A conversation of some turns, each with one answer that has its own prompt and text.

    Args:
        session: its ID.
        turns: the number of turns.
        ids: `api` gives each answer a message ID and a request ID, `gateway` no request ID; a `relay` gives all answers
            the same message ID.
        lines: the number of lines of each answer; a tool result is between them.
        at: seconds after noon.
    """
    made = Transcript(session, at=NOON).wait(seconds=at)
    for turn in range(turns):
        made.user()
        answered(made, f"{session}-{turn}", usage(read=20_000 + 2000 * turn, w5=2000), ids, lines=lines)
    return made


def answered(made: Transcript, name: str, used: Line, ids: Ids_, *, lines: int = 1) -> None:
    """
    One more answer in a conversation.
    """
    message = "relay" if ids.startswith("relay") else f"msg_{name}"
    request = {"gateway": None, "relay": None, "relay that repeats both": "same"}.get(ids, f"req_{name}")
    for line in range(1, lines + 1):
        made.wait(seconds=3)
        text = [{"type": "text", "text": f"{name}, block {line}"}]
        said = used if line == lines else {**used, "output_tokens": 1}
        body = {"id": message, "model": "claude-opus-5-5", "content": text, "usage": said}
        made.record("assistant", message=body, requestId=request)
        if line < lines:
            made.tool()


def repeated(lines: Iterable[Line], **changes: Any) -> list[Line]:
    """
    Some records written again, as a copy by another client.

    Args:
        lines: the records.
        changes: the changed fields of each record; a function computes the new value from the old one.
    """
    copies = []
    for line in lines:
        one = copy.deepcopy(line)
        for name, change in changes.items():
            if one.get(name) is not None or not callable(change):
                one[name] = change(one[name]) if callable(change) else change
        copies.append(one)
    return copies


def fresh(_: str) -> str:
    """
    An ID that is not used elsewhere.
    """
    return f"fresh-{next(_NUMBERS)}"


def replayed(request: str) -> str:
    """
    The request ID that a side chain gives to a copied answer.
    """
    return f"replayed-{request}"


def written(folder: Path, **files: Iterable[Line]) -> list[Session]:
    """
    The sessions of some files; `__` in a name stands for a folder.
    """
    for name, lines in files.items():
        path = folder / f"{name.replace('__', '/')}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    ids = Ids()
    return [read_group(group, ids, Problems()) for group in groups(walk([str(folder)]))]


def counts(sessions: list[Session]) -> int:
    """
    The number of counted requests.
    """
    return sum(not request.copy for session in sessions for request in session.requests)


SIDE = {"isSidechain": True, "agentId": "aside"}


@pytest.mark.parametrize("place", ["s", "s__subagents__agent-aside"], ids=["inline", "in a file of its own"])
@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"requestId": replayed}, id="new request ids"),
        pytest.param({"requestId": replayed, "uuid": fresh}, id="and new record ids"),
        pytest.param(
            {"requestId": replayed, "uuid": fresh, "timestamp": "2026-11-24T15:00:00.000Z"}, id="at another time too"
        ),
        pytest.param({"uuid": fresh}, id="new record ids"),
        pytest.param({"requestId": None}, id="no request ids"),
    ],
)
@pytest.mark.parametrize("ids", ["api", "gateway"])
def test_copies_in_a_side_chain_are_not_billed_again(ids: Ids_, changes: Line, place: str, tmp_path: Path) -> None:
    """
    The side chain's own request is one more answer; the main conversation owns the copied ones, with their own times.
    """
    main = conversation("s", 3, ids, lines=2)
    own = conversation("aside", 1).lines
    side = repeated(main.lines[:8], **SIDE, **changes) + repeated(own, **SIDE)
    main.wait(hours=9)
    files = {"s": main.lines + side} if place == "s" else {"s": main.lines, place: side}
    (session,) = written(tmp_path, **files)

    assert [(request.agent, request.copy) for request in session.requests] == [
        *[("", False)] * 3,
        ("aside", False),
    ] or [(request.agent, request.copy) for request in session.requests] == [
        ("", False),
        ("aside", False),
        *[("", False)] * 2,
    ]
    assert (session.repeated, session.sharing) == (2, 0)
    assert all(request.ended_at < NOON.replace(hour=13) for request in session.requests)


def test_two_side_chains_repeat_one_parent(tmp_path: Path) -> None:
    """
    The copies in both side chains are recognised, also if the parent's file is missing.
    """
    main = conversation("s", 3)
    sides = {
        f"s__subagents__agent-{name}": repeated(
            main.lines, isSidechain=True, agentId=name, requestId=replayed, uuid=fresh
        )
        for name in "ab"
    }
    (session,) = written(tmp_path, s=main.lines, **sides)
    assert (counts([session]), session.repeated) == (3, 6)

    (tmp_path / "s.jsonl").unlink()
    (session,) = written(tmp_path)
    assert (counts([session]), session.repeated) == (3, 3)


@pytest.mark.parametrize("lines", [1, 3])
@pytest.mark.parametrize("ids", ["relay", "relay with request ids", "relay that repeats both"])
def test_a_relay_that_gives_all_the_same_id(ids: Ids_, lines: int, tmp_path: Path) -> None:
    """
    Each answer counts, in one session and in several sessions with the same content, cost and time.
    """
    first = conversation("a", 4, ids, lines=lines).lines
    again = {"requestId": replayed} if ids == "relay with request ids" else {}
    second = repeated(first, uuid=lambda record: f"b-{record}", parentUuid=lambda record: f"b-{record}", **again)
    sessions = written(tmp_path, a=first, b=repeated(second, sessionId="b"))

    assert [(counts([session]), session.repeated, session.sharing) for session in sessions] == [(4, 0, 4)] * 2


@pytest.mark.parametrize("ids", ["relay", "relay with request ids"])
def test_a_relay_s_sub_agents_are_kept_apart(ids: Ids_, tmp_path: Path) -> None:
    """
    Their prompts have the same length, but their content differs.
    """
    agents = {}
    for name in "ab":
        made = Transcript("s", name).user()
        answered(made, name, usage(w5=9000), ids)
        agents[f"s__subagents__agent-{name}"] = made.lines
    (session,) = written(tmp_path, **agents)

    assert (len(session.requests), session.repeated, session.sharing) == (2, 0, 2)


def test_a_relay_that_reports_no_prompt(tmp_path: Path) -> None:
    """
    Then only the order of the lines distinguishes the answers.
    """
    made = Transcript("s")
    for turn in range(3):
        made.user()
        answered(made, str(turn), usage(plain=0), "relay")
    (session,) = written(tmp_path, s=made.lines)

    assert len(session.requests) == 3


def test_tools_in_a_relay_s_conversation(tmp_path: Path) -> None:
    """
    An answer to a tool result has another prompt; a line after a tool result in the same answer has the same prompt.
    """
    made = Transcript("s").user()
    for step in range(3):
        answered(made, str(step), usage(read=1000 * step, w5=1000), "relay", lines=3)
        made.tool()
    (session,) = written(tmp_path, s=made.lines)

    assert [request.usage.tokens.read for request in session.requests] == [0, 1000, 2000]


@pytest.mark.parametrize(
    ("ids", "changes"),
    [
        ("api", {"uuid": fresh}),
        ("api", {"requestId": None}),
        ("api", {"requestId": replayed}),
        ("gateway", {"uuid": fresh}),
        ("gateway", {}),
        ("relay", {}),
        ("relay with request ids", {"requestId": replayed}),
    ],
)
def test_copies_in_a_fork_are_not_billed_again(ids: Ids_, changes: Line, tmp_path: Path) -> None:
    """
    The copies in a forked session are marked; its new answers are its own.
    """
    origin = conversation("a", 3, ids, lines=2)
    fork = repeated(origin.lines, sessionId="b", **changes) + conversation("b", 2, ids, at=3600).lines
    first, second = written(tmp_path, a=origin.lines, b=fork)

    assert [request.copy for request in first.requests] == [False] * 3
    assert [request.copy for request in second.requests] == [True] * 3 + [False] * 2


def test_a_fork_of_a_side_chain(tmp_path: Path) -> None:
    """
    The copies have the request IDs that the side chain gave.
    """
    main = conversation("a", 2)
    side = repeated(main.lines, requestId=replayed, **SIDE)
    first, second = written(tmp_path, a=main.lines + side, b=repeated(side, sessionId="b", uuid=fresh))

    assert (counts([first]), counts([second])) == (2, 0)


def test_a_fork_that_was_written_without_usage(tmp_path: Path) -> None:
    """
    Claude Code 2.1.332 writes the part that a compaction kept like this: it is the same answer, and the origin's usage
    counts.
    """
    origin = conversation("a", 2)
    bare = repeated(origin.lines, sessionId="b")
    for line in bare:
        if line["type"] == "assistant":
            line["message"]["usage"] |= {"cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
            line["message"]["usage"] |= {"input_tokens": 0, "output_tokens": 0}
    sessions = written(tmp_path, a=origin.lines, b=bare)
    assert [request.copy for session in sessions for request in session.requests] == [False] * 2 + [True] * 2

    (session,) = written(tmp_path / "again", a=origin.lines + bare)
    assert [request.usage.tokens.read for request in session.requests] == [20_000, 22_000]


def test_incomplete_output(tmp_path: Path) -> None:
    """
    An answer without a stop reason is incomplete; a client that never writes a stop reason shows nothing.
    """
    found = []
    for reasons in (["", ""], [None, None], [None, "end_turn"]):
        made = conversation("s", 1, lines=2)
        for line, reason in zip([line for line in made.lines if line["type"] == "assistant"], reasons, strict=True):
            line["message"] |= {} if reason == "" else {"stop_reason": reason}
        (session,) = written(tmp_path, s=made.lines)
        found += [request.partial_output for request in session.requests]

    assert found == [False, True, False]


def test_request_reference_identifies_an_answer(tmp_path: Path) -> None:
    """
    Newer clients name the request of each answer, also if a relay gives no IDs.
    """
    made = Transcript("s")
    for turn in range(2):
        made.user()
        answered(made, "x", usage(w5=9), "relay")
        made.lines[-1]["requestRef"] = f"ref-{turn}"
    repeat = repeated(made.lines, uuid=fresh, **SIDE)
    (session,) = written(tmp_path, s=made.lines + repeat)

    assert (len(session.requests), session.repeated) == (2, 2)


def test_a_record_that_is_written_twice(tmp_path: Path) -> None:
    """
    The copy has a new record ID, the same time and the same content.
    """
    made = conversation("s", 2, "relay")
    (session,) = written(tmp_path, s=[one for line in made.lines for one in (line, *repeated([line], uuid=fresh))])

    assert (len(session.requests), session.repeated) == (2, 0)


@st.composite
def sets(draw: st.DrawFn) -> tuple[dict[str, list[Line]], int]:
    """
    Files of some sessions with their copies, and the number of answers.
    """
    files: dict[str, list[Line]] = {}
    total = 0
    for number in range(draw(st.integers(1, 3))):
        ids: Ids_ = draw(st.sampled_from(["api", "gateway", "relay", "relay with request ids"]))
        turns = draw(st.integers(1, 5))
        made = conversation(f"s{number}", turns, ids, lines=draw(st.integers(1, 3)), at=number * 7200)
        total += turns
        files[f"s{number}"] = list(made.lines)
        part = made.lines[: draw(st.integers(0, len(made.lines)))]
        ends = [place for place, line in enumerate(part, 1) if line["type"] == "assistant"]
        changes: Line = {}
        if draw(st.booleans()):
            changes["requestId"] = replayed
        if not ids.startswith("relay") and draw(st.booleans()):
            changes["uuid"] = fresh
        side = repeated(part[: ends[-1] if ends else 0], **SIDE, **changes)
        place = draw(st.sampled_from(["", "inline", "file", "fork"]))
        if place == "inline":
            files[f"s{number}"] += side
        elif place == "file":
            files[f"s{number}__subagents__agent-aside"] = side
        elif place == "fork" and not (ids == "api" and len(changes) > 1):
            files[f"t{number}"] = repeated(part, sessionId=f"t{number}", **changes)
    return files, total


@examples(150)
@given(made=sets())
def test_every_answer_counts_once(
    made: tuple[dict[str, list[Line]], int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """
    With any IDs and any copies.
    """
    files, total = made

    assert counts(written(tmp_path_factory.mktemp("sets"), **files)) == total
