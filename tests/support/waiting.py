"""
How long a test waits for what must come: long, for a machine may be slow, and never a moment more than it takes.
"""

import asyncio
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


async def until_in_loop(holds: Callable[[], object], pause_s: float = 0.001) -> None:
    """
    The same for what happens on this loop, or while it goes on.
    """
    async with asyncio.timeout(LONG_S):
        while not holds():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(pause_s)
