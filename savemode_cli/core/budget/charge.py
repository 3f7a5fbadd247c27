"""
What a request is charged: an amount is held before it is sent, and settled when it is over.

Rule of this file: a budget may be charged too much, never too little, and every charge names its basis.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from savemode_cli.core.budget.budget import Limit
from savemode_cli.core.money.amounts import MOST_NUSD
from savemode_cli.core.money.pricing import cost_nusd
from savemode_cli.core.money.rates import Price
from savemode_cli.core.wire.additions import Fallback
from savemode_cli.core.wire.answer import Outcome
from savemode_cli.core.wire.facts import Facts
from savemode_cli.core.wire.usage import Tokens, Usage

Basis = Literal["reported", "estimated", "held", "none"]
"""
The basis of a charge. `reported`: the upstream's final count. `estimated`: its count of the input and an estimate of
the output. `held`: the amount that was held. `none`: nothing was billed.
"""


@dataclass(frozen=True, slots=True)
class Settlement:
    """
    What a request is charged, and on which basis. `note` explains it in words where the basis is not enough.
    """

    nusd: int
    basis: Basis
    note: str = field(default="", compare=False)


class Ending(Struct, frozen=True, gc=False):
    """
    How a request ended, as far as its charge depends on it.
    """

    outcome: Outcome
    sent: bool = True
    """Whether the upstream may have received it: there was a connection to write it to."""
    readable: bool = True
    """Whether everything that the answer reports about its usage could be read."""
    silent: bool = False
    """Whether a complete answer with status 2xx contained nothing that a model generated."""

    @property
    def reached(self) -> bool:
        """
        Whether a model may have received the request.
        """
        return self.sent and self.outcome not in ("refused", "upstream_error")


def settlement(
    ending: Ending, cost_nusd: int | None, *, final: bool, held_nusd: int, billed: bool = True
) -> Settlement:
    """
    Decide what a request is charged.

    A request that reached the upstream is not free. If its bill is unknown, the hold is charged, or more if more was
    reported already. An error of the upstream is free, unless it came in the middle of an answer that had reported
    usage.

    Args:
        ending: how the request ended.
        cost_nusd: the price of the usage that was reported so far, with an estimated output. None means that no usage
            was reported, which differs from a reported 0. It may exceed `MOST_NUSD`; the charge does not.
        final: whether the upstream finished counting.
        held_nusd: what is held for the request.
        billed: whether the API bills this usage at all.
    """
    if ending.outcome == "refused":
        return Settlement(0, "none")
    if not ending.sent:
        return Settlement(0, "none", "nothing was sent")
    cost_nusd = None if cost_nusd is None else min(cost_nusd, MOST_NUSD)
    if not ending.readable:
        return Settlement(max(held_nusd, cost_nusd or 0), "held", "the answer's usage cannot be read")
    if cost_nusd is None:
        return _unreported(ending, held_nusd)
    if not billed:
        return Settlement(0, "none", "the API does not bill a refusal before any output")
    note = "" if final else "the answer ended before its usage was final"
    return Settlement(cost_nusd, "reported" if final else "estimated", note)


def _unreported(ending: Ending, held_nusd: int) -> Settlement:
    if ending.outcome == "upstream_error":
        return Settlement(0, "none")
    if ending.silent:
        return Settlement(0, "none", "the answer is empty: nothing was generated")
    return Settlement(held_nusd, "held", "it was sent, and no answer reported its usage")


LARGEST_OUTPUT_TOKENS = 128_000
"""The most output of a request that names no `max_tokens`. The API requires the field and refuses such a request."""

_CHARACTERS_PER_TOKEN = 3.5  # of prompts, rather few than many: fewer characters a token make more tokens
_OPENING_OUTPUT_TOKENS = 4_000


class PromptSize(Struct, frozen=True, gc=False):
    """
    How long a prompt can be, and how long it is likely to be, in tokens.
    """

    most_tokens: int
    likely_tokens: int


def prompt_size(known: Facts, body_bytes: int, held_tokens: int | None, context_tokens: int) -> PromptSize:
    """
    Bound the length of a prompt.

    No token is shorter than a byte, so the body bounds the text in it. What the body refers to is added: the size that
    the API is known to hold, or else the whole context of the model. A document of unknown size, and a body that cannot
    be read, may fill the context too, although that is unlikely.

    Args:
        known: the facts of the body.
        body_bytes: its length.
        held_tokens: the tokens that the API holds for the IDs in it; None if unknown.
        context_tokens: the size of the model's context window.
    """
    added = known.added
    own_tokens = body_bytes + added.tokens
    likely_tokens = math.ceil(body_bytes / _CHARACTERS_PER_TOKEN)
    is_unbounded = held_tokens is None or added.documents or added.unread or bool(known.problem)
    most_tokens = max(own_tokens, context_tokens)
    if not is_unbounded:
        most_tokens = min(most_tokens, own_tokens + (held_tokens or 0))
    likely_tokens += context_tokens if held_tokens is None else held_tokens
    return PromptSize(most_tokens, min(most_tokens, likely_tokens))


def ceiling_nusd(
    known: Facts, prompt_tokens: int, price: Price, fallbacks: Sequence[tuple[Fallback, Price]] = ()
) -> int:
    """
    The most that a request can cost, in nano-USD. No token of a prompt costs more than a 1-hour write.

    Two costs are not bounded by this: what server tools read while the model answers, and further answers that they
    cause.

    Args:
        known: the facts of the body.
        prompt_tokens: the most tokens that its prompt can have.
        price: the price of the requested model.
        fallbacks: the attempts that follow if the model declines, each with the price of its model. Each may be billed,
            and continues the output of the one before it.
    """
    output_tokens = LARGEST_OUTPUT_TOKENS if known.max_tokens is None else max(0, known.max_tokens)
    passes = 2 if known.added.compacts else 1
    nusd = passes * _attempt_nusd(prompt_tokens, output_tokens, price, fast=known.fast)
    for fallback, other in fallbacks:
        prompt_tokens += output_tokens
        output_tokens = output_tokens if fallback.max_tokens is None else max(0, fallback.max_tokens)
        nusd += _attempt_nusd(prompt_tokens, output_tokens, other, fast=known.fast or fallback.fast)
    return nusd


def _attempt_nusd(prompt_tokens: int, output_tokens: int, price: Price, *, fast: bool) -> int:
    speed = "fast" if fast else None
    tokens = Tokens(write_1h=prompt_tokens, output=output_tokens)
    usage = Usage(tokens, speed=speed, inference_geo="us")
    return cost_nusd(usage, price)


def opening_nusd(known: Facts, prompt_tokens: int, price: Price) -> int:
    """
    What the first request of a session is likely to cost, in nano-USD: its whole prompt is written to the cache, and
    the answer has a few pages.

    This is an estimate that is only held. The bill replaces it.

    Args:
        known: the facts of the body.
        prompt_tokens: the tokens that its prompt is likely to have.
        price: the price of the model.
    """
    output = (
        _OPENING_OUTPUT_TOKENS if known.max_tokens is None else min(max(0, known.max_tokens), _OPENING_OUTPUT_TOKENS)
    )
    speed = "fast" if known.fast else None
    return cost_nusd(Usage(Tokens(write_1h=prompt_tokens, output=output), speed=speed), price)


RECENT = 5
"""How many recent costs of a session predict the next one."""


def expected_nusd(
    recent_nusd: Sequence[int], ceiling_nusd: int, opening_nusd: int, *, prompt_tokens: int, new_tokens: int
) -> int:
    """
    What to hold for a request of a session, in nano-USD, rounded up. It is never more than the ceiling.

    The ceiling prices every token as a cache write, and `max_tokens` of output. An agent's step reads 96 % of its
    prompt from the cache at a tenth of the price or less, and writes 250 of 128,000 possible tokens. Holding the
    ceiling would hold 10 to 100 times the cost, and a few sub-agents would block each other in a budget that is hardly
    used.

    So the hold is twice the median of the session's last five costs, plus the new part of the prompt at the ceiling's
    rate. (At Opus 5.5 prices, a step at the 90th percentile of output costs 1.9 times the median step, and a cold start
    does not move a median.) For a session without a past, or with a prompt that shrank to less than half (it was
    compacted, and the cache is cold), the hold is `opening_nusd`. If the cache went cold in between, the request costs
    more than this; the default rule accepts that it crosses the limit. For strict budgets see `ask_nusd`.

    Args:
        recent_nusd: what the last requests of the session cost.
        ceiling_nusd: the most that it can cost.
        opening_nusd: what it would be likely to cost as the first request of its session.
        prompt_tokens: the most tokens that its prompt can have.
        new_tokens: by how many tokens the prompt grew since the session's last request.

    Source: TraceLab, arXiv 2606.30560 (126k prompt tokens, 857 new ones, 252 of output: medians of 140,338 steps).
    """
    recent = sorted(recent_nusd[-RECENT:])
    if not recent or prompt_tokens <= 0 or -new_tokens > prompt_tokens:
        return min(ceiling_nusd, opening_nusd)
    grown_nusd = -(-ceiling_nusd * min(max(new_tokens, 0), prompt_tokens) // prompt_tokens)
    return min(ceiling_nusd, 2 * recent[len(recent) // 2] + grown_nusd)


def ask_nusd(limits: Iterable[Limit], expected_nusd: int, ceiling_nusd: int) -> int:
    """
    What to hold: the ceiling if any limit is strict, because only the ceiling is never crossed; otherwise the expected
    cost.

    It is never more than `MOST_NUSD`, because `max_tokens` may be any number and a ledger could not store more.
    """
    strict = any(limit.capped and limit.budget.strict for limit in limits)
    return min(ceiling_nusd if strict else expected_nusd, MOST_NUSD)


_EMITTED_CHARACTERS_PER_TOKEN = 4


def estimated(usage: Usage, emitted_chars: int) -> Usage:
    """
    The usage of an answer that was cut off: its input as reported, and its output estimated from the text that arrived.

    Source: the vendor's own gateway bills about 4 characters per token (llm-gateway documentation, checked 2026-08-22).
    """
    tokens = -(-emitted_chars // _EMITTED_CHARACTERS_PER_TOKEN)
    missing = max(tokens - usage.tokens.output, 0)
    return replace(usage, tokens=usage.tokens + Tokens(output=missing))
