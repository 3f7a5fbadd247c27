"""
What `max_save` runs, in a sentence: what it saves, of whose tokens, or that there is nothing cheaper.
"""

from dataclasses import replace

import pytest

from savemode_cli.core.budget.cheaper import MaxSave
from savemode_cli.views.max_save import Wish, saving_json, saving_lines

CENT = 10_000_000
CHOSEN = MaxSave(
    "claude-opus-5-5", "claude-sonnet-5-5", "cheaper", 400 * CENT, 100 * CENT, "claude-haiku-5-5", 5 * CENT
)
WISH = Wish("claude-opus-5-5", "xhigh", CHOSEN, "this session", 1234)


@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        (
            {},
            [
                "saves 75.0 %: $1.0000 instead of $4.0000 for the tokens of this session, 1,234 requests",
                "the cheapest of all, claude-haiku-5-5, would cost $0.0500 (--cheaper-model any)",
            ],
        ),
        (
            {"why": "asked", "runs_nusd": 500 * CENT},
            ["costs 25.0 % more: $5.0000 instead of $4.0000 for the tokens of this session, 1,234 requests"],
        ),
        (
            {"why": "asked", "runs_nusd": 400 * CENT},
            ["saves 0.0 %: $4.0000 instead of $4.0000 for the tokens of this session, 1,234 requests"],
        ),
        (
            {"why": "nothing", "runs": "claude-opus-5-5"},
            [
                "no cheaper model may replace claude-opus-5-5",
                "the cheapest of all, claude-haiku-5-5, would cost $0.0500 (--cheaper-model any)",
            ],
        ),
        (
            {"why": "nothing", "cheapest": "claude-opus-5-5"},
            ["no cheaper model may replace claude-opus-5-5"],
        ),
        (
            {"why": "unpriced", "model_nusd": None},
            ["what it saves is not known: claude-opus-5-5 has no known price"],
        ),
        (
            {"why": "asked", "runs": "\x1b[31mx", "runs_nusd": None},
            ["what it saves is not known: \\x1b[31mx has no known price"],
        ),
        (
            {"model_nusd": 0, "runs_nusd": 0, "why": "asked"},
            ["saves 0.0 %: $0.0000 instead of $0.0000 for the tokens of this session, 1,234 requests"],
        ),
    ],
)
def test_sentences(changes: dict[str, object], lines: list[str]) -> None:
    """
    One for what it runs, and one for what would be cheaper still.
    """
    assert list(saving_lines(replace(WISH, max_save=replace(CHOSEN, **changes)))) == lines  # type: ignore[arg-type]


def test_one_request_is_not_counted() -> None:
    """
    A typical one says so itself.
    """
    first, _ = saving_lines(replace(WISH, tokens_of="a typical request", requests=1))

    assert first.endswith("for the tokens of a typical request")


def test_for_machines() -> None:
    """
    Amounts as everywhere, the share as a number; None for what is not known.
    """
    data = saving_json(WISH)
    unknown = saving_json(replace(WISH, max_save=replace(CHOSEN, model_nusd=None)))

    assert (data["runs"], data["saving_nusd"], data["saving_share"]) == ("claude-sonnet-5-5", 300 * CENT, 0.75)
    assert (data["tokens_of"], data["requests"], data["cheapest_model"]) == ("this session", 1234, "claude-haiku-5-5")
    assert (unknown["model_usd"], unknown["saving_nusd"], unknown["saving_share"]) == (None, None, None)
