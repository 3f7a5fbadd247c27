"""
The settings of the process that serves: memory, garbage collection and event loop.
"""

import asyncio
import gc

from savemode_cli.serving.process import run_in_loop, tune_process


def test_run_in_loop_returns_the_result() -> None:
    """
    The result of the coroutine is returned, with either event loop.
    """

    async def answer() -> int:
        await asyncio.sleep(0)
        return 42

    assert run_in_loop(answer) == 42


def test_tuning_freezes_loaded_objects() -> None:
    """
    Objects that exist before the server starts are excluded from garbage collection.
    """
    try:
        tune_process()

        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()
