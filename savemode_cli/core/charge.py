"""
What a request is charged: held before it is sent, settled once it is over.

Rule of this file: a cap may be charged too much, never too little, and every charge says what it rests on.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, assert_never

from savemode_cli.core.budget import Limit
from savemode_cli.core.messages import Facts
from savemode_cli.core.price import Price
from savemode_cli.core.pricing import Usage, cost_nusd
from savemode_cli.core.tiers import MOST_NUSD

Outcome = Literal["ok", "refused", "upstream_error", "unreachable", "client_gone", "broken"]
"""
How a request ended. `refused`: we answered ourselves. `upstream_error`: the upstream answered 4xx or 5xx. `unreachable`:
it did not answer. `client_gone`: the client hung up first. `broken`: the upstream's answer ended early.
"""
Basis = Literal["reported", "estimated", "held", "none"]
"""What a charge rests on: the upstream's final count; its input and our output; the hold; nothing was billed."""


@dataclass(frozen=True, slots=True)
class Settlement:
    """
    What to charge for a request, and what that rests on.
    """

    nusd: int
    basis: Basis


def settlement(outcome: Outcome, cost_nusd: int | None, *, final: bool, held_nusd: int) -> Settlement:
    """
    What a request is charged, by how it ended.

    `cost_nusd` prices the usage seen so far, an estimated output included; None: no usage was seen, which is not the
    same as a reported 0. `final`: the upstream finished counting. Where usage cannot be trusted the hold stands, and
    more where more was already seen. What an upstream reports may be beyond `MOST_NUSD`; no charge is.
    """
    if cost_nusd is not None:
        cost_nusd = min(cost_nusd, MOST_NUSD)
    match outcome:
        case "refused":
            return Settlement(0, "none")
        case "unreachable" | "upstream_error" if cost_nusd is None:
            return Settlement(0, "none")
        case "ok" | "client_gone" | "unreachable" | "upstream_error":
            # An error after HTTP 200, in the midst of a stream, has usage: what was counted by then is billed.
            if cost_nusd is None:
                return Settlement(held_nusd, "held")
            return Settlement(cost_nusd, "reported" if final else "estimated")
        case "broken":
            return Settlement(max(held_nusd, cost_nusd or 0), "held")
        case _:  # pragma: no cover - for the type checker
            assert_never(outcome)


LARGEST_OUTPUT_TOKENS = 128_000
"""What a request that names no `max_tokens` might emit; the API asks for the field, and refuses such a request."""

_CHARACTERS_PER_TOKEN = 3.5  # of prompts, rather few than many: fewer characters a token make more tokens
_OPENING_OUTPUT_TOKENS = 4_000


def ceiling_nusd(known: Facts, body_bytes: int, price: Price) -> int:
    """
    The most a request can cost, in nano-USD: no token is shorter than a byte, none costs more than a 1-hour write.

    Not bounded by the body, and so not by this: what a server tool, a file or a URL adds to the prompt.
    """
    output = LARGEST_OUTPUT_TOKENS if known.max_tokens is None else max(0, known.max_tokens)
    speed = "fast" if known.fast else None
    return cost_nusd(
        Usage(cache_write_1h_tokens=body_bytes, output_tokens=output, speed=speed, inference_geo="us"), price
    )


def opening_nusd(known: Facts, body_bytes: int, price: Price) -> int:
    """
    What the first request of a session is likely to cost, in nano-USD: its whole prompt written, an answer of some pages.

    A guess, and only ever held: the bill replaces it.
    """
    prompt = math.ceil(body_bytes / _CHARACTERS_PER_TOKEN)
    output = (
        _OPENING_OUTPUT_TOKENS if known.max_tokens is None else min(max(0, known.max_tokens), _OPENING_OUTPUT_TOKENS)
    )
    speed = "fast" if known.fast else None
    return cost_nusd(Usage(cache_write_1h_tokens=prompt, output_tokens=output, speed=speed), price)


RECENT = 5
"""How many settled costs of a session say what the next one will be."""


def expected_nusd(
    recent_nusd: Sequence[int], ceiling_nusd: int, opening_nusd: int, *, body_bytes: int, new_bytes: int
) -> int:
    """
    What to hold for a request of a session, in nano-USD, rounded up, never more than the ceiling.

    The ceiling prices every byte as written to the cache, and `max_tokens` of output; an agent's step reads 96 % of its
    prompt from the cache at a tenth of the price or less and writes 250 tokens of 128,000, so holding the ceiling would
    hold 10 to 100 times the cost, and a few sub-agents would lock each other out of a budget that is hardly used.

    So: twice the median of the session's last five costs (at Opus 5.5 prices the 90th percentile of a step's output
    makes it cost 1.9 times the median step, and a cold start does not move a median), plus what is new in the body at
    the ceiling's rate. `new_bytes` is the growth since the session's last request. A session without a past, or whose
    body shrank to less than half (it was compacted, the cache is cold), is held at `opening_nusd`. A cache gone cold in
    between costs more than this; that is the crossing the default rule allows. Strict budgets: see `ask_nusd`.

    Source: TraceLab, arXiv 2606.30560 (126k prompt tokens, 857 new ones, 252 of output: medians of 140,338 steps).
    """
    recent = sorted(recent_nusd[-RECENT:])
    if not recent or body_bytes <= 0 or -new_bytes > body_bytes:
        return min(ceiling_nusd, opening_nusd)
    grown_nusd = -(-ceiling_nusd * min(max(new_bytes, 0), body_bytes) // body_bytes)
    return min(ceiling_nusd, 2 * recent[len(recent) // 2] + grown_nusd)


def ask_nusd(limits: Iterable[Limit], expected_nusd: int, ceiling_nusd: int) -> int:
    """
    What to hold: the ceiling if any limit is strict, for only a ceiling is never crossed; else what is expected.

    Never beyond `MOST_NUSD`, which no ledger could keep: `max_tokens` may be any number.
    """
    strict = any(limit.capped and limit.budget.strict for limit in limits)
    return min(ceiling_nusd if strict else expected_nusd, MOST_NUSD)


_EMITTED_CHARACTERS_PER_TOKEN = 4


def estimated(usage: Usage, emitted_chars: int) -> Usage:
    """
    The usage of an answer that was cut short: its input as reported, its output from the text that came through.

    Source: the vendor's own gateway bills about 4 characters a token (llm-gateway documentation, checked 2026-08-22).
    """
    tokens = -(-emitted_chars // _EMITTED_CHARACTERS_PER_TOKEN)
    return replace(usage, output_tokens=max(usage.output_tokens, tokens))
