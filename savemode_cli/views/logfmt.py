"""
A finished request as one line in logfmt, for logs and pipes.

Rule of this file: a line has the same fields in the same order. Amounts are exact.
"""

import json
import re
from collections.abc import Iterator
from datetime import datetime

from savemode_cli.core.exchange.exchange import Exchange
from savemode_cli.core.money.amounts import usd
from savemode_cli.views.printable import printable_json

_PLAIN = re.compile(r"[\w./:@+\[\]-]+")


def logfmt(exchange: Exchange) -> str:
    """
    A request as `name=value` pairs behind its local time and a constant word to search for. Amounts have all their digits.
    """
    facts: list[tuple[str, object]] = [
        ("outcome", exchange.answer.outcome),
        ("status", exchange.answer.status if exchange.answer.status is not None else "-"),
        *_money(exchange),
        *_missed(exchange),
        *_upgrades(exchange),
        ("model", exchange.call.model or "-"),
        ("ms", round(exchange.answer.duration_ms)),
        ("first_ms", "-" if exchange.answer.first_byte_ms is None else round(exchange.answer.first_byte_ms)),
        ("product", exchange.call.product or "-"),
        ("gate", "on" if exchange.upgrade.gate.on else "off"),
        ("why", exchange.upgrade.gate.why),
        ("method", exchange.call.method),
        ("path", exchange.call.path),
        ("id", exchange.id),
    ]
    if exchange.bill.alarm is not None:
        facts.append(("guard", f"{exchange.bill.alarm.sign}:{'refused' if exchange.bill.alarm.refused else 'warned'}"))
    if exchange.call.keep_warm:
        facts.append(("keep_warm", "yes"))
    if exchange.upgrade.resent:
        facts.append(("resent", "yes"))
    if exchange.answer.error:
        facts.append(("error", exchange.answer.error))
    if exchange.bill.settlement is not None and exchange.bill.settlement.note:
        facts.append(("note", exchange.bill.settlement.note))
    return f"{clock(exchange.started_at)} request.done {pairs(facts)}"


def _missed(exchange: Exchange) -> Iterator[tuple[str, object]]:
    """
    The largest miss of the prompt cache, if there is one.
    """
    miss = None if exchange.bill.verdict is None else exchange.bill.verdict.main
    if miss is not None:
        yield "miss", miss.cause
        if miss.at:
            yield "at", miss.at
        yield from (("missed", miss.tokens), ("miss_usd", exact(miss.cost_nusd)))


def _upgrades(exchange: Exchange) -> Iterator[tuple[str, object]]:
    if exchange.upgrade.observed:
        yield "would_upgrade", exchange.upgrade.proposed
    else:
        yield "upgraded", exchange.upgrade.upgraded
    yield from ((f"edits_{rule}", count) for rule, count in exchange.upgrade.other_edits.items())
    yield "skipped", len(exchange.upgrade.skips) + exchange.upgrade.skips_left_out


def _money(exchange: Exchange) -> Iterator[tuple[str, object]]:
    """
    What the request cost, how that compares with a 5 minute cache, and where the budget stands with that cost in it.
    Nothing is said of what is not known.
    """
    if exchange.bill.settlement is not None:
        yield "cost_usd", exact(exchange.bill.settlement.nusd)
    elif exchange.call.is_uncounted and exchange.answer.outcome != "refused":
        yield "cost_usd", "uncounted"
    if exchange.upgrade.auto is not None:
        yield "ttl_policy", f"auto:{exchange.upgrade.auto.ttl}"
        expected = exchange.upgrade.auto.expected_difference_nusd
        yield "expects_usd", "n/a" if expected is None else exact(round(expected, -5), sign=True)
    difference = exchange.difference_nusd
    if difference is not None and not exchange.upgrade.upgraded:
        yield "vs_5m_usd", exact(difference, sign=True)
    if exchange.bill.receipt is not None and exchange.upgrade.upgraded:
        yield "vs_5m_usd", "n/a" if difference is None else exact(difference, sign=True)
        yield "ttl", {True: "1h-verified", False: "5m-DOWNGRADED", None: "unverified"}[exchange.bill.receipt.verified]
    after = exchange.bill.budget_after
    if after is not None and after.status is not None:
        yield "budget", after.status
        if after.left_nusd is not None and after.status != "override":
            yield "left_usd", usd(after.left_nusd)
    if exchange.bill.settlement is not None:
        yield "basis", exchange.bill.settlement.basis
        if exchange.bill.price_state == "unpriced":
            yield "price", "unpriced"


def exact(nusd: int, *, sign: bool = False) -> str:
    """
    Nano-USD in USD with every digit there is and no more: `0.0145392`; with `sign` also a plus.
    """
    whole, rest = divmod(abs(nusd), 10**9)
    text = f"{whole}.{rest:09d}".rstrip("0").rstrip(".") if rest else str(whole)
    if nusd < 0:
        return f"-{text}"
    return f"+{text}" if sign and nusd > 0 else text


def pairs(facts: list[tuple[str, object]]) -> str:
    """
    Facts as `name=value`, values with blanks in quotes.
    """
    return " ".join([f"{name}={_value(value)}" for name, value in facts])


def _value(value: object) -> str:
    text = str(value)
    return text if _PLAIN.fullmatch(text) else printable_json(json.dumps(text))


def clock(moment: datetime) -> str:
    """
    The local time of the day, to the second.
    """
    return moment.astimezone().strftime("%H:%M:%S")
