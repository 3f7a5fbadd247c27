"""
Both ends of a proxied connection in the test's own hands: blocking sockets, every byte seen and every byte decided.

A test that holds both ends needs no clock: what it has read on one side happened before what it writes on the other.
"""

import socket
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tests.waiting import LONG_S


class CutShort(Exception):
    """
    The other side ended the connection before the message was complete; `got` is what had come of it.
    """

    def __init__(self, got: bytes) -> None:
        """
        Keep what came.
        """
        super().__init__(f"cut short after {len(got)} bytes: {got[-200:]!r}")
        self.got = got


@dataclass
class Wired:
    """
    An HTTP message as it was on the wire: its first line, its headers with their spelling and order, its body unchunked.
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
        The headers' names in order, in lower case.
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
        Take over a connected socket.
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
        End the connection; what was not read is lost.
        """
        self._file.close()
        self.socket.close()

    def send(self, data: bytes | memoryview) -> None:
        """
        Write all of it.
        """
        self.socket.sendall(data)

    def read(self, count: int) -> bytes:
        """
        Exactly so many bytes.
        """
        data = self._file.read(count)
        if len(data) < count:
            raise CutShort(data)
        return data

    def line(self) -> bytes:
        """
        A line without its end.
        """
        line = self._file.readline()
        if not line.endswith(b"\r\n"):
            raise CutShort(line)
        return line[:-2]

    def head(self) -> Wired:
        """
        The first line and the headers; nothing of the body is read.
        """
        first = self.line()
        headers = []
        while line := self.line():
            name, _, value = line.partition(b":")
            headers.append((name, value.strip(b" \t")))
        return Wired(first, headers)

    def chunk(self) -> bytes:
        """
        One chunk of a chunked body; empty for the one that ends it.
        """
        data = self.read(int(self.line(), 16))
        if self.line():
            raise AssertionError("a chunk has no end")
        return data

    def message(self, *, bodiless: bool = False) -> Wired:
        """
        A whole request or answer; `bodiless` for the answer to a HEAD.

        Raises:
            CutShort: it ended before its end.
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
        Whatever comes until the other side ends the connection, by whatever means.
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
        End the connections and the listening.
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
    A request as bytes, with `host`, the headers given, and a content-length where there is a body.
    """
    lines = [f"{method} {target} HTTP/1.1", f"host: {host}", *(f"{name}: {value}" for name, value in headers)]
    if body is not None:
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


def exchange(port: int, data: bytes) -> Wired:
    """
    Send a request on a connection of its own and read the whole answer.
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
