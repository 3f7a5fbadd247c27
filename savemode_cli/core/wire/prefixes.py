"""
Which beginnings of request bodies were seen, and what is known of each, so that a conversation that grows costs its tail.

Rule of this file: no text is kept. A body is divided into chunks of one size, and a chunk is known by its digest. A
beginning is a chain of chunks: a node of a tree, found by the node before it and the digest of its chunk.

The digest is Python's hash of bytes: 64 bits, with a key that each process chooses at random (SipHash). Two chunks that
differ have the same one by an accident of 1 in 10^19, and nobody who does not know the key can make two that have.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from operator import eq
from typing import Generic, TypeVar

T = TypeVar("T")

CHUNK_BYTES = 8 * 1024
_LEAST_CHUNKS = 16
_SERIALS = count(1)

NODE_BYTES = 500
"""About what a node takes, with its place in the table and without what is known."""


class Node(Generic[T]):
    """
    A beginning of bodies.
    """

    __slots__ = ("cost", "key", "known", "once", "serial")

    def __init__(self, serial: int, key: tuple[int, int], known: T | None, cost: int, *, once: bool) -> None:
        """
        Args:
            serial: a number that no other node has or will have.
            key: the serial number of the node before it, and the digest of its chunk.
            known: what is known of it, or of a shorter beginning; None if nothing is.
            cost: what it takes in bytes.
            once: whether it was seen once, and nothing goes on from it.
        """
        self.serial = serial
        self.key = key
        self.known = known
        self.cost = cost
        self.once = once


@dataclass(frozen=True, slots=True)
class Beginning:
    """
    Which beginning of a body was seen. Two bodies that share some of the places begin alike.
    """

    places: tuple[int, ...] = ()
    """The serial number of the node of each chunk."""
    chunk_bytes: int = CHUNK_BYTES

    def shared_bytes(self, other: "Beginning") -> int:
        """
        How many bytes the beginnings of two bodies have in common at least.
        """
        shared: int = sum(map(eq, self.places, other.places))  # a place stands for everything before it, too
        return self.chunk_bytes * shared


UNSEEN = Beginning()


class SeenPrefixes(Generic[T]):
    """
    The beginnings that were seen lately. Those of the body that was seen longest ago go first.
    """

    def __init__(self, max_bytes: int, chunk_bytes: int = CHUNK_BYTES, least_new_chunks: int = 4) -> None:
        """
        Args:
            max_bytes: the most memory that they take, about.
            chunk_bytes: the size of a chunk.
            least_new_chunks: what is new is remembered once it is as long as this; until then it is read anew each time.
        """
        self._least_new_bytes = least_new_chunks * chunk_bytes
        self.chunk_bytes = chunk_bytes
        self._nodes: OrderedDict[tuple[int, int], Node[T]] = OrderedDict()
        self._max_bytes = max_bytes
        self._bytes = 0

    @property
    def least_bytes(self) -> int:
        """
        A smaller body is not looked for: to read it anew takes no longer.
        """
        return _LEAST_CHUNKS * self.chunk_bytes

    @property
    def size_bytes(self) -> int:
        """
        About how much memory they take.
        """
        return self._bytes

    def walk(self, body: bytes) -> list[Node[T]]:
        """
        The beginnings of a body that were seen, the longest last.
        """
        nodes: list[Node[T]] = []
        parent, table, size = 0, self._nodes, self.chunk_bytes
        for start in range(0, len(body) - size + 1, size):
            # A copy, for to hash a view means to hash the whole of what it is a view of, too.
            found = table.get((parent, hash(body[start : start + size])))
            if found is None:
                break
            nodes.append(found)
            parent = found.serial
        self._touch(nodes)
        return nodes

    def beginning(self, nodes: Sequence[Node[T]]) -> Beginning:
        """
        The beginning to which these nodes lead.
        """
        return Beginning(tuple([node.serial for node in nodes]), self.chunk_bytes)

    def is_worth_it(self, nodes: Sequence[Node[T]], body: bytes) -> bool:
        """
        Whether it pays to remember a body: much of it is new, and half of it was seen, or it goes on with what was seen
        once. If not, it is noted that it was seen once. So a body that nothing ever goes on from costs the digest of two
        chunks.

        Args:
            nodes: those that `walk` found.
            body: the body.
        """
        seen_bytes = len(nodes) * self.chunk_bytes
        if len(body) - seen_bytes < self._least_new_bytes:
            return False
        if (nodes and nodes[-1].once) or 2 * seen_bytes >= len(body):
            return True
        end = (len(nodes) + 1) * self.chunk_bytes
        if end <= len(body):
            known = nodes[-1].known if nodes else None
            self._touch([*nodes, self._add(nodes, body, len(nodes), known, NODE_BYTES, once=True)])
        return False

    def remember(self, nodes: Sequence[Node[T]], body: bytes, known: Sequence[tuple[int, T, int]]) -> list[Node[T]]:
        """
        Remember the whole of a body.

        Returns:
            Its nodes.

        Args:
            nodes: those that `walk` found.
            body: the body.
            known: what is known of its beginnings: the end of each in ascending order, and what it takes in bytes.
        """
        path = list(nodes)
        if path and path[-1].once:
            self._bytes -= self._nodes.pop(path.pop().key).cost
        last, at = (path[-1].known if path else None), 0
        for number in range(len(path), len(body) // self.chunk_bytes):
            cost = NODE_BYTES
            while at < len(known) and known[at][0] <= (number + 1) * self.chunk_bytes:
                last, cost = known[at][1], cost + known[at][2]
                at += 1
            path.append(self._add(path, body, number, last, cost, once=False))
        self._touch(path)
        return path

    def _add(
        self, before: Sequence[Node[T]], body: bytes, number: int, known: T | None, cost: int, *, once: bool
    ) -> Node[T]:
        chunk = body[number * self.chunk_bytes : (number + 1) * self.chunk_bytes]
        key = (before[-1].serial if before else 0, hash(chunk))
        node = Node(next(_SERIALS), key, known, cost, once=once)
        self._nodes[node.key] = node
        self._bytes += cost
        return node

    def _touch(self, nodes: Sequence[Node[T]]) -> None:
        """
        Keep these longest, and drop what is too much. A node is kept longer than those that follow it, so that what is
        dropped is always the end of a body.
        """
        for node in reversed(nodes):
            self._nodes.move_to_end(node.key)
        while self._bytes > self._max_bytes:
            self._bytes -= self._nodes.popitem(last=False)[1].cost
