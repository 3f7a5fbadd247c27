"""
Recorded bodies: what the upgrader makes of each, and what the model of the cache makes of them all.

Rule of this file: a body is judged as `serve` judges it with the gate open. Where its bill was recorded, `recorded` is
that bill, and every other policy is the bill plus what changes in the model when the breakpoints' lifetimes change.

Token counts are estimates, scaled for each request so that the whole prompt is as long as was billed. Where all that was
written was billed for one TTL, the breakpoints are taken to have had it, whatever the recorded body says: what recorded
it may have stood before another proxy that raised them.

Outcomes of a request with a bill; its reach is the longest prefix that any earlier request had a breakpoint on, however
long ago: full, at least nine tenths of it were read; cold, at most one tenth; partial between. A request without reach
is a first one and is not graded. The prediction is the model's: it sees prompts, times and TTLs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from hashlib import sha256

from savemode_cli.core.caller import Caller, Products, read_caller, read_route, session_key
from savemode_cli.core.errors import BadHeader, BadInput
from savemode_cli.core.grade import LONG_GAP, Kinds, Outcome
from savemode_cli.core.messages import Facts, facts
from savemode_cli.core.pricing import InputRates, Usage
from savemode_cli.core.prompt import Lifetime, Prompt, prompt_of
from savemode_cli.core.prompt_cache import Lookup, PromptCache
from savemode_cli.core.recorded import Call, Recorded, Wanted
from savemode_cli.core.replay import RatesOf, SessionReplay, Used, Worlds
from savemode_cli.core.session_cache import gap_of
from savemode_cli.core.transform import Policy, Transformed, transform

_FIRST_BYTE = timedelta(seconds=2)
"""Assumed until an answer begins and its writes can be read; a recording has only its end."""

_UNRECORDED = timedelta(seconds=5)
"""Assumed length of an answer whose end was not recorded: the median of recorded ones is 4.9."""

_FOREVER = timedelta(days=36_500)
_FULL_PERMILLE, _COLD_PERMILLE = 900, 100


@dataclass(frozen=True, slots=True)
class Judged:
    """
    One call and what the upgrader makes of it.
    """

    call: Call
    known: Facts
    caller: Caller
    done: Transformed

    @property
    def raised(self) -> int:
        """
        How many breakpoints are raised.
        """
        return len(self.done.edits)


def judged(call: Call, policy: Policy, product: str, products: Products) -> Judged:
    """
    Judge one call as `serve` does with the gate open. A path or header that `serve` would refuse counts as not there.
    """
    route_product = product
    headers: Sequence[tuple[bytes, bytes]] = call.headers
    try:
        route = read_route(call.path, products)
        route_product = product if route.product == products.default else route.product
        caller = read_caller(headers, route_product, products)
    except BadHeader:
        caller = read_caller((), product, products)
    if call.subscription:
        caller = replace(caller, oauth=True)
    known = facts(call.body)
    return Judged(call, known, caller, transform(call.body, policy, caller, known))


@dataclass(slots=True)
class Upgrades:
    """
    The upgrader's totals: bodies and bytes, those that change, breakpoints and those raised, and skips by their code.
    """

    bodies: int = 0
    body_bytes: int = 0
    changed: int = 0
    breakpoints: int = 0
    raised: int = 0
    skips: dict[str, int] = field(default_factory=dict)

    def add(self, one: Judged) -> None:
        """
        One more.
        """
        self.bodies += 1
        self.body_bytes += len(one.call.body)
        self.changed += bool(one.done.edits)
        self.breakpoints += len(one.known.breakpoints)
        self.raised += one.raised
        for skip in one.done.skips:
            self.skips[skip.code] = self.skips.get(skip.code, 0) + 1


@dataclass(slots=True)
class _Chain:
    ended_at: datetime


class BodyReplay:
    """
    Bodies in the order in which they were sent, through one cache for each policy.

    `unusable` counts calls by why they cannot go through the cache.
    """

    def __init__(self, rates_of: RatesOf, wanted: Wanted) -> None:
        """
        Nothing is cached yet.
        """
        self.unusable: dict[str, int] = {}
        self._rates_of = rates_of
        self._wanted = wanted
        self._caches: Mapping[str, PromptCache] = {name: PromptCache() for name in ("recorded", "5m", "1h", "product")}
        self._eternal = PromptCache(grace_5m=_FOREVER)
        self._chains: dict[tuple[str, str, str], _Chain] = {}
        self._sessions: dict[str, SessionReplay] = {}

    @property
    def sessions(self) -> list[SessionReplay]:
        """
        What was replayed so far.
        """
        return list(self._sessions.values())

    def feed(self, one: Judged, product: Policy) -> None:
        """
        The next call; `product` is the policy of that name, which may differ from the one that it was judged by.
        """
        call = one.call
        if not call.answered:
            self._leave_out("failed")
            return
        if call.started_at is None:
            self._leave_out("no time")
            return
        try:
            prompt = prompt_of(call.body)
            raised = self._raised(one, prompt, product)
        except BadInput:
            self._leave_out("no messages body")
            return
        lifetimes = _as_billed(prompt, call.usage)
        prompts = {
            "recorded": lifetimes,
            "5m": _all(prompt, "5m"),
            "1h": _all(prompt, "1h"),
            "product": lifetimes if raised is prompt else raised,
        }
        ended = call.ended_at or call.started_at + _UNRECORDED
        began = min(call.started_at + _FIRST_BYTE, ended)
        found = {}
        for name, cache in self._caches.items():
            found[name] = cache.look_up(prompts[name], call.started_at)
            cache.answered(found[name], began, ended)
        reach = self._eternal.look_up(prompts["5m"], call.started_at)
        self._eternal.answered(reach, began, ended)
        session = call.session or session_key(one.caller, one.known)
        idle = self._idle(session, one.known, call.started_at, ended)
        if call.usage is None:
            self._leave_out("no usage")
            return
        request = Recorded(session, "", prompt.model, call.started_at, ended, call.usage)
        if self._wanted.takes(request):
            self._book(request, idle, found, reach)

    def _leave_out(self, why: str) -> None:
        self.unusable[why] = self.unusable.get(why, 0) + 1

    def _raised(self, one: Judged, prompt: Prompt, product: Policy) -> Prompt:
        """
        The prompt as the product's policy sends it; the same object if that changes nothing.
        """
        done = transform(one.call.body, product, one.caller, one.known)
        if not done.edits:
            return prompt
        return _all(prompt, "1h") if len(done.edits) == len(prompt.marks) else prompt_of(done.body)

    def _idle(self, session: str, known: Facts, started: datetime, ended: datetime) -> timedelta | None:
        """
        How long its conversation has been idle. A session may hold several, told apart by how they open.
        """
        key = (session, known.model or "", sha256(b"\0".join(known.opening)).hexdigest())
        chain = self._chains.get(key)
        if chain is None:
            self._chains[key] = _Chain(ended)
            return None
        idle = max(started - chain.ended_at, timedelta())
        chain.ended_at = max(chain.ended_at, ended)
        return idle

    def _book(self, request: Recorded, idle: timedelta | None, found: Mapping[str, Lookup], reach: Lookup) -> None:
        done = self._sessions.get(request.session)
        if done is None:
            done = SessionReplay(request.session, request.started_at, request.ended_at)
            self._sessions[request.session] = done
        usage, rates = request.usage, self._rates_of(request)
        guess = _scaled(found["recorded"], usage)
        recorded = (usage.cache_write_5m_tokens, usage.cache_write_1h_tokens, usage.cache_read_tokens)
        worlds = Worlds(
            recorded,
            _changed(recorded, guess, _scaled(found["5m"], usage), "5m"),
            _changed(recorded, guess, _scaled(found["1h"], usage), "1h"),
            _changed(recorded, guess, _scaled(found["product"], usage), "1h" if recorded[1] else "5m"),
        )
        done.book(request, idle, gap_of(idle), rates, worlds)
        _grade(done, idle, request, guess, _scaled(reach, usage)[2], rates)


def _all(prompt: Prompt, lifetime: Lifetime) -> Prompt:
    return replace(prompt, marks=tuple(replace(mark, lifetime=lifetime) for mark in prompt.marks))


def _as_billed(prompt: Prompt, usage: Usage | None) -> Prompt:
    """
    The prompt with the lifetimes that its writes were billed for.
    """
    if usage is None or bool(usage.cache_write_5m_tokens) == bool(usage.cache_write_1h_tokens):
        return prompt
    return _all(prompt, "1h" if usage.cache_write_1h_tokens else "5m")


def _scaled(found: Lookup, usage: Usage) -> Used:
    """
    The look-up in tokens as they were billed: what was cached of the prompt, shared out as the model shares it out.
    """
    cached = found.total_tokens - found.input_tokens
    billed = usage.prompt_tokens - usage.input_tokens
    if not cached or not billed:
        return 0, 0, 0
    read = found.read_tokens * billed // cached
    hour = found.write_1h_tokens * billed // cached
    return (billed - read - hour, hour, read) if found.write_5m_tokens else (0, billed - read, read)


def _changed(recorded: Used, guess: Used, other: Used, usual: Lifetime) -> Used:
    """
    What was recorded, and what the model changes: reads by their difference, writes in the proportion of the other world.

    `usual` is for how long it is written where the model writes nothing.
    """
    cached = sum(recorded)
    read = min(max(recorded[2] + other[2] - guess[2], 0), cached)
    written, all_written = cached - read, other[0] + other[1]
    hour = written * other[1] // all_written if all_written else written * (usual == "1h")
    return written - hour, hour, read


def _grade(
    done: SessionReplay, idle: timedelta | None, request: Recorded, guess: Used, reach: int, rates: InputRates
) -> None:
    tally, usage = done.tally, request.usage
    counts = (usage.cache_write_5m_tokens, usage.cache_write_1h_tokens, usage.cache_read_tokens)
    tally.recorded.add(Kinds(usage.input_tokens, *counts))
    tally.alone.add(Kinds(usage.input_tokens, *guess))
    if rates.state != "unpriced":
        tally.billed_ausd += rates.cost_ausd(usage.input_tokens, *counts)
        tally.alone_ausd += rates.cost_ausd(usage.input_tokens, *guess)
    if not reach:
        tally.firsts += 1
        return
    pair = (_outcome(guess[2], reach), _outcome(counts[2], reach))
    tally.outcomes[pair] = tally.outcomes.get(pair, 0) + 1
    if idle is not None and idle > LONG_GAP:
        tally.long_outcomes[pair] = tally.long_outcomes.get(pair, 0) + 1


def _outcome(read: int, reach: int) -> Outcome:
    if read * 1000 >= reach * _FULL_PERMILLE:
        return "full"
    return "cold" if read * 1000 <= reach * _COLD_PERMILLE else "partial"
