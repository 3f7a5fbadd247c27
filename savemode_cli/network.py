"""
The way to another host, as the environment describes it: which proxy to use, and which certificates to trust.

Rule of this file: `serve`, `run`, `doctor` and telemetry all ask here, so what one of them can reach, the others can
reach. A variable is either understood, or an error or a note names it. No value that may hold a password is shown.

The proxy is read from the variables that curl reads, in curl's order: `https_proxy`, `HTTPS_PROXY`, `all_proxy`,
`ALL_PROXY` for an https address, and `http_proxy`, `HTTP_PROXY` in place of the first two for an http one. The first that
exists decides, and an empty one means: no proxy. A value without a scheme is an HTTP proxy. Loopback is never proxied.
Source: https://curl.se/docs/manpage.html#ENVIRONMENT (checked 2026-11-29).

`SSL_CERT_FILE` and `SSL_CERT_DIR` replace the built-in certificates, as they do in OpenSSL. `NODE_EXTRA_CA_CERTS`
(https://nodejs.org/api/cli.html#node_extra_ca_certsfile), `REQUESTS_CA_BUNDLE` and `CURL_CA_BUNDLE` add to them: they
are set for other programs, so they must not take away what we trust without them.
"""

import base64
import ipaddress
import os
import re
import ssl
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult, quote, unquote, urlsplit

from savemode_cli.core.errors import ConfigError, reason

Scheme = Literal["http", "https", "socks4", "socks4a", "socks5", "socks5h"]

_SCHEMES: dict[str, Scheme] = {
    "http": "http",
    "https": "https",
    "socks": "socks5",  # what desktop settings export
    "socks4": "socks4",
    "socks4a": "socks4a",
    "socks5": "socks5",
    "socks5h": "socks5h",
}
_DEFAULT_PORTS = {"http": 80, "https": 443, "socks4": 1080, "socks4a": 1080, "socks5": 1080, "socks5h": 1080}
_SYSTEM = "the system's proxy settings"

REPLACING = ("SSL_CERT_FILE", "SSL_CERT_DIR")
ADDING = ("NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")

_SEPARATORS = re.compile(r"[,\s]+")
_HASHED = re.compile(r"[0-9a-f]{8}\.\d+")  # how `openssl rehash` names what it finds


@dataclass(frozen=True, slots=True)
class OutboundProxy:
    """
    A proxy to connect through. `variable` is where it was read.
    """

    scheme: Scheme
    host: str
    port: int
    username: str = ""
    password: str = field(default="", repr=False)
    variable: str = ""

    @property
    def address(self) -> str:
        """
        The address without the credentials, to be shown.
        """
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def url(self) -> str:
        """
        The address with the credentials. It is not for showing.
        """
        if not self.username:
            return self.address
        login = f"{quote(self.username, safe='')}:{quote(self.password, safe='')}"
        return self.address.replace("://", f"://{login}@", 1)

    @property
    def is_socks(self) -> bool:
        """
        Whether it speaks SOCKS, and not HTTP.
        """
        return self.scheme.startswith("socks")

    @property
    def resolves_names(self) -> bool:
        """
        Whether it is given host names. The others get addresses: with `socks4` and `socks5`, names are looked up here.
        """
        return self.scheme not in ("socks4", "socks5")

    @property
    def credentials(self) -> str:
        """
        The value of `Proxy-Authorization`, empty without a user name (https://www.rfc-editor.org/rfc/rfc7617).
        """
        if not self.username:
            return ""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()

    def __str__(self) -> str:
        """
        The address and where it was read, to be shown.
        """
        return f"{self.address} ({self.variable})"


@dataclass(frozen=True, slots=True)
class Network:
    """
    How to reach one host.

    `tls` is None where no TLS is spoken, neither with the host nor with the proxy. `trusts` are the certificates that
    variables name, as `(variables, path)`. `notes` say which variables are ignored, and why: show each of them once.
    """

    proxy: OutboundProxy | None = None
    tls: ssl.SSLContext | None = None
    trusts: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


def network_for(url: str, environ: Mapping[str, str] | None = None) -> Network:
    """
    Read how to reach the host of a URL.

    Args:
        url: an http or https address that was checked before.
        environ: the variables; by default those of this process.

    Raises:
        ConfigError: a variable names a proxy or a certificate file that cannot be used. Going on without it would go past
            the proxy, or trust more than was asked for.
    """
    environ = os.environ if environ is None else environ
    parts = urlsplit(url)
    proxy, notes = _proxy_for(parts, environ)
    if parts.scheme != "https" and (proxy is None or proxy.scheme != "https"):
        return Network(proxy, notes=tuple(notes))
    tls, trusts, ignored = _trust(environ)
    return Network(proxy, tls, trusts, (*notes, *ignored))


def with_exception(environ: Mapping[str, str], host: str) -> dict[str, str]:
    """
    `NO_PROXY` and `no_proxy` for a program that must reach `host` directly.

    Each spelling keeps what it has. One that is not set gets what the other has, because a program may read either.
    """
    names = ("NO_PROXY", "no_proxy")
    present = [environ[name] for name in names if name in environ]
    return {name: _with_entry(environ.get(name, present[0] if present else ""), host) for name in names}


def _with_entry(value: str, entry: str) -> str:
    """
    A list with one more entry. A lone `*` stays alone: urllib and requests only know it by itself.
    """
    entries = _SEPARATORS.split(value.strip())
    if "*" in entries or entry in entries:
        return value
    return f"{value},{entry}" if value.strip(", \t") else entry


def _proxy_for(parts: SplitResult, environ: Mapping[str, str]) -> tuple[OutboundProxy | None, list[str]]:
    host, port = parts.hostname or "", parts.port or _DEFAULT_PORTS[parts.scheme]
    if _is_loopback(host):
        return None, []
    variable, value = _configured(parts.scheme, host, environ)
    if not value:
        return None, _unused(parts.scheme, environ)
    direct, notes = _is_excepted(host, port, environ)
    return (None if direct else read_proxy(variable, value)), notes


def _configured(scheme: str, host: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """
    The variable that decides, and its value.
    """
    for name in (f"{scheme}_proxy", "all_proxy"):
        for variable in (name, name.upper()):
            if variable in environ:
                return variable, environ[variable].strip()
    if sys.platform in ("darwin", "win32"):
        import urllib.request  # noqa: PLC0415 - only these systems have settings of their own

        if not urllib.request.proxy_bypass(host):
            return _SYSTEM, urllib.request.getproxies().get(scheme, "")
    return "", ""


def _unused(scheme: str, environ: Mapping[str, str]) -> list[str]:
    """
    A note where only the variable for http is set: Node's clients use it for https too, so people expect that.
    """
    plain = next((name for name in ("http_proxy", "HTTP_PROXY") if environ.get(name, "").strip()), None)
    if scheme != "https" or plain is None or "https_proxy" in environ or "HTTPS_PROXY" in environ:
        return []
    return [f"{plain} is not used for https addresses: set HTTPS_PROXY if they need the proxy too"]


def read_proxy(variable: str, value: str) -> OutboundProxy:
    """
    The proxy that a variable names.

    Raises:
        ConfigError: it names none, or one of a kind that is not supported.
    """
    try:
        parts = urlsplit(value if "://" in value else f"http://{value}")
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", None
    if not host or re.search(r"\s", host):
        raise ConfigError(f"{variable} is not the address of a proxy", hint="give one like http://proxy.example:3128")
    scheme = _SCHEMES.get(parts.scheme.lower())
    if scheme is None:
        raise ConfigError(
            f"{variable} names a proxy of the kind {parts.scheme}, which is not supported",
            hint=f"supported: {', '.join(_SCHEMES)}",
        )
    username, password = unquote(parts.username or ""), unquote(parts.password or "")
    return OutboundProxy(scheme, host, port or _DEFAULT_PORTS[scheme], username, password, variable)


def _is_loopback(host: str) -> bool:
    address = _address(host)
    return host == "localhost" or host.endswith(".localhost") or (address is not None and address.is_loopback)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _is_excepted(host: str, port: int, environ: Mapping[str, str]) -> tuple[bool, list[str]]:
    """
    Whether `no_proxy` excepts a host, and notes about entries that mean nothing.

    An entry is `*`, a name (and all below it, with or without a dot or `*.` before it), an address or a network
    (`10.0.0.0/8`, `fd00::/8`); a name or an address may have a port (`intranet:8443`, `[::1]:8443`).
    """
    variable = next((name for name in ("no_proxy", "NO_PROXY") if name in environ), None)
    if variable is None:
        return False, []
    entries = [entry for entry in _SEPARATORS.split(environ[variable].strip().lower()) if entry]
    matches = {entry: _matches(entry, host.rstrip("."), port) for entry in entries}
    unclear = [entry for entry, match in matches.items() if match is None]
    notes = [f"{variable}: {', '.join(unclear)}: neither a host nor a network, so ignored"] if unclear else []
    return any(matches.values()), notes


def _matches(entry: str, host: str, port: int) -> bool | None:
    """
    Whether an entry is for a host; None if it means nothing.
    """
    if entry == "*":
        return True
    try:
        if "/" in entry:
            return _in_network(entry, host)
        if _address(entry.strip("[]")) is not None:
            return _address(host) == _address(entry.strip("[]"))
        parts = urlsplit(f"//{entry.removeprefix('*').removeprefix('.')}")
        name, wanted = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        return None
    if not name:
        return None
    return wanted in (None, port) and _is_below(host, name)


def _in_network(entry: str, host: str) -> bool:
    network, address = ipaddress.ip_network(entry.replace("[", "").replace("]", ""), strict=False), _address(host)
    return address is not None and address.version == network.version and address in network


def _is_below(host: str, name: str) -> bool:
    """
    Whether a host is the one that is named, or one of its domain. An address has no domain.
    """
    address = _address(host)
    if address is not None:
        return address == _address(name)
    return host == name or host.endswith(f".{name}")


def _trust(environ: Mapping[str, str]) -> tuple[ssl.SSLContext, tuple[tuple[str, str], ...], list[str]]:
    """
    What is trusted, the variables that decide on it, and notes about those that are ignored.
    """
    named = {name: environ[name].strip() for name in (*REPLACING, *ADDING) if environ.get(name, "").strip()}
    replaces = any(name in named for name in REPLACING)
    tls = _empty() if replaces else _built_in()
    problems = {name: _load(tls, name, place) for name, place in named.items()}
    if replaces and all(problems.get(name, "absent") for name in REPLACING):
        name = next(name for name in REPLACING if name in named)
        raise ConfigError(
            f"{name} names {named[name]}, {problems[name]}",
            hint=f"correct or unset {name}; to add to the built-in certificates, use {' or '.join(ADDING[:2])}",
        )
    places: dict[str, list[str]] = {}
    for name, place in named.items():
        if not problems[name]:
            places.setdefault(place, []).append(name)
    notes = [f"{name} names {named[name]}, {problem}: it is ignored" for name, problem in problems.items() if problem]
    return tls, tuple((", ".join(names), place) for place, names in places.items()), notes


def _built_in() -> ssl.SSLContext:
    """
    The certificates that come with Python's packages, and the system's: a company's own are among the latter.
    """
    import httpx  # noqa: PLC0415 - 0.1 s, and only needed where TLS is spoken

    tls = httpx.create_ssl_context(trust_env=False)
    tls.load_default_certs()
    return tls


def _empty() -> ssl.SSLContext:
    """
    A context with Python's usual settings that trusts nobody yet. Without any place of certificates it would trust the
    system's.
    """
    return ssl.create_default_context(capath=os.devnull)


def _load(tls: ssl.SSLContext, variable: str, place: str) -> str:
    """
    Trust the certificates of a PEM file, or of all hashed files of folders; why that cannot be, or nothing.
    """
    if variable == "SSL_CERT_DIR" or Path(place).is_dir():
        return _load_folders(tls, place)
    try:
        tls.load_verify_locations(cafile=place)
    except ssl.SSLError:
        return "which holds no certificate in PEM form"
    except (OSError, ValueError) as error:
        return f"which cannot be read ({(getattr(error, 'strerror', None) or str(error)).lower()})"
    return ""


def _load_folders(tls: ssl.SSLContext, folders: str) -> str:
    for folder in folders.split(os.pathsep):
        problem = _folder_problem(Path(folder))
        if problem:
            return problem
        tls.load_verify_locations(capath=folder)
    return ""


def _folder_problem(folder: Path) -> str:
    try:
        hashed = any(_HASHED.fullmatch(path.name) for path in folder.iterdir())
    except OSError as error:
        return f"which cannot be read ({reason(error)})"
    return "" if hashed else "which has no hashed certificates (see openssl rehash)"
