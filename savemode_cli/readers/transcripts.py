"""
Claude Code's transcripts: one line per block of an answer, its usage repeated on each.

Rule of this file: an answer counts once, however many lines and files it stands in. It is known by its message id and
request id, by the message id alone where a request id is missing, by the record's own id where both are. Of its lines
the one with the most output is kept, of its copies the one of the main conversation.

Layout. `<project>/<session>.jsonl`, its sub-agents in `<session>/subagents/agent-<id>.jsonl`, with older clients beside
it; a sub-agent's answers may also stand inside the main file, in records of its progress. A resumed or forked session
begins with a copy of the lines of its origin. Such copies are handed on marked, for they tell how the cache stood.

Times. A request starts when the record before it (along `parentUuid`) was written, and ends with its last line.

Longer than most: the rules by which copies are told apart stand beside the reading that they slow down.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import blake2b
from pathlib import Path

import msgspec
from msgspec import Struct

from savemode_cli.core.recorded import Recorded, Session
from savemode_cli.core.usage import ReportedUsage, usage_from
from savemode_cli.readers.problems import Problems
from savemode_cli.readers.times import utc

_USAGE = b'"usage"'  # inside a string its quotes would be escaped
_SYNTHETIC = "<synthetic>"
_MOST_MARKS = 50_000
"""How many records of a file are remembered: a request's predecessor is one of the last few."""

_SUBAGENTS = "subagents"
_PEEKED_LINES = 200
_PEEKED_BYTES = 1024 * 1024


class _Block(Struct, gc=False):
    type: str = ""


class _Answer(Struct, gc=False):
    id: str | None = None
    model: str | None = None
    usage: ReportedUsage | None = None


class _Said(Struct, gc=False):
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
    data: _Progress | None = None


class _Mark(Struct, gc=False):
    """
    A record without usage: all that matters is when it was written and whether a person wrote it.
    """

    type: str = ""
    uuid: str | None = None
    parentUuid: str | None = None  # noqa: N815
    timestamp: datetime | None = None
    sessionId: str | None = None  # noqa: N815
    agentId: str | None = None  # noqa: N815
    isMeta: bool | None = None  # noqa: N815
    message: _Said | None = None


class _NestedMark(Struct, gc=False):
    timestamp: datetime | None = None


class _ProgressMark(Struct, gc=False):
    agentId: str | None = None  # noqa: N815
    message: _NestedMark | None = None


class _Progressing(Struct, gc=False):
    data: _ProgressMark | None = None


_decode_line = msgspec.json.Decoder(_Line).decode
_decode_mark = msgspec.json.Decoder(_Mark).decode
_decode_progress = msgspec.json.Decoder(_Progressing).decode
_decode_any = msgspec.json.Decoder().decode
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


@dataclass(frozen=True, slots=True)
class Source:
    """
    One transcript file and what its first records say. `family` is the moment its conversation began: a resumed
    session has that of its origin, so what may be copies of each other is read by one reader, the origin first.
    """

    path: Path
    bytes: int
    session: str
    agent: str
    family: str


@dataclass(frozen=True, slots=True)
class Group:
    """
    The files of one session, its main conversation first.
    """

    session: str
    sources: tuple[Source, ...]

    @property
    def bytes(self) -> int:
        """
        Of all its files.
        """
        return sum(source.bytes for source in self.sources)

    @property
    def family(self) -> str:
        """
        When its conversation began.
        """
        return min(source.family for source in self.sources)


def groups(paths: Iterable[Path]) -> list[Group]:
    """
    The sessions that the files belong to; of sessions that began alike the shorter one, the origin, first.
    """
    by_session: dict[tuple[Path, str], list[Source]] = {}
    for path in paths:
        source = _peek(path)
        inside = path.parent.name == _SUBAGENTS
        folder = path.parent.parent.parent if inside else path.parent
        by_session.setdefault((folder, source.session), []).append(source)
    found = [
        Group(session, tuple(sorted(sources, key=lambda one: (one.agent, one.family, one.bytes, one.path))))
        for (_, session), sources in by_session.items()
    ]
    return sorted(found, key=lambda group: (group.family, group.bytes, group.sources[0].path))


def _peek(path: Path) -> Source:
    """
    Session, agent and beginning of a file. A conversation is named by its file or folder, as the client does: the lines
    of a resumed one may still bear the name of its origin.
    """
    session = agent = family = ""
    with path.open("rb") as file:
        for line in file.readlines(_PEEKED_BYTES)[:_PEEKED_LINES]:
            try:
                read = _decode_mark(line)
            except _UNREADABLE:
                continue
            session = session or read.sessionId or ""
            agent = agent or read.agentId or ""
            family = family or (read.timestamp.isoformat() if read.timestamp is not None else "")
            if session and family:
                break
    if path.parent.name == _SUBAGENTS:
        session, agent = path.parent.parent.name, agent or path.stem
    elif not agent or not session:
        session = path.stem
    return Source(path, path.stat().st_size, session, agent, family)


@dataclass(slots=True)
class Ids:
    """
    The answers that were counted, as 64-bit digests: the same in every process.
    """

    known: set[int] = field(default_factory=set)
    _fresh: list[int] = field(default_factory=list)

    def met(self, message_id: str | None, request_id: str | None, record_id: str | None) -> bool:
        """
        Whether this answer was met before; from now on it was.
        """
        anyhow = _digest(message_id or record_id or "")
        exact = anyhow if request_id is None else _digest(f"{message_id or record_id} {request_id}")
        if exact in self.known:
            return True
        self.known.update((exact, anyhow))
        self._fresh.append(exact)
        return False

    def taken(self) -> list[int]:
        """
        The digests of what was counted since this was last asked.
        """
        fresh, self._fresh = self._fresh, []
        return fresh


def _digest(text: str) -> int:
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest())


@dataclass(slots=True)
class _Met:
    """
    One answer while its lines are read.
    """

    request: Recorded
    timed: bool
    """Whether the start is known from a record before it."""


def read_group(group: Group, ids: Ids, problems: Problems) -> Session:
    """
    The answers of one session, those counted before marked as copies.
    """
    reading = _Reading(group.session, problems)
    for source in group.sources:
        reading.file(source)
    requests = []
    for key, met in reading.answers.items():
        copy = ids.met(*key)
        requests.append(replace(met.request, copy=True) if copy else met.request)
    requests.sort(key=_started)
    return Session(group.session, tuple(requests))


def _started(request: Recorded) -> datetime:
    return request.started_at


_Key = tuple[str | None, str | None, str | None]


class _Reading:
    """
    The files of one session, line by line.
    """

    def __init__(self, session: str, problems: Problems) -> None:
        self.answers: dict[_Key, _Met] = {}
        self._by_message: dict[str, _Key] = {}
        self._session = session
        self._problems = problems
        self._marks: dict[str, tuple[datetime, bool]] = {}
        self._agents: dict[str, datetime] = {}
        self._agent = ""

    def file(self, source: Source) -> None:
        self._agent = source.agent
        name = source.path.name
        try:
            with source.path.open("rb") as file:
                for number, line in enumerate(file, 1):
                    trouble = self._take(line)
                    if trouble:
                        self._problems.add(name, number, trouble)
        except OSError as error:
            self._problems.add(name, None, (error.strerror or str(error)).lower())
        self._marks.clear()
        self._agents.clear()

    def _take(self, line: bytes) -> str:
        """
        What is wrong with a line, or "".
        """
        try:
            if _USAGE not in line:
                self._mark(line)
                return ""
            read = _decode_line(line)
        except _UNREADABLE:
            return _trouble(line)
        try:
            if read.data is not None and read.data.message is not None:
                self._nested(read, read.data.message, read.data.agentId or "")
            elif read.type == "assistant":
                self._answer(read)
            else:
                self._mark(line)
        except _UNREADABLE:
            return _trouble(line)
        except ValueError as error:
            return str(error)
        return ""

    def _mark(self, line: bytes) -> None:
        if not line.strip():
            return
        read = _decode_mark(line)
        if read.type == "progress" and b'"agentId"' in line:
            progress = _decode_progress(line).data
            if progress is not None and progress.message is not None and progress.message.timestamp is not None:
                self._agents[progress.agentId or ""] = progress.message.timestamp
        self._remember(read.uuid, read.parentUuid, read.timestamp, _by_person(read))

    def _remember(self, uuid: str | None, parent: str | None, at: datetime | None, person: bool | None) -> None:
        if uuid is None or at is None:
            return
        if person is None:
            before = self._marks.get(parent or "")
            person = before is None or before[1]
        self._marks[uuid] = at, person
        if len(self._marks) > 2 * _MOST_MARKS:
            for old in list(self._marks)[:_MOST_MARKS]:
                del self._marks[old]

    def _answer(self, read: _Line) -> None:
        self._remember(read.uuid, read.parentUuid, read.timestamp, None)
        before = self._marks.get(read.parentUuid or "")
        agent = read.agentId or self._agent
        start = None if before is None else before[0]
        self._add(read, agent, start, opens_turn=before is None or before[1])

    def _nested(self, read: _Line, nested: _Nested, agent: str) -> None:
        self._remember(read.uuid, read.parentUuid, read.timestamp, None)
        self._add(nested, agent, self._agents.get(agent), opens_turn=agent not in self._agents)

    def _add(self, read: _Nested, agent: str, start: datetime | None, *, opens_turn: bool) -> None:
        answer = read.message
        if answer is None or answer.usage is None or read.timestamp is None or read.isApiErrorMessage:
            return
        usage = usage_from(answer.usage)
        if usage is None or answer.model is None or answer.model == _SYNTHETIC:
            return
        key = self._key(answer.id, read)
        at = utc(read.timestamp)
        start = at if start is None else min(_or_else(start, at), at)
        timed = start < at
        request = Recorded(self._session, agent, answer.model, start, at, usage, opens_turn)
        met = self.answers.get(key)
        self.answers[key] = _Met(request, timed) if met is None else _merged(met, request, timed=timed)

    def _key(self, message_id: str | None, read: _Nested) -> _Key:
        """
        How the answer is known: lines of one answer have one key, whether or not each of them names its request.
        """
        if message_id is None:
            return None, read.requestId, read.uuid
        if read.requestId is None and message_id in self._by_message:
            return self._by_message[message_id]
        key = (message_id, read.requestId, None)
        self._by_message.setdefault(message_id, key)
        return key


def _merged(met: _Met, request: Recorded, *, timed: bool) -> _Met:
    """
    Two lines of one answer: the most output, the whole time, the main conversation's copy.
    """
    one = met.request
    usage = request.usage if request.usage.output_tokens >= one.usage.output_tokens else one.usage
    known = [at for at, is_timed in ((one.started_at, met.timed), (request.started_at, timed)) if is_timed]
    first = one if one.agent == "" or request.agent != "" else request
    return _Met(
        replace(
            first,
            usage=usage,
            started_at=min(known or (one.started_at, request.started_at)),
            ended_at=max(one.ended_at, request.ended_at),
            opens_turn=one.opens_turn,
        ),
        bool(known),
    )


def _by_person(read: _Mark) -> bool | None:
    """
    Whether a person's message; None where the record before it tells (the client's own additions, and other records).
    """
    if read.type != "user" or read.isMeta or read.message is None:
        return None
    content = read.message.content
    return not (isinstance(content, list) and any(block.type == "tool_result" for block in content))


def _or_else(at: datetime, other: datetime) -> datetime:
    """
    The time in UTC, or another if it cannot be right: of the record before an answer nothing else is asked.
    """
    try:
        return utc(at)
    except ValueError:
        return other


def _trouble(line: bytes) -> str:
    """
    What is wrong with a line that could not be read; "" if it is JSON that only is not what we look for.
    """
    try:
        read = _decode_any(line)
    except _UNREADABLE:
        return "not JSON"
    if not isinstance(read, dict):
        return "not a JSON object"
    return "usage or time in a form that is not known" if read.get("type") == "assistant" else ""
