"""
What the Messages API reports having used.

Rule of this file: every field name of a response is spelled here. What cannot be read is absent or marked, never
guessed, and never an exception: a meter watches a response go by and must not be able to harm it.
Source: https://platform.claude.com/docs/en/build-with-claude/streaming and .../api/messages, and the types of the
official SDK, version 2.13.0 (checked 2026-11-24).

In a stream, `message_start` holds the whole usage with a placeholder for the output; `message_delta` holds cumulative
totals of some fields. Each field that is not null overwrites the one before it; nothing is ever added up.

Longer than most: the meter and the fields that it reads stand together, for no other file may spell them.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Union

import msgspec
from msgspec import Meta, Struct

from savemode_cli.core.encodings import Decode, Undecodable, decoder
from savemode_cli.core.pricing import Extra, Usage
from savemode_cli.core.sse import EventData

MAX_DECODED_BYTES = 64 * 1024 * 1024
"""Of a compressed response in all, and of a JSON one: twice what a request may have. A plain stream is not bounded."""

MAX_EVENT_BYTES = 8 * 1024 * 1024
"""Of one server-sent event: the longest hold a whole server tool's result."""

_Count = Annotated[int, Meta(ge=0, le=2**53)]


class _Tokens(Struct, gc=False):
    input_tokens: _Count | None = None
    output_tokens: _Count | None = None
    cache_creation_input_tokens: _Count | None = None
    cache_read_input_tokens: _Count | None = None
    cache_creation: Union["_Split", None] = None


class _Split(Struct, gc=False):
    ephemeral_5m_input_tokens: _Count = 0
    ephemeral_1h_input_tokens: _Count = 0


class _Iteration(_Tokens, gc=False):
    type: Any = None
    model: Any = None


class _ServerTools(Struct, gc=False):
    web_search_requests: _Count | None = None


class _Report(_Tokens, gc=False):
    server_tool_use: _ServerTools | None = None
    iterations: list[_Iteration] | None = None
    service_tier: Any = None
    inference_geo: Any = None
    speed: Any = None


class _ApiError(Struct, gc=False):
    type: Any = None


class _Message(Struct, gc=False):
    """
    A whole answer: a message, or in its place an error.
    """

    model: Any = None
    stop_reason: Any = None
    usage: _Report | None = None
    error: _ApiError | None = None


class _Start(Struct, gc=False, tag_field="type", tag="message_start"):
    message: _Message


class _Stopping(Struct, gc=False):
    stop_reason: Any = None


class _MessageDelta(Struct, gc=False, tag_field="type", tag="message_delta"):
    delta: _Stopping | None = None
    usage: _Report | None = None


class _Written(Struct, gc=False):
    text: str = ""
    partial_json: str = ""
    thinking: str = ""


class _BlockDelta(Struct, gc=False, tag_field="type", tag="content_block_delta"):
    delta: _Written


class _Stop(Struct, gc=False, tag_field="type", tag="message_stop"):
    pass


class _Failure(Struct, gc=False, tag_field="type", tag="error"):
    error: _ApiError


# Not read, but named: an unknown event costs an exception inside the decoder, and these are the frequent ones.
class _Ping(Struct, gc=False, tag_field="type", tag="ping"):
    pass


class _BlockStart(Struct, gc=False, tag_field="type", tag="content_block_start"):
    pass


class _BlockStop(Struct, gc=False, tag_field="type", tag="content_block_stop"):
    pass


_Event = _BlockDelta | _Start | _MessageDelta | _Stop | _Failure | _Ping | _BlockStart | _BlockStop

_decode_event = msgspec.json.Decoder(_Event).decode
_decode_message = msgspec.json.Decoder(_Message).decode
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_WITH_USAGE = (b"message_start", b"message_delta")


ReportedUsage = _Report
"""The `usage` object as it stands in an answer, for those who decode it as a part of something larger."""


def usage_from(report: ReportedUsage) -> Usage | None:
    """
    What such an object says; None if not even the input is known.
    """
    return _usage(report)


def usage_of(message: Mapping[str, Any] | bytes) -> Usage | None:
    """
    The usage of a whole message, parsed or not; None where it reports none or it cannot be read. Never raises.
    """
    read = _message(message)
    return None if read is None or read.usage is None else _usage(read.usage)


def usage_report(usage: Usage, model: str | None = None) -> dict[str, Any]:
    """
    A usage as the API reports it, read back by `usage_of`. `model` is the one that answered: where attempts of others
    stand beside its answer, an iteration of its own says so.
    """
    report: dict[str, Any] = _counters_report(usage)
    if usage.web_searches:
        report["server_tool_use"] = {"web_search_requests": usage.web_searches}
    labels = {"service_tier": usage.service_tier, "inference_geo": usage.inference_geo, "speed": usage.speed}
    report |= {name: value for name, value in labels.items() if value is not None}
    beside = [{"type": one.kind, "model": one.model, **_counters_report(one.usage)} for one in usage.extra]
    if any(one.kind == "message" for one in usage.extra):
        beside.append({"type": "fallback_message", "model": model, **_counters_report(usage)})
    return report | ({"iterations": beside} if beside else {})


def _counters_report(usage: Usage) -> dict[str, Any]:
    written = {
        "ephemeral_5m_input_tokens": usage.cache_write_5m_tokens,
        "ephemeral_1h_input_tokens": usage.cache_write_1h_tokens,
    }
    return {
        "input_tokens": usage.input_tokens,
        "cache_creation_input_tokens": sum(written.values()),
        "cache_read_input_tokens": usage.cache_read_tokens,
        "cache_creation": written,
        "output_tokens": usage.output_tokens,
    }


class UsageMeter:
    """
    Reads the usage of one response out of its bytes as they go by. Sans-IO; any chunking; never raises.

    `usage` is what is known so far, None before anything is. `final` says that it is the bill: until then its output is
    the API's placeholder, and `emitted_chars` (text, thinking and tool input, in code points) is what an estimate has to
    go by. `broken` says that this is no answer of the API that we can read. `error` is the type of an error that the
    API reported in it. `model` is the one whose rates apply.
    """

    __slots__ = (
        "_decode",
        "_events",
        "_held_bytes",
        "_max_decoded_bytes",
        "_pieces",
        "_report",
        "broken",
        "emitted_chars",
        "error",
        "final",
        "model",
        "stop_reason",
    )

    def __init__(
        self,
        content_type: str = "application/json",
        content_encoding: str = "",
        *,
        max_decoded_bytes: int = MAX_DECODED_BYTES,
        max_event_bytes: int = MAX_EVENT_BYTES,
    ) -> None:
        """
        Both are the values of the response's headers, "" where there is none.
        """
        self.model: str | None = None
        self.stop_reason: str | None = None
        self.error: str | None = None
        self.final = False
        self.broken = False
        self.emitted_chars = 0
        self._report: _Report | None = None
        streamed = content_type.lower().lstrip().startswith("text/event-stream")
        self._events = EventData(max_event_bytes) if streamed else None
        self._pieces: list[bytes] = []
        self._held_bytes = 0
        self._max_decoded_bytes = max_decoded_bytes
        self._decode: Decode | None = None
        try:
            self._decode = decoder(content_encoding, max_decoded_bytes)
        except Undecodable:
            self._give_up()

    @property
    def usage(self) -> Usage | None:
        """
        What has been reported so far.
        """
        return None if self._report is None else _usage(self._report)

    def feed(self, chunk: bytes) -> None:
        """
        The next bytes of the body, as they came from the wire.
        """
        if self.broken:
            return
        if self._decode is None:
            self._take(chunk)
            return
        try:
            for piece in self._decode(chunk):
                if not self.broken:
                    self._take(piece)
        except Undecodable:
            self._give_up()

    def close(self) -> None:
        """
        The body is over or was cut off. An answer that reported neither usage nor an error is `broken`.
        """
        if self.broken:
            return
        if self._events is None:
            self._read_message(b"".join(self._pieces))
            self._pieces.clear()
        else:
            self._read_event(self._events.rest())
        if self.error is None and (self._report is None or self._report.input_tokens is None):
            self._give_up()

    def _take(self, piece: bytes) -> None:
        if self._events is None:
            self._pieces.append(piece)
            self._held_bytes += len(piece)
            if self._held_bytes > self._max_decoded_bytes:
                self._give_up()
            return
        for data in self._events.feed(piece):
            if not self._read_event(data) and any(name in data for name in _WITH_USAGE):
                self._give_up()
                return
        if self._events.overflowed:
            self._give_up()

    def _give_up(self) -> None:
        self.broken = True
        self.final = False
        self._decode = None
        self._pieces.clear()

    def _read_event(self, data: bytes) -> bool:
        """
        Whether it is an event that we know; others are ignored, unless usage was in them.
        """
        try:
            event = _decode_event(data)
        except _UNREADABLE:
            return False
        if type(event) is _BlockDelta:
            written = event.delta
            self.emitted_chars += len(written.text) + len(written.partial_json) + len(written.thinking)
        else:
            self._read_rare_event(event)
        return True

    def _read_rare_event(self, event: _Event) -> None:
        match event:
            case _Start(message):
                self._begin(message)
            case _MessageDelta(delta, usage):
                self._overwrite(delta, usage)
            case _Failure(error):
                self.error = _text(error.type) or "error"
            case _:
                pass

    def _begin(self, message: _Message) -> None:
        self._report = message.usage
        self.model = _text(message.model)
        self.stop_reason = _text(message.stop_reason)
        self.final = False

    def _overwrite(self, delta: _Stopping | None, usage: _Report | None) -> None:
        """
        The last report of a field is the one that counts. It is the last when the answer says why it stopped.
        """
        if delta is not None and delta.stop_reason is not None:
            self.stop_reason = _text(delta.stop_reason)
        if usage is None or self._report is None:
            return
        for name in usage.__struct_fields__:
            value = getattr(usage, name)
            if value is not None:
                setattr(self._report, name, value)
        if usage.output_tokens is not None and self.stop_reason is not None:
            self._conclude(self._report)

    def _read_message(self, body: bytes) -> None:
        message = _message(body)
        if message is None:
            return
        if message.error is not None:
            self.error = _text(message.error.type) or "error"
        self._begin(message)
        if message.usage is not None:
            self._conclude(message.usage)

    def _conclude(self, report: _Report) -> None:
        self.model = _serving_model(report) or self.model
        self.final = report.input_tokens is not None and report.output_tokens is not None


def _message(message: Mapping[str, Any] | bytes) -> _Message | None:
    try:
        return _decode_message(message) if isinstance(message, bytes) else msgspec.convert(message, _Message)
    except _UNREADABLE:
        return None


def _usage(report: _Report) -> Usage | None:
    """
    None if not even the input is known: an answer always reports it.

    What stands beside the totals has no labels of its own; it is taken to be served as the answer was.
    """
    if report.input_tokens is None:
        return None
    labels = (_text(report.service_tier), _text(report.inference_geo), _text(report.speed))
    searches = report.server_tool_use.web_search_requests if report.server_tool_use is not None else None
    extra = tuple(Extra(kind, model, Usage(*_counters(one), 0, *labels)) for kind, model, one in _beside(report))
    return Usage(*_counters(report), searches or 0, *labels, extra)


def _counters(tokens: _Tokens) -> tuple[int, int, int, int, int]:
    """
    Input, 5m and 1h writes, reads, output. What was written and not as 1h was written as 5m.

    The split is missing from old answers; it stands in `message_start` only, and the API may add 5-minute writes of its
    own until the end, so it may lag behind the total.
    """
    split = tokens.cache_creation or _Split()
    written = tokens.cache_creation_input_tokens
    if written is None:
        written = split.ephemeral_5m_input_tokens + split.ephemeral_1h_input_tokens
    one_hour = min(split.ephemeral_1h_input_tokens, written)
    reads = tokens.cache_read_input_tokens or 0
    return tokens.input_tokens or 0, written - one_hour, one_hour, reads, tokens.output_tokens or 0


def _beside(report: _Report) -> Iterator[tuple[str, str | None, _Iteration]]:
    """
    The iterations that the totals leave out, with the model whose rates apply; None is the answer's own.

    The totals are those of the answering model's own iterations. Compactions and advisors stand beside them, and where a
    fallback answered, the attempts of other models do.
    Source: https://platform.claude.com/docs/en/agents-and-tools/tool-use/advisor-tool (usage and billing) and the SDK's
    BetaUsage and BetaFallbackMessageIterationUsage (checked 2026-11-24).
    """
    answering = _serving_model(report)
    for one in report.iterations or ():
        other = _text(one.model)
        if one.type == "compaction":
            yield "compaction", other, one
        elif one.type == "advisor_message":
            yield "advisor_message", other, one
        elif one.type == "message" and answering is not None and other not in (None, answering):
            yield "message", other, one


def _serving_model(report: _Report) -> str | None:
    """
    The model that a fallback went to; None without one.
    """
    served = [_text(one.model) for one in report.iterations or () if one.type == "fallback_message"]
    return served[-1] if served else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
