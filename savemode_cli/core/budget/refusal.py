"""
The answer to a refused request: status, headers, and a sentence for the person who reads it.

Rule of this file: it decides nothing. It gives only advice that works for this budget and this ledger.
"""

import shlex
from collections.abc import Mapping
from typing import assert_never

from savemode_cli.core.budget.admission import Refused, Standing
from savemode_cli.core.budget.budget import DEFAULT_BUDGET, Limit
from savemode_cli.core.budget.choices import GUARD, RefusalChoice
from savemode_cli.core.budget.guard import Alarm
from savemode_cli.core.budget.scopes import ALL, scope_named
from savemode_cli.core.money.amounts import dollars_apart
from savemode_cli.core.wire.messages import error_body

REFUSED_STATUS = 429
UNPAID_STATUS = 402
UNIDENTIFIED_STATUS = 403
ERROR_TYPES = {400: "invalid_request_error", 402: "billing_error", 403: "permission_error", 429: "budget_exceeded"}
"""The `error.type` of each status. All except the last are the API's own for that status."""
RETRY_AFTER_S = 5
"""For a refusal that waiting can end. About half the mean time of an agent's step (11.5 s, TraceLab)."""

_OVERRIDE = "send the header x-posthog-budget-override: true"
_NO_LEDGER = {
    "unknown": "cannot be read or written",
    "busy": "cannot be written for the moment, because another process keeps it locked",
}


def refused_status(choice: RefusalChoice, user_agent: str, statuses: Mapping[str, int]) -> int:
    """
    The status of a permanent refusal for one client.

    Not every client obeys `x-should-retry: false` after a 429: some retry for minutes without a message. A 402 with
    `billing_error` is the API's own answer if there is no money left, and almost no client retries it. Source: the
    attempts of real clients in `docs/clients.md`.

    Args:
        choice: `auto` answers with the status that is known to end this client, and with 402 if none is known.
        user_agent: the client's user agent.
        statuses: the known statuses, by the beginning of the client's name in lower case. The longest match counts.
    """
    if choice != "auto":
        return int(choice)
    name = user_agent.strip().lower()
    known = max((beginning for beginning in statuses if name.startswith(beginning)), key=len, default=None)
    return UNPAID_STATUS if known is None else statuses[known]


def refusal(
    decision: Refused,
    request_id: str,
    ledger_options: str | None = "",
    uncounted: str = "",
    *,
    permanent_status: int = REFUSED_STATUS,
) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """
    The answer to a refused request: status, headers, body.

    The official SDKs obey `x-should-retry` before they look at the status. A permanent refusal has no `retry-after`:
    clients that do not know the other header would sleep until the end of the month.

    Args:
        decision: why it is refused.
        request_id: ours.
        ledger_options: what a command needs to reach the ledger, like ` --ledger sqlite:///ledger.db`; None for a ledger
            that no command reaches, because it is in the memory of the proxy.
        uncounted: what was asked, like `POST /v1/complete`, if its cost is not counted.
        permanent_status: the status if waiting is of no use, see `refused_status`. A temporary refusal is a 429.
    """
    if decision.permanent:
        retry = [(b"x-should-retry", b"false")]
    else:
        retry = [(b"x-should-retry", b"true"), (b"retry-after", b"%d" % RETRY_AFTER_S)]
    headers = [(b"content-type", b"application/json"), (b"request-id", request_id.encode()), *retry]
    status = permanent_status if decision.permanent else REFUSED_STATUS
    if decision.reason == "unidentified":
        status = UNIDENTIFIED_STATUS
    body = error_body(ERROR_TYPES[status], refusal_message(decision, ledger_options, uncounted), request_id)
    return status, headers + decision.headers(), body


def refusal_message(decision: Refused, ledger_options: str | None = "", uncounted: str = "") -> str:
    """
    What a person reads: which cap, how much of it is gone, when it resets, how to go on. See `refusal` for the arguments.

    Where the money is gone it begins with "out of budget": some clients look for these words, and then do not try again.
    """
    standing = decision.standing
    if decision.alarm is not None:
        return _guard_message(decision.alarm, ledger_options)
    if standing is None:
        return (
            f"the budget ledger {_NO_LEDGER[decision.reason]}, and until it can, requests are refused (--fail closed, or a "
            f"strict budget); `savemode budget show{ledger_options or ''}` says more."
            + (f" To go on now: {_OVERRIDE}." if decision.override_helps else "")
        )
    sentences = [_why(decision, standing)]
    if uncounted:
        sentences.append(f"What {uncounted} costs is not counted, so only --allow-uncounted lets it past a cap.")
    if decision.override_ignored:
        sentences.append("The header x-posthog-budget-override is not accepted for it.")
    ways = list(_ways(decision, standing.limit, ledger_options))
    return " ".join([*sentences, f"To go on now: {_either(ways)}."])


def _guard_message(alarm: Alarm, ledger_options: str | None) -> str:
    """
    The conversation is not out of money, but the words that end these clients are the same.
    """
    ways = [] if ledger_options is None else [f"savemode budget allow {GUARD} --for 1h{ledger_options}"]
    ways = [f"let it go on with `{way}`" for way in ways]
    return (
        f"out of budget: the guard stops this conversation, because {alarm.words()}. "
        f"To go on now: {_either([*ways, _OVERRIDE])}."
    )


def _why(decision: Refused, standing: Standing) -> str:
    limit, balance = standing.limit, standing.balance
    budget = limit.budget
    name = f'budget "{budget.name}"' + (f" ({budget.scope} {limit.who or 'not given'})" if budget.scope != ALL else "")
    when = f"({budget.window.words()}; {budget.resets(standing.resets_at)})"
    match decision.reason:
        case "held":
            cap, spent, held = dollars_apart(limit.nusd, balance.spent_nusd, balance.held_nusd)
            return (
                f"spend limit reached for the moment {when}: of {cap} in {name}, {spent} is spent and {held} is held "
                "by requests still running. Retrying in a few seconds may be enough."
            )
        case "ask":
            cap, spent, ask = dollars_apart(limit.nusd, balance.spent_nusd, decision.ask_nusd)
            return (
                f"out of budget: this request could cross the spend limit {when}. It may cost up to "
                f"{ask}, and of {cap} in {name}, which is strict, {spent} is spent."
            )
        case "spent" | "unknown" | "busy":
            cap, spent = dollars_apart(limit.nusd, balance.spent_nusd)
            return f"out of budget: spend limit reached {when}. {spent} of {cap} is spent in {name}."
        case "unidentified":
            return f'budget "{budget.name}" counts each {budget.scope} by itself, and this request does not say whose it is.'
        case "uncounted":
            return (
                f"out of budget: {name} is strict {when}, and a cap that is never crossed needs to know what a request can "
                "cost."
            )
        case "guard":  # pragma: no cover - it has no standing
            return ""
        case _:  # pragma: no cover - for the type checker
            assert_never(decision.reason)


def _ways(decision: Refused, limit: Limit, ledger_options: str | None) -> list[str]:
    """
    The ways to go on, each as what to do.
    """
    budget = limit.budget
    ways = []
    if budget.refusal_hint:
        ways.append(budget.refusal_hint.rstrip(". "))
    elif decision.reason == "unidentified":
        ways.append(scope_named(budget.scope).how_to_say)
    elif decision.reason == "uncounted":
        ways.append("restart savemode with --allow-uncounted")
    elif ledger_options is None:
        ways.append("restart savemode with a larger cap")
    else:
        set_words, allow_words = _targets(limit)
        ways.append(f"raise it with `savemode budget set{set_words}{ledger_options}`")
        ways.append(f"lift it for a while with `savemode budget allow{allow_words} --for 1h{ledger_options}`")
    return [*ways, _OVERRIDE] if decision.override_helps and decision.reason != "unidentified" else ways


def _targets(limit: Limit) -> tuple[str, str]:
    """
    The words by which `budget set` and `budget allow` mean this budget, and this person.
    """
    name, who = limit.budget.name, f" --who {shlex.quote(limit.who)}" if limit.who else ""
    if name == DEFAULT_BUDGET and not who:
        return "", ""
    return f" {name} USD{who}", f" {name}{who}"


def _either(ways: list[str]) -> str:
    """
    `a`, `a or b`, `a, b, or c`.
    """
    if len(ways) < 3:
        return " or ".join(ways)
    return f"{', '.join(ways[:-1])}, or {ways[-1]}"
