"""
The report on one body: places and proofs, in 80 columns, without paint.
"""

import io
import json
from typing import Any

import pytest
from rich.console import Console

from savemode_cli.core.upgrade.edits import ABSENT, Transformed, apply
from savemode_cli.core.upgrade.policy import Policy
from savemode_cli.core.upgrade.transform import transform
from savemode_cli.core.wire.caller import Caller
from savemode_cli.core.wire.facts import facts
from savemode_cli.views.diff import Report, json_patch, pointer, show, to_json
from tests.builders import CLOSED, OPEN, an_edit
from tests.support.planted import EVIL, UNPRINTED

BARE = {"type": "ephemeral"}
FIVE = {"type": "ephemeral", "ttl": "5m"}
HOUR = {"type": "ephemeral", "ttl": "1h"}


def a_report(body: bytes, **differences: Any) -> Report:
    """
    The report on a body under the policy `always`.
    """
    known = facts(body)
    done = transform(body, Policy(ttl="always"), Caller("wizard", idle_prone=False), known)
    given: dict[str, Any] = {
        "name": "body.json",
        "gate": CLOSED,
        "product": "wizard",
        "policy": "always",
        "headers": [],
        "done": done,
        **differences,
    }
    return Report(original=body, known=known, **given)


def marked(*markers: Any, model: str = "claude-opus-5-5", text: str = "x") -> bytes:
    """
    A body with one system block per marker.
    """
    system = [{"type": "text", "text": text, "cache_control": one} for one in markers]
    return json.dumps({"model": model, "system": system}, ensure_ascii=False).encode()


def shown(report: Report, *, width: int = 80, headers: bool = False) -> str:
    """
    What stands on the screen.
    """
    out = io.StringIO()
    show(report, Console(file=out, width=width, highlight=False, no_color=True), headers=headers)
    return out.getvalue()


def rows(report: Report) -> list[list[str]]:
    """
    Number, place, now, then of every row of the table.
    """
    return [line.split()[:4] for line in shown(report).splitlines() if line[:1].isdigit()]


def test_rows() -> None:
    """
    Now and then of every breakpoint; a star on what the client spelled out.
    """
    report = a_report(marked(HOUR, BARE, FIVE, BARE, None, {**BARE, "ttl": None}, {"type": "other"}))

    assert rows(report) == [
        ["1", "system.0", "1h*", "1h*"],
        ["2", "system.1", "5m", "1h"],
        ["3", "system.2", "5m*", "5m*"],
        ["4", "system.3", "5m", "5m"],
        ["5", "system.5", "5m*", "5m*"],
        ["6", "system.6", "?", "?"],
    ]
    assert "* spelled out by the client" in shown(report)


@pytest.mark.parametrize("text", ["x", "ünï ☃ 漢字" * 30, "\\u202e\\n\\t" * 30, "\\\\" * 40])
@pytest.mark.parametrize("width", [40, 80, 120])
def test_width(text: str, width: int) -> None:
    """
    Whatever stands around a marker, no line is longer than the screen.
    """
    report = a_report(marked(BARE, {**BARE, "ttl": "5m"}, text=text))

    assert max(len(line) for line in shown(report, width=width).splitlines()) <= width


def test_place() -> None:
    """
    The changed object before and after, with a little of its surroundings, and dots only where something was left out.
    """
    near = shown(a_report(b'{"cache_control":{"type":"ephemeral"}}')).splitlines()
    far = shown(a_report(marked(BARE, text="x" * 100))).splitlines()

    assert '- {"cache_control":{"type":"ephemeral"}}' in near
    assert '+ {"cache_control":{"type":"ephemeral","ttl":"1h"}}' in near
    line = next(line for line in far if line.startswith("- "))
    assert line.startswith('- …x", "cache_control"')
    assert line.endswith('"ephemeral"}}]}')


@pytest.mark.parametrize("place", ["name", "model", "product", "text", "marker"])
def test_nothing_paints(place: str) -> None:
    """
    No file name, model id or text of a body steers the terminal or forges a line.
    """
    body = marked(
        {**BARE, "scope": EVIL} if place == "marker" else BARE,
        model=EVIL if place == "model" else "m",
        text=EVIL if place == "text" else "x",
    )

    said = shown(a_report(body, **({place: EVIL} if place in ("name", "product") else {})), headers=True)

    assert not UNPRINTED.search(said.replace("\n", ""))
    assert not any(line.startswith("12:00:00") for line in said.splitlines())


def test_headers() -> None:
    """
    The changes of the headers are shown when asked for.
    """
    report = a_report(
        marked(BARE), headers=[("anthropic-beta", "a", "a,b"), ("x-new", None, "1"), ("x-old", "1", None)]
    )

    lines = shown(report, headers=True).splitlines()
    assert lines.index("- anthropic-beta: a") + 1 == lines.index("+ anthropic-beta: a,b")
    assert "+ x-new: 1" in lines
    assert "- x-old: 1" in lines
    assert "anthropic-beta" not in shown(report)


def test_illegal_order() -> None:
    """
    What the API would say about the order stands in the report, before and after.
    """
    report = a_report(marked(FIVE, HOUR))

    assert "must not come after a ttl='5m'" in shown(report, width=200)
    assert to_json(report)["order_errors_before"] == to_json(report)["order_errors_after"] != []


def test_upgrade_keeps_the_order_legal() -> None:
    """
    The order that was legal is legal afterwards, and the report checks it.
    """
    report = a_report(marked(BARE, BARE, FIVE))

    assert (report.order_before, report.order_after) == ([], [])


def test_unreadable_body() -> None:
    """
    A body that cannot be judged has its reason and its proof, and no table.
    """
    said = shown(a_report(b"{"))

    assert "nothing is edited: the body is not valid JSON" in said
    assert "breakpoint" not in said.partition("nothing")[0]


def test_gate() -> None:
    """
    The report is shown as if the gate were open, and says whether it is.
    """
    assert "it is open:" in shown(a_report(marked(BARE), gate=OPEN))
    assert "it is closed:" in shown(a_report(marked(BARE), gate=CLOSED))


def test_pointer() -> None:
    """
    RFC 6901: `~` and `/` are escaped, in this order.
    """
    assert pointer(("a/b", 0, "m~n", "~1")) == "/a~1b/0/m~0n/~01"
    assert pointer(()) == ""


def test_json_patch() -> None:
    """
    RFC 6902: an `add` of the value at its place.
    """
    assert json_patch([an_edit()]) == [{"op": "add", "path": "/system/0/cache_control/ttl", "value": "1h"}]
    assert json_patch([]) == []
    assert json_patch(
        [an_edit(rule="other", path=("model",), before="a", after="b"), an_edit(path=("n",), after=ABSENT)]
    ) == [
        {"op": "replace", "path": "/model", "value": "b"},
        {"op": "remove", "path": "/n"},
    ]


def test_an_edit_of_another_rule_is_not_an_upgrade() -> None:
    """
    It is shown at its place; the marker stays 5m, and nothing is said of the price of a TTL.
    """
    body = marked(BARE)
    at = body.index(b"5-5")
    other = an_edit(
        rule="other", path=("system", 0, "cache_control", "x"), at=at, removed=b"5-5", inserted=b"5-6", was="5-5"
    )
    screen = shown(a_report(body, done=Transformed(apply(body, [other]), (other,))))

    assert [row[2:4] for row in rows(a_report(body, done=Transformed(body, (other,))))] == [["5m", "5m"]]
    assert "@@ system.0.cache_control, byte" in screen
    assert "1.6 times" not in screen


def test_json_is_json() -> None:
    """
    For machines: serialisable, whatever the body holds.
    """
    shown_json = to_json(a_report(marked(BARE, FIVE, {"type": "persistent", "ttl": 3600}, model=EVIL)))

    assert json.loads(json.dumps(shown_json)) == shown_json
    assert [one["kind"] for one in shown_json["breakpoints"]] == ["bare", "5m", "persistent"]
