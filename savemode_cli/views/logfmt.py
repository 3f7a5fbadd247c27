"""
A request as `name=value` pairs (logfmt) for programs.

Rule of this file: a line is built at once, because every request has one. Only what came over the wire can contain a space,
a quotation mark or a control character; such a value is quoted as JSON, and control characters in it are escaped.
"""

import json
import re
from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache

from savemode_cli.core.exchange.bill import Bill
from savemode_cli.core.exchange.exchange import Exchange
from savemode_cli.core.money.amounts import usd
from savemode_cli.core.remembered import remembered
from savemode_cli.core.upgrade.upgrade import Upgrade
from savemode_cli.views.printable import printable_json

_PLAIN = re.compile(r"[\w./:@+\[\]-]+")
_REMEMBERED_SECONDS = 8


def logfmt(exchange: Exchange) -> str:
    """
    A request as `name=value` pairs behind its local time and a constant word to search for. Amounts have all their digits.
    """
    call, upgrade, bill, answer = exchange.call, exchange.upgrade, exchange.bill, exchange.answer
    # Only the values that _text quotes can have a space or a quote: the others are numbers, and words of ours.
    line = (
        f"{clock(exchange.started_at)} request.done outcome={answer.outcome} "
        f"status={'-' if answer.status is None else answer.status}{_money(exchange)}{_compared(exchange)}"
        f"{_standing(bill)}{_missed(exchange)}{_upgrades(upgrade)} model={_text(call.model or '-')} "
        f"ms={round(answer.duration_ms)} first_ms={'-' if answer.first_byte_ms is None else round(answer.first_byte_ms)} "
        f"product={_text(call.product or '-')} gate={'on' if upgrade.gate.on else 'off'} why={_text(upgrade.gate.why)} "
        f"method={_text(call.method)} path={_text(call.path)} id={_text(exchange.id)}"
    )
    return line + "".join(_rare(exchange))


def _rare(exchange: Exchange) -> Iterator[str]:
    """
    What few requests have.
    """
    alarm, settlement = exchange.bill.alarm, exchange.bill.settlement
    if alarm is not None:
        yield f" guard={alarm.sign}:{'refused' if alarm.refused else 'warned'}"
    if exchange.call.keep_warm:
        yield " keep_warm=yes"
    if exchange.upgrade.resent:
        yield " resent=yes"
    if exchange.answer.error:
        yield f" error={_text(exchange.answer.error)}"
    if settlement is not None and settlement.note:
        yield f" note={_text(settlement.note)}"


def _missed(exchange: Exchange) -> str:
    """
    The largest miss of the prompt cache, if there is one.
    """
    miss = None if exchange.bill.verdict is None else exchange.bill.verdict.main
    if miss is None:
        return ""
    at = f" at={_text(miss.at)}" if miss.at else ""
    return f" miss={miss.cause}{at} missed={miss.tokens} miss_usd={exact(miss.cost_nusd)}"


def _upgrades(upgrade: Upgrade) -> str:
    name, count = ("would_upgrade", upgrade.proposed) if upgrade.observed else ("upgraded", upgrade.upgraded)
    others = "".join([f" edits_{rule}={number}" for rule, number in upgrade.other_edits.items()])
    return f" {name}={count}{others} skipped={len(upgrade.skips) + upgrade.skips_left_out}"


def _money(exchange: Exchange) -> str:
    """
    What the request cost. Nothing is said of what is not known.
    """
    settlement, auto, line = exchange.bill.settlement, exchange.upgrade.auto, ""
    if settlement is not None:
        line = f" cost_usd={exact(settlement.nusd)}"
    elif exchange.call.is_uncounted and exchange.answer.outcome != "refused":
        line = " cost_usd=uncounted"
    if auto is None:
        return line
    expected = auto.expected_difference_nusd
    expects = "n/a" if expected is None else exact(round(expected, -5), sign=True)
    warm = "-warm" if auto.keeps_warm else ""
    return f"{line} ttl_policy=auto:{auto.ttl}{warm} expects_usd={expects}"


def _compared(exchange: Exchange) -> str:
    """
    How the cost compares with a 5 minute cache.
    """
    receipt, difference, upgraded = exchange.bill.receipt, exchange.difference_nusd, exchange.upgrade.upgraded
    if receipt is None or (difference is None and not upgraded):
        return ""
    line = f" vs_5m_usd={'n/a' if difference is None else exact(difference, sign=True)}"
    return f"{line} ttl={_VERIFIED[receipt.verified]}" if upgraded else line


def _standing(bill: Bill) -> str:
    """
    Where the budget stands with the cost in it, and what the cost rests on.
    """
    after, line = bill.budget_after, ""
    if after is not None and after.status is not None:
        line = f" budget={after.status}"
        if after.left_nusd is not None and after.status != "override":
            line += f" left_usd={usd(after.left_nusd)}"
    if bill.settlement is not None:
        line += f" basis={bill.settlement.basis}{' price=unpriced' if bill.price_state == 'unpriced' else ''}"
    return line


_VERIFIED = {True: "1h-verified", False: "5m-DOWNGRADED", None: "unverified"}


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
    Facts as `name=value` pairs. The names are plain words.
    """
    return " ".join([f"{name}={_text(str(value))}" for name, value in facts])


@remembered
def _text(value: str) -> str:
    """
    A value of a pair; in quotation marks if it is not one plain word.
    """
    return value if _PLAIN.fullmatch(value) else printable_json(json.dumps(value))


def clock(moment: datetime) -> str:
    """
    The local time of day.
    """
    return _clock_at(int(moment.timestamp()))


@lru_cache(_REMEMBERED_SECONDS)
def _clock_at(second: int) -> str:
    """
    The local time of a second since 1970. Many requests begin within the same second.
    """
    return datetime.fromtimestamp(second).astimezone().strftime("%H:%M:%S")
