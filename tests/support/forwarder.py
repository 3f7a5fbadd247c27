"""
A way to a server that a test can cut, slow down, and lose answers on.
"""

import contextlib
import socket
import threading
from collections.abc import Iterator


class Forwarder:
    """
    A way to a server that a test controls.

    `answers` False keeps what the server says from the client, `requests` what the client says from the server until it is set.
    So many `lost_answers` reach nobody and end their connection. `cut` ends every connection, and takes no other until `mend`.
    """

    def __init__(self, port: int) -> None:
        """
        Args:
            port: where the server is.
        """
        self.port = 0
        self.answers = True
        self.lost_answers = 0
        self.requests = threading.Event()
        self.requests.set()
        self.connections = 0
        """How many were made."""
        self.turns = 0
        """How often the client said something that the server was given."""
        self.answered = 0
        """How often the server said something."""
        self._target = port
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None
        self.mend()

    def mend(self) -> None:
        """
        Take connections.
        """
        self.answers = True
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def cut(self) -> None:
        """
        End every connection, and take no other.
        """
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        self.drop()

    def drop(self) -> None:
        """
        End every connection that there is.
        """
        with self._lock:
            # A client that connects again at once is not among them.
            ended, self._open = self._open, []
        for one in ended:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._target), 5)
            except OSError:
                client.close()
                continue
            self.connections += 1
            with self._lock:
                self._open += [client, server]
            for pump in (self._to_server, self._to_client):
                threading.Thread(target=pump, args=(client, server), daemon=True).start()

    def _to_server(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                self.requests.wait()
                self.turns += 1
                server.sendall(data)
            if self.requests.is_set():
                server.shutdown(socket.SHUT_WR)

    def _to_client(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                self.answered += 1
                if self.lost_answers:
                    self.lost_answers -= 1
                    self.drop()
                elif self.answers:
                    client.sendall(data)
            client.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def forwarded(port: int) -> Iterator[Forwarder]:
    """
    A way to the server at this port, until the end of the block.
    """
    forwarder = Forwarder(port)
    try:
        yield forwarder
    finally:
        forwarder.requests.set()
        forwarder.cut()
