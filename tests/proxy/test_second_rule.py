"""
A second rule beside the upgrade of TTLs: what is said and counted of upgrades stays as it is.
"""

from typing import Any

import pytest
from msgspec.structs import replace

from savemode_cli.core.exchange.exchange import Exchange
from savemode_cli.core.exchange.summary import Summary
from savemode_cli.core.upgrade.edits import Edit, RuleInput, RuleOutput
from savemode_cli.core.upgrade.policy import Policy
from savemode_cli.core.upgrade.rules import RULES, Rule
from savemode_cli.core.upgrade.upgrade import edit_json
from savemode_cli.core.wire.facts import Facts
from savemode_cli.core.wire.messages import EXTENDED_TTL_BETA
from savemode_cli.telemetry.event import Origin, ai_generation
from savemode_cli.views.logfmt import logfmt
from tests.builders import an_edit, an_observed
from tests.support.marked import PERSON
from tests.support.upgradable import BARE, BLAME, HOUR, OPEN, ask, marked, refusing
from tests.support.upstream import RunningProxy, Upstream, answer, running_proxy

NUMBER = b'"n":1.0e+2'
SMALLER = b'"n":8'
ORIGIN = Origin("https://api.anthropic.com", "0", None, None, None)


def smaller_n(body: bytes) -> Rule:
    """
    A rule for one body: a smaller number. It is always on.
    """
    edit = an_edit(
        rule="smaller-n",
        path=("n",),
        before=100,
        after=8,
        at=body.index(NUMBER),
        removed=NUMBER,
        inserted=SMALLER,
    )
    judged: RuleOutput = ([edit], [])
    return Rule(name="smaller-n", description="Make n smaller.", function=lambda _: judged, is_on=lambda _: True)


def asked(control: str = BARE) -> bytes:
    """
    A body with one breakpoint.
    """
    return marked(control)


def with_smaller(body: bytes) -> bytes:
    """
    What the second rule makes of it.
    """
    return body.replace(NUMBER, SMALLER)


@pytest.fixture
def second_rule(monkeypatch: pytest.MonkeyPatch) -> Edit:
    """
    The rule is added from outside.
    """
    rule = smaller_n(asked())
    monkeypatch.setitem(RULES, rule.name, rule)
    ((edit,), _) = rule.function(RuleInput(asked(), Facts(), Policy(), PERSON))
    return edit


def said(exchange: Exchange) -> tuple[Any, ...]:
    """
    What is counted and reported for the upgrade of one exchange.
    """
    event = ai_generation(an_observed_as(exchange), ORIGIN)
    total = Summary().add(exchange)
    receipt, flat = exchange.bill.receipt, exchange.to_json()
    assert event is not None
    assert receipt is not None
    return (
        exchange.upgrade.upgraded,
        exchange.upgrade.proposed,
        (total.upgraded_requests, total.breakpoints_upgraded, total.breakpoints_observed, total.resent),
        receipt,
        flat["upgraded"],
        event["properties"]["cache_ttl_upgraded"],
        [word for word in logfmt(exchange).split() if word.startswith(("upgraded", "vs_", "ttl"))],
    )


def an_observed_as(exchange: Exchange) -> Any:
    """
    The exchange as a sink is given it.
    """
    return replace(an_observed(), exchange=exchange)


def test_counters_receipts_and_words_are_those_without_it(
    upstream: Upstream, proxy: RunningProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Both edits are on the wire, and only the upgrade counts as one.
    """
    ask(proxy, asked(), *OPEN)
    alone = proxy.exchange()
    monkeypatch.setitem(RULES, "smaller-n", smaller_n(asked()))
    with running_proxy(upstream.url, ttl_policy="always") as other:
        ask(other, asked(), *OPEN)
        both = other.exchange()

    assert [one.body for one in upstream.received] == [marked(HOUR), with_smaller(marked(HOUR))]
    assert said(both) == said(alone)
    assert [edit["rule"] for edit in both.to_json()["edits"]] == ["cache-ttl", "cache-ttl", "smaller-n"]
    assert "edits_smaller-n=1" in logfmt(both)
    assert Summary().add(both).other_edits == {"smaller-n": 1}


def test_without_an_upgrade_none_is_reported(upstream: Upstream, second_rule: Edit) -> None:
    """
    The beta of the long TTL is not named, a refusal that blames cache_control passes, and nothing is stopped.
    """
    upstream.script = refusing(BLAME)
    with running_proxy(upstream.url, ttl_policy="off") as proxy:
        got = ask(proxy, asked(), *OPEN)
        only = proxy.exchange()

    assert got.status == 200
    assert upstream.received[0].body == with_smaller(asked())
    assert not any(EXTENDED_TTL_BETA in one for one in upstream.received[0].all("anthropic-beta"))
    assert (only.upgrade.upgraded, only.upgrade.resent, proxy.announced) == (0, False, [])
    assert only.bill.receipt is not None
    assert only.bill.receipt.requested_ttl == "5m"
    assert edit_json(only.upgrade.edits[0]) == edit_json(second_rule)


def test_stopped_upgrade_leaves_the_other_rule(upstream: Upstream, proxy: RunningProxy, second_rule: Edit) -> None:
    """
    A refused upgrade is taken back with everything else, once; from then on only the other rule edits.
    """
    upstream.script = refusing(BLAME)
    ask(proxy, asked(), *OPEN)
    upstream.script = answer
    ask(proxy, asked(), *OPEN)

    assert [one.body for one in upstream.received] == [with_smaller(marked(HOUR)), asked(), with_smaller(asked())]
    later = proxy.exchange(1).upgrade
    assert later.edits == (second_rule,)
    assert [(skip.rule, skip.code) for skip in later.skips] == [("cache-ttl", "stopped")]
    assert (later.upgraded, dict(later.other_edits)) == (0, {"smaller-n": 1})
