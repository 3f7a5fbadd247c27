"""
What is said about `--save` at the end of `run` and `serve`.
"""

from typing import Any

import pytest

from savemode_cli.core.upgrade.forgone import Forgone
from savemode_cli.core.upgrade.policy import Policy
from savemode_cli.views.save_advice import save_advice, save_command, save_json

CENT = 10_000_000


def forgone(**sums: Any) -> Forgone:
    """
    Sums of a process that upgraded nothing.
    """
    return Forgone(Policy("product"), **sums)


@pytest.mark.parametrize(
    ("sums", "expected"),
    [
        (
            {"requests": 3, "compared": 3, "pauses": 1, "difference_nusd": -41 * CENT},
            [
                "--save would have cost about $0.4100 less: 1 pause of 5 to 60 minutes",
                "next: savemode run --save -- claude",
            ],
        ),
        (
            {"requests": 3, "compared": 3, "pauses": 2, "difference_nusd": -41 * CENT},
            [
                "--save would have cost about $0.4100 less: 2 pauses of 5 to 60 minutes",
                "next: savemode run --save -- claude",
            ],
        ),
        (
            {"requests": 1, "compared": 1, "difference_nusd": 3 * CENT},
            ["--save would have cost about $0.0300 more: no pause of 5 to 60 minutes"],
        ),
        (
            {"requests": 9, "compared": 9, "pauses": 1, "difference_nusd": 0},
            ["--save would have cost about $0.0000 more: too few pauses of 5 to 60 minutes"],
        ),
        (
            {"requests": 2, "compared": 1, "difference_nusd": -41 * CENT},
            [
                "--save would have upgraded 2 calls; what that would have saved is not known",
                "next: savemode run --save -- claude",
            ],
        ),
        (
            {"obstacles": {"no-markers": 2, "sub-agent": 1}},
            ["nothing to upgrade: the client sets no cache breakpoints"],
        ),
        ({"obstacles": {"not-judged": 1}}, []),
        ({}, []),
    ],
)
def test_without_save(sums: dict[str, Any], expected: list[str]) -> None:
    """
    The command stands there where it would have saved or may have, and nowhere else.
    """
    assert save_advice(forgone(**sums), "run", ["claude"], saving=False) == expected


@pytest.mark.parametrize("saving", [False, True])
def test_subscription(saving: bool) -> None:
    """
    Subscription traffic needs one more option, with `--save` and without.
    """
    said, line = save_advice(forgone(obstacles={"oauth": 2}), "run", ["claude"], saving=saving)

    assert "subscription (OAuth) requests were sent as they came" in said
    assert line.endswith(": savemode run --save --allow-oauth-edits -- claude")


def test_with_save() -> None:
    """
    Who has `--save` is not advised to use it.
    """
    sums = forgone(requests=1, compared=1, difference_nusd=-CENT, obstacles={"sub-agent": 1})

    assert save_advice(sums, "run", ["claude"], saving=True) == []


@pytest.mark.parametrize(
    ("command", "words", "expected"),
    [
        ("serve", [], "savemode serve --save"),
        ("run", ["claude", "-p", "say hi"], "savemode run --save -- claude -p 'say hi'"),
        ("run", ["claude", "-p", "a secret " * 9], "savemode run --save -- claude ..."),
        ("run", ["my tool", "x" * 60], "savemode run --save -- 'my tool' ..."),
    ],
)
def test_command(command: str, words: list[str], expected: str) -> None:
    """
    The command can be copied; a long one is shortened, for a prompt may be part of it.
    """
    assert save_command(command, words) == expected


def test_json() -> None:
    """
    The amount is exact, and null where it is not known.
    """
    known = save_json(forgone(requests=1, compared=1, difference_nusd=-CENT), "serve", [])
    unknown = save_json(forgone(requests=2, compared=1, difference_nusd=-CENT), "serve", [])

    assert (known["difference_nusd"], known["difference_usd"]) == (-CENT, "-0.010000000")
    assert (unknown["difference_nusd"], unknown["difference_usd"]) == (None, None)
    assert known["command"] == "savemode serve --save"
