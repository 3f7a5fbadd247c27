"""
Converts a record of a request into a `Call`. Every reader uses this converter.

Rule of this file: two records of one exchange give the same call in every format. So this file, and not a reader,
interprets the product in a path, the query, the content encoding and the signs of a subscription.
"""

import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any

from savemode_cli.core.exchange.capture import Capture
from savemode_cli.core.replay.recording import Call
from savemode_cli.core.wire.encodings import decoded_if_encoded
from savemode_cli.core.wire.messages import MESSAGES_PATH
from savemode_cli.core.wire.meter import MAX_DECODED_BYTES, UsageMeter
from savemode_cli.core.wire.usage import Usage

Pairs = Iterable[tuple[str, str]]
"""Header names and values."""

_AUTHORITY = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")
_BETA, _OAUTH_BETA = "anthropic-beta", "oauth-"
_MAGICS = ((b"\x1f\x8b", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"))


def call_of(
    place: str,
    body: bytes,
    *,
    method: str = "POST",
    target: str = MESSAGES_PATH,
    product: str | None = None,
    headers: Pairs = (),
    started_at: datetime | None = None,
    ended_at: datetime | None = None,
    usage: Usage | None = None,
    status: int | None = None,
    session: str | None = None,
    subscription: bool = False,
    is_decoded: bool = False,
) -> Call | None:
    """
    The call that a record describes.

    Args:
        place: where the record is, for messages.
        body: the request's body, decoded or in its content encoding.
        method: the HTTP method, in upper or lower case.
        target: the path or the whole URL, with or without a query.
        product: the product that the recorder found in the path or in its configuration; None if only the path names it.
        headers: the request's headers as they were sent.
        started_at: when the request was sent, in UTC.
        ended_at: when its answer was complete, in UTC.
        usage: what the answer was billed for; None if it was not recorded.
        status: the answer's HTTP status; None if it was not recorded.
        session: the key of the session; None if it must be read from the body.
        subscription: whether the record shows OAuth traffic by signs other than its headers.
        is_decoded: whether the recorder has certainly decoded the body, if it could be decoded.

    Returns:
        The call; None if the request is not a POST to `/v1/messages` of any product.
    """
    path = path_of(target)
    if method.upper() != "POST" or not path.endswith(MESSAGES_PATH):
        return None
    named = [(name.lower(), value) for name, value in headers]
    encoding = ", ".join(value for name, value in named if name == "content-encoding")
    plain = body if is_decoded and encoding else decoded(body, encoding)
    return Call(
        place,
        plain,
        headers=tuple((name.encode("latin-1", "replace"), value.encode("latin-1", "replace")) for name, value in named),
        path=path if product is None else f"/{product}{MESSAGES_PATH}",
        started_at=started_at,
        ended_at=ended_at,
        usage=usage,
        session=session,
        subscription=subscription or any(name == _BETA and _OAUTH_BETA in value for name, value in named),
        answered=usage is not None or status is None or status < 400,
        encoded=encoding.strip().lower() not in ("", "identity") or plain is not body,
    )


def call_of_capture(capture: Capture, place: str, *, is_decoded: bool = False) -> Call | str | None:
    """
    The call of a capture, from the store or from an export.

    Its body is the one that the client sent, before any edit. The usage is that of the request that was forwarded.

    Args:
        capture: the capture.
        place: where it is, for messages.
        is_decoded: whether its body is decoded, as it is in an HTTP archive.

    Returns:
        The call, what is wrong with it, or None if it is not a model call.
    """
    exchange = capture.exchange
    recorded_call = exchange.call
    call = call_of(
        place,
        capture.request_body or b"",
        method=recorded_call.method,
        target=recorded_call.path,
        product=recorded_call.product,
        headers=capture.request_headers,
        started_at=exchange.started_at,
        ended_at=capture.ended_at,
        usage=exchange.bill.usage,
        status=exchange.answer.status,
        session=recorded_call.session,
        subscription=any(skip.code == "oauth" for skip in exchange.upgrade.skips),
        is_decoded=is_decoded,
    )
    if call is None:
        return None
    if capture.request_body is None:
        return "its body was not recorded"
    return replace(call, diagnosis=exchange.answer.diagnosis)


def path_of(target: str) -> str:
    """
    The path of a request target, which is a path with or without a query, or a whole URL.
    """
    match = _AUTHORITY.match(target)
    return re.split(r"[?#]", target[match.end() if match is not None else 0 :], maxsplit=1)[0]


def header_pairs(headers: Any) -> list[tuple[str, str]]:
    """
    Headers in the form of any recorder: an object of names and values or lists of values, a list of name-value objects,
    or a list of pairs. Anything else is ignored.
    """
    if isinstance(headers, dict):
        return [(str(name), value) for name, values in headers.items() for value in _texts(values)]
    pairs: list[tuple[str, str]] = []
    for header in headers if isinstance(headers, list) else ():
        if isinstance(header, dict) and isinstance(header.get("name"), str):
            pairs += ((header["name"], value) for value in _texts(header.get("value")))
        elif isinstance(header, list) and len(header) == 2 and isinstance(header[0], str):
            pairs += ((header[0], value) for value in _texts(header[1]))
    return pairs


def _texts(values: Any) -> list[str]:
    if isinstance(values, list):
        return [text for value in values for text in _texts(value)]
    if isinstance(values, bytes):
        return [values.decode("latin-1")]
    return [] if values is None or isinstance(values, dict) else [str(values)]


def decoded(body: bytes, encoding: str) -> bytes:
    """
    A recorded body without its content encoding; the same object if it is not encoded.

    Recorders differ. mitmproxy and claude-tap store a decoded body with its `content-encoding` header. VCR stores both as
    they were sent. Some tools drop the header; then the first bytes identify the encoding.

    Args:
        body: the body as it was recorded.
        encoding: the value of its `content-encoding` header, "" without one.
    """
    magic = next((name for start, name in _MAGICS if body.startswith(start)), "")
    return decoded_if_encoded(body, encoding or magic, MAX_DECODED_BYTES)


def metered(body: bytes, encoding: str = "") -> Usage | None:
    """
    The usage that an answer reports; None if the answer does not contain the final counts.

    Args:
        body: the answer's body, decoded or in its content encoding.
        encoding: the value of its `content-encoding` header, "" without one.
    """
    meter = UsageMeter()
    meter.feed(decoded(body, encoding))
    meter.close()
    return meter.usage if meter.final else None
