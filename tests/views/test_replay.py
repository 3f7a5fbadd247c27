"""
A replay on the screen: the grade first, the recommendation last, and no promise without the one for the other.
"""

from dataclasses import replace
from datetime import timedelta

import pytest

from savemode_cli.core.recorded import Session
from savemode_cli.core.replay import Replay, summed
from savemode_cli.views.replay import Shown, difference, recommendation, show, to_json
from tests.core.test_replay import a_session, advised, many, replayed
from tests.views.drawn import drawn


def shown(replay: Replay, **more: object) -> Shown:
    """
    With the default product around it.
    """
    fields: dict[str, object] = {"product": "llm_gateway", "idle_prone": False, **more}
    return Shown(replay, **fields)  # type: ignore[arg-type]


PAUSING = many(10, [600] * 5)
STEADY = many(10, [10] * 5, hour=True)


def test_the_order_of_things() -> None:
    """
    What a stranger needs in the order in which it is needed.
    """
    text = drawn(show, shown(advised(*PAUSING)))
    heads = [
        "10 sessions, 60 requests on 2026-11-24",
        "how far to believe this",
        "what the prompts cost",
        "what a pause before a request costs",
        "pauses of more than a minute",
        "1h against 5m: cheaper in 10 sessions, dearer in 0",
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

    assert rows["as recorded"][-1] == "$12.75"
    assert rows["all 5m"][-2:] == ["the", "same"]
    assert rows["all 1h"][-2] == rows["product posthog_code"][-2]
    assert rows["all 1h"][-1] == rows["product posthog_code"][-1] == "cheaper"


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
        "no request that is wanted was found",
        "",
        "1 line was left out:",
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

    assert "unpriced: 3 requests of claude-\\x1b[31m are in no dollars (--price-file)" in text
    assert "12 requests stood in several files and were counted once" in text
    assert "1,234 lines were left out:" in text
    assert "  and 1,229 more; --json names 100" in text


def test_changed_content_is_set_apart() -> None:
    """
    With what it cost, and what the prediction would be without it.
    """
    changed = a_session("s", [10] * 30)
    requests = list(changed.requests)
    usage = requests[9].usage
    requests[9] = replace(
        requests[9], usage=replace(usage, cache_read_tokens=0, cache_write_5m_tokens=usage.prompt_tokens)
    )
    text = drawn(show, shown(advised(Session("s", tuple(requests)), *many(9, [10] * 9))))

    assert "  1 warm prompt was written anew because of changed content: $0.23" in text
    assert "the TTLs alone predict -" in text


@pytest.mark.parametrize(
    ("nusd", "words"),
    [
        (-3_100_000_000, "$3.10 cheaper"),
        (420_000_000, "$0.42 MORE"),
        (9_999_999, "the same"),
        (-9_999_999, "the same"),
        (0, "the same"),
    ],
)
def test_differences_in_words(nusd: int, words: str) -> None:
    """
    Signs are easily misread.
    """
    assert difference(nusd) == words


@pytest.mark.parametrize(
    ("replay", "words"),
    [
        pytest.param(advised(*PAUSING), "Keep the cache for 1 hour: $7.09 cheaper (55.6 %;", id="1h"),
        pytest.param(advised(*STEADY), "Keep the cache for 5 minutes: $1", id="5m"),
        pytest.param(
            advised(*many(10, [10] * 5)), "Leave it as it is: 5 minutes for all would have been the same", id="keep"
        ),
        pytest.param(
            advised(*many(4, [600] * 5)), "for all would have been $2.83 cheaper, but 4 sessions are too few", id="few"
        ),
        pytest.param(
            advised(a_session("s", [600] * 25)), "cheaper, but 1 session is too few to go by.", id="one session"
        ),
        pytest.param(
            advised(a_session("lucky", [600] * 8, start=200_000), *many(20, [10] * 8)),
            "give or take: 90 % sure is",
            id="unclear",
        ),
        pytest.param(advised(*many(6, [600])), "No recommendation: only 6 requests follow another", id="poor"),
        pytest.param(advised(), "Nothing to recommend: no request was found.", id="nothing"),
    ],
)
def test_recommendations(replay: Replay, words: str) -> None:
    """
    One sentence each, with a reason or with none to give.
    """
    said = recommendation(replay)

    assert words in said
    assert said.endswith(".")
    assert "\n" not in said


def test_for_machines() -> None:
    """
    Amounts are integers of nano-dollars, shares are numbers, times are stamped.
    """
    replay = advised(*PAUSING)
    data = to_json(shown(replay))

    assert (data["schema_version"], data["sessions"], data["requests"]) == (1, 10, 60)
    assert data["first_at"] == "2026-11-24T12:00:00Z"
    assert (data["grade"]["passes"], data["grade"]["right_share"], data["grade"]["dollar_error"]) == (True, 1.0, 0.0)
    assert data["grade"]["outcomes"] == [{"predicted": "cold", "recorded": "cold", "requests": 50}]
    assert data["policies"]["1h"]["cost_nusd"] == replay.estimate("1h").nusd
    assert data["recommendation"]["policy"] == "1h"
    assert sum(data["pause_histogram"]["requests"]) == 50
    assert data["spent"]["all_1h_nusd"][-1] == replay.estimate("1h").nusd


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
