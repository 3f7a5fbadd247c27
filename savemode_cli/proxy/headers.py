"""
The headers of a message on its way: which go on to the other side, and which are of our own making.

Rule of this file: names and values pass in their order and as they were spelled; what is dropped or added is listed here.
"""

from savemode_cli.core.messages import with_beta

RawHeaders = list[tuple[bytes, bytes]]

TOKEN_HEADER = b"x-savemode-token"  # for our own door, and for nobody behind it
_HOP_BY_HOP = frozenset(
    {
        TOKEN_HEADER,
        b"connection",
        b"expect",  # answered by our own server before the body was read
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
BUDGET_PREFIX = b"x-posthog-budget"  # ours to say; an upstream that is itself a gateway speaks of a budget of its own


def forwardable(headers: RawHeaders) -> RawHeaders:
    """
    The headers without those that are about this one connection.
    """
    dropped = _HOP_BY_HOP
    listed = b",".join(value for name, value in headers if name.lower() == b"connection")
    if listed and listed.lower() not in (b"keep-alive", b"close"):
        dropped = dropped | {one.strip().lower() for one in listed.split(b",")}
    return [(name, value) for name, value in headers if name.lower() not in dropped]


def with_beta_named(headers: RawHeaders) -> RawHeaders:
    """
    The headers with the extended-TTL beta named once: appended to the last such header, as the vendor's client does.
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
    Those of an answer that no upstream gave.
    """
    return [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"request-id", request_id.encode()),
    ]


def header_value(headers: RawHeaders, wanted: bytes) -> bytes:
    """
    The value of a header, the first if there are several; empty if there is none.
    """
    return next((value for name, value in headers if name.lower() == wanted), b"")
