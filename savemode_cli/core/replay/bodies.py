"""
Recorded bodies: what the upgrader makes of each, and what they cost under other policies by the model of the cache.

Rule of this file: a body is judged as `serve` judges it with the gate open. If its bill was recorded, `recorded` is that
bill, and every other policy is the bill plus what changes in the model when the breakpoints' lifetimes change.

Lengths of prefixes are taken from bills where bills show them (see `calibration`). If everything that was written was
billed for one TTL, the breakpoints are taken to have had it, whatever the recorded body says: it may have been recorded
before another proxy that upgraded them.

Outcomes of a request with a bill; its reach is the longest prefix that any earlier request had a breakpoint on, however
long ago: full, at least nine tenths of it were read; cold, at most one tenth; partial, anything between. A request without
reach is a first one and is not graded. The prediction is the model's: it uses prompts, times, TTLs and earlier bills.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256

from msgspec.structs import replace as with_fields

from savemode_cli.core.cache.lifetimes import GRACE, LIFETIMES, Lifetime
from savemode_cli.core.cache.model import Lookup, PromptCache
from savemode_cli.core.cache.prompt import Prompt, prompt_of
from savemode_cli.core.errors import BadHeader, BadInput
from savemode_cli.core.money.pricing import InputRates
from savemode_cli.core.replay.calibration import PrefixLengths, as_long_as_billed, billed_split
from savemode_cli.core.replay.grade import LONG_GAP
from savemode_cli.core.replay.inference import Outcome, gap_of
from savemode_cli.core.replay.policies import REPLAY_POLICIES, Counterfactual, Used, kept_warm_tokens, with_lifetime
from savemode_cli.core.replay.prompt_tokens import PromptTokens
from savemode_cli.core.replay.rates import RequestRates
from savemode_cli.core.replay.recording import Call, Recorded, Wanted
from savemode_cli.core.replay.segments import SegmentStart
from savemode_cli.core.replay.sessions import SessionReplay
from savemode_cli.core.upgrade.edits import ENCODED, Transformed, upgrades
from savemode_cli.core.upgrade.policy import Policy
from savemode_cli.core.upgrade.transform import transform
from savemode_cli.core.wire.caller import Caller, read_caller
from savemode_cli.core.wire.facts import Facts, facts
from savemode_cli.core.wire.products import Products
from savemode_cli.core.wire.route import read_route
from savemode_cli.core.wire.sessions import session_key
from savemode_cli.core.wire.usage import Usage

FIRST_BYTE = timedelta(seconds=2)
"""Assumed time until an answer begins and its writes can be read. A recording contains only the end of the answer."""

UNRECORDED = timedelta(seconds=5)
"""Assumed length of an answer whose end was not recorded. The median of recorded answers is 4.9 seconds."""

_FOREVER = timedelta(days=36_500)
_FULL_PERMILLE, _COLD_PERMILLE = 900, 100


@dataclass(frozen=True, slots=True)
class Judged:
    """
    One call, and what the upgrader would do with it.
    """

    call: Call
    known: Facts
    """The facts of its body."""
    caller: Caller
    done: Transformed
    """What the upgrader would do with the body."""

    @property
    def upgraded(self) -> int:
        """
        How many breakpoints are upgraded.
        """
        return len(upgrades(self.done.edits))


def judged(call: Call, policy: Policy, product: str, products: Products) -> Judged:
    """
    Judge one call as `serve` does with the gate open. A path or header that `serve` would refuse is ignored.

    Args:
        call: the call.
        policy: the upgrader's policy.
        product: the product of requests that do not name one.
        products: the configured products.
    """
    caller = caller_of(call, product, products)
    known = facts(call.body)
    return Judged(call, known, caller, _transformed(call, policy, caller, known))


def caller_of(call: Call, product: str, products: Products) -> Caller:
    """
    Who sent a call. A path or header that `serve` would refuse counts as missing.
    """
    try:
        named = read_route(call.path, products).product
    except BadHeader:
        named = products.default
    route_product = product if named == products.default else named
    try:
        caller = read_caller(call.headers, route_product, products)
    except BadHeader:
        caller = read_caller((), route_product, products)
    return with_fields(caller, oauth=True) if call.subscription else caller


def _transformed(call: Call, policy: Policy, caller: Caller, known: Facts) -> Transformed:
    return Transformed(call.body, (), (ENCODED,)) if call.encoded else transform(call.body, policy, caller, known)


@dataclass(slots=True)
class Upgrades:
    """
    The upgrader's totals.
    """

    bodies: int = 0
    body_bytes: int = 0
    changed: int = 0
    """How many bodies would change."""
    breakpoints: int = 0
    upgraded: int = 0
    """How many breakpoints would be upgraded."""
    skips: dict[str, int] = field(default_factory=dict)
    """How many were left unchanged, by the code of the reason."""

    def add(self, judgement: Judged) -> None:
        """
        Count one body.
        """
        self.bodies += 1
        self.body_bytes += len(judgement.call.body)
        self.changed += bool(judgement.done.edits)
        self.breakpoints += len(judgement.known.breakpoints)
        self.upgraded += judgement.upgraded
        for skip in judgement.done.skips:
            self.skips[skip.code] = self.skips.get(skip.code, 0) + 1


class BodyReplay:
    """
    Replays bodies in the order in which they were sent, through one model of the cache for each policy.
    """

    def __init__(self, rates_of: RequestRates, wanted: Wanted) -> None:
        """
        Create empty caches.

        Args:
            rates_of: what tokens cost.
            wanted: which requests count.
        """
        self.unusable: dict[str, int] = {}
        """How many calls cannot be priced, by the reason."""
        self._rates_of = rates_of
        self._wanted = wanted
        self._caches: Mapping[str, PromptCache] = {
            name: PromptCache(grace_5m=GRACE + policy.kept_warm) for name, policy in REPLAY_POLICIES.items()
        }
        self._eternal = PromptCache(grace_5m=_FOREVER)
        self._lengths = PrefixLengths()
        self._lanes: dict[str, datetime] = {}
        self._left: dict[str, int] = {}
        self._sessions: dict[str, SessionReplay] = {}

    @property
    def sessions(self) -> list[SessionReplay]:
        """
        What was replayed so far.
        """
        return list(self._sessions.values())

    def feed(self, judgement: Judged, product: Policy) -> None:
        """
        Replay the next call.

        Args:
            judgement: the call.
            product: the policy of the row `product`, which may differ from the one that the call was judged by.
        """
        call = judgement.call
        if not call.answered:
            self._leave_out("failed")
            return
        if call.started_at is None:
            self._leave_out("no time")
            return
        try:
            prompt = as_long_as_billed(prompt_of(call.body), call.usage)
            sent = self._sent(judgement, prompt, product)
        except BadInput:
            self._leave_out("no messages body")
            return
        billed = _as_billed(prompt, call.usage)
        ended = call.ended_at or call.started_at + UNRECORDED
        prompts = {
            name: policy.of_prompt(billed, billed if sent is prompt else sent)
            for name, policy in REPLAY_POLICIES.items()
        }
        lookups = {
            name: _answered(cache, prompts[name], call.started_at, ended) for name, cache in self._caches.items()
        }
        reach = _answered(self._eternal, with_lifetime(prompt, "5m"), call.started_at, ended)
        session = call.session or session_key(judgement.caller, judgement.known)
        lane = _lane(session, judgement.known)
        idle = self._idle(lane, call.started_at, ended)
        if call.usage is None:
            self._leave_out("no usage")
            return
        request = Recorded(session, "", prompt.model, call.started_at, ended, call.usage, judgement.known.opens_turn)
        warm = kept_warm_tokens(call.usage.cached_tokens, self._left.get(lane, 0), idle)
        self._left[lane] = call.usage.cached_tokens or self._left.get(lane, 0)
        if self._wanted.takes(request):
            self._book(request, lane, idle, prompts, lookups, reach, warm)
        self._lengths.learn(prompts["recorded"], lookups["recorded"], call.usage)

    def _leave_out(self, why: str) -> None:
        self.unusable[why] = self.unusable.get(why, 0) + 1

    def _sent(self, judgement: Judged, prompt: Prompt, product: Policy) -> Prompt:
        """
        The prompt as the product's policy sends it; the same object if the policy changes nothing.
        """
        done = _transformed(judgement.call, product, judgement.caller, judgement.known)
        if not done.edits:
            return prompt
        every_mark = len(upgrades(done.edits)) == len(done.edits) == len(prompt.marks)
        return with_lifetime(prompt, "1h") if every_mark else prompt_of(done.body)

    def _idle(self, lane: str, started: datetime, ended: datetime) -> timedelta | None:
        """
        The pause before a request of a lane; None for its first request.
        """
        before = self._lanes.get(lane)
        self._lanes[lane] = ended if before is None else max(before, ended)
        return None if before is None else max(started - before, timedelta())

    def _book(
        self,
        request: Recorded,
        lane: str,
        idle: timedelta | None,
        prompts: Mapping[str, Prompt],
        lookups: Mapping[str, Lookup],
        reach: Lookup,
        warm_tokens: int,
    ) -> None:
        replay = self._sessions.get(request.session)
        if replay is None:
            replay = SessionReplay(request.session, request.started_at, request.ended_at, by_requests=True)
            self._sessions[request.session] = replay
        usage = request.usage
        recorded = usage.tokens.write_5m, usage.tokens.write_1h, usage.tokens.read
        guesses = {name: billed_split(prompts[name], lookups[name], usage, self._lengths) for name in prompts}
        results = {
            name: Counterfactual(
                _changed(recorded, guesses["recorded"], guess, REPLAY_POLICIES[name].ttl or _ttl_of(recorded)),
                kept_warm_tokens=warm_tokens if REPLAY_POLICIES[name].kept_warm else 0,
            )
            for name, guess in guesses.items()
        } | {"recorded": Counterfactual(recorded)}
        replay.book(request, lane, idle, gap_of(idle), _segment_start(idle), self._rates_of, results)
        reach_tokens = self._lengths.tokens(prompts["recorded"], reach.read_blocks, sum(recorded))
        _grade(replay, idle, request, guesses["recorded"], reach_tokens, self._rates_of(request))


def _answered(cache: PromptCache, prompt: Prompt, started: datetime, ended: datetime) -> Lookup:
    """
    What a request finds in a cache. What it writes is stored there.
    """
    lookup = cache.look_up(prompt, started)
    cache.answered(lookup, min(started + FIRST_BYTE, ended), ended)
    return lookup


def _lane(session: str, known: Facts) -> str:
    """
    The key of a conversation. A session may have several, which begin differently.
    """
    return f"{session} {known.model or ''} {sha256(bytes(1).join(known.opening)).hexdigest()}"


def _segment_start(idle: timedelta | None) -> SegmentStart | None:
    if idle is None or idle > LIFETIMES["1h"]:
        return "cold"
    return "pause" if idle > LIFETIMES["5m"] + GRACE else None


def _as_billed(prompt: Prompt, usage: Usage | None) -> Prompt:
    """
    The prompt with the lifetimes that its writes were billed for.
    """
    if usage is None or bool(usage.tokens.write_5m) == bool(usage.tokens.write_1h):
        return prompt
    return with_lifetime(prompt, "1h" if usage.tokens.write_1h else "5m")


def _ttl_of(used: Used) -> Lifetime:
    return "1h" if used[1] else "5m"


def _changed(recorded: Used, guess: Used, other: Used, usual: Lifetime) -> Used:
    """
    The recorded tokens with the model's changes: reads by their difference, writes in the proportion of the other
    policy.

    Args:
        recorded: the bill.
        guess: the model's prediction of the bill.
        other: the model's prediction under the other policy.
        usual: the lifetime of writes that the model does not expect. A proxy may have added their breakpoints.
    """
    cached = sum(recorded)
    read = min(max(recorded[2] + other[2] - guess[2], 0), cached)
    written, all_written = cached - read, other[0] + other[1]
    hour = written * other[1] // all_written if all_written else written * (usual == "1h")
    return written - hour, hour, read


def _grade(
    replay: SessionReplay, idle: timedelta | None, request: Recorded, guess: Used, reach: int, rates: InputRates
) -> None:
    usage = request.usage
    counts = (usage.tokens.write_5m, usage.tokens.write_1h, usage.tokens.read)
    replay.tally.book(
        PromptTokens(usage.tokens.input, *counts),
        PromptTokens(usage.tokens.input, *guess),
        rates if rates.state != "unpriced" else None,
        (_outcome(guess[2], reach), _outcome(counts[2], reach)) if reach else None,
        after_long_pause=idle is not None and idle > LONG_GAP,
    )


def _outcome(read: int, reach: int) -> Outcome:
    if read * 1000 >= reach * _FULL_PERMILLE:
        return "full"
    return "cold" if read * 1000 <= reach * _COLD_PERMILLE else "partial"
