"""
How PostHog is reached: through the same proxy and with the same certificates as the upstream.

Rule of this file: `savemode_cli/network.py` reads the variables that describe the network. The library `requests`, with
which the SDK posts, does not read them again.
"""

import ssl
from typing import TYPE_CHECKING, Any

from savemode_cli.network import network_for

if TYPE_CHECKING:
    import requests


def session_for(host: str) -> "requests.Session":
    """
    A session with which the SDK posts.

    Args:
        host: the address that events are posted to.

    Raises:
        ConfigError: a variable names a proxy or certificates that cannot be used.
    """
    import requests  # noqa: PLC0415 - takes 0.3 s with the SDK, and is only needed if events are sent

    network = network_for(host)
    session = requests.Session()
    session.trust_env = False
    if network.proxy is not None:
        session.proxies = {"http": network.proxy.url, "https": network.proxy.url}
    if network.tls is not None:
        session.mount("https://", _adapter(network.tls))
        session.mount("http://", _adapter(network.tls))  # the HTTP proxy itself may use TLS
    return session


def _adapter(tls: ssl.SSLContext) -> Any:
    """
    An adapter that trusts the certificates of a TLS context, and no others.
    """
    from requests.adapters import HTTPAdapter  # noqa: PLC0415

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **options: Any) -> None:
            super().init_poolmanager(*args, ssl_context=tls, **options)

        def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
            if proxy.startswith("https:"):
                options["proxy_ssl_context"] = tls
            return super().proxy_manager_for(proxy, ssl_context=tls, **options)

        def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:  # noqa: ARG002
            # The base class would add its own certificates to the context.
            conn.cert_reqs = "CERT_REQUIRED"

    return Adapter()
