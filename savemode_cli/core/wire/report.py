"""
Reads the `usage` object of the Messages API.

Rule of this file: the names of its fields are written here. A counter that is missing or null counts as 0. A counter
that cannot be read makes the whole object unreadable, because a bill without it would be too low. Nothing is guessed.
Source: https://platform.claude.com/docs/en/api/messages and .../build-with-claude/refusals-and-fallback, and the types
of the official SDK, version 2.14.0 (checked 2026-11-30).
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Struct, field

from savemode_cli.core.wire.usage import Extra, Tokens, Usage

_MOST_TOKENS = 2**53
_NUMBER = re.compile(r"([0-9]{1,16})(?:\.0*)?")

_Count = int | float | str | None
"""The types of a counter: `1000`; some gateways send `1000.0` or `"1000"`."""


class _Counters(Struct, gc=False):
    input_tokens: _Count = None
    output_tokens: _Count = None
    cache_creation_input_tokens: _Count = None
    cache_read_input_tokens: _Count = None
    cache_creation: Any = None


class _Iteration(_Counters, gc=False):
    type: Any = None
    model: Any = None


class ReportedUsage(_Counters, gc=False):
    """
    A `usage` object as an answer contains it, for use as a field of a larger type.
    """

    server_tool_use: Any = None
    iterations: Any = None
    service_tier: Any = None
    inference_geo: Any = None
    speed: Any = None


class Stop(Struct, frozen=True, gc=False):
    """
    Why an answer stopped, as far as its bill depends on it.
    """

    reason: str | None = None
    """The answer's `stop_reason`; None if it is unknown."""
    category: str | None = None
    """The policy category of a refusal, from `stop_details`; None if none is named."""
    declined: Mapping[str, str | None] = field(default_factory=dict)
    """The models that handed over to a fallback, from the `fallback` blocks, each with the category of its refusal."""


_NO_STOP = Stop()


def stop_of(reason: object, details: object, declined: Mapping[str, str | None] | None = None) -> Stop:
    """
    Make a `Stop` from an answer's `stop_reason` and `stop_details`, whatever their types are.
    """
    return Stop(text_or_none(reason), category_of(details), declined or {})


def category_of(refusal: object) -> str | None:
    """
    The policy category that an object about a refusal names.
    """
    return text_or_none(refusal.get("category")) if isinstance(refusal, dict) else None


class UnreadableUsageError(ValueError):
    """
    A part of a `usage` object cannot be read.
    """

    def __init__(self) -> None:
        """
        Create the error. It does not contain the value, which is somebody else's data.
        """
        super().__init__("usage in a form that is not known")


def usage_from(report: ReportedUsage, stop: Stop | None = None) -> Usage | None:
    """
    Read a `usage` object.

    Args:
        report: the object.
        stop: why the answer stopped. Without it, a refusal counts as an answer.

    Returns:
        The usage; None if the object does not report input tokens.

    Raises:
        UnreadableUsageError: a counter cannot be read.
    """
    return None if report.input_tokens is None else _usage(report, stop or _NO_STOP)


def is_readable(report: ReportedUsage) -> bool:
    """
    Whether each counter in a `usage` object can be read. Any counter may be missing.
    """
    try:
        _usage(report, Stop())
    except UnreadableUsageError:
        return False
    return True


def answering_model(report: ReportedUsage) -> str | None:
    """
    The model of the last sampling pass, which answered; None if `iterations` does not name it.
    """
    try:
        return _answering_model(_iterations(report))
    except UnreadableUsageError:
        return None


def usage_report(usage: Usage, model: str | None = None) -> dict[str, Any]:
    """
    Write a usage as the API reports it.

    Args:
        usage: the usage.
        model: the model that answered. If the usage includes attempts of other models, its own pass is named.

    Returns:
        An object that `usage_from` reads back.
    """
    report: dict[str, Any] = _counters_report(usage.tokens)
    if usage.web_searches:
        report["server_tool_use"] = {"web_search_requests": usage.web_searches}
    labels = {"service_tier": usage.service_tier, "inference_geo": usage.inference_geo, "speed": usage.speed}
    report |= {name: value for name, value in labels.items() if value is not None}
    beside = [{"type": one.kind, "model": one.model, **_counters_report(one.usage.tokens)} for one in usage.extra]
    own = "fallback_message" if any(one.kind == "message" for one in usage.extra) else "message"
    first = {"type": own, "model": model, **_counters_report(usage.tokens)}
    if usage.prefix_tokens is not None:
        beside += [first, {"type": own, "model": model, "cache_read_input_tokens": usage.prefix_tokens}]
    elif own == "fallback_message":
        beside.append(first)
    return report | ({"iterations": beside} if beside else {})


def _counters_report(tokens: Tokens) -> dict[str, Any]:
    return {
        "input_tokens": tokens.input,
        "cache_creation_input_tokens": tokens.written,
        "cache_read_input_tokens": tokens.read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": tokens.write_5m,
            "ephemeral_1h_input_tokens": tokens.write_1h,
        },
        "output_tokens": tokens.output,
    }


def _usage(report: ReportedUsage, stop: Stop) -> Usage:
    """
    Read the counters. What is billed in addition to the totals has no labels of its own, and gets those of the answer.
    """
    labels = (text_or_none(report.service_tier), text_or_none(report.inference_geo), text_or_none(report.speed))
    tokens = _tokens(report)
    if report.iterations is None and stop.reason != "refusal":
        return Usage(tokens, _web_searches(report.server_tool_use), *labels)
    iterations = _iterations(report)
    extra = tuple(
        Extra(kind, model, Usage(_tokens(one), 0, *labels, declined=declined))
        for kind, model, one, declined in _beside(iterations, stop)
    )
    refused = stop.reason == "refusal" and not tokens.output
    prefix = _last_prefix(iterations)
    return Usage(
        tokens,
        _web_searches(report.server_tool_use),
        *labels,
        extra,
        declined=(stop.category or "") if refused else None,
        prefix_tokens=prefix if prefix is not None and prefix <= tokens.cached else None,
    )


def _last_prefix(iterations: list[_Iteration]) -> int | None:
    """
    The cached tokens of the last sampling pass of the answering model; None if there was one pass, or if passes are not
    reported.

    The totals add up all passes, but each pass reads what the previous one wrote.
    """
    answering = _answering_model(iterations)
    passes = [one for one in iterations if _is_pass(one) and text_or_none(one.model) in (None, answering)]
    if len(passes) < 2 or (passes[-1].cache_read_input_tokens is passes[-1].cache_creation_input_tokens is None):
        return None
    return _tokens(passes[-1]).cached


def _tokens(counters: _Counters) -> Tokens:
    """
    Read the counters. Tokens that were written, and not for an hour, were written for 5 minutes.

    Old answers do not split the written tokens. The split is only in `message_start`, and the API may add 5-minute
    writes until the end, so the split may be less than the total.
    """
    split = _object(counters.cache_creation)
    five, hour = _count(split.get("ephemeral_5m_input_tokens")), _count(split.get("ephemeral_1h_input_tokens"))
    written = five + hour
    if counters.cache_creation_input_tokens is not None:
        written = _count(counters.cache_creation_input_tokens)
    hour = min(hour, written)
    read, output = _count(counters.cache_read_input_tokens), _count(counters.output_tokens)
    return Tokens(_count(counters.input_tokens), written - hour, hour, read, output)


def _beside(iterations: list[_Iteration], stop: Stop) -> Iterator[tuple[str, str | None, _Iteration, str | None]]:
    """
    The iterations that the totals leave out: kind, model (None is the answer's own), tokens, and the category under
    which the model declined before any output (see `Usage.declined`).

    The totals cover the answering model's own iterations. Compactions and advisors are billed in addition, and so are
    the attempts of other models before a fallback answered. All iterations of one model are one attempt: it declined
    before any output if none of them produced output.
    Source: https://platform.claude.com/docs/en/agents-and-tools/tool-use/advisor-tool (usage and billing) and the SDK's
    BetaUsage and BetaFallbackMessageIterationUsage (checked 2026-11-30).
    """
    answering = _answering_model(iterations)
    for one in iterations:
        other = text_or_none(one.model)
        if one.type in ("compaction", "advisor_message"):
            yield one.type, other, one, None
        elif _is_pass(one) and answering is not None and other not in (None, answering):
            silent = not any(_count(each.output_tokens) for each in iterations if each.model == other)
            yield "message", other, one, (stop.declined.get(str(other)) or "") if silent else None


def _is_pass(one: _Iteration) -> bool:
    return one.type in ("message", "fallback_message")


def _answering_model(iterations: list[_Iteration]) -> str | None:
    named = [model for one in iterations if _is_pass(one) and (model := text_or_none(one.model)) is not None]
    return named[-1] if named else None


def _iterations(report: ReportedUsage) -> list[_Iteration]:
    if report.iterations is None:
        return []
    if not isinstance(report.iterations, list):
        raise UnreadableUsageError
    try:
        return [msgspec.convert(one, _Iteration) for one in report.iterations if one is not None]
    except msgspec.ValidationError as error:
        raise UnreadableUsageError from error


def _web_searches(server_tools: object) -> int:
    return 0 if server_tools is None else _count(_object(server_tools).get("web_search_requests"))


def _object(value: object) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise UnreadableUsageError
    return value


def _count(value: Any) -> int:
    """
    A counter as an integer.
    """
    if value is None:
        return 0
    if type(value) is int and 0 <= value <= _MOST_TOKENS:
        return value
    written = _NUMBER.fullmatch(value) if isinstance(value, str) else None
    if written is not None:
        value = int(written[1])
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST_TOKENS:
        raise UnreadableUsageError
    return value


def error_type(value: object) -> str:
    """
    The type of an error if it is a word; otherwise `error`, because other text may repeat a credential.
    """
    return value if isinstance(value, str) and _WORD.fullmatch(value) else "error"


_WORD = re.compile(r"[a-z_]{1,64}")


def text_or_none(value: object) -> str | None:
    """
    The value if it is a string.
    """
    return value if isinstance(value, str) else None
