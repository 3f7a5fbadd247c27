"""
Proxies and a TLS upstream on loopback, for tests of the way to the upstream: real sockets, in threads of this process.
"""

import base64
import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, cast

import trustme
import uvloop

from savemode_cli.network import network_for
from savemode_cli.proxy.transport import AiohttpTransport
from savemode_cli.proxy.upstream import UpstreamRequest
from tests.support.waiting import LONG_S

Handler = Callable[[socket.socket], None]
Listen = Callable[[Handler], int]


@contextmanager
def listening(handle: Handler, host: str = "127.0.0.1") -> Iterator[int]:
    """
    A server that gives each connection to `handle`, in a thread of its own and secured with the handler's `tls`, if it has
    any; yields the port.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, 0), family=family)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    def serve(connection: socket.socket) -> None:
        connection.settimeout(LONG_S)
        tls = getattr(handle, "tls", None)
        with contextlib.suppress(OSError, EOFError), connection:
            if tls is None:
                handle(connection)
            else:
                with tls.wrap_socket(connection, server_side=True) as secured:
                    handle(secured)

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def head_of(file: IO[bytes]) -> list[str]:
    """
    The request line and the header lines.
    """
    lines = []
    while (line := file.readline()) not in (b"\r\n", b""):
        lines.append(line.decode("latin-1").rstrip("\r\n"))
    if not lines:
        raise EOFError
    return lines


def header(lines: list[str], name: str) -> str | None:
    """
    The value of a header in these lines.
    """
    found = (line.partition(":") for line in lines[1:])
    return next((value.strip() for key, _, value in found if key.lower() == name), None)


class Answering:
    """
    An upstream that answers every request, and keeps the heads. With `tls` it speaks TLS.
    """

    def __init__(self, tls: ssl.SSLContext | None = None, status: str = "200 OK") -> None:
        """
        Nothing was asked yet.
        """
        self.heads: list[list[str]] = []
        self.tls = tls
        self._status = status

    def __call__(self, connection: socket.socket) -> None:
        """
        Answer until the other side closes.
        """
        file = connection.makefile("rb")
        while True:
            head = head_of(file)
            file.read(int(header(head, "content-length") or 0))
            self.heads.append(head)
            connection.sendall(f"HTTP/1.1 {self._status}\r\ncontent-length: 2\r\n\r\n{{}}".encode())


class HttpProxy:
    """
    An HTTP proxy. It asks for `login` (user:password) if it has one, and refuses everything with `refuses`. Whatever host
    it is asked for, it connects to `port`.
    """

    def __init__(self, port: int = 0, *, login: str = "", refuses: str = "", tls: ssl.SSLContext | None = None) -> None:
        """
        Nothing was asked yet.
        """
        self.heads: list[list[str]] = []
        self._port = port
        self._login = login
        self._refuses = refuses
        self.tls = tls

    def __call__(self, connection: socket.socket) -> None:
        """
        Serve one connection.
        """
        file = cast("IO[bytes]", connection.makefile("rb", buffering=0))
        head = head_of(file)
        self.heads.append(head)
        wanted = "Basic " + base64.b64encode(self._login.encode()).decode()
        if self._login and header(head, "proxy-authorization") != wanted:
            refused = "407 Proxy Authentication Required\r\nproxy-authenticate: Basic realm=x"
            connection.sendall(f"HTTP/1.1 {refused}\r\ncontent-length: 0\r\n\r\n".encode())
        elif self._refuses:
            connection.sendall(f"HTTP/1.1 {self._refuses}\r\ncontent-length: 0\r\n\r\n".encode())
        elif head[0].startswith("CONNECT "):
            with socket.create_connection(("127.0.0.1", self._port)) as other:
                connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                join(connection, other)
        else:
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")


class SocksProxy:
    """
    A proxy of SOCKS 4, 4a and 5. Whatever it is asked for, it connects to `port`; `asked` is what it was asked for.
    """

    def __init__(self, port: int = 0, *, login: tuple[str, str] | None = None, reply: int | None = None) -> None:
        """
        `reply` is a code to refuse with.
        """
        self.asked: list[tuple[str, int]] = []
        self._port = port
        self._login = login
        self._reply = reply

    def __call__(self, connection: socket.socket) -> None:
        """
        Serve one connection.
        """
        file = cast("IO[bytes]", connection.makefile("rb", buffering=0))
        version = file.read(1)
        if version == b"\x05":
            self._five(connection, file)
        elif version == b"\x04":
            self._four(connection, file)

    def _five(self, connection: socket.socket, file: IO[bytes]) -> None:
        methods = file.read(file.read(1)[0])
        method = 2 if self._login is not None else 0
        if method not in methods:
            connection.sendall(b"\x05\xff")
            return
        connection.sendall(bytes([5, method]))
        if self._login is not None:
            file.read(1)
            login = tuple(file.read(file.read(1)[0]).decode() for _ in range(2))
            connection.sendall(b"\x01\x00" if login == self._login else b"\x01\x01")
            if login != self._login:
                return
        _, _, _, kind = file.read(4)
        if kind == 3:
            host = file.read(file.read(1)[0]).decode()
        elif kind == 1:
            host = socket.inet_ntop(socket.AF_INET, file.read(4))
        else:
            host = socket.inet_ntop(socket.AF_INET6, file.read(16))
        self.asked.append((host, struct.unpack("!H", file.read(2))[0]))
        code = 0 if self._reply is None else self._reply
        self._join(connection, bytes([5, code, 0, 1, 0, 0, 0, 0, 0, 0]))

    def _four(self, connection: socket.socket, file: IO[bytes]) -> None:
        _, port, address = struct.unpack("!BH4s", file.read(7))
        _text(file)
        host = _text(file) if address[:3] == b"\0\0\0" else socket.inet_ntop(socket.AF_INET, address)
        self.asked.append((host, port))
        self._join(connection, bytes([0, 90 if self._reply is None else self._reply, 0, 0, 0, 0, 0, 0]))

    def _join(self, connection: socket.socket, answer: bytes) -> None:
        if self._reply is not None:
            connection.sendall(answer)
            return
        with socket.create_connection(("127.0.0.1", self._port)) as other:
            connection.sendall(answer)
            join(connection, other)


def _text(file: IO[bytes]) -> str:
    found = b""
    while (byte := file.read(1)) not in (b"\0", b""):
        found += byte
    return found.decode()


def join(one: socket.socket, other: socket.socket) -> None:
    """
    Copy what comes from each side to the other until one of them ends.
    """
    thread = threading.Thread(target=_copy, args=(other, one), daemon=True)
    thread.start()
    _copy(one, other)
    thread.join(LONG_S)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


class Authority:
    """
    A certificate authority that nobody trusts until it is named.
    """

    def __init__(self) -> None:
        """
        Make its certificate.
        """
        self._ca = trustme.CA()
        self.pem: bytes = self._ca.cert_pem.bytes()

    def serving(self, *names: str) -> ssl.SSLContext:
        """
        What a server of these names needs.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._ca.issue_cert(*names).configure_cert(context)
        return context


def asked(url: str, times: int = 1, **environ: str) -> list[int]:
    """
    The statuses of requests one after the other, sent in the way that the environment describes.
    """
    network = network_for(url, environ)

    async def main() -> list[int]:
        transport = AiohttpTransport(
            url, connect_timeout_s=10.0, read_timeout_s=10.0, proxy=network.proxy, tls=network.tls
        )
        statuses = []
        try:
            for _ in range(times):
                answer = await transport.send(UpstreamRequest("POST", b"/v1/x?k=1", [], b"{}"))
                assert b"".join([piece async for piece in answer.pieces]) == b"{}"
                statuses.append(answer.status)
        finally:
            await transport.aclose()
        return statuses

    return uvloop.run(main())
