"""
Both ends of a proxied connection, under the control of the test: blocking sockets, where the test reads and writes every
byte.

Such a test needs no clock: what it has read at one end happened before what it then writes at the other end.
"""

import socket
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tests.support.waiting import LONG_S


class CutShort(Exception):
    """
    The other side closed the connection before the message was complete; `got` is the part that came.
    """

    def __init__(self, got: bytes) -> None:
        """
        Args:
            got: the part of the message that came.
        """
        super().__init__(f"cut short after {len(got)} bytes: {got[-200:]!r}")
        self.got = got


@dataclass
class Wired:
    """
    An HTTP message as it was sent: its first line, its headers in their spelling and order, and its body without chunk
    framing.
    """

    first: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes = b""

    @property
    def status(self) -> int:
        """
        The status of an answer.
        """
        return int(self.first.split(b" ")[1])

    @property
    def names(self) -> list[bytes]:
        """
        The names of the headers in order, in lower case.
        """
        return [name.lower() for name, _ in self.headers]

    def all(self, name: bytes) -> list[bytes]:
        """
        The values of a header, in order.
        """
        return [value for key, value in self.headers if key.lower() == name]


class End:
    """
    One end of a connection.
    """

    def __init__(self, connection: socket.socket) -> None:
        """
        Args:
            connected: a connected socket.
        """
        self.socket = connection
        self.socket.settimeout(LONG_S)
        self._file = connection.makefile("rb")

    @classmethod
    def to(cls, port: int) -> Self:
        """
        A client's end, connected to a port on loopback.
        """
        return cls(socket.create_connection(("127.0.0.1", port), LONG_S))

    def __enter__(self) -> Self:
        """
        Close at the end of the block.
        """
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """
        Close.
        """
        self.close()

    def close(self) -> None:
        """
        Close the connection; unread data is lost.
        """
        self._file.close()
        self.socket.close()

    def send(self, data: bytes | memoryview) -> None:
        """
        Write all of the data.
        """
        self.socket.sendall(data)

    def read(self, count: int) -> bytes:
        """
        Read exactly this many bytes.
        """
        data = self._file.read(count)
        if len(data) < count:
            raise CutShort(data)
        return data

    def line(self) -> bytes:
        """
        Read a line, without its line break.
        """
        line = self._file.readline()
        if not line.endswith(b"\r\n"):
            raise CutShort(line)
        return line[:-2]

    def head(self) -> Wired:
        """
        Read the first line and the headers, and nothing of the body.
        """
        first = self.line()
        headers = []
        while line := self.line():
            name, _, value = line.partition(b":")
            headers.append((name, value.strip(b" \t")))
        return Wired(first, headers)

    def chunk(self) -> bytes:
        """
        Read one chunk of a chunked body; the last chunk is empty.
        """
        data = self.read(int(self.line(), 16))
        if self.line():
            raise AssertionError("a chunk has no end")
        return data

    def message(self, *, bodiless: bool = False) -> Wired:
        """
        Read a whole request or answer.

        Args:
            bodiless: whether this is the answer to a HEAD request.

        Raises:
            CutShort: the connection closed before the message was complete.
        """
        message = self.head()
        if bodiless or message.first.startswith((b"HTTP/1.1 204", b"HTTP/1.1 304")):
            return message
        if message.all(b"transfer-encoding") == [b"chunked"]:
            while data := self.chunk():
                message.body += data
        elif message.all(b"content-length"):
            message.body = self.read(int(message.all(b"content-length")[0]))
        elif message.first.startswith(b"HTTP/"):
            message.body = self._file.read()
        return message

    def rest(self) -> bytes:
        """
        Read until the other side ends the connection in any way.
        """
        data = b""
        try:
            while piece := self._file.read1(65536):
                data += piece
        except ConnectionError:
            pass
        return data


class Wire:
    """
    An upstream that answers nothing by itself: the test accepts its connections and writes its answers.
    """

    def __init__(self) -> None:
        """
        Listen on a free port of loopback.
        """
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(LONG_S)
        self.port: int = self._listener.getsockname()[1]
        self._ends: list[End] = []

    @property
    def url(self) -> str:
        """
        The base URL.
        """
        return f"http://127.0.0.1:{self.port}"

    def accept(self) -> End:
        """
        The next connection.
        """
        end = End(self._listener.accept()[0])
        self._ends.append(end)
        return end

    def waiting(self) -> bool:
        """
        Whether a connection is waiting to be accepted.
        """
        self._listener.settimeout(0)
        try:
            self._ends.append(End(self._listener.accept()[0]))
        except BlockingIOError:
            return False
        finally:
            self._listener.settimeout(LONG_S)
        return True

    def close(self) -> None:
        """
        Close the connections and the listener.
        """
        for end in self._ends:
            end.close()
        self._listener.close()


def request(
    method: str = "POST",
    target: str = "/v1/messages",
    body: bytes | None = None,
    *headers: tuple[str, str],
    host: str = "127.0.0.1",
) -> bytes:
    """
    A request as bytes, with `host`, these headers, and a content-length if there is a body.
    """
    lines = [f"{method} {target} HTTP/1.1", f"host: {host}", *(f"{name}: {value}" for name, value in headers)]
    if body is not None:
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


def exchange(port: int, data: bytes) -> Wired:
    """
    Send a request on a new connection and read the whole answer.
    """
    with End.to(port) as client:
        client.send(data)
        return client.message(bodiless=data.startswith(b"HEAD "))


OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
CHUNKED = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """
    A chunk of a chunked body.
    """
    return b"%x\r\n%b\r\n" % (len(data), data)
