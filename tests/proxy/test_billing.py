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

from savemode_cli.core.admission import Allowed, Hold, Refused
from savemode_cli.core.caller import Caller
from savemode_cli.core.charge import Settlement
from savemode_cli.core.messages import ONE_HOUR, Breakpoint, Facts
from savemode_cli.core.pricing import PriceTable, Usage
from savemode_cli.core.transform import Edit
from savemode_cli.proxy.billing import Account, Ask, Billing, Due
from tests.builders import a_price, an_edit

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
LATER = NOW + timedelta(seconds=7)
MODEL = "claude-opus-5-5"
ASKED = Facts(model=MODEL, max_tokens=10)


@dataclass
class Meter:
    """
    What a meter has read.
    """

    usage: Usage | None = None
    final: bool = True
    emitted_chars: int = 0
    model: str | None = MODEL


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
        self.billing = Billing(table, lambda event, text: self.announced.append((event, text)))

    def ask(self, known: Facts = ASKED, body_bytes: int = 70, session: str = "s") -> Ask:
        """
        A request.
        """
        return self.billing.ask("h", Caller("", idle_prone=False), [], known, body_bytes, session, NOW)

    def bill(
        self,
        meter: Meter | None,
        outcome: Any = "ok",
        known: Facts = ASKED,
        edits: Sequence[Edit] = (),
        later: timedelta = timedelta(0),
        **more: Any,
    ) -> Due:
        """
        The bill of one that was held at 360,000, and took seven seconds.
        """
        ask = self.ask(known, **more)
        allowed = Allowed(Hold("h", ("k",), 360_000, LATER + later), None)
        account = Account(allowed, ask.session, known, NOW + later, ask.body_bytes)
        return self.billing.bill(account, outcome, meter, edits, LATER + later)


def test_first_request_of_a_session() -> None:
    """
    Expected: 70 bytes are 20 tokens, written for an hour, and 10 tokens of output. At most: each byte is a token.
    """
    ask = Office().ask()

    assert (ask.expected_nusd, ask.ceiling_nusd) == (360_000, 760_000)


def test_next_request_is_expected_to_cost_what_the_last_ones_did() -> None:
    """
    Twice the median, and what is new in the body at the ceiling's rate.

    25 tokens of input cost 100,000. The second body is 7 bytes longer: 2 x 100,000 + 7/77 of its ceiling of
    77 x 8,000 + 10 x 20,000 = 816,000, that is 74,181.8. Another session knows nothing of it, nor does another model.
    """
    office = Office()
    office.bill(Meter(Usage(input_tokens=25)))

    assert office.ask(body_bytes=77).expected_nusd == 274_182
    assert office.ask(session="other").expected_nusd == 360_000
    assert office.ask(Facts(model="dear", max_tokens=10)).expected_nusd == 900_000  # 20 x 20,000 + 10 x 50,000


@pytest.mark.parametrize("outcome", ["unreachable", "upstream_error", "refused"])
def test_what_was_not_served_says_nothing_about_the_next(outcome: Any) -> None:
    """
    A request that cost nothing because it failed does not make the next one look cheap.
    """
    office = Office()
    due = office.bill(None, outcome)

    assert due.settlement == Settlement(0, "none")
    assert office.ask().expected_nusd == 360_000


def test_bill() -> None:
    """
    1 input, 2 and 3 written, 4 read, 5 output: 4,000 + 2 x 5,000 + 3 x 8,000 + 4 x 200 + 5 x 20,000 = 138,800.
    """
    due = Office().bill(Meter(Usage(1, 2, 3, 4, 5)))

    assert due.settlement == Settlement(138_800, "reported")
    assert due.receipt.cost_nusd == 138_800
    assert due.usage == Usage(1, 2, 3, 4, 5)
    assert due.bill is not None
    assert due.bill.cost.total_nusd == 138_800


def test_answer_that_was_cut_short_is_estimated() -> None:
    """
    Input as reported, output from its text: 3 x 4,000 + 9 characters, which are 3 tokens of 20,000.
    """
    meter = Meter(Usage(input_tokens=3, output_tokens=1), final=False, emitted_chars=9)

    due = Office().bill(meter, "client_gone")

    assert due.settlement == Settlement(72_000, "estimated")
    assert due.usage == Usage(input_tokens=3, output_tokens=3)


def test_model_that_answered_is_the_one_that_is_billed() -> None:
    """
    A fallback's own rates apply: 1 token of input at $10. Where the answer names none, those of the model asked for.
    """
    office = Office()

    assert office.bill(Meter(Usage(input_tokens=1), model="dear")).settlement.nusd == 10_000
    assert office.bill(Meter(Usage(input_tokens=1), model=None)).settlement.nusd == 4_000


def test_unpriced_model_is_said_once() -> None:
    """
    Charged at the dearest price of all, $10 a million of input, and announced for each model once.
    """
    office = Office()
    bills = []
    for model in ("x", "x", "y"):
        due = office.bill(Meter(Usage(input_tokens=1), model=model), known=Facts(model=model, max_tokens=10))
        assert due.bill is not None
        bills.append((due.settlement.nusd, due.bill.state))

    assert bills == [(10_000, "unpriced")] * 3
    assert office.announced == [
        ("model_unpriced", f"no price for {model}: charged at the dearest known price") for model in ("x", "y")
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
    due = Office().bill(Meter(Usage(cache_write_1h_tokens=1_000)), known=RAISED, edits=[an_edit()])

    receipt = due.receipt
    assert (receipt.cost_nusd, receipt.counterfactual_nusd, receipt.verified) == (8_000_000, 5_000_000, True)


@pytest.mark.parametrize(
    ("outcome", "counterfactual_nusd"),
    [("client_gone", 200_000), ("broken", 200_000), ("unreachable", 5_000_000), ("upstream_error", 5_000_000)],
)
def test_what_never_arrived_refreshes_no_cache(outcome: Any, counterfactual_nusd: int) -> None:
    """
    Eight minutes after it was written a prompt is read. A 5-minute cache would still have it if a request four minutes
    in between had reached it, though nothing was reported of that one; else it would have been written anew.
    """
    office = Office()
    asked: dict[str, Any] = {"known": RAISED, "edits": [an_edit()]}
    office.bill(Meter(Usage(cache_write_1h_tokens=1_000)), **asked)
    office.bill(None, outcome, later=timedelta(minutes=4), **asked)

    due = office.bill(Meter(Usage(cache_read_tokens=1_000)), later=timedelta(minutes=8), **asked)

    assert (due.receipt.cost_nusd, due.receipt.counterfactual_nusd) == (200_000, counterfactual_nusd)


def test_silent_downgrade_is_said_once_a_model() -> None:
    """
    An hour was asked for, and what was written was billed at five minutes.
    """
    office = Office()
    known = Facts(
        model=MODEL,
        max_tokens=10,
        breakpoints=(Breakpoint(("system", 0), ONE_HOUR, nested=False, text=None, start=None),),
    )
    for _ in range(2):
        assert office.bill(Meter(Usage(cache_write_5m_tokens=9)), known=known).receipt.verified is False

    ((event, words),) = office.announced
    assert (event, words.split(" was asked")[0]) == ("ttl_downgraded", MODEL)
    assert office.billing.downgraded_models == {MODEL}


def test_sessions_beyond_the_limit_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The one not heard of for longest goes first.
    """
    monkeypatch.setattr("savemode_cli.proxy.billing._REMEMBERED_SESSIONS", 2)
    office = Office()
    for session in ("a", "b", "a", "c"):
        office.bill(Meter(Usage(input_tokens=25)), session=session)

    assert [office.ask(session=one).expected_nusd for one in ("a", "b", "c")] == [200_000, 360_000, 200_000]


def test_what_an_account_holds() -> None:
    """
    Nothing where it was refused, or where no ledger answered.
    """
    refused = Account(Refused("unknown", None, 0), "s", ASKED, NOW, 70)
    uncounted = Account(Allowed(None, "unknown"), "s", ASKED, NOW, 70)

    assert [(one.hold, one.held_nusd) for one in (refused, uncounted)] == [(None, 0)] * 2
