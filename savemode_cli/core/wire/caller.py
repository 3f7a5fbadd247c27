"""
Who sends a request: read from its headers. Its conversation is also read from the facts of its body.

Rule of this file: a header decides only what it exists for. A credential leaves this file only as a fingerprint.
"""

import hashlib
import json
import re
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Literal

from msgspec import Struct, field
from msgspec.structs import replace

from savemode_cli.core.errors import BadHeader
from savemode_cli.core.remembered import remembered
from savemode_cli.core.wire.access_tokens import NO_TOKENS, AccessTokens
from savemode_cli.core.wire.facts import Facts
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
_SESSION_IN_USER_ID = re.compile(r"_session_([0-9a-fA-F-]{36})$")
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


def trace_id(caller: Caller, user_id: object, fresh: Callable[[], str]) -> str:
    """
    The trace of a request: from `traceparent`, else from `metadata.user_id`, else `fresh`, which makes a UUID4.

    A `user_id` that is a UUID is used as it is. Any other gives a UUID5 that is the same each time; if it is an object,
    the order of its keys does not matter.
    """
    if caller.trace_id is not None:
        return caller.trace_id
    if user_id is None or user_id in ("", {}):
        return fresh()
    return _trace_of_text(user_id) if isinstance(user_id, str) else _trace_of_words(_stable(user_id))


@remembered
def _trace_of_text(user_id: str) -> str:
    with suppress(ValueError):
        return str(uuid.UUID(user_id))
    return _trace_of_words(_stable(user_id))


def _trace_of_words(words: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, words))


def session_key(caller: Caller, known: Facts) -> str:
    """
    The conversation to which a request belongs, as a short opaque key. A sub-agent has a key of its own.

    The key comes from a header that names a conversation; else from the session inside `metadata.user_id`; else it is a
    hash. The hash includes the beginning of the conversation (model, system, tools, first user message) and everything
    that identifies its owner: the credential, the person, PostHog's session, and the whole `metadata.user_id`. It does
    not include the trace, because a conversation may have a new one for each turn.
    """
    session = named_session(caller, known)
    if session is not None:
        return named_session_key(caller.product, caller.agent_id or "", session)
    parts = [caller.product, caller.agent_id or "", caller.key_fingerprint, known.model or ""]
    parts.append(hashlib.sha256(b"\0".join(known.opening)).hexdigest())
    whose = (caller.distinct_id, caller.posthog_session_id, _stable(known.user_id))
    parts += [f"{number} {text}" for number, text in enumerate(whose) if text]
    return _session_key(parts)


def session_and_conversation(caller: Caller, known: Facts) -> tuple[str, str]:
    """
    Both keys of a request: see `session_key` and `conversation_key`.
    """
    named = named_session(caller, known)
    if named is not None:
        return named_session_key(caller.product, caller.agent_id or "", named), named
    key = session_key(caller, known)
    return key, (key if caller.agent_id is None else conversation_key(caller, known))


def named_session_key(product: str, agent: str, session: str) -> str:
    """
    The key of a conversation whose client names it.

    Args:
        product: the product of its requests.
        agent: the ID of the sub-agent, "" for the main conversation.
        session: the ID that the client gives the session.
    """
    return _session_key((product, agent, session))


def _session_key(parts: Iterable[str]) -> str:
    return _hashed("\0".join(parts))


@remembered
def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def named_session(caller: Caller, known: Facts) -> str | None:
    """
    The session that a request names, in a header or in `metadata.user_id`; None if it names none.
    """
    return caller.session_id or _session_in(known.user_id)


def conversation_key(caller: Caller, known: Facts | None) -> str:
    """
    The conversation to which a request belongs. For a sub-agent this is the conversation for which it works. It is the
    client's name, or else a short opaque key.

    Args:
        caller: who sends the request.
        known: what is known about the body; None if nobody read it. Without a header that names the conversation, the
            result is then empty.
    """
    if known is None:
        return caller.session_id or ""
    return named_session(caller, known) or session_key(replace(caller, agent_id=None), known)


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


def _stable(user_id: object) -> str:
    """
    The same text for the same `metadata.user_id`, whatever the order of its keys; empty if there is none.
    """
    if user_id is None or user_id in ("", {}):
        return ""
    if isinstance(user_id, str):
        return _sorted_json(user_id)
    return json.dumps(user_id, sort_keys=True, separators=(",", ":"))


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


@remembered
def _sorted_json(text: str) -> str:
    """
    The text itself. If it is a JSON object, the same object with sorted keys.
    """
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return json.dumps(read, sort_keys=True, separators=(",", ":")) if isinstance(read, dict) else text


def _session_in(user_id: object) -> str | None:
    if isinstance(user_id, str):
        return _session_in_text(user_id)
    session = user_id.get("session_id") if isinstance(user_id, dict) else None
    return session if isinstance(session, str) and session else None


@remembered
def _session_in_text(user_id: str) -> str | None:
    match = _SESSION_IN_USER_ID.search(user_id)
    if match is not None:
        return match[1]
    try:
        read = json.loads(user_id)
    except (ValueError, RecursionError):
        return None
    return None if isinstance(read, str) else _session_in(read)


def without_posthog_headers(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """
    The headers without savemode's own, which are not for the upstream.
    """
    return [(name, value) for name, value in headers if not name.startswith(POSTHOG_PREFIX)]
