"""
What the upgrader would do, in rows and in totals.
"""

from savemode_cli.core.replay.bodies import Upgrades, judged
from savemode_cli.core.replay.recording import Call
from savemode_cli.core.upgrade.policy import Policy
from savemode_cli.core.wire.products import PRODUCTS
from savemode_cli.views.upgrades import lines, row, row_json, to_json

BARE = b'{"type":"ephemeral"}'
PINNED = b'{"type":"ephemeral","ttl":"5m"}'
BODY = (
    b'{"model":"claude-opus-5-5","system":[{"type":"text","text":"a","cache_control":%b},'
    b'{"type":"text","text":"b","cache_control":%b},{"type":"text","text":"c","cache_control":%b}],"messages":[]}'
)


def test_rows() -> None:
    """
    Upgraded, and why the rest was not; a long place keeps its end, where the line is.
    """
    one = judged(Call("a" * 40 + ".jsonl:12", BODY % (BARE, PINNED, BARE)), Policy("always"), "x", PRODUCTS)

    assert row(one) == f"…{'a' * 18}.jsonl:12  claude-opus-5-5       1 of 3 upgraded  client-ttl, after-5m"
    assert row_json(one) == {
        "place": "a" * 40 + ".jsonl:12",
        "model": "claude-opus-5-5",
        "body_bytes": len(one.call.body),
        "breakpoints": 3,
        "raised": 1,
        "skips": {"client-ttl": 1, "after-5m": 1},
    }


def test_rows_of_strange_bodies() -> None:
    """
    Fit on a line too; the same reason is counted.
    """
    nothing = judged(Call("a.json", b"{}"), Policy("always"), "x", PRODUCTS)
    pinned = judged(Call("b.json", BODY % (PINNED, PINNED, PINNED)), Policy("always"), "x", PRODUCTS)

    assert row(nothing).split() == ["a.json", "-", "0", "of", "0", "upgraded", "no-markers"]
    assert row(pinned).endswith("0 of 3 upgraded  client-ttl 3")


def test_totals() -> None:
    """
    The most frequent reason first.
    """
    assert list(lines(Upgrades(1, 2_000_000, 1, 3, 2, {"a": 1, "b": 5}))) == [
        "1 body, 2.0 MB: 1 would change",
        "  2 of 3 breakpoints upgraded to 1 hour",
        "  5 left alone: b",
        "  1 left alone: a",
    ]
    assert next(lines(Upgrades(1234))) == "1,234 bodies, 0.0 MB: 0 would change"
    assert to_json(Upgrades(1, 2, 1, 3, 2, {"a": 1})) == {
        "bodies": 1,
        "body_bytes": 2,
        "would_change": 1,
        "breakpoints": 3,
        "raised": 2,
        "skips": {"a": 1},
    }
