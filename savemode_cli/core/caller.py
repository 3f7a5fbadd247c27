"""
Who calls: read from the path and the headers of a request, and from nothing else.

Rule of this file: no header is trusted with more than it is for, and no credential leaves it except as a fingerprint.
"""

import hashlib
import json
import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from savemode_cli.core.errors import BadHeader
from savemode_cli.core.messages import BATCHES_PATH, COUNT_TOKENS_PATH, MESSAGES_PATH, Facts

Headers = Sequence[tuple[bytes, bytes]]
"""Names in lower case, in the order they came; a name may repeat."""

Kind = Literal["messages", "count_tokens", "batches", "other"]
Provider = Literal["anthropic", "bedrock"]
PROVIDERS: tuple[Provider, ...] = ("anthropic", "bedrock")

POSTHOG_PREFIX = b"x-posthog-"
_FLAG = b"x-posthog-flag-"
_PROPERTY = b"x-posthog-property-"
_PROPERTIES = b"x-posthog-properties"
_PROVIDER = b"x-posthog-provider"
_FALLBACK = b"x-posthog-use-bedrock-fallback"
_DISTINCT_ID = b"x-posthog-distinct-id"
_OVERRIDE = b"x-posthog-budget-override"
_TRACEPARENT = b"traceparent"
_SESSION = b"x-claude-code-session-id"
_AGENT = b"x-claude-code-agent-id"
_API_KEY = b"x-api-key"
_AUTHORIZATION = b"authorization"

_TRACE = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?", re.IGNORECASE)
_SESSION_IN_USER_ID = re.compile(r"_session_([0-9a-fA-F-]{36})$")
_PRODUCT_PATH = re.compile(r"/([^/]+)(/v1/.*)")
_COUNTED = (MESSAGES_PATH, BATCHES_PATH)
_DECODINGS = 3  # each server on the way to the model may decode once
_ESCAPE = re.compile(r"%([0-9a-fA-F]{2})")
_NO_TEXT = re.compile(r"[\x00-\x20\x7f]")
_MOST_SHOWN = 64  # characters of somebody else's text in an error
_OAUTH_TOKEN = re.compile(r"bearer\s+sk-ant-oat", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Products:
    """
    The known products, whether each is idle-prone (a person sits at the other end and pauses), and other names.
    """

    idle_prone: Mapping[str, bool]
    aliases: Mapping[str, str]
    default: str

    def resolve(self, name: str) -> str | None:
        """
        The product a path segment names, or None if it names none.
        """
        name = self.aliases.get(name, name)
        return name if name in self.idle_prone else None


KNOWN_PRODUCTS: Mapping[str, bool] = {
    "background_agents": False,
    "django": False,
    "growth": False,
    "llm_gateway": False,
    "posthog_code": True,
    "product_analytics": False,
    "signals": False,
    "slack-posthog-code": False,
    "slack_app": True,
    "wizard": False,
}
ALIASES: Mapping[str, str] = {"array": "posthog_code", "twig": "posthog_code", "slack-twig": "slack-posthog-code"}
PRODUCTS = Products(KNOWN_PRODUCTS, ALIASES, default="llm_gateway")


@dataclass(frozen=True, slots=True)
class Route:
    """
    What a request's path asks for: `path` is the one to forward, without the product.
    """

    product: str
    path: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Caller:
    """
    Everything the path and headers say about who calls.

    `trace_id` is None unless a valid `traceparent` gave one. `key_fingerprint` identifies the credential without
    holding it. `oauth` is true for a subscription's bearer token.
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
    session_id: str | None = None
    agent_id: str | None = None
    key_fingerprint: str = ""
    oauth: bool = False


def read_route(path: str, products: Products = PRODUCTS) -> Route:
    """
    Read a request's path; `/v1/messages` is the default product's, `/{product}/v1/messages` that product's.

    Raises:
        BadHeader: `/{product}/v1/messages`, or its batches, names no known product.
    """
    product = products.default
    match = _PRODUCT_PATH.fullmatch(path)
    if match is not None:
        known = products.resolve(match[1])
        if known is not None:
            product, path = known, match[2]
        elif match[2] in _COUNTED:
            names = ", ".join(sorted({*products.idle_prone, *products.aliases}))
            raise BadHeader(f"unknown product {match[1][:_MOST_SHOWN]!r} in the path", hint=f"known products: {names}")
    return Route(product, path, _kind(path))


def check_spelling(route: Route, target: str) -> None:
    """
    Refuse to send a POST to a `target` (the route's path below the upstream's) which a server behind us may take for one
    that costs money, and which is not spelled as one.

    What is counted must not depend on how the server behind us reads a path, so there is one spelling, and the others go
    nowhere: `//v1/messages`, `/v1/./messages/`, `/v1/%6dessages`, `/V1/messages;x`.

    Raises:
        BadHeader: it is such a path.
    """
    if route.path in _COUNTED:
        return
    meant = next((one for one in _COUNTED if _loosely(target).endswith(one)), None)
    if meant is not None:
        raise BadHeader(
            f"the path may be taken for {meant}, and is not spelled like it: it would be neither counted nor capped",
            hint=f"send it to {meant}, or to /PRODUCT{meant}",
        )


def read_caller(headers: Headers, product: str, products: Products = PRODUCTS) -> Caller:
    """
    Read the headers of a request for `product`.

    Raises:
        BadHeader: a header of ours has a value that is not one of the allowed ones.
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
            known[name] = _text(value)
    authorization = known.get(_AUTHORIZATION, "")
    return Caller(
        product=product,
        idle_prone=products.idle_prone.get(product, False),
        provider=_provider(known.get(_PROVIDER)),
        bedrock_fallback=_boolean(_FALLBACK, known.get(_FALLBACK)),
        flags=flags,
        properties={**bulk, **properties},
        override=known.get(_OVERRIDE, "").strip().lower() == "true",
        distinct_id=known.get(_DISTINCT_ID, "").strip() or None,
        trace_id=_trace_id(known.get(_TRACEPARENT, "")),
        session_id=known.get(_SESSION, "").strip() or None,
        agent_id=known.get(_AGENT, "").strip() or None,
        key_fingerprint=_fingerprint(known.get(_API_KEY) or authorization),
        oauth=_OAUTH_TOKEN.match(authorization) is not None,
    )


def trace_id(caller: Caller, user_id: object, fresh: str) -> str:
    """
    The trace of a request: from `traceparent`, else from `metadata.user_id`, else `fresh` (a UUID4 made by the caller).

    A `user_id` that is a UUID stays; any other gives the same UUID5 each time, an object whatever the order of its keys.
    """
    if caller.trace_id is not None:
        return caller.trace_id
    if user_id is None or user_id in ("", {}):
        return fresh
    if isinstance(user_id, str):
        try:
            return str(uuid.UUID(user_id))
        except ValueError:
            stable = _sorted_json(user_id)
    else:
        stable = json.dumps(user_id, sort_keys=True, separators=(",", ":"))
    return str(uuid.uuid5(uuid.NAMESPACE_URL, stable))


def session_key(caller: Caller, known: Facts) -> str:
    """
    Which conversation a request belongs to, as a short opaque key; a sub-agent's is its own.

    From Claude Code's header, else the session inside `metadata.user_id`, else a hash of credential, model, system,
    tools and first user message.
    """
    session = caller.session_id or _session_in(known.user_id)
    parts = [caller.product, caller.agent_id or ""]
    if session is not None:
        parts.append(session)
    else:
        parts += [caller.key_fingerprint, known.model or "", hashlib.sha256(b"\0".join(known.opening)).hexdigest()]
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]


_READ = frozenset(
    {_PROVIDER, _FALLBACK, _DISTINCT_ID, _OVERRIDE, _TRACEPARENT, _SESSION, _AGENT, _API_KEY, _AUTHORIZATION}
)


def _kind(path: str) -> Kind:
    if path == MESSAGES_PATH:
        return "messages"
    if path == COUNT_TOKENS_PATH:
        return "count_tokens"
    if path == BATCHES_PATH or path.startswith(f"{BATCHES_PATH}/"):
        return "batches"
    return "other"


def _loosely(path: str) -> str:
    """
    A path as the most lenient of servers reads it.
    """
    for _ in range(_DECODINGS):
        path = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), path)
    path = _NO_TEXT.sub("", path).replace("\\", "/").casefold()
    segments: list[str] = []
    for segment in re.split(r"[?#]", path)[0].split("/"):
        name = segment.partition(";")[0]  # the rest are parameters to some
        if name == "..":
            segments[-1:] = []
        elif name not in ("", "."):
            segments.append(name)
    return "/" + "/".join(segments)


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


def _fingerprint(credential: str | None) -> str:
    return hashlib.sha256(credential.encode()).hexdigest()[:16] if credential else ""


def _sorted_json(text: str) -> str:
    """
    The text itself, or if it is a JSON object the same object with its keys in order.
    """
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return json.dumps(read, sort_keys=True, separators=(",", ":")) if isinstance(read, dict) else text


def _session_in(user_id: object) -> str | None:
    if isinstance(user_id, str):
        match = _SESSION_IN_USER_ID.search(user_id)
        if match is not None:
            return match[1]
        try:
            user_id = json.loads(user_id)
        except (ValueError, RecursionError):
            return None
    session = user_id.get("session_id") if isinstance(user_id, dict) else None
    return session if isinstance(session, str) and session else None


def without_posthog_headers(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """
    The headers without ours, which are for us and not for the upstream.
    """
    return [(name, value) for name, value in headers if not name.startswith(POSTHOG_PREFIX)]
