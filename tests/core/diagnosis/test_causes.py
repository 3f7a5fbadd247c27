"""
The words of a verdict.
"""

from datetime import timedelta

import pytest

from savemode_cli.core.diagnosis.causes import ADVICE, CAUSES, Miss, Verdict, is_miss, json_path, path_of_json


def test_each_cause_says_what_to_do() -> None:
    """
    In one sentence, or two short ones, on one line.
    """
    assert set(ADVICE) == set(CAUSES)
    for advice in ADVICE.values():
        assert advice.endswith(".")
        assert len(advice) < 120
        assert "\n" not in advice


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ((), ""),
        (("tool_choice",), "tool_choice"),
        (("output_config", "effort"), "output_config.effort"),
        (("messages", 1, "content", 0, "source", "content", 2), "messages[1].content[0].source.content[2]"),
    ],
)
def test_places_are_json_paths(path: tuple[str | int, ...], shown: str) -> None:
    """
    Without the root; and back.
    """
    assert path_of_json(shown) == path
    assert json_path(path) == Miss("unknown", 1, path).at == shown


@pytest.mark.parametrize(
    ("missed", "expected", "counts"),
    [(1024, 100_000, False), (1025, 100_000, True), (50, 1000, False), (51, 1000, True), (0, 0, False)],
)
def test_what_counts_as_a_miss(missed: int, expected: int, counts: bool) -> None:
    """
    More than 1,024 tokens, or more than a twentieth.
    """
    assert is_miss(missed, expected) is counts


@pytest.mark.parametrize(("minutes", "held_by"), [(4, "5m"), (6, "1h"), (61, None)])
def test_the_ttl_that_would_have_held(minutes: int, held_by: str | None) -> None:
    """
    The shortest one; there may be none.
    """
    assert Miss("expired", 1, idle=timedelta(minutes=minutes)).held_by == held_by


def test_a_change_may_hide_that_the_ttl_ended() -> None:
    """
    Only where something is known of the times.
    """
    late = timedelta(minutes=6)
    assert Miss("system_changed", 1, idle=late, ttl="5m").also_expired
    assert not Miss("system_changed", 1, idle=late, ttl="1h").also_expired
    assert not Miss("system_changed", 1, idle=late).also_expired
    assert not Miss("system_changed", 1).also_expired
    assert not Miss("expired", 1, idle=late, ttl="5m").also_expired
    assert Miss("expired", 1).held_by is None


def test_the_parts_of_a_verdict() -> None:
    """
    What was missed is what the causes explain, and a rest that is too small to be a miss.
    """
    verdict = Verdict(10_000, 2_000, (Miss("expired", 6_000, cost_nusd=5), Miss("system_changed", 1_500, cost_nusd=2)))
    assert (verdict.missed_tokens, verdict.unexplained_tokens, verdict.cost_nusd) == (8_000, 500, 7)
    assert verdict.main is verdict.misses[0]
    assert Verdict(5, 5).main is None


def test_for_machines() -> None:
    """
    Units in the names, null for what is not known.
    """
    miss = Miss("expired", 9, ("system", 0), idle=timedelta(minutes=7), ttl="5m", asked_ttl="5m", cost_nusd=12)
    fields = miss.to_json()

    assert (fields["cause"], fields["at"], fields["missed_tokens"], fields["cost_nusd"]) == (
        "expired",
        "system[0]",
        9,
        12,
    )
    assert (fields["idle_s"], fields["ttl"], fields["ttl_that_would_have_held"]) == (420.0, "5m", "1h")
    assert (fields["change"], fields["parameter"], fields["before"]) == (None, None, None)
    verdict = Verdict(10, 1, (miss,), "req_sm_1").to_json()
    assert (verdict["expected_tokens"], verdict["missed_tokens"], verdict["compared_with"]) == (10, 9, "req_sm_1")
    assert verdict["misses"] == [fields]
