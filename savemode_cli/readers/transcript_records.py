"""
The records of Claude Code's transcripts, as far as they are read.

Rule of this file: it has the names of the fields as Claude Code writes them, and judges nothing. Fields that are not
listed are skipped, which makes reading fast.
"""

from datetime import datetime
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from savemode_cli.core.wire.report import ReportedUsage


class Block(Struct, gc=False):
    """
    A block of the content of a message.
    """

    type: str = ""


class AnswerPart(Struct, gc=False):
    """
    The message of an assistant. Each line has a part of its content.
    """

    id: str | None = None
    model: str | None = None
    usage: msgspec.Raw = msgspec.Raw()
    content: msgspec.Raw = msgspec.Raw()
    stop_reason: str | UnsetType | None = UNSET
    stop_details: Any = None


class UserMessage(Struct, gc=False):
    """
    The message of a user.
    """

    content: msgspec.Raw = msgspec.Raw()


class NestedRecord(Struct, gc=False):
    """
    A sub-agent's record inside a record of its progress.
    """

    type: str = ""
    uuid: str | None = None
    timestamp: datetime | None = None
    requestId: str | None = None  # noqa: N815 - as it is spelled in the file
    isApiErrorMessage: bool | None = None  # noqa: N815
    message: AnswerPart | None = None


class Progress(Struct, gc=False):
    """
    What a progress record is about.
    """

    agentId: str | None = None  # noqa: N815
    message: NestedRecord | None = None


class Line(NestedRecord, gc=False):
    """
    A record with usage.
    """

    parentUuid: str | None = None  # noqa: N815
    sessionId: str | None = None  # noqa: N815
    agentId: str | None = None  # noqa: N815
    isSidechain: bool | None = None  # noqa: N815
    requestRef: str | None = None  # noqa: N815
    isMeta: bool | None = None  # noqa: N815
    version: str | None = None
    data: Progress | None = None


class PlainRecord(Struct, gc=False):
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
    message: UserMessage | None = None


class NestedMark(Struct, gc=False):
    """
    The time of a sub-agent's record.
    """

    timestamp: datetime | None = None


class ProgressMark(Struct, gc=False):
    """
    A progress record of a sub-agent.
    """

    agentId: str | None = None  # noqa: N815
    message: NestedMark | None = None


class ProgressRecord(Struct, gc=False):
    """
    A record of progress.
    """

    data: ProgressMark | None = None


decode_line = msgspec.json.Decoder(Line).decode
decode_lines = msgspec.json.Decoder(Line).decode_lines
decode_content = msgspec.json.Decoder(list[Block] | str | None).decode
decode_usage = msgspec.json.Decoder(ReportedUsage | None).decode
decode_mark = msgspec.json.Decoder(PlainRecord).decode
decode_progress = msgspec.json.Decoder(ProgressRecord).decode
decode_any = msgspec.json.Decoder().decode
