"""
The blocks of conversations that grow: what was read of a prompt before is not read again.

Rule of this file: the blocks are the same with and without the memory, apart from their content. Where it is not certain that
they are, the body is read whole. No text is kept, see `core.wire.prefixes`.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence

from savemode_cli.core.cache.blocks import (
    NOTHING_SEEN,
    UNBOUNDED,
    Block,
    MoreBlocks,
    NotAsSeen,
    RequestBlocks,
    SeenBlocks,
    read_more_blocks,
)
from savemode_cli.core.diagnosis.fingerprint import sketch
from savemode_cli.core.errors import BadInput
from savemode_cli.core.wire.message_ends import STAND_IN, message_ends, messages_start, without_messages
from savemode_cli.core.wire.prefixes import CHUNK_BYTES, Node, SeenPrefixes
from savemode_cli.core.wire.reading_work import ReadingWork, TooMuchWork

MAX_BYTES = 16 * 1024 * 1024

_LONGEST_TYPE_CHARS = 64
"""The API's are shorter; a longer one may be somebody's words, which are not kept."""

_LEAST_NEW_CHUNKS = 2
_MOST_SECTIONS = 64
_MOST_BLOCKS = 500
_SEEN_BYTES = 300
_BLOCK_BYTES = 700


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
            _sketched(blocks)
            self._seen[key] = blocks, work.spent - spent
            if len(self._seen) > _MOST_SECTIONS:
                self._seen.popitem(last=False)
        return blocks


class BlocksMemory:
    """
    Reads bodies, and remembers of each how it begins.
    """

    def __init__(self, max_bytes: int = MAX_BYTES, chunk_bytes: int = CHUNK_BYTES) -> None:
        """
        Args:
            max_bytes: the most memory that it takes, about.
            chunk_bytes: see `SeenPrefixes`.
        """
        self.seen: SeenPrefixes[SeenBlocks] = SeenPrefixes(max_bytes, chunk_bytes, _LEAST_NEW_CHUNKS)
        self._sections = SeenSections()

    def read(self, body: bytes, most_steps: int = UNBOUNDED) -> RequestBlocks:
        """
        Read a request body. What will be remembered of it has a sketch and no content.

        Args:
            body: the body.
            most_steps: see `read_blocks`.

        Raises:
            BadInput, TooMuchWork: see `read_blocks`.
        """
        if len(body) < self.seen.least_bytes:
            return read_more_blocks(body, most_steps).request
        nodes = self.seen.walk(body)
        seen = (nodes[-1].known if nodes else None) or NOTHING_SEEN
        text, more = body, None
        if seen.messages:
            text = without_messages(body, seen.start, seen.end)
            more = _more(text, most_steps, seen, self._sections)
        if more is None:
            seen, text = NOTHING_SEEN, body
            more = read_more_blocks(body, most_steps, sections=self._sections)
        if self.seen.is_worth_it(nodes, body):
            self._remember(nodes, body, text, more, seen)
        return more.request

    def _remember(
        self, nodes: list[Node[SeenBlocks]], body: bytes, text: bytes, more: MoreBlocks, seen: SeenBlocks
    ) -> None:
        start = seen.start or messages_start(text)
        if start is not None:
            known = [(one.end, one, _size_bytes(one)) for one in _beginnings(text, start, more, seen)]
            self.seen.remember(nodes, body, known)


def _more(text: bytes, most_steps: int, seen: SeenBlocks, sections: SeenSections) -> MoreBlocks | None:
    """
    None if the body has to be read whole: also where it cannot be read, so that it is said in the same words.
    """
    try:
        return read_more_blocks(text, most_steps, seen, sections)
    except (NotAsSeen, BadInput, TooMuchWork):
        return None


def _beginnings(text: bytes, start: int, more: MoreBlocks, seen: SeenBlocks) -> Iterator[SeenBlocks]:
    """
    What is known of the messages up to each.

    Args:
        text: what was read.
        start: the offset of its first message.
        more: what was read in it.
        seen: what was known of the messages that were left out of it.
    """
    ends = message_ends(text, start)
    at, moved = start, 0
    if seen.messages:
        ends = ends[1:]
        at, moved = start + len(STAND_IN), seen.end - seen.start - len(STAND_IN)
    first = next((block.path[:2] for block in more.request.levels[2].blocks), None)
    for end, (blocks, steps) in zip(ends, more.read, strict=False):
        if steps is None or not _is_plain(blocks):
            return
        _sketched(blocks, first)
        all_steps = seen.steps + steps + text.count(b"\\u", at, end)
        seen = SeenBlocks(start, end + moved, seen.messages + 1, all_steps, blocks, seen)
        yield seen
        at = end


def _is_plain(blocks: Sequence[Block]) -> bool:
    """
    Whether no type of a block may be somebody's words.
    """
    return all(len(block.type) <= _LONGEST_TYPE_CHARS for block in blocks)


def _sketched(blocks: Sequence[Block], first: object = None) -> None:
    """
    Replace the content of blocks by a sketch. Those of the message with the path `first`, or of a section, are in the head.
    """
    for at, block in enumerate(blocks):
        sketch(blocks, at, in_head=first is None or block.path[:2] == first)
    for block in blocks:
        block.content = b""


def _size_bytes(seen: SeenBlocks) -> int:
    return _SEEN_BYTES + _BLOCK_BYTES * len(seen.own)
