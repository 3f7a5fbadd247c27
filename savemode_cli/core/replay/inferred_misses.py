"""
Verdicts from usage and times alone, for records without request bodies.

Rule of this file: it names only causes that usage and times show. They do not show that a prefix changed; the cause is
then unknown.
"""

from collections.abc import Iterator
from dataclasses import replace

from savemode_cli.core.diagnosis.causes import Cause, Miss, Verdict, is_miss
from savemode_cli.core.diagnosis.price import priced
from savemode_cli.core.diagnosis.report import Diagnosed
from savemode_cli.core.replay.inference import LaneRequest, lane_requests
from savemode_cli.core.replay.rates import RequestRates
from savemode_cli.core.replay.recording import Recorded, Session, Wanted
from savemode_cli.core.wire.usage import Usage

POSSIBLE: tuple[Cause, ...] = ("expired", "model_changed", "compacted", "unknown")
"""The causes that such a record can show."""

_SAME_NUMERATOR, _SAME_DENOMINATOR = 9, 10
"""A prompt for another model that is at least nine tenths as long belongs to the same conversation."""


def inferred_misses(session: Session, rates: RequestRates, wanted: Wanted) -> Iterator[Diagnosed]:
    """
    The requests of a recorded session, each with its verdict.

    Args:
        session: the session.
        rates: what tokens cost.
        wanted: which requests count. The others only show the state of the cache.
    """
    last: dict[str, Recorded] = {}
    for one in lane_requests(session.requests):
        request = one.request
        previous = last.get(request.agent)
        if request.usage.cached_tokens:
            last[request.agent] = request
        if not wanted.takes(request):
            continue
        verdict = _verdict(one, previous)
        if verdict.misses:
            verdict = priced(verdict, request.usage.tokens, rates(request))
        yield Diagnosed(
            f"{request.started_at:%Y-%m-%dT%H:%M:%S}",
            request.session,
            request.model,
            request.started_at,
            verdict,
            rates.whole_nusd(request) or 0,
            is_inferred=True,
        )


def _verdict(one: LaneRequest, previous: Recorded | None) -> Verdict:
    usage, model = one.request.usage, one.request.model
    read = usage.first_read_tokens
    expected, cause = one.reach_tokens, _cause(one)
    changed = previous is not None and previous.model != model
    if previous is not None and changed and (moved := _moved_tokens(usage, previous)) > max(read, expected):
        expected, cause = moved, Miss("model_changed", 0, ("model",), before=previous.model, after=model)
        cause = replace(cause, parameter="model")
    missed = max(expected - read, 0)
    if not is_miss(missed, expected):
        return Verdict(max(expected, read), read)
    return Verdict(expected, read, (replace(cause, tokens=missed),))


def _moved_tokens(usage: Usage, previous: Recorded) -> int:
    """
    What could have been read of a conversation that another model answered before; 0 if it is a different conversation.
    """
    left = previous.usage.cached_tokens
    if usage.tokens.prompt * _SAME_DENOMINATOR < left * _SAME_NUMERATOR:
        return 0
    return min(left, usage.tokens.cached)


def _cause(one: LaneRequest) -> Miss:
    if one.shrunk:
        return Miss("compacted", 0)
    if one.idle is None or one.survives(one.left_ttl):
        return Miss("unknown", 0)
    return Miss("expired", 0, idle=one.idle, ttl=one.left_ttl, asked_ttl=one.left_ttl)
