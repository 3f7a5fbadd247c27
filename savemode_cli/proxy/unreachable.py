"""
Error messages for requests that got no answer from the upstream.

Rule of this file: the error names what is at fault (the upstream, or the outbound proxy) and the variable to correct. It
shows no credentials and no URL, because a query may contain a key.
"""

import os
import socket
from http import HTTPStatus

import aiohttp
from aiohttp.http import HttpProcessingError

from savemode_cli.core.errors import UpstreamUnreachable
from savemode_cli.network import ADDING, OutboundProxy
from savemode_cli.proxy.connector import SocksRefusal

_REQUIRED = HTTPStatus.PROXY_AUTHENTICATION_REQUIRED
_PHRASES = {status.value: f" {status.phrase}" for status in HTTPStatus}


def unreachable(error: Exception, host: str | None, proxy: OutboundProxy | None) -> UpstreamUnreachable:
    """
    The error for a request that got no answer.

    Args:
        error: the exception of aiohttp.
        host: the upstream's host.
        proxy: the outbound proxy, if there is one.
    """
    if proxy is None:
        return UpstreamUnreachable(f"cannot reach {host}: {reason(error)}", hint=_hint(error))
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return refused_by(proxy, host, error.status)
    named = f"{host} through the proxy {proxy}"
    if isinstance(error, SocksRefusal):
        return UpstreamUnreachable(f"cannot reach {named}: the proxy says: {error.strerror}")
    at_proxy = isinstance(error, aiohttp.ClientProxyConnectionError)
    if at_proxy or getattr(error, "host", None) == proxy.host != host:
        hint = _hint(error) or f"check {proxy.variable}"
        return UpstreamUnreachable(f"cannot reach the proxy {proxy}: {reason(error)}", hint=hint)
    return UpstreamUnreachable(f"cannot reach {named}: {reason(error)}", hint=_hint(error) or _name_hint(error, proxy))


def refused_by(proxy: OutboundProxy, host: str | None, status: int) -> UpstreamUnreachable:
    """
    The error if an HTTP proxy answers instead of the upstream.

    Args:
        proxy: the outbound proxy.
        host: the upstream's host.
        status: the HTTP status of the proxy's answer.
    """
    if status != _REQUIRED:
        words = f"{status}{_PHRASES.get(status, '')}"
        return UpstreamUnreachable(f"the proxy {proxy} refuses to connect to {host}: {words}")
    if proxy.credentials:
        problem, hint = "does not accept the user name and the password", f"correct them in {proxy.variable}"
    else:
        problem = "asks for a user name and a password"
        hint = f"put them into {proxy.variable}: {proxy.scheme}://USER:PASSWORD@HOST:PORT"
    return UpstreamUnreachable(f"the proxy {proxy} {problem} (407)", hint=hint)


def _hint(error: Exception) -> str:
    untrusted = isinstance(error, aiohttp.ClientConnectorCertificateError)
    return f"name the file of its authority in {ADDING[0]} or SSL_CERT_FILE" if untrusted else ""


def _name_hint(error: Exception, proxy: OutboundProxy) -> str:
    """
    Suggests the scheme with which the proxy resolves names. Some machines use a SOCKS proxy because they cannot resolve
    names.
    """
    other = {"socks4": "socks4a", "socks5": "socks5h"}.get(proxy.scheme)
    if other is None or not isinstance(error, aiohttp.ClientConnectorDNSError):
        return ""
    return f"names are looked up on this machine; to let the proxy do it, write {other}:// in {proxy.variable}"


_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (aiohttp.ClientConnectorDNSError, "no such host"),
    (aiohttp.ClientSSLError, "TLS failed"),
    (aiohttp.ServerDisconnectedError, "it closed the connection without an answer"),
    (aiohttp.ClientPayloadError, "connection lost"),
    (aiohttp.ClientResponseError, "its answer is not HTTP"),
    (HttpProcessingError, "its answer is not HTTP"),
)


def reason(error: Exception) -> str:
    """
    The cause in a few words, without the URL, whose query may contain a key.
    """
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        details = getattr(error.certificate_error, "verify_message", "")
        return "its certificate is not trusted" + (f" ({details})" if details else "")
    for kind, reason in _REASONS:
        if isinstance(error, kind):
            return reason
    cause = getattr(error, "os_error", error)
    if isinstance(cause, socket.gaierror):
        return "no such host"
    if isinstance(cause, OSError) and cause.errno and cause.errno > 0:
        return os.strerror(cause.errno).lower()  # asyncio's own text repeats the address
    return type(error).__name__
