"""
Bodies with cache breakpoints, and what became of them.
"""

import json
from typing import Any

from savemode_cli.core.upgrade.edits import Transformed
from savemode_cli.core.wire.caller import Caller

BARE = {"type": "ephemeral"}
PERSON = Caller("posthog_code", idle_prone=True)


def body_of(*markers: Any, **more: Any) -> bytes:
    """
    A body with one system block per marker.
    """
    system = [{"type": "text", "text": f"s{n}", "cache_control": marker} for n, marker in enumerate(markers)]
    return json.dumps({"model": "claude-opus-5-5", "system": system, **more}).encode()


def upgraded(done: Transformed) -> list[str]:
    """
    Where a TTL was added, as the table writes it.
    """
    return [".".join(str(step) for step in edit.path[:-2]) for edit in done.edits]


def code_of(done: Transformed) -> list[str]:
    """
    The codes of the skips, in order.
    """
    return [skip.code for skip in done.skips]
