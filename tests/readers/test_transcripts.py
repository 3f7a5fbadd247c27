"""
An answer counts once, in any number of lines and files, and at its own time.
"""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from savemode_cli.core.replay.recording import Recorded, Session
from savemode_cli.readers import transcripts
from savemode_cli.readers.answers import Ids
from savemode_cli.readers.files import walk
from savemode_cli.readers.problems import Problems
from savemode_cli.readers.transcript_files import groups
from savemode_cli.readers.transcripts import read_group
from tests.support.examples import examples
from tests.support.reading import format_of
from tests.support.recorded import TRACES
from tests.support.transcripts import NOON, Transcript, a_session, counted, usage

TRANSCRIPTS = TRACES / "transcripts"


def read(*paths: Path, problems: Problems | None = None) -> list[Session]:
    """
    All sessions in some files.
    """
    ids, found = Ids(), problems if problems is not None else Problems()
    return [read_group(group, ids, found) for group in groups(paths)]


def only(path: Path, problems: Problems | None = None) -> tuple[Recorded, ...]:
    """
    The requests of the only session in a file.
    """
    (session,) = read(path, problems=problems)
    return session.requests


def totals(sessions: list[Session]) -> dict[str, int]:
    """
    The counted tokens by type.
    """
    used = [request.usage for session in sessions for request in session.requests if not request.copy]
    return {
        "requests": len(used),
        "input": sum(one.tokens.input for one in used),
        "write_5m": sum(one.tokens.write_5m for one in used),
        "write_1h": sum(one.tokens.write_1h for one in used),
        "read": sum(one.tokens.read for one in used),
    }


def test_an_answer_of_many_lines_counts_once(tmp_path: Path) -> None:
    """
    Its usage is that of the line with the most output; its time is from the message before it to its last line.
    """
    made = Transcript("s").user().wait(seconds=2).answer("1", usage(read=10, w5=20, out=99), lines=3)
    (request,) = only(made.write(tmp_path))

    assert (request.usage.tokens.output, request.usage.tokens.read, request.usage.tokens.write_5m) == (
        99,
        10,
        20,
    )
    assert (request.started_at, request.ended_at) == (NOON, NOON + timedelta(seconds=5))
    assert (request.session, request.agent, request.model, request.copy) == ("s", "", "claude-opus-5-5", False)


def test_tool_results_and_messages_of_people_are_distinguished(tmp_path: Path) -> None:
    """
    Text that the client adds to a message belongs to the message before it.
    """
    made = Transcript("s").user().answer("1", usage(w5=9)).tool().answer("2", usage(w5=9)).tool().user(isMeta=True)
    made.answer("3", usage(w5=9)).user()
    made.record("progress", data={"type": "hook_progress"})
    made.answer("4", usage(w5=9))

    assert [request.opens_turn for request in only(made.write(tmp_path))] == [True, False, False, True]


def thinking(kind: str = "thinking") -> dict[str, Any]:
    """
    The message of an answer that consists of one block.
    """
    return {"id": "msg_1", "model": "m", "usage": usage(w5=9), "content": [{"type": kind, "thinking": ""}]}


def test_an_answer_with_thinking_is_recognised(tmp_path: Path) -> None:
    """
    In any of its lines; without content it is unknown. A text about thinking is none.
    """
    made = Transcript("s").user()
    for blocks in (["thinking", "text"], ["text", "redacted_thinking"]):
        made.user()
        for number, kind in enumerate(blocks):
            message = {**thinking(), "id": blocks[0], "content": [{"type": kind, "x": 'a "thinking" b'}]}
            made.record("assistant", requestId=f"{blocks}", message=message, number=number)
    made.user().record(
        "assistant", message={**thinking(), "id": "t", "content": [{"type": "text", "text": '"thinking"'}]}
    )
    made.user().answer("4", usage(w5=9))

    assert [request.thinks for request in only(made.write(tmp_path))] == [True, True, False, None]


def test_instructions_of_the_client_are_recognised(tmp_path: Path) -> None:
    """
    Directly before the answer, and not where a person's message follows them, as after a local command.
    """
    made = Transcript("s").user().answer("1", usage(w5=9)).tool().user(isMeta=True).answer("2", usage(w5=9))
    made.tool().answer("3", usage(w5=9)).user(isMeta=True).user("<command-name>").answer("4", usage(w5=9))
    made.user(isMeta=True).tool().answer("5", usage(w5=9))

    assert [request.instructed for request in only(made.write(tmp_path))] == [False, True, False, False, True]


HOOK: dict[str, Any] = {"kind": "progress", "data": {"type": "hook_progress"}}
SUMMARY = {"kind": "system", "subtype": "stop_hook_summary"}
SAID = {"id": "x", "model": "<synthetic>", "usage": usage()}


@pytest.mark.parametrize(
    ("records", "restarted"),
    [
        pytest.param([], False, id="nothing"),
        pytest.param([HOOK, SUMMARY], False, id="a hook at the end of the turn"),
        pytest.param([HOOK, SUMMARY, HOOK, HOOK], True, id="a hook at the start"),
        pytest.param([{**HOOK, "data": {**HOOK["data"], "hookEvent": "Stop"}}], False, id="a named hook"),
        pytest.param([{**HOOK, "data": {**HOOK["data"], "hookEvent": "SessionStart"}}, SUMMARY], True, id="a start"),
        pytest.param([{"kind": "attachment", "attachment": {"hookEvent": "SessionStart"}}], True, id="its attachment"),
        pytest.param([{"kind": "assistant", "message": SAID}], True, id="an answer by the client"),
        pytest.param([{"kind": "assistant", "message": SAID, "isApiErrorMessage": True}], False, id="an error"),
    ],
)
def test_a_client_that_was_started_again_is_recognised(
    records: list[dict[str, Any]], restarted: bool, tmp_path: Path
) -> None:
    """
    By its hooks, or by the answer that it gives itself when it continues a conversation.
    """
    made = Transcript("s").user().answer("1", usage(w5=9), version="2.1.1")
    for record in records:
        made.record(**record)
    made.user().answer("2", usage(w5=9), lines=2, version="2.1.1").tool().answer("3", usage(w5=9), version="2.1.1")

    assert [request.restarted for request in only(made.write(tmp_path))] == [False, restarted, False]


def test_a_new_version_was_started_again(tmp_path: Path) -> None:
    """
    An update takes effect with the next start.
    """
    made = Transcript("s").user().answer("1", usage(w5=9), version="2.1.1").user().answer("2", usage(w5=9))
    made.user().answer("3", usage(w5=9), version="2.1.2", lines=2).user().answer("4", usage(w5=9), version="2.1.2")

    assert [request.restarted for request in only(made.write(tmp_path))] == [False, False, True, False]


@pytest.mark.parametrize(
    "more",
    [
        pytest.param({"isApiErrorMessage": True}, id="an error"),
        pytest.param({"message": {"id": "m", "model": "<synthetic>", "usage": usage()}}, id="made by the client"),
        pytest.param({"message": {"id": "m", "model": "x", "usage": None}}, id="no usage"),
        pytest.param({"message": {"id": "m", "model": "x", "usage": {"output_tokens": 1}}}, id="no input"),
        pytest.param({"message": {"id": "m", "usage": usage()}}, id="no model"),
        pytest.param({"timestamp": None}, id="no time"),
        pytest.param({"type": "user"}, id="no answer"),
    ],
)
def test_what_was_not_billed_is_left_out(more: dict[str, Any], tmp_path: Path) -> None:
    """
    It is not counted as a problem.
    """
    problems = Problems()
    made = Transcript("s").user().answer("1", usage(), **more).answer("2", usage())

    assert [len(only(made.write(tmp_path), problems)), problems.count] == [1, 0]


def test_a_resumed_session_counts_what_is_new(tmp_path: Path) -> None:
    """
    The copied lines are passed on as copies, because they show the state of the cache. The origin is read first.
    """
    origin = a_session("bbb", [10, 20])
    origin.write(tmp_path)
    resumed = a_session("bbb", [10, 20])
    resumed.session = "aaa"
    resumed.wait(seconds=30).user().answer("new", usage(read=42_000, w5=500))
    resumed.write(tmp_path, "aaa.jsonl")

    first, second = read(*walk([str(tmp_path)]))
    assert (first.id, [request.copy for request in first.requests]) == ("bbb", [False] * 3)
    assert (second.id, [request.copy for request in second.requests]) == ("aaa", [True, True, True, False])


def test_without_request_ids_the_message_id_counts(tmp_path: Path) -> None:
    """
    Also if only one copy has both IDs.
    """
    made = Transcript("s").user().answer("1", usage(w5=5), lines=2, requestId=None)
    made.answer("2", usage(w5=7)).answer("2", usage(w5=7), requestId=None)
    made.write(tmp_path, "a.jsonl")
    made.write(tmp_path, "b.jsonl")

    assert totals(read(*walk([str(tmp_path)]))) == {"requests": 2, "input": 6, "write_5m": 12, "write_1h": 0, "read": 0}


def test_without_any_id_the_record_counts(tmp_path: Path) -> None:
    """
    A copied record keeps its ID.
    """
    answer = {"model": "claude-opus-5-5", "usage": usage(w5=5)}
    made = Transcript("s").user().answer("1", usage(), message=answer, requestId=None)
    made.answer("2", usage(), message=answer, requestId=None)
    made.write(tmp_path, "a.jsonl")
    made.write(tmp_path, "b.jsonl")

    assert totals(read(*walk([str(tmp_path)])))["requests"] == 2


def test_sub_agents_belong_to_their_session(tmp_path: Path) -> None:
    """
    In a folder of their own, next to the session's file with older clients, or inside records of their progress: counted
    once.
    """
    main = Transcript("s").user().answer("main", usage(w5=100))
    agent = Transcript("s", "a1", main.at).user().answer("agent", usage(w5=50), lines=2)
    for line in agent.lines:
        keep = {name: line[name] for name in ("type", "uuid", "timestamp", "message", "requestId") if name in line}
        main.record("progress", data={"type": "agent_progress", "agentId": "a1", "message": keep})
    main.write(tmp_path)
    agent.write(tmp_path, "s/subagents/agent-a1.jsonl")
    old = Transcript("s", "a2", main.at).user().answer("old", usage(w5=25))
    old.write(tmp_path, "agent-a2.jsonl")

    (session,) = read(*walk([str(tmp_path)]))
    assert [(request.agent, request.usage.tokens.write_5m) for request in session.requests] == [
        ("", 100),
        ("a1", 50),
        ("a2", 25),
    ]
    assert session.requests[1].started_at == agent.at - timedelta(seconds=3)


def test_a_sub_agent_without_a_name_has_its_file_s(tmp_path: Path) -> None:
    """
    It belongs to the session in whose folder it is.
    """
    made = Transcript("another", "x").user().answer("1", usage())
    for line in made.lines:
        del line["agentId"]
    made.write(tmp_path, "s/subagents/agent-x.jsonl")
    Transcript("s").user().answer("2", usage()).write(tmp_path)

    (session,) = read(*walk([str(tmp_path)]))
    assert (session.id, sorted(one.agent for one in session.requests)) == ("s", ["", "agent-x"])


def test_progress_alone_tells_of_a_sub_agent(tmp_path: Path) -> None:
    """
    With its times: an answer begins at the record before it.
    """
    main = Transcript("s").user().answer("main", usage(w5=100))
    said = {"role": "user", "content": [{"type": "tool_result"}]}
    begun = {"type": "user", "uuid": "u", "timestamp": "2026-11-24T12:01:00.000Z", "message": said}
    answer = {"id": "m", "model": "claude-haiku-4-5", "usage": usage(w5=9)}
    ended = {"type": "assistant", "uuid": "v", "timestamp": "2026-11-24T12:01:07.000Z", "requestId": "r"}
    for message in (ended | {"message": {**answer, "id": "l"}, "requestId": "q"}, begun, ended | {"message": answer}):
        main.record("progress", data={"type": "agent_progress", "agentId": "a1", "message": message})

    _, opening, going_on = sorted(only(main.write(tmp_path)), key=lambda one: (one.agent, not one.opens_turn))
    assert (opening.agent, opening.model, opening.started_at) == ("a1", "claude-haiku-4-5", opening.ended_at)
    assert (going_on.ended_at - going_on.started_at, going_on.opens_turn) == (timedelta(seconds=7), False)


def test_the_main_conversation_owns_what_a_fork_repeats(tmp_path: Path) -> None:
    """
    A sub-agent that begins with a copy of the conversation did not request the copied answers.
    """
    main = a_session("s", [10])
    main.write(tmp_path)
    fork = a_session("s", [10])
    for line in fork.lines:
        line["agentId"] = "fork"
    fork.agent = "fork"
    fork.user().answer("own", usage(read=41_000, w5=10))
    fork.write(tmp_path, "s/subagents/agent-fork.jsonl")

    (session,) = read(*walk([str(tmp_path)]))
    assert [request.agent for request in session.requests] == ["", "", "fork"]


def test_malformed_lines_are_listed_and_the_rest_is_read(tmp_path: Path) -> None:
    """
    Each has its file and line. A line of JSON that is not a transcript record is not a problem.
    """
    made = Transcript("s").user().answer("1", usage())
    path = made.write(tmp_path)
    bad_usage = json.dumps({**made.lines[-1], "message": {"id": "x", "model": "m", "usage": {"input_tokens": -1}}})
    odd = '{"type":"attachment","uuid":7,"message":3}'
    more = ["{", "[]", '"usage"', "\xff", bad_usage, "", odd]
    path.write_bytes(path.read_bytes() + "\n".join(more).encode("latin-1") + b"\n")
    with path.open("a") as file:
        made.lines.clear()
        file.writelines(json.dumps(line) + "\n" for line in made.answer("2", usage()).lines)
    problems = Problems()

    assert len(only(path, problems)) == 2
    assert [str(one) for one in problems.named] == [
        "s.jsonl:3: not JSON",
        "s.jsonl:4: not a JSON object",
        "s.jsonl:5: not a JSON object",
        "s.jsonl:6: not JSON",
        "s.jsonl:7: usage in a form that is not known",
    ]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_hides_no_answer(encoding: str, tmp_path: Path) -> None:
    """
    The line after the mark is read and is not a problem.
    """
    path = Transcript("s").answer("1", usage(w5=5)).answer("2", usage(w5=7)).write(tmp_path)
    path.write_bytes(path.read_text().encode(encoding))
    problems = Problems()

    assert [request.usage.tokens.write_5m for request in only(path, problems)] == [5, 7]
    assert problems.count == 0


def test_joined_files_are_read(tmp_path: Path) -> None:
    """
    A byte order mark in the middle, and a last line without a line break.
    """
    first = Transcript("s").user().answer("1", usage(w5=5)).write(tmp_path, "a").read_text()
    second = Transcript("s").user().answer("2", usage(w5=7)).write(tmp_path, "b").read_text()
    path = tmp_path / "s.jsonl"
    problems = Problems()
    for seam in ("\n\ufeff", " ", ""):
        path.write_text(first.rstrip("\n") + seam + second)
        assert [request.usage.tokens.write_5m for request in only(path, problems)] == [5, 7]
    assert problems.count == 0


def test_readable_objects_of_a_line_are_read(tmp_path: Path) -> None:
    """
    If a line has an object and the beginning of another one, the first counts and the second is listed.
    """
    made = Transcript("s").user().answer("1", usage(w5=5))
    path = made.write(tmp_path)
    path.write_text(path.read_text().rstrip("\n") + '{"type":"assi\n[]{}\n')
    problems = Problems()

    assert len(only(path, problems)) == 1
    assert [str(one) for one in problems.named] == ["s.jsonl:2: not JSON", "s.jsonl:3: not a JSON object"]


def test_a_null_among_the_iterations_does_not_lose_an_answer(tmp_path: Path) -> None:
    """
    The rest of the usage is read.
    """
    made = Transcript("s").user().answer("1", {**usage(w5=5), "iterations": [None]})

    assert [request.usage.tokens.write_5m for request in only(made.write(tmp_path))] == [5]


def test_a_file_that_vanishes_is_listed(tmp_path: Path) -> None:
    """
    The session is read without it.
    """
    path = Transcript("s").user().answer("1", usage()).write(tmp_path)
    (group,) = groups([path])
    path.unlink()
    problems = Problems()

    assert read_group(group, Ids(), problems).requests == ()
    assert str(problems.named[0]) == "s.jsonl: no such file or directory"


def test_times_without_a_zone_are_utc(tmp_path: Path) -> None:
    """
    A converter may have written such times.
    """
    made = Transcript("s").user().answer("1", usage())
    for line in made.lines:
        line["timestamp"] = line["timestamp"].removesuffix("Z")

    assert only(made.write(tmp_path))[0].started_at == datetime(2026, 11, 24, 12, tzinfo=UTC)


def test_impossible_times_are_listed(tmp_path: Path) -> None:
    """
    The problem is listed for an answer; an impossible time of the message before it only means that the start is unknown.
    """
    made = Transcript("s").user(timestamp="0001-01-01T00:00:00+14:00").answer("1", usage())
    made.answer("2", usage(), timestamp="9999-12-31T23:59:59Z")
    problems = Problems()
    (request,) = only(made.write(tmp_path), problems)

    assert request.started_at == request.ended_at
    assert [str(one) for one in problems.named] == ["s.jsonl:3: an impossible time"]


def test_only_the_last_records_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Memory use does not grow with the file; the record before an answer is one of the last.
    """
    monkeypatch.setattr(transcripts, "_MAX_MARKS", 2)
    made = Transcript("s")
    for number in range(20):
        made.user().answer(str(number), usage())

    requests = only(made.write(tmp_path))
    assert {request.ended_at - request.started_at for request in requests} == {timedelta(seconds=3)}


def test_a_file_without_a_session_is_one(tmp_path: Path) -> None:
    """
    Its file name is the session; invalid first lines do not matter.
    """
    path = tmp_path / "odd.jsonl"
    made = Transcript("s").answer("1", usage())
    del made.lines[0]["sessionId"]
    path.write_text("{\n" + json.dumps(made.lines[0]))

    assert [session.id for session in read(path)] == ["odd"]


@examples(50)
@given(data=st.data())
def test_totals_equal_those_of_a_naive_reader(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    """
    The totals equal those of a naive reader, for any mixture of lines, copies, agents and invalid data.
    """
    folder = tmp_path_factory.mktemp("made")
    for number in range(data.draw(st.integers(1, 3))):
        made = Transcript(f"s{number}")
        for step in range(data.draw(st.integers(0, 6))):
            counts = {name: data.draw(st.integers(0, 9)) for name in ("read", "w5", "w1", "plain")}
            request = {} if data.draw(st.booleans()) else {"requestId": None}
            model = data.draw(st.sampled_from(["claude-opus-5-5", "<synthetic>"]))
            made.user().answer(
                f"{number}-{step}", usage(**counts), lines=data.draw(st.integers(1, 3)), model=model, **request
            )
        path = made.write(folder)
        path.write_text(path.read_text() + data.draw(st.sampled_from(["", "{\n", "null\n"])))
        if data.draw(st.booleans()):
            (folder / f"copy{number}.jsonl").write_text(path.read_text())
    paths = list(walk([str(folder)]))

    assert totals(read(*paths)) == counted(paths)


@pytest.mark.skipif(not TRANSCRIPTS.exists(), reason="needs recorded transcripts")
@pytest.mark.parametrize("name", ["entireio-cli", "marot-spotter"])
def test_totals_of_real_files_equal_those_of_a_naive_reader(name: str) -> None:
    """
    The totals equal those of a naive reader.
    """
    paths = [path for path in walk([str(TRANSCRIPTS / name)]) if format_of(path) == "transcript"]

    assert totals(read(*paths)) == counted(paths)


@pytest.mark.parametrize(
    ("details", "output", "declined"),
    [({"type": "refusal", "category": "cyber"}, 0, "cyber"), (None, 0, ""), ({"category": "cyber"}, 7, None)],
)
def test_refusal(tmp_path: Path, details: Any, output: int, declined: str | None) -> None:
    """
    A refusal before any output has its category; a line whose answer continues has none.
    """
    made = Transcript("s").user().answer("1", usage(w5=1000, out=output))
    for line in made.lines:
        if line["type"] == "assistant":
            line["message"] |= {"stop_reason": "refusal", "stop_details": details, "content": []}

    (one,) = only(made.write(tmp_path))
    assert one.usage.declined == declined
    assert one.billed == (declined is None)


def test_a_line_of_two_records_beside_a_blank_line(tmp_path: Path) -> None:
    """
    Lines are decoded together only if each is one record; here there are as many records as lines, and two share a line.
    """
    made = Transcript("s").user().answer("1", usage(read=9000)).user().answer("2", usage(read=9000))
    path = made.write(tmp_path)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], lines[1] + lines[2], "", lines[3]]) + "\n")
    problems = Problems()

    assert len(only(path, problems)) == 2
    assert problems.count == 0


@pytest.mark.parametrize("batch_bytes", [1, 300, 1 << 20])
def test_lines_decoded_together_and_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch_bytes: int) -> None:
    """
    A broken line is named by its number, and costs no other line, whatever is decoded together with it.
    """
    made = Transcript("s")
    for number in range(3):
        made.user().answer(f"{number}", usage(read=9000))
    path = made.write(tmp_path)
    lines = path.read_text().splitlines()
    lines.insert(4, '{"type": "assistant", "message": {"usage": ')
    path.write_text("\n".join(lines) + "\n")
    monkeypatch.setattr(transcripts, "_BATCH_BYTES", batch_bytes)
    problems = Problems()

    assert len(only(path, problems)) == 3
    assert [str(problem) for problem in problems.named] == [f"{path.name}:5: not JSON"]
