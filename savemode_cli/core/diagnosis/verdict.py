"""
Why a request did not read what it could have read: it is compared with the earlier requests of its conversation.

Rule of this file: everything that a verdict names was observed in two prompts, their times and their bills. The verdict is
`unknown` if the earlier request was not seen. Token counts come from the bill where a bill counts the same prefix. Others
are estimates, scaled so that the whole prompt is as long as billed.

What was missed has up to two parts. If all entries of earlier requests still existed, the request would have read up to its
reach.

    expected   what an intact prefix would have read
      |          a change, a parameter, a missing or distant breakpoint, a prompt that is too short, a compacted history
    reach      the furthest entry at which one of its breakpoints looks
      |          expired, written at the same moment, another workspace, not kept
    read       what was billed as read

`base` compares prompts, and `lost` examines entries.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from savemode_cli.core.cache.model import blocks_in_reach, minimum_tokens
from savemode_cli.core.cache.prompt import Prompt
from savemode_cli.core.diagnosis.base import Base, best_base, follows
from savemode_cli.core.diagnosis.causes import Miss, Verdict, is_miss
from savemode_cli.core.diagnosis.fingerprint import DIGEST_BYTES
from savemode_cli.core.diagnosis.hidden import hidden
from savemode_cli.core.diagnosis.lanes import SentPrompt
from savemode_cli.core.diagnosis.lost import Holder, lost
from savemode_cli.core.diagnosis.scale import Scale

_SEEN_NUMERATOR, _SEEN_DENOMINATOR = 4, 5
"""If an estimate says that four fifths of the earlier request were read, the estimate counts as exact enough."""


def diagnose(sent: SentPrompt, prompt: Prompt, earlier: Sequence[SentPrompt]) -> Verdict | None:
    """
    Judge a request; None if its bill is unknown.

    Args:
        sent: the request, with its bill.
        prompt: its prompt.
        earlier: the requests of the same session and agent that were not sent later, in their order. See
            `Lanes.before`.
    """
    usage = sent.usage
    if usage is None:
        return None
    if (whole := all_read(sent)) is not None:
        return whole
    read, scale = usage.first_read_tokens, Scale.of(sent)
    base = best_base(sent, earlier, scale)
    asked = scale.tokens(sent.fingerprint.asked_tokens)
    if read * _SEEN_DENOMINATOR < asked * _SEEN_NUMERATOR and not _was_seen(sent, earlier, base):
        return _unknown(read, max(asked, 0 if base is None else base.expected_tokens))
    reach = _reach(sent, prompt, earlier, scale)
    expected = max(read, reach.tokens, 0 if base is None else base.expected_tokens)
    if not is_miss(expected - read, expected):
        return Verdict(expected, read, base="" if base is None else base.sent.id)
    return _verdict(sent, prompt, expected, read, reach, base)


def all_read(sent: SentPrompt) -> Verdict | None:
    """
    The verdict on a request that read almost all of its own prompt, for which nothing else need be known: no request can read
    more. None for any other request.

    Args:
        sent: the request, with its bill.
    """
    if sent.usage is None:
        return None
    read, total = sent.usage.first_read_tokens, Scale.of(sent).total
    return None if is_miss(total - read, total) else Verdict(read, read)


def _was_seen(sent: SentPrompt, earlier: Sequence[SentPrompt], base: Base | None) -> bool:
    """
    Whether an earlier request of the same conversation was observed.
    """
    return (base is not None and base.continues) or any(follows(sent, other) for other in earlier)


def _unknown(read: int, expected: int) -> Verdict:
    missed = expected - read
    if not is_miss(missed, expected):
        return Verdict(max(expected, read), read)
    return Verdict(expected, read, (Miss("unknown", missed),))


@dataclass(frozen=True, slots=True)
class _Reach:
    """
    The furthest entry at which a breakpoint of the request looks.
    """

    tokens: int
    holders: tuple[Holder, ...] = ()
    """The requests that left it."""


def _holders(prompt: Prompt, earlier: Sequence[SentPrompt]) -> dict[bytes, list[Holder]]:
    """
    What earlier requests left in the cache of the prefixes of a prompt, by digest.
    """
    entries: dict[bytes, list[Holder]] = {}
    prefixes = {digest[:DIGEST_BYTES] for digest in prompt.chain}
    for other in earlier:
        for holder in Holder.of(other, prefixes):
            entries.setdefault(holder.entry.digest, []).append(holder)
    return entries


def _reach(sent: SentPrompt, prompt: Prompt, earlier: Sequence[SentPrompt], scale: Scale) -> _Reach:
    entries = _holders(prompt, earlier)
    least = minimum_tokens(prompt.model)
    furthest = -1
    for mark in prompt.marks:
        if scale.tokens(prompt.prefix_tokens[mark.block]) < least:
            continue
        for block in blocks_in_reach(prompt, mark.block):
            if block <= furthest:
                break
            if prompt.chain[block][:DIGEST_BYTES] in entries:
                furthest = block
                break
    if furthest < 0:
        return _Reach(0)
    holders = entries[prompt.chain[furthest][:DIGEST_BYTES]]
    exact = max((holder.tokens for holder in holders if holder.tokens is not None), default=None)
    if exact is not None:
        return _Reach(min(exact, scale.total), tuple(holders))
    estimated = scale.tokens(prompt.prefix_tokens[furthest])
    read = 0 if sent.usage is None else sent.usage.first_read_tokens
    # An estimate of an inner entry may be far off: half of it read is taken as all of it read.
    return _Reach(read if read * 2 >= estimated else estimated, tuple(holders))


def _verdict(sent: SentPrompt, prompt: Prompt, expected: int, read: int, reach: _Reach, base: Base | None) -> Verdict:
    within = min(max(reach.tokens, read), expected)
    misses: list[Miss] = []
    if base is not None and base.cleared:
        within = read
    if expected > within and base is not None:
        misses.append(hidden(sent, prompt, base, expected - within))
    if within > read:
        misses.append(lost(sent, reach.holders, within - read))
    misses = _without_scraps(misses, expected)
    misses.sort(key=lambda miss: -miss.tokens)
    return Verdict(expected, read, tuple(misses), "" if base is None else base.sent.id)


def _without_scraps(misses: Sequence[Miss], expected: int) -> list[Miss]:
    """
    The misses that are large enough to count. The tokens of the smaller ones are added to the largest.
    """
    counted = [miss for miss in misses if is_miss(miss.tokens, expected)] or [max(misses, key=lambda miss: miss.tokens)]
    if len(counted) == len(misses):
        return counted
    rest = sum(miss.tokens for miss in misses) - sum(miss.tokens for miss in counted)
    return [replace(counted[0], tokens=counted[0].tokens + rest), *counted[1:]]
