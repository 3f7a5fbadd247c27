"""
The receipt, as lines of text.
"""

import pytest
from msgspec import structs

from savemode_cli.core.budget.admission import Balance, Standing
from savemode_cli.core.exchange.summary import Summary
from savemode_cli.core.upgrade.gate import GateState
from savemode_cli.core.wire.usage import Tokens, Usage
from savemode_cli.views.printable import without_colours
from savemode_cli.views.receipt import receipt, standing_words
from tests.builders import CLOSED, OPEN, a_standing, a_verdict, an_exchange


def shown(
    summary: Summary, gate: GateState = OPEN, standings: list[Standing] | tuple[()] | None = (), width: int = 80
) -> list[str]:
    """
    Its lines, without colours and without the title.
    """
    title, *lines = without_colours(receipt(summary, gate, standings, width=width)).splitlines()
    assert title == "savemode receipt"
    assert max(map(len, lines)) <= width
    return lines


@pytest.mark.parametrize(
    ("standing", "words"),
    [
        (
            a_standing(1_504_000_000),
            ("default $10.0000 (monthly): $1.5040 spent, $8.4960 left", "resets 2026-12-01 00:00 UTC"),
        ),
        (
            a_standing(limit_nusd=10_000_001, strict=True, zone="Europe/Berlin"),
            (
                "default $0.0100 (monthly, strict): $0.0000 spent, $0.0100 left",
                "resets 2026-12-01 00:00 Europe/Berlin",
            ),
        ),
        (
            structs.replace(a_standing(), balance=Balance(1_000_000_000, 500_000_000, 250_000_000)),
            (
                "default $10.0000 (monthly): $1.5000 spent, $0.2500 held for running requests, $8.2500 left",
                "resets 2026-12-01 00:00 UTC",
            ),
        ),
        (a_standing(limit_nusd=0), ("default no cap (monthly): $0.0000 spent", "resets 2026-12-01 00:00 UTC")),
        (
            a_standing(scope="team"),
            (
                "default (team not given) $10.0000 (monthly): $0.0000 spent, $10.0000 left",
                "resets 2026-12-01 00:00 UTC",
            ),
        ),
    ],
    ids=["plain", "strict", "held", "no cap", "scoped"],
)
def test_words_of_a_budget(standing: Standing, words: tuple[str, str]) -> None:
    """
    The cap, its window, what is spent (expired holds included), what is held, what is left, and when it resets.
    """
    assert standing_words(standing) == words


def test_receipt() -> None:
    """
    Calls, money, what was upgraded, what was not and why, the most frequent reason first, and the problems.
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
        usage=Usage(Tokens(1_000, 2_000, 3_000, 1_234_567, 5_000)),
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

    assert shown(summary, CLOSED, standings) == [
        "  requests  3 model calls, 1 other request",
        "  cost      $1.2345, of which $0.0300 estimated (2 calls) and $0.2045 reserved,",
        "            because the bill is unknown (1 call)",
        "  upgrade   saved $0.4200 compared with 5-minute caching; 1 call not comparable",
        "  tokens    1,234,567 read from the cache, 2,000 written for 5 minutes, 3,000",
        "            for 1 hour, 1,000 uncached input, 5,000 output",
        "  cache     4 cache breakpoints upgraded to 1 hour in 2 calls; 2 calls billed at",
        "            1 hour",
        "            1 call asked for 1 hour and billed at 5 minutes",
        "            not upgraded, by reason: after-5m 2, client-ttl 1",
        "  problems  2 requests refused by a budget and not sent",
        "            2 calls to a model without a known price, charged at the highest",
        "            known one",
        "            1 call not counted: the ledger did not answer",
        "            1 batch not in the cost: the API bills a batch later",
        "            1 request broken off by the upstream",
        "            1 request refused",
        "  budget    default $20.0000 (monthly): $13.0000 spent, $7.0000 left",
        "            resets 2026-12-01 00:00 UTC",
        "  budget    default $20.0000 (monthly): $21.0000 spent, $0.0000 left",
        "            resets 2026-12-01 00:00 UTC",
    ]


def test_receipt_of_nothing() -> None:
    """
    Nothing was upgraded and upgrades are off: the receipt says that this may be why.
    """
    assert shown(Summary(requests=1, outcomes={"ok": 1}), CLOSED) == [
        "  requests  1 model call, 0 other requests",
        "  cost      $0.0000",
        "  tokens    0 read from the cache, 0 written for 5 minutes, 0 for 1 hour, 0",
        "            uncached input, 0 output",
        "  cache     0 cache breakpoints upgraded to 1 hour in 0 calls",
        "            upgrades are off: no flag llm-gateway-cost-controls",
    ]


def test_receipt_with_trouble() -> None:
    """
    What was only observed is not claimed as upgraded, and what was sent twice is said.
    """
    assert shown(Summary(requests=1, breakpoints_observed=1, resent=1), CLOSED)[4:] == [
        "  cache     1 cache breakpoint would have been upgraded to 1 hour (--observe",
        "            changes nothing)",
        "            1 upgraded request refused by the upstream and sent again unchanged",
    ]


def test_receipt_without_a_call() -> None:
    """
    Where no model was called there is no line about money.
    """
    assert shown(Summary(others=2)) == [
        "  requests  0 model calls, 2 other requests",
        "  cache     0 cache breakpoints upgraded to 1 hour in 0 calls",
    ]


def test_misses_in_the_receipt() -> None:
    """
    The sum, each cause, the largest cost first, and what to do about that one.
    """
    lines = shown(Summary().add(an_exchange(verdict=a_verdict("expired", "system_changed"))))
    first = lines.index("  misses    $0.0300 paid again for what the cache could have held")

    assert lines[first + 1 : first + 4] == [
        "            $0.0200 system_changed, 4,000 tokens",
        "            $0.0100 expired, 2,000 tokens",
        "            Move what changes, such as a date, out of the system prompt into the",
    ]
    assert not any("misses" in line for line in shown(Summary().add(an_exchange())))


def test_misses_of_less_than_a_cent_are_not_in_the_receipt() -> None:
    """
    They are not worth a line. A cause that cost more is listed beside them.
    """
    few = Summary(requests=1, missed_nusd={"expired": 9_999_999}, missed_tokens={"expired": 2})
    more = structs.replace(
        few, missed_nusd={"expired": 9_999_999, "system_changed": 10_000_000}, missed_tokens={"system_changed": 9}
    )

    assert not any("misses" in line for line in shown(few))
    assert "            $0.0100 system_changed, 9 tokens" in shown(more)
    assert not any("expired" in line for line in shown(more))


def test_receipt_without_a_ledger() -> None:
    """
    Where the ledger does not answer, what is left is unknown, and the receipt says so.
    """
    summary = Summary(unpriced=1, uncounted=3, batches=2, uncounted_requests=3).ended(2)
    assert shown(summary, OPEN, None)[2:] == [
        "  problems  1 call to a model without a known price, charged at the highest",
        "            known one",
        "            2 calls not counted: the ledger did not answer",
        "            1 call entered in the ledger later: it did not answer at first",
        "            2 batches not in the cost: the API bills a batch later",
        "            3 requests not in the cost: to paths whose cost is not known",
        "  budget    unknown: the ledger is unavailable",
    ]


def test_receipt_without_a_request() -> None:
    """
    Where no request came, no budget was enforced, and the reasons follow.
    """
    lines = without_colours(receipt(Summary(), OPEN, reasons=["the client reads a file"])).splitlines()

    assert lines[2:4] == [
        "  problems  no request came through savemode, so no budget was enforced:",
        "            the client reads a file",
    ]
    assert "problems" not in receipt(Summary(), OPEN)


def test_receipt_of_a_simulation() -> None:
    """
    Nobody must take its figures for a bill.
    """
    assert "simulated" in receipt(Summary(), OPEN, simulated=True).splitlines()[-1]


def test_receipt_that_cost_more() -> None:
    """
    An upgrade that lost money is said, in another colour than one that saved some.
    """
    lost = Summary(requests=1, upgraded_requests=1, breakpoints_upgraded=1, difference_nusd=420_000_000)
    saved = structs.replace(lost, difference_nusd=-420_000_000)

    assert "\x1b[33mlost $0.4200 compared" in receipt(lost, OPEN)
    assert "\x1b[32msaved $0.4200 compared" in receipt(saved, OPEN)


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_receipt_fits_the_screen(width: int) -> None:
    """
    Whatever the width.
    """
    shown(Summary(requests=3, skips={"client-ttl": 1_000_000}), CLOSED, [a_standing()], width)
