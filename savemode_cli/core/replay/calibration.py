"""
The lengths of prefixes, as the bills of earlier requests show them.

Rule of this file: a bill gives exact lengths. An estimate only divides what no bill has divided yet. No tokenizer of
these models is public, so the tokens of a block are an estimate, but what a request read and wrote is billed exactly.

The cached prefix of a request ends at its last breakpoint, so its length is the sum of what was read and written. If
the request read up to a breakpoint of an earlier request, that prefix is as long as what was read. Both lengths are
kept by the digest of the prefix, for later requests of every lane that begins in the same way.
"""

from dataclasses import replace

from savemode_cli.core.cache.model import Lookup
from savemode_cli.core.cache.prompt import Prompt
from savemode_cli.core.replay.policies import Used
from savemode_cli.core.wire.usage import Usage

MOST_PREFIXES = 200_000


def as_long_as_billed(prompt: Prompt, usage: Usage | None) -> Prompt:
    """
    A prompt whose estimated lengths are scaled so that the whole prompt is as long as billed.

    Args:
        prompt: the prompt.
        usage: its bill; None leaves the prompt unchanged.
    """
    if usage is None or not usage.tokens.prompt or not prompt.total_tokens or usage.prefix_tokens is not None:
        return prompt
    billed, estimate = usage.tokens.prompt, prompt.total_tokens
    lengths = tuple(tokens * billed // estimate for tokens in prompt.prefix_tokens)
    return replace(prompt, prefix_tokens=lengths, total_tokens=billed)


class PrefixLengths:
    """
    The billed lengths of prefixes, by their digests.
    """

    def __init__(self) -> None:
        self._tokens: dict[bytes, int] = {}

    def tokens(self, prompt: Prompt, blocks: int, cached_tokens: int) -> int:
        """
        The length of a prefix of a prompt that was billed.

        Known lengths of shorter and longer prefixes bound it. Between them the estimate divides.

        Args:
            prompt: the prompt.
            blocks: how many of its first blocks are in the prefix.
            cached_tokens: what was read and written of the whole prompt.
        """
        end = _cached_blocks(prompt)
        blocks = min(blocks, end)
        if not blocks:
            return 0
        low, low_tokens = 0, 0
        for block in range(blocks, 0, -1):
            known = self._tokens.get(prompt.chain[block - 1])
            if known is not None:
                low, low_tokens = block, min(known, cached_tokens)
                break
        high, high_tokens = end, cached_tokens
        for block in range(blocks, end):
            known = self._tokens.get(prompt.chain[block - 1])
            if known is not None and block > low:
                high, high_tokens = block, max(min(known, cached_tokens), low_tokens)
                break
        span = prompt.tokens_before(high) - prompt.tokens_before(low)
        if not span:
            return low_tokens
        part = prompt.tokens_before(blocks) - prompt.tokens_before(low)
        return low_tokens + (high_tokens - low_tokens) * part // span

    def learn(self, prompt: Prompt, lookup: Lookup, usage: Usage) -> None:
        """
        Keep what a bill shows.

        Args:
            prompt: the prompt that was billed.
            lookup: what the model of the cache found for it. Its reads are identified with the billed ones unless the
                bill contradicts them.
            usage: the bill.
        """
        end = _cached_blocks(prompt)
        if not end or usage.prefix_tokens is not None:
            return
        if len(self._tokens) > MOST_PREFIXES:
            self._tokens.clear()
        cached = usage.cached_tokens
        self._tokens[prompt.chain[end - 1]] = cached
        read = lookup.read_blocks
        if 0 < read < end and usage.tokens.read and _agrees(prompt, read, end, usage):
            self._tokens[prompt.chain[read - 1]] = usage.tokens.read


def _cached_blocks(prompt: Prompt) -> int:
    return prompt.marks[-1].block + 1 if prompt.marks else 0


def _agrees(prompt: Prompt, read: int, end: int, usage: Usage) -> bool:
    """
    Whether the billed read is about as long as the prefix that the model reads: within a third.
    """
    estimate = prompt.tokens_before(read) * usage.cached_tokens
    billed = usage.tokens.read * prompt.tokens_before(end)
    return abs(estimate - billed) * 3 <= max(estimate, billed)


def billed_split(prompt: Prompt, lookup: Lookup, usage: Usage, lengths: PrefixLengths) -> Used:
    """
    What a look-up reads and writes, in tokens as they were billed.

    Args:
        prompt: the prompt under some policy.
        lookup: what the model of the cache found for it.
        usage: the bill of the same request.
        lengths: the lengths that earlier bills have shown.
    """
    cached = usage.tokens.prompt - usage.tokens.input
    if not cached or not prompt.marks:
        return 0, 0, 0
    read = lengths.tokens(prompt, lookup.read_blocks, cached)
    written = cached - read
    hours = max((mark.block + 1 for mark in prompt.marks if mark.lifetime == "1h"), default=0)
    if hours >= _cached_blocks(prompt):
        return 0, written, read
    hour = max(lengths.tokens(prompt, hours, cached) - read, 0)
    return written - hour, hour, read
