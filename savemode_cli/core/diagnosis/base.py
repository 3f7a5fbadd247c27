"""
Finds the earlier request that a request continues, and what it would have read if that request's prefix were intact.

Rule of this file: of all earlier requests, the one counts from which most could have been read. A new conversation of
the same program is expected to read only what conversations share.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from savemode_cli.core.cache.model import minimum_tokens
from savemode_cli.core.diagnosis.causes import is_miss
from savemode_cli.core.diagnosis.difference import HEAD_LEVELS, SAME, Difference, compare
from savemode_cli.core.diagnosis.lanes import SentPrompt
from savemode_cli.core.diagnosis.scale import Scale

_CLEARED_NUMERATOR, _CLEARED_DENOMINATOR = 9, 10
"""If a prompt of the same content was billed for less than nine tenths, the API itself cut it."""


@dataclass(frozen=True, slots=True)
class Base:
    """
    An earlier request, compared with the request that is judged.
    """

    sent: SentPrompt
    difference: Difference
    expected_tokens: int
    """What could have been read from it."""
    cached: "Cached"
    continues: bool
    """Whether the request continues the conversation of the earlier one."""
    compacted: bool = False
    """Whether the client replaced its history."""
    cleared: bool = False
    """Whether the API removed a part of the prompt, as `context_management` requests it."""
    unmarked: bool = False
    """Whether most of what is expected has no breakpoint after it."""

    @property
    def blocks(self) -> int:
        """
        The blocks of the earlier request that could have been read.
        """
        return self.difference.shared if self.unmarked else self.cached.blocks


@dataclass(frozen=True, slots=True)
class Cached:
    """
    What a request left in the cache.
    """

    blocks: int
    """The blocks up to its last breakpoint."""
    tokens: int
    """Their tokens: as billed, or estimated."""
    tail_tokens: int
    """The tokens after its last breakpoint."""

    @classmethod
    def of(cls, sent: SentPrompt) -> "Cached":
        """
        What a request left in the cache. A prompt that was too short to be cached counts as if it had been cached.
        """
        scale = Scale.of(sent)
        entries = sent.fingerprint.entries
        if not entries:
            return cls(0, 0, scale.total)
        billed = 0 if sent.usage is None else sent.usage.cached_tokens
        tokens = billed or scale.tokens(entries[-1].tokens)
        return cls(entries[-1].block + 1, tokens, scale.total - tokens)


def best_base(sent: SentPrompt, earlier: Sequence[SentPrompt], scale: Scale) -> Base | None:
    """
    The earlier request from which most could have been read; the last one if several are equal. None if there is none.
    """
    read = 0 if sent.usage is None else sent.usage.first_read_tokens
    best: Base | None = None
    compared: set[Hashable] = set()
    for other in reversed(earlier):
        most = min(Scale.of(other).total, scale.total)
        if most <= max(read, 0 if best is None else best.expected_tokens):
            continue
        cached = Cached.of(other)
        # The same prompt may have been sent many times.
        prompt = (other.fingerprint.digest_segments, other.fingerprint.parameters, cached)
        if prompt in compared:
            continue
        compared.add(prompt)
        base = _base(sent, other, cached, scale)
        if base.expected_tokens > (0 if best is None else best.expected_tokens):
            best = base
    return _other_model(sent, earlier, scale, _compaction(sent, earlier, scale, best))


def follows(sent: SentPrompt, other: SentPrompt) -> bool:
    """
    Whether a request continues the conversation of another one.
    """
    return compare(other.fingerprint, sent.fingerprint).same_conversation


def _base(sent: SentPrompt, other: SentPrompt, cached: Cached, scale: Scale) -> Base:
    difference = compare(other.fingerprint, sent.fingerprint)
    tokens = _Tokens(other, cached)
    if sent.lane.model != other.lane.model and difference.level < HEAD_LEVELS:
        # Another model and another program: a request beside the conversation.
        return Base(other, difference, 0, cached, continues=False)
    if difference.shared >= cached.blocks:
        expected, unmarked = _intact(sent, difference, cached, tokens, scale)
        cleared = scale.total * _CLEARED_DENOMINATOR < cached.tokens * _CLEARED_NUMERATOR
        return Base(
            other,
            difference,
            min(expected, scale.total),
            cached,
            continues=difference.level == SAME or difference.same_conversation,
            cleared=cleared,
            unmarked=unmarked,
        )
    if difference.same_conversation and difference.resumes:
        gone = sum(other.fingerprint.tokens()[: cached.blocks]) - sum(difference.kept[: cached.blocks])
        expected = cached.tokens - tokens.of(gone)
        compacted = difference.compacted and difference.level == HEAD_LEVELS
        return Base(other, difference, min(expected, scale.total), cached, continues=True, compacted=compacted)
    expected, unmarked = _new_conversation(sent, other, difference, tokens, scale)
    return Base(other, difference, min(expected, scale.total), cached, continues=False, unmarked=unmarked)


@dataclass(frozen=True, slots=True)
class _Tokens:
    """
    Converts blocks of an earlier request to tokens as they were billed.
    """

    sent: SentPrompt
    cached: Cached

    def of(self, estimated: int) -> int:
        """
        Convert estimated tokens before the last breakpoint.
        """
        entries = self.sent.fingerprint.entries
        whole = entries[-1].tokens if entries else 0
        return estimated * self.cached.tokens // whole if whole else 0

    def of_tail(self, estimated: int) -> int:
        """
        Convert estimated tokens after the last breakpoint.
        """
        entries = self.sent.fingerprint.entries
        whole = self.sent.fingerprint.total_tokens - (entries[-1].tokens if entries else 0)
        return estimated * self.cached.tail_tokens // whole if whole else 0


def _intact(
    sent: SentPrompt, difference: Difference, cached: Cached, tokens: _Tokens, scale: Scale
) -> tuple[int, bool]:
    """
    What an intact prefix would have read, and whether a missing breakpoint would have cached a part of it.
    """
    tail = tokens.of_tail(sum(difference.kept[cached.blocks : difference.shared]))
    whole = cached.tokens + tail
    if not is_miss(tail, whole) or min(whole, scale.total) < minimum_tokens(sent.lane.model):
        return cached.tokens, False
    return whole, tail * 2 > whole


def _new_conversation(
    sent: SentPrompt, other: SentPrompt, difference: Difference, tokens: _Tokens, scale: Scale
) -> tuple[int, bool]:
    """
    What a new conversation of the same program would have read, and whether a breakpoint for it is missing.

    If tools or the system prompt differ, this reaches to a breakpoint in them on a block that both requests have. If
    they are equal, it reaches to the first difference, if that is in the first message. A history that was rewound is
    not a new conversation.
    """
    fingerprint, shared = other.fingerprint, difference.shared
    if difference.level < HEAD_LEVELS:
        head = fingerprint.tools + fingerprint.system
        ends = [entry.block + 1 for entry in fingerprint.entries if entry.block < head and difference.kept[entry.block]]
        return (
            (tokens.of(sum(difference.kept[: max(ends, default=0)])), False) if difference.same_program else (0, False)
        )
    entry = tokens.of(max((entry.tokens for entry in fingerprint.entries if entry.block < shared), default=0))
    common = tokens.of(sum(difference.kept[:shared]))
    is_missing = shared < fingerprint.opening and is_miss(common - entry, common)
    if not is_missing or min(common, scale.total) < minimum_tokens(sent.lane.model):
        return entry, False
    return common, True


def _compaction(sent: SentPrompt, earlier: Sequence[SentPrompt], scale: Scale, best: Base | None) -> Base | None:
    """
    The last request before a history was compacted, if this request is the first one after it; otherwise the given
    base.
    """
    if not sent.fingerprint.compacted or (best is not None and best.continues):
        return best
    own = [other for other in earlier if other.lane == sent.lane]
    if not own or any(follows(sent, other) for other in own):
        return best
    last = own[-1]
    cached = Cached.of(last)
    difference = compare(last.fingerprint, sent.fingerprint)
    expected = min(cached.tokens, scale.total)
    # A change before the messages would have lost the history too.
    compacted = difference.level >= HEAD_LEVELS
    return Base(last, difference, expected, cached, continues=True, compacted=compacted)


def _other_model(sent: SentPrompt, earlier: Sequence[SentPrompt], scale: Scale, best: Base | None) -> Base | None:
    """
    The last request of the session, if this is the first one to another model and has the same tools and system prompt; else the
    base that was found. A client may render the history anew for the other model.
    """
    if not sent.named or (best is not None and best.continues):
        return best
    lane = sent.lane
    own = [other for other in earlier if (other.lane.session, other.lane.agent) == (lane.session, lane.agent)]
    if not own or any(other.lane.model == lane.model for other in own):
        return best
    last = own[-1]
    difference = compare(last.fingerprint, sent.fingerprint)
    if difference.level < HEAD_LEVELS:
        return best
    cached = Cached.of(last)
    return Base(last, difference, min(cached.tokens, scale.total), cached, continues=True)
