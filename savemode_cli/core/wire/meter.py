"""
Reads the usage of an answer from its bytes as they pass.

Rule of this file: a meter reads an answer and cannot harm it: it holds a bounded number of bytes and raises nothing. It
recognises the form of an answer by its content, not by its `content-type`, because some servers label a stream as JSON
or as text.
Source: https://platform.claude.com/docs/en/build-with-claude/streaming and the types of the official SDK, version
2.14.0 (checked 2026-11-30).

In a stream, `message_start` contains the whole usage with a placeholder for the output, and `message_delta` contains cumulative
totals of some or all fields. Each field that is not null replaces the previous one. Nothing is added.
"""

import json
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct

from savemode_cli.core.wire.diagnostics import CacheDiagnosis, diagnosis_in
from savemode_cli.core.wire.encodings import Decode, Undecodable, decoder
from savemode_cli.core.wire.report import (
    ReportedUsage,
    Stop,
    answering_model,
    category_of,
    error_type,
    is_readable,
    text_or_none,
    usage_from,
)
from savemode_cli.core.wire.sse import BOM, EventData
from savemode_cli.core.wire.usage import Usage

MAX_DECODED_BYTES = 64 * 1024 * 1024
"""
The limit of a compressed answer in total, and of a JSON answer: twice what a request may have. A plain stream has no limit.
"""

MAX_EVENT_BYTES = 8 * 1024 * 1024
"""The limit of one server-sent event. A longer one, such as a server tool's result with a large file, is skipped."""


class _Message(Struct, gc=False):
    """
    A whole answer: a message or an error.
    """

    id: Any = None
    model: Any = None
    content: Any = None
    stop_reason: Any = None
    stop_details: Any = None
    usage: ReportedUsage | None = None
    error: Any = None
    diagnostics: Any = None


class _Start(Struct, gc=False, tag_field="type", tag="message_start"):
    message: _Message


class _Stopping(Struct, gc=False):
    stop_reason: Any = None
    stop_details: Any = None


class _MessageDelta(Struct, gc=False, tag_field="type", tag="message_delta"):
    delta: _Stopping | None = None
    usage: ReportedUsage | None = None


class _Emitted(Struct, gc=False):
    text: str = ""
    partial_json: str = ""
    thinking: str = ""


class _BlockDelta(Struct, gc=False, tag_field="type", tag="content_block_delta"):
    delta: _Emitted


class _Stop(Struct, gc=False, tag_field="type", tag="message_stop"):
    pass


class _ApiError(Struct, gc=False):
    type: Any = None


class _Failure(Struct, gc=False, tag_field="type", tag="error"):
    error: _ApiError


class _BlockStart(Struct, gc=False, tag_field="type", tag="content_block_start"):
    content_block: Any = None


# Not read, but named: an unknown event costs an exception inside the decoder, and these are frequent.
class _Ping(Struct, gc=False, tag_field="type", tag="ping"):
    pass


class _BlockStop(Struct, gc=False, tag_field="type", tag="content_block_stop"):
    pass


_Event = _BlockDelta | _Start | _MessageDelta | _Stop | _Failure | _Ping | _BlockStart | _BlockStop

_decode_event = msgspec.json.Decoder(_Event).decode
_decode_message = msgspec.json.Decoder(_Message).decode
_UNREADABLE = (msgspec.DecodeError, ValueError, RecursionError)
_WITH_USAGE = (b"message_start", b"message_delta")


class UsageMeter:
    """
    Reads the usage of one answer out of its bytes. Sans-IO, in any chunking.

    Attributes:
        message_id: The answer's id; None until it is known.
        model: The model whose prices apply: the one that answered.
        stop_reason: Why it stopped, in the API's word.
        error: The type of an error that the API reported in the answer.
        final: Whether `usage` is the bill. Until then its output is the API's placeholder.
        emitted_chars: Text, thinking and tool input so far, in code points: what an estimate of the output rests on.
        broken: Whether the answer, or a part that reports usage, cannot be read.
        silent: Whether the answer is over and held nothing but pings, comments and white space.
    """

    __slots__ = (
        "_counted",
        "_declined",
        "_decode",
        "_decoded",
        "_events",
        "_head",
        "_held_bytes",
        "_lost",
        "_max_decoded_bytes",
        "_pieces",
        "_read",
        "_received",
        "_refusal",
        "_report",
        "_spoke",
        "broken",
        "diagnosis",
        "emitted_chars",
        "error",
        "final",
        "message_id",
        "model",
        "silent",
        "stop_reason",
    )

    def __init__(
        self,
        *,
        content_encoding: str = "",
        max_decoded_bytes: int = MAX_DECODED_BYTES,
        max_event_bytes: int = MAX_EVENT_BYTES,
    ) -> None:
        """
        Args:
            content_encoding: The value of the answer's header, "" if there is none.
            max_decoded_bytes: See `MAX_DECODED_BYTES`.
            max_event_bytes: See `MAX_EVENT_BYTES`.
        """
        self.message_id: str | None = None
        self.diagnosis: CacheDiagnosis | None = None
        self.model: str | None = None
        self.stop_reason: str | None = None
        self.error: str | None = None
        self.final = self.broken = self.silent = False
        self.emitted_chars = self._held_bytes = 0
        self._report: ReportedUsage | None = None
        self._declined: dict[str, str | None] = {}
        self._refusal: str | None = None
        self._counted = self._lost = self._spoke = self._received = self._decoded = False
        self._head = b""
        self._read: Callable[[bytes], None] = self._sniff
        self._events = EventData(max_event_bytes)
        self._pieces: list[bytes] = []
        self._max_decoded_bytes = max_decoded_bytes
        self._decode: Decode | None = None
        try:
            self._decode = decoder(content_encoding, max_decoded_bytes)
        except Undecodable:
            self._give_up()

    @property
    def usage(self) -> Usage | None:
        """
        What has been reported so far; None until at least the input tokens are known.
        """
        if self._report is None:
            return None
        # Only reports that can be read are kept.
        return usage_from(self._report, Stop(self.stop_reason, self._refusal, self._declined))

    @property
    def _reports_input(self) -> bool:
        return self._report is not None and self._report.input_tokens is not None

    def feed(self, chunk: bytes) -> None:
        """
        Read the next bytes of the body as they were received.
        """
        if self.broken:
            return
        if self._decode is None:
            self._read(chunk)
            return
        self._received = self._received or bool(chunk)
        try:
            for piece in self._decode(chunk):
                if not self.broken:
                    self._decoded = self._decoded or bool(piece)
                    self._read(piece)
        except Undecodable:
            self._give_up()

    def close(self) -> None:
        """
        The body is over or was cut off. Without usage and without an error it is `broken`, unless it is `silent`.
        """
        if self.broken:
            return
        if self._pieces:
            self._read_message(b"".join(self._pieces))
            self._pieces.clear()
        elif rest := self._events.rest():
            self._read_event(rest, is_whole=False)
        self.silent = self._is_silent()
        if self._lost or (self.error is None and not self.silent and not self._reports_input):
            self._give_up()

    def _is_silent(self) -> bool:
        unread = bool(self._head) or (self._received and not self._decoded)
        return not (unread or self._spoke or self.emitted_chars) and self._events.only_fields

    def _sniff(self, piece: bytes) -> None:
        """
        Recognise a JSON answer or a stream of events by its beginning.
        """
        head = self._head + piece
        text = head.removeprefix(BOM).lstrip()
        may_be_bom = BOM.startswith(head)
        if not text or may_be_bom:
            self._head = head if may_be_bom else b""
            return
        self._head = b""
        is_json = text[:1] in (b"{", b"[")
        self._read = self._read_json if is_json else self._read_events
        self._read(text if is_json else head)

    def _read_json(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._held_bytes += len(piece)
        if self._held_bytes > self._max_decoded_bytes:
            self._give_up()

    def _read_events(self, piece: bytes) -> None:
        for data in self._events.feed(piece):
            self._read_event(data)

    def _give_up(self) -> None:
        self.broken = True
        self.final = False
        self._decode = None
        self._pieces.clear()

    def _read_event(self, data: bytes, *, is_whole: bool = True) -> None:
        """
        Read one event. Unknown events are ignored unless they contain usage. So is an event that was cut off.
        """
        try:
            event = _decode_event(data)
        except _UNREADABLE as error:
            found = _tolerant(data, error, _Event)
            if found is None:
                self._spoke = True
                if is_whole and any(name in data for name in _WITH_USAGE):
                    self._lose()
                return
            event = found
        if type(event) is _BlockDelta:
            emitted = event.delta
            self.emitted_chars += len(emitted.text) + len(emitted.partial_json) + len(emitted.thinking)
        elif type(event) is not _Ping:
            self._spoke = True
            self._events.checks_fields = False
            self._read_rare_event(event)

    def _read_rare_event(self, event: _Event) -> None:
        match event:
            case _Start(message):
                self._begin(message)
            case _MessageDelta(delta, usage):
                self._overwrite(delta or _Stopping(), usage)
            case _BlockStart(block):
                self._hand_over([block])
            case _Failure(error):
                self.error = error_type(error.type)
            case _Stop() if self._counted and not self._lost:
                self._conclude()
            case _:
                pass

    def _begin(self, message: _Message) -> None:
        self._report = message.usage
        if message.usage is not None and not is_readable(message.usage):
            self._report = None
            self._lose()
        self.message_id, self.diagnosis = text_or_none(message.id), diagnosis_in(message.diagnostics)
        self.model = text_or_none(message.model)
        self._stop(message.stop_reason, message.stop_details)
        self._counted = self.final = False

    def _lose(self) -> None:
        """
        Record that a report of usage could not be read. Reports are cumulative, so a later one may replace it.
        """
        self._lost, self.final = True, False

    def _stop(self, reason: object, details: object) -> None:
        self.stop_reason = text_or_none(reason)
        self._refusal = category_of(details)

    def _overwrite(self, delta: _Stopping, usage: ReportedUsage | None) -> None:
        """
        Replace fields by those of a newer report. The last report is final when the answer says why it stopped, or that it did.
        """
        if delta.stop_reason is not None:
            self._stop(delta.stop_reason, delta.stop_details)
        if usage is None:
            return
        if not is_readable(usage):
            self._lose()
            return
        if self._report is None:
            self._report = usage
        else:
            for name in usage.__struct_fields__:
                value = getattr(usage, name)
                if value is not None:
                    setattr(self._report, name, value)
        self._counted = self._counted or usage.output_tokens is not None
        if usage.output_tokens is not None and self.stop_reason is not None:
            self._conclude()
            self._lost = self._lost and not self.final

    def _hand_over(self, blocks: object) -> None:
        """
        Note which models declined, and for which model. The last one named is the one that answers.
        """
        for block in blocks if isinstance(blocks, list) else []:
            if isinstance(block, dict) and block.get("type") == "fallback":
                giver, taker = block.get("from"), block.get("to")
                if isinstance(giver, dict):
                    self._declined[str(giver.get("model"))] = category_of(block.get("trigger"))
                if isinstance(taker, dict):
                    self.model = text_or_none(taker.get("model")) or self.model

    def _read_message(self, body: bytes) -> None:
        self._spoke = True
        try:
            message = _decode_message(body)
        except _UNREADABLE as error:
            found = _tolerant(body, error, _Message)
            if found is None:
                return
            message = found
        if isinstance(message.error, dict):
            self.error = error_type(message.error.get("type"))
        self._begin(message)
        self._hand_over(message.content)
        if self._report is not None:
            self._conclude()

    def _conclude(self) -> None:
        report = self._report
        if report is None:
            return
        self.model = answering_model(report) or self.model
        self.final = report.input_tokens is not None and report.output_tokens is not None


def _tolerant(text: bytes, error: Exception, shape: Any) -> Any:
    """
    Decode what the strict decoder refuses: lone surrogates, control characters, bytes that are not UTF-8, NaN, and text after
    the value. None if the value has another shape.
    """
    if isinstance(error, msgspec.ValidationError):
        return None
    try:
        value, _ = _TOLERANT.raw_decode(text.decode("utf-8", "replace").lstrip("\ufeff \t\r\n"))
        return msgspec.convert(value, shape)
    except _UNREADABLE:
        return None


_TOLERANT = json.JSONDecoder(strict=False)
