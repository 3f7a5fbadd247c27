"""
The sink that appends every exchange to a capture store, in a thread of its own.

Rule of this file: requests have priority over captures. No request waits or fails because of a capture. An exchange that
could not be captured is counted, and the first one is announced.
"""

import queue
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from savemode_cli.captures.store import CaptureStore
from savemode_cli.core.errors import CaptureUnavailable, SavemodeError
from savemode_cli.core.exchange.capture import capture_of
from savemode_cli.core.exchange.observed import Observed

MAX_WAITING = 1_000
MAX_WAITING_BYTES = 64 * 1024 * 1024
PRUNE_EVERY_S = 3600.0
_CLOSE_WAIT_S = 10.0

Announce = Callable[[str, str], None]


class CaptureSink:
    """
    Records exchanges in the store of a folder.

    Attributes:
        captured: how many exchanges were captured.
        lost: how many exchanges were not captured.
    """

    name = "captures"
    wants_content = True

    def __init__(
        self,
        folder: Path,
        announce: Announce,
        *,
        upstream: str = "",
        keep: timedelta | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        prune_every_s: float = PRUNE_EVERY_S,
    ) -> None:
        """
        Open the store and start the writer thread. If the store is not usable, that is announced, and each exchange tries
        again to open it.

        Args:
            folder: the folder of the store.
            announce: receives an event and a text when capturing stops or resumes.
            upstream: the upstream of the proxy, for the captures.
            keep: how long exchanges are kept; None: for ever.
            now: the clock.
            prune_every_s: how often old exchanges are removed, in seconds.

        Raises:
            ConfigError: the folder cannot be used for captures.
        """
        self.captured = 0
        self.lost = 0
        self._trouble = ""
        self._folder = folder
        self._announce = announce
        self._upstream = upstream
        self._keep = keep
        self._now = now
        self._prune_every_s = prune_every_s
        self._store: CaptureStore | None = None
        self._waiting: queue.SimpleQueue[Observed | None] = queue.SimpleQueue()
        self._waiting_bytes = 0
        self._lock = threading.Lock()
        self._behind = False
        self._closed = False
        try:
            self._open_store()
        except CaptureUnavailable as error:
            self._announce_problem(error)
        # A daemon thread, so that the process can end even if the disk never answers.
        self._thread = threading.Thread(target=self._run, name="captures", daemon=True)
        self._thread.start()

    @property
    def trouble(self) -> str:
        """
        Why exchanges are not being captured at the moment; "" if they are.
        """
        return self._trouble or ("the disk is too slow: some exchanges are not captured" if self._behind else "")

    @property
    def counters(self) -> Mapping[str, int]:
        """
        How many exchanges were captured, were lost, and wait to be written.
        """
        return {"captured": self.captured, "lost": self.lost, "waiting": self._waiting.qsize()}

    def keep(self, observed: Observed) -> None:
        """
        Add an exchange to the queue, or count it as lost if the queue is full.
        """
        size = _size(observed)
        with self._lock:
            full = self._waiting.qsize() >= MAX_WAITING or self._waiting_bytes + size > MAX_WAITING_BYTES
            # An exchange that is larger than the limit is accepted when the queue is empty; otherwise it never would be.
            if self._closed or (full and self._waiting_bytes):
                self.lost += 1
                first, self._behind = not self._behind, True
            else:
                self._waiting_bytes += size
                self._waiting.put(observed)
                return
        if first and not self._closed:
            self._announce("captures_behind", self.trouble)

    def close(self) -> None:
        """
        Write the waiting exchanges, for up to 10 seconds, and announce how many were lost.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._waiting.put(None)
        self._thread.join(_CLOSE_WAIT_S)
        if self._thread.is_alive():
            self._announce("captures_unfinished", f"{self._waiting.qsize()} exchanges were not written in time")
        elif self._store is not None:
            self._store.close()
        if self.lost:
            self._announce("captures_lost", f"{counted(self.lost, 'exchange')} not captured")

    def _run(self) -> None:
        self._succeeds(self._prune)
        due = time.monotonic() + self._prune_every_s
        while True:
            try:
                observed = self._waiting.get(timeout=max(due - time.monotonic(), 0))
            except queue.Empty:
                self._succeeds(self._prune)
                due = time.monotonic() + self._prune_every_s
                continue
            if observed is None:
                return
            written = self._succeeds(partial(self._append, observed))
            with self._lock:  # the event loop counts lost exchanges too
                self.captured += written
                self.lost += not written
                self._waiting_bytes -= _size(observed)
                if self._behind and not self._waiting_bytes:
                    self._behind = False

    def _open_store(self) -> CaptureStore:
        if self._store is not None and self._store.replaced:
            # The file was deleted or moved. Captures written to the old file would not be found.
            self._store.close()
            self._store = None
        if self._store is None:
            self._store = CaptureStore.make(self._folder)
        return self._store

    def _append(self, observed: Observed) -> None:
        self._open_store().append(capture_of(observed, self._upstream))

    def _prune(self) -> None:
        store = self._open_store()
        if self._keep is not None:
            store.prune(self._now() - self._keep)

    def _succeeds(self, step: Callable[[], object]) -> bool:
        """
        Whether the step succeeded. Announces a problem when it begins and when it ends, and not for each exchange.
        """
        try:
            step()
        except SavemodeError as error:
            self._announce_problem(error)
            return False
        except Exception as error:  # noqa: BLE001 - a bug here must not stop the captures or the proxy
            self._announce_problem(CaptureUnavailable(f"an exchange could not be captured: {type(error).__name__}"))
            return False
        if self._trouble:
            self._trouble = ""
            self._announce(
                "captures_resumed", f"exchanges are captured again; {counted(self.lost, 'exchange')} not captured"
            )
        return True

    def _announce_problem(self, error: SavemodeError) -> None:
        if not self._trouble:
            hint = f" ({error.hint})" if error.hint else ""
            self._announce("captures_unavailable", f"{error.message}{hint}; requests continue and are not captured")
        self._trouble = error.message


def counted(number: int, what: str) -> str:
    """
    `1 exchange was`, `2 exchanges were`.
    """
    return f"1 {what} was" if number == 1 else f"{number} {what}s were"


def _size(observed: Observed) -> int:
    """
    About how many bytes of memory a waiting exchange uses.
    """
    content = observed.content
    bodies = () if content is None else (content.request_body, content.response_body)
    return 4096 + sum(len(body) for body in bodies if body is not None)
