"""
The errors if no answer comes, with real proxies and certificates on loopback.
"""

from typing import Any

import pytest

from savemode_cli.core.errors import UpstreamUnreachable
from tests.support.network import Answering, Authority, HttpProxy, Listen, SocksProxy, asked, listening

SECRET = "s3cr3t"


def refusal(url: str, **environ: Any) -> str:
    """
    The message and the hint of the error.
    """
    with pytest.raises(UpstreamUnreachable) as caught:
        asked(url, **environ)
    assert SECRET not in caught.value.message + caught.value.hint
    assert "k=1" not in caught.value.message
    return f"{caught.value.message}; {caught.value.hint}"


def test_tls_by_a_named_authority(listen: Listen, authority: Authority, trusted: str) -> None:
    """
    The upstream is reached with the file of its authority, and not without it.
    """
    url = f"https://localhost:{listen(Answering(authority.serving('localhost')))}"

    assert asked(url, SSL_CERT_FILE=trusted) == [200]
    assert asked(url, NODE_EXTRA_CA_CERTS=trusted) == [200]
    said = refusal(url)
    assert said.startswith("cannot reach localhost: its certificate is not trusted (")
    assert "SSL_CERT_FILE" in said


def test_tls_of_another_name(listen: Listen, authority: Authority, trusted: str) -> None:
    """
    A certificate for another name is not trusted, and the error says why.
    """
    url = f"https://localhost:{listen(Answering(authority.serving('other.example')))}"

    assert "Hostname mismatch" in refusal(url, SSL_CERT_FILE=trusted)


def test_https_through_a_proxy_that_speaks_tls(listen: Listen, authority: Authority, trusted: str) -> None:
    """
    TLS to the proxy, and TLS to the upstream inside it; both certificates are checked.
    """
    tls = authority.serving("localhost", "api.example")
    via = f"https://localhost:{listen(HttpProxy(listen(Answering(tls)), tls=tls))}"

    assert asked("https://api.example", HTTPS_PROXY=via, SSL_CERT_FILE=trusted) == [200]
    said = refusal("https://api.example", HTTPS_PROXY=via)
    assert said.startswith(f"cannot reach the proxy {via} (HTTPS_PROXY): its certificate is not trusted")


def test_http_through_a_proxy_that_speaks_tls(listen: Listen, authority: Authority, trusted: str) -> None:
    """
    The proxy's certificate is checked although the upstream needs none.
    """
    via = f"https://localhost:{listen(HttpProxy(tls=authority.serving('localhost')))}"

    assert asked("http://api.example", HTTP_PROXY=via, SSL_CERT_FILE=trusted) == [200]
    assert "certificate is not trusted" in refusal("http://api.example", HTTP_PROXY=via)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_wants_a_login(listen: Listen, scheme: str) -> None:
    """
    The error names the proxy and the spelling to use; a wrong login has its own message.
    """
    variable, port = f"{scheme.upper()}_PROXY", listen(HttpProxy(login="user:pass"))
    without = refusal(f"{scheme}://api.example", **{variable: f"http://127.0.0.1:{port}"})
    wrong = refusal(f"{scheme}://api.example", **{variable: f"http://user:{SECRET}@127.0.0.1:{port}"})

    assert without == (
        f"the proxy http://127.0.0.1:{port} ({variable}) asks for a user name and a password (407); "
        f"put them into {variable}: http://USER:PASSWORD@HOST:PORT"
    )
    assert "does not accept the user name and the password (407)" in wrong


@pytest.mark.parametrize("status", ["403 Forbidden", "502 Bad Gateway", "599 Own Words"])
def test_a_proxy_that_refuses(listen: Listen, status: str) -> None:
    """
    The error names the proxy, not the upstream.
    """
    port = listen(HttpProxy(refuses=status))
    said = refusal("https://api.example", HTTPS_PROXY=f"http://127.0.0.1:{port}")

    assert said.startswith(f"the proxy http://127.0.0.1:{port} (HTTPS_PROXY) refuses to connect to api.example: ")
    assert status[:3] in said


@pytest.mark.parametrize("value", ["http://127.0.0.1:{}", "http://u:s3cr3t@127.0.0.1:{}", "socks5h://127.0.0.1:{}"])
def test_no_proxy_is_there(listen: Listen, value: str) -> None:
    """
    The error names the proxy and the variable, without the password.
    """
    with listening(Answering()) as port:
        pass
    said = refusal("https://api.example", HTTPS_PROXY=value.format(port))

    assert said.startswith("cannot reach the proxy ")
    assert "(HTTPS_PROXY): connection refused" in said


@pytest.mark.parametrize("scheme", ["http", "socks5h"])
def test_a_proxy_without_an_address(scheme: str) -> None:
    """
    If the proxy's name cannot be resolved, the error does not name the upstream.
    """
    said = refusal("https://api.example", HTTPS_PROXY=f"{scheme}://nowhere.invalid:1")

    assert said.startswith(f"cannot reach the proxy {scheme}://nowhere.invalid:1 (HTTPS_PROXY): no such host")


def test_socks_with_a_login(listen: Listen) -> None:
    """
    The credentials of the variable are used, and wrong ones are reported as wrong.
    """
    port = listen(SocksProxy(listen(Answering()), login=("user", "p@ss")))

    assert asked("http://10.1.2.3", ALL_PROXY=f"socks5://user:p%40ss@127.0.0.1:{port}") == [200]
    assert "the proxy says: " in refusal("http://10.1.2.3", ALL_PROXY=f"socks5://user:{SECRET}@127.0.0.1:{port}")
    assert "the proxy says: " in refusal("http://10.1.2.3", ALL_PROXY=f"socks5://127.0.0.1:{port}")


@pytest.mark.parametrize(("scheme", "reply"), [("socks5", 5), ("socks4", 91)])
def test_socks_that_refuses(listen: Listen, scheme: str, reply: int) -> None:
    """
    The error has the reason, and says that it comes from the proxy.
    """
    port = listen(SocksProxy(reply=reply))
    said = refusal("http://10.1.2.3", ALL_PROXY=f"{scheme}://127.0.0.1:{port}")

    assert said.startswith(f"cannot reach 10.1.2.3 through the proxy {scheme}://127.0.0.1:{port} (ALL_PROXY): ")
    assert "the proxy says: " in said


def test_socks_where_http_is_spoken(listen: Listen) -> None:
    """
    An HTTP proxy that is configured as a SOCKS proxy gives an error message too.
    """
    said = refusal(
        "http://10.1.2.3", ALL_PROXY=f"socks5://127.0.0.1:{listen(lambda end: end.sendall(b'HTTP/1.1 400 x'))}"
    )

    assert "through the proxy socks5://" in said


def test_names_that_are_looked_up_here() -> None:
    """
    If this machine cannot resolve the name, the hint is the scheme with which the proxy resolves it.
    """
    said = refusal("https://nowhere.invalid", HTTPS_PROXY="socks5://127.0.0.1:9")

    assert "no such host" in said
    assert "socks5h://" in said
