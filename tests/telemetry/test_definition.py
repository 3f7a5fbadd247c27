"""
What a definition gives a sink. That a definition is found everywhere is tested in `tests/cli/test_added_sink.py`.
"""

from typing import Any

from savemode_cli.config import Settings
from savemode_cli.telemetry.definition import SinkContext


class Outlet:
    """
    An outlet that keeps what it gets.
    """

    where = "here"

    def deliver(self, batch: Any, timeout_s: float) -> None:
        """
        Nothing is delivered here.
        """


def test_background_sink() -> None:
    """
    It has the name, and wants content only if events shall have it.
    """
    for wanted in (False, True):
        settings = Settings(telemetry_content=wanted)
        context = SinkContext(settings, "1.0", lambda *_: None, lambda _: None, is_terminal=False)
        sink = context.background("mine", Outlet(), batch_s=0.0)
        sink.close()

        assert (sink.name, sink.wants_content, dict(sink.counters)) == (
            "mine",
            wanted,
            {"delivered": 0, "lost": 0, "waiting": 0},
        )
