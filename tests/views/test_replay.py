"""
A replay on the screen: the grade first, the recommendation last, and no promise without the one for the other.
"""

from datetime import timedelta

import pytest

from savemode_cli.core.money.amounts import amounts
from savemode_cli.core.replay.recording import Session
from savemode_cli.core.replay.report import summed
from savemode_cli.core.wire.usage import Extra, Tokens, Usage
from savemode_cli.views.replay import show
from savemode_cli.views.replay_json import to_json
from tests.core.replay.test_report import advised
from tests.support.drawn import drawn
from tests.support.replayed import MODEL, PAUSING, a_session, many, replayed
from tests.support.shown_replay import shown
from tests.support.values import replace


@pytest.mark.parametrize(
    ("count", "said"),
    [(1, "1 request was not a model call"), (1234, "1,234 requests were not a model call"), (0, None)],
)
def test_other_requests_are_counted(count: int, said: str | None) -> None:
    """
    What a record holds beside model calls is named, so that an empty result explains itself.
    """
    text = drawn(show, shown(advised(*PAUSING), other_requests=count))

    assert "not a model call" not in text if said is None else f"{said} (POST /v1/messages)" in text
    assert to_json(shown(advised(*PAUSING), other_requests=count))["other_requests"] == count


def test_the_order_of_things() -> None:
    """
    What a stranger needs in the order in which it is needed.
    """
    text = drawn(show, shown(advised(*PAUSING)))
    heads = [
        "10 sessions, 60 requests on 2026-11-24",
        "how reliable this is",
        "what the prompts cost",
        "what the record cost",
        "what a pause before a request costs",
        "pauses of more than a minute",
        "1h - 5m: cheaper in 10 sessions, dearer in 0",
        "spent so far: r as recorded, 5 all 5m, 1 all 1h",
        "Keep the cache for 1 hour: ",
    ]
    places = [text.index(head) for head in heads]

    assert places == sorted(places)
    assert "llm_gateway is not idle-prone" in text


def test_the_table_of_policies() -> None:
    """
    Tokens by kind, dollars, and the difference in words.
    """
    replay = summed(replayed(*PAUSING, idle_prone=True))
    lines = drawn(show, shown(replay, product="posthog_code", idle_prone=True)).splitlines()
    rows = {line.split("  ")[1].strip(): line.split() for line in lines if "$" in line and line.startswith("  ")}

    assert rows["as recorded"][-1] == "$12.7507"
    assert rows["all 5m"][-2:] == ["$12.7507", "$0.0000"]
    assert rows["all 1h"][-2:] == rows["product posthog_code"][-2:]
    assert rows["all 1h"][-1].startswith("-$")
    points = {
        line.index(".", line.index("$")) for line in lines if line.startswith(("  as rec", "  all 1h", "  auto   "))
    }
    assert len(points) == 1
    assert not [line for line in lines if line != line.rstrip() or len(line) > 80]


def test_a_poor_grade_quotes_nothing() -> None:
    """
    The bill, the reason, and no other amount anywhere, nor in what machines read.
    """
    replay = advised(*many(6, [600]))
    text = drawn(show, shown(replay))
    data = to_json(shown(replay))

    assert replay.grade.problem
    assert f"Not good enough: {replay.grade.problem}." in " ".join(text.split())
    assert " ".join(text.split()).endswith(f"No recommendation: {replay.grade.problem}.")
    assert "cheaper" not in text
    assert "auto" not in text
    assert "all 1h" not in text
    assert set(data["policies"]) == {"recorded"}
    assert data["by_session"] == []
    assert set(data["spent"]) == {"hour", "recorded_nusd"}
    assert all("all_1h_nusd" not in one for one in data["pauses"])


def test_nothing_found() -> None:
    """
    Is said in a line.
    """
    text = drawn(show, shown(advised(), malformed=1, problems=["a.jsonl:1: not JSON"]))

    assert text.splitlines() == [
        "No matching request was found.",
        "",
        "1 record left out:",
        "  a.jsonl:1: not JSON",
    ]
    assert to_json(shown(advised()))["first_at"] is None


def test_what_was_left_out_is_said() -> None:
    """
    A few places, and how many more; copies; models without a price.
    """
    replay = replace(advised(*PAUSING), copies=12, unpriced={"claude-\x1b[31m": 3})
    problems = [f"a.jsonl:{line}: not JSON" for line in range(1, 101)]
    text = drawn(show, shown(replay, malformed=1234, problems=problems))

    assert "unpriced: 3 requests of claude-\\x1b[31m not in the dollars (--price-file)" in text
    assert "12 requests are in several files, as in resumed" in text
    assert "1,234 records left out:" in text
    assert "  and 1,229 more; --json lists 100" in text


def spending(session: Session, usage: Usage, **more: object) -> Session:
    """
    The same, with something more used by each request: output, searches, advisors.
    """
    return Session(
        session.id,
        tuple(
            replace(one, usage=replace(usage, tokens=one.usage.tokens + Tokens(output=usage.tokens.output)), **more)
            for one in session.requests
        ),
    )


def test_the_whole_bill() -> None:
    """
    The prompts, with those of an advisor, which are in every policy; the output; and both together.
    """
    advisor = Extra("advisor_message", MODEL, Usage(Tokens(10_000, output=2000)))
    plain = advised(*PAUSING)
    done = advised(*(spending(one, Usage(Tokens(output=1000), web_searches=2, extra=(advisor,))) for one in PAUSING))
    bill, beside = done.bill, 60 * 10_000 * 4000

    assert (bill.beside_nusd, bill.output_nusd) == (beside, 60 * (3000 * 20_000 + 2 * 10_000_000))
    assert [one.nusd - other.nusd for one, other in zip(done.estimates, plain.estimates, strict=True)] == [beside] * 8
    assert [one.difference_nusd for one in done.estimates] == [one.difference_nusd for one in plain.estimates]
    text = drawn(show, shown(done))
    assert "  prompts   $15.1507  $2.4000 of it for compactions, advisors, fallbacks" in text
    assert "  output     $4.8000  with web searches" in text
    assert "  together  $19.9507" in text
    assert "billed $12.7507, for answers alone" in " ".join(text.split())
    assert to_json(shown(done))["bill"] == {
        **amounts(prompts=bill.prompts_nusd, prompts_beside_answers=beside),
        **amounts(output=bill.output_nusd, cost_state_only=0, total=bill.prompts_nusd + bill.output_nusd),
        "cost_state_only_share": 0.0,
        "cost_state_not_compared_sessions": 0,
        "partial_output_requests": 0,
    }


def test_calls_that_only_a_count_tells_of() -> None:
    """
    Their part of the whole, and nothing about them where there are none.
    """
    plain = advised(*PAUSING)
    done = replace(plain, bill=replace(plain.bill, unlisted_nusd=plain.bill.total_nusd // 3))
    text = " ".join(drawn(show, shown(done)).split())

    assert "other calls $4.2502 25.0 %, only in cost-state lines: compactions" in text
    assert "together $17.0010" in text
    assert "cost-state" not in drawn(show, shown(plain))
    assert to_json(shown(done))["bill"]["cost_state_only_share"] == pytest.approx(0.25)


def test_output_that_was_not_recorded_to_its_end() -> None:
    """
    Costs more than the record says; that is said.
    """
    done = advised(*(spending(one, Usage(Tokens(output=1)), partial_output=True) for one in PAUSING))

    assert "too low: 60 requests recorded in part" in drawn(show, shown(done))
    assert to_json(shown(done))["bill"]["partial_output_requests"] == 60


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("copies", "are in several files, as in resumed and forked sessions; each counts once"),
        ("repeated", "are again in a side chain or a record of progress; each counts once"),
        ("sharing", "different answers have the same message ID, as relays may give them; each counts"),
    ],
)
def test_what_was_merged_and_what_was_not_is_said(name: str, words: str) -> None:
    """
    In a line each, where there is any.
    """
    some = " ".join(drawn(show, shown(replace(advised(*PAUSING), **{name: 1200}))).split())

    assert f"1,200 {'requests ' if name != 'sharing' else ''}{words}" in some
    assert words not in " ".join(drawn(show, shown(advised(*PAUSING))).split())


def test_changed_content_is_set_apart() -> None:
    """
    With what it cost, and what the prediction would be without it.
    """
    changed = a_session("s", [10] * 30)
    requests = list(changed.requests)
    usage = requests[9].usage
    requests[9] = replace(
        requests[9], usage=Usage(usage.tokens + Tokens(write_5m=usage.tokens.read, read=-usage.tokens.read))
    )
    text = drawn(show, shown(advised(Session("s", tuple(requests)), *many(9, [10] * 9))))

    assert "  1 warm prompt was written anew, as the client had changed content: $0.2" in text
    assert "TTLs alone predict -" in " ".join(text.split())


def test_months_fit_the_picture() -> None:
    """
    Hours are spread by time, not by number.
    """
    late = a_session("late", [10] * 9)
    moved = Session(
        "late",
        tuple(
            replace(one, started_at=one.started_at + timedelta(days=60), ended_at=one.ended_at + timedelta(days=60))
            for one in late.requests
        ),
    )
    text = drawn(show, shown(advised(*PAUSING, moved)))

    assert "  2026-11-24                                          2027-01-23" in text
