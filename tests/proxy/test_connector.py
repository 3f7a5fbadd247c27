"""
Connections to the upstream through real proxies on loopback: what arrives.
"""

import pytest

from tests.support.network import Answering, Authority, HttpProxy, Listen, SocksProxy, asked, header, listening


def test_ipv6() -> None:
    """
    An upstream with an IPv6 address, which has brackets in a URL and in `Host`.
    """
    upstream = Answering()
    with listening(upstream, "::1") as port:
        assert asked(f"http://[::1]:{port}") == [200]

    assert header(upstream.heads[0], "host") == f"[::1]:{port}"


@pytest.mark.parametrize("scheme", ["http://", ""])
def test_https_through_a_proxy(listen: Listen, authority: Authority, trusted: str, scheme: str) -> None:
    """
    With CONNECT, credentials, and one connection for several requests. A value without a scheme is an HTTP proxy.
    """
    upstream = Answering(authority.serving("api.example"))
    proxy = HttpProxy(listen(upstream), login="user:p@ss")
    via = f"{scheme}user:p%40ss@127.0.0.1:{listen(proxy)}"

    assert asked("https://api.example", times=2, HTTPS_PROXY=via, SSL_CERT_FILE=trusted) == [200, 200]
    assert [head[0] for head in proxy.heads] == ["CONNECT api.example:443 HTTP/1.1"]
    assert [head[0] for head in upstream.heads] == ["POST /v1/x?k=1 HTTP/1.1"] * 2
    assert header(upstream.heads[0], "proxy-authorization") is None


def test_http_through_a_proxy(listen: Listen) -> None:
    """
    With the whole URL on the request line, and the credentials in a header.
    """
    proxy = HttpProxy(login="user:pass")

    assert asked("http://api.example:81", HTTP_PROXY=f"http://user:pass@127.0.0.1:{listen(proxy)}") == [200]
    assert proxy.heads[0][0] == "POST http://api.example:81/v1/x?k=1 HTTP/1.1"


def test_a_status_407_of_the_upstream_is_its_own(listen: Listen, authority: Authority, trusted: str) -> None:
    """
    Inside a tunnel, such a status cannot come from the proxy.
    """
    upstream = Answering(authority.serving("api.example"), "407 Proxy Authentication Required")
    via = f"http://127.0.0.1:{listen(HttpProxy(listen(upstream)))}"

    assert asked("https://api.example", HTTPS_PROXY=via, SSL_CERT_FILE=trusted) == [407]


@pytest.mark.parametrize(
    ("scheme", "host", "asked_for"),
    [
        ("socks5h", "api.example", "api.example"),
        ("socks4a", "api.example", "api.example"),
        ("socks5h", "10.1.2.3", "10.1.2.3"),
        ("socks5", "10.1.2.3", "10.1.2.3"),
        ("socks5", "[fd00::1]", "fd00::1"),
        ("socks4", "10.1.2.3", "10.1.2.3"),
        ("socks", "10.1.2.3", "10.1.2.3"),
    ],
)
@pytest.mark.parametrize("tls", [True, False])
def test_through_socks(
    listen: Listen, authority: Authority, trusted: str, scheme: str, host: str, asked_for: str, tls: bool
) -> None:
    """
    With names resolved here or by the proxy, without and with TLS; one connection for several requests.
    """
    upstream = Answering(authority.serving(host.strip("[]")) if tls else None)
    proxy = SocksProxy(listen(upstream))
    via, url = f"{scheme}://127.0.0.1:{listen(proxy)}", f"{'https' if tls else 'http'}://{host}"

    assert asked(url, times=2, ALL_PROXY=via, SSL_CERT_FILE=trusted) == [200, 200]
    assert proxy.asked == [(asked_for, 443 if tls else 80)]
    assert header(upstream.heads[1], "host") == host
