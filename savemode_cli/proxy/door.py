"""
Who may come in.

Rule of this file: it looks at a request's head and nothing else, before anything is read, judged or forwarded; what it
refuses leaves no record but the answer.

Sources of the rules: DNS rebinding reaches loopback under a foreign name (Host); a web page can post to any address
(Origin, https://fetch.spec.whatwg.org/#origin-header, and Sec-Fetch-Site, https://www.w3.org/TR/fetch-metadata/).
"""

import hmac
import ipaddress
from dataclasses import dataclass
from uuid import uuid4

from savemode_cli.core.messages import error_body
from savemode_cli.proxy.headers import TOKEN_HEADER, RawHeaders, own_headers

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
MAX_HEAD_BYTES = 128 * 1024  # what the API's own front door takes is less; this bounds our memory
_OWN_SITE = frozenset({b"none", b"same-origin"})


@dataclass(frozen=True, slots=True)
class Shut:
    """
    What somebody is told who does not come in, in the API's envelope; the connection ends with it.
    """

    status: int
    headers: RawHeaders
    body: bytes


class Door:
    """
    `hosts` are the names under which we may be addressed, besides loopback and, if `any_address`, every IP address: a web
    page can make a browser come here, but not under these names. With a `token` whoever comes must show it, from
    wherever.
    """

    def __init__(
        self, hosts: frozenset[str] = frozenset(), *, any_address: bool = False, token: str | None = None
    ) -> None:
        """
        Nothing is opened yet.
        """
        self._hosts = LOOPBACK_NAMES | hosts
        self._any_address = any_address
        self._token = None if token is None else token.encode()

    def refusal(self, headers: RawHeaders) -> Shut | None:
        """
        The answer to whom it stays shut, or nothing.
        """
        known = dict(headers)
        if sum(len(name) + len(value) for name, value in headers) > MAX_HEAD_BYTES:
            return refused("the headers are larger than the API takes", 431, "invalid_request_error")
        if not self._is_addressed(headers):
            return refused("this Host is not ours; use the address that savemode printed (or --allow-host)")
        if self._is_page(known):
            return refused("requests from web pages are refused")
        if self._token is not None and not hmac.compare_digest(known.get(TOKEN_HEADER, b""), self._token):
            why = f"an access token is needed: send it as {TOKEN_HEADER.decode()}"
            return refused(why, 401, "authentication_error")
        if b"upgrade" in known and (known.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in known):
            # The HTTP parser takes what follows such a head for the other protocol, so the body would be lost.
            why = "an Upgrade cannot be offered together with a body; send plain HTTP/1.1"
            return refused(why, 400, "invalid_request_error")
        return None

    def _is_addressed(self, headers: RawHeaders) -> bool:
        hosts = [value for name, value in headers if name == b"host"]
        return len(hosts) == 1 and self._is_ours(hosts[0].decode("latin-1"))

    def _is_page(self, known: dict[bytes, bytes]) -> bool:
        origin = known.get(b"origin")
        foreign = origin is not None and not self._is_ours(_authority(origin.decode("latin-1")))
        return foreign or known.get(b"sec-fetch-site", b"none") not in _OWN_SITE

    def _is_ours(self, authority: str) -> bool:
        name = _host_of(authority)
        return name in self._hosts or (self._any_address and _is_address(name))


def refused(why: str, status: int = 403, api_type: str = "permission_error") -> Shut:
    """
    The answer to a request that is not let in, for a reason.
    """
    request_id = f"req_sm_{uuid4().hex[:20]}"
    body = error_body(api_type, why, request_id)
    return Shut(status, [*own_headers(body, request_id), (b"connection", b"close")], body)


def _authority(origin: str) -> str:
    return origin.partition("://")[2]


def _host_of(authority: str) -> str:
    """
    The name or address in `name:port`, `[address]:port` or either without a port.
    """
    if authority.startswith("["):
        return authority[1:].partition("]")[0].lower()
    return authority.partition(":")[0].lower()


def _is_address(name: str) -> bool:
    """
    Whether it is an IP address, and no name.
    """
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """
    Whether a listening address can be reached from this machine only.
    """
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)
