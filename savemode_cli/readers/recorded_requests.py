"""
Reads the requests that a transcript records by the hashes of their parts. `rebuilt` describes the records.

Rule of this file: a line that cannot be read is skipped. Each message is kept once.
"""

import json
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any

import msgspec

from savemode_cli.core.wire.messages import CONTROL
from savemode_cli.core.wire.report import ReportedUsage, stop_of, usage_from
from savemode_cli.core.wire.usage import Usage
from savemode_cli.readers.lines import numbered_lines, open_text
from savemode_cli.readers.times import utc
from savemode_cli.readers.transcript_files import Source

REQUEST_LINE = "api-request"
"""The type of a line that records a request."""
_MARK = f'"{REQUEST_LINE}"'.encode()
_CHUNK_BYTES = 1024 * 1024
_UNREADABLE = (msgspec.DecodeError, msgspec.ValidationError, UnicodeError, RecursionError, ValueError, TypeError)
_SYNTHETIC = "<synthetic>"

decode_json = msgspec.json.Decoder().decode

Object = dict[str, Any]


@dataclass(slots=True)
class RecordedAnswer:
    """
    The answer to a request, from the lines read so far.
    """

    usage: Usage
    ended_at: datetime
    message: Object
    """The message without its content."""
    digest: str
    """The hash of its content."""
    request_id: str | None
    """The API's ID of the request; None if it was not recorded."""


@dataclass(slots=True)
class RecordedRequest:
    """
    A request as it is recorded.
    """

    place: str
    agent: str
    record: Object
    hashes: tuple[str, ...]
    started_at: datetime


@dataclass(slots=True)
class Recorded:
    """
    What transcripts record of requests. A session may refer to messages of the session that it continues.
    """

    messages: dict[str, bytes] = field(default_factory=dict)
    """Each message as JSON, by its hash."""
    shapes: dict[str, Object] = field(default_factory=dict)
    hashes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """The messages of each request, by the request's ID."""


def records_requests(source: Source) -> bool:
    """
    Whether a file records any request.
    """
    try:
        with open_text(source.path) as file:
            end = b""
            while chunk := file.read(_CHUNK_BYTES):
                if _MARK in end + chunk:
                    return True
                end = chunk[-len(_MARK) :]
    except OSError:
        pass
    return False


class RequestsOfFile:
    """
    Reads one file.
    """

    def __init__(self, source: Source, recorded: Recorded) -> None:
        self.requests: list[RecordedRequest] = []
        self.answers: dict[str, RecordedAnswer] = {}
        self.problem = ""
        """Why the requests of the file are not all known; "" if they may be."""
        self._source = source
        self._recorded = recorded
        self._blocks: dict[str, list[Any]] = {}
        """The content of each answer so far, by the ID of its message."""
        self._neighbours: list[Any] = []
        """The content of the user's lines since the last answer."""

    def read(self) -> None:
        name = self._source.path.name
        with open_text(self._source.path) as file:
            for number, line in numbered_lines(file):
                try:
                    record = decode_json(line)
                    if isinstance(record, dict):
                        self._take(record, f"{name}:{number}")
                except _UNREADABLE:
                    continue

    def _take(self, record: Object, place: str) -> None:
        match record.get("type"):
            case "api-request-shape":
                self._recorded.shapes[record["shapeHash"]] = _parsed(record["shape"])
            case "api-request-blob":
                self._keep(_parsed(record["message"]))
            case "api-request":
                self._request(record, place)
            case "user":
                self._said(record["message"])
            case "assistant":
                self._neighbours.clear()
                self._answer(record, place)

    def _said(self, message: Object) -> None:
        """
        Keep a message, and the one that it makes together with those before it: the results of parallel calls stand in lines of
        their own, and are sent as one message.
        """
        self._keep(message)
        joined = bool(self._neighbours)
        self._neighbours += _as_blocks(message).get("content") or ()
        if joined:
            self._keep({"role": "user", "content": list(self._neighbours)})

    def _keep(self, message: Object) -> str:
        digest = message_hash(message)
        if digest not in self._recorded.messages:
            self._recorded.messages[digest] = encode_json(_as_blocks(message))
        return digest

    def _request(self, record: Object, place: str) -> None:
        identifier = record["id"]
        if identifier in self._recorded.hashes:
            return
        base = self._recorded.hashes.get(record.get("base") or "", ())
        hashes = (*base[: record["keep"]], *record["tail"])
        started_at = utc(datetime.fromisoformat(record["timestamp"]))
        agent = record.get("agentId") or self._source.agent
        self._recorded.hashes[identifier] = hashes
        self.requests.append(RecordedRequest(place, agent, record, hashes, started_at))

    def _answer(self, record: Object, place: str) -> None:
        message = record["message"]
        blocks = self._blocks.setdefault(message["id"], [])
        blocks += message["content"]
        digest = self._keep({"role": "assistant", "content": list(blocks)})
        if message.get("model") == _SYNTHETIC or record.get("isApiErrorMessage"):
            return
        reference = record.get("requestRef")
        if reference is None:
            self.problem = self.problem or f"{place}: an answer names no request"
            return
        reported = msgspec.convert(message["usage"], ReportedUsage)
        if reference not in self._recorded.hashes and not self.requests:
            # A fork begins with a copy of the answers of its origin.
            return
        usage = usage_from(reported, stop_of(message.get("stop_reason"), message.get("stop_details")))
        if usage is not None:
            ended_at = utc(datetime.fromisoformat(record["timestamp"]))
            without_content = {name: value for name, value in message.items() if name != "content"}
            self.answers[reference] = RecordedAnswer(usage, ended_at, without_content, digest, record.get("requestId"))


def _parsed(value: Any) -> Object:
    """
    An object that may be recorded as JSON text.
    """
    parsed: Object = decode_json(value.encode()) if isinstance(value, str) else value
    return parsed


def encode_json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")


def message_hash(message: Object) -> str:
    """
    The hash under which a message is recorded.
    """
    content = message.get("content")
    if isinstance(content, str):
        message = {**message, "content": [{"type": "text", "text": content}]}
    text = json.dumps(_without_control(message), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _without_control(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_control(inner) for key, inner in value.items() if key != CONTROL}
    if isinstance(value, list):
        return [_without_control(inner) for inner in value]
    return value


def _as_blocks(message: Object) -> Object:
    content = message.get("content")
    return {**message, "content": [{"type": "text", "text": content}]} if isinstance(content, str) else message
