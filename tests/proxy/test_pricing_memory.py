"""
What requests cost, without a ledger: what is expected of the next one of a session, and the bill of one that is over.

Prices are those of the price page: $4 input, $20 output, $5 and $8 writes, $0.20 reads per million tokens, so that a
token costs 4,000, 20,000, 5,000, 8,000 and 200 nano-dollars.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace as with_fields

from savemode_cli.core.budget.admission import Allowed, Hold
from savemode_cli.core.budget.charge import Ending, Settlement
from savemode_cli.core.money.pricing import PriceTable
from savemode_cli.core.upgrade.edits import Edit
from savemode_cli.core.wire.additions import Additions, Fallback
from savemode_cli.core.wire.breakpoints import Breakpoint
from savemode_cli.core.wire.facts import Facts
from savemode_cli.core.wire.usage import Extra, Tokens, Usage
from savemode_cli.proxy.pricing_memory import PricingMemory
from savemode_cli.proxy.reservation import Invoice, Quote, reservation_of
from tests.builders import a_call_in_progress, a_price, an_edit
from tests.support.values import replace

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
LATER = NOW + timedelta(seconds=7)
MODEL = "claude-opus-5-5"
ASKED = Facts(model=MODEL, max_tokens=10)
CREATE = Additions(thread="create")
OK = Ending("ok")
NOT_SENT = Ending("unreachable", sent=False)


@dataclass
class Meter:
    """
    What a meter has read.
    """

    usage: Usage | None = None
    final: bool = True
    emitted_chars: int = 0
    model: str | None = MODEL
    message_id: str | None = None


@dataclass
class Office:
    """
    Billing, and what it announced.
    """

    announced: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """
        Two models have prices.
        """
        table = PriceTable([a_price(), a_price("dear", "10 50 12.5 20 1")])
        self.prices = PricingMemory(table, lambda event, text: self.announced.append((event, text)))

    def quote(self, known: Facts = ASKED, body_bytes: int = 70, session: str = "s") -> Quote:
        """
        A request.
        """
        return self.prices.quote(a_call_in_progress("h", known, session=session, body_bytes=body_bytes, now=NOW))

    def bill(
        self,
        meter: Meter | None,
        ending: Ending = OK,
        known: Facts = ASKED,
        edits: Sequence[Edit] = (),
        later: timedelta = timedelta(0),
        **more: Any,
    ) -> Invoice:
        """
        The bill of one that was held at 360,000, and took seven seconds.
        """
        quote = self.quote(known, **more)
        quote = with_fields(quote, call=replace(quote.call, started_at=NOW + later))
        allowed = Allowed(Hold("h", ("k",), 360_000, LATER + later), None)
        return self.prices.invoice(reservation_of(quote, allowed), ending, meter, edits, LATER + later)


def test_first_request_of_a_session() -> None:
    """
    Expected: 70 bytes are 20 tokens, written for an hour, and 10 tokens of output. At most: each byte is a token.
    """
    quote = Office().quote()

    assert (quote.expected_nusd, quote.ceiling_nusd) == (360_000, 760_000)


def test_next_request_is_expected_to_cost_what_the_last_ones_did() -> None:
    """
    Twice the median, and the new part of the body at the rate of the ceiling.

    25 tokens of input cost 100,000. The second body is 7 bytes longer: 2 x 100,000 + 7/77 of its ceiling of 77 x 8,000 +
    10 x 20,000 = 816,000, that is 74,181.8. Another session does not use this, and neither does another model.
    """
    office = Office()
    office.bill(Meter(Usage(Tokens(input=25))))

    assert office.quote(body_bytes=77).expected_nusd == 274_182
    assert office.quote(session="other").expected_nusd == 360_000
    assert office.quote(Facts(model="dear", max_tokens=10)).expected_nusd == 900_000  # 20 x 20,000 + 10 x 50,000


@pytest.mark.parametrize("ending", [NOT_SENT, Ending("upstream_error"), Ending("refused")])
def test_failed_request_does_not_change_the_next_estimate(ending: Ending) -> None:
    """
    A failed request without cost does not lower the estimate for the next one.
    """
    office = Office()
    due = office.bill(None, ending)

    assert due.settlement == Settlement(0, "none")
    assert office.quote().expected_nusd == 360_000


def test_bill() -> None:
    """
    1 input, 2 and 3 written, 4 read, 5 output: 4,000 + 2 x 5,000 + 3 x 8,000 + 4 x 200 + 5 x 20,000 = 138,800.
    """
    due = Office().bill(Meter(Usage(Tokens(1, 2, 3, 4, 5))))

    assert due.settlement == Settlement(138_800, "reported")
    assert due.receipt.cost_nusd == 138_800
    assert due.usage == Usage(Tokens(1, 2, 3, 4, 5))
    assert due.priced is not None
    assert due.priced.cost.total_nusd == 138_800


def test_answer_that_was_cut_short_is_estimated() -> None:
    """
    Input as reported, output from its text: 3 x 4,000 + 9 characters, which are 3 tokens of 20,000.
    """
    meter = Meter(Usage(Tokens(input=3, output=1)), final=False, emitted_chars=9)

    due = Office().bill(meter, Ending("client_gone"))

    assert due.settlement == Settlement(72_000, "estimated")
    assert due.usage == Usage(Tokens(input=3, output=3))


def test_model_that_answered_is_the_one_that_is_billed() -> None:
    """
    A fallback has its own rates: 1 token of input at $10. If the answer names no model, the requested model counts.
    """
    office = Office()

    assert office.bill(Meter(Usage(Tokens(input=1)), model="dear")).settlement.nusd == 10_000
    assert office.bill(Meter(Usage(Tokens(input=1)), model=None)).settlement.nusd == 4_000


def test_unpriced_model_is_announced_once() -> None:
    """
    Charged at the highest price, $10 a million of input, and announced once for each model.
    """
    office = Office()
    bills = []
    for model in ("x", "x", "y"):
        due = office.bill(Meter(Usage(Tokens(input=1)), model=model), known=Facts(model=model, max_tokens=10))
        assert due.priced is not None
        bills.append((due.settlement.nusd, due.priced.state))

    assert bills == [(10_000, "unpriced")] * 3
    assert office.announced == [
        ("model_unpriced", f"no price for {model}: charged at the highest known price") for model in ("x", "y")
    ]


RAISED = Facts(
    model=MODEL,
    max_tokens=10,
    breakpoints=(Breakpoint(("system", 0), "bare", nested=False, text=b'{"type":"ephemeral"}', start=9),),
)


def test_receipt_prices_what_would_have_been() -> None:
    """
    1,000 tokens written for an hour because we raised the breakpoint; for five minutes they cost 5,000 each.
    """
    due = Office().bill(Meter(Usage(Tokens(write_1h=1_000))), known=RAISED, edits=[an_edit()])

    receipt = due.receipt
    assert (receipt.cost_nusd, receipt.counterfactual_nusd, receipt.verified) == (8_000_000, 5_000_000, True)


@pytest.mark.parametrize(
    ("ending", "counterfactual_nusd"),
    [
        (Ending("client_gone"), 200_000),
        (Ending("broken"), 200_000),
        (Ending("unreachable"), 200_000),
        (NOT_SENT, 5_000_000),
        (Ending("upstream_error"), 5_000_000),
    ],
)
def test_what_never_arrived_refreshes_no_cache(ending: Ending, counterfactual_nusd: int) -> None:
    """
    Eight minutes after it was written a prompt is read. A 5-minute cache would still have it if a request four minutes
    in between had reached it, though nothing was reported of that one; else it would have been written anew.
    """
    office = Office()
    asked: dict[str, Any] = {"known": RAISED, "edits": [an_edit()]}
    office.bill(Meter(Usage(Tokens(write_1h=1_000))), **asked)
    office.bill(None, ending, later=timedelta(minutes=4), **asked)

    due = office.bill(Meter(Usage(Tokens(read=1_000))), later=timedelta(minutes=8), **asked)

    assert (due.receipt.cost_nusd, due.receipt.counterfactual_nusd) == (200_000, counterfactual_nusd)


def test_refusal_before_any_output_is_not_billed() -> None:
    """
    Nothing is charged and the receipt says why, with and without an upgrade. It does not make the next request look cheap,
    and nothing is concluded from it about the cache, except that it may have been refreshed.
    """
    office = Office()
    asked: dict[str, Any] = {"known": RAISED, "edits": [an_edit()]}
    refused = Meter(Usage(Tokens(write_1h=1_000), declined="cyber"))
    due = office.bill(refused, **asked)

    assert due.settlement == Settlement(0, "none")
    assert (due.receipt.cost_nusd, due.receipt.difference_nusd, due.receipt.billed_ttl) == (0, 0, None)
    assert "does not bill" in due.receipt.why
    assert office.quote().expected_nusd == 360_000

    due = office.bill(Meter(Usage(Tokens(read=1_000))), later=timedelta(minutes=8), **asked)
    assert due.receipt.difference_nusd == 0  # another session may have written what it read


@pytest.mark.parametrize(
    ("declined", "nusd"), [("bio", 8_000_000), ("frontier_llm", 8_000_000), ("", 0), ("general_harms", 0)]
)
def test_refusal_is_billed_by_its_category(declined: str, nusd: int) -> None:
    """
    Three categories are billed again since 2026-09-24.
    """
    due = Office().bill(Meter(Usage(Tokens(write_1h=1_000), declined=declined)), known=RAISED, edits=[an_edit()])

    assert due.settlement == Settlement(nusd, "reported" if nusd else "none")
    assert (due.receipt.cost_nusd, due.receipt.verified) == (nusd, True if nusd else None)


def test_declined_attempt_beside_an_answer_is_not_billed() -> None:
    """
    Of the attempts of other models those that produced output are.
    """
    attempts = (
        Extra("message", "dear", Usage(Tokens(input=1_000), declined="")),
        Extra("message", "dear", Usage(Tokens(input=1_000, output=1))),
    )
    due = Office().bill(Meter(Usage(Tokens(input=1), extra=attempts)))

    assert due.settlement == Settlement(4_000 + 1_000 * 10_000 + 50_000, "reported")


def test_all_declined() -> None:
    """
    One after some output, the last before any: only the first is billed. An upgrade of its writes cannot be compared.
    """
    attempt = Extra("message", "dear", Usage(Tokens(write_1h=1_000, output=1)))
    usage = Usage(Tokens(write_1h=5_000), declined="", extra=(attempt,))
    plain, raised = Office().bill(Meter(usage)), Office().bill(Meter(usage), known=RAISED, edits=[an_edit()])

    assert plain.settlement == raised.settlement == Settlement(1_000 * 20_000 + 50_000, "reported")
    assert plain.receipt.difference_nusd == 0
    assert raised.receipt.difference_nusd is None


def going_on(previous: str, model: str = MODEL) -> Facts:
    """
    The next turn of a message thread.
    """
    return Facts(model=model, max_tokens=10, added=Additions(thread="continue", previous_id=previous))


def test_thread_is_held_for_what_the_api_holds() -> None:
    """
    The first turn had 1,000 tokens of prompt and 50 of answer: the next one, of 70 bytes, can have 1,120 and is likely to
    have 1,070. A turn of another model, of an unknown answer, or of one that was cut short may fill the context.
    """
    office = Office()
    create = Facts(model=MODEL, max_tokens=10, added=Additions(thread="create"))
    office.bill(Meter(Usage(Tokens(input=1_000, output=50)), message_id="msg_1"), known=create)
    office.bill(Meter(Usage(Tokens(input=1_000)), final=False, message_id="msg_2"), known=create, session="t")
    office.bill(Meter(Usage(Tokens(input=9))), session="t", known=create)

    known = office.quote(going_on("msg_1"), session="new")
    assert known.prompt_tokens == 1_120
    assert (known.expected_nusd, known.ceiling_nusd) == (1_070 * 8_000 + 200_000, 1_120 * 8_000 + 200_000)
    for facts in (going_on("msg_1", "dear"), going_on("msg_2"), going_on("msg_0"), going_on("")):
        assert office.quote(facts, session="new").prompt_tokens == 1_000_000
    assert office.quote(going_on("msg_0"), session="new").expected_nusd == 8_000_200_000


def test_thread_grows() -> None:
    """
    Each answer shows how much the API stores by then.
    """
    office = Office()
    office.bill(Meter(Usage(Tokens(input=500, output=50)), message_id="msg_1"), known=Facts(model=MODEL, added=CREATE))
    second = Meter(Usage(Tokens(input=9, read=550, output=30)), message_id="msg_2")
    office.bill(second, known=going_on("msg_1"))

    assert office.quote(going_on("msg_2")).prompt_tokens == 70 + 589


def test_file_is_held_for_the_shortest_prompt_it_was_in() -> None:
    """
    Until it was in one it may fill the context; two files may be as long as the prompts of both.
    """
    office = Office()

    def asking(*files: str) -> Facts:
        return Facts(model=MODEL, max_tokens=10, added=Additions(files=files))

    assert office.quote(asking("a"), session="x").prompt_tokens == 1_000_000
    office.bill(Meter(Usage(Tokens(input=900))), known=asking("a"))
    office.bill(Meter(Usage(Tokens(input=700))), known=asking("a"))
    office.bill(Meter(Usage(Tokens(input=800))), known=asking("a", "b"))

    assert office.quote(asking("a")).prompt_tokens == 770
    assert office.quote(asking("a", "b")).prompt_tokens == 70 + 700 + 800
    assert office.quote(asking("a", "c")).prompt_tokens == 1_000_000


def test_container_is_never_known() -> None:
    """
    Its content changes with each use.
    """
    office, known = Office(), Facts(model=MODEL, max_tokens=10, added=Additions(container=True))
    office.bill(Meter(Usage(Tokens(input=9))), known=known, session="x")

    assert office.quote(known).prompt_tokens == 1_000_000


def test_ceiling_with_fallbacks() -> None:
    """
    Each attempt may be billed, at its model's price, behind the output of the one before it. Where the API chooses the
    model, no price is known here, so the dearest counts.
    """
    office = Office()
    named = Facts(
        model=MODEL, max_tokens=10, added=Additions(fallbacks=(Fallback("dear", 5), Fallback("dear", fast=True)))
    )
    chosen = Facts(model=MODEL, max_tokens=10, added=Additions(fallbacks=(Fallback(),)))
    own = 70 * 8_000 + 10 * 20_000

    assert office.quote(named).ceiling_nusd == own + (80 * 20_000 + 5 * 50_000) + (85 * 20_000 + 5 * 50_000)
    assert office.quote(chosen).ceiling_nusd == own + 80 * 20_000 + 10 * 50_000
    assert office.quote(named).expected_nusd == office.quote().expected_nusd


def test_silent_downgrade_is_announced_once_for_each_model() -> None:
    """
    An hour was requested, and the writes were billed at five minutes.
    """
    office = Office()
    known = Facts(
        model=MODEL,
        max_tokens=10,
        breakpoints=(Breakpoint(("system", 0), "1h", nested=False, text=None, start=None),),
    )
    for _ in range(2):
        assert office.bill(Meter(Usage(Tokens(write_5m=9))), known=known).receipt.verified is False

    ((event, words),) = office.announced
    assert (event, words.split(" billed")[0]) == ("ttl_downgraded", MODEL)
    assert office.prices.downgraded_models == {MODEL}


def test_sessions_beyond_the_limit_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The least recently used one is forgotten first.
    """
    monkeypatch.setattr("savemode_cli.proxy.pricing_memory._REMEMBERED_SESSIONS", 2)
    office = Office()
    for session in ("a", "b", "a", "c"):
        office.bill(Meter(Usage(Tokens(input=25))), session=session)

    assert [office.quote(session=one).expected_nusd for one in ("a", "b", "c")] == [200_000, 360_000, 200_000]
