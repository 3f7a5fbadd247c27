"""
One request on a line: rows for people, logfmt for programs, and nothing from the wire that could paint or forge.
"""

import re
import shlex
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from savemode_cli.core.budget.admission import Allowed
from savemode_cli.core.budget.charge import Settlement
from savemode_cli.core.exchange.exchange import Exchange
from savemode_cli.core.upgrade.receipt import Receipt
from savemode_cli.views.logfmt import logfmt
from savemode_cli.views.printable import without_colours
from savemode_cli.views.request import details, heading, row, short_model, status, trouble
from tests.builders import a_refusal, a_skip, a_standing, an_allowance, an_edit, an_exchange
from tests.support.planted import EVIL, UNPRINTED


@pytest.mark.parametrize("name", ["model", "product", "path", "method", "error", "id"])
def test_nothing_from_the_wire_paints_or_forges(name: str) -> None:
    """
    Escape codes, newlines and reversed text come out escaped, on one line, inside quotes.
    """
    own = logfmt(an_exchange(**{name: "x"}))
    line = logfmt(an_exchange(**{name: EVIL}))

    assert not UNPRINTED.search(line)
    assert [one.partition("=")[0] for one in shlex.split(line)] == [one.partition("=")[0] for one in shlex.split(own)]


@pytest.mark.parametrize("name", ["model", "path", "method", "error"])
@pytest.mark.parametrize("more", [{}, {"method": "GET"}], ids=["call", "other"])
def test_no_row_paints_or_forges(name: str, more: dict[str, Any]) -> None:
    """
    The same for rows and for what stands below them.
    """
    exchange = an_exchange(**{"outcome": "broken"} | more | {name: EVIL})

    assert "\n" not in row(exchange, 80)
    for line in [row(exchange, 80), *trouble(exchange)]:
        assert not UNPRINTED.search(without_colours(line))


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
    lines = [without_colours(line) for line in details(an_exchange(**differences))]

    assert not any(UNPRINTED.search(line) for line in lines)
    assert all(line.startswith("         ") for line in lines)


def test_details() -> None:
    """
    A line for each edit and each skip, then what identifies the exchange, and its sizes.
    """
    lines = [without_colours(line) for line in details(an_exchange(edits=(an_edit(),), skips=(a_skip(),)))]

    assert lines == [
        '         edit  system.0.cache_control {"type":"ephemeral"} -> {"type":"ephemeral","ttl":"1h"}',
        '         skip  system.1.cache_control client-ttl: the client chose ttl "5m"',
        "         info  id=req_sm_1 session=0123456789abcdef trace_id=00000000-0000-4000-8000-000000000000 "
        'upstream_request_id=req_up product=posthog_code gate="on: flag llm-gateway-cost-controls is true" ms=1235 '
        "request_bytes=100 response_bytes=50",
    ]


def test_details_left_out_are_counted() -> None:
    """
    What a body could flood the terminal with is counted and not shown.
    """
    exchange = an_exchange(edits=(an_edit(),), edits_left_out=5, skips_left_out=2)

    assert " upgraded=6 skipped=2 " in logfmt(exchange)
    assert "         more  5 more edits and 2 more skips are not shown" in map(without_colours, details(exchange))


def paid(cost_nusd: int, without_nusd: int, **more: Any) -> Exchange:
    """
    An upgraded call, what it cost, and what it would have cost without the upgrade; $0.92 are left.
    """
    after = an_allowance(a_standing(9_080_000_000))
    facts: dict[str, Any] = {
        "edits": (an_edit(),),
        "settlement": Settlement(cost_nusd, "reported"),
        "receipt": Receipt(verified=True, cost_nusd=cost_nusd, counterfactual_nusd=without_nusd),
        "price_state": "exact",
        "decision": after,
        "decision_after": after,
    }
    return an_exchange(**facts | more)


ROWS = {
    "upgraded": paid(14_539_200, 207_539_200),
    "lost": paid(127_536_000, 81_000_000, model="claude-sonnet-4-5-20250929"),
    "tiny": paid(1, 5),
    "not granted": paid(50_000_000, 50_000_000, receipt=Receipt(verified=False, cost_nusd=5, counterfactual_nusd=5)),
    "unknown": paid(5 * 10**9, 10**10, receipt=Receipt()),
    "dear": paid(123 * 10**9, 120 * 10**9, decision_after=an_allowance(a_standing(0, 10**12))),
    "no budget": an_exchange(settlement=Settlement(9_918_000, "reported")),
    "estimate": an_exchange(settlement=Settlement(9_918_000, "held"), outcome="broken", error="connection reset"),
    "refused": an_exchange(outcome="refused", status=429, decision=a_refusal(), decision_after=a_refusal()),
    "error": an_exchange(outcome="upstream_error", status=529),
    "unreachable": an_exchange(
        outcome="unreachable", status=502, error="cannot reach host: no", model="my-deployment-7"
    ),
    "gone": an_exchange(outcome="client_gone"),
    "resent": paid(14_539_200, 14_539_200, resent=True),
    "observed": an_exchange(edits=(an_edit(),), observed=True),
    "override": an_exchange(decision_after=Allowed(None, "override", (a_standing(),))),
    "other": an_exchange(method="POST", path="/v1/messages/count_tokens", model=None),
}


def rows(width: int) -> list[str]:
    """
    All of them, without time and colours.
    """
    shown = [without_colours(row(exchange, width)) for exchange in ROWS.values()]
    assert all(re.match(r"\d\d:\d\d:\d\d ", line) for line in shown)
    return [line[9:] for line in shown]


def test_rows() -> None:
    """
    Model, cost, saved or lost, cache, what is left, status: in columns, amounts aligned at the point.
    """
    assert without_colours([*heading(80)][-1]) == (
        "time     model           cost  vs 5m          cache          budget  status"
    )
    assert rows(80) == [
        "opus-5-5     $0.0145  saved $0.1930  1h ok    $0.9200 left  200",
        "sonnet-4-5   $0.1275  lost $0.0465   1h ok    $0.9200 left  200",
        "opus-5-5    <$0.0001  saved nothing  1h ok    $0.9200 left  200",
        "opus-5-5     $0.0500  saved nothing  not 1h   $0.9200 left  200",
        "opus-5-5     $5.0000                 1h ?     $0.9200 left  200",
        "opus-5-5    $123.0000 lost $3.0000   1h ok  $1,000.0000 left 200",
        "opus-5-5     $0.0099                                        200",
        "opus-5-5    ~$0.0099                                        broken off",
        "opus-5-5           -                          $0.0000 left  429 refused",
        "opus-5-5           -                                        529",
        "my-deploym…        -                                        unreachable",
        "opus-5-5           -                                        client left",
        "opus-5-5     $0.0145                          $0.9200 left  200 resent",
        "opus-5-5           -                 dry 1h                 200",
        "opus-5-5           -                              override  200",
        "POST /v1/messages/count_tokens 200",
    ]


def test_narrow_rows() -> None:
    """
    At 60 columns the cache is left out, unless the longer TTL was denied. A status in words replaces the comparison.
    """
    assert without_colours([*heading(60)][-1]) == "time     model          cost vs 5m                budget"
    assert rows(60) == [
        "opus-5-5    $0.0145 saved $0.1930  $0.9200 left 200",
        "sonnet-4-5  $0.1275 lost $0.0465   $0.9200 left 200",
        "opus-5-5   <$0.0001 saved nothing  $0.9200 left 200",
        "opus-5-5    $0.0500 not 1h         $0.9200 left",
        "opus-5-5    $5.0000                $0.9200 left 200",
        "opus-5-5   $123.0000 lost $3.0000   $1,000.0000 200",
        "opus-5-5    $0.0099                             200",
        "opus-5-5   ~$0.0099 broken off",
        "opus-5-5          - 429 refused    $0.0000 left",
        "opus-5-5          -                             529",
        "my-deploy…        - unreachable",
        "opus-5-5          - client left",
        "opus-5-5    $0.0145 200 resent     $0.9200 left",
        "opus-5-5          -                             200",
        "opus-5-5          -                    override 200",
        "POST /v1/messages/count_tokens 200",
    ]


@pytest.mark.parametrize("width", [60, 80])
@given(
    st.sampled_from(sorted(ROWS)),
    st.integers(0, 99 * 10**9),
    st.integers(0, 99 * 10**9),
    st.integers(0, 99 * 10**9),
    st.text("abc-漢", max_size=60),
)
def test_rows_fit_the_screen(width: int, name: str, cost: int, without: int, left: int, model: str) -> None:
    """
    Whatever the model; and no amount is cut, so that only those above $100 could make a row too wide.
    """
    after = an_allowance(a_standing(10**11 - left, 10**11))
    exchange = paid(cost, without, decision_after=after, model=model or None, outcome=ROWS[name].answer.outcome)
    line = without_colours(row(exchange, width))

    assert len(line) <= width
    assert f"{left // 10**9}." in line


@pytest.mark.parametrize("width", [60, 80])
def test_columns_have_a_meaning(width: int) -> None:
    """
    Each column that has a private name is explained before the first row, and each word of the cache.
    """
    lines = [without_colours(line) for line in heading(width)]
    text = " ".join(" ".join(lines).split())

    assert max(map(len, lines)) <= width
    for word in (
        "cost ",
        "vs 5m ",
        "budget ",
        *(["cache ", "1h ok:", "not 1h:", "1h ?:", "dry 1h:"] if width == 80 else []),
    ):
        assert word in text


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("upgraded", []),
        ("estimate", ["         connection reset"]),
        ("unreachable", ["         cannot reach host: no"]),
        ("refused", ["         the cap of budget default is reached"]),
        ("resent", ["         note the upstream refused the upgraded request and got the original one"]),
    ],
)
def test_trouble(name: str, lines: list[str]) -> None:
    """
    A request that did not go well says why; another one has no second line.
    """
    assert list(map(without_colours, trouble(ROWS[name]))) == lines


@pytest.mark.parametrize(
    ("model", "short"),
    [
        (None, "-"),
        ("claude-opus-5-5", "opus-5-5"),
        ("claude-sonnet-4-5-20250929", "sonnet-4-5"),
        ("us.anthropic.claude-opus-4-5-20251101-v1:0", "opus-4-5"),
        ("openrouter/anthropic/claude-4.5-sonnet:beta", "sonnet-4-5"),
        ("my-deployment", "my-deployment"),
        ("x" * 300, "x" * 300),
    ],
)
def test_short_model(model: str | None, short: str) -> None:
    """
    Vendor, cloud and date are left out.
    """
    assert short_model(model) == short


@pytest.mark.parametrize(("name", "colour"), [("upgraded", 32), ("lost", 33), ("not granted", 31), ("refused", 31)])
def test_colours_of_a_row(name: str, colour: int) -> None:
    """
    Green saved, yellow lost, red failed.
    """
    assert f"\x1b[{colour}m" in row(ROWS[name], 80)


def test_status() -> None:
    """
    The HTTP status, and words where it does not say how the request ended.
    """
    assert [status(ROWS[name]) for name in ("upgraded", "error", "refused", "gone", "resent")] == [
        "200",
        "529",
        "429 refused",
        "client left",
        "200 resent",
    ]
