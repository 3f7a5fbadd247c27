"""
What a recorded request could have read from the cache and did not, from usage and times alone.

Rule of this file: a record without bodies does not show which part of a prompt changed. So a miss is `compacted` if the
conversation became shorter, `expired` if the pause was longer than the TTL, and otherwise `unknown`.
"""

from savemode_cli.core.diagnosis.causes import Cause, Miss, is_miss
from savemode_cli.core.replay.inference import LaneRequest


def miss_of(item: LaneRequest) -> Miss | None:
    """
    The missed read of a request; None if almost nothing was missed, or if it is the first request of its conversation.
    """
    if item.idle is None:
        return None
    missed = item.reach_tokens - item.read_tokens
    if not is_miss(missed, item.reach_tokens):
        return None
    return Miss(_cause(item), missed, idle=item.idle, ttl=item.left_ttl)


def _cause(item: LaneRequest) -> Cause:
    if item.shrunk:
        return "compacted"
    return "unknown" if item.survives(item.left_ttl) else "expired"
