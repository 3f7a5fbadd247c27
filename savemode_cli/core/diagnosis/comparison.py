"""
Two requests as the prompt cache sees them: all places where they differ, and what the later one could read of the earlier one.

Rule of this file: breakpoints are not content, and neither are whitespace and the order of a block's own keys. Both bodies are
at hand, so texts are shown; it is called only where somebody asked to see their own requests.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from difflib import SequenceMatcher
from typing import Any, Literal

import msgspec

from savemode_cli.core.cache.blocks import RequestBlocks, read_blocks
from savemode_cli.core.cache.lifetimes import Lifetime
from savemode_cli.core.cache.model import PromptCache
from savemode_cli.core.cache.prompt import Prompt, prompt_from
from savemode_cli.core.diagnosis.difference import ChangeKind, compare
from savemode_cli.core.diagnosis.excerpt import Excerpt, common_start, excerpt_of, text_at
from savemode_cli.core.diagnosis.fingerprint import Fingerprint, fingerprint_of
from savemode_cli.core.errors import BadInput
from savemode_cli.core.wire.messages import Path

PlaceKind = ChangeKind | Literal["appended"]
"""`appended`: it stands after everything that the earlier request has. That loses nothing."""

LEVELS = ("tools", "system", "messages")


@dataclass(frozen=True, slots=True)
class Place:
    """
    A stretch of blocks in which the requests differ in one way.
    """

    kind: PlaceKind
    path: Path
    """Its first block in the later request; in the earlier one if it was removed."""
    last: Path
    """Its last block; the same path if it is one block."""
    blocks: int
    type: str
    """The type of its first block, "" if that has none that is told apart."""
    tokens_before: int
    """Estimated tokens in the earlier request."""
    tokens_after: int
    """Estimated tokens in the later request."""
    excerpt: Excerpt | None
    """The text of its first block, from shortly before the first difference on; None if it cannot be shown."""
    values_only: bool = False
    """Whether nothing but numbers, dates or IDs differ."""


@dataclass(frozen=True, slots=True)
class ParameterChange:
    """
    A parameter that differs, and so loses its level of the prompt and those after it.
    """

    name: str
    level: str
    """`tools`, `system` or `messages`: where what is lost begins."""
    before: str
    """"" if it was absent; a checksum if the value is long."""
    after: str


@dataclass(frozen=True, slots=True)
class Side:
    """
    One of the two requests.
    """

    model: str
    blocks: int
    tokens: int
    """Estimated tokens of the prompt."""
    breakpoints: tuple[tuple[Path, Lifetime], ...]
    """The path and the lifetime of each."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """
    An earlier request beside a later one.
    """

    before: Side
    after: Side
    shared_blocks: int
    """How many leading blocks are the same."""
    shared_tokens: int
    """Their estimated tokens."""
    parameters: tuple[ParameterChange, ...]
    places: tuple[Place, ...]
    """In the order of evaluation."""
    readable_tokens: int
    """Estimated tokens that the later request reads if it is sent right after the earlier one."""

    @property
    def is_same(self) -> bool:
        """
        Whether the cache sees no difference.
        """
        return not self.parameters and not self.places

    @property
    def loses(self) -> bool:
        """
        Whether anything that the earlier request has is not the same in the later one.
        """
        return bool(self.parameters) or any(place.kind != "appended" for place in self.places)


def request_problem(body: bytes) -> str:
    """
    Why a body cannot be compared; "" if it can.
    """
    try:
        _Read.of(body)
    except BadInput as error:
        return error.message
    return ""


def compare_bodies(before: bytes, after: bytes) -> Comparison:
    """
    Compare two requests.

    Args:
        before: the body of the earlier request.
        after: the body of the later one.

    Raises:
        BadInput: one of them is not a body of a messages call, or has too many blocks.
    """
    one, other = _Read.of(before), _Read.of(after)
    shared = compare(one.fingerprint, other.fingerprint).shared
    return Comparison(
        before=one.side,
        after=other.side,
        shared_blocks=shared,
        shared_tokens=sum(one.fingerprint.tokens()[:shared]),
        parameters=tuple(_parameters(one.fingerprint, other.fingerprint)),
        places=tuple(_joined(list(_places(one, other, shared)))),
        readable_tokens=_readable(one.prompt, other.prompt),
    )


@dataclass(frozen=True, slots=True)
class _Read:
    """
    A body that was read.
    """

    value: Any
    """The body as JSON."""
    request: RequestBlocks
    prompt: Prompt
    fingerprint: Fingerprint

    @classmethod
    def of(cls, body: bytes) -> "_Read":
        request = read_blocks(body)
        prompt = prompt_from(request)
        fingerprint = fingerprint_of(request, prompt)
        if fingerprint is None:
            raise BadInput("the request has more than 8,192 blocks", hint="compare shorter requests")
        return cls(msgspec.json.decode(body), request, prompt, fingerprint)

    @property
    def side(self) -> Side:
        blocks = self.request.blocks
        marks = tuple((blocks[mark.block].path, mark.lifetime) for mark in self.prompt.marks)
        return Side(self.request.model, self.fingerprint.blocks, self.prompt.total_tokens, marks)


def _parameters(before: Fingerprint, after: Fingerprint) -> Iterator[ParameterChange]:
    """
    What differs, each parameter once, at the first level that depends on it.
    """
    named: set[str] = set()
    for level, olds, news in zip(LEVELS, before.parameters, after.parameters, strict=True):
        old, new = dict(olds), dict(news)
        for name in {**old, **new}:
            if name not in named and old.get(name) != new.get(name):
                named.add(name)
                yield ParameterChange(name, level, old.get(name, ""), new.get(name, ""))


def _places(one: _Read, other: _Read, start: int) -> Iterator[Place]:
    """
    One place for each block that differs, or for a pair of blocks that stand at the same place.
    """
    old, new = one.fingerprint.digests(), other.fingerprint.digests()
    steps = SequenceMatcher(None, old[start:], new[start:], autojunk=False).get_opcodes()
    stretches = [
        (range(old_start + start, old_end + start), range(new_start + start, new_end + start))
        for name, old_start, old_end, new_start, new_end in steps
        if name != "equal"
    ]
    moved = Counter(old[block] for olds, _ in stretches for block in olds)
    moved &= Counter(new[block] for _, news in stretches for block in news)
    moved_away, moved_here = moved.copy(), moved
    for olds, news in stretches:
        gone = [block for block in olds if not _taken(moved_away, old[block])]
        here = [block for block in news if _taken(moved_here, new[block])]
        for block in here:
            yield _place(one, other, None, block, "reordered")
        fresh = [block for block in news if block not in here]
        yield from _stretch(one, other, gone, fresh, is_end=olds.stop == one.fingerprint.blocks)


def _taken(counts: Counter[bytes], digest: bytes) -> bool:
    """
    Take one of a digest; False if there is none left.
    """
    if not counts[digest]:
        return False
    counts[digest] -= 1
    return True


def _stretch(one: _Read, other: _Read, gone: Sequence[int], fresh: Sequence[int], *, is_end: bool) -> Iterator[Place]:
    """
    The places of a stretch that differs.

    Args:
        one: the earlier request.
        other: the later one.
        gone: the blocks that only the earlier request has there.
        fresh: the blocks that only the later request has there.
        is_end: whether nothing of the earlier request follows.
    """
    edited = _re_rendered(one, other, gone, fresh)
    inner = {*_inner(one, edited), *edited}
    new_inner = {*_inner(other, edited.values()), *edited.values()}
    gone = [old for old in gone if old not in inner]
    fresh = [new for new in fresh if new not in new_inner]
    anchored = not is_end and len(gone) == len(fresh)
    for old, new in zip(gone, fresh, strict=False):
        if _is_same(one, other, old, new, anchored=anchored):
            edited[old] = new
    for old, new in edited.items():
        yield _place(one, other, old, new, "edited")
    for old in gone:
        if old not in edited:
            yield _place(one, other, old, None, "removed")
    kind: PlaceKind = "appended" if is_end and all(old in edited for old in gone) else "inserted"
    for new in fresh:
        if new not in edited.values():
            yield _place(one, other, None, new, kind)


def _re_rendered(one: _Read, other: _Read, gone: Sequence[int], fresh: Sequence[int]) -> dict[int, int]:
    """
    The earlier blocks that have the same words as a later one, each with that one.
    """
    outlines = {other.fingerprint.position(new).outline: new for new in reversed(fresh)}
    found: dict[int, int] = {}
    for old in gone:
        position = one.fingerprint.position(old)
        new = outlines.pop(position.outline, None) if position.outline else None
        if new is not None and other.fingerprint.position(new).type == position.type:
            found[old] = new
    return found


def _inner(side: _Read, blocks: Iterable[int]) -> Iterator[int]:
    """
    The blocks that are nested in some blocks; they stand before them.
    """
    for block in blocks:
        inner = block - 1
        while inner >= 0 and side.fingerprint.position(inner).nested:
            yield inner
            inner -= 1


_SAME_DENOMINATOR = 4
"""Two texts are one that was edited if they have at least a quarter of the shorter one in common at their ends."""


def _is_same(one: _Read, other: _Read, old: int, new: int, *, anchored: bool) -> bool:
    """
    Whether two blocks at the same place are one block in two forms.

    Args:
        one: the earlier request.
        other: the later one.
        old: a block of the earlier request.
        new: a block of the later one.
        anchored: whether as many blocks differ on both sides, and equal ones follow.
    """
    before, after = one.fingerprint.position(old), other.fingerprint.position(new)
    if before.type != after.type or one.fingerprint.level(old) != other.fingerprint.level(new):
        return False
    if anchored:
        return True
    old_text, new_text = text_at(one.value, before.path) or "", text_at(other.value, after.path) or ""
    common = common_start(old_text, new_text)
    common += common_start(old_text[common:][::-1], new_text[common:][::-1])
    return common * _SAME_DENOMINATOR >= min(len(old_text), len(new_text))


def _place(one: _Read, other: _Read, old: int | None, new: int | None, kind: PlaceKind) -> Place:
    before = None if old is None else one.fingerprint.position(old)
    after = None if new is None else other.fingerprint.position(new)
    shown = after or before
    assert shown is not None  # noqa: S101 - one of them is given
    path, values_only = shown.path, False
    if before is not None and after is not None:
        same_words = bool(before.outline) and before.outline == after.outline
        values_only = same_words and after.type == "text"
        kind = "re-rendered" if same_words and not values_only else kind
        path = (*path, "text") if kind == "edited" and after.type == "text" and isinstance(path[-1], int) else path
    return Place(
        kind,
        path,
        path,
        1,
        shown.type,
        0 if before is None else before.tokens,
        0 if after is None else after.tokens,
        excerpt_of(
            None if before is None else text_at(one.value, before.path),
            None if after is None else text_at(other.value, after.path),
        ),
        values_only=values_only,
    )


_JOINED: tuple[PlaceKind, ...] = ("inserted", "removed", "appended", "reordered")


def _joined(places: Sequence[Place]) -> Iterator[Place]:
    """
    Neighbours that were inserted, removed or moved together as one place.
    """
    waiting: Place | None = None
    for place in places:
        if waiting is not None and waiting.kind == place.kind in _JOINED and waiting.path[0] == place.path[0]:
            waiting = Place(
                waiting.kind,
                waiting.path,
                place.last,
                waiting.blocks + place.blocks,
                waiting.type,
                waiting.tokens_before + place.tokens_before,
                waiting.tokens_after + place.tokens_after,
                waiting.excerpt,
            )
            continue
        if waiting is not None:
            yield waiting
        waiting = place
    if waiting is not None:
        yield waiting


_BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)


def _readable(before: Prompt, after: Prompt) -> int:
    cache = PromptCache()
    cache.answered(cache.look_up(before, _BEGINNING), _BEGINNING)
    return cache.look_up(after, _BEGINNING + timedelta(seconds=1)).read_tokens
