"""
HTTP headers: which headers of a message are forwarded, and which headers savemode adds.

Rule of this file: the headers that are forwarded keep their order and spelling; this file lists every header that is
removed or added.
"""

from savemode_cli.core.wire.access_tokens import TOKEN_HEADER
from savemode_cli.core.wire.messages import with_beta

RawHeaders = list[tuple[bytes, bytes]]

_HOP_BY_HOP = frozenset(
    {
        TOKEN_HEADER,
        b"connection",
        b"expect",  # this server answers it before it reads the body
        b"host",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
_BETA = b"anthropic-beta"
BUDGET_PREFIX = (
    b"x-posthog-budget"  # set by this proxy only: an upstream that is a gateway too sends headers about its own budget
)


def forwardable(headers: RawHeaders) -> RawHeaders:
    """
    The headers without the hop-by-hop headers, which concern one connection only (RFC 9110, section 7.6.1).
    """
    dropped = _HOP_BY_HOP
    listed = b",".join(value for name, value in headers if name.lower() == b"connection")
    if listed and listed.lower() not in (b"keep-alive", b"close"):
        dropped = dropped | {name.strip().lower() for name in listed.split(b",")}
    return [(name, value) for name, value in headers if name.lower() not in dropped]


def with_beta_named(headers: RawHeaders) -> RawHeaders:
    """
    The headers with the extended-TTL beta in `anthropic-beta`. If no such header names it, it is appended to the last
    one, as the vendor's client does.
    """
    values = [value.decode("latin-1") for name, value in headers if name == _BETA]
    if any(with_beta(value) == value for value in values):
        return headers
    if not values:
        return [*headers, (_BETA, with_beta(None).encode())]
    last = max(index for index, (name, _) in enumerate(headers) if name == _BETA)
    changed = (_BETA, with_beta(values[-1]).encode("latin-1"))
    return [*headers[:last], changed, *headers[last + 1 :]]


def own_headers(body: bytes, request_id: str) -> RawHeaders:
    """
    The headers of an answer that savemode makes itself.
    """
    return [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"request-id", request_id.encode()),
    ]


def header_value(headers: RawHeaders, wanted: bytes) -> bytes:
    """
    The value of the first header with this name; empty if there is none.

    Args:
        headers: names in any spelling.
        wanted: the name, in lower case.
    """
    for name, value in headers:
        if name.lower() == wanted:
            return value
    return b""
