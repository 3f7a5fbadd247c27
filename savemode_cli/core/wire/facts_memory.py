"""
The facts of conversations that grow: what was read of the body before is not read again.

Rule of this file: the facts are the same with and without the memory. Where it is not certain that they are, the body is
read whole. No text is kept, see `prefixes`.
"""

from bisect import bisect_right
from collections.abc import Iterator

from msgspec import DecodeError
from msgspec.structs import replace

from savemode_cli.core.wire.breakpoints import Breakpoint, Holders, count_keys, message_target, section_holders
from savemode_cli.core.wire.facts import (
    MAX_CONTAINERS,
    NOTHING_SEEN,
    Facts,
    NotAsSeen,
    Reading,
    SeenMessages,
    count_braces,
    quick_reading,
    sourced_by,
)
from savemode_cli.core.wire.message_ends import STAND_IN, message_ends, messages_start, without_messages
from savemode_cli.core.wire.opening import first_user_texts
from savemode_cli.core.wire.prefixes import CHUNK_BYTES, UNSEEN, Beginning, Node, SeenPrefixes
from savemode_cli.core.wire.reading_work import ReadingWork
from savemode_cli.core.wire.repeats import seen_row
from savemode_cli.core.wire.request_body import RequestBlock
from savemode_cli.core.wire.turns import opens_turn

MAX_BYTES = 16 * 1024 * 1024

_LONGEST_MARKER_BYTES = 128
"""A real one is about 40 bytes; a longer one may hold somebody's words, which are not kept."""

_MOST_FILES = 64
_SEEN_BYTES = 1000
_BREAKPOINT_BYTES = 400
_FILE_BYTES = 300

_Known = tuple[int, SeenMessages, int]


class FactsMemory:
    """
    Reads bodies, and remembers of each how it begins.
    """

    def __init__(self, max_bytes: int = MAX_BYTES, chunk_bytes: int = CHUNK_BYTES) -> None:
        """
        Args:
            max_bytes: the most memory that it takes, about.
            chunk_bytes: see `SeenPrefixes`.
        """
        self.seen: SeenPrefixes[SeenMessages] = SeenPrefixes(max_bytes, chunk_bytes)

    def quick_facts(self, body: bytes, most_bytes: int) -> Facts | None:
        """
        Read a body if that takes few steps.

        Args:
            body: the body.
            most_bytes: how much of it may be read.

        Returns:
            The same as `facts`; None if more has to be read, or it takes too many steps. See `quick_facts`.
        """
        return self.read(body, most_bytes)[0]

    def read(self, body: bytes, most_bytes: int) -> tuple[Facts | None, Beginning]:
        """
        The same, and which beginning of the body was seen.
        """
        if len(body) < self.seen.least_bytes:
            known = quick_reading(body) if len(body) <= most_bytes else None
            return None if known is None else known.facts, UNSEEN
        nodes = self.seen.walk(body)
        seen = (nodes[-1].known if nodes else None) or NOTHING_SEEN
        text = without_messages(body, seen.start, seen.end) if seen.messages else body
        reading = _reading(text, seen, most_bytes)
        if reading is None and seen.messages:
            seen, text = NOTHING_SEEN, body
            reading = _reading(body, seen, most_bytes)
        if reading is None:
            return None, self.seen.beginning(nodes)
        if reading.messages and self.seen.is_worth_it(nodes, body):
            nodes = self._remember(nodes, body, text, reading, seen)
        return reading.facts, self.seen.beginning(nodes)

    def _remember(
        self, nodes: list[Node[SeenMessages]], body: bytes, text: bytes, reading: Reading, seen: SeenMessages
    ) -> list[Node[SeenMessages]]:
        start = seen.start or messages_start(text)
        if start is None:
            return nodes
        return self.seen.remember(nodes, body, tuple(_beginnings(text, start, reading, seen, self.seen.chunk_bytes)))


def _reading(text: bytes, seen: SeenMessages, most_bytes: int) -> Reading | None:
    """
    None if it is too much, or has to be done without what was seen.
    """
    if len(text) > most_bytes:
        return None
    try:
        reading = quick_reading(text, seen)
    except NotAsSeen:
        return None
    if reading is not None and seen.messages and (reading.facts.problem or reading.facts.unjudged):
        return None
    return reading


def _beginnings(text: bytes, start: int, reading: Reading, seen: SeenMessages, chunk_bytes: int) -> Iterator[_Known]:
    """
    What is known of the messages up to the last one that ends in each chunk.

    Args:
        text: what was read.
        start: the offset of its first message.
        reading: what was read in it.
        seen: what was known of the messages that were left out of it.
        chunk_bytes: the size of a chunk.
    """
    ends = message_ends(text, start)
    at, moved = start, 0
    if seen.messages:
        ends = ends[1:]
        at, moved = start + len(STAND_IN), seen.end - seen.start - len(STAND_IN)
    first = 0
    for last, end in enumerate(ends, 1):
        if last < len(ends) and (ends[last] + moved - 1) // chunk_bytes == (end + moved - 1) // chunk_bytes:
            continue  # another one is complete in this chunk
        keys = bisect_right(reading.offsets, end) - bisect_right(reading.offsets, at)
        more = _with_more(seen, reading, list(reading.messages[first:last]), keys)
        if more is None:
            return
        seen = replace(more, start=start, end=end + moved, braces=seen.braces + count_braces(text, at, end))
        yield seen.end, seen, _size_bytes(seen)
        first, at = last, end


def _with_more(seen: SeenMessages, reading: Reading, messages: list[object], keys: int) -> SeenMessages | None:
    """
    What is known of messages with those that follow them, apart from offsets and braces; None if it is not to be kept.

    Args:
        seen: what is known.
        reading: what was read behind that.
        messages: those that follow.
        keys: how many `cache_control` keys stand in them. One that is somebody's own data makes the whole body be parsed.
    """
    first, end = seen.messages, seen.messages + len(messages)
    work = ReadingWork(MAX_CONTAINERS, quick=False)
    found: Holders = []
    sources: list[RequestBlock] = []
    section_holders("messages", messages, found, work, sources, first)
    sourced = seen.sourced + sourced_by(sources)
    marked = tuple(one for one in reading.facts.breakpoints if _is_among(one, first, end))
    if count_keys(found) != keys or len(sourced.files) > _MOST_FILES or not all(map(_is_plain, marked)):
        return None
    try:
        target, row = message_target(messages, first), seen_row(messages, seen.row)
    except (DecodeError, UnicodeDecodeError):
        return None  # a text that nobody has looked at so far
    return replace(
        seen,
        messages=end,
        opens_turn=opens_turn(messages, seen.opens_turn),
        held=seen.held + len(found),
        steps=seen.steps + work.spent,
        breakpoints=seen.breakpoints + marked,
        sourced=sourced,
        opening=first_user_texts(messages) if seen.opening is None else seen.opening,
        target=target or seen.target,
        row=row,
    )


def _is_among(one: Breakpoint, first: int, end: int) -> bool:
    """
    Whether a breakpoint is in one of these messages.
    """
    match one.path:
        case ("messages", int() as index, *_):
            return first <= index < end
        case _:
            return False


def _is_plain(one: Breakpoint) -> bool:
    """
    Whether a breakpoint is where the API looks for one, and holds nobody's words.
    """
    return one.text is not None and len(one.text) <= _LONGEST_MARKER_BYTES


def _size_bytes(seen: SeenMessages) -> int:
    return _SEEN_BYTES + _BREAKPOINT_BYTES * len(seen.breakpoints) + _FILE_BYTES * len(seen.sourced.files)
