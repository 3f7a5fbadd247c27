"""
A replay with what is shown beside it.
"""

from savemode_cli.core.replay.report import Replay
from savemode_cli.views.replay_words import Shown


def shown(replay: Replay, **more: object) -> Shown:
    """
    With the default product around it.
    """
    fields: dict[str, object] = {"product": "llm_gateway", "idle_prone": False, **more}
    return Shown(replay, **fields)  # type: ignore[arg-type]
