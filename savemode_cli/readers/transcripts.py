"""
Reads Claude Code's transcripts: one line for each block of an answer, with the usage repeated on each line.

Rule of this file: it reads lines. `answers` decides which lines are one answer, `transcript_files` which files are one
session.

A sub-agent's answers may also be inside the main file, in records of its progress. A resumed or forked session begins
with a copy of the lines of its origin. Such copies are passed on and marked, because they show what was cached.

Times: a request starts when the record before it (along `parentUuid`) was written, and ends with its last line.
"""

from collections.abc import Iterator
from datetime import datetime
from zlib import crc32

import msgspec
from msgspec import UNSET, UnsetType

from savemode_cli.core.errors import reason
from savemode_cli.core.replay.recording import Recorded, Session, StatedCost
from savemode_cli.core.wire.report import stop_of, usage_from
from savemode_cli.core.wire.turns import holds_tool_result
from savemode_cli.core.wire.usage import Usage
from savemode_cli.readers.answers import Answer, Answers, Ids, Lane
from savemode_cli.readers.cost_lines import COST_LINE, CostLines
from savemode_cli.readers.lines import numbered_lines, objects_in, open_text
from savemode_cli.readers.problems import Problems
from savemode_cli.readers.recorded_requests import REQUEST_LINE
from savemode_cli.readers.times import utc
from savemode_cli.readers.transcript_events import Event, event_of, event_of_user, has_thinking
from savemode_cli.readers.transcript_files import Group, Source
from savemode_cli.readers.transcript_records import (
    AnswerPart,
    Line,
    NestedRecord,
    PlainRecord,
    decode_any,
    decode_content,
    decode_line,
    decode_lines,
    decode_mark,
    decode_progress,
    decode_usage,
)

_USAGE = b'"usage"'  # inside a string the quotes would be escaped
_SYNTHETIC = "<synthetic>"
_MAX_MARKS = 50_000
"""How many records of a file are remembered. The record before a request is one of the last few."""


_BATCH_BYTES = 256 * 1024
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
        origin = ids.origin(keys, group.session)
        request = answer.recorded(copy=origin is not None)
        requests.append(request)
        if origin is not None and request.agent == "":
            copied[origin] = max(copied.get(origin, request.ended_at), request.ended_at)
    requests.sort(key=_started)
    return Session(
        group.session,
        tuple(requests),
        settled.repeated,
        settled.sharing,
        tuple(copied.items()),
        reading.stated(),
        reading.records_requests,
    )


def _started(request: Recorded) -> datetime:
    return request.started_at


_Mark = tuple[datetime, bool, str, Event]
"""
The facts that a record gives about the answer after it: when the record was written, whether the answer is to a person's
message (and not to a tool's result), the ID of the last message of a person, "" if it was not read, and the event.
"""


_NO_MARK: tuple[None, bool, str, Event] = None, True, "", ""
"""The mark of a record that was not read. A file that begins with an answer begins a turn."""


class _Reading:
    """
    Reads the files of one session, line by line.
    """

    def __init__(self, session: str, problems: Problems) -> None:
        self.answers = Answers()
        self.records_requests = False
        self._session = session
        self._problems = problems
        self._marks: dict[str, _Mark] = {}
        self._agents: dict[str, datetime] = {}
        self._agent = ""
        self._number = 0
        self._version: str | None = None
        self._counts = CostLines()
        self._usage_text = msgspec.Raw()
        self._stop: str | UnsetType | None = UNSET
        self._last_usage: Usage | None = None

    def stated(self) -> tuple[StatedCost, ...]:
        return self._counts.stated()

    def file(self, number: int, source: Source) -> None:
        self._number, self._agent, self._version = number, source.agent, None
        self._counts.pause()
        name = source.path.name
        try:
            with open_text(source.path) as file:
                before = 0
                while lines := file.readlines(_BATCH_BYTES):
                    for place, problem in self._batch(lines):
                        self._problems.add(name, before + place, problem)
                    before += len(lines)
        except OSError as error:
            self._problems.add(name, None, reason(error))
        self._marks.clear()
        self._agents.clear()

    def _batch(self, lines: list[bytes]) -> Iterator[tuple[int, str]]:
        """
        What is wrong with some lines, each with its place from 1. They are decoded together if each is one record of a known
        form.
        """
        text = b"".join(lines)
        try:
            records = decode_lines(text)
        except _UNREADABLE:
            records = []
        begun = text.count(b"\n{") + text.startswith(b"{")  # a line break within a string is escaped
        if len(records) == begun == len(lines):
            for place, line in enumerate(lines):
                problem = self._take_read(records[place], line)
                if problem:
                    yield place + 1, problem
        else:
            for number, line in numbered_lines(lines):
                problem = self._take(line)
                if problem:
                    yield number, problem

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
            read = decode_line(line) if _USAGE in line else decode_mark(line)
        except _UNREADABLE:
            return _problem(line)
        return self._take_read(read, line)

    def _take_read(self, read: "Line | PlainRecord", line: bytes) -> str:
        """
        What is wrong with a line that was decoded, or "".
        """
        try:
            if isinstance(read, PlainRecord):
                self._mark(read, line)
            elif read.data is not None and read.data.message is not None and _USAGE in line:
                self._nested(read, read.data.message, read.data.agentId or "")
            elif read.type == "assistant" and ((read.message is not None and read.message.usage) or _USAGE in line):
                self._answer(read)
            else:
                self._mark(read, line)
        except _UNREADABLE:
            return _problem(line)
        except ValueError as error:
            return str(error)
        return ""

    def _mark(self, read: "Line | PlainRecord", line: bytes) -> None:
        kind, person = read.type, None
        if kind == "user":
            person = _by_person(read)
        elif kind == COST_LINE and self._agent == "":
            self._counts.take(line)
        elif kind == REQUEST_LINE:
            self.records_requests = True
        elif kind == "progress" and b'"agentId"' in line:
            progress = decode_progress(line).data
            if progress is not None and progress.message is not None and progress.message.timestamp is not None:
                self._agents[progress.agentId or ""] = progress.message.timestamp
        before = self._marks.get(read.parentUuid or "", _NO_MARK)
        if kind == "user":
            event = event_of_user(before[3], is_meta=bool(read.isMeta), by_person=bool(person))
        else:
            event = event_of(kind, line, before[3])
        self._remember(read.uuid, before, read.timestamp, person, event)

    def _remember(
        self,
        uuid: str | None,
        before: _Mark | tuple[None, bool, str, Event],
        at: datetime | None,
        person: bool | None,
        event: Event,
    ) -> None:
        if uuid is None or at is None:
            return
        if self._agent == "":
            self._counts.record(at)
        marks = self._marks
        _, inherited, turn, _ = before
        if person is None:
            marks[uuid] = at, inherited, turn, event
        else:
            marks[uuid] = at, person, uuid if person else turn, event
        if len(marks) > 2 * _MAX_MARKS:
            for old in list(marks)[:_MAX_MARKS]:
                del marks[old]

    def _answer(self, read: Line) -> None:
        is_synthetic = read.message is not None and read.message.model == _SYNTHETIC and not read.isApiErrorMessage
        before = self._marks.get(read.parentUuid or "")
        self._remember(read.uuid, before or _NO_MARK, read.timestamp, None, "restart" if is_synthetic else "")
        agent = read.agentId or self._agent
        self._add(
            read,
            (self._number, agent, read.isSidechain),
            agent,
            before,
            read.parentUuid,
            read.requestRef,
            is_new_version=self._is_new_version(read.version),
        )

    def _is_new_version(self, version: str | None) -> bool:
        before, self._version = self._version, version or self._version
        return None not in (before, version) and before != version

    def _nested(self, read: Line, nested: NestedRecord, agent: str) -> None:
        before = self._marks.get(read.parentUuid or "", _NO_MARK)
        self._remember(read.uuid, before, read.timestamp, None, "")
        at = self._agents.get(agent)
        self._add(nested, (self._number, agent, "progress"), agent, None if at is None else (at, False, "", ""))

    def _add(
        self,
        read: NestedRecord,
        lane: Lane,
        agent: str,
        before: _Mark | None,
        parent: str | None = None,
        reference: str | None = None,
        *,
        is_new_version: bool = False,
    ) -> None:
        answer = read.message
        if answer is None or not answer.usage or read.timestamp is None or read.isApiErrorMessage:
            return
        usage = self._usage(answer)
        if usage is None or answer.model is None or answer.model == _SYNTHETIC:
            return
        at = utc(read.timestamp)
        marked_at, opens_turn, turn, event = before or _NO_MARK
        start = at if marked_at is None else min(_or_else(marked_at, at), at)
        content = crc32(answer.content) if answer.content else None
        thinks = has_thinking(answer.content)
        message_id, request_id = answer.id or None, read.requestId or reference or None
        is_partial = answer.stop_reason is None
        record = read.uuid
        earlier = self.answers.continued(lane, message_id or request_id or "", request_id, record)
        if earlier is not None and earlier.usage is usage and earlier.model == answer.model and record is not None:
            earlier.extend(start, at, record, content, is_partial=is_partial, thinks=thinks)
            self.answers.again(earlier, record)
        else:
            line = Answer(
                self._session,
                agent,
                answer.model,
                start,
                at,
                usage,
                opens_turn,
                is_partial,
                message_id,
                request_id,
                lane,
                turn,
                timed=start < at,
                written_at=at,
                content=content,
                records=() if record is None else (record,),
                contents=() if content is None else (content,),
                thinks=thinks,
                instructed=event == "instructions",
                restarted=event == "restart" or is_new_version,
            )
            self.answers.add(line, parent)
        if agent == "":
            self._counts.answer(at)

    def _usage(self, answer: AnswerPart) -> Usage | None:
        """
        The usage of a line; None if it does not report input tokens. Lines of one answer have the same usage, so the
        last one is remembered.

        Raises:
            msgspec.DecodeError: it has an unknown form.
            UnreadableUsageError: a counter cannot be read.
        """
        if not answer.stop_details and answer.usage == self._usage_text and answer.stop_reason == self._stop:
            return self._last_usage
        reported = decode_usage(answer.usage)
        if reported is None:
            return None
        stop = None
        if answer.stop_details or answer.stop_reason == "refusal":
            stop = stop_of(answer.stop_reason, answer.stop_details)
        usage = usage_from(reported, stop)
        if not answer.stop_details:
            self._usage_text, self._stop, self._last_usage = msgspec.Raw(bytes(answer.usage)), answer.stop_reason, usage
        return usage


def _by_person(read: Line | PlainRecord) -> bool | None:
    """
    Whether a user's record is a message of a person; None for additions of the client, which do not show it.
    """
    if read.isMeta or read.message is None:
        return None
    content = decode_content(read.message.content) if read.message.content else None
    return not (isinstance(content, list) and holds_tool_result(block.type for block in content))


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
        read = decode_any(line)
    except _UNREADABLE:
        return _NOT_JSON
    if not isinstance(read, dict):
        return "not a JSON object"
    return "usage or time in an unknown form" if read.get("type") == "assistant" else ""
