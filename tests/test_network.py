"""
The way to a host: which proxy, which certificates, and what is said of variables that cannot be used.
"""

import ssl
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from savemode_cli.core.errors import ConfigError
from savemode_cli.network import Network, network_for, read_proxy, with_exception
from tests.support.network import Authority

HTTPS = "https://api.example"
SECRET = "s3cr3t"


@pytest.fixture
def no_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    For tests that are not about them: to load the usual ones takes as long as ten such tests.
    """
    monkeypatch.setattr("savemode_cli.network._built_in", lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))


@pytest.fixture(scope="module")
def authority() -> Authority:
    """
    An authority with a certificate.
    """
    return Authority()


@pytest.fixture
def pem(authority: Authority, tmp_path: Path) -> str:
    """
    Its certificate as a file.
    """
    file = tmp_path / "authority.pem"
    file.write_bytes(authority.pem)
    return str(file)


def proxied(url: str, **environ: str) -> str | None:
    """
    The address of the proxy for a URL.
    """
    proxy = network_for(url, environ).proxy
    return None if proxy is None else proxy.address


@pytest.mark.parametrize(
    ("url", "environ", "expected"),
    [
        (HTTPS, {}, None),
        (HTTPS, {"HTTPS_PROXY": "http://p:1"}, "http://p:1"),
        (HTTPS, {"https_proxy": "http://p:1"}, "http://p:1"),
        (HTTPS, {"https_proxy": "http://low:1", "HTTPS_PROXY": "http://up:1"}, "http://low:1"),
        (HTTPS, {"https_proxy": "", "HTTPS_PROXY": "http://up:1"}, None),
        (HTTPS, {"HTTPS_PROXY": "  "}, None),
        (HTTPS, {"HTTP_PROXY": "http://p:1"}, None),
        (HTTPS, {"ALL_PROXY": "http://all:1"}, "http://all:1"),
        (HTTPS, {"all_proxy": "http://all:1", "HTTPS_PROXY": "http://p:1"}, "http://p:1"),
        (HTTPS, {"ALL_PROXY": "http://all:1", "HTTPS_PROXY": ""}, None),
        ("http://api.example", {"HTTPS_PROXY": "http://p:1"}, None),
        ("http://api.example", {"HTTP_PROXY": "http://p:1"}, "http://p:1"),
        ("http://127.0.0.1:8", {"HTTP_PROXY": "http://p:1"}, None),
        ("http://127.9.9.9:8", {"HTTP_PROXY": "http://p:1"}, None),
        ("http://localhost:8", {"HTTP_PROXY": "http://p:1"}, None),
        ("http://api.localhost:8", {"HTTP_PROXY": "http://p:1"}, None),
        ("http://[::1]:8", {"HTTP_PROXY": "http://p:1"}, None),
        ("http://[::ffff:127.0.0.1]:8", {"HTTP_PROXY": "http://p:1"}, None),
        ("http://[fd00::1]:8", {"HTTP_PROXY": "http://p:1"}, "http://p:1"),
    ],
)
@pytest.mark.usefixtures("no_certificates")
def test_which_variable_decides(url: str, environ: dict[str, str], expected: str | None) -> None:
    """
    As curl has it: small letters first, an empty value means none, HTTP_PROXY is not for https, loopback is direct.
    """
    assert proxied(url, **environ) == expected


@pytest.mark.parametrize(
    ("value", "address", "login"),
    [
        ("http://proxy.example:3128", "http://proxy.example:3128", ("", "")),
        ("proxy.example:3128", "http://proxy.example:3128", ("", "")),
        ("127.0.0.1:3128", "http://127.0.0.1:3128", ("", "")),
        ("localhost:3128", "http://localhost:3128", ("", "")),
        ("proxy.example", "http://proxy.example:80", ("", "")),
        ("https://proxy.example", "https://proxy.example:443", ("", "")),
        ("HTTP://PROXY.example:1/", "http://proxy.example:1", ("", "")),
        ("http://[::1]:3128", "http://[::1]:3128", ("", "")),
        ("[fd00::1]:3128", "http://[fd00::1]:3128", ("", "")),
        ("user:pass@proxy.example:1", "http://proxy.example:1", ("user", "pass")),
        ("http://us%40er:p%3Ass@proxy.example:1", "http://proxy.example:1", ("us@er", "p:ss")),
        ("http://user:p@ss@proxy.example:1", "http://proxy.example:1", ("user", "p@ss")),
        ("socks5://proxy.example", "socks5://proxy.example:1080", ("", "")),
        ("socks5h://u:p@proxy.example:9", "socks5h://proxy.example:9", ("u", "p")),
        ("socks://127.0.0.1:1080/", "socks5://127.0.0.1:1080", ("", "")),
        ("socks4a://proxy.example", "socks4a://proxy.example:1080", ("", "")),
    ],
)
def test_spellings_of_a_proxy(value: str, address: str, login: tuple[str, str]) -> None:
    """
    With and without a scheme, a port, credentials and brackets.
    """
    proxy = read_proxy("HTTPS_PROXY", value)

    assert (proxy.address, (proxy.username, proxy.password)) == (address, login)
    assert str(proxy) == f"{address} (HTTPS_PROXY)"
    assert read_proxy("HTTPS_PROXY", proxy.url) == proxy


def test_credentials() -> None:
    """
    As RFC 7617 writes them, in UTF-8, and only if there are any.
    """
    assert read_proxy("X", "http://p:1").credentials == ""
    assert read_proxy("X", "http://Aladdin:open%20sesame@p:1").credentials == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
    assert read_proxy("X", "http://test:123%C2%A3@p:1").credentials == "Basic dGVzdDoxMjPCow=="


@pytest.mark.parametrize(
    "value",
    [
        "http://",
        "http://:80",
        "http://p:port",
        "http://p:99999",
        "ftp://u:s3cr3t@p:1",
        "http://u:s3cr3t@[::1:80",
        "a b",
        ":",
    ],
)
def test_no_proxy_at_all(value: str) -> None:
    """
    A value that names no proxy stops the start, by the variable's name, and is not shown: it may hold a password.
    """
    with pytest.raises(ConfigError, match=r"^HTTPS_PROXY ") as caught:
        network_for(HTTPS, {"HTTPS_PROXY": value})

    assert caught.value.hint
    assert SECRET not in caught.value.message + caught.value.hint


def test_unsupported_kind_says_which_are_supported() -> None:
    """
    What else could be written there is in the hint.
    """
    with pytest.raises(ConfigError, match="quic, which is not supported") as caught:
        network_for(HTTPS, {"ALL_PROXY": "quic://p:1"})

    assert "socks5h" in caught.value.hint


@given(st.text(max_size=30).filter(lambda text: "\0" not in text))
def test_any_value_is_understood_or_named(value: str) -> None:
    """
    Whatever a variable holds, it is a proxy, none, or an error that names the variable.
    """
    said = "HTTP_PROXY "
    try:
        network_for("http://api.example", {"HTTP_PROXY": value, "NO_PROXY": value})
    except ConfigError as error:
        said = error.message

    assert said.startswith("HTTP_PROXY ")


@pytest.mark.parametrize(
    ("url", "entries", "direct"),
    [
        (HTTPS, "*", True),
        (HTTPS, "other.example, *", True),
        (HTTPS, "api.example", True),
        (HTTPS, "API.Example.", True),
        (HTTPS, "example", True),
        (HTTPS, ".example", True),
        (HTTPS, "*.example", True),
        (HTTPS, "ample", False),
        (HTTPS, "other.example api.example", True),
        (HTTPS, "api.example:443", True),
        (HTTPS, "api.example:8443", False),
        (HTTPS, "", False),
        (HTTPS, ",", False),
        ("https://api.example:8443", ".example:8443", True),
        ("https://xapi.example", "api.example", False),
        ("https://10.1.2.3", "10.0.0.0/8", True),
        ("https://11.1.2.3", "10.0.0.0/8", False),
        ("https://10.1.2.3", "10.1.2.3", True),
        ("https://10.1.2.3:8443", "10.1.2.3:8443", True),
        ("https://10.1.2.3", "10.1.2.3:8443", False),
        ("https://10.1.2.3", "2.3", False),
        ("https://[fd00::1]", "fd00::/8", True),
        ("https://[fd00::1]", "[fd00::]/8", True),
        ("https://[fd00::1]", "10.0.0.0/8", False),
        ("https://[fd00::1]", "fd00:0::1", True),
        ("https://[fd00::1]", "[fd00::1]", True),
        ("https://[fd00::1]:8443", "[fd00::1]:8443", True),
        ("https://[fd00::1]", "[fd00::1]:8443", False),
        ("https://[::ffff:10.1.2.3]", "10.0.0.0/8", True),
    ],
)
@pytest.mark.parametrize("variable", ["NO_PROXY", "no_proxy"])
@pytest.mark.usefixtures("no_certificates")
def test_exceptions(url: str, entries: str, direct: bool, variable: str) -> None:
    """
    Names and all below them, addresses, networks and ports.
    """
    environ = {"HTTPS_PROXY": "http://p:1", variable: entries}

    assert (proxied(url, **environ) is None) == direct
    assert network_for(url, environ).notes == ()


def test_entries_that_mean_nothing_are_named() -> None:
    """
    The others count all the same.
    """
    environ = {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "10.0.0.0/99,host:port,api.example"}
    network = network_for(HTTPS, environ)

    assert network.proxy is None
    assert network.notes == ("NO_PROXY: 10.0.0.0/99, host:port: neither a host nor a network, so ignored",)


def test_http_proxy_alone_is_said_to_be_unused() -> None:
    """
    Node's clients use it for https; whoever expects that is told.
    """
    assert "HTTP_PROXY is not used for https" in network_for(HTTPS, {"HTTP_PROXY": "http://p:1"}).notes[0]
    assert network_for(HTTPS, {"HTTP_PROXY": "http://p:1", "HTTPS_PROXY": ""}).notes == ()
    assert network_for("http://api.example", {"HTTP_PROXY": "http://p:1"}).notes == ()


def test_the_systems_settings_count_where_there_are_some(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    On macOS and Windows, where no variable decides.
    """
    monkeypatch.setattr("savemode_cli.network.sys.platform", "darwin")
    monkeypatch.setattr("urllib.request.getproxies", lambda: {"https": "http://system:8"})
    monkeypatch.setattr("urllib.request.proxy_bypass", lambda host: host == "intranet.example")

    assert str(network_for(HTTPS, {}).proxy) == "http://system:8 (the system's proxy settings)"
    assert proxied("https://intranet.example") is None
    assert proxied(HTTPS, HTTPS_PROXY="") is None


def test_without_tls_no_certificates_are_read() -> None:
    """
    A broken variable does not keep anybody from a plain upstream.
    """
    assert network_for("http://api.example", {"SSL_CERT_FILE": "/nowhere"}) == Network()


def subjects(network: Network) -> set[object]:
    """
    Who is trusted.
    """
    assert network.tls is not None
    assert (network.tls.verify_mode, network.tls.check_hostname) == (ssl.CERT_REQUIRED, True)
    return {str(one["subject"]) for one in network.tls.get_ca_certs()}


def test_built_in_certificates() -> None:
    """
    Without variables the usual authorities are trusted, and nothing is said of it.
    """
    network = network_for(HTTPS, {})

    assert len(subjects(network)) > 50
    assert (network.trusts, network.notes) == ((), ())


@pytest.mark.parametrize("variable", ["NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_variables_that_add(variable: str, pem: str) -> None:
    """
    What other programs are told to trust is trusted too, beside the usual authorities.
    """
    network = network_for(HTTPS, {variable: pem})

    assert network.trusts == ((variable, pem),)
    assert subjects(network) == subjects(network_for(HTTPS, {})) | subjects(network_for(HTTPS, {"SSL_CERT_FILE": pem}))


def test_variables_that_replace(pem: str, tmp_path: Path) -> None:
    """
    SSL_CERT_FILE and SSL_CERT_DIR stand for all that is trusted, unless others add to them.
    """
    other = tmp_path / "other.pem"
    other.write_bytes(Authority().pem)

    assert len(subjects(network_for(HTTPS, {"SSL_CERT_FILE": pem}))) == 1
    both = network_for(HTTPS, {"SSL_CERT_FILE": pem, "NODE_EXTRA_CA_CERTS": str(other)})
    assert both.tls is not None
    assert len(both.tls.get_ca_certs()) == 2
    assert both.trusts == (("SSL_CERT_FILE", pem), ("NODE_EXTRA_CA_CERTS", str(other)))


BROKEN = {
    "nowhere": (None, "cannot be read (no such file or directory)"),
    "empty": (b"", "holds no certificate in PEM form"),
    "words": (b"hello", "holds no certificate in PEM form"),
    "damaged": (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "holds no certificate in PEM form"),
    "folder": (..., "has no hashed certificates"),
}


@pytest.fixture(params=BROKEN)
def broken(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """
    A path that holds no certificates, and what is wrong with it.
    """
    content, wrong = BROKEN[request.param]
    file = tmp_path / request.param
    if content is ...:
        file.mkdir()
    elif isinstance(content, bytes):
        file.write_bytes(content)
    return str(file), wrong


def test_a_broken_replacement_stops_the_start(broken: tuple[str, str]) -> None:
    """
    By name and with a way out. Going on with the usual authorities would trust more than was asked for.
    """
    path, wrong = broken
    with pytest.raises(ConfigError, match=r"^SSL_CERT_FILE names ") as caught:
        network_for(HTTPS, {"SSL_CERT_FILE": path})

    assert path in caught.value.message
    assert wrong in caught.value.message
    assert "unset SSL_CERT_FILE" in caught.value.hint


def test_a_broken_addition_is_named_and_ignored(broken: tuple[str, str]) -> None:
    """
    Nothing is trusted that would not be trusted without it.
    """
    path, wrong = broken
    network = network_for(HTTPS, {"NODE_EXTRA_CA_CERTS": path})

    (note,) = network.notes
    assert note.startswith(f"NODE_EXTRA_CA_CERTS names {path}, which ")
    assert wrong in note
    assert subjects(network) == subjects(network_for(HTTPS, {}))


def test_variables_that_name_the_same(pem: str) -> None:
    """
    Are one line to read.
    """
    environ = {"SSL_CERT_FILE": pem, "NODE_EXTRA_CA_CERTS": pem, "REQUESTS_CA_BUNDLE": pem}

    assert network_for(HTTPS, environ).trusts == (("SSL_CERT_FILE, NODE_EXTRA_CA_CERTS, REQUESTS_CA_BUNDLE", pem),)


def test_one_replacement_of_two(pem: str) -> None:
    """
    Where the file can be used and the folder cannot, the file counts, and the folder is named.
    """
    network = network_for(HTTPS, {"SSL_CERT_FILE": pem, "SSL_CERT_DIR": "/nowhere"})

    assert network.trusts == (("SSL_CERT_FILE", pem),)
    assert network.notes == (
        "SSL_CERT_DIR names /nowhere, which cannot be read (no such file or directory): it is ignored",
    )
    with pytest.raises(ConfigError, match=r"^SSL_CERT_FILE names "):
        network_for(HTTPS, {"SSL_CERT_FILE": "/nowhere", "SSL_CERT_DIR": "/nowhere"})


def test_folders(pem: str, tmp_path: Path) -> None:
    """
    A folder counts with what `openssl rehash` has made of it; several are separated as in PATH.
    """
    folder = tmp_path / "folder"
    folder.mkdir()
    hashed = subprocess.run(["openssl", "x509", "-hash", "-noout", "-in", pem], capture_output=True, check=True)
    (folder / f"{hashed.stdout.decode().strip()}.0").write_text(Path(pem).read_text())

    assert network_for(HTTPS, {"SSL_CERT_DIR": str(folder)}).trusts == (("SSL_CERT_DIR", str(folder)),)
    with pytest.raises(ConfigError, match=r"^SSL_CERT_DIR names "):
        network_for(HTTPS, {"SSL_CERT_DIR": f"{folder}:{tmp_path}/nowhere"})


@pytest.mark.parametrize(
    ("environ", "upper", "lower"),
    [
        ({}, "127.0.0.1", "127.0.0.1"),
        ({"NO_PROXY": ".corp.example"}, ".corp.example,127.0.0.1", ".corp.example,127.0.0.1"),
        ({"no_proxy": ".corp.example"}, ".corp.example,127.0.0.1", ".corp.example,127.0.0.1"),
        ({"NO_PROXY": "a", "no_proxy": "b"}, "a,127.0.0.1", "b,127.0.0.1"),
        ({"NO_PROXY": "a", "no_proxy": ""}, "a,127.0.0.1", "127.0.0.1"),
        ({"NO_PROXY": "*"}, "*", "*"),
        ({"NO_PROXY": "127.0.0.1 a"}, "127.0.0.1 a", "127.0.0.1 a"),
        ({"NO_PROXY": "10.0.0.0/8, a"}, "10.0.0.0/8, a,127.0.0.1", "10.0.0.0/8, a,127.0.0.1"),
    ],
)
def test_an_exception_more(environ: dict[str, str], upper: str, lower: str) -> None:
    """
    Both spellings have it, and nothing is taken away from either.
    """
    assert with_exception(environ, "127.0.0.1") == {"NO_PROXY": upper, "no_proxy": lower}
