"""
The upgrade of a request, and what is remembered of earlier ones: the TTL of each session, and what the upstream refused.

Rule of this file: the core makes the decisions. What an upgrade needs to know of earlier requests is kept here.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import uuid4

from msgspec.structs import replace as with_fields

from savemode_cli.core.upgrade.auto import Decision
from savemode_cli.core.upgrade.cache_ttl import Choice, sticky, writes_one_hour
from savemode_cli.core.upgrade.edits import ENCODED, apply, upgrades
from savemode_cli.core.upgrade.gate import GateState
from savemode_cli.core.upgrade.hold_out import TrialMember, trial_member
from savemode_cli.core.upgrade.policy import Policy
from savemode_cli.core.upgrade.rules import DIAGNOSE
from savemode_cli.core.upgrade.transform import transform
from savemode_cli.core.upgrade.upgrade import Upgrade
from savemode_cli.core.wire.diagnostics import blames_diagnostics
from savemode_cli.core.wire.facts import Facts
from savemode_cli.core.wire.messages import blames_cache_control
from savemode_cli.core.wire.sessions import session_and_conversation, trace_id
from savemode_cli.proxy.body_reader import BodyReader, facts
from savemode_cli.proxy.call import CallInProgress
from savemode_cli.proxy.previous_answers import PreviousAnswers
from savemode_cli.serving.headers import header_value

if TYPE_CHECKING:  # most proxies use another policy
    from savemode_cli.proxy.auto_ttl import AutoTtl
    from savemode_cli.proxy.keep_warm import KeepWarm
    from savemode_cli.proxy.ttl_key import TtlKeyExperiment

_REMEMBERED_SESSIONS = 10_000


def _five(decision: Decision) -> str:
    return "5m kept warm" if decision.keeps_warm else "5m"


class Upgrading:
    """
    Upgrades the model calls of one proxy.
    """

    def __init__(
        self,
        policy: Policy,
        announce: Callable[[str, str], None],
        *,
        observe: bool = False,
        hold_out: float = 0,
        auto: "AutoTtl | None" = None,
        keep_warm: "KeepWarm | None" = None,
        ttl_key: "TtlKeyExperiment | None" = None,
    ) -> None:
        """
        Args:
            policy: what may be changed.
            announce: receives an event and a text for the user.
            observe: whether edits are only computed and shown.
            hold_out: the share of the sessions that is not upgraded, for comparison.
            auto: chooses TTLs if the policy is `auto`.
            keep_warm: sends requests that keep caches warm.
            ttl_key: the experiment on whether a model reads a prefix that was written with the other TTL.
        """
        self.bodies = BodyReader(announce)
        self.stopped_models: set[str | None] = set()
        """The models for which the upstream refused an upgrade."""
        self.previous_answers = PreviousAnswers()
        self._policy = policy
        self._announce = announce
        self._observe = observe
        self._hold_out = 0 if observe else hold_out
        self._auto = auto
        self._keep_warm = keep_warm
        self._ttl_key = ttl_key
        self._choices: OrderedDict[str, Choice] = OrderedDict()

    async def upgrade(self, call: CallInProgress, gate: GateState) -> Upgrade:
        """
        Read the facts of a model call, and upgrade it: `call.inbound.body` becomes the body to send.

        Args:
            call: the call, whose body is complete.
            gate: whether edits are allowed.
        """
        inbound, body = call.inbound, call.inbound.body
        assert isinstance(body, bytes)  # noqa: S101 - a larger body was refused
        if header_value(inbound.headers, b"content-encoding") not in (b"", b"identity"):
            call.facts = Facts(problem="compressed")
            return Upgrade(gate, skips=(ENCODED,))
        known, call.beginning = await facts(body, self.bodies)
        inbound.finish_anyway = not known.stream
        call.session, call.conversation = session_and_conversation(call.caller, known)
        call.trace_id = trace_id(call.caller, known.user_id, _fresh_trace)
        # The opening of a conversation may be long, and the answer may take minutes.
        call.facts = with_fields(known, opening=())
        if self._keep_warm is not None:
            if inbound.keep_warm:  # it is sent as the request was sent whose cache it keeps warm
                return Upgrade(gate, trial=self._keep_warm.trial_of(call))
            self._keep_warm.came_back(call)
        if not gate.on and not self._observe:
            return Upgrade(gate)
        previous = self.previous_answers.of(call.session, known.model)
        done = transform(body, self._policy, call.caller, known, previous)
        upgrade = Upgrade(gate, done.edits, done.skips, self._observe)
        if upgrades(done.edits):
            upgrade = self._compared(call, upgrade) if self._hold_out else self._restrained(call, upgrade)
        if upgrade.on_wire:
            inbound.body = done.body if upgrade.edits is done.edits else apply(body, upgrade.edits)
        return upgrade

    def _compared(self, call: CallInProgress, upgrade: Upgrade) -> Upgrade:
        """
        The upgrade in a trial: none if the session is held out.
        """
        member = trial_member(call.conversation, self._hold_out)
        if member.group == "policy":
            return self._restrained(call, with_fields(upgrade, trial=member))
        if self._ttl_key is not None and self._ttl_key.begins(call, upgrade):
            return with_fields(upgrade, trial=TrialMember("policy", member.session))  # in both groups: it is left out
        held_out = upgrade.skipped("hold-out", "this session is held out, to compare the others with it")
        return with_fields(held_out, trial=member)

    def _restrained(self, call: CallInProgress, upgrade: Upgrade) -> Upgrade:
        """
        Remove the upgrades if the policy `auto`, or an earlier request of this model or session requires it.
        """
        auto = None
        if self._auto is not None:
            auto = self._auto.decide(call.caller, call.facts, call.session or "", call.body_bytes, call.started_at)
            upgrade = with_fields(upgrade, auto=auto)
        if call.facts.model in self.stopped_models:
            return upgrade.skipped("stopped", "the upstream refused the upgrade for this model; off until restart")
        if auto is not None and auto.ttl == "5m":
            return upgrade.skipped("auto-5m", f"{_five(auto)} is expected to cost less: {auto.reason}")
        if auto is not None and auto.is_warm_upgrade:
            return upgrade  # an experiment has shown that the warm prefix is read all the same
        if not sticky(self._choices.get(call.cache), wanted=True, now=call.started_at).upgrade:
            return upgrade.skipped("sticky", "this session's cache is warm at 5m; the TTL changes once it is cold")
        return upgrade

    def is_blamed(self, error: bytes, call: CallInProgress, upgrade: Upgrade) -> bool:
        """
        Whether an error of the upstream is about an edit of ours. Such edits are not made again until restart.
        """
        if upgrade.upgraded and blames_cache_control(error):
            model = call.facts.model
            self.stopped_models.add(model)
            self._announce(
                "upgrade_stopped",
                f"the upstream refused the 1h TTL for {model or 'this model'}: the original was sent instead, and nothing "
                "is upgraded for it until restart",
            )
            return True
        if upgrade.asks_for_diagnosis and blames_diagnostics(error):
            self._policy = replace(self._policy, rules=self._policy.rules - {DIAGNOSE})
            self._announce(
                "diagnose_stopped",
                "the upstream refused the cache diagnostics: the original was sent instead, and it is not asked for them "
                "until restart",
            )
            return True
        return False

    def remember(self, call: CallInProgress, upgrade: Upgrade) -> None:
        """
        Remember with which TTL this session's cache was last written.
        """
        if call.session is None or not call.facts.breakpoints:
            return
        # In observe mode, act as if the edit had been sent, so that later requests see the same state of the session.
        edits = () if upgrade.resent else upgrade.edits
        cache = call.cache
        self._choices[cache] = Choice(writes_one_hour(call.facts, edits), call.started_at)
        self._choices.move_to_end(cache)
        if len(self._choices) > _REMEMBERED_SESSIONS:
            self._choices.popitem(last=False)


def _fresh_trace() -> str:
    return str(uuid4())
