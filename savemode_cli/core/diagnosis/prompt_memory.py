"""
The prompts of conversations that grow: what was read of a prompt before is neither read nor computed again.

Rule of this file: prompts and fingerprints are the same with and without the memory. Where it is not certain that they are,
the body is read whole. No text is kept: blocks are kept without their content, and messages by their digests (see
`core.wire.prefixes`).
"""

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from operator import attrgetter, is_

from savemode_cli.core.cache.block import Block
from savemode_cli.core.cache.blocks import (
    UNBOUNDED,
    KnownMessages,
    MessageBlocks,
    NotAsKnown,
    RequestParts,
    read_parts,
)
from savemode_cli.core.cache.prompt import Mark, Prompt, breakpoints, grown, prompt_from
from savemode_cli.core.diagnosis.fingerprint import MAX_BLOCKS, Fingerprint, fingerprint_of, grown_fingerprint, sketch
from savemode_cli.core.diagnosis.splices import NO_SPLICES, Splices
from savemode_cli.core.errors import BadInput
from savemode_cli.core.wire.breakpoints import lifetime_of
from savemode_cli.core.wire.message_ends import message_ends, messages_start, without_messages
from savemode_cli.core.wire.prefixes import CHUNK_BYTES, UNSEEN, Beginning, SeenPrefixes
from savemode_cli.core.wire.reading_work import ReadingWork, TooMuchWork

MAX_BYTES = 16 * 1024 * 1024

_LONGEST_TYPE_CHARS = 64
"""The API's are shorter; a longer one may be somebody's words, which are not kept."""

_MOST_PROMPTS = 3
"""The most prompts that are kept of a session: its client may have several conversations at once."""

_LEAST_NEW_CHUNKS = 2
_MOST_SECTIONS = 64
_MOST_BLOCKS = 500
_PROMPT_BYTES = 3_000
_BLOCK_BYTES = 600


@dataclass(frozen=True, slots=True)
class ReadPrompt:
    """
    A prompt that was read.
    """

    model: str
    prompt: Prompt
    fingerprint: Fingerprint | None
    """None if it has too many blocks."""
    breakpoints: tuple[Mark, ...]
    """Those of its blocks, without that of automatic caching."""


Earlier = Callable[[str], Sequence[Fingerprint]]
"""Earlier fingerprints of a session with a model, with which a new one shares memory."""


def _none_earlier(_model: str) -> Sequence[Fingerprint]:
    return ()


class SeenSections:
    """
    The tools and system prompts that were seen lately, without their content.
    """

    def __init__(self) -> None:
        """
        Remember nothing.
        """
        self._seen: OrderedDict[int, tuple[tuple[Block, ...], int]] = OrderedDict()

    def blocks(
        self, key: int, read: Callable[[ReadingWork], tuple[Block, ...]], work: ReadingWork
    ) -> tuple[Block, ...]:
        """
        See `Sections`.
        """
        known = self._seen.get(key)
        if known is not None:
            self._seen.move_to_end(key)
            work.spend(known[1])
            return known[0]
        spent = work.spent
        blocks = read(work)
        if len(blocks) <= _MOST_BLOCKS and _is_plain(blocks):
            _sketched(blocks, in_head=True)
            self._seen[key] = blocks, work.spent - spent
            if len(self._seen) > _MOST_SECTIONS:
                self._seen.popitem(last=False)
        return blocks


@dataclass(slots=True, eq=False)
class _Kept:
    """
    A prompt as it is kept for the next one of its conversation.
    """

    parts: RequestParts
    parameters: int
    """A digest of what its levels depend on."""
    prompt: Prompt
    fingerprint: Fingerprint
    breakpoints: tuple[Mark, ...]
    """Those of its blocks, without that of automatic caching."""
    beginning: Beginning
    splices: Splices
    start: int = 0
    """The offset of its first message in the body as it came; 0 if that is not known."""
    ends: tuple[int, ...] = ()
    """The offset of the byte after each of its first messages there."""
    steps: tuple[int, ...] = ()
    """What it takes to read the messages up to each of those, see `read_blocks`."""

    @property
    def size_bytes(self) -> int:
        return _PROMPT_BYTES + _BLOCK_BYTES * len(self.prompt.chain)

    def known_messages(self, beginning: Beginning, splices: Splices) -> int:
        """
        How many of its first messages a body has that begins like this.
        """
        if not self.ends:
            return 0
        same = self.splices.same_until(splices, self.start, beginning.shared_bytes(self.beginning))
        return bisect_right(self.ends, same)


class PromptMemory:
    """
    Reads bodies, and remembers the latest prompts of each session.
    """

    def __init__(self, max_bytes: int = MAX_BYTES, chunk_bytes: int = CHUNK_BYTES) -> None:
        """
        Args:
            max_bytes: the most memory that it takes, about.
            chunk_bytes: see `SeenPrefixes`.
        """
        self._kept: OrderedDict[Hashable, list[_Kept]] = OrderedDict()
        self._sections = SeenSections()
        self._prefixes: SeenPrefixes[None] = SeenPrefixes(max_bytes, chunk_bytes, _LEAST_NEW_CHUNKS)
        """For bodies of which the caller does not know how they begin."""
        self._least_new_bytes = _LEAST_NEW_CHUNKS * chunk_bytes
        self._max_bytes = max_bytes
        self._bytes = 0

    @property
    def size_bytes(self) -> int:
        """
        About how much memory the prompts take.
        """
        return self._bytes

    def read(
        self,
        body: bytes,
        session: Hashable = None,
        most_steps: int = UNBOUNDED,
        earlier: Earlier = _none_earlier,
        beginning: Beginning | None = None,
        splices: Splices = NO_SPLICES,
    ) -> ReadPrompt:
        """
        Read a request body.

        Args:
            body: the body.
            session: what its conversation has in common.
            most_steps: see `read_blocks`.
            earlier: gives fingerprints to share memory with.
            beginning: how the body began before it was edited; None if nobody has looked.
            splices: the edits in the body; they do not count if its beginning is not known.

        Raises:
            BadInput, TooMuchWork: see `read_blocks`.
        """
        if beginning is None:
            beginning, splices = self._begin(body), NO_SPLICES
        sent = _Sent(body, beginning, splices)
        prompts = self._kept.get(session, [])
        cut = _longest(prompts, sent)
        parts = None if cut is None else self._rest(sent, cut, most_steps)
        if parts is None:
            cut = None
            parts = self._whole(body, prompts, most_steps)
        base = _most_alike(prompts, parts)
        new = None if base is None else _continued(base.kept, base.messages, parts)
        if new is None:
            new = _computed(parts, earlier)
        if new.fingerprint is not None:
            self._keep(session, parts, new, sent, cut, base)
        return new

    def _begin(self, body: bytes) -> Beginning:
        prefixes = self._prefixes
        if len(body) < prefixes.least_bytes:
            return UNSEEN
        nodes = prefixes.walk(body)
        if prefixes.is_worth_it(nodes, body):
            nodes = prefixes.remember(nodes, body, ())
        return prefixes.beginning(nodes)

    def _rest(self, sent: "_Sent", cut: "_Known", most_steps: int) -> RequestParts | None:
        """
        Read a body without its first messages. None if it has to be read whole: also where it cannot be read, so that it is
        said in the same words.
        """
        messages = cut.kept.parts.messages
        known = KnownMessages(messages[: cut.messages], cut.kept.steps[cut.messages - 1], (messages,))
        try:
            return read_parts(sent.without(cut), most_steps, known, self._sections)
        except (NotAsKnown, BadInput, TooMuchWork):
            return None

    def _whole(self, body: bytes, prompts: Sequence["_Kept"], most_steps: int) -> RequestParts:
        known = KnownMessages(earlier=[kept.parts.messages for kept in prompts])
        parts = read_parts(body, most_steps, known, self._sections)
        if prompts and not _begins_with_blocks(parts):
            # A message that is kept was sketched as one behind the first.
            parts = read_parts(body, most_steps, sections=self._sections)
        return parts

    def _keep(
        self,
        session: Hashable,
        parts: RequestParts,
        new: ReadPrompt,
        sent: "_Sent",
        cut: "_Known | None",
        base: "_Known | None",
    ) -> None:
        known = 0 if base is None else base.messages
        more = parts.messages[known:]
        if not _begins_with_blocks(parts) or not all(_is_plain(message.blocks) for message in more):
            return
        for number, message in enumerate(more, known):
            _sketched(message.blocks, in_head=number == 0)
        assert new.fingerprint is not None  # noqa: S101 - by its only caller
        kept = _Kept(
            parts, hash(parts.parameters), new.prompt, new.fingerprint, new.breakpoints, sent.beginning, sent.splices
        )
        kept.start, kept.ends, kept.steps = _places(sent, cut, parts.messages, self._least_new_bytes)
        prompts = self._kept.pop(session, [])
        rest = [prompt for prompt in prompts if base is None or prompt is not base.kept]
        self._kept[session] = [kept, *rest][:_MOST_PROMPTS]
        self._bytes += _size_bytes(self._kept[session]) - _size_bytes(prompts)
        while self._bytes > self._max_bytes:
            self._bytes -= _size_bytes(self._kept.popitem(last=False)[1])


@dataclass(frozen=True, slots=True)
class _Sent:
    """
    A body, and how it began before it was edited.
    """

    body: bytes
    beginning: Beginning
    splices: Splices

    def without(self, cut: "_Known") -> bytes:
        """
        The body without messages that are known.
        """
        start, end = cut.kept.start, cut.kept.ends[cut.messages - 1]
        return without_messages(self.body, self.splices.after(start), self.splices.after(end))


@dataclass(frozen=True, slots=True)
class _Known:
    """
    A prompt that is kept, and how many of its first messages another one has.
    """

    kept: _Kept
    messages: int


def _longest(prompts: Iterable[_Kept], sent: _Sent) -> _Known | None:
    """
    The prompt with most of the messages of a body, as far as its beginning says so.
    """
    if not sent.beginning.places:
        return None
    known = [_Known(kept, kept.known_messages(sent.beginning, sent.splices)) for kept in prompts]
    best = max(known, key=_messages, default=None)
    return best if best is not None and best.messages else None


def _most_alike(prompts: Iterable[_Kept], parts: RequestParts) -> _Known | None:
    """
    The prompt with most of the messages that were read, none of which is another object.
    """
    known = [_Known(kept, _same(kept.parts.messages, parts.messages)) for kept in prompts]
    best = max(known, key=_messages, default=None)
    return best if best is not None and best.messages else None


def _same(one: Sequence[object], other: Sequence[object]) -> int:
    return sum(takewhile(bool, map(is_, one, other)))


def _messages(known: _Known) -> int:
    return known.messages


def _begins_with_blocks(parts: RequestParts) -> bool:
    return bool(parts.messages and parts.messages[0].blocks)


def _computed(parts: RequestParts, earlier: Earlier) -> ReadPrompt:
    """
    A prompt of which nothing is known.
    """
    request = parts.request
    prompt = prompt_from(request)
    marks = tuple(breakpoints(request.blocks))
    return ReadPrompt(parts.model, prompt, fingerprint_of(request, prompt, earlier(parts.model)), marks)


_BLOCKS = attrgetter("blocks")


def _continued(kept: _Kept, messages: int, parts: RequestParts) -> ReadPrompt | None:
    """
    A prompt that goes on from another one. None if it depends on something else, or if what follows does not say which block
    automatic caching marks.
    """
    before = kept.parts
    if parts.tools is not before.tools or parts.system is not before.system:
        return None
    more = [block for message in parts.messages[messages:] for block in message.blocks]
    is_automatic = lifetime_of(parts.control) is not None
    if kept.parameters != hash(parts.parameters) or (is_automatic and not any(block.carries for block in more)):
        return None
    head = len(parts.tools) + len(parts.system)
    count = head + sum(map(len, map(_BLOCKS, parts.messages[:messages])))
    if count + len(more) > MAX_BLOCKS:
        return None
    last = next(message.blocks[-1] for message in reversed(parts.messages[:messages]) if message.blocks)
    marks = tuple([mark for mark in kept.breakpoints if mark.block < count])
    prompt = grown(kept.prompt, count, more, last, marks, parts.control)
    hashed = count - kept.prompt.digests[:head].count(b"")
    backwards = (block for message in reversed(parts.messages) for block in reversed(message.blocks))
    fingerprint = grown_fingerprint(kept.fingerprint, hashed, more, backwards, prompt)
    return ReadPrompt(parts.model, prompt, fingerprint, (*marks, *breakpoints(more, count)))


def _places(
    sent: _Sent, cut: _Known | None, messages: Sequence[MessageBlocks], least_new_bytes: int
) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
    """
    Where in a body its first messages stand, see `_Kept`: what was known of that, and more if much of what follows was seen.
    """
    start, ends, steps = 0, [], []
    if cut is not None:
        kept = cut.kept
        start, ends, steps = kept.start, list(kept.ends[: cut.messages]), list(kept.steps[: cut.messages])
    seen_bytes = len(sent.beginning.places) * sent.beginning.chunk_bytes
    if seen_bytes - (ends[-1] if ends else 0) < least_new_bytes:
        return start, tuple(ends), tuple(steps)
    body, splices = sent.body, sent.splices
    if cut is None:
        at = messages_start(body)
        if at is None:
            return 0, (), ()
        start, moved, found = splices.before(at), 0, message_ends(body, at)
    else:
        text, at = sent.without(cut), splices.after(ends[-1])
        moved = len(body) - len(text)
        found = message_ends(text, splices.after(start))[1:]
    total = steps[-1] if steps else 0
    for end, message in zip(found, messages[len(ends) :], strict=False):
        if message.key is None or splices.before(end + moved) > seen_bytes:
            break
        total += 1 + message.listed + message.steps + body.count(b"\\u", at, end + moved)
        at = end + moved
        ends.append(splices.before(at))
        steps.append(total)
    return start, tuple(ends), tuple(steps)


def _is_plain(blocks: Sequence[Block]) -> bool:
    """
    Whether no type of a block may be somebody's words.
    """
    return all(len(block.type) <= _LONGEST_TYPE_CHARS for block in blocks)


def _sketched(blocks: Sequence[Block], *, in_head: bool) -> None:
    """
    Replace the content of blocks by a sketch.
    """
    for at in range(len(blocks)):
        sketch(blocks, at, in_head=in_head)
    for block in blocks:
        block.content = b""


def _size_bytes(prompts: Iterable[_Kept]) -> int:
    return sum([kept.size_bytes for kept in prompts])
