"""
Which transcript files belong to one session.

Rule of this file: the folder decides first and the lines second, because the lines of a resumed session may have the ID
of the session that it resumes.

Layout of Claude Code: `<project>/<session>.jsonl`; sub-agents in `<session>/subagents/agent-<id>.jsonl`, those of a
workflow in `<session>/subagents/workflows/<workflow>/agent-<id>.jsonl`; with older clients next to the session's file.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from savemode_cli.readers.lines import open_text, without_mark
from savemode_cli.readers.reader import Sample

_NOT_IN_FOLDER_NAMES = re.compile(r"[^A-Za-z0-9]")
_SUBAGENTS = "subagents"
_AGENT_FILE = "agent-"
_PEEKED_LINES = 200
_PEEKED_BYTES = 1024 * 1024


class _Head(Struct, gc=False):
    timestamp: datetime | None = None
    sessionId: str | None = None  # noqa: N815 - as it is spelled in the file
    agentId: str | None = None  # noqa: N815
    cwd: str | None = None


_decode_head = msgspec.json.Decoder(_Head).decode
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_TRANSCRIPT_NAMES = ({"sessionId"}, {"leafUuid"}, {"parentUuid", "uuid"}, {"messageId", "snapshot"})


def is_transcript(sample: Sample) -> bool:
    """
    Whether a sample is one of the records with which transcripts begin.
    """
    return any(names <= sample.names for names in _TRANSCRIPT_NAMES)


@dataclass(frozen=True, slots=True)
class Source:
    """
    One transcript file, and the facts in its first records.
    """

    path: Path
    bytes: int
    session: str
    """The ID of its session."""
    agent: str
    """The ID of the sub-agent that wrote the file, "" for the main conversation."""
    family: str
    """
    When its conversation began, "" if unknown. A resumed session has the time of its origin, so one process reads the
    files that may contain copies of each other, the origin first.
    """
    project: str
    """
    The folder in which the client worked. If the first lines of the file do not contain it, the name of the folder with
    the project's transcripts.
    """


@dataclass(frozen=True, slots=True)
class Group:
    """
    The files of one session, its main conversation first.
    """

    session: str
    """The ID of the session."""
    sources: tuple[Source, ...]

    @property
    def bytes(self) -> int:
        """
        The size of all its files.
        """
        return sum(source.bytes for source in self.sources)

    @property
    def family(self) -> str:
        """
        When its conversation began.
        """
        return min(source.family for source in self.sources)

    @property
    def project(self) -> str:
        """
        The project of its main conversation.
        """
        return self.sources[0].project


def groups(paths: Iterable[Path]) -> list[Group]:
    """
    The sessions to which the files belong. If several sessions have the same beginning, the shortest one, the origin,
    comes first.

    Raises:
        OSError: a file cannot be read.
    """
    by_session: dict[tuple[Path, str], list[Source]] = {}
    for path in paths:
        folder, source = _peek(path)
        by_session.setdefault((folder, source.session), []).append(source)
    sessions = [Group(session, tuple(sorted(sources, key=_order))) for (_, session), sources in by_session.items()]
    return sorted(sessions, key=lambda group: (group.family, group.bytes, group.sources[0].path))


def _order(source: Source) -> tuple[str, str, int, Path]:
    return source.agent, source.family, source.bytes, source.path


def _peek(path: Path) -> tuple[Path, Source]:
    """
    The folder of a file's project, and the file's session, agent and beginning.
    """
    session = agent = family = cwd = ""
    for head in _heads(path):
        session = session or head.sessionId or ""
        cwd = cwd or head.cwd or ""
        agent = agent or head.agentId or ""
        family = family or (head.timestamp.isoformat() if head.timestamp is not None else "")
        if session and family:
            break
    folder = path.absolute().parent
    own = _session_folder(path.absolute(), session)
    if own is not None:
        folder, session, agent = own.parent, own.name, agent or path.stem
    elif not agent or not session:
        session = path.stem
    return folder, Source(path, path.stat().st_size, session, agent, family, _project(folder, cwd))


def _project(folder: Path, cwd: str) -> str:
    """
    The working directory, if the client has named the project's folder after it. It may change within a session.

    Source: observed with Claude Code 2.1.332, which replaces each character that is not a letter or a digit with a
    hyphen.
    """
    return cwd if _NOT_IN_FOLDER_NAMES.sub("-", cwd) == folder.name else folder.name


def _heads(path: Path) -> Iterator[_Head]:
    with open_text(path) as file:
        for line in file.readlines(_PEEKED_BYTES)[:_PEEKED_LINES]:
            try:
                yield _decode_head(without_mark(line))
            except _UNREADABLE:
                continue


def _session_folder(path: Path, session: str) -> Path | None:
    """
    The folder of the session, if this is a file of a sub-agent at any depth below it; None for any other file.

    A project's own folder may be called `subagents` too, but then no session's file is next to it.

    Args:
        path: an absolute path.
        session: the session ID in the file's lines, "" if there is none.
    """
    folders = [above.parent for above in path.parents if above.name == _SUBAGENTS]
    for folder in folders:
        if folder.name == session or folder.with_name(f"{folder.name}.jsonl").is_file():
            return folder
    certain = path.parent.name == _SUBAGENTS or path.name.startswith(_AGENT_FILE)
    return folders[0] if folders and certain else None
