"""
The answer to a refused request: what the SDKs obey, what a person reads, and advice that works where it is given.
"""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace as with_fields

from savemode_cli.core.budget.admission import Balance, Hold, Refused, Standing, decide
from savemode_cli.core.budget.budget import Budget, limit_of
from savemode_cli.core.budget.choices import RefusalChoice
from savemode_cli.core.budget.refusal import refusal, refusal_message, refused_status
from savemode_cli.core.budget.without_ledger import decide_from_memory, unaccounted
from tests.support.values import replace

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
USD = 10**9
HOLD = Hold("h", ("k",), 2 * USD, NOW + timedelta(minutes=10))
RAISE = ("savemode budget set", "savemode budget allow --for 1h", "x-posthog-budget-override: true")
OVERRIDE = "send the header x-posthog-budget-override: true"
STATUSES = {"claude-cli/": 429, "anthropic/python": 429, "litellm/": 403, "litellm/1.81.": 400}


def standing(spent: int, held: int = 0, limit: int = 20, name: str = "b", who: str = "ann", **more: Any) -> Standing:
    """
    A budget and where it stands, in whole dollars.
    """
    return Standing(limit_of(Budget(name, limit * USD, **more), who, NOW), Balance(spent * USD, 0, held * USD))


def message(one: Standing, ledger_options: str | None = "", *, override: bool = False) -> str:
    """
    What is said to a request that this limit refuses.
    """
    decision = decide(with_fields(HOLD, override=override), [one], override=False)
    assert isinstance(decision, Refused)
    return refusal_message(decision, ledger_options)


def test_permanent_refusal() -> None:
    """
    429 in the API's envelope, which no SDK retries and no other client sleeps on.
    """
    decision = decide(HOLD, [standing(25, who="", zone="Europe/Berlin")], override=False)
    assert isinstance(decision, Refused)

    status, headers, body = refusal(decision, "req_1")

    assert status == 429
    assert dict(headers) == {
        b"content-type": b"application/json",
        b"request-id": b"req_1",
        b"x-should-retry": b"false",
        b"x-posthog-budget": b"exceeded",
        b"x-posthog-budget-remaining-usd": b"0.00",
        b"x-posthog-budget-state": b"blocked",
        b"x-posthog-budget-recommended-mode": b"max_save",
        b"x-posthog-budget-resets-at": b"2026-11-30T23:00:00Z",
    }
    read = json.loads(body)
    message = read["error"].pop("message")
    assert read == {"type": "error", "error": {"type": "budget_exceeded"}, "request_id": "req_1"}
    assert message.startswith(
        "out of budget: spend limit reached (monthly; resets 2026-12-01 00:00 Europe/Berlin). $25.0000 of $20.0000 is spent in "
        'budget "b". '
    )
    assert all(way in message for way in ("savemode budget set b USD", "savemode budget allow b --for 1h", OVERRIDE))


@pytest.mark.parametrize(
    ("choice", "user_agent", "status"),
    [
        ("auto", "claude-cli/2.1.332 (external, cli)", 429),
        ("auto", "Claude-CLI/9", 429),
        ("auto", " anthropic/python 2.14.0", 429),
        ("auto", "AsyncAnthropic/Python 2.14.0", 402),
        ("auto", "litellm/1.110.2", 403),
        ("auto", "litellm/1.81.10", 400),
        ("auto", "curl/8", 402),
        ("auto", "my claude-cli/2", 402),
        ("auto", "", 402),
        ("429", "litellm/1.110.2", 429),
        ("402", "claude-cli/2.1.332", 402),
    ],
)
def test_status_of_a_permanent_refusal(choice: RefusalChoice, user_agent: str, status: int) -> None:
    """
    The status that is known to end the client, by the longest name that fits; 402 to others, or what was asked for.
    """
    assert refused_status(choice, user_agent, STATUSES) == status


def test_nobody_is_known() -> None:
    """
    Without a table of clients all are answered 402.
    """
    assert refused_status("auto", "claude-cli/2", {}) == 402


@pytest.mark.parametrize(
    ("status", "api_type"),
    [
        (400, "invalid_request_error"),
        (402, "billing_error"),
        (403, "permission_error"),
        (429, "budget_exceeded"),
    ],
)
def test_refusal_by_status(status: int, api_type: str) -> None:
    """
    The type is the API's own for the status; a temporary refusal stays a 429, and one about identity a 403.
    """
    permanent, held, stranger = (
        decide(HOLD, [one], override=False)
        for one in (standing(25), standing(15, 5), standing(0, who="", scope="user", unknown="refuse"))
    )
    answers = [refusal(one, "req_1", permanent_status=status) for one in (permanent, held, stranger)]  # type: ignore[arg-type]

    assert [number for number, _, _ in answers] == [status, 429, 403]
    assert [json.loads(body)["error"]["type"] for _, _, body in answers] == [
        api_type,
        "budget_exceeded",
        "permission_error",
    ]
    assert [dict(headers)[b"x-should-retry"] for _, headers, _ in answers] == [b"false", b"true", b"false"]


@pytest.mark.parametrize(
    ("one", "begins"),
    [
        (standing(25), True),
        (standing(19, strict=True), True),
        (standing(15, 5), False),
        (standing(0, who="", scope="user", unknown="refuse"), False),
    ],
)
def test_words_that_clients_look_for(one: Standing, begins: bool) -> None:
    """
    A client that reads "out of budget" does not try again; so it reads them only where that is of no use.
    """
    assert message(one).startswith("out of budget: ") is begins
    assert ("out of budget" in message(one)) is begins


def test_temporary_refusal() -> None:
    """
    Retried in a few seconds, and says what it waits for.
    """
    decision = decide(HOLD, [standing(15, 5, scope="user")], override=False)
    assert isinstance(decision, Refused)

    _, headers, body = refusal(decision, "req_1")

    assert dict(headers)[b"x-should-retry"] == b"true"
    assert dict(headers)[b"retry-after"] == b"5"
    message = json.loads(body)["error"]["message"]
    assert '$20.0000 in budget "b" (user ann), $15.0000 is spent and $5.0000 is held' in message


def test_refusal_for_somebody_unnamed() -> None:
    """
    The pot of those who do not say who they are is called that.
    """
    limit = replace(standing(0, scope="team").limit, who="")
    decision = Refused("spent", Standing(limit, Balance(20 * USD)), 0)

    assert "(team not given)" in refusal_message(decision)


def test_refusal_without_a_ledger() -> None:
    """
    Says whose choice it was. A broken ledger does not heal in seconds; one that is locked may, and the request is retried.
    """
    broken = unaccounted([standing(0).limit], override=False, fail="closed")
    busy = decide_from_memory(HOLD, [standing(0)], override=False, fail="closed", busy=True)
    assert isinstance(broken, Refused)
    assert isinstance(busy, Refused)
    assert (broken.status, busy.status) == ("unknown", "unknown")
    (_, no_retry, body), (_, retry, other) = refusal(broken, "req_1"), refusal(busy, "req_1")

    assert [dict(one)[b"x-should-retry"] for one in (no_retry, retry)] == [b"false", b"true"]
    assert dict(retry)[b"retry-after"] == b"5"
    assert "another process keeps it locked" in json.loads(other)["error"]["message"]
    message = json.loads(body)["error"]["message"]
    assert "--fail closed" in message
    assert [way in message for way in RAISE] == [False, False, True]


@pytest.mark.parametrize(
    ("one", "ledger_options", "advice"),
    [
        (
            standing(20, name="default", who=""),
            "",
            "raise it with `savemode budget set`, lift it for a while with `savemode budget allow --for 1h`, or "
            f"{OVERRIDE}.",
        ),
        (
            standing(20, name="default", who=""),
            " --ledger sqlite:////x.db",
            "raise it with `savemode budget set --ledger sqlite:////x.db`, lift it for a while with `savemode budget allow "
            f"--for 1h --ledger sqlite:////x.db`, or {OVERRIDE}.",
        ),
        (standing(20), None, f"restart savemode with a larger cap or {OVERRIDE}."),
        (standing(20, allow_override=False), None, "restart savemode with a larger cap."),
        (
            standing(20, scope="user", allow_override=False),
            "",
            "raise it with `savemode budget set b USD --who ann` or lift it for a while with `savemode budget allow b "
            "--who ann --for 1h`.",
        ),
        (
            standing(20, scope="user", who="$(x) y", allow_override=False),
            "",
            "raise it with `savemode budget set b USD --who '$(x) y'` or lift it for a while with `savemode budget allow b "
            "--who '$(x) y' --for 1h`.",
        ),
        (standing(20, refusal_hint="ask Maria.", allow_override=False), "", "ask Maria."),
        (standing(20, refusal_hint="ask Maria"), None, f"ask Maria or {OVERRIDE}."),
    ],
)
def test_advice_works_where_it_is_given(one: Standing, ledger_options: str | None, advice: str) -> None:
    """
    Commands name the budget, the person and the ledger, or are not named; the header only where it is accepted.
    """
    assert message(one, ledger_options).endswith(f" To go on now: {advice}")


def test_header_that_is_not_accepted() -> None:
    """
    Who sent it hears that it did nothing, in the answer's headers too.
    """
    decision = decide(with_fields(HOLD, override=True), [standing(20, allow_override=False)], override=False)
    assert isinstance(decision, Refused)

    status, headers, body = refusal(decision, "req_1")

    assert status == 429
    assert dict(headers)[b"x-posthog-budget-override"] == b"ignored"
    said = json.loads(body)["error"]["message"]
    assert "The header x-posthog-budget-override is not accepted for it." in said
    assert OVERRIDE not in said


def test_header_that_would_not_help() -> None:
    """
    It lifts one of two caps, and the other one still refuses: it is not advised.
    """
    both = [standing(20, name="a", who=""), standing(20, name="b", who="", allow_override=False)]
    decision = decide(HOLD, both, override=False)
    assert isinstance(decision, Refused)

    assert OVERRIDE not in refusal_message(decision)


@pytest.mark.parametrize(
    ("scope", "advice"),
    [
        ("user", "send x-posthog-distinct-id, or your access token as x-savemode-token if you were given one."),
        ("team", "send x-posthog-property-team_id."),
        ("key", "send an API key."),
        ("header:x-room", "send x-room."),
    ],
)
@pytest.mark.parametrize("limit", [20, 0])
def test_request_that_does_not_say_whose_it_is(scope: str, advice: str, limit: int) -> None:
    """
    Refused with 403, also where nothing is capped, whatever is spent; it says what to send, and nothing about money.
    """
    decision = decide(HOLD, [standing(0, limit=limit, who="", scope=scope, unknown="refuse")], override=False)
    assert isinstance(decision, Refused)

    status, headers, body = refusal(decision, "req_1")

    assert status == 403
    assert dict(headers) == {
        b"content-type": b"application/json",
        b"request-id": b"req_1",
        b"x-should-retry": b"false",
    }
    error = json.loads(body)["error"]
    assert error["type"] == "permission_error"
    assert error["message"] == (
        f'budget "b" counts each {scope} by itself, and this request does not say whose it is. To go on now: {advice}'
    )


def test_hint_for_strangers() -> None:
    """
    The person who set the budget knows better what to send.
    """
    said = message(standing(0, who="", scope="user", unknown="refuse", refusal_hint="get a token from Maria"))

    assert said.endswith("To go on now: get a token from Maria.")


def test_without_a_ledger_the_header_is_advised_where_it_is_accepted() -> None:
    """
    A cap that nobody may lift stays one when the ledger is broken.
    """
    decision = unaccounted([standing(0, allow_override=False).limit], override=True, fail="closed")
    assert isinstance(decision, Refused)

    assert decision.override_ignored
    assert refusal_message(decision, " --ledger x").endswith("`savemode budget show --ledger x` says more.")


def test_what_is_not_counted_says_so() -> None:
    """
    Past the cap beside the cap's own sentence; below a strict one it is the reason, and larger caps are not advised.
    """
    spent = Refused("spent", standing(20, who=""), 0)
    strict = Refused("uncounted", standing(1, who="", strict=True), 0)
    asked = "POST /v1/complete"

    assert refusal_message(spent, "", asked).startswith(
        'out of budget: spend limit reached (monthly; resets 2026-12-01 00:00 UTC). $20.0000 of $20.0000 is spent in budget "b". '
        "What POST /v1/complete costs is not counted, so only --allow-uncounted lets it past a cap. To go on now: raise it"
    )
    assert refusal_message(strict, "", asked) == (
        'out of budget: budget "b" is strict (monthly; resets 2026-12-01 00:00 UTC), and a cap that is never crossed needs to '
        "know what a request can cost. What POST /v1/complete costs is not counted, so only --allow-uncounted lets it past a "
        f"cap. To go on now: restart savemode with --allow-uncounted or {OVERRIDE}."
    )


@pytest.mark.parametrize(
    ("limit", "spent", "held", "words"),
    [
        (60_000, 90_000, 0, "$0.00009 of $0.00006 is spent in"),
        (60_000, 20_000, 50_000, "of $0.00006 in budget"),
        (60_000, 20_000, 50_000, "$0.00002 is spent and $0.00005 is held"),
        (150_000_000, 150_030_000, 0, "$0.15003 of $0.15000 is spent in"),
        (20 * USD, 20 * USD, 0, "$20.0000 of $20.0000 is spent in"),
    ],
)
def test_small_amounts_are_told_apart(limit: int, spent: int, held: int, words: str) -> None:
    """
    A sentence with amounts below $0.0001 says how much each is, and not that each is less than $0.0001.
    """
    one = Standing(limit_of(Budget("b", limit), "", NOW), Balance(spent, 0, held))
    decision = decide(HOLD, [one], override=False)
    assert isinstance(decision, Refused)

    assert words in refusal_message(decision)
