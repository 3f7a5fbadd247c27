"""
What a run, or a proxy, cost and saved, printed at its end.

Rule of this file: it renders a `Summary` and computes no figures. What was reported, estimated and reserved is never
added up without saying so.
"""

from collections.abc import Iterator, Sequence

from typer import style

from savemode_cli.core.budget.admission import Standing
from savemode_cli.core.budget.scopes import ALL
from savemode_cli.core.diagnosis.causes import ADVICE
from savemode_cli.core.exchange.summary import Summary
from savemode_cli.core.money.amounts import dollars
from savemode_cli.core.upgrade.gate import GateState
from savemode_cli.views.labelled import labelled
from savemode_cli.views.money import STYLES, saved
from savemode_cli.views.printable import printable

_Row = tuple[str, str, str]
"""A label, a text, and the colour of the text."""


def receipt(
    summary: Summary,
    gate: GateState,
    standings: Sequence[Standing] | None = (),
    *,
    reasons: Sequence[str] | None = None,
    advice: Sequence[str] = (),
    simulated: bool = False,
    width: int = 80,
) -> str:
    """
    The receipt.

    Args:
        summary: of the requests.
        gate: whether upgrades are switched on now. Its reason is given where nothing was upgraded.
        standings: how much of each budget is used now; None if the ledger does not answer.
        reasons: why no request came, where one was expected; None if that is not so.
        advice: what to do next time, in lines.
        simulated: whether the upstream was the simulated one, which is not paid.
        width: of the screen, in columns.
    """
    rows = [
        *_paid(summary),
        *_paid_again(summary),
        *_absent(reasons),
        *_upgraded(summary, gate),
        *_problems(summary),
        *_budgets(standings),
    ]
    if simulated:
        rows.append(("simulated", "no model answered, tokens are estimates, and nothing was paid", ""))
    lines = [style("savemode receipt", bold=True)]
    for label, text, colour in rows:
        lines += labelled(label, text, width, colour)
    lines += [f"  {line}" for line in advice]
    return "\n".join(lines)


def _paid(summary: Summary) -> Iterator[_Row]:
    yield "requests", f"{_count(summary.requests, 'model call')}, {_count(summary.others, 'other request')}", ""
    if not summary.requests:
        return
    parts = [
        f"{dollars(summary.charged_nusd.get(basis, 0))} {words} ({_count(summary.bases[basis], 'call')})"
        for basis, words in (("estimated", "estimated"), ("held", "reserved, because the bill is unknown"))
        if basis in summary.bases
    ]
    yield "cost", dollars(summary.cost_nusd) + (f", of which {' and '.join(parts)}" if parts else ""), ""
    if summary.breakpoints_upgraded or summary.difference_nusd:
        missing = f"; {_count(summary.not_compared, 'call')} not comparable" if summary.not_compared else ""
        words = f"{saved(summary.difference_nusd)} compared with 5-minute caching{missing}"
        yield (
            "upgrade" if summary.breakpoints_upgraded else "kept warm",
            words,
            "green" if summary.difference_nusd <= 0 else "yellow",
        )
    used = summary.usage.tokens
    writes = f"{used.write_5m:,} written for 5 minutes, {used.write_1h:,} for 1 hour"
    others = f"{used.input:,} uncached input, {used.output:,} output"
    yield "tokens", f"{used.read:,} read from the cache, {writes}, {others}", ""


_CENT = 10_000_000  # in nano-dollars


def _paid_again(summary: Summary) -> Iterator[_Row]:
    """
    What could have been read from the cache and was not, by cause, the largest cost first. Less than a cent is left out.
    """
    causes = [(cause, nusd) for cause, nusd in sorted(summary.missed_nusd.items(), key=_by_count) if nusd >= _CENT]
    if not causes:
        return
    yield (
        "misses",
        f"{dollars(sum(summary.missed_nusd.values()))} paid again for what the cache could have held",
        "yellow",
    )
    for cause, nusd in causes:
        yield "", f"{dollars(nusd)} {cause}, {summary.missed_tokens[cause]:,} tokens", ""
    yield "", ADVICE[causes[0][0]], ""


def _absent(reasons: Sequence[str] | None) -> Iterator[_Row]:
    """
    Why no request came. No budget was enforced then, which is easily overlooked.
    """
    if reasons is None:
        return
    yield "problems", "no request came through savemode, so no budget was enforced:", "yellow"
    for reason in reasons:
        yield "", printable(reason), ""


def _upgraded(summary: Summary, gate: GateState) -> Iterator[_Row]:
    """
    What was upgraded to a 1 hour cache TTL, and what was not.
    """
    if summary.breakpoints_observed:
        count = _count(summary.breakpoints_observed, "cache breakpoint")
        yield "cache", f"{count} would have been upgraded to 1 hour (--observe changes nothing)", ""
    else:
        count = _count(summary.breakpoints_upgraded, "cache breakpoint")
        verified = f"; {_count(summary.verified, 'call')} billed at 1 hour" if summary.upgraded_requests else ""
        yield "cache", f"{count} upgraded to 1 hour in {_count(summary.upgraded_requests, 'call')}{verified}", ""
    if summary.downgraded:
        yield "", f"{_count(summary.downgraded, 'call')} asked for 1 hour and billed at 5 minutes", "red"
    if summary.resent:
        yield (
            "",
            f"{_count(summary.resent, 'upgraded request')} refused by the upstream and sent again unchanged",
            "red",
        )
    if not summary.breakpoints_upgraded and not summary.breakpoints_observed and not gate.on:
        yield "", f"upgrades are off: {printable(gate.why)}", "yellow"
    if summary.skips:
        codes = ", ".join(f"{code} {count}" for code, count in sorted(summary.skips.items(), key=_by_count))
        yield "", f"not upgraded, by reason: {codes}", ""


def _problems(summary: Summary) -> Iterator[_Row]:
    """
    Requests that did not go well, and what the cost does not include.
    """
    problems = []
    if summary.over_budget:
        problems.append((f"{_count(summary.over_budget, 'request')} refused by a budget and not sent", "red"))
    if summary.guard_refused:
        problems.append((f"{_count(summary.guard_refused, 'request')} refused by the guard and not sent", "red"))
    if summary.guard_warned:
        problems.append(
            (f"{_count(summary.guard_warned, 'warning')} of the guard: the run may have run away", "yellow")
        )
    if summary.unpriced:
        words = f"{_count(summary.unpriced, 'call')} to a model without a known price, charged at the highest known one"
        problems.append((words, "yellow"))
    if summary.uncounted:
        problems.append((f"{_count(summary.uncounted, 'call')} not counted: the ledger did not answer", "yellow"))
    if summary.entered_later:
        words = f"{_count(summary.entered_later, 'call')} entered in the ledger later: it did not answer at first"
        problems.append((words, ""))
    if summary.batches:
        count = "1 batch" if summary.batches == 1 else f"{summary.batches} batches"
        problems.append((f"{count} not in the cost: the API bills a batch later", "yellow"))
    if summary.uncounted_requests:
        words = f"{_count(summary.uncounted_requests, 'request')} not in the cost: to paths whose cost is not known"
        problems.append((words, "yellow"))
    expected = {"ok": summary.outcomes.get("ok", 0), "refused": summary.over_budget + summary.guard_refused}
    odd = {name: rest for name, count in summary.outcomes.items() if (rest := count - expected.get(name, 0))}
    others = (
        (f"{_count(count, 'request')} {_OUTCOMES[name]}", "yellow")
        for name, count in sorted(odd.items(), key=_by_count)
    )
    for number, (text, colour) in enumerate([*problems, *others]):
        yield "" if number else "problems", text, colour


_OUTCOMES = {
    "refused": "refused",
    "upstream_error": "answered with an error by the upstream",
    "unreachable": "not sent: the upstream could not be reached",
    "client_gone": "given up by the client",
    "broken": "broken off by the upstream",
}


def _budgets(standings: Sequence[Standing] | None) -> Iterator[_Row]:
    if standings is None:
        yield "budget", "unknown: the ledger is unavailable", "yellow"
    for standing in standings or ():
        words, resets = standing_words(standing)
        yield "budget", words, STYLES.get(standing.verdict.status or "", "green")
        yield "", resets, ""


def standing_words(standing: Standing) -> tuple[str, str]:
    """
    How much of a budget is used, in two lines: `default $5.0000 (monthly): $1.2000 spent, $3.8000 left` and when it resets.
    """
    budget, balance = standing.limit.budget, standing.balance
    who = printable(standing.limit.who) or "not given"
    name = budget.name if budget.scope == ALL else f"{budget.name} ({budget.scope} {who})"
    cap = dollars(budget.limit_nusd) if standing.limit.capped else "no cap"
    strict = ", strict" if budget.strict else ""
    held = f", {dollars(balance.held_nusd)} held for running requests" if balance.held_nusd else ""
    left = f", {dollars(standing.left_nusd)} left" if standing.limit.capped else ""
    return (
        f"{name} {cap} ({budget.window.words()}{strict}): {dollars(balance.spent_nusd)} spent{held}{left}",
        budget.resets(standing.resets_at),
    )


def _count(number: int, name: str) -> str:
    return f"{number:,} {name}{'' if number == 1 else 's'}"


def _by_count(item: tuple[str, int]) -> tuple[int, str]:
    return (-item[1], item[0])
