"""
Reads Claude Code's transcripts: one line for each block of an answer, with the usage repeated on each line.

Rule of this file: it reads lines. `answers` decides which lines are one answer, `transcript_files` which files are one
session.

A sub-agent's answers may also be inside the main file, in records of its progress. A resumed or forked session begins
with a copy of the lines of its origin. Such copies are passed on and marked, because they show what was cached.

Times: a request starts when the record before it (along `parentUuid`) was written, and ends with its last line.
"""

from dataclasses import replace
from datetime import datetime
from typing import Any, Literal
from zlib import crc32

import msgspec
from msgspec import UNSET, Struct, UnsetType

from savemode_cli.core.errors import reason
from savemode_cli.core.replay.recording import Recorded, Session, StatedCost
from savemode_cli.core.wire.report import ReportedUsage, stop_of, usage_from
from savemode_cli.core.wire.turns import holds_tool_result
from savemode_cli.readers.answers import Answer, Answers, Ids, Lane
from savemode_cli.readers.cost_lines import COST_LINE, CostLines
from savemode_cli.readers.lines import numbered_lines, objects_in, open_text
from savemode_cli.readers.problems import Problems
from savemode_cli.readers.times import utc
from savemode_cli.readers.transcript_files import Group, Source

_USAGE = b'"usage"'  # inside a string the quotes would be escaped
_SYNTHETIC = "<synthetic>"
_MAX_MARKS = 50_000
"""How many records of a file are remembered. The record before a request is one of the last few."""


class _Block(Struct, gc=False):
    type: str = ""


class _Answer(Struct, gc=False):
    id: str | None = None
    model: str | None = None
    usage: ReportedUsage | None = None
    content: msgspec.Raw = msgspec.Raw()
    stop_reason: str | UnsetType | None = UNSET
    stop_details: Any = None


class _UserMessage(Struct, gc=False):
    content: list[_Block] | str | None = None


class _Nested(Struct, gc=False):
    """
    A sub-agent's record inside a record of its progress.
    """

    type: str = ""
    uuid: str | None = None
    timestamp: datetime | None = None
    requestId: str | None = None  # noqa: N815 - as it is spelled in the file
    isApiErrorMessage: bool | None = None  # noqa: N815
    message: _Answer | None = None


class _Progress(Struct, gc=False):
    agentId: str | None = None  # noqa: N815
    message: _Nested | None = None


class _Line(_Nested, gc=False):
    parentUuid: str | None = None  # noqa: N815
    sessionId: str | None = None  # noqa: N815
    agentId: str | None = None  # noqa: N815
    isSidechain: bool | None = None  # noqa: N815
    requestRef: str | None = None  # noqa: N815
    version: str | None = None
    data: _Progress | None = None


class _Plain(Struct, gc=False):
    """
    A record without usage. Only its time matters, and whether a person wrote it.
    """

    type: str = ""
    uuid: str | None = None
    parentUuid: str | None = None  # noqa: N815
    timestamp: datetime | None = None
    sessionId: str | None = None  # noqa: N815
    agentId: str | None = None  # noqa: N815
    isMeta: bool | None = None  # noqa: N815
    message: _UserMessage | None = None


class _NestedMark(Struct, gc=False):
    timestamp: datetime | None = None


class _ProgressMark(Struct, gc=False):
    agentId: str | None = None  # noqa: N815
    message: _NestedMark | None = None


class _Progressing(Struct, gc=False):
    data: _ProgressMark | None = None


_decode_line = msgspec.json.Decoder(_Line).decode
_decode_mark = msgspec.json.Decoder(_Plain).decode
_decode_progress = msgspec.json.Decoder(_Progressing).decode
_decode_any = msgspec.json.Decoder().decode
_NOT_JSON = "not JSON"
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def read_group(group: Group, ids: Ids, problems: Problems) -> Session:
    """
    The answers of one session. Answers that were already read in another session are marked as copies.

    Args:
        group: the files of the session.
        ids: the answers of the sessions that were read before; the answers of this session are added.
        problems: counts what cannot be read.
    """
    reading = _Reading(group.session, problems)
    for number, source in enumerate(group.sources):
        reading.file(number, source)
    settled = reading.answers.settled()
    requests: list[Recorded] = []
    copied: dict[str, datetime] = {}
    for answer, keys in settled.answers:
        origin, request = ids.origin(keys, group.session), answer.request
        requests.append(request if origin is None else replace(request, copy=True))
        if origin is not None and request.agent == "":
            copied[origin] = max(copied.get(origin, request.ended_at), request.ended_at)
    requests.sort(key=_started)
    return Session(
        group.session, tuple(requests), settled.repeated, settled.sharing, tuple(copied.items()), reading.stated()
    )


def _started(request: Recorded) -> datetime:
    return request.started_at


_Event = Literal["", "instructions", "hook", "restart"]
"""
What happened before an answer. `hook`: a hook has run, and the next record shows when: a hook that runs directly before a
message of a person is one of the start of a session.
"""

_Mark = tuple[datetime, bool, str, _Event]
"""
The facts that a record gives about the answer after it: when the record was written, whether the answer is to a person's
message (and not to a tool's result), the ID of the last message of a person, "" if it was not read, and the event.
"""


_NO_MARK: tuple[None, bool, str, _Event] = None, True, "", ""
"""The mark of a record that was not read. A file that begins with an answer begins a turn."""


class _Reading:
    """
    Reads the files of one session, line by line.
    """

    def __init__(self, session: str, problems: Problems) -> None:
        self.answers = Answers()
        self._session = session
        self._problems = problems
        self._marks: dict[str, _Mark] = {}
        self._agents: dict[str, datetime] = {}
        self._agent = ""
        self._number = 0
        self._version: str | None = None
        self._counts = CostLines()

    def stated(self) -> tuple[StatedCost, ...]:
        return self._counts.stated()

    def file(self, number: int, source: Source) -> None:
        self._number, self._agent, self._version = number, source.agent, None
        self._counts.pause()
        name = source.path.name
        try:
            with open_text(source.path) as file:
                for place, line in numbered_lines(file):
                    problem = self._take(line)
                    if problem:
                        self._problems.add(name, place, problem)
        except OSError as error:
            self._problems.add(name, None, reason(error))
        self._marks.clear()
        self._agents.clear()

    def _take(self, line: bytes) -> str:
        """
        What is wrong with a line, or "". If a line is not one JSON value, each value on it is read.
        """
        problem = self._take_record(line)
        if problem != _NOT_JSON:
            return problem
        records, rest = objects_in(line)
        problems = [record_problem for record in records if (record_problem := self._take_record(record))]
        return _NOT_JSON if rest else next(iter(problems), "")

    def _take_record(self, line: bytes) -> str:
        try:
            if _USAGE not in line:
                self._mark(line)
                return ""
            read = _decode_line(line)
        except _UNREADABLE:
            return _problem(line)
        try:
            if read.data is not None and read.data.message is not None:
                self._nested(read, read.data.message, read.data.agentId or "")
            elif read.type == "assistant":
                self._answer(read)
            else:
                self._mark(line)
        except _UNREADABLE:
            return _problem(line)
        except ValueError as error:
            return str(error)
        return ""

    def _mark(self, line: bytes) -> None:
        read = _decode_mark(line)
        if read.type == COST_LINE and self._agent == "":
            self._counts.take(line)
        elif read.type == "progress" and b'"agentId"' in line:
            progress = _decode_progress(line).data
            if progress is not None and progress.message is not None and progress.message.timestamp is not None:
                self._agents[progress.agentId or ""] = progress.message.timestamp
        event = _event(read, line, self._before(read.parentUuid)[3])
        self._remember(read.uuid, read.parentUuid, read.timestamp, _by_person(read), event)

    def _before(self, parent: str | None) -> _Mark | tuple[None, bool, str, _Event]:
        return self._marks.get(parent or "", _NO_MARK)

    def _remember(
        self, uuid: str | None, parent: str | None, at: datetime | None, person: bool | None, event: _Event
    ) -> None:
        if uuid is None or at is None:
            return
        if self._agent == "":
            self._counts.record(at)
        _, inherited, turn, _ = self._before(parent)
        if person is None:
            self._marks[uuid] = at, inherited, turn, event
        else:
            self._marks[uuid] = at, person, uuid if person else turn, event
        if len(self._marks) > 2 * _MAX_MARKS:
            for old in list(self._marks)[:_MAX_MARKS]:
                del self._marks[old]

    def _answer(self, read: _Line) -> None:
        is_synthetic = read.message is not None and read.message.model == _SYNTHETIC and not read.isApiErrorMessage
        self._remember(read.uuid, read.parentUuid, read.timestamp, None, "restart" if is_synthetic else "")
        agent = read.agentId or self._agent
        self._add(
            read,
            (self._number, agent, read.isSidechain),
            agent,
            self._marks.get(read.parentUuid or ""),
            read.parentUuid,
            read.requestRef,
            is_new_version=self._is_new_version(read.version),
        )

    def _is_new_version(self, version: str | None) -> bool:
        before, self._version = self._version, version or self._version
        return None not in (before, version) and before != version

    def _nested(self, read: _Line, nested: _Nested, agent: str) -> None:
        self._remember(read.uuid, read.parentUuid, read.timestamp, None, "")
        at = self._agents.get(agent)
        self._add(nested, (self._number, agent, "progress"), agent, None if at is None else (at, False, "", ""))

    def _add(
        self,
        read: _Nested,
        lane: Lane,
        agent: str,
        before: _Mark | None,
        parent: str | None = None,
        reference: str | None = None,
        *,
        is_new_version: bool = False,
    ) -> None:
        answer = read.message
        if answer is None or answer.usage is None or read.timestamp is None or read.isApiErrorMessage:
            return
        usage = usage_from(answer.usage, stop_of(answer.stop_reason, answer.stop_details))
        if usage is None or answer.model is None or answer.model == _SYNTHETIC:
            return
        at = utc(read.timestamp)
        marked_at, opens_turn, turn, event = before or _NO_MARK
        start = at if marked_at is None else min(_or_else(marked_at, at), at)
        content = crc32(answer.content) if answer.content else None
        line = Answer(
            Recorded(
                self._session,
                agent,
                answer.model,
                start,
                at,
                usage,
                opens_turn,
                partial_output=answer.stop_reason is None,
                thinks=_has_thinking(answer.content),
                instructed=event == "instructions",
                restarted=event == "restart" or is_new_version,
            ),
            message_id=answer.id or None,
            request_id=read.requestId or reference or None,
            lane=lane,
            turn=turn,
            timed=start < at,
            written_at=at,
            content=content,
            records=() if read.uuid is None else (read.uuid,),
            contents=() if content is None else (content,),
        )
        self.answers.add(line, parent)
        if agent == "":
            self._counts.answer(at)


def _by_person(read: _Plain) -> bool | None:
    """
    Whether this is a message of a person; None for additions of the client and for other records, which do not show it.
    """
    if read.type != "user" or read.isMeta or read.message is None:
        return None
    content = read.message.content
    return not (isinstance(content, list) and holds_tool_result(block.type for block in content))


_HOOK = b'"hook_progress"'
_HOOK_EVENT = b'"hookEvent"'
_SESSION_START = b'"hookEvent":"SessionStart"'


def _event(read: _Plain, line: bytes, before: _Event) -> _Event:
    """
    What has happened before an answer to this record.

    Args:
        read: the record.
        line: its line.
        before: what had happened before the record.
    """
    if read.type == "user":
        if read.isMeta:
            return "restart" if before == "restart" else "instructions"
        if _by_person(read):
            return "restart" if before in ("hook", "restart") else ""
        return "" if before == "hook" else before
    if read.type == "progress" and _HOOK in line and _HOOK_EVENT not in line:
        return before or "hook"
    if read.type in ("progress", "attachment") and _SESSION_START in line:
        return "restart"
    return "" if before == "hook" else before


def _has_thinking(content: msgspec.Raw) -> bool | None:
    """
    Whether the content of an answer has thinking; None without content.
    """
    text = bytes(content)
    return (b'"thinking"' in text or b'"redacted_thinking"' in text) if text else None


def _or_else(at: datetime, other: datetime) -> datetime:
    """
    The time in UTC, or the other one if it is impossible. The record before an answer only matters for its time.
    """
    try:
        return utc(at)
    except ValueError:
        return other


def _problem(line: bytes) -> str:
    """
    What is wrong with a line that could not be read; "" if it is a JSON object of another type.
    """
    try:
        read = _decode_any(line)
    except _UNREADABLE:
        return _NOT_JSON
    if not isinstance(read, dict):
        return "not a JSON object"
    return "usage or time in an unknown form" if read.get("type") == "assistant" else ""
