"""
What `savemode top` shows, as rows of text, from what a proxy answers.

Rule of this file: every figure is one of the proxy's answer. Nothing is added up here, and the text of others is made printable.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from savemode_cli.views.money import amount, percent, signed
from savemode_cli.views.printable import printable
from savemode_cli.views.report import short_count

Json = Mapping[str, Any]

HOURS = 48
"""How many hours of spend are drawn."""

_SHORT_ID = 8
_LONGEST_MODEL = 12
_NUSD_PER_USD = 1e9
_BAR_CELLS = 10

SORTS: dict[str, Callable[[Json], Any]] = {
    "last": lambda row: row["last_at"] or "",
    "cost": lambda row: row["cost_nusd"],
    "missed": lambda row: row["missed_nusd"],
    "requests": lambda row: row["requests"],
}
"""By what sessions and sub-agents can be sorted, the largest first."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """
    The answers of a proxy at one time.
    """

    url: str
    summary: Json | None = None
    """The answer of `/-/summary`; None if the proxy did not answer."""
    exchanges: Sequence[Json] = ()
    """Those of `/-/exchanges`, the newest last."""


@dataclass(frozen=True, slots=True)
class Table:
    """
    Rows of cells. The first column is on the left, and so are those in `left`; figures are on the right.
    """

    heads: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    left: frozenset[str] = field(default_factory=frozenset)


def heading(snapshot: Snapshot) -> str:
    """
    Which proxy it is, and since when it runs.
    """
    if snapshot.summary is None:
        return f"savemode  {snapshot.url}  does not answer"
    since = datetime.fromisoformat(snapshot.summary["since"]).astimezone()
    running = snapshot.summary["in_flight"]
    return f"savemode  {snapshot.url}  since {since:%Y-%m-%d %H:%M}  {running:,} running"


def totals(snapshot: Snapshot) -> str:
    """
    The sums since the proxy started, in one line of at most 80 columns.
    """
    if snapshot.summary is None:
        return ""
    total, counts = snapshot.summary["total"], snapshot.summary["counts"]
    parts = [
        f"spent {amount(total['cost_nusd'])}",
        "1 request" if total["requests"] == 1 else f"{total['requests']:,} requests",
        f"read {percent(read_permille(total))}",
        f"missed {amount(total['missed_nusd'])}",
    ]
    if total["receipts"]:
        difference = total["difference_nusd"]
        parts.append(f"{'saved' if difference <= 0 else 'lost'} {amount(abs(difference))}")
    if counts["over_budget"]:
        parts.append(f"{counts['over_budget']:,} refused")
    return "   ".join(parts)


def read_permille(sums: Json) -> int | None:
    """
    How much of the prompts was read from the cache; None without a prompt.
    """
    kinds = ("input_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens", "cache_read_tokens")
    prompt = sum(sums[kind] for kind in kinds)
    return sums["cache_read_tokens"] * 1000 // prompt if prompt else None


def budgets(snapshot: Snapshot, most: int) -> list[tuple[str, str]]:
    """
    A line for each budget, and its state: `ok`, `warn`, `engage` or `exceeded`. Those with the fewest dollars left come first.

    Args:
        snapshot: the answers.
        most: how many lines there is room for.
    """
    if snapshot.summary is None:
        return []
    found = snapshot.summary["budgets"]
    if found is None:
        return [("The ledger does not answer.", "unknown")]
    if not found:
        return [("No budget is set: savemode budget set 20", "")]
    by_left = sorted(found, key=lambda one: (one["remaining_nusd"] is None, one["remaining_nusd"] or 0))
    lines = [(_budget(one), str(one["guard_status"])) for one in by_left[:most]]
    if len(by_left) > most:
        lines[-1] = (f"{lines[-1][0]}   and {len(by_left) - most} more", lines[-1][1])
    return lines


def _budget(budget: Json) -> str:
    name = printable(f"{budget['name']} {budget['who']}".strip())[:16]
    permille, limit, left = budget["used_permille"], budget["limit_nusd"], budget["remaining_nusd"]
    if left is None or permille is None:
        return f"{name:<16} {amount(budget['spent_nusd'])} spent, no limit"
    filled = min(_BAR_CELLS, permille * _BAR_CELLS // 1000)
    bar = "█" * filled + "░" * (_BAR_CELLS - filled)
    forecast = _forecast(budget.get("forecast"))
    return f"{name:<16} {bar} {permille // 10:>3} %   {amount(max(0, left))} left of {amount(limit)}{forecast}"


def _forecast(forecast: Json | None) -> str:
    """
    When a budget is expected to be reached, otherwise what is expected to be spent at its reset.
    """
    if forecast is None:
        return ""
    expected, end = forecast["reached"]["expected"], forecast["at_reset"]
    if expected is not None:
        return f"  reached {_clock(expected, '%a %d %b')}"
    return "" if end is None else f"  ${end['expected_nusd'] / _NUSD_PER_USD:,.2f} at reset"


def spend_per_hour(snapshot: Snapshot) -> list[float]:
    """
    The spend of each of the last hours in dollars, the newest last.
    """
    if snapshot.summary is None:
        return [0.0] * HOURS
    spent = {datetime.fromisoformat(one["hour"]): one["cost_nusd"] for one in snapshot.summary["hours"]}
    last = datetime.fromisoformat(snapshot.summary["at"]).replace(minute=0, second=0, microsecond=0)
    return [spent.get(last - timedelta(hours=back), 0) / _NUSD_PER_USD for back in reversed(range(HOURS))]


def sessions(snapshot: Snapshot, sort: str = "last", words: str = "") -> Table:
    """
    The sessions, sorted by a name of `SORTS`, those only in whose name or model the words stand.
    """
    found = () if snapshot.summary is None else snapshot.summary["sessions"]
    chosen = _sorted(found, sort, words, "session", "model")
    rows = [
        (
            printable(one["session"])[:_SHORT_ID],
            _model(one["model"]),
            f"{one['requests']:,}",
            percent(read_permille(one)),
            amount(one["cost_nusd"]),
            amount(one["missed_nusd"]),
            _warm(one["cache"]),
            _clock(one["last_at"], "%H:%M"),
        )
        for one in chosen
    ]
    heads = ("session", "model", "requests", "read", "cost", "missed", "cached", "last")
    return Table(heads, rows, frozenset({"model", "cached"}))


def agents(snapshot: Snapshot, sort: str = "last", words: str = "") -> Table:
    """
    The sub-agents of all sessions, sorted and chosen as sessions are.
    """
    every = [
        {"session": session["session"], **agent}
        for session in (() if snapshot.summary is None else snapshot.summary["sessions"])
        for agent in session["agents"]
    ]
    rows = [
        (
            printable(one["agent"])[:_SHORT_ID],
            printable(one["session"])[:_SHORT_ID],
            f"{one['requests']:,}",
            percent(read_permille(one)),
            amount(one["cost_nusd"]),
            amount(one["missed_nusd"]),
            _clock(one["last_at"]),
        )
        for one in _sorted(every, sort, words, "agent", "session")
    ]
    heads = ("agent", "session", "requests", "read", "cost", "missed", "last")
    return Table(heads, rows, frozenset({"session"}))


def requests(snapshot: Snapshot, words: str = "") -> Table:
    """
    The last requests, the newest first.
    """
    rows = []
    for one in _newest(snapshot, words):
        usage, status = one.get("usage"), str(one["status"] or "-")
        status += " keep-warm" if one.get("keep_warm") else ""
        rows.append(
            (
                _clock(one["started_at"]),
                _model(one["model"]) if one["model"] else printable(f"{one['method']} {one['path']}")[:_LONGEST_MODEL],
                status if one["outcome"] == "ok" else f"{status} {printable(one['outcome'])}",
                f"{one['duration_ms'] / 1000:.1f}",
                "-" if usage is None else short_count(usage["cache_read_tokens"]),
                "-" if usage is None else short_count(usage["output_tokens"]),
                amount(one["cost_nusd"]),
                _causes(one.get("verdict")),
            )
        )
    heads = ("at", "model", "answer", "seconds", "read", "output", "cost", "missed because")
    return Table(heads, rows, frozenset({"model", "answer", "missed because"}))


def misses(snapshot: Snapshot, words: str = "") -> Table:
    """
    What the prompt cache missed, by cause, the dearest first.
    """
    found = {} if snapshot.summary is None else snapshot.summary["total"]["missed"]
    rows = [
        (_words(cause), f"{one['requests']:,}", short_count(one["tokens"]), amount(one["cost_nusd"]))
        for cause, one in sorted(found.items(), key=lambda item: -item[1]["cost_nusd"])
        if words in _words(cause)
    ]
    return Table(("cause", "requests", "tokens", "cost"), rows)


def receipts(snapshot: Snapshot, words: str = "") -> Table:
    """
    What the last upgrades saved or cost, the newest first.
    """
    rows = [
        (
            _clock(one["started_at"]),
            _model(one["model"]),
            printable(str(receipt["requested_ttl"])),
            {True: "yes", False: "no", None: "-"}[receipt["verified"]],
            amount(receipt["cost_nusd"]),
            amount(receipt["counterfactual_nusd"]),
            "-" if receipt["difference_nusd"] is None else signed(receipt["difference_nusd"]),
        )
        for one in _newest(snapshot, words)
        if one["upgraded"] and (receipt := one.get("receipt")) is not None
    ]
    return Table(("at", "model", "ttl", "verified", "cost", "without", "difference"), rows, frozenset({"model", "ttl"}))


def _sorted(found: Iterable[Json], sort: str, words: str, *names: str) -> list[Json]:
    chosen = [one for one in found if any(words in str(one[name] or "").lower() for name in names)]
    return sorted(chosen, key=SORTS[sort], reverse=True)


def _newest(snapshot: Snapshot, words: str) -> list[Json]:
    return [one for one in reversed(snapshot.exchanges) if words in str(one["model"] or one["path"]).lower()]


def _model(name: str | None) -> str:
    return printable((name or "-").removeprefix("claude-"))[:_LONGEST_MODEL]


def _words(cause: str) -> str:
    return printable(str(cause)).replace("_", " ")


def _causes(verdict: Json | None) -> str:
    return ", ".join(_words(miss["cause"]) for miss in verdict["misses"]) if verdict else ""


def _clock(text: str | None, form: str = "%H:%M:%S") -> str:
    return "-" if text is None else f"{datetime.fromisoformat(text).astimezone():{form}}"


def _warm(cache: Json | None) -> str:
    return "-" if cache is None else f"{printable(str(cache['ttl']))} to {_clock(cache['warm_until'], '%H:%M')}"
