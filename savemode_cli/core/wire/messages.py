"""
The paths, names and errors of the Messages API.

Rule of this file: it contains the API's names and sentences, and reads no request body. `request_body`, `breakpoints`
and `facts` do that. Field names of the API are written in these four files and nowhere else.
Source: https://platform.claude.com/docs/en/build-with-claude/prompt-caching and .../api/messages (checked 2026-11-23).
"""

import re
from collections.abc import Sequence

import msgspec
from msgspec import DecodeError

Path = tuple[str | int, ...]

MESSAGES_PATH = "/v1/messages"
COUNT_TOKENS_PATH = "/v1/messages/count_tokens"
BATCHES_PATH = "/v1/messages/batches"

MAX_BODY_BYTES = 32 * 1024 * 1024
"""The API's own limit for messages and count_tokens. The API answers a larger body with 413."""

EXTENDED_TTL_BETA = "extended-cache-ttl-2025-04-11"
"""
Not needed since the 1-hour TTL is generally available, but the vendor's own client sends it with its 1-hour bodies.
"""

CONTROL = "cache_control"
TTL = "ttl"
ONE_HOUR = "1h"
FIVE_MINUTES = "5m"


def order_errors(lifetimes: Sequence[tuple[Path, str | None]]) -> list[str]:
    """
    The API's own error for each 1-hour breakpoint that follows a 5-minute one; empty for a legal order.
    """
    errors = []
    shorter = False
    for path, lifetime in lifetimes:
        if lifetime == FIVE_MINUTES:
            shorter = True
        elif lifetime == ONE_HOUR and shorter:
            place = dotted((*path, CONTROL, TTL))
            errors.append(
                f"{place}: a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block. Note that "
                "blocks are processed in the following order: `tools`, `system`, `messages`."
            )
    return errors


def dotted(path: Path) -> str:
    """
    A path as people and the API write it: `messages.0.content.1`; the request itself is `(request)`.
    """
    return ".".join(str(step) for step in path) or "(request)"


def with_beta(value: str | None) -> str:
    """
    An `anthropic-beta` value that also names the extended cache TTL; the same value if it already does.
    """
    if not value or not value.strip():
        return EXTENDED_TTL_BETA
    if EXTENDED_TTL_BETA in (one.strip() for one in value.split(",")):
        return value
    return f"{value},{EXTENDED_TTL_BETA}"


def error_body(api_type: str, message: str, request_id: str) -> bytes:
    """
    The API's error format, which savemode uses for its own errors too.
    """
    return msgspec.json.encode(
        {"type": "error", "error": {"type": api_type, "message": message}, "request_id": request_id}
    )


def blames_cache_control(answer: bytes) -> bool:
    """
    Whether an error of the upstream names a TTL or `cache_control`.
    """
    try:
        read = msgspec.json.decode(answer)
        text = read["error"]["message"]
    except (DecodeError, UnicodeDecodeError, RecursionError, TypeError, KeyError):
        text = answer.decode("utf-8", "replace")
    return isinstance(text, str) and (CONTROL in text or re.search(r"\bttl\b", text) is not None)
