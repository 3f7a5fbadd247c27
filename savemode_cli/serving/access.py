"""
The access policy: which requests a server answers, and how it rejects the others.

Rule of this file: the policy reads only the head of a request and decides before any byte of the body is read. A rejected
request is not recorded. Every server of savemode has a policy, including the simulated upstream: see `Server`.

The rules protect against two attacks from a browser on this machine:

* DNS rebinding: a web page reaches loopback under a name of its own. The policy checks `Host`.
* Cross-site requests: a web page sends a request to any address. The policy checks `Origin`
  (https://fetch.spec.whatwg.org/#origin-header) and `Sec-Fetch-Site` (https://www.w3.org/TR/fetch-metadata/).
"""

import asyncio
import hmac
import ipaddress
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from savemode_cli.core.remembered import remembered
from savemode_cli.core.wire.access_tokens import NO_TOKENS, TOKEN_HEADER, AccessTokens
from savemode_cli.core.wire.messages import error_body
from savemode_cli.serving.headers import RawHeaders, own_headers

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
MAX_HEAD_BYTES = 128 * 1024  # more than the API itself accepts; the limit bounds the memory of this process
_WHERE = frozenset({b"host", b"origin", b"sec-fetch-site"})
"""The headers that say where a request was sent to, and from."""

_OWN_SITE = frozenset({"none", "same-origin"})

_DRAIN_S = 5.0
_DRAIN_BYTES = 64 * 1024 * 1024
"""
How long, in seconds, and how many bytes of a rejected request's body the server receives and discards, so that the client
can read the answer. If a server closes a connection with unread data, TCP resets it and the answer is lost (RFC 9112,
section 9.6).
"""

_AUTHORITY = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^\[\]:@/?#\\%\s]+))(?::[0-9]{0,5})?", re.ASCII)
"""`name:port` or `[IPv6 address]:port`; the port is optional (RFC 9110, section 7.2). IPv6 zones are not accepted."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """
    The answer to a rejected request, in the API's error format. The server closes the connection after it.
    """

    status: int
    headers: RawHeaders
    body: bytes


class AccessPolicy:
    """
    Decides from a request's headers whether the server answers the request.
    """

    def __init__(
        self,
        hosts: frozenset[str] = frozenset(),
        *,
        any_address: bool = False,
        token: str | None = None,
        tokens: AccessTokens = NO_TOKENS,
    ) -> None:
        """
        Args:
            hosts: names that `Host` and `Origin` may contain in addition to the names of loopback, in lower case.
            any_address: whether `Host` and `Origin` may contain any IP address. This is safe against DNS rebinding: a web
                page can use a name of its own, but it cannot use an address that is not its own.
            token: the shared token that each request must send in `x-savemode-token`. None: there is no shared token.
            tokens: the personal tokens; each of them is accepted in place of the shared token. With `any_address`, each
                request must send a token. Without it, a token is optional, but a wrong token is rejected.
        """
        self._hosts = LOOPBACK_NAMES | hosts
        self._any_address = any_address
        self._token = None if token is None else token.encode()
        self._tokens = tokens
        self._is_allowed_authority = remembered(self._reads_as_allowed)
        self._needs_token = token is not None or (bool(tokens) and any_address)

    def rejection(self, headers: RawHeaders) -> Rejection | None:
        """
        Args:
            headers: the headers of a request, with names in lower case.

        Returns:
            The answer that rejects the request; None if the policy admits it.
        """
        if sum([len(name) + len(value) for name, value in headers]) > MAX_HEAD_BYTES:
            return rejected("the headers are larger than the API takes", 431, "invalid_request_error")
        where = [header for header in headers if header[0] in _WHERE]
        if not self._has_allowed_host(where):
            return rejected(
                "unexpected Host header; use the address that savemode printed (or serve --allow-host NAME)"
            )
        if len(where) > 1 and self._is_cross_site(where):  # one of them is the host
            return rejected("requests from web pages are refused")
        if not self._has_valid_token(headers):
            why = f"an access token is needed: send it as {TOKEN_HEADER.decode()}"
            return rejected(why, 401, "authentication_error")
        return None

    def _has_allowed_host(self, headers: RawHeaders) -> bool:
        hosts = _values(headers, b"host")
        return len(hosts) == 1 and self._is_allowed_authority(hosts[0])

    def _is_cross_site(self, headers: RawHeaders) -> bool:
        """
        Whether a page of another site sent the request. Browsers send each of these headers at most once, so a request
        with two `Origin` or two `Sec-Fetch-Site` headers counts as cross-site.
        """
        origins, sites = _values(headers, b"origin"), _values(headers, b"sec-fetch-site")
        if len(origins) > 1 or len(sites) > 1:
            return True
        return not all(self._is_allowed_origin(origin) for origin in origins) or not _OWN_SITE.issuperset(sites)

    def _has_valid_token(self, headers: RawHeaders) -> bool:
        """
        Whether the request shows a valid token, or needs none.
        """
        if not self._needs_token and not self._tokens:
            return True
        shown = [value for name, value in headers if name == TOKEN_HEADER]
        if not shown:
            return not self._needs_token
        is_shared_token = self._token is not None and len(shown) == 1 and hmac.compare_digest(shown[0], self._token)
        return is_shared_token or self._tokens.whose(headers) is not None

    def _is_allowed_origin(self, origin: str) -> bool:
        scheme, _, authority = origin.partition("://")
        return scheme in ("http", "https") and self._is_allowed_authority(authority)

    def _reads_as_allowed(self, authority: str) -> bool:
        parts = _AUTHORITY.fullmatch(authority.lower())
        if parts is None:
            return False
        name = parts[1] or parts[2]
        return name in self._hosts or (self._any_address and _is_address(name))


def rejected(why: str, status: int = 403, api_type: str = "permission_error") -> Rejection:
    """
    The answer that rejects a request.

    Args:
        why: the message of the error.
        status: the HTTP status.
        api_type: the type of the error in the API's error format.
    """
    request_id = f"req_sm_{uuid4().hex[:20]}"
    body = error_body(api_type, why, request_id)
    return Rejection(status, [*own_headers(body, request_id), (b"connection", b"close")], body)


class AccessControlledApplication:
    """
    An ASGI application that only gets the requests that an access policy admits.
    """

    def __init__(self, application: Any, policy: AccessPolicy) -> None:
        """
        Args:
            application: serves the requests that the policy admits.
            policy: decides which requests these are.
        """
        self.application = application
        self._policy = policy

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """
        Serve one request, or reject it.
        """
        rejection = self._policy.rejection(scope["headers"]) if scope["type"] == "http" else None
        if rejection is None:
            await self.application(scope, receive, send)
        else:
            await _reject(rejection, scope["headers"], receive, send)


async def _reject(rejection: Rejection, headers: RawHeaders, receive: Any, send: Any) -> None:
    start = {"type": "http.response.start", "status": rejection.status, "headers": rejection.headers}
    await send(start)
    await send({"type": "http.response.body", "body": rejection.body, "more_body": True})
    # A client that sent `Expect: 100-continue` waits for the answer and sends no body.
    if not _values(headers, b"expect"):
        # If the server stops, this task is cancelled, and the answer ends here.
        with suppress(TimeoutError, asyncio.CancelledError):
            async with asyncio.timeout(_DRAIN_S):
                await _drain(receive)
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _drain(receive: Any) -> None:
    """
    Receive and discard the rest of a request.
    """
    remaining = _DRAIN_BYTES
    more = True
    while more and remaining > 0:
        message = await receive()
        remaining -= len(message.get("body", b""))
        more = message.get("more_body", False)


def _values(headers: RawHeaders, wanted: bytes) -> list[str]:
    return [value.decode("latin-1") for name, value in headers if name == wanted]


def _is_address(name: str) -> bool:
    """
    Whether this is an IP address, and not a name.
    """
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """
    Whether a listening address can be reached only from this machine.
    """
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)
