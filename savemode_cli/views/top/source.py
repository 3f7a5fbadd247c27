"""
What `savemode top` asks a proxy: over HTTP, as any program could.

Rule of this file: it never raises. A proxy that does not answer is a snapshot without a summary.
"""

import threading
from contextlib import suppress
from http.client import HTTPConnection, HTTPException

from savemode_cli.serving.running import RunningProxy, connection_to, get_json
from savemode_cli.views.top.snapshot import Snapshot

QUIET_S = 5.0
"""How long nothing may happen before it asks again: caches expire, and budgets begin anew."""
PAUSE_S = 0.5
"""The least time between two questions, however much happens."""
_RETRY_S = 2.0


class ProxySource:
    """
    A proxy at an address.
    """

    def __init__(self, url: str, token: str | None = None) -> None:
        """
        Args:
            url: its base URL.
            token: the access token, where this user has configured one.
        """
        self._proxy = RunningProxy(url, 0, "")
        self._token = token
        self._happened = threading.Event()
        self._closed = threading.Event()
        self._listener: threading.Thread | None = None

    def load(self) -> Snapshot:
        """
        What it answers now.
        """
        if self._listener is None:
            self._listener = threading.Thread(target=self._listen, daemon=True)
            self._listener.start()
        self._happened.clear()
        url = self._proxy.url
        summary = get_json(self._proxy, "/-/summary", self._token)
        if summary is None or "sessions" not in summary:
            return Snapshot(url)
        exchanges = (get_json(self._proxy, "/-/exchanges?last=100", self._token) or {}).get("exchanges", [])
        return Snapshot(url, summary, exchanges)

    def wait(self) -> None:
        """
        Wait until a request is done, for half a second at least and five seconds at most.
        """
        if not self._closed.wait(PAUSE_S):
            self._happened.wait(QUIET_S)

    def close(self) -> None:
        """
        End a `wait` in another thread, and every later one.
        """
        self._closed.set()
        self._happened.set()

    def _listen(self) -> None:
        """
        Read the proxy's events until the end. The thread is a daemon, because a read of a quiet stream takes long to end.
        """
        while not self._closed.is_set():
            connection, headers = connection_to(self._proxy, self._token, timeout_s=60.0)
            with suppress(OSError, HTTPException):
                self._read_events(connection, headers)
            connection.close()
            self._closed.wait(_RETRY_S)

    def _read_events(self, connection: HTTPConnection, headers: dict[str, str]) -> None:
        connection.request("GET", "/-/events", headers=headers)
        answer = connection.getresponse()
        while answer.status == 200 and (line := answer.readline(65536)):
            if self._closed.is_set():
                return
            if line.startswith(b"event:"):
                self._happened.set()
