"""
The cache upgrade over random and hostile bodies, judged by the slow parser of `tests/support/oracle.py`.

The bodies are written byte by byte, so that spelling is random too. A strategy draws the shape; the spelling follows from
one drawn number (`Pen.seed`), of which 0 is the plain one.
"""

import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from savemode_cli.core.upgrade.edits import Transformed, revert
from savemode_cli.core.upgrade.policy import Policy
from savemode_cli.core.upgrade.transform import transform
from savemode_cli.core.wire.caller import Caller
from savemode_cli.core.wire.facts import facts
from tests.support.examples import examples
from tests.support.oracle import (
    MARK,
    Mark,
    NotJson,
    Path,
    additions,
    automatic_target,
    has_duplicates,
    is_clean,
    is_documented,
    is_legal,
    is_thinking,
    marks,
    parse,
    user_data,
    without,
)

PERSON = Caller("posthog_code", idle_prone=True)
OURS = Policy("always")
UPSTREAM = Policy("always", compat=True)
both_rules = pytest.mark.parametrize("policy", [OURS, UPSTREAM], ids=["ours", "compat"])


@dataclass
class Members:
    """
    An object to be written: members in order, keys may repeat.
    """

    pairs: list[tuple[str, "Tree"]]


Tree = Members | list["Tree"] | str | bytes
"""What is to be written: text as a string however spelled, bytes as they are."""


@dataclass
class Pen:
    """
    How to spell. The rates are chances per place; `marks` is whether the marker's own name may be spelled with escapes.
    """

    seed: int = 0
    spaces: float = 0
    escapes: float = 0
    duplicates: float = 0
    marks: bool = False
    dice: random.Random = field(init=False)

    def __post_init__(self) -> None:
        """
        The same number always spells the same bytes.
        """
        self.dice = random.Random(self.seed)

    def write(self, tree: Tree) -> bytes:
        """
        The JSON text.
        """
        match tree:
            case bytes():
                return tree
            case str():
                return self.quoted(tree)
            case list():
                return b"[" + self.joined([self.write(one) for one in tree]) + b"]"
            case Members():
                pairs = list(tree.pairs)
                if pairs and self.dice.random() < self.duplicates:
                    key, value = self.dice.choice(pairs)
                    other: Tree = self.dice.choice([value, b"null", "x", [], marker_of('"ttl":"5m"'), marker_of()])
                    pairs.insert(self.dice.randrange(len(pairs) + 1), (key, other))
                return b"{" + self.joined([self.member(key, value) for key, value in pairs]) + b"}"

    def member(self, key: str, value: Tree) -> bytes:
        """
        A key, a colon and a value.
        """
        spelled = self.quoted(key) if self.marks or key != MARK else b'"cache_control"'
        return spelled + self.space() + b":" + self.space() + self.write(value)

    def joined(self, parts: list[bytes]) -> bytes:
        """
        The parts between commas.
        """
        return b",".join(self.space() + part + self.space() for part in parts) or self.space()

    def space(self) -> bytes:
        """
        Nothing, or some white space.
        """
        return self.dice.choice([b" ", b"\n", b"\r\n\t", b"  "]) if self.dice.random() < self.spaces else b""

    def quoted(self, text: str) -> bytes:
        """
        A string; a lone surrogate can only be spelled as an escape.
        """
        return b'"' + b"".join(self.letter(letter) for letter in text) + b'"'

    def letter(self, letter: str) -> bytes:
        """
        One character, as it is or as an escape.
        """
        code = ord(letter)
        if 0xD800 <= code <= 0xDFFF or self.dice.random() < self.escapes:
            if code > 0xFFFF:
                code -= 0x10000
                return b"\\u%04x\\u%04X" % (0xD800 + (code >> 10), 0xDC00 + (code & 0x3FF))
            return b"\\u%04x" % code
        if letter in '"\\':
            return b"\\" + letter.encode()
        return b"\\u%04x" % code if code < 0x20 else letter.encode()


def marker_of(*more: str, kind: str = '"ephemeral"') -> bytes:
    """
    A `cache_control` object with further members.
    """
    return ",".join(['{"type":' + kind, *more]).encode() + b"}"


BARE = Members([("type", "ephemeral")])
TAME_MARKERS: list[Tree] = [
    *[BARE] * 8,
    Members([("scope", "global"), ("type", "ephemeral")]),
    Members([("type", "ephemeral"), ("note", '","ttl":{"1h"}')]),
    *[Members([("type", "ephemeral"), ("ttl", "1h")])] * 3,
    Members([("ttl", "5m"), ("type", "ephemeral")]),
    Members([("type", "ephemeral"), ("ttl", b"null")]),
    Members([("type", "ephemeral"), ("ttl", "2h")]),
    Members([("type", "persistent"), ("ttl", b"3600")]),
    Members([("type", "other")]),
    Members([]),
    b"null",
    "ephemeral",
    b"7",
    [BARE],
]
HOSTILE_MARKERS: list[Tree] = [
    marker_of('"type":"ephemeral"'),
    marker_of('"type":"persistent"'),
    marker_of('"ttl":"1h","ttl":"5m"'),
    marker_of('"tt\\u006c":"5m"'),
    marker_of('"cache_control":{"type":"ephemeral"}'),
    marker_of('"a":{"type":"ephemeral"}'),
    marker_of('":":1,"::":[":"]'),
    marker_of('"ttl":{"a":[]}'),
    marker_of(kind="[]"),
    marker_of(kind="null"),
    marker_of('"x":' + '"' + "y" * 5000 + '"'),
]

DECOYS = [
    "",
    "x",
    'say {"cache_control":{"type":"ephemeral"}}',
    '"cache_control":',
    '\\"cache_control":{"type":"ephemeral"}',
    "cache_control",
    "naïve 🙂 日本",
    "\\",
    'a\\"',
    "\n\t",
]
SCALARS: list[Tree] = [b"1e5", b"1.0", b"-0", b"-1.5E-3", b"0", b"true", b"false", b"null", "str", [], Members([])]
HOSTILE_SCALARS: list[Tree] = [b"123456789012345678901234567890", [[BARE]], marker_of(), Members([(MARK, b"null")])]
WILD_SCALARS: list[Tree] = [
    b"1e999",
    b"NaN",
    b"01",
    b'"\xff"',
    b'"\xed\xa0\x80"',
    "\ud800",
    "\udc00\ud800",
    b'"\x01"',
]


@dataclass
class Shapes:
    """
    The strategies of one kind of body. Tame ones have markers in known places only, and of the documented shape.

    `wild` adds what parsers dispute: lone surrogates, bytes that are no UTF-8, numbers out of range, what is no JSON.
    """

    hostile: bool = False
    wild: bool = False

    def __post_init__(self) -> None:
        """
        What is drawn often is built once.
        """
        markers = TAME_MARKERS * 2 + HOSTILE_MARKERS * self.hostile
        scalars = SCALARS * 2 + HOSTILE_SCALARS * self.hostile + WILD_SCALARS * self.wild
        self.marker = st.sampled_from(markers)
        self.scalar: st.SearchStrategy[Tree] = st.sampled_from(scalars)
        strings = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
        self.text = st.one_of(st.sampled_from(DECOYS), strings, *[st.just("\udfff")] * self.wild)
        self.data = st.recursive(
            self.scalar | self.text | self.marker,
            lambda inner: (
                st.lists(inner, max_size=2)
                | st.lists(
                    st.tuples(st.sampled_from([MARK, '"cache_control', "content"]), inner), max_size=2, unique_by=_key
                ).map(Members)
            ),
            max_leaves=4,
        )

    def members(self, draw: st.DrawFn, *pairs: tuple[str, Tree]) -> Tree:
        """
        An object with these members, perhaps a marker, and where that is wanted something where no marker belongs.
        """
        more = [*pairs, (MARK, draw(self.marker))] if draw(st.booleans()) else list(pairs)
        if self.hostile and draw(st.integers(0, 9)) == 0:
            value = draw(self.marker)
            inner = Members([(MARK, value)])
            strays: list[tuple[str, Tree]] = [
                ("citations", [inner]),
                ("source", inner),
                ("extra", inner),
                ("extra", Members([("deep", [[inner]])])),
                ("type", []),
                ("type", Members([])),
                ("content", inner),
                ("content", [[inner]]),
                ("extra", Members([(MARK, b"null")])),
            ]
            more.append(draw(st.sampled_from(strays)))
        return Members(draw(st.permutations(more)) if draw(st.booleans()) else more)

    def block(self, draw: st.DrawFn, depth: int = 0) -> Tree:  # noqa: PLR0911 - one return a kind
        """
        A content block; the deeper, the simpler.
        """
        kind = draw(st.integers(0, 4 if depth > 1 else 9))
        if kind <= 1:
            return self.members(draw, ("type", "text"), ("text", draw(self.text)))
        if kind == 2:
            return self.members(draw, ("type", "tool_use"), ("input", draw(self.data)))
        if kind == 3:
            return draw(self.scalar)
        if kind == 4:
            return self.members(draw, ("type", draw(st.sampled_from(["thinking", "redacted_thinking"]))))
        if kind <= 6:
            blocks: Tree = self.blocks(draw, depth + 1)
            return self.members(draw, ("type", "tool_result"), ("content", blocks))
        if kind == 7:
            return self.members(draw, ("type", "web_fetch_tool_result"), ("content", self.block(draw, depth + 1)))
        if kind == 8:
            source = Members([("type", "content"), ("content", self.blocks(draw, depth + 1))])
            return self.members(draw, ("type", "document"), ("source", source))
        return self.members(draw, ("type", "image"), ("source", Members([("data", draw(self.text))])))

    def blocks(self, draw: st.DrawFn, depth: int = 0) -> Tree:
        """
        The content of a message or a block: mostly a list.
        """
        if draw(st.integers(0, 5)) == 0:
            return draw(self.text) if draw(st.booleans()) else draw(self.scalar)
        return [self.block(draw, depth) for _ in range(draw(st.integers(0, 3)))]

    def tool(self, draw: st.DrawFn) -> Tree:
        """
        A tool with a schema, or something that is none.
        """
        if draw(st.integers(0, 5)) == 0:
            return draw(self.scalar)
        return self.members(draw, ("name", "t"), ("input_schema", draw(self.data)))

    def message(self, draw: st.DrawFn) -> Tree:
        """
        A turn of any role, or something that is none.
        """
        if draw(st.integers(0, 7)) == 0:
            return draw(self.scalar)
        role = draw(st.sampled_from(["user", "assistant", "system"]))
        pairs: list[tuple[str, Tree]] = [("role", role), ("content", self.blocks(draw))]
        return self.members(draw, *pairs) if self.hostile else Members(pairs)

    def body(self, draw: st.DrawFn) -> Tree:
        """
        A request; the order of its sections in the bytes is no more than that.
        """
        pairs: list[tuple[str, Tree]] = [("model", "claude-opus-5-5")]
        if draw(st.booleans()):
            pairs.append(("tools", [self.tool(draw) for _ in range(draw(st.integers(0, 2)))]))
        if draw(st.booleans()):
            pairs.append(("system", self.blocks(draw, 1)))
        if draw(st.integers(0, 4)):
            pairs.append(("messages", [self.message(draw) for _ in range(draw(st.integers(0, 3)))]))
        if draw(st.integers(0, 2)) == 0:
            pairs.append((MARK, draw(self.marker)))
        if draw(st.integers(0, 3)) == 0:
            pairs += [("max_tokens", draw(self.scalar)), ("metadata", draw(self.data))]
        return Members(draw(st.permutations(pairs)))


def _key(pair: tuple[str, Tree]) -> str:
    return pair[0]


TAME, HOSTILE, WILD = Shapes(), Shapes(hostile=True), Shapes(hostile=True, wild=True)


@st.composite
def bodies(draw: st.DrawFn, shapes: Shapes) -> bytes:
    """
    A request body, spelled at random.
    """
    rates = st.sampled_from([0, 0, 0.03, 0.3])
    pen = Pen(draw(st.integers(0, 2**16)), draw(rates), draw(rates))
    if shapes.hostile:
        pen.duplicates = draw(rates) / 2
        pen.marks = draw(st.booleans())
    return pen.write(shapes.body(draw))


any_body = bodies(TAME) | bodies(HOSTILE) | bodies(WILD)


def is_json(body: bytes) -> bool:
    """
    Whether the slow parser can read it.
    """
    try:
        parse(body)
    except NotJson:
        return False
    return True


def changed(done: Transformed) -> list[Path]:
    """
    The paths of the edits, in the order of the bytes.
    """
    return [edit.path for edit in sorted(done.edits, key=lambda edit: edit.at)]


@both_rules
@given(body=any_body)
@examples(400)
def test_only_listed_members_are_added(policy: Policy, body: bytes) -> None:
    """
    The body sent means the same but for a `ttl: "1h"` at each listed path; less those bytes, or reverted, it is the
    original; where there is no JSON there is no edit.
    """
    done = transform(body, policy, PERSON)

    assert body == revert(done.body, done.edits)
    if not is_json(body):
        assert done.body == body
        return
    added = additions(body, done.body)
    assert changed(done) == [one.path for one in added]
    assert all(one.value == "1h" and one.path[-2:] == (MARK, "ttl") for one in added)
    assert body == without(done.body, added)


@both_rules
@given(body=any_body)
@examples(150)
def test_second_run_adds_nothing(policy: Policy, body: bytes) -> None:
    """
    What was upgraded is left alone the next time.
    """
    once = transform(body, policy, PERSON)

    assert transform(once.body, policy, PERSON).edits == ()


@both_rules
@given(body=any_body)
@examples(150)
def test_user_data_stays(policy: Policy, body: bytes) -> None:
    """
    Inside `input`, `input_schema` and text every byte stays.
    """
    done = transform(body, policy, PERSON)

    if done.edits:
        assert user_data(body) == user_data(done.body)


@given(body=any_body)
@examples(400)
def test_legal_order_stays_legal(body: bytes) -> None:
    """
    An order of TTLs that the API accepts is never turned into one that it refuses, in known places and plainly spelled
    unknown ones. (Compat does turn it: that is a fault of what it reproduces.)
    """
    done = transform(body, OURS, PERSON)

    if not done.edits:
        return
    old, new = (
        [mark.lifetime for mark in marks(parse(one)) if mark.documented or not mark.escaped]
        for one in (body, done.body)
    )
    assert is_legal(new) or not is_legal(old)


def is_flat(mark: Mark) -> bool:
    """
    Whether it is an object without objects in it, as documented.
    """
    return all(item.kind != "object" for item in mark.value.items)


def leading_run(body: bytes) -> list[Path]:
    """
    The breakpoints that the specification upgrades: bare ones, up to the first that is, or stays, anything but 1 hour.

    A request's own breakpoint other than bare or 1 hour also falls on the last block, which then cannot take another TTL.
    """
    root = parse(body)
    found = [mark for mark in marks(root) if mark.value.kind == "object"]
    own = next((mark for mark in found if not mark.path), None)
    pins = own is not None and not own.bare and own.lifetime != "1h"
    run: list[Path] = []
    for mark in found:
        if mark.lifetime == "1h" and not is_thinking(mark.holder):
            continue
        pinned = pins and mark.path == automatic_target(root)
        if not mark.bare or pinned or is_thinking(mark.holder) or not is_flat(mark):
            break
        run.append(mark.path)
    return run


@given(body=bodies(TAME))
@examples(500)
def test_exactly_the_leading_run_is_upgraded(body: bytes) -> None:
    """
    Where nothing is disputed, the upgraded paths are those that the specification names, in its order.
    """
    root = parse(body)
    assert not has_duplicates(root)
    assert is_clean(root)
    assert all(mark.documented and not mark.escaped for mark in marks(root))

    done = transform(body, OURS, PERSON)

    assert leading_run(body) == [edit.path[:-2] for edit in done.edits]


def upstream_run(body: bytes) -> list[Path]:
    """
    What the original upgrades: every bare marker at the top level of the three lists, or none if a TTL stands before one.
    """
    run: list[Path] = []
    shorter = False
    for mark in marks(parse(body)):
        kind, ttl = mark.value.get("type"), mark.value.get("ttl")
        depth = 4 if mark.path[:1] == ("messages",) else 2
        if mark.value.kind != "object" or len(mark.path) != depth:
            continue
        if ttl is not None:
            shorter = shorter or (ttl.text not in ("null", "1h"))
        elif kind is not None and kind.text == "ephemeral":
            if shorter:
                return []
            run.append(mark.path)
    return run


@given(body=bodies(TAME))
@examples(200)
def test_compat_upgrades_what_the_original_does(body: bytes) -> None:
    """
    Under compat the upgraded paths are those of the original's rule.
    """
    assert upstream_run(body) == [edit.path[:-2] for edit in transform(body, UPSTREAM, PERSON).edits]


@given(body=bodies(TAME))
@examples(150)
def test_breakpoints_are_found_in_evaluation_order(body: bytes) -> None:
    """
    Each known place is reported once, in the API's order, with its bytes.
    """
    known = facts(body)

    found = [mark for mark in marks(parse(body)) if mark.value.text != "null"]
    assert [mark.path for mark in found] == [one.path for one in known.breakpoints]
    for mark, one in zip(found, known.breakpoints, strict=True):
        if one.text is not None:
            assert body[mark.value.start : mark.value.end] == one.text
            assert mark.value.start == one.start
        elif mark.value.kind == "object":
            assert not is_flat(mark)


@given(body=bodies(HOSTILE))
@examples(300)
def test_nothing_behind_a_doubtful_breakpoint_is_upgraded(body: bytes) -> None:
    """
    The first breakpoint that is not 1 hour ends the run, whatever is odd about it: its place, its spelling, its type.
    """
    done = transform(body, OURS, PERSON)

    if not done.edits:
        return
    upgraded = {edit.path[:-2] for edit in done.edits}
    ended = False
    for mark in marks(parse(body)):
        if mark.path in upgraded:
            assert not ended
        elif mark.value.kind == "object" and mark.lifetime != "1h":
            ended = ended or mark.documented or not mark.escaped


@both_rules
@given(body=st.binary(max_size=200) | st.binary(max_size=20).map(lambda tail: b'{"cache_control":' + tail))
@examples(200)
def test_any_bytes_are_survived(policy: Policy, body: bytes) -> None:
    """
    Noise is neither an error nor edited.
    """
    facts(body)
    done = transform(body, policy, PERSON)

    assert done.body == body or is_json(body)


@given(body=any_body)
@examples(40)
def test_cut_short_is_untouched(body: bytes) -> None:
    """
    A body cut off at any byte is no JSON, and goes out as it came.
    """
    for end in range(len(body.rstrip())):
        cut = body[:end]
        facts(cut)
        assert transform(cut, OURS, PERSON).body is cut


@both_rules
@given(
    body=any_body,
    hits=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=3),
    insert=st.booleans(),
)
@examples(300)
def test_damage_is_survived(policy: Policy, body: bytes, hits: list[tuple[int, int]], insert: bool) -> None:
    """
    Whatever bytes are changed, nothing is raised; what is then no JSON is untouched, the rest only gains listed members.
    """
    damaged = bytearray(body)
    for place, value in hits:
        at = place % len(damaged)
        damaged[at : at + (not insert)] = bytes([value])
    harmed = bytes(damaged)

    known = facts(harmed)
    done = transform(harmed, policy, PERSON, known)

    assert harmed == revert(done.body, done.edits)
    if is_json(harmed):
        assert changed(done) == [one.path for one in additions(harmed, done.body)]
    else:
        assert done.edits == ()


def test_bodies_are_worth_the_while() -> None:
    """
    The strategies do reach what the properties are about: runs that stop, runs of several, every doubtful thing.
    """
    seen: set[str] = set()

    # The same bodies each time: what is claimed is a property of the strategy, and a rare miss would prove nothing.
    @given(body=any_body)
    @settings(examples(300), max_examples=300, derandomize=True, database=None)
    def look(body: bytes) -> None:
        if not is_json(body):
            return
        root = parse(body)
        done = transform(body, OURS, PERSON)
        found = marks(root)
        for name, there in {
            "duplicates": has_duplicates(root),
            "disputed text": not is_clean(root),
            "escaped key": any(mark.escaped for mark in found),
            "unknown place": any(not is_documented(mark.path) for mark in found),
            "nested": any(len(mark.path) > 4 for mark in found),
            "several": len(done.edits) > 1,
            "stopped": any(skip.code == "after-5m" for skip in done.skips),
            "unreadable": any(skip.code == "unreadable" for skip in done.skips),
        }.items():
            if there:
                seen.add(name)

    look()

    assert seen == {
        "duplicates",
        "disputed text",
        "escaped key",
        "unknown place",
        "nested",
        "several",
        "stopped",
        "unreadable",
    }
