"""
Who sends a request: read from its headers.

Rule of this file: a header decides only what it exists for. A credential leaves this file only as a fingerprint.
"""

import hashlib
import json
import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from msgspec import Struct, field

from savemode_cli.core.errors import BadHeader
from savemode_cli.core.wire.access_tokens import NO_TOKENS, AccessTokens
from savemode_cli.core.wire.products import PRODUCTS, Products

Headers = Sequence[tuple[bytes, bytes]]
"""The headers in their order, with lower-case names. A name may occur more than once."""

Provider = Literal["anthropic", "bedrock"]
PROVIDERS: tuple[Provider, ...] = ("anthropic", "bedrock")

POSTHOG_PREFIX = b"x-posthog-"
_FLAG = b"x-posthog-flag-"
_PROPERTY = b"x-posthog-property-"
_PROPERTIES = b"x-posthog-properties"
_PROVIDER = b"x-posthog-provider"
_FALLBACK = b"x-posthog-use-bedrock-fallback"
_DISTINCT_ID = b"x-posthog-distinct-id"
_POSTHOG_USER = b"x-posthog-user"
_POSTHOG_SESSION = b"x-posthog-session-id"
_POSTHOG_TRACE = b"x-posthog-trace-id"
_POSTHOG_PRODUCT = b"x-posthog-product"
OVERRIDE_HEADER = b"x-posthog-budget-override"
_TRACEPARENT = b"traceparent"
_SESSIONS = (
    b"x-claude-code-session-id",
    b"x-session-id",  # opencode, Kilo Code
    b"x-session-affinity",  # opencode, Kilo Code, pi
    b"x-litellm-session-id",
)
"""
The headers in which clients name a conversation, the most precise first. Each was observed in the requests of the
client in the comment; that of LiteLLM is documented for its proxy.
"""
_AGENT = b"x-claude-code-agent-id"
_PARENT_AGENT = b"x-claude-code-parent-agent-id"
_API_KEY = b"x-api-key"
_AUTHORIZATION = b"authorization"

_TRACE = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?", re.IGNORECASE)
_LONGEST_ID = 200  # characters of a trace or session that the caller names
_OAUTH_TOKEN = re.compile(r"\s*bearer\s+sk-ant-oat", re.IGNORECASE)
_CREDENTIALS = frozenset({_API_KEY, _AUTHORIZATION})
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9-]*)\s+(.*)", re.DOTALL)


class Caller(Struct, frozen=True, gc=False):
    """
    Everything that the path and the headers say about the caller.
    """

    product: str
    idle_prone: bool
    provider: Provider = "anthropic"
    bedrock_fallback: bool | None = None
    flags: Mapping[str, str] = field(default_factory=dict)
    properties: Mapping[str, object] = field(default_factory=dict)
    override: bool = False
    distinct_id: str | None = None
    trace_id: str | None = None
    """From `x-posthog-trace-id` or a valid `traceparent`; None without them."""
    session_id: str | None = None
    """The ID of one conversation."""
    posthog_session_id: str | None = None
    """The session of PostHog's own libraries: a visit of a person, which may contain many conversations."""
    agent_id: str | None = None
    """The sub-agent that sends the request; None for the main conversation."""
    parent_agent_id: str | None = None
    """The sub-agent that started it; None if the main conversation did."""
    key_fingerprints: tuple[str, ...] = ()
    """
    Identify the credentials of the request without containing them: one for each different key, that of `x-api-key`
    first.
    """
    oauth: bool = False
    """Whether the request has the bearer token of a subscription."""
    person: str | None = None
    """
    The person whose access token the request shows; empty if it shows none; None if nobody has a token, so that none is
    expected.
    """

    @property
    def key_fingerprint(self) -> str:
        """
        The fingerprint of the first credential; empty without one.
        """
        return self.key_fingerprints[0] if self.key_fingerprints else ""


UNKNOWN_CALLER = Caller(product="", idle_prone=False)
"""The caller of a request whose headers were not read."""


def read_caller(
    headers: Headers, product: str, products: Products = PRODUCTS, tokens: AccessTokens = NO_TOKENS
) -> Caller:
    """
    Read the headers of a request.

    `x-posthog-product` names the product if the path names none. An unknown product name is ignored, because other
    gateways accept any name.

    Args:
        headers: all headers.
        product: the product of the path.
        products: the known products.
        tokens: the access tokens of persons.

    Raises:
        BadHeader: one of savemode's own headers has a value that is not allowed.
    """
    flags: dict[str, str] = {}
    properties: dict[str, object] = {}
    bulk: dict[str, object] = {}
    known: dict[bytes, str] = {}
    for name, value in headers:
        if name.startswith(_FLAG):
            flags[_text(name[len(_FLAG) :]).lower()] = _text(value)
        elif name.startswith(_PROPERTY):
            properties[_text(name[len(_PROPERTY) :]).lower()] = _text(value)
        elif name == _PROPERTIES:
            bulk.update(_json_object(value))
        elif name in _READ:
            text = _text(value)
            if name in _CREDENTIALS and known.get(name, text) != text:
                raise BadHeader(f"several different {name.decode()} headers", hint="send one")
            known[name] = text
    authorization = known.get(_AUTHORIZATION, "")
    if product == products.default:
        product = products.resolve(known.get(_POSTHOG_PRODUCT, "").strip()) or product
    return Caller(
        product=product,
        idle_prone=products.idle_prone.get(product, False),
        provider=_provider(known.get(_PROVIDER)),
        bedrock_fallback=_boolean(_FALLBACK, known.get(_FALLBACK)),
        flags=flags,
        properties={**bulk, **properties},
        override=known.get(OVERRIDE_HEADER, "").strip().lower() == "true",
        distinct_id=_first(known, _DISTINCT_ID, _POSTHOG_USER),
        trace_id=_named(known, _POSTHOG_TRACE) or _trace_id(known.get(_TRACEPARENT, "")),
        session_id=_first(known, *_SESSIONS),
        posthog_session_id=_named(known, _POSTHOG_SESSION),
        agent_id=known.get(_AGENT, "").strip() or None,
        parent_agent_id=known.get(_PARENT_AGENT, "").strip() or None,
        key_fingerprints=_fingerprints(known.get(_API_KEY, ""), authorization),
        oauth=_OAUTH_TOKEN.match(authorization) is not None,
        person=(tokens.whose(headers) or "") if tokens else None,
    )


_READ = frozenset(
    {
        _PROVIDER,
        _FALLBACK,
        _DISTINCT_ID,
        _POSTHOG_USER,
        _POSTHOG_SESSION,
        _POSTHOG_TRACE,
        _POSTHOG_PRODUCT,
        OVERRIDE_HEADER,
        _TRACEPARENT,
        *_SESSIONS,
        _AGENT,
        _PARENT_AGENT,
        _API_KEY,
        _AUTHORIZATION,
    }
)


def _first(known: Mapping[bytes, str], *names: bytes) -> str | None:
    """
    The first of these headers that has a value.
    """
    return next((text for name in names if (text := known.get(name, "").strip())), None)


def _named(known: Mapping[bytes, str], name: bytes) -> str | None:
    """
    An ID that the caller chose, as it is displayed: of limited length.
    """
    return (_first(known, name) or "")[:_LONGEST_ID] or None


def _text(value: bytes) -> str:
    return value.decode("latin-1")


def _json_object(value: bytes) -> dict[str, object]:
    try:
        read = json.loads(value)
    except (ValueError, RecursionError):
        read = None
    if not isinstance(read, dict):
        raise BadHeader(f"{_PROPERTIES.decode()} is not a JSON object", hint='send one like {"save_mode": "balanced"}')
    return {key.lower(): inner for key, inner in read.items()}


def _provider(value: str | None) -> Provider:
    if value is None:
        return "anthropic"
    for provider in PROVIDERS:
        if value.strip().lower() == provider:
            return provider
    raise BadHeader(f"unknown provider in {_PROVIDER.decode()}", hint=f"allowed: {', '.join(PROVIDERS)}")


def _boolean(name: bytes, value: str | None) -> bool | None:
    if value is None:
        return None
    match value.strip().lower():
        case "true":
            return True
        case "false":
            return False
        case _:
            raise BadHeader(f"{name.decode()} is neither true nor false", hint="allowed: true, false")


def _trace_id(value: str) -> str | None:
    match = _TRACE.fullmatch(value.strip())
    if match is None or int(match[1], 16) == 0:
        return None
    return str(uuid.UUID(match[1]))


def _fingerprints(api_key: str, authorization: str) -> tuple[str, ...]:
    """
    One fingerprint for each different credential of a request.

    The same key in another header is the same payer: Claude Code sends an API key as `x-api-key`, the newest SDKs send
    it as `Authorization: Bearer`, and a key helper sends both. Two different keys are two payers, because savemode does
    not know which of them the upstream bills.
    """
    credentials = filter(None, (api_key.strip(), _token(authorization.strip())))
    return tuple(dict.fromkeys(map(_fingerprint, credentials)))


def _token(authorization: str) -> str:
    """
    The bearer token of an `Authorization` header, else the whole value. The scheme is case-insensitive, and any amount
    of white space separates it from the token (RFC 9110, section 11.4).
    """
    match = _SCHEME.fullmatch(authorization)
    if match is None:
        return "" if authorization.lower() == "bearer" else authorization
    scheme = match[1].lower()
    return match[2] if scheme == "bearer" else f"{scheme} {match[2]}"


def _fingerprint(credential: str) -> str:
    return hashlib.sha256(credential.encode()).hexdigest()[:16]


def without_posthog_headers(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """
    The headers without savemode's own, which are not for the upstream.
    """
    return [(name, value) for name, value in headers if not name.startswith(POSTHOG_PREFIX)]
