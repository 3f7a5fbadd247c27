"""
How long a test waits for what must come: long, for a machine may be slow, and never a moment more than it takes.
"""

import threading
import time
from collections.abc import Callable

LONG_S = 60.0


def until(holds: Callable[[], object], within_s: float = LONG_S) -> None:
    """
    Wait for what another thread or process does.
    """
    end, step = time.monotonic() + within_s, threading.Event()
    while not holds():
        assert time.monotonic() < end, f"it did not come in {within_s:g} s"
        step.wait(0.005)
