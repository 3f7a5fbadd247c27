"""
Captures as HTTP Archive 1.2, for browsers and proxies that show such archives.

Rule of this file: an archive contains what was recorded and nothing else. It has the recorded headers only, and a comment
in place of each body that was not recorded. Compressed bodies are shown decompressed.
Source: http://www.softwareishard.com/blog/har-12-spec/ (checked 2026-11-24).
"""

import base64
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import msgspec

from savemode_cli.core.exchange.capture import Capture, encode
from savemode_cli.core.exchange.kept_headers import Headers
from savemode_cli.core.wire.encodings import decoded_if_encoded
from savemode_cli.core.wire.messages import MESSAGES_PATH
from savemode_cli.core.wire.meter import MAX_DECODED_BYTES

DEFAULT_UPSTREAM = "https://api.anthropic.com"
_PRODUCT = re.compile(rf"/[^/]+(?={re.escape(MESSAGES_PATH)})")
_NOT_KEPT = "the body was not kept"
_REASON_PHRASES = {status.value: status.phrase for status in HTTPStatus} | {529: "Overloaded"}
"""529 is the API's own status (https://platform.claude.com/docs/en/api/errors)."""


def archive(captures: Iterable[Capture], version: str) -> Iterator[bytes]:
    """
    An archive in pieces, so that its size does not matter.

    Args:
        captures: the exchanges, in order.
        version: the version of savemode.
    """
    creator = msgspec.json.encode({"name": "savemode", "version": version})
    yield b'{"log":{"version":"1.2","creator":' + creator + b',"entries":['
    comma = b""
    for capture in captures:
        yield comma + msgspec.json.encode(entry(capture))
        comma = b","
    yield b"]}}\n"


def entry(capture: Capture) -> dict[str, Any]:
    """
    One exchange. `_savemode` contains the fields of a request line, what the cost is based on, and the whole capture as
    it is stored, so that an archive replays like the store.
    """
    exchange, answer = capture.exchange, capture.exchange.answer
    wait_ms = answer.duration_ms if answer.first_byte_ms is None else answer.first_byte_ms
    receive_ms = max(answer.duration_ms - wait_ms, 0)
    return {
        "startedDateTime": _iso(exchange.started_at),
        "time": round(wait_ms, 3) + round(receive_ms, 3),
        "request": _request(capture),
        "response": _response(capture),
        "cache": {},
        "timings": {"send": 0, "wait": round(wait_ms, 3), "receive": round(receive_ms, 3)},
        "_savemode": {
            **exchange.to_json(),
            "ended_at": _iso(capture.ended_at),
            "answered_by": answer.answered_by,
            "capture": msgspec.Raw(encode(capture)),
        },
    }


def _request(capture: Capture) -> dict[str, Any]:
    """
    The request as the client sent it. `_savemode.edits` contains the edits of the upgrade.
    """
    call = capture.exchange.call
    path = _PRODUCT.sub("", call.path, count=1) if _PRODUCT.match(call.path) else call.path
    request: dict[str, Any] = {
        "method": call.method,
        "url": _address(capture.upstream or DEFAULT_UPSTREAM) + path,
        "httpVersion": "HTTP/1.1",
        "cookies": [],
        "headers": _headers(capture.request_headers),
        "queryString": [],
        "headersSize": -1,
        "bodySize": call.request_bytes,
    }
    if capture.request_body or (capture.request_body is not None and call.method == "POST"):
        text, encoding, _ = _shown(capture.request_body, capture.request_headers)
        request["postData"] = {
            "mimeType": _value(capture.request_headers, "content-type") or "application/json",
            "text": text,
            **({} if encoding is None else {"_encoding": encoding, "comment": f"text is {encoding}"}),
        }
    elif call.request_bytes:
        request["comment"] = _NOT_KEPT
    return request


def _response(capture: Capture) -> dict[str, Any]:
    answer = capture.exchange.answer
    content: dict[str, Any] = {
        "size": answer.response_bytes,
        "mimeType": _value(capture.response_headers, "content-type") or "application/octet-stream",
    }
    if capture.response_body is not None:
        text, encoding, size = _shown(capture.response_body, capture.response_headers)
        content |= {"size": size, "text": text}
        if size != len(capture.response_body):
            content["compression"] = size - len(capture.response_body)
        if encoding is not None:
            content["encoding"] = encoding
    elif answer.response_bytes:
        content["comment"] = _NOT_KEPT
    return {
        "status": answer.status or 0,
        "statusText": _REASON_PHRASES.get(answer.status or 0, ""),
        "httpVersion": "HTTP/1.1",
        "cookies": [],
        "headers": _headers(capture.response_headers),
        "content": content,
        "redirectURL": "",
        "headersSize": -1,
        "bodySize": answer.response_bytes,
        **({"comment": answer.error} if answer.error else {}),
    }


def _shown(body: bytes, headers: Headers) -> tuple[str, str | None, int]:
    """
    A body as text, the encoding of that text (None: plain), and the body's size in bytes without content encoding.
    """
    body = decoded_if_encoded(
        body, ", ".join(value for name, value in headers if name == "content-encoding"), MAX_DECODED_BYTES
    )
    try:
        return body.decode(), None, len(body)
    except UnicodeDecodeError:
        return base64.b64encode(body).decode(), "base64", len(body)


def _address(upstream: str) -> str:
    # The simulated upstream has a name and no URL.
    return upstream if "://" in upstream else f"http://{upstream}"


def _headers(headers: Headers) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in headers]


def _value(headers: Headers, wanted: str) -> str:
    return next((value for name, value in headers if name == wanted), "")


def _iso(when: datetime) -> str:
    return f"{when.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{when.microsecond // 1000:03d}Z"
