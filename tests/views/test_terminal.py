"""
Lines for a terminal: one a request, and nothing from the wire that could paint or forge.
"""

import dataclasses
import re
import shlex
from typing import Any

import pytest

from savemode_cli.core.admission import Allowed, Balance, Standing
from savemode_cli.core.charge import Settlement
from savemode_cli.core.pricing import Usage
from savemode_cli.core.receipt import Receipt
from savemode_cli.core.summary import Summary
from savemode_cli.views.terminal import (
    Ink,
    amount,
    banner,
    detail_lines,
    gate_words,
    in_words,
    printable,
    receipt,
    request_line,
    standing_words,
)
from tests.builders import CLOSED, OPEN, a_refusal, a_skip, a_standing, an_allowance, an_edit, an_exchange

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
    rows = [("upstream", "https://up"), ("gate", gate_words(CLOSED)), ("policy", "off"), ("product", "wizard")]

    said = banner("1.2.3", "http://h:1", rows, ["do this"], PLAIN)

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


def test_words_of_an_open_gate() -> None:
    """
    Where the gate is open for all, no request decides.
    """
    assert gate_words(OPEN) == "on: flag llm-gateway-cost-controls is true"


def test_banner_cannot_be_painted() -> None:
    """
    A product's name comes from a file that may lie in a checkout of somebody else's.
    """
    said = banner("1", "u", [("policy", EVIL), ("product", EVIL)], [], PLAIN)

    assert not UNPRINTED.search(said.replace("\n", ""))
    assert said.count("\n") == banner("1", "u", [("policy", "x"), ("product", "x")], [], PLAIN).count("\n")


@pytest.mark.parametrize(
    ("standing", "words"),
    [
        (
            a_standing(1_504_000_000),
            ("default $10.00 (monthly): $1.50 spent, $8.49 left", "resets 2026-12-01 00:00 UTC"),
        ),
        (
            a_standing(limit_nusd=10_000_001, strict=True, zone="Europe/Berlin"),
            (
                "default $0.010000001 (monthly, strict): $0.00 spent, $0.010000001 left",
                "resets 2026-12-01 00:00 Europe/Berlin",
            ),
        ),
        (
            dataclasses.replace(a_standing(), balance=Balance(1_000_000_000, 500_000_000, 250_000_000)),
            ("default $10.00 (monthly): $1.50 spent, $0.25 held, $8.25 left", "resets 2026-12-01 00:00 UTC"),
        ),
        (a_standing(limit_nusd=0), ("default no cap (monthly): $0.00 spent", "resets 2026-12-01 00:00 UTC")),
        (
            a_standing(scope="team"),
            ("default (team not given) $10.00 (monthly): $0.00 spent, $10.00 left", "resets 2026-12-01 00:00 UTC"),
        ),
    ],
    ids=["plain", "strict", "held", "no cap", "scoped"],
)
def test_words_of_a_budget(standing: Standing, words: tuple[str, str]) -> None:
    """
    How much, for how long, how much of it is gone (what ran out unsettled with it), what is held, until when.
    """
    assert standing_words(standing) == words


@pytest.mark.parametrize(
    ("nusd", "signed", "text"),
    [
        (0, False, "0"),
        (0, True, "0"),
        (1, True, "+0.000000001"),
        (-1, True, "-0.000000001"),
        (96_000, False, "0.000096"),
        (20_000_000_000, False, "20"),
        (1_230_000_000, True, "+1.23"),
    ],
)
def test_amount(nusd: int, signed: bool, text: str) -> None:
    """
    Every digit there is and no more, never in powers of ten.
    """
    assert amount(nusd, signed=signed) == text


def test_difference_in_words() -> None:
    """
    Dearer is said as loudly as cheaper.
    """
    assert [in_words(nusd) for nusd in (-3_100_000_000, 420_000_000, 0)] == ["$3.10 cheaper", "$0.42 MORE", "the same"]


def test_money_in_the_line() -> None:
    """
    Charge, basis, the signed difference to 5m, whether the upgrade was billed, and the budget; nothing that is unknown.
    """
    told = facts(
        request_line(
            an_exchange(
                edits=(an_edit(),),
                settlement=Settlement(96_000, "reported"),
                receipt=Receipt(verified=True, cost_nusd=96_000, counterfactual_nusd=66_000),
                price_state="exact",
                decision=an_allowance(a_standing(8_000_000_000)),
                decision_after=an_allowance(a_standing(8_500_000_000)),
            ),
            PLAIN,
        )
    )

    assert (told["cost_usd"], told["basis"], told["vs_5m_usd"], told["ttl"]) == (
        "0.000096",
        "reported",
        "+0.00003",
        "1h-verified",
    )
    assert (told["budget"], told["left_usd"]) == ("warn", "1.50")
    assert "price" not in told


@pytest.mark.parametrize(("verified", "word"), [(True, "1h-verified"), (False, "5m-DOWNGRADED"), (None, "unverified")])
def test_verified_in_the_line(verified: bool | None, word: str) -> None:
    """
    A silent downgrade is loud; a difference that is not known is n/a, never 0.
    """
    told = facts(request_line(an_exchange(edits=(an_edit(),), receipt=Receipt("1h", verified=verified)), PLAIN))

    assert (told["ttl"], told["vs_5m_usd"]) == (word, "n/a")


@pytest.mark.parametrize("differences", [{}, {"edits": (an_edit(),), "observed": True}])
def test_nothing_to_compare_in_the_line(differences: dict[str, Any]) -> None:
    """
    Where nothing was raised on the wire there is nothing to compare with, and no word about it.
    """
    told = facts(request_line(an_exchange(receipt=Receipt(cost_nusd=5, counterfactual_nusd=5), **differences), PLAIN))

    assert not {"vs_5m_usd", "ttl"} & set(told)


def test_unpriced_in_the_line() -> None:
    """
    A model without a price says that the charge is a guess.
    """
    told = facts(request_line(an_exchange(settlement=Settlement(1, "reported"), price_state="unpriced"), PLAIN))

    assert told["price"] == "unpriced"


def test_budget_in_the_line() -> None:
    """
    Refused: exceeded, nothing left. Overridden or unknown: no amount is claimed. Without a budget: no word.
    """
    lines = [
        facts(request_line(an_exchange(decision=decision, decision_after=decision), PLAIN))
        for decision in (
            a_refusal(),
            Allowed(None, "override", (a_standing(),)),
            Allowed(None, "unknown"),
            Allowed(None, None),
        )
    ]

    assert [(one.get("budget"), one.get("left_usd")) for one in lines] == [
        ("exceeded", "0.00"),
        ("override", None),
        ("unknown", None),
        (None, None),
    ]


def test_details_left_out_are_counted() -> None:
    """
    What a body could flood the terminal with is counted in place of shown.
    """
    exchange = an_exchange(edits=(an_edit(),), edits_left_out=5, skips_left_out=2)

    assert " upgraded=6 skipped=2 " in request_line(exchange, PLAIN)
    (_, more) = detail_lines(exchange, PLAIN)
    assert more.strip() == "more  5 edits and 2 skips more: a body with so many markers is not shown whole"


def test_receipt() -> None:
    """
    Calls, money, what was raised, what was left alone and how often, most frequent first.
    """
    summary = Summary(
        requests=3,
        others=1,
        upgraded_requests=2,
        breakpoints_upgraded=4,
        cost_nusd=1_234_567_890,
        difference_nusd=-420_000_000,
        not_compared=1,
        verified=2,
        downgraded=1,
        usage=Usage(1_000, 2_000, 3_000, 1_234_567, 5_000),
        over_budget=2,
        unpriced=2,
        uncounted=1,
        batches=1,
        bases={"reported": 1, "held": 1, "estimated": 2, "none": 3},
        charged_nusd={"reported": 1_000_000_000, "held": 204_567_890, "estimated": 30_000_000, "none": 0},
        skips={"client-ttl": 1, "after-5m": 2},
        outcomes={"ok": 3, "broken": 1, "refused": 3},
    )
    standings = [a_standing(13_000_000_000, 20_000_000_000), a_standing(21_000_000_000, 20_000_000_000)]

    assert receipt(summary, PLAIN, CLOSED, standings).splitlines() == [
        "savemode receipt",
        "  3 model calls, 1 other request",
        "  cost $1.23",
        "    $0.03 of it estimated in 2 calls",
        "    $0.20456789 of it as held, the bill unknown, in 1 call",
        "  tokens 1,000 uncached, 1,234,567 read, 2,000 written for 5m,",
        "         3,000 written for 1h, 5,000 output",
        "  beside 5m $0.42 cheaper, 1 not comparable",
        "  verified 1h in 2 calls",
        "  DOWNGRADED: 1 call asked for 1h and billed 5m",
        "  over budget: 2 requests REFUSED, and not sent",
        "  unpriced: 2 calls have no known price and are charged at the dearest",
        "  uncounted: 1 call is in no ledger, it was unavailable",
        "  uncounted: 1 batch started, billed later by the API",
        "  budget default $20.00 (monthly): $13.00 spent, $7.00 left",
        "         resets 2026-12-01 00:00 UTC",
        "  budget default $20.00 (monthly): $21.00 spent, $0.00 left",
        "         resets 2026-12-01 00:00 UTC",
        "  4 breakpoints raised to 1h in 2 calls",
        "  left alone: after-5m 2x",
        "  left alone: client-ttl 1x",
        "  broken: 1x",
        "  refused: 1x",
    ]


def test_receipt_of_nothing() -> None:
    """
    Nothing raised and the gate closed: the receipt says that this may be why.
    """
    assert receipt(Summary(requests=1, outcomes={"ok": 1}), PLAIN, CLOSED).splitlines() == [
        "savemode receipt",
        "  1 model call, 0 other requests",
        "  cost $0.00",
        "  tokens 0 uncached, 0 read, 0 written for 5m,",
        "         0 written for 1h, 0 output",
        "  0 breakpoints raised to 1h in 0 calls",
        "  the gate was closed: no flag llm-gateway-cost-controls",
    ]


def test_receipt_with_trouble() -> None:
    """
    Observed breakpoints are not claimed as raised, and what was sent twice is said.
    """
    lines = receipt(Summary(requests=1, breakpoints_observed=1, resent=1), PLAIN, CLOSED).splitlines()

    assert lines[5:] == [
        "  1 breakpoint would have been raised to 1h (observing only)",
        "  1 refused by the upstream and sent again as they were",
    ]


def test_receipt_without_a_call() -> None:
    """
    Where no model was called there is no line about money.
    """
    assert receipt(Summary(others=2), PLAIN, OPEN).splitlines() == [
        "savemode receipt",
        "  0 model calls, 2 other requests",
        "  0 breakpoints raised to 1h in 0 calls",
    ]


def test_receipt_without_a_ledger() -> None:
    """
    Where the ledger does not answer nobody knows what is left, and the receipt says so; one and many read as English.
    """
    lines = receipt(Summary(unpriced=1, uncounted=2, batches=2), PLAIN, OPEN, None).splitlines()

    assert lines[2:6] == [
        "  unpriced: 1 call has no known price and is charged at the dearest",
        "  uncounted: 2 calls are in no ledger, it was unavailable",
        "  uncounted: 2 batches started, billed later by the API",
        "  budget: the ledger is unavailable, what is left is not known",
    ]


def test_receipt_that_cost_more() -> None:
    """
    An upgrade that did not pay is said, and shown in another colour than one that did.
    """
    dearer = Summary(requests=1, upgraded_requests=1, breakpoints_upgraded=1, difference_nusd=420_000_000)

    assert "\x1b[33m  beside 5m $0.42 MORE\x1b[0m" in receipt(dearer, COLOUR, OPEN)
    assert "\x1b[32m  beside 5m $0.42 cheaper" in receipt(
        dataclasses.replace(dearer, difference_nusd=-420_000_000), COLOUR, OPEN
    )
