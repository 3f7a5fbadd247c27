"""
A second opinion on request bodies: a slow JSON parser that keeps offsets and duplicate keys, and the order of breakpoints.

Rule of this file: nothing of `savemode_cli` and no JSON library is used here, so what the two agree on was found twice.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

Step = str | int
Path = tuple[Step, ...]
Kind = Literal["object", "array", "string", "number", "literal"]


class NotJson(Exception):
    """
    The bytes are no JSON text; the argument is the offset at which that was seen.
    """


@dataclass(frozen=True, slots=True)
class Key:
    """
    The name of a member: what it says, and the bytes that spell it with their quotes.
    """

    name: str
    raw: bytes
    start: int

    @property
    def escaped(self) -> bool:
        """
        Whether it is spelled other than it reads.
        """
        return b"\\" in self.raw


@dataclass(slots=True)
class Node:
    """
    One value. `keys` (of an object) runs parallel to `items`, in the order of the bytes and with every duplicate.

    `text` is a string's meaning, with bytes that are not UTF-8 as lone surrogates, or the spelling of a number or literal.
    """

    kind: Kind
    start: int
    end: int = -1
    text: str = ""
    keys: list[Key] = field(default_factory=list)
    items: list["Node"] = field(default_factory=list)

    def get(self, name: str) -> "Node | None":
        """
        The member of that name, the last one if there are several; None if this is no object or has none.
        """
        return dict(self.children()).get(name) if self.kind == "object" else None

    def key(self, name: str) -> Key | None:
        """
        The key that `get` goes by.
        """
        return next((key for key in reversed(self.keys) if key.name == name), None)

    def children(self) -> list[tuple[Step, "Node"]]:
        """
        What is reached from here: elements by index, members by name, of duplicates only the last.
        """
        if self.kind == "array":
            return list(enumerate(self.items))
        return list({key.name: item for key, item in zip(self.keys, self.items, strict=True)}.items())


_SPACE = re.compile(rb"[ \t\r\n]*")
_STRING = re.compile(rb'"[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+"')
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))")
_PAIR = re.compile("([\ud800-\udbff])([\udc00-\udfff])")
_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_LITERAL = re.compile(rb"true|false|null")
_SHORT = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_CLOSERS = {"object": b"}", "array": b"]"}


def parse(body: bytes) -> Node:
    """
    The tree of a JSON text, of any depth.

    Raises:
        NotJson: a byte is out of place. UTF-8 is not asked for inside strings; see `is_clean`.
    """
    open_nodes: list[Node] = []
    position = _space(body, 0)
    while True:
        node = _opening(body, position)
        if open_nodes:
            open_nodes[-1].items.append(node)
        if node.end < 0:
            position = _space(body, position + 1)
            open_nodes.append(node)
            if body[position : position + 1] != _CLOSERS[node.kind]:
                position = _before_value(body, node, position)
                continue
        else:
            position = _space(body, node.end)
        position, root = _close(body, position, open_nodes, node)
        if root is not None:
            if position != len(body):
                raise NotJson(position)
            return root


def _close(body: bytes, position: int, open_nodes: list[Node], last: Node) -> tuple[int, Node | None]:
    """
    Go on behind a value: past every bracket that closes here, and to the next value or, with the root, to the end.
    """
    while open_nodes:
        top = open_nodes[-1]
        sign = body[position : position + 1]
        if sign == b"," and top.items:
            return _before_value(body, top, _space(body, position + 1)), None
        if sign != _CLOSERS[top.kind]:
            raise NotJson(position)
        top.end = position + 1
        position = _space(body, top.end)
        last = open_nodes.pop()
    return position, last


def _space(body: bytes, position: int) -> int:
    match = _SPACE.match(body, position)
    assert match is not None
    return match.end()


def _before_value(body: bytes, holder: Node, position: int) -> int:
    """
    Where the next value of an open node starts; an object's key is read on the way.
    """
    if holder.kind == "array":
        return position
    match = _STRING.match(body, position)
    if match is None:
        raise NotJson(position)
    colon = _space(body, match.end())
    if body[colon : colon + 1] != b":":
        raise NotJson(colon)
    holder.keys.append(Key(_meaning(match[0]), match[0], position))
    return _space(body, colon + 1)


def _opening(body: bytes, position: int) -> Node:
    match body[position : position + 1]:
        case b"{":
            return Node("object", position)
        case b"[":
            return Node("array", position)
        case b'"':
            found = _STRING.match(body, position)
            if found is not None:
                return Node("string", position, found.end(), _meaning(found[0]))
        case _:
            for kind, pattern in (("number", _NUMBER), ("literal", _LITERAL)):
                found = pattern.match(body, position)
                if found is not None:
                    return Node("number" if kind == "number" else "literal", position, found.end(), found[0].decode())
    raise NotJson(position)


def _meaning(raw: bytes) -> str:
    def meant(match: re.Match[str]) -> str:
        return chr(int(match[1], 16)) if match[1] else _SHORT.get(match[2], match[2])

    text = _ESCAPE.sub(meant, raw[1:-1].decode("utf-8", "surrogateescape"))
    return _PAIR.sub(lambda pair: chr(0x10000 + (ord(pair[1]) - 0xD800) * 0x400 + ord(pair[2]) - 0xDC00), text)


def nodes(root: Node) -> Iterator[Node]:
    """
    Every node, what a duplicate hides included.
    """
    stack = [root]
    while stack:
        node = stack.pop()
        yield node
        stack += node.items


def has_duplicates(root: Node) -> bool:
    """
    Whether some object says a key twice, however it spells it.
    """
    return any(len({key.name for key in node.keys}) < len(node.keys) for node in nodes(root))


def is_clean(root: Node) -> bool:
    """
    Whether all text is Unicode: no lone surrogate, no byte that is not UTF-8.
    """
    surrogate = re.compile("[\ud800-\udfff]")
    return not any(
        surrogate.search(text) for node in nodes(root) for text in (node.text, *(key.name for key in node.keys))
    )


MARK = "cache_control"
USER_DATA = frozenset({"input", "input_schema", "input_examples", "text"})


@dataclass(frozen=True, slots=True)
class Mark:
    """
    A `cache_control` that is no user data. `documented` is true where the API's types have the field.
    """

    path: Path
    holder: Node
    value: Node
    documented: bool
    escaped: bool

    @property
    def lifetime(self) -> Literal["5m", "1h"] | None:
        """
        What the API makes of it; None where it is nothing or refused.
        """
        kind = self.value.get("type")
        ttl = self.value.get("ttl")
        if kind is None or (kind.kind, kind.text) != ("string", "ephemeral"):
            return None
        if ttl is None or (ttl.kind, ttl.text) in (("literal", "null"), ("string", "5m")):
            return "5m"
        return "1h" if (ttl.kind, ttl.text) == ("string", "1h") else None

    @property
    def bare(self) -> bool:
        """
        Whether it leaves its lifetime to the default.
        """
        return self.lifetime == "5m" and self.value.get("ttl") is None


def marks(root: Node) -> list[Mark]:
    """
    Every `cache_control` under tools, system and messages, in that order, then the request's own.

    Within a section by position; in a block its `content`, then its `source`, then the rest, then the block itself.
    """
    # Popped last child first and then reversed, a stack yields what is nested before what holds it.
    stack: list[tuple[Path, Node]] = [((), root)]
    backwards: list[Mark] = []
    while stack:
        path, node = stack.pop()
        value, key = node.get(MARK), node.key(MARK)
        if value is not None and key is not None:
            backwards.append(Mark(path, node, value, is_documented(path), key.escaped))
        stack += [((*path, step), child) for step, child in _looked_into(path, node)]
    return backwards[::-1]


def _looked_into(path: Path, node: Node) -> list[tuple[Step, Node]]:
    if node.kind == "array":
        return node.children()
    members = dict(node.children())
    if not path:
        return [(name, members[name]) for name in ("tools", "system", "messages") if name in members]
    first = [(name, members.pop(name)) for name in ("content", "source") if name in members]
    return first + [(name, child) for name, child in members.items() if name not in USER_DATA and name != MARK]


_BLOCK = r"(?:\.content(?:\.\d+)?|\.source\.content(?:\.\d+)?)*"
_DOCUMENTED = re.compile(rf"|tools\.\d+|system\.\d+{_BLOCK}|messages\.\d+\.content\.\d+{_BLOCK}")


def is_documented(path: Path) -> bool:
    """
    Whether the API's types have a `cache_control` there: the request, tools, blocks and the blocks nested in those.
    """
    return _DOCUMENTED.fullmatch(".".join(str(step) for step in path)) is not None


def is_legal(lifetimes: Sequence[str | None]) -> bool:
    """
    Whether no 1-hour breakpoint follows a 5-minute one; what the API refuses anyway is stepped over.
    """
    return all((one, other) != ("5m", "1h") for one, other in pairwise(one for one in lifetimes if one))


def automatic_target(root: Node) -> Path | None:
    """
    The block that the request's own breakpoint falls on: the last of the request that can carry one.
    """
    for section in ("messages", "system", "tools"):
        for index, item in reversed(_elements(root.get(section))):
            if section != "messages":
                if _can_carry(item):
                    return (section, index)
                continue
            content = item.get("content")
            if content is not None and content.kind == "string" and content.text:
                return None
            for place, block in reversed(_elements(content)):
                if _can_carry(block):
                    return (section, index, "content", place)
    return None


def _elements(node: Node | None) -> list[tuple[int, Node]]:
    return list(enumerate(node.items)) if node is not None and node.kind == "array" else []


def _can_carry(block: Node) -> bool:
    kind, text = block.get("type"), block.get("text")
    if block.kind != "object" or is_thinking(block):
        return False
    empty = text is not None and (text.kind, text.text) == ("string", "")
    return not (empty and kind is not None and (kind.kind, kind.text) == ("string", "text"))


def is_thinking(block: Node) -> bool:
    """
    Whether it is of the two kinds of block that may carry no breakpoint.
    """
    kind = block.get("type")
    return kind is not None and kind.kind == "string" and kind.text in ("thinking", "redacted_thinking")


@dataclass(frozen=True, slots=True)
class Addition:
    """
    A member that one tree has more than another, behind what they share. `span` covers its comma.
    """

    path: Path
    value: str
    span: tuple[int, int]


def additions(before: bytes, after: bytes) -> list[Addition]:
    """
    What was added, in the order of the bytes, if adding members at the end of objects is all that happened.

    Raises:
        AssertionError: something else is different; a path with a lone "*" leads past a duplicate that is not the last.
    """
    found: list[Addition] = []
    stack: list[tuple[Path, Node, Node]] = [((), parse(before), parse(after))]
    while stack:
        path, old, new = stack.pop()
        assert (old.kind, old.text) == (new.kind, new.text), path
        shared = len(old.items)
        assert old.kind == "object" or shared == len(new.items), path
        assert [key.raw for key in old.keys] == [key.raw for key in new.keys[:shared]], path
        end = new.items[shared - 1].end if shared else -1
        for key, item in zip(new.keys[shared:], new.items[shared:], strict=True):
            found.append(Addition((*path, key.name), item.text, (end, item.end)))
            end = item.end
        last = {key.name: index for index, key in enumerate(old.keys)}
        for index, (one, other) in enumerate(zip(old.items, new.items[:shared], strict=True)):
            steps: Path = (index,)
            if old.kind == "object":
                name = old.keys[index].name
                steps = (name,) if last[name] == index else (name, "*", index)
            stack.append(((*path, *steps), one, other))
    return sorted(found, key=lambda one: one.span)


def without(body: bytes, added: list[Addition]) -> bytes:
    """
    The body less what was added.
    """
    for one in reversed(added):
        body = body[: one.span[0]] + body[one.span[1] :]
    return body


def user_data(body: bytes) -> list[bytes]:
    """
    The bytes of every value under a key that is the user's own, in order.
    """
    found = [
        (item.start, item.end)
        for node in nodes(parse(body))
        for key, item in zip(node.keys, node.items, strict=node.kind == "object")
        if key.name in USER_DATA
    ]
    return [body[start:end] for start, end in sorted(found)]
