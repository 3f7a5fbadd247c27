"""
What is stored of an exchange on disk: everything from which its receipt was made, the bodies, and selected headers.

Rule of this file: an exchange is written as it is in memory, part by part, so that a new field of a part is stored
without a change here. No credential, cookie or query is stored. A capture names its schema: an older one is converted
step by step, and a newer one is refused with an error that says so.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from savemode_cli.core.errors import BadInput, CaptureTooNew
from savemode_cli.core.exchange.conversions import CONVERTERS, Converter
from savemode_cli.core.exchange.credentials import Credentials, without_credentials
from savemode_cli.core.exchange.exchange import Exchange
from savemode_cli.core.exchange.kept_headers import REQUEST_HEADERS, RESPONSE_HEADERS, Headers, kept_headers
from savemode_cli.core.exchange.observed import Content, Observed
from savemode_cli.core.upgrade.edits import apply
from savemode_cli.core.wire.messages import MESSAGES_PATH

SCHEMA = 2
"""The schema of new captures."""

_YEARS = range(1970, 2200)
_DAMAGED = "the store or the file is damaged"

_HAS_BODIES = re.compile(rf"(?:/[^/]+)?{re.escape(MESSAGES_PATH)}(?:/.*)?")
"""The paths whose bodies are stored. The bodies of all other requests (files, keys, logins) are not stored."""


class Capture(Struct, frozen=True):
    """
    One exchange as it is stored: what `serve` printed, and the bodies.
    """

    exchange: Exchange
    ended_at: datetime
    """When it was billed, by the same clock as `started_at`. Captures are stored in this order."""
    upstream: str = ""
    """The address to which requests went, without a user name and a query."""
    request_headers: Headers = ()
    response_headers: Headers = ()
    request_body: bytes | None = None
    """The body as the client sent it, in its own content encoding; None if it was not stored."""
    response_body: bytes | None = None
    """The body as the upstream sent it, in its own content encoding; None if it was not stored."""

    def __repr__(self) -> str:
        """
        Shows no content, because it may appear in a log.
        """
        return f"Capture({self.exchange.id!r}, ...)"

    @property
    def sent_body(self) -> bytes | None:
        """
        The body of the request as it was sent to the upstream.
        """
        return None if self.request_body is None else apply(self.request_body, self.exchange.upgrade.on_wire)


def capture_of(observed: Observed, upstream: str = "") -> Capture:
    """
    Make the capture of an exchange.

    Args:
        observed: the exchange, with its content.
        upstream: the address to which requests go, without a user name and a query.
    """
    said = observed.content or Content((), None)
    found = Credentials.of(said.request_headers)
    exchange = _without_credentials(observed.exchange, found)
    content = without_credentials(said, failed=exchange.answer.outcome != "ok")
    has_bodies = _HAS_BODIES.fullmatch(exchange.call.path) is not None
    return Capture(
        exchange,
        observed.ended_at,
        upstream,
        kept_headers(content.request_headers, REQUEST_HEADERS, found),
        kept_headers(content.response_headers, RESPONSE_HEADERS, found),
        content.request_body if has_bodies else None,
        content.response_body if has_bodies else None,
    )


def _without_credentials(exchange: Exchange, found: Credentials) -> Exchange:
    """
    The exchange, with the request's credentials masked in texts that the upstream wrote.
    """

    def masked(text: str | None, *, in_error: bool = True) -> str | None:
        return None if text is None else found.masked_text(text, in_error=in_error)

    answer = exchange.answer
    return replace(
        exchange,
        answer=replace(
            answer,
            error=masked(answer.error) or "",
            upstream_request_id=masked(answer.upstream_request_id),
            stop_reason=masked(answer.stop_reason),
            answered_by=masked(answer.answered_by, in_error=answer.outcome != "ok"),
        ),
    )


class _Schema(Struct):
    schema: int


class _Record(Struct, omit_defaults=True):
    """
    A capture as it is written, without its bodies.
    """

    schema: int
    exchange: Exchange
    ended_at: datetime
    upstream: str = ""
    request_headers: Headers = ()
    response_headers: Headers = ()


def encode(capture: Capture) -> bytes:
    """
    A capture as JSON, without its bodies.
    """
    return msgspec.json.encode(
        _Record(
            SCHEMA,
            capture.exchange,
            capture.ended_at,
            capture.upstream,
            capture.request_headers,
            capture.response_headers,
        )
    )


def decode(
    text: bytes,
    request_body: bytes | None = None,
    response_body: bytes | None = None,
    *,
    schema: int = SCHEMA,
    converters: Mapping[int, Converter] = CONVERTERS,
) -> Capture:
    """
    Read a capture.

    Args:
        text: what `encode` wrote.
        request_body: the body of the request; None if it was not stored.
        response_body: the body of the answer; None if it was not stored.
        schema: the schema that needs no conversion; for tests.
        converters: the conversions; for tests.

    Raises:
        CaptureTooNew: a newer savemode wrote it.
        BadInput: it is not a capture, or it is damaged.
    """
    try:
        found = msgspec.json.decode(text, type=_Schema).schema
        if found == SCHEMA == schema:
            record = msgspec.json.decode(text, type=_Record)
        else:
            record = msgspec.convert(converted(msgspec.json.decode(text), found, schema, converters), _Record)
    except RecursionError as error:
        raise BadInput("a capture is nested too deeply to be read", hint=_DAMAGED) from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadInput(f"a capture cannot be read: {error}", hint=_DAMAGED) from error
    times = (record.exchange.started_at, record.ended_at)
    if not all(at.tzinfo is not None and at.year in _YEARS for at in times):
        raise BadInput("a capture has a time that cannot be right", hint=_DAMAGED)
    return Capture(
        record.exchange,
        record.ended_at,
        record.upstream,
        record.request_headers,
        record.response_headers,
        request_body,
        response_body,
    )


def converted(
    record: dict[str, Any], found: int, wanted: int = SCHEMA, converters: Mapping[int, Converter] = CONVERTERS
) -> dict[str, Any]:
    """
    Convert a record of an older schema to the wanted schema, step by step.

    Raises:
        CaptureTooNew: it has a newer schema.
        BadInput: it has a schema that no savemode wrote, or it is damaged.
    """
    if found > wanted:
        raise CaptureTooNew(
            f"this capture was written by a newer savemode: its schema is {found}, this one knows {wanted}",
            hint="upgrade savemode; nothing was changed",
        )
    for step in range(found, wanted):
        if step not in converters:
            raise BadInput(f"a capture has schema {found}, which no savemode wrote", hint="the file is damaged")
        try:
            record = converters[step](record)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise BadInput(f"a capture of schema {step} cannot be read", hint=_DAMAGED) from error
    return record
