"""
A request as one line in logfmt.
"""

import re
import shlex
from typing import Any

import pytest

from savemode_cli.core.budget.admission import Allowed
from savemode_cli.core.budget.charge import Settlement
from savemode_cli.core.upgrade.receipt import Receipt
from savemode_cli.views.logfmt import exact, logfmt
from savemode_cli.views.printable import without_colours
from savemode_cli.views.request import details, trouble
from tests.builders import OPEN, a_refusal, a_skip, a_standing, a_verdict, an_allowance, an_edit, an_exchange


def facts(line: str) -> dict[str, str]:
    """
    The facts of a request line, read as a shell would.
    """
    return dict(one.split("=", 1) for one in shlex.split(line)[2:])


def test_logfmt() -> None:
    """
    Local time, a constant name, then facts that can be taken apart again.
    """
    line = logfmt(an_exchange(edits=(an_edit(),), skips=(a_skip(),)))

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
    line = logfmt(an_exchange(model=None, status=None, first_byte_ms=None, product=""))

    assert {facts(line)[name] for name in ("model", "status", "first_ms", "product")} == {"-"}


def test_error_is_last() -> None:
    """
    What went wrong stands at the end, in quotes.
    """
    line = logfmt(an_exchange(outcome="unreachable", status=502, error="cannot reach host: no"))

    assert line.endswith(' error="cannot reach host: no"')


def test_observed() -> None:
    """
    What was only observed is called so, in the line and below it.
    """
    one = an_exchange(edits=(an_edit(),), observed=True)

    assert " would_upgrade=1 " in logfmt(one)
    assert without_colours(next(details(one))).startswith("         would system.0.cache_control ")


@pytest.mark.parametrize(
    ("nusd", "sign", "text"),
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
def test_exact(nusd: int, sign: bool, text: str) -> None:
    """
    Every digit there is and no more, never in powers of ten.
    """
    assert exact(nusd, sign=sign) == text


def test_money_in_the_line() -> None:
    """
    Charge, basis, the signed difference to 5m, whether the upgrade was billed, and the budget; nothing that is unknown.
    """
    told = facts(
        logfmt(
            an_exchange(
                edits=(an_edit(),),
                settlement=Settlement(96_000, "reported"),
                receipt=Receipt(verified=True, cost_nusd=96_000, counterfactual_nusd=66_000),
                price_state="exact",
                decision=an_allowance(a_standing(8_000_000_000)),
                decision_after=an_allowance(a_standing(8_500_000_000)),
            ),
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
    told = facts(logfmt(an_exchange(edits=(an_edit(),), receipt=Receipt("1h", verified=verified))))

    assert (told["ttl"], told["vs_5m_usd"]) == (word, "n/a")


@pytest.mark.parametrize("differences", [{}, {"edits": (an_edit(),), "observed": True}])
def test_nothing_to_compare_in_the_line(differences: dict[str, Any]) -> None:
    """
    Where nothing was raised on the wire there is nothing to compare with, and no word about it.
    """
    told = facts(logfmt(an_exchange(receipt=Receipt(cost_nusd=5, counterfactual_nusd=5), **differences)))

    assert not {"vs_5m_usd", "ttl"} & set(told)


def test_unpriced_in_the_line() -> None:
    """
    A model without a price says that the charge is a guess.
    """
    told = facts(logfmt(an_exchange(settlement=Settlement(1, "reported"), price_state="unpriced")))

    assert told["price"] == "unpriced"


def test_budget_in_the_line() -> None:
    """
    Refused: exceeded, nothing left. Overridden or unknown: no amount is claimed. Without a budget: no word.
    """
    lines = [
        facts(logfmt(an_exchange(decision=decision, decision_after=decision)))
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


def test_misses_in_the_line() -> None:
    """
    The largest miss: its cause, its place, its tokens and its price. A row has it on a line below.
    """
    missed = an_exchange(verdict=a_verdict("expired", "system_changed"))
    told = facts(logfmt(missed))

    assert [told[name] for name in ("miss", "at", "missed", "miss_usd")] == [
        "system_changed",
        "system[1].text",
        "4000",
        "0.02",
    ]
    assert "miss" not in facts(logfmt(an_exchange(verdict=a_verdict())))
    (line,) = trouble(missed)
    assert without_colours(line).startswith("         miss $0.0200 system_changed")
    assert list(trouble(an_exchange(verdict=a_verdict()))) == []


def test_resent_in_the_line() -> None:
    """
    The upstream refused the upgraded request.
    """
    assert logfmt(an_exchange(resent=True)).endswith(" resent=yes")
