"""
Edits of a request body: byte splices with a path and a reason.

Rule of this file: applying and reverting edits gives back the original bytes.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from msgspec import UNSET, Struct

from savemode_cli.core.upgrade.policy import Policy
from savemode_cli.core.upgrade.rules import CACHE_TTL
from savemode_cli.core.wire.caller import Caller
from savemode_cli.core.wire.facts import Facts
from savemode_cli.core.wire.messages import Path, dotted

ABSENT: Final = UNSET
"""Stands for a missing value: before an insertion, or after a removal."""


class Edit(Struct, frozen=True, gc=False, kw_only=True):
    """
    One splice of the body.
    """

    rule: str
    """The name of the rule that made it, a key of `rules.RULES`."""
    path: Path
    """The path to the value that changes."""
    before: Any = ABSENT
    """That value in the original body."""
    after: Any = ABSENT
    """That value in the edited body."""
    at: int
    """The offset of the splice in the original body, in bytes."""
    removed: bytes
    inserted: bytes
    was: str
    """The JSON text of the object around the value in the original body, for display."""
    becomes: str
    """The same object in the edited body."""
    why: str
    """The reason, for people."""


class Skip(Struct, frozen=True, gc=False):
    """
    What a rule found and did not change.
    """

    rule: str
    """The name of the rule."""
    path: Path
    """The path to what it found; () for the whole request."""
    code: str
    """The reason as a word from a small set. Summaries count it."""
    why: str
    """The reason, for people."""


ENCODED = Skip(CACHE_TTL, (), "encoded", "the body is compressed")
"""Why a compressed request is sent unchanged: an edit would have to compress it again."""


class Transformed(Struct, frozen=True, gc=False):
    """
    The body to send, and how it was made. `revert(body, edits)` is always the original body.
    """

    body: bytes
    edits: tuple[Edit, ...] = ()
    skips: tuple[Skip, ...] = ()


RuleOutput = tuple[list[Edit], list[Skip]]
"""The edits that a rule makes in a request, and what it leaves unchanged."""


class RuleInput(Struct, frozen=True, gc=False):
    """
    What a rule receives: one request, and what the user allows.
    """

    body: bytes
    """The body as the client sent it. An `Edit` names a place in these bytes."""

    facts: Facts
    """The facts of the body."""

    policy: Policy
    caller: Caller

    previous_message_id: str | None = None
    """The API's ID of the answer before it in its conversation; None if it is the first, or that is not known."""


def upgrades(edits: Iterable[Edit]) -> tuple[Edit, ...]:
    """
    The edits that upgrade a TTL.
    """
    return tuple([edit for edit in edits if edit.rule == CACHE_TTL])


def apply(body: bytes, edits: Sequence[Edit]) -> bytes:
    """
    The body with the edits made; the same object if there are no edits.
    """
    if not edits:
        return body
    pieces: list[bytes | memoryview] = []
    view = memoryview(body)
    position = 0
    for edit in sorted(edits, key=_offset):
        pieces += (view[position : edit.at], edit.inserted)
        position = edit.at + len(edit.removed)
    pieces.append(view[position:])
    return b"".join(pieces)


def revert(body: bytes, edits: Sequence[Edit]) -> bytes:
    """
    The original of a body that `apply` made with these edits.
    """
    pieces: list[bytes | memoryview] = []
    view = memoryview(body)
    position = shift = 0
    for edit in sorted(edits, key=_offset):
        start = edit.at + shift
        pieces += (view[position:start], edit.removed)
        position = start + len(edit.inserted)
        shift += len(edit.inserted) - len(edit.removed)
    pieces.append(view[position:])
    return b"".join(pieces)


def describe(change: Edit | Skip) -> str:
    """
    One line for people: the place, and what changed there or why nothing changed.
    """
    if isinstance(change, Edit):
        return f"{dotted(change.path[:-1])} {change.was} -> {change.becomes}"
    return f"{dotted(change.path)} {change.code}: {change.why}"


def _offset(edit: Edit) -> int:
    return edit.at
