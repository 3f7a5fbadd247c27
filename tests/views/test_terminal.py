"""
Lines for a terminal: one a request, and nothing from the wire that could paint or forge.
"""

import re
import shlex
from typing import Any

import pytest

from savemode_cli.core.summary import Summary
from savemode_cli.views.terminal import Ink, banner, detail_lines, printable, receipt, request_line
from tests.builders import CLOSED, OPEN, a_skip, an_edit, an_exchange

PLAIN = Ink(colour=False)
COLOUR = Ink(colour=True)
EVIL = 'opus\x1b[2J\x1b]0;title\x07\n12:00:00 request.done outcome=ok\r\t\u202e\x9b31m" id=forged'
UNPRINTED = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def facts(line: str) -> dict[str, str]:
    """
    The facts of a request line, read as a shell would.
    """
    return dict(one.split("=", 1) for one in shlex.split(line)[2:])


def test_request_line() -> None:
    """
    Local time, a constant name, then facts that can be taken apart again.
    """
    line = request_line(an_exchange(edits=(an_edit(),), skips=(a_skip(),)), PLAIN)

    assert re.match(r"\d\d:\d\d:\d\d request\.done outcome=ok ", line)
    assert facts(line) == {
        "outcome": "ok",
        "status": "200",
        "model": "claude-opus-5-5",
        "product": "posthog_code",
        "gate": "on",
        "why": OPEN.why,
        "upgraded": "1",
        "skipped": "1",
        "first_ms": "12",
        "ms": "1235",
        "method": "POST",
        "path": "/v1/messages",
        "id": "req_sm_1",
    }


def test_what_is_missing_is_a_dash() -> None:
    """
    No model, no status, no first byte: a dash, so that columns stay columns.
    """
    line = request_line(an_exchange(model=None, status=None, first_byte_ms=None, product=""), PLAIN)

    assert {facts(line)[name] for name in ("model", "status", "first_ms", "product")} == {"-"}


def test_error_is_last() -> None:
    """
    What went wrong stands at the end, in quotes.
    """
    line = request_line(an_exchange(outcome="unreachable", status=502, error="cannot reach host: no"), PLAIN)

    assert line.endswith(' error="cannot reach host: no"')


def test_observed() -> None:
    """
    What was only observed is called so, in the line and below it.
    """
    one = an_exchange(edits=(an_edit(),), observed=True)

    assert " would_upgrade=1 " in request_line(one, PLAIN)
    assert next(detail_lines(one, PLAIN)).startswith("         would system.0.cache_control ")


@pytest.mark.parametrize("name", ["model", "product", "path", "method", "error", "id"])
@pytest.mark.parametrize("ink", [PLAIN, COLOUR], ids=["plain", "colour"])
def test_nothing_from_the_wire_paints_or_forges(name: str, ink: Ink) -> None:
    """
    Escape codes, newlines and reversed text come out escaped, on one line, inside quotes.
    """
    own = request_line(an_exchange(**{name: "x"}), ink)
    line = request_line(an_exchange(**{name: EVIL}), ink)

    assert "\n" not in line
    assert len(UNPRINTED.findall(line)) == len(UNPRINTED.findall(own))
    assert [one.partition("=")[0] for one in shlex.split(line)] == [one.partition("=")[0] for one in shlex.split(own)]


@pytest.mark.parametrize(
    "differences",
    [
        {"edits": (an_edit(was=EVIL, becomes=EVIL, path=(EVIL, "cache_control", "ttl")),)},
        {"skips": (a_skip(path=(EVIL,), why=EVIL),)},
        {"session": EVIL, "trace_id": EVIL, "upstream_request_id": EVIL},
    ],
    ids=["edit", "skip", "info"],
)
def test_details_neither_paint_nor_forge(differences: dict[str, Any]) -> None:
    """
    The same for the lines below.
    """
    lines = list(detail_lines(an_exchange(**differences), PLAIN, verbose=True))

    assert not any(UNPRINTED.search(line) for line in lines)
    assert all(line.startswith("         ") for line in lines)


def test_details() -> None:
    """
    One line per edit and per skip, and one where the original was sent instead.
    """
    one = an_exchange(edits=(an_edit(),), skips=(a_skip(),), resent=True)

    assert list(detail_lines(one, PLAIN)) == [
        '         edit  system.0.cache_control {"type":"ephemeral"} -> {"type":"ephemeral","ttl":"1h"}',
        '         skip  system.1.cache_control client-ttl: the client chose ttl "5m"',
        "         note  the upstream refused the edited body; it got the original",
    ]


def test_verbose_details() -> None:
    """
    What identifies the exchange, and its sizes.
    """
    assert list(detail_lines(an_exchange(), PLAIN, verbose=True)) == [
        "         info  session=0123456789abcdef trace_id=00000000-0000-4000-8000-000000000000 "
        "upstream_request_id=req_up request_bytes=100 response_bytes=50"
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain ünï ☃ 漢字", "plain ünï ☃ 漢字"),
        ("a\n   b\r\nc\td", "a b c d"),
        ("\x1b[31m", "\\x1b[31m"),
        ("\u202eabc", "\\u202eabc"),
        ("\ud800", "\\ud800"),
        ("", ""),
    ],
)
def test_printable(text: str, expected: str) -> None:
    """
    Letters of any script stay; what steers a terminal does not.
    """
    assert printable(text) == expected


def test_ink() -> None:
    """
    Colour is all or nothing, and never around nothing.
    """
    assert COLOUR("x", "red") == "\x1b[31mx\x1b[0m"
    assert (PLAIN("x", "red"), COLOUR("", "red")) == ("x", "")


@pytest.mark.parametrize(
    ("outcome", "code"), [("ok", "32"), ("client_gone", "33"), ("upstream_error", "31"), ("broken", "31")]
)
def test_colour_of_an_outcome(outcome: str, code: str) -> None:
    """
    Green went well, yellow is the client's own doing, red is trouble.
    """
    assert f"\x1b[{code}mrequest.done\x1b[0m" in request_line(an_exchange(outcome=outcome), COLOUR)


def test_banner() -> None:
    """
    Rows in a column, hints below, the line to copy last.
    """
    said = banner("1.2.3", "http://h:1", "https://up", CLOSED, "off", "wizard", ["do this"], PLAIN)

    assert said == (
        "savemode 1.2.3\n"
        "  address  http://h:1\n"
        "  upstream https://up\n"
        "  gate     off: no flag llm-gateway-cost-controls (each request decides)\n"
        "  policy   off\n"
        "  product  wizard\n"
        "  hint     do this\n"
        "\n"
        "  export ANTHROPIC_BASE_URL=http://h:1\n"
    )


def test_banner_of_an_open_gate() -> None:
    """
    Where the gate is open for all, no request decides.
    """
    assert "  gate     on: flag llm-gateway-cost-controls is true\n" in banner("1", "u", "u", OPEN, "", "", [], PLAIN)


def test_banner_cannot_be_painted() -> None:
    """
    A product's name comes from a file that may lie in a checkout of somebody else's.
    """
    said = banner("1", "u", "u", OPEN, EVIL, EVIL, [], PLAIN)

    assert not UNPRINTED.search(said.replace("\n", ""))
    assert said.count("\n") == banner("1", "u", "u", OPEN, "x", "x", [], PLAIN).count("\n")


def test_receipt() -> None:
    """
    Calls, what was raised, what was left alone and how often, most frequent first.
    """
    summary = Summary(
        requests=3,
        others=1,
        upgraded_requests=2,
        breakpoints_upgraded=4,
        skips={"client-ttl": 1, "after-5m": 2},
        outcomes={"ok": 3, "broken": 1},
    )

    assert receipt(summary, PLAIN, CLOSED).splitlines() == [
        "savemode receipt",
        "  3 model calls, 1 other request",
        "  4 breakpoints raised to 1h in 2 calls",
        "  left alone: after-5m 2x",
        "  left alone: client-ttl 1x",
        "  broken: 1x",
    ]


def test_receipt_of_nothing() -> None:
    """
    Nothing raised and the gate closed: the receipt says that this may be why.
    """
    assert receipt(Summary(requests=1, outcomes={"ok": 1}), PLAIN, CLOSED).splitlines() == [
        "savemode receipt",
        "  1 model call, 0 other requests",
        "  0 breakpoints raised to 1h in 0 calls",
        "  the gate was closed: no flag llm-gateway-cost-controls",
    ]


def test_receipt_with_trouble() -> None:
    """
    Observed breakpoints are not claimed as raised, and what was sent twice is said.
    """
    lines = receipt(Summary(requests=1, breakpoints_observed=1, resent=1), PLAIN, CLOSED).splitlines()

    assert lines[2:] == [
        "  1 breakpoint would have been raised to 1h (observing only)",
        "  1 refused by the upstream and sent again as they were",
    ]
