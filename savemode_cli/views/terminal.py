"""
Exchanges and summaries as lines of text.

Rule of this file: one line per request that can be grepped, details below it; nothing that came over the wire is
printed without its control characters escaped.
"""

import json
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal

from savemode_cli.core.admission import Standing
from savemode_cli.core.budget import ALL
from savemode_cli.core.exchange import Exchange
from savemode_cli.core.gate import GateState
from savemode_cli.core.messages import dotted
from savemode_cli.core.summary import Summary
from savemode_cli.core.tiers import dollars, usd

_PLAIN = re.compile(r"[\w./:@+\[\]-]+")
_STYLES = {"dim": "2", "bold": "1", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
_INDENT = " " * 9


class Ink:
    """
    Colour where there is a terminal, plain text elsewhere.
    """

    def __init__(self, *, colour: bool) -> None:
        """
        `colour` is decided by whoever knows the stream.
        """
        self._colour = colour

    def __call__(self, text: str, style: str) -> str:
        """
        The text in one of the styles dim, bold, red, green, yellow, cyan.
        """
        return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if self._colour and text else text


def printable(text: str) -> str:
    """
    The text on one line, with every control character escaped: a model id must not be able to paint the terminal.
    """
    text = re.sub(r"[\r\n\t]+ *", " ", text)
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def request_line(exchange: Exchange, ink: Ink) -> str:
    """
    The line of one request: local time, a constant name, then facts; first those that a narrow screen should not cut off.
    """
    good = exchange.outcome == "ok"
    word = "would_upgrade" if exchange.observed else "upgraded"
    facts: list[tuple[str, object]] = [
        ("outcome", exchange.outcome),
        ("status", exchange.status if exchange.status is not None else "-"),
        *_money(exchange),
        (word, len(exchange.edits) + exchange.edits_left_out if exchange.observed else exchange.upgraded),
        ("skipped", len(exchange.skips) + exchange.skips_left_out),
        ("model", exchange.model or "-"),
        ("ms", round(exchange.duration_ms)),
        ("first_ms", "-" if exchange.first_byte_ms is None else round(exchange.first_byte_ms)),
        ("product", exchange.product or "-"),
        ("gate", "on" if exchange.gate.on else "off"),
        ("why", exchange.gate.why),
        ("method", exchange.method),
        ("path", exchange.path),
        ("id", exchange.id),
    ]
    if exchange.error:
        facts.append(("error", exchange.error))
    shown = " ".join(f"{name}={_value(value)}" for name, value in facts)
    name = ink("request.done", "green" if good else "red" if exchange.outcome != "client_gone" else "yellow")
    return f"{ink(_clock(exchange.started_at), 'dim')} {name} {shown}"


def _money(exchange: Exchange) -> list[tuple[str, object]]:
    """
    What the request cost, how that compares with 5m, and where the budget stands with that cost in it; nothing where
    nothing is known.
    """
    facts: list[tuple[str, object]] = []
    if exchange.settlement is not None:
        facts.append(("cost_usd", amount(exchange.settlement.nusd)))
    if exchange.receipt is not None and exchange.upgraded:
        difference = exchange.receipt.difference_nusd
        facts.append(("vs_5m_usd", "n/a" if difference is None else amount(difference, signed=True)))
        facts.append(("ttl", _VERIFIED[exchange.receipt.verified]))
    after = exchange.decision_after
    if after is not None and after.status is not None:
        facts.append(("budget", after.status))
        if after.standing is not None and after.status != "override":
            facts.append(("left_usd", usd(after.standing.left_nusd)))
    if exchange.settlement is not None:
        facts.append(("basis", exchange.settlement.basis))
        if exchange.price_state == "unpriced":
            facts.append(("price", "unpriced"))
    return facts


_VERIFIED = {True: "1h-verified", False: "5m-DOWNGRADED", None: "unverified"}


def amount(nusd: int, *, signed: bool = False) -> str:
    """
    Nano-USD in USD: every digit there is and no more, with a sign if asked for.
    """
    text = f"{Decimal(nusd).scaleb(-9).normalize():f}"
    return f"+{text}" if signed and nusd > 0 else text


def in_words(difference_nusd: int) -> str:
    """
    A difference as people say it: `$3.10 cheaper`, `$0.42 MORE`, `the same`.
    """
    if difference_nusd == 0:
        return "the same"
    return f"{dollars(abs(difference_nusd))} {'cheaper' if difference_nusd < 0 else 'MORE'}"


def detail_lines(exchange: Exchange, ink: Ink, *, verbose: bool = False) -> Iterator[str]:
    """
    One line per edit and per skip; with `verbose` also what identifies the exchange.
    """
    word = "would" if exchange.observed else "edit "
    for edit in exchange.edits:
        place = printable(dotted(edit.path[:-1]))
        yield f"{_INDENT}{ink(word, 'green')} {place} {ink(printable(edit.was), 'dim')} -> {printable(edit.becomes)}"
    for skip in exchange.skips:
        yield f"{_INDENT}{ink('skip ', 'yellow')} {printable(dotted(skip.path))} {skip.code}: {printable(skip.why)}"
    if exchange.edits_left_out or exchange.skips_left_out:
        more = f"{exchange.edits_left_out} edits and {exchange.skips_left_out} skips more"
        yield f"{_INDENT}{ink('more ', 'yellow')} {more}: a body with so many markers is not shown whole"
    if exchange.resent:
        yield f"{_INDENT}{ink('note ', 'red')} the upstream refused the edited body; it got the original"
    if verbose:
        known = {
            "session": exchange.session,
            "trace_id": exchange.trace_id,
            "upstream_request_id": exchange.upstream_request_id,
            "request_bytes": exchange.request_bytes,
            "response_bytes": exchange.response_bytes,
        }
        yield _INDENT + ink("info  " + " ".join(f"{name}={_value(v)}" for name, v in known.items()), "dim")


def banner(version: str, url: str, rows: Sequence[tuple[str, str]], hints: Sequence[str], ink: Ink) -> str:
    """
    What `serve` says at start, with the line to copy last.
    """
    rows = [("address", url), *rows]
    lines = [ink(f"savemode {version}", "bold")]
    lines += [f"  {ink(f'{name:<9}', 'dim')}{printable(value)}" for name, value in rows]
    lines += [f"  {ink('hint     ', 'dim')}{hint}" for hint in hints]
    return "\n".join([*lines, "", f"  export ANTHROPIC_BASE_URL={url}", ""])


def gate_words(gate: GateState) -> str:
    """
    The gate, for the banner.
    """
    return f"{'on' if gate.on else 'off'}: {gate.why}" + ("" if gate.on else " (each request decides)")


def standing_words(standing: Standing) -> tuple[str, str]:
    """
    A budget and where it stands, in two lines: `default $5.00 (monthly): $1.20 spent, $3.80 left`, `resets 2026-12-01 ...`.
    """
    budget, balance = standing.limit.budget, standing.balance
    who = printable(standing.limit.who) or "not given"
    name = budget.name if budget.scope == ALL else f"{budget.name} ({budget.scope} {who})"
    cap = dollars(budget.limit_nusd) if standing.limit.capped else "no cap"
    strict = ", strict" if budget.strict else ""
    held = f", {dollars(balance.held_nusd)} held" if balance.held_nusd else ""
    left = f", {dollars(standing.left_nusd)} left" if standing.limit.capped else ""
    return (
        f"{name} {cap} ({budget.window.words()}{strict}): {dollars(balance.spent_nusd)} spent{held}{left}",
        f"resets {budget.local(standing.limit.resets_at)}",
    )


def _paid(summary: Summary, ink: Ink) -> Iterator[str]:
    """
    The receipt's lines about money. Estimated and reported are never blended into one word.
    """
    if not summary.requests:
        return
    yield f"  cost {dollars(summary.cost_nusd)}{_unsure(summary)}"
    used = summary.usage
    yield (
        f"  tokens {used.input_tokens:,} uncached, {used.cache_read_tokens:,} read, "
        f"{used.cache_write_5m_tokens:,} written for 5m,"
    )
    yield f"         {used.cache_write_1h_tokens:,} written for 1h, {used.output_tokens:,} output"
    if summary.breakpoints_upgraded:
        missing = f", {summary.not_compared} not comparable" if summary.not_compared else ""
        words = in_words(summary.difference_nusd)
        yield ink(f"  beside 5m {words}{missing}", "green" if summary.difference_nusd <= 0 else "yellow")
        yield f"  verified 1h in {_count(summary.verified, 'call')}"
    if summary.downgraded:
        yield ink(f"  DOWNGRADED: {_count(summary.downgraded, 'call')} asked for 1h and billed 5m", "red")


def _unsure(summary: Summary) -> str:
    """
    What of the cost was not reported by the upstream, by what it rests on.
    """
    parts = [
        f"{dollars(summary.charged_nusd.get(basis, 0))} of it {words} in {_count(summary.bases[basis], 'call')}"
        for basis, words in (("estimated", "estimated"), ("held", "as held, the bill unknown,"))
        if basis in summary.bases
    ]
    return "".join(f"\n    {part}" for part in parts)


def _capped(summary: Summary, standings: Sequence[Standing] | None, ink: Ink) -> Iterator[str]:
    """
    The receipt's lines about budgets, and about what they could not count.
    """
    if summary.over_budget:
        yield ink(f"  over budget: {_count(summary.over_budget, 'request')} REFUSED, and not sent", "red")
    if summary.unpriced:
        words = "has no known price and is" if summary.unpriced == 1 else "have no known price and are"
        yield ink(f"  unpriced: {_count(summary.unpriced, 'call')} {words} charged at the dearest", "yellow")
    if summary.uncounted:
        words = "is" if summary.uncounted == 1 else "are"
        yield ink(
            f"  uncounted: {_count(summary.uncounted, 'call')} {words} in no ledger, it was unavailable", "yellow"
        )
    if summary.batches:
        batches = "1 batch" if summary.batches == 1 else f"{summary.batches} batches"
        yield ink(f"  uncounted: {batches} started, billed later by the API", "yellow")
    if standings is None:
        yield ink("  budget: the ledger is unavailable, what is left is not known", "yellow")
    for standing in standings or ():
        words, resets = standing_words(standing)
        style = {"exceeded": "red", "warn": "yellow"}.get(standing.verdict.status or "", "green")
        yield ink(f"  budget {words}", style)
        yield f"         {resets}"


def receipt(summary: Summary, ink: Ink, gate: GateState, standings: Sequence[Standing] | None = ()) -> str:
    """
    What `run` says at the end. The gate's reason is given where nothing was upgraded, because it may be why.

    `standings` is where the budgets stand now; None: the ledger does not say.
    """
    calls, others = _count(summary.requests, "model call"), _count(summary.others, "other request")
    lines = [ink("savemode receipt", "bold"), f"  {calls}, {others}", *_paid(summary, ink)]
    lines += _capped(summary, standings, ink)
    if summary.breakpoints_observed:
        lines.append(
            f"  {_count(summary.breakpoints_observed, 'breakpoint')} would have been raised to 1h (observing only)"
        )
    else:
        raised = _count(summary.breakpoints_upgraded, "breakpoint")
        lines.append(f"  {raised} raised to 1h in {_count(summary.upgraded_requests, 'call')}")
    if not summary.breakpoints_upgraded and not summary.breakpoints_observed and not gate.on:
        lines.append(ink(f"  the gate was closed: {gate.why}", "yellow"))
    if summary.resent:
        lines.append(ink(f"  {summary.resent} refused by the upstream and sent again as they were", "red"))
    lines += [f"  left alone: {code} {count}x" for code, count in sorted(summary.skips.items(), key=_by_count)]
    told = {"ok": summary.outcomes.get("ok", 0), "refused": summary.over_budget}
    odd = {name: rest for name, count in summary.outcomes.items() if (rest := count - told.get(name, 0))}
    lines += [ink(f"  {name}: {count}x", "yellow") for name, count in sorted(odd.items(), key=_by_count)]
    return "\n".join(lines)


def _count(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"


def _by_count(item: tuple[str, int]) -> tuple[int, str]:
    return (-item[1], item[0])


def _value(value: object) -> str:
    text = str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=True)


def _clock(moment: datetime) -> str:
    return moment.astimezone().strftime("%H:%M:%S")
