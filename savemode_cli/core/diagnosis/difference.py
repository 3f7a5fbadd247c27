"""
Where two prompts differ: the first place, what happened there, and which parts of the earlier prompt were sent again
after it.

Rule of this file: it compares two fingerprints and knows no bill. It claims nothing that needs the text: a block counts
as edited only if something shows that it is the same block.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

from savemode_cli.core.diagnosis.fingerprint import Fingerprint, Position, shared_blocks
from savemode_cli.core.diagnosis.outline import NO_OUTLINE
from savemode_cli.core.wire.messages import Path

ChangeKind = Literal["inserted", "removed", "reordered", "edited", "re-rendered"]
"""
What happened to a block. `re-rendered`: the same words in another form, such as keys in another order, or a string that
became a block.
"""

HEAD_LEVELS = 2
"""The number of levels before the messages: tools and system. It is also the number of the messages' level."""

SAME = 3
"""The level of the first difference if two prompts do not differ."""

_LONGEST_RUN = 16
_MOST_PAIRS = 200_000
"""
How many pairs of equal blocks are compared to align two prompts. With more pairs, only the number of equal blocks counts.
"""

_COMPACTED_BLOCKS = 4
_COMPACTED_RATIO = 2
"""A history of at least this many blocks counts as compacted if its replacement is at most half as long."""

_KEPT_BLOCKS = 2
"""This many blocks after it must be the same, because a single equal block may be a coincidence."""


@dataclass(frozen=True, slots=True)
class Change:
    """
    The first difference of two prompts.
    """

    kind: ChangeKind
    path: Path
    """The place in the later prompt; in the earlier one if the block was removed."""
    level: int
    """0 for tools, 1 for the system prompt, 2 for messages."""
    type: str
    """The block's type, one of `fingerprint.TYPES`."""
    values_only: bool = False
    """Whether nothing but numbers, dates or IDs differ."""


@dataclass(frozen=True, slots=True)
class Difference:
    """
    An earlier prompt compared with a later one.
    """

    shared: int
    """How many blocks at the beginning are the same."""
    change: Change | None
    """The first difference; None if the later prompt begins with the whole earlier one."""
    kept: tuple[int, ...]
    """For each block of the earlier prompt, how many of its estimated tokens the later one contains."""
    same_program: bool
    """Whether most of the tools and of the system prompt are the same."""
    same_conversation: bool
    """Whether most of the messages are the same."""
    resumes: bool
    """Whether the later prompt continues after the change as the earlier one did."""
    compacted: bool
    """Whether a part of the history was replaced by something much shorter."""

    @property
    def level(self) -> int:
        """
        The level of the first difference; `SAME` if there is none.
        """
        return SAME if self.change is None else self.change.level


def compare(earlier: Fingerprint, later: Fingerprint) -> Difference:
    """
    Compare two prompts.
    """
    shared = shared_blocks(earlier, later)
    tokens = earlier.tokens()
    if shared == earlier.blocks:
        return Difference(
            shared, None, tuple(tokens), same_program=True, same_conversation=True, resumes=True, compacted=False
        )
    sides = _Sides(earlier, later, earlier.digests(), later.digests(), shared)
    kept, sure, compacted = _kept(sides, tokens)
    head = earlier.tools + earlier.system
    return Difference(
        shared,
        _change(sides),
        tuple(kept),
        same_program=_most(kept[:head], tokens[:head]),
        same_conversation=compacted or _is_same_conversation(earlier, sure, tokens, head),
        resumes=any(kept[shared:]) or _ends_in_its_last_message(sides),
        compacted=compacted,
    )


@dataclass(frozen=True, slots=True)
class _Sides:
    """
    Both prompts from their first difference on.
    """

    earlier: Fingerprint
    later: Fingerprint
    old: Sequence[bytes]
    """The digests of the earlier prompt."""
    new: Sequence[bytes]
    """The digests of the later prompt."""
    start: int
    """The first block that differs."""

    def both(self) -> Iterator[tuple[Fingerprint, Sequence[bytes]]]:
        """
        Each prompt with its digests.
        """
        yield self.earlier, self.old
        yield self.later, self.new

    def run(self, old: int, new: int) -> int:
        """
        How many blocks are equal from these two positions on, up to a limit.
        """
        length = 0
        while (
            length < _LONGEST_RUN
            and old + length < len(self.old)
            and new + length < len(self.new)
            and self.old[old + length] == self.new[new + length]
        ):
            length += 1
        return length

    def same_block(self, old: int, new: int) -> bool:
        """
        Whether something shows that two blocks with different content are the same block.
        """
        kind = self.earlier.type_of(old)
        if kind != self.later.type_of(new):
            return False
        ends, others = self.earlier.edges.get(old), self.later.edges.get(new)
        if ends is not None and others is not None and (ends[0] == others[0] or ends[1] == others[1]):
            return True
        # What follows the same call is the result of the same call.
        return old == new == self.start and kind == "tool_result"


def _kept(sides: _Sides, tokens: Sequence[int]) -> tuple[list[int], list[int], bool]:
    """
    The tokens of each earlier block that the later prompt contains too.

    Returns:
        The counts including blocks that are probably edited versions; the counts without those; and whether a history
        was replaced.
    """
    start, others = sides.start, sides.later.tokens()
    kept = [*tokens[:start], *([0] * (len(tokens) - start))]
    compacted = False
    moved = Counter(sides.new[start:])
    steps = list(_steps(sides))
    for step in steps:
        if step.equal:
            for at in range(step.old_start, step.old_end):
                kept[at] = tokens[at]
                moved[sides.old[at]] -= 1
    sure = kept.copy()
    for step, after in zip(steps, [*steps[1:], None], strict=True):
        if step.equal:
            continue
        compacted = compacted or (after is not None and _is_compaction(sides, step, after, tokens, others))
        pairs = dict(_pairs(sides, step, tokens, others, anchored=after is not None))
        for at in range(step.old_start, step.old_end):
            if moved[sides.old[at]] > 0:
                kept[at] = sure[at] = tokens[at]
                moved[sides.old[at]] -= 1
            elif at in pairs:
                kept[at], is_sure = min(tokens[at], pairs[at][0]), pairs[at][1]
                sure[at] = kept[at] if is_sure else 0
    return kept, sure, compacted


@dataclass(frozen=True, slots=True)
class _Step:
    """
    A stretch of both prompts in which they are equal, or differ.
    """

    equal: bool
    old_start: int
    old_end: int
    new_start: int
    new_end: int


def _steps(sides: _Sides) -> Iterator[_Step]:
    start = sides.start
    old, new = sides.old[start:], sides.new[start:]
    counts = Counter(new)
    pairs = sum([counts[digest] for digest in old])
    if not pairs or pairs > _MOST_PAIRS:
        yield _Step(False, start, len(sides.old), start, len(sides.new))  # noqa: FBT003
        return
    matcher = SequenceMatcher(None, old, new, autojunk=False)
    for name, old_start, old_end, new_start, new_end in matcher.get_opcodes():
        yield _Step(name == "equal", old_start + start, old_end + start, new_start + start, new_end + start)


def _pairs(
    sides: _Sides, step: _Step, tokens: Sequence[int], others: Sequence[int], *, anchored: bool
) -> Iterator[tuple[int, tuple[int, bool]]]:
    """
    The earlier blocks of a stretch that appear in another form in the later prompt.

    Args:
        sides: both prompts.
        step: the stretch, which differs.
        tokens: the tokens of each earlier block.
        others: the tokens of each later block.
        anchored: whether equal blocks follow it. Blocks between equal ones are the same blocks if their number is
            equal.

    Returns:
        Each block with the tokens of the later one, and whether that is certain.
    """
    olds, news = range(step.old_start, step.old_end), range(step.new_start, step.new_end)
    if anchored and len(olds) == len(news):
        yield from ((old, (others[new], True)) for old, new in zip(olds, news, strict=True))
        return
    outlines = {*sides.later.outlines()[step.new_start : step.new_end]} - {NO_OUTLINE}
    for offset, (old, outline) in enumerate(zip(olds, sides.earlier.outlines()[step.old_start :], strict=False)):
        if outline in outlines:
            yield old, (tokens[old], True)
        elif offset < len(news) and sides.same_block(old, news[offset]):
            yield old, (others[news[offset]], False)


def _is_compaction(sides: _Sides, step: _Step, after: _Step, tokens: Sequence[int], others: Sequence[int]) -> bool:
    """
    Whether a stretch of the history was replaced by something much shorter, after which the conversation continues.
    """
    if sides.earlier.level(step.old_start) < HEAD_LEVELS or step.new_end == step.new_start:
        return False
    if step.old_end - step.old_start < _COMPACTED_BLOCKS or after.old_end - after.old_start < _KEPT_BLOCKS:
        return False
    replaced, by = sum(tokens[step.old_start : step.old_end]), sum(others[step.new_start : step.new_end])
    return replaced >= _COMPACTED_RATIO * by


def _most(kept: Sequence[int], tokens: Sequence[int]) -> bool:
    """
    Whether at least half of some tokens are kept. False if there are no tokens.
    """
    return bool(tokens) and sum(kept) * 2 >= sum(tokens)


def _is_same_conversation(earlier: Fingerprint, kept: Sequence[int], tokens: Sequence[int], head: int) -> bool:
    """
    Whether most of the messages are kept, including more than the part with which every conversation of a program
    begins: the last block of the first message, or a later one.
    """
    if not _most(kept[head:], tokens[head:]):
        return False
    return any(kept[max(earlier.opening - 1, head) :])


def _ends_in_its_last_message(sides: _Sides) -> bool:
    """
    Whether only the end of the earlier prompt's last message is missing, and the later prompt continues after it.
    """
    if sides.start >= sides.later.blocks or sides.earlier.level(sides.start) < HEAD_LEVELS:
        return False
    first, last = (sides.earlier.position(block).path[:2] for block in (sides.start, sides.earlier.blocks - 1))
    return first == last


def _change(sides: _Sides) -> Change:
    """
    What happened at the first difference: the interpretation that aligns most of the blocks after it.
    """
    old, new, start = sides.old, sides.new, sides.start
    if start >= len(new):
        return _named(sides, "removed")
    here, there = _index(new, old[start], start + 1), _index(old, new[start], start + 1)
    edited = sides.run(start + 1, start + 1)
    inserted = 0 if here is None else sides.run(start, here)
    removed = 0 if there is None else sides.run(there, start)
    if _is_reordered(sides, here, there):
        return _named(sides, "reordered")
    if inserted > edited and inserted >= removed:
        return _named(sides, "inserted")
    if removed > edited:
        return _named(sides, "removed")
    return _edited(sides)


def _index(digests: Sequence[bytes], digest: bytes, first: int) -> int | None:
    try:
        return digests.index(digest, first)
    except ValueError:
        return None


def _is_reordered(sides: _Sides, here: int | None, there: int | None) -> bool:
    """
    Whether blocks only changed places: all blocks of a level, or one that moved after blocks that followed it.

    Args:
        sides: both prompts.
        here: the position of the first different block of the earlier prompt in the later one.
        there: the position of that of the later prompt in the earlier one.
    """
    old, new, start = sides.old, sides.new, sides.start
    level = sides.earlier.level(start)
    if level < HEAD_LEVELS and level == sides.later.level(start):
        olds, news = (sorted(digests[slice(*_bounds(side, level))]) for side, digests in sides.both())
        return olds == news
    if there == start + 1:
        end = start + sides.run(there, start)
        # An equal block that comes after everything old is a new one.
        return end + 1 < len(old) and new[end : end + 1] == [old[start]]
    if here == start + 1:
        end = start + sides.run(start, here)
        return old[end : end + 1] == [new[start]]
    return False


def _bounds(fingerprint: Fingerprint, level: int) -> tuple[int, int]:
    return (0, fingerprint.tools) if level == 0 else (fingerprint.tools, fingerprint.tools + fingerprint.system)


def _named(sides: _Sides, kind: ChangeKind) -> Change:
    side = sides.earlier if kind == "removed" else sides.later
    position = side.position(sides.start)
    level = side.level(sides.start)
    if kind == "reordered":
        level = min(level, sides.earlier.level(sides.start))
    return Change(kind, position.path, level, position.type)


def _edited(sides: _Sides) -> Change:
    start = sides.start
    old, new = sides.earlier.level(start), sides.later.level(start)
    if old != new:
        # One level ended before the other: what the longer one has there is new, or gone.
        return _named(sides, "inserted" if new < old else "removed")
    outer_old, outer_new = _outer(sides.earlier, start), _outer(sides.later, start)
    if outer_old.type == outer_new.type and outer_old.outline and outer_old.outline == outer_new.outline:
        if outer_new.type == "text":
            return Change("edited", (*outer_new.path, "text"), new, "text", values_only=True)
        return Change("re-rendered", outer_new.path, new, outer_new.type)
    position = sides.later.position(start)
    if (there := sides.earlier.position(start).path[1:2]) != position.path[1:2]:
        # One message ended before the other.
        return _named(sides, "removed" if there < position.path[1:2] else "inserted")
    both_text = position.type == "text" == sides.earlier.position(start).type
    inside = ("text",) if both_text and isinstance(position.path[-1], int) else ()
    return Change("edited", (*position.path, *inside), new, position.type)


def _outer(fingerprint: Fingerprint, block: int) -> Position:
    """
    The block itself, or the block that contains it, which comes after it.
    """
    position = fingerprint.position(block)
    while position.nested and block + 1 < fingerprint.blocks:
        block += 1
        position = fingerprint.position(block)
    return position
