"""
The sink that appends every exchange to a capture store, in a thread of its own.

Rule of this file: requests matter more than their captures. Nothing here makes one wait or fail; what could not be kept
is counted, and said once.
"""

import queue
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from savemode_cli.captures.store import CaptureStore
from savemode_cli.core.capture import capture_of
from savemode_cli.core.errors import CaptureUnavailable, SavemodeError
from savemode_cli.core.record import Record

MOST_WAITING = 1_000
MOST_WAITING_BYTES = 64 * 1024 * 1024
PRUNE_EVERY_S = 3600.0
_LAST_WAIT_S = 10.0

Announce = Callable[[str, str], None]


class CaptureSink:
    """
    Keeps the exchanges in a folder's store. `keep` is how long, None: for ever.
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
        Open the store and start to write. A store that cannot be used is said, and tried again with each exchange.

        Raises:
            ConfigError: the folder is not one to keep such things in.
        """
        self.lost = 0
        self._trouble = ""
        self._folder = folder
        self._announce = announce
        self._upstream = upstream
        self._keep = keep
        self._now = now
        self._prune_every_s = prune_every_s
        self._store: CaptureStore | None = None
        self._waiting: queue.SimpleQueue[Record | None] = queue.SimpleQueue()
        self._waiting_bytes = 0
        self._lock = threading.Lock()
        self._behind = False
        self._closed = False
        try:
            self._opened()
        except CaptureUnavailable as error:
            self._in_trouble(error)
        # A daemon: a disk that never answers must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="captures", daemon=True)
        self._thread.start()

    @property
    def trouble(self) -> str:
        """
        What keeps exchanges from being captured now; "" if nothing does.
        """
        return self._trouble or ("the disk is too slow: some exchanges are not captured" if self._behind else "")

    def keep(self, record: Record) -> None:
        """
        Take an exchange, or count it as lost if the writer is too far behind.
        """
        size = _size(record)
        with self._lock:
            full = self._waiting.qsize() >= MOST_WAITING or self._waiting_bytes + size > MOST_WAITING_BYTES
            # One that is alone too large is let in when nobody waits, or it never would be.
            if self._closed or (full and self._waiting_bytes):
                self.lost += 1
                first, self._behind = not self._behind, True
            else:
                self._waiting_bytes += size
                self._waiting.put(record)
                return
        if first and not self._closed:
            self._announce("captures_behind", self.trouble)

    def close(self) -> None:
        """
        Write what waits, for a few seconds at most, and say how many exchanges were lost.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._waiting.put(None)
        self._thread.join(_LAST_WAIT_S)
        if self._thread.is_alive():
            self._announce("captures_unfinished", f"{self._waiting.qsize()} exchanges were not written in time")
        elif self._store is not None:
            self._store.close()
        if self.lost:
            self._announce("captures_lost", f"{counted(self.lost, 'exchange')} not captured")

    def _run(self) -> None:
        self._try(self._prune)
        due = time.monotonic() + self._prune_every_s
        while True:
            try:
                record = self._waiting.get(timeout=max(due - time.monotonic(), 0))
            except queue.Empty:
                self._try(self._prune)
                due = time.monotonic() + self._prune_every_s
                continue
            if record is None:
                return
            kept = self._try(partial(self._append, record))
            with self._lock:  # the event loop counts what it could not hand over
                self.lost += not kept
                self._waiting_bytes -= _size(record)
                if self._behind and not self._waiting_bytes:
                    self._behind = False

    def _opened(self) -> CaptureStore:
        if self._store is not None and self._store.replaced:
            # Deleted or moved away while we write: what goes into the old file, nobody finds.
            self._store.close()
            self._store = None
        if self._store is None:
            self._store = CaptureStore.make(self._folder)
        return self._store

    def _append(self, record: Record) -> None:
        self._opened().append(capture_of(record, self._upstream))

    def _prune(self) -> None:
        store = self._opened()
        if self._keep is not None:
            store.prune(self._now() - self._keep)

    def _try(self, step: Callable[[], object]) -> bool:
        """
        Whether it went well. A trouble is told when it begins and when it ends, and not with every exchange.
        """
        try:
            step()
        except SavemodeError as error:
            self._in_trouble(error)
            return False
        except Exception as error:  # noqa: BLE001 - a mistake in here must not end the captures, let alone the proxy
            self._in_trouble(CaptureUnavailable(f"an exchange could not be captured: {type(error).__name__}"))
            return False
        if self._trouble:
            self._trouble = ""
            self._announce("captures_resumed", f"exchanges are captured again; {counted(self.lost, 'exchange')} not")
        return True

    def _in_trouble(self, error: SavemodeError) -> None:
        if not self._trouble:
            hint = f" ({error.hint})" if error.hint else ""
            self._announce("captures_unavailable", f"{error.message}{hint}; requests go on, and are not captured")
        self._trouble = error.message


def counted(number: int, what: str) -> str:
    """
    `1 exchange was`, `2 exchanges were`.
    """
    return f"1 {what} was" if number == 1 else f"{number} {what}s were"


def _size(record: Record) -> int:
    """
    What a waiting record keeps in memory, about.
    """
    content = record.content
    bodies = () if content is None else (content.request_body, content.response_body)
    return 4096 + sum(len(body) for body in bodies if body is not None)
