"""
The way to PostHog is the one to the upstream: by the same variables, with real proxies and certificates on loopback.
"""

from pathlib import Path

import pytest

from savemode_cli.core.errors import ConfigError
from savemode_cli.telemetry.outlet import Undelivered
from savemode_cli.telemetry.posthog import PostHog
from savemode_cli.telemetry.session import session_for
from tests.support.network import Answering, Authority, HttpProxy, SocksProxy, listening


@pytest.fixture(scope="module")
def authority() -> Authority:
    """
    Who certifies PostHog here.
    """
    return Authority()


@pytest.fixture
def trusted(authority: Authority, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    Its certificate is trusted.
    """
    file = tmp_path / "authority.pem"
    file.write_bytes(authority.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))


def deliver(host: str) -> None:
    """
    Deliver a batch of nothing.
    """
    PostHog("phc_made_up", host).deliver([], 10.0)


def test_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    One without a scheme, with a login.
    """
    proxy = HttpProxy(login="user:p@ss")
    with listening(proxy) as port:
        monkeypatch.setenv("HTTP_PROXY", f"user:p%40ss@127.0.0.1:{port}")
        deliver("http://posthog.example")

    assert [head[0] for head in proxy.heads] == ["POST http://posthog.example/batch/ HTTP/1.1"]


def test_through_socks(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The proxy looks the name up.
    """
    with listening(Answering()) as port:
        proxy = SocksProxy(port)
        with listening(proxy) as via:
            monkeypatch.setenv("ALL_PROXY", f"socks5h://127.0.0.1:{via}")
            deliver("http://posthog.example")

    assert proxy.asked == [("posthog.example", 80)]


@pytest.mark.usefixtures("trusted")
def test_certificates(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What SSL_CERT_FILE names is trusted, and nothing else is.
    """
    with listening(Answering(authority.serving("localhost"))) as port:
        deliver(f"https://localhost:{port}")
    with (
        listening(Answering(Authority().serving("localhost"))) as port,
        pytest.raises(Undelivered, match="cannot be reached"),
    ):
        deliver(f"https://localhost:{port}")


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_tls_through_a_proxy(authority: Authority, monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    """
    By CONNECT; the proxy's certificate is checked where it has one.
    """
    tls = authority.serving("localhost", "posthog.example")
    with listening(Answering(tls)) as port:
        proxy = HttpProxy(port, tls=tls if scheme == "https" else None)
        with listening(proxy) as via:
            monkeypatch.setenv("HTTPS_PROXY", f"{scheme}://localhost:{via}")
            deliver("https://posthog.example")

    assert [head[0].rpartition(" ")[0] for head in proxy.heads] == ["CONNECT posthog.example:443"]


def test_a_variable_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    It is named in what is said of events that are not delivered.
    """
    monkeypatch.setenv("HTTPS_PROXY", "gopher://p")
    with pytest.raises(ConfigError):
        session_for("https://posthog.example")
    with pytest.raises(Undelivered, match="HTTPS_PROXY names a proxy of the kind gopher"):
        deliver("https://posthog.example")
