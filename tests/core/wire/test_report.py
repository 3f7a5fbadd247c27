"""
The `usage` object: every counter in every form, what stands beside the totals, and what was declined.
"""

from typing import Any

import msgspec
import pytest

from savemode_cli.core.wire.report import (
    ReportedUsage,
    Stop,
    UnreadableUsageError,
    answering_model,
    is_readable,
    usage_from,
    usage_report,
)
from savemode_cli.core.wire.usage import Extra, Tokens, Usage
from tests.support.values import replace


def read(usage: dict[str, Any], stop: Stop | None = None) -> Usage | None:
    """
    What an object says.
    """
    return usage_from(msgspec.convert(usage, ReportedUsage), stop)


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"input_tokens": 1, "output_tokens": 2}, Usage(Tokens(1, output=2))),
        ({"input_tokens": 0, "output_tokens": 0}, Usage()),
        ({"output_tokens": 5}, None),
        ({"input_tokens": None, "output_tokens": 5}, None),
        # Without a split every write is a 5-minute one.
        ({"input_tokens": 1, "cache_creation_input_tokens": 9, "cache_creation": None}, Usage(Tokens(1, 9))),
        # Without a total the split is the total; where it is less than the total the rest is 5m.
        (
            {"input_tokens": 1, "cache_creation": {"ephemeral_5m_input_tokens": 4, "ephemeral_1h_input_tokens": 5}},
            Usage(Tokens(1, 4, 5)),
        ),
        (
            {"input_tokens": 1, "cache_creation_input_tokens": 9, "cache_creation": {"ephemeral_1h_input_tokens": 5}},
            Usage(Tokens(1, 4, 5)),
        ),
        (
            {"input_tokens": 1, "cache_creation_input_tokens": 3, "cache_creation": {"ephemeral_1h_input_tokens": 5}},
            Usage(Tokens(1, 0, 3)),
        ),
        # A split of zeros comes with pure hits.
        (
            {"input_tokens": 1, "cache_read_input_tokens": 8, "cache_creation": {"ephemeral_5m_input_tokens": 0}},
            Usage(Tokens(1, read=8)),
        ),
        ({"input_tokens": 1, "server_tool_use": {"web_search_requests": None}}, Usage(Tokens(input=1))),
        ({"input_tokens": 1, "server_tool_use": {"web_search_requests": 2.0}}, Usage(Tokens(input=1), web_searches=2)),
        (
            {"input_tokens": 1, "service_tier": 7, "inference_geo": "not_available"},
            Usage(Tokens(input=1), inference_geo="not_available"),
        ),
        # What stands beside the totals was served as the answer was.
        (
            {"input_tokens": 1, "service_tier": "batch", "iterations": [{"type": "compaction", "input_tokens": 3}]},
            Usage(
                Tokens(input=1),
                service_tier="batch",
                extra=(Extra("compaction", None, Usage(Tokens(input=3), service_tier="batch")),),
            ),
        ),
        ({"input_tokens": 1, "iterations": []}, Usage(Tokens(input=1))),
        (
            {"input_tokens": 1, "iterations": [None, {"type": "compaction", "input_tokens": 3}, None]},
            Usage(Tokens(input=1), extra=(Extra("compaction", None, Usage(Tokens(input=3))),)),
        ),
        # The split of an iteration counts as well.
        (
            {
                "input_tokens": 1,
                "iterations": [
                    {
                        "type": "advisor_message",
                        "model": "m",
                        "cache_creation_input_tokens": 7,
                        "cache_creation": {"ephemeral_1h_input_tokens": 5.0},
                    }
                ],
            },
            Usage(Tokens(input=1), extra=(Extra("advisor_message", "m", Usage(Tokens(0, 2, 5))),)),
        ),
    ],
)
def test_usage(usage: dict[str, Any], expected: Usage | None) -> None:
    """
    Absent and null count as 0, but for the input.
    """
    assert expected == read(usage)


@pytest.mark.parametrize("written", [1000, 1000.0, "1000", "1000.0", "1000."])
def test_counter_in_any_spelling(written: float | str) -> None:
    """
    Some gateways write counters as decimals or as text.
    """
    split = {"ephemeral_1h_input_tokens": written}
    usage = {"input_tokens": written, "cache_creation_input_tokens": written, "cache_creation": split}

    assert read(usage | {"output_tokens": written}) == Usage(Tokens(1000, 0, 1000, 0, 1000))


BAD: list[Any] = [-1, 2**60, 1.5, -1.0, float("inf"), float("nan"), "", "many", " 1", "1e3", "-1", "1_0", "9" * 17, "٣"]


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize(
    "name", ["input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"]
)
def test_counter_that_cannot_be_read(name: str, bad: Any) -> None:
    """
    The whole object is unreadable: a bill without one of its counters would be too low.
    """
    usage = msgspec.convert({"input_tokens": 1, "output_tokens": 1, name: bad}, ReportedUsage)

    assert not is_readable(usage)
    with pytest.raises(UnreadableUsageError, match="in a form that is not known"):
        usage_from(usage)


@pytest.mark.parametrize(
    "more",
    [
        {"cache_creation": [1]},
        {"cache_creation": {"ephemeral_1h_input_tokens": True}},
        {"server_tool_use": 3},
        {"server_tool_use": {"web_search_requests": "some"}},
        {"iterations": "two"},
        {"iterations": [3]},
        {"iterations": [{"type": "compaction", "input_tokens": True}]},
        {"iterations": [{"type": "compaction", "input_tokens": "many"}]},
    ],
)
def test_part_that_cannot_be_read(more: dict[str, Any]) -> None:
    """
    The same for what is not a plain counter.
    """
    usage = msgspec.convert({"input_tokens": 1, "output_tokens": 1} | more, ReportedUsage)

    assert not is_readable(usage)
    with pytest.raises(UnreadableUsageError):
        usage_from(usage)
    assert answering_model(usage) is None


FABLE = {"type": "message", "model": "claude-fable-5", "input_tokens": 535, "output_tokens": 0}
OPUS = {"type": "fallback_message", "model": "claude-opus-4-8", "input_tokens": 412, "output_tokens": 264}
TOTALS = {"input_tokens": 412, "output_tokens": 264}


@pytest.mark.parametrize(
    ("iterations", "beside"),
    [
        ([FABLE, OPUS], [("claude-fable-5", 535, 0, "")]),
        ([{**FABLE, "output_tokens": 50}, OPUS], [("claude-fable-5", 535, 50, None)]),
        # The passes of one model are one attempt: it declined after output.
        (
            [{**FABLE, "output_tokens": 50}, FABLE, OPUS],
            [("claude-fable-5", 535, 50, None), ("claude-fable-5", 535, 0, None)],
        ),
        # Two models declined, the last one in mid-output.
        (
            [FABLE, {**FABLE, "model": "claude-opus-5", "output_tokens": 9}, OPUS],
            [("claude-fable-5", 535, 0, ""), ("claude-opus-5", 535, 9, None)],
        ),
        # Where all declined the last one's totals stand above, under whichever type.
        ([FABLE, {**OPUS, "type": "message", "output_tokens": 0}], [("claude-fable-5", 535, 0, "")]),
        # The conversation fell back earlier: no other model ran.
        ([OPUS], []),
        # An answer without fallback: its own passes are in the totals.
        ([{**FABLE, "model": None}, {**FABLE, "model": None}], []),
        ([{**FABLE, "model": "claude-opus-4-8"}, OPUS], []),
    ],
)
def test_attempts_of_other_models(
    iterations: list[dict[str, Any]], beside: list[tuple[str, int, int, str | None]]
) -> None:
    """
    Each stands beside the totals, marked if it declined before any output.
    """
    usage = read({**TOTALS, "iterations": iterations})

    assert usage is not None
    found = [(one.model, one.usage.tokens.input, one.usage.tokens.output, one.usage.declined) for one in usage.extra]
    assert found == beside
    assert usage.declined is None


def test_category_of_an_attempt() -> None:
    """
    The `fallback` block names the model that declined and why.
    """
    stop = Stop("end_turn", None, {"claude-fable-5": "bio"})
    usage = read({**TOTALS, "iterations": [FABLE, OPUS]}, stop)

    assert usage is not None
    assert [one.usage.declined for one in usage.extra] == ["bio"]


@pytest.mark.parametrize(
    ("stop", "output", "declined"),
    [
        (Stop("refusal", "cyber"), 0, "cyber"),
        (Stop("refusal"), 0, ""),
        (Stop("refusal", "cyber"), 2, None),
        (Stop("end_turn"), 0, None),
        (None, 0, None),
    ],
)
def test_refusal(stop: Stop | None, output: int, declined: str | None) -> None:
    """
    A refusal without output is marked with its category.
    """
    assert read({"input_tokens": 7, "output_tokens": output}, stop) == Usage(
        Tokens(7, output=output), declined=declined
    )


@pytest.mark.parametrize(
    ("iterations", "model"),
    [
        (None, None),
        ([], None),
        ([{"type": "message"}], None),
        ([FABLE, OPUS], "claude-opus-4-8"),
        ([OPUS, {"type": "compaction", "model": "claude-haiku-4-5"}], "claude-opus-4-8"),
    ],
)
def test_answering_model(iterations: Any, model: str | None) -> None:
    """
    That of the last sampling pass.
    """
    assert model == answering_model(msgspec.convert({**TOTALS, "iterations": iterations}, ReportedUsage))


LABELS: dict[str, Any] = {"service_tier": "standard", "inference_geo": "us", "speed": "fast"}


@pytest.mark.parametrize(
    "usage",
    [
        Usage(),
        Usage(Tokens(1, 2, 3, 4, 5), 6, **LABELS),
        Usage(
            Tokens(input=1),
            extra=(
                Extra("compaction", None, Usage(Tokens(7, 8, 9, 10, 11))),
                Extra("advisor_message", "m", Usage(Tokens(input=1))),
            ),
        ),
        Usage(Tokens(input=1), extra=(Extra("message", "the-first-asked", Usage(Tokens(2, output=1))),), **LABELS),
        Usage(Tokens(input=1), extra=(Extra("message", "the-first-asked", Usage(Tokens(input=2), declined="")),)),
        Usage(Tokens(6, 7_000, 0, 202_000), prefix_tokens=107_000),
        Usage(
            Tokens(6, 9, 0, 0, 7),
            extra=(Extra("message", "the-first-asked", Usage(Tokens(2, output=1))),),
            prefix_tokens=5,
        ),
    ],
)
def test_usage_report_reads_back(usage: Usage) -> None:
    """
    What is written in the API's names is what was read from them; labels beside the totals are those of the answer.
    """
    labels = {name: getattr(usage, name) for name in LABELS}
    beside = tuple(replace(one, usage=replace(one.usage, **labels)) for one in usage.extra)

    assert read(usage_report(usage, "the-one-that-answered")) == replace(usage, extra=beside)


def a_pass(read: int, written: int, kind: str = "message", **more: Any) -> dict[str, Any]:
    """
    One iteration with a cache.
    """
    return {"type": kind, "input_tokens": 3, "cache_read_input_tokens": read, **more} | (
        {"cache_creation_input_tokens": written} if written >= 0 else {}
    )


@pytest.mark.parametrize(
    ("iterations", "prefix"),
    [
        ([], None),
        ([a_pass(10, 20)], None),
        ([a_pass(10, 20), a_pass(30, 5)], 35),
        ([a_pass(10, 20), a_pass(9_999, 0, "advisor_message", model="m"), a_pass(30, 5)], 35),
        ([a_pass(1, 1, "compaction"), a_pass(30, 5)], None),
        ([a_pass(10, 20), {"type": "message"}], None),
        ([a_pass(10, 20), a_pass(9_000, 0)], None),
        ([a_pass(9, 9, model="a"), a_pass(10, 20, "fallback_message", model="b")], None),
        ([a_pass(9, 9, model="a"), a_pass(10, 20, model="b"), a_pass(30, 5, model="b")], 35),
    ],
)
def test_the_prefix_after_the_last_pass(iterations: list[dict[str, Any]], prefix: int | None) -> None:
    """
    The totals add up the passes of one answer, so they are longer than the prefix; one pass or an impossible one says
    nothing.
    """
    totals = {"input_tokens": 6, "cache_read_input_tokens": 40, "cache_creation_input_tokens": 25, "output_tokens": 1}
    usage = read({**totals, "iterations": iterations})

    assert usage is not None
    assert usage.prefix_tokens == prefix
