"""
Keep-warm requests: which conversations wait for a person, and when savemode sends a request of its own to keep their
cache warm.

Rule of this file: `core.upgrade.keep_warm` makes the decisions. A keep-warm request is handled like every other request:
money is reserved before it is sent, and it has a receipt and a record of its own. The last request of a conversation,
with its credential, stays in memory as long as its cache may be renewed, and is stored nowhere else.

Nothing is sent for a conversation that belongs to a subscription, a cloud, a sub-agent or the hold-out of a trial, that
has a 1-hour cache, or whose request cannot be sent again with `max_tokens: 0`.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING

from savemode_cli.core.budget.admission import Refused
from savemode_cli.core.cache.head import head_tokens
from savemode_cli.core.cache.lifetimes import LIFETIMES
from savemode_cli.core.exchange.bill import Bill
from savemode_cli.core.upgrade.hold_out import TrialMember
from savemode_cli.core.upgrade.keep_warm import Stakes, expectation, ping_body
from savemode_cli.core.upgrade.pauses import Pauses
from savemode_cli.core.upgrade.policy import PING_AFTER
from savemode_cli.core.wire.caller import Caller
from savemode_cli.core.wire.facts import Facts
from savemode_cli.core.wire.models import is_cloud_model
from savemode_cli.core.wire.usage import Tokens, Usage
from savemode_cli.proxy.answer import Outbound
from savemode_cli.proxy.call import CallInProgress, Inbound
from savemode_cli.proxy.progress import ExchangeInProgress

if TYPE_CHECKING:
    from savemode_cli.proxy.relay import Relay

_POLL_S = 1.0
_MOST_LANES = 200
_MOST_BYTES = 64 * 1024 * 1024
"""The most bytes of bodies that are kept. The oldest conversation is dropped first."""

_MOST_REMEMBERED = 10_000
_HOUR = timedelta(hours=1)


@dataclass(slots=True)
class _Lane:
    """
    A conversation whose cache may be kept warm.
    """

    inbound: Inbound
    body: bytes
    """The last body that was sent; after the first keep-warm request, the body of those requests."""
    caller: Caller
    ended_at: datetime
    """The end of its last answer, including answers to keep-warm requests."""
    stakes: Stakes
    trial: TrialMember | None
    """The place of its session in a trial."""
    sent: int = 0
    """How many keep-warm requests were sent in this pause."""
    is_sending: bool = False


@dataclass(slots=True)
class _Left:
    """
    What is remembered of every conversation: when it was last used, and which head other conversations keep warm.
    """

    at: datetime
    person: str
    cached_tokens: int = 0
    head_tokens: int = 0


@dataclass(slots=True)
class _Counts:
    sent: int = 0
    spent_nusd: int = 0
    came_back: int = 0
    """Conversations that continued while their cache was kept warm."""
    stopped: dict[str, int] = field(default_factory=dict)
    """How often nothing was sent, by the reason."""


class KeepWarm:
    """
    Sends keep-warm requests through a relay.
    """

    name = "keep_warm"

    def __init__(
        self,
        most: int,
        hourly_nusd: int,
        now: Callable[[], datetime],
        announce: Callable[[str, str], None],
        pauses: Mapping[str, Pauses] = MappingProxyType({}),
    ) -> None:
        """
        Args:
            most: how many requests are sent in one pause of a conversation.
            hourly_nusd: how much they may cost in any hour, for all conversations together.
            now: the clock.
            announce: receives an event and a text if the upstream refuses such requests.
            pauses: how the pauses of each person ended before this start.
        """
        self.trouble = ""
        self._most = most
        self._hourly_nusd = hourly_nusd
        self._now = now
        self._announce = announce
        self._relay: Relay | None = None
        self._lanes: OrderedDict[str, _Lane] = OrderedDict()
        self._left: OrderedDict[str, _Left] = OrderedDict()
        self._pauses: dict[str, Pauses] = dict(pauses)
        self._spent: deque[tuple[datetime, int]] = deque()
        self._refused_models: set[str] = set()
        self._counts = _Counts()

    @property
    def counters(self) -> Mapping[str, int]:
        """
        What was sent and spent since the start, and why nothing was sent.
        """
        counts = self._counts
        return {
            "sent": counts.sent,
            "spent_nusd": counts.spent_nusd,
            "came_back": counts.came_back,
            "waiting": len(self._lanes),
            **{f"stopped_{reason}": count for reason, count in counts.stopped.items()},
        }

    def attach(self, relay: "Relay") -> None:
        """
        Send requests through this relay.
        """
        self._relay = relay

    async def run(self) -> None:
        """
        Check once a second which caches are about to expire, until cancelled.
        """
        while True:
            await asyncio.sleep(_POLL_S)
            await self.tick()

    async def tick(self) -> None:
        """
        Send the requests that are due now.
        """
        now = self._now()
        for key, left in list(self._left.items()):
            if now - left.at <= PING_AFTER * 14:
                break
            del self._left[key]
            self._of(left.person).note(now - left.at)
        for key, lane in list(self._lanes.items()):
            if lane.is_sending or now < lane.ended_at + PING_AFTER or self._lanes.get(key) is not lane:
                continue
            reason = await self._obstacle(lane, now)
            if self._lanes.get(key) is not lane:
                continue  # its client has sent a request meanwhile
            if reason:
                self._stop(key, reason)
            else:
                await self._send(lane)

    def came_back(self, call: CallInProgress) -> None:
        """
        A client sends a request, so nothing more is sent for its conversation.
        """
        key = call.cache
        lane, left = self._lanes.pop(key, None), self._left.get(key)
        if left is not None:
            self._of(left.person).note(call.started_at - left.at)
        self._counts.came_back += lane is not None and lane.sent > 0

    def answered(self, exchange: ExchangeInProgress, bill: Bill | None) -> None:
        """
        A request was billed, so its conversation may wait for a person from now on.
        """
        call = exchange.call
        if call.inbound.keep_warm:
            self._ping_answered(exchange, bill)
            return
        usage, ended_at = None if bill is None else bill.usage, exchange.answer.ended_at
        if usage is None or ended_at is None or not usage.cached_tokens:
            return
        left = self._note_left(call, usage, ended_at)
        body = exchange.warm_body
        exchange.warm_body = None
        if body is None or bill is None or bill.settlement is None or bill.settlement.basis != "reported":
            return
        stakes = self._stakes(exchange, usage, left.head_tokens)
        if stakes is not None and usage.tokens.write_1h == 0:
            inbound = call.inbound
            again = Inbound(inbound.method, inbound.raw_path, inbound.query, inbound.headers, b"", keep_warm=True)
            self._lanes[call.cache] = _Lane(again, body, call.caller, ended_at, stakes, exchange.upgrade.trial)
            self._bound()

    def trial_of(self, call: CallInProgress) -> TrialMember | None:
        """
        The trial group of a conversation that is kept warm; the cost counts in this group.
        """
        lane = self._lanes.get(call.cache)
        return None if lane is None else lane.trial

    def wants(self, exchange: ExchangeInProgress) -> bool:
        """
        Whether to keep the body of a request, because the cache of its conversation may be kept warm.
        """
        call, upgrade = exchange.call, exchange.upgrade
        if call.inbound.keep_warm or exchange.bill.reservation is None or call.facts.problem:
            return False
        is_held_out = upgrade.trial is not None and upgrade.trial.group == "hold-out"
        is_left_alone = upgrade.auto is not None and not upgrade.auto.keeps_warm
        return not (is_held_out or is_left_alone or upgrade.upgraded) and self.may(call.caller, call.facts)

    def may(self, caller: Caller, facts: Facts) -> bool:
        """
        Whether keep-warm requests can be sent for the conversation of a request.

        Args:
            caller: who sends the request.
            facts: the facts of its body.
        """
        added = facts.added
        asks_hour = any(marker.kind == "1h" for marker in facts.breakpoints)
        left_alone = caller.oauth or caller.agent_id is not None or asks_hour or not facts.breakpoints
        is_cloud = caller.provider != "anthropic" or is_cloud_model(facts.model or "")
        needs_more = added.thread or added.container or added.fallbacks or added.compacts or added.unread
        return not (left_alone or is_cloud or needs_more or facts.model in self._refused_models)

    def _note_left(self, call: CallInProgress, usage: Usage, ended_at: datetime) -> _Left:
        key, before = call.cache, self._left.pop(call.cache, None)
        own = 0
        if before is not None and call.started_at - before.at <= LIFETIMES["5m"]:
            own = before.cached_tokens
        head = head_tokens(0 if before is None else before.head_tokens, usage.first_read_tokens, own)
        left = self._left[key] = _Left(ended_at, call.caller.person or "", usage.cached_tokens, head)
        if len(self._left) > _MOST_REMEMBERED:
            self._left.popitem(last=False)
        return left

    def _stakes(self, exchange: ExchangeInProgress, usage: Usage, head: int) -> Stakes | None:
        """
        The amounts at stake in the next pause; None if the model has no price.
        """
        assert self._relay is not None  # noqa: S101 - it is attached before the first request
        model, when = exchange.answer.answered_by or exchange.call.facts.model, exchange.call.started_at
        cached, plain = usage.cached_tokens, usage.tokens.input
        own = max(cached - head, 0)
        read = self._relay.till.price(Usage(Tokens(input=plain, read=cached)), model, when)
        own_read = self._relay.till.price(Usage(Tokens(read=own)), model, when)
        own_written = self._relay.till.price(Usage(Tokens(write_5m=own)), model, when)
        if read.state == "unpriced":
            return None
        return Stakes(read.cost.total_nusd, own_written.cost.total_nusd - own_read.cost.total_nusd)

    def _bound(self) -> None:
        size = sum(len(lane.body) for lane in self._lanes.values())
        while self._lanes and (len(self._lanes) > _MOST_LANES or size > _MOST_BYTES):
            _, dropped = self._lanes.popitem(last=False)
            size -= len(dropped.body)

    async def _obstacle(self, lane: _Lane, now: datetime) -> str:
        """
        Why nothing is sent for a conversation; empty if a request is expected to save more than it costs.
        """
        assert self._relay is not None  # noqa: S101 - see above
        if now > lane.ended_at + LIFETIMES["5m"]:
            return "expired"
        body = lane.body if lane.sent else ping_body(lane.body)
        if body is None:
            return "unsendable"
        lane.body = body
        pauses = self._of(lane.caller.person or "")
        if not expectation(pauses, lane.stakes, lane.sent, self._most).pings:
            return "limit" if lane.sent >= self._most else "not_worth"
        while self._spent and now - self._spent[0][0] > _HOUR:
            self._spent.popleft()
        if sum(nusd for _, nusd in self._spent) + lane.stakes.ping_nusd > self._hourly_nusd:
            return "hour"
        decision = await self._relay.till.look(lane.caller, lane.inbound.headers, now)
        if isinstance(decision, Refused) or decision.status == "unknown":
            return "budget"
        near = any(standing.advice.state not in ("disabled", "ok") for standing in decision.standings)
        return "budget" if near else ""

    def _stop(self, key: str, reason: str) -> None:
        self._lanes.pop(key, None)
        self._counts.stopped[reason] = self._counts.stopped.get(reason, 0) + 1

    async def _send(self, lane: _Lane) -> None:
        assert self._relay is not None  # noqa: S101 - see above
        lane.is_sending = True
        self._counts.sent += 1
        lane.sent += 1
        inbound = lane.inbound
        again = Inbound(inbound.method, inbound.raw_path, inbound.query, inbound.headers, lane.body, keep_warm=True)
        try:
            await self._relay.admit(again, _discard)
        except Exception as error:  # noqa: BLE001 - it is recorded, and the next pause is another one
            self._relay.tell_failure(error)
        finally:
            lane.is_sending = False

    def _ping_answered(self, exchange: ExchangeInProgress, bill: Bill | None) -> None:
        """
        A keep-warm request has ended: the cache is warm again, or nothing more is sent.
        """
        call, answer = exchange.call, exchange.answer
        key, ended_at, model = call.cache, answer.ended_at, call.facts.model or ""
        cost = 0 if bill is None else bill.cost_nusd or 0
        self._counts.spent_nusd += cost
        self._spent.append((call.started_at, cost))
        lane = self._lanes.get(key)
        usage = None if bill is None else bill.usage
        if answer.status == 400 and model not in self._refused_models:
            self._refused_models.add(model)
            text = f"the upstream refuses keep-warm requests for {model}: none are sent for it until restart"
            self._announce("keep_warm_refused", text)
        if lane is None:
            return
        if usage is None or ended_at is None or usage.tokens.read < usage.tokens.written or answer.outcome != "ok":
            self._stop(key, "cold" if usage is not None else "failed")
            return
        lane.ended_at = ended_at

    def _of(self, person: str) -> Pauses:
        return self._pauses.setdefault(person, Pauses())


async def _discard(out: Outbound) -> None:
    """
    Read an answer that no client waits for.
    """
    async for _ in out.chunks:
        pass
