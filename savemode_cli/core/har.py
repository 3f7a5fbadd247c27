"""
Captures as HTTP Archive 1.2, for the viewers of browsers and proxies.

Rule of this file: an archive says what was kept and nothing else: its headers are the listed ones, a body that was not
kept is missing with a comment. Compressed bodies are shown as what they say.
Source: http://www.softwareishard.com/blog/har-12-spec/ (checked 2026-11-24).
"""

import base64
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec

from savemode_cli.core.capture import Capture, Headers
from savemode_cli.core.encodings import Undecodable, decoder
from savemode_cli.core.messages import MESSAGES_PATH

DEFAULT_UPSTREAM = "https://api.anthropic.com"
_MOST_BYTES = 256 * 1024 * 1024
_PRODUCT = re.compile(rf"/[^/]+(?={re.escape(MESSAGES_PATH)})")
_NOT_KEPT = "the body was not kept"
_REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    408: "Request Timeout",
    413: "Content Too Large",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
    529: "Overloaded",
}


def archive(captures: Iterable[Capture], version: str) -> Iterator[bytes]:
    """
    An archive, piece by piece: its length does not matter.
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
    One exchange. `_savemode` has what a request line says, and what its cost rests on.
    """
    exchange = capture.exchange
    wait_ms = exchange.duration_ms if exchange.first_byte_ms is None else exchange.first_byte_ms
    receive_ms = max(exchange.duration_ms - wait_ms, 0)
    return {
        "startedDateTime": _iso(exchange.started_at),
        "time": round(wait_ms, 3) + round(receive_ms, 3),
        "request": _request(capture),
        "response": _response(capture),
        "cache": {},
        "timings": {"send": 0, "wait": round(wait_ms, 3), "receive": round(receive_ms, 3)},
        "_savemode": {
            **exchange.to_json(),
            "budget": capture.budget,
            "budget_after": capture.budget_after,
            "ended_at": _iso(capture.ended_at),
            "answered_by": capture.answered_by,
        },
    }


def _request(capture: Capture) -> dict[str, Any]:
    """
    As the client sent it. What the upgrade changed on the wire is in `_savemode.edits`.
    """
    exchange = capture.exchange
    path = _PRODUCT.sub("", exchange.path, count=1) if _PRODUCT.match(exchange.path) else exchange.path
    request: dict[str, Any] = {
        "method": exchange.method,
        "url": _address(capture.upstream or DEFAULT_UPSTREAM) + path,
        "httpVersion": "HTTP/1.1",
        "cookies": [],
        "headers": _headers(capture.request_headers),
        "queryString": [],
        "headersSize": -1,
        "bodySize": exchange.request_bytes,
    }
    if capture.request_body:
        text, encoding, _ = _shown(capture.request_body, capture.request_headers)
        request["postData"] = {
            "mimeType": _value(capture.request_headers, "content-type") or "application/json",
            "text": text,
            **({} if encoding is None else {"_encoding": encoding, "comment": f"text is {encoding}"}),
        }
    elif exchange.request_bytes:
        request["comment"] = _NOT_KEPT
    return request


def _response(capture: Capture) -> dict[str, Any]:
    exchange = capture.exchange
    content: dict[str, Any] = {
        "size": exchange.response_bytes,
        "mimeType": _value(capture.response_headers, "content-type") or "application/octet-stream",
    }
    if capture.response_body is not None:
        text, encoding, size = _shown(capture.response_body, capture.response_headers)
        content |= {"size": size, "text": text}
        if size != len(capture.response_body):
            content["compression"] = size - len(capture.response_body)
        if encoding is not None:
            content["encoding"] = encoding
    elif exchange.response_bytes:
        content["comment"] = _NOT_KEPT
    return {
        "status": exchange.status or 0,
        "statusText": _REASONS.get(exchange.status or 0, ""),
        "httpVersion": "HTTP/1.1",
        "cookies": [],
        "headers": _headers(capture.response_headers),
        "content": content,
        "redirectURL": "",
        "headersSize": -1,
        "bodySize": exchange.response_bytes,
        **({"comment": exchange.error} if exchange.error else {}),
    }


def _shown(body: bytes, headers: Headers) -> tuple[str, str | None, int]:
    """
    A body as text, how that text is encoded (None: as it reads), and its size in bytes without a content encoding.
    """
    try:
        decode = decoder(_value(headers, "content-encoding"), _MOST_BYTES)
        body = body if decode is None else b"".join(decode(body))
    except Undecodable:
        pass  # shown as it came
    try:
        return body.decode(), None, len(body)
    except UnicodeDecodeError:
        return base64.b64encode(body).decode(), "base64", len(body)


def _address(upstream: str) -> str:
    # The simulated upstream goes by its name.
    return upstream if "://" in upstream else f"http://{upstream}"


def _headers(headers: Headers) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in headers]


def _value(headers: Headers, wanted: str) -> str:
    return next((value for name, value in headers if name == wanted), "")


def _iso(when: datetime) -> str:
    return f"{when.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{when.microsecond // 1000:03d}Z"
