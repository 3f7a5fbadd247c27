"""
The hold-out of a trial: a share of all sessions that is not upgraded, to compare the others with.

Rule of this file: the group of a session depends on its ID and the share alone. All requests of a session are in the same
group, those of its sub-agents too, whichever proxy serves them.
"""

from hashlib import sha256
from typing import Any, Literal, get_args

from msgspec import Struct

Group = Literal["policy", "hold-out"]
"""`policy`: the TTL policy decides. `hold-out`: nothing is upgraded."""

GROUPS: tuple[Group, ...] = get_args(Group)


class TrialMember(Struct, frozen=True, gc=False):
    """
    The place of a request's session in a trial.
    """

    group: Group
    session: str
    """A digest of the session's ID."""

    def to_json(self) -> dict[str, Any]:
        """
        The fields for machines.
        """
        return {"group": self.group, "session": self.session}


def trial_member(session: str, share: float) -> TrialMember:
    """
    The place of a session in a trial.

    Args:
        session: its ID, that of a sub-agent being the one of the conversation that it works for.
        share: the share of the sessions that is held out, from 0 to 1.
    """
    digest = sha256(f"hold-out\0{session}".encode("utf-8", "surrogatepass"))
    part = int.from_bytes(digest.digest()[:8], "big") / 2**64
    return TrialMember("hold-out" if part < share else "policy", digest.hexdigest()[-16:])
