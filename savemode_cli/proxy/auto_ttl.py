"""
The policy `auto` in a running proxy: it chooses the TTL of each lane, and learns from each bill.

Rule of this file: it remembers what is needed between requests. `core.upgrade.auto` makes the decisions, and
`core.replay.learning` computes the runs. A lane is one session, one sub-agent and one model.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from savemode_cli.core.budget.charge import prompt_size
from savemode_cli.core.exchange.observed import Observed
from savemode_cli.core.money.pricing import PriceTable, cost_nusd
from savemode_cli.core.replay.learning import LaneLearner
from savemode_cli.core.replay.rates import RequestRates
from savemode_cli.core.replay.recording import Recorded
from savemode_cli.core.upgrade.auto import Decision, History, KeepWarmTerms, LaneChoice, Run, choose, warm_upgrade
from savemode_cli.core.upgrade.pauses import Pauses
from savemode_cli.core.upgrade.ttl_key import CARRIES_OVER_ABOVE_TOKENS
from savemode_cli.core.wire.caller import Caller
from savemode_cli.core.wire.facts import Facts
from savemode_cli.core.wire.models import context_tokens
from savemode_cli.core.wire.usage import Tokens, Usage
from savemode_cli.proxy.auto_history import AutoHistoryFile, PersonRun
from savemode_cli.proxy.saver import Saver

_MAX_LANES = 10_000

_Lane = tuple[str, str, str]


@dataclass(slots=True)
class _Person:
    """
    What is known about one person.
    """

    learner: LaneLearner
    history: History = field(default_factory=History)


class AutoTtl:
    """
    Chooses the TTL of each lane. It is also a sink: it gets every exchange and learns from its bill.
    """

    name = "auto"
    wants_content = False

    @property
    def trouble(self) -> str:
        """
        Why the file with the history cannot be used; "" if it can.
        """
        return self._saver.trouble

    @property
    def counters(self) -> Mapping[str, int]:
        """
        How many runs it has learned since the start.
        """
        return {"learned": self._learned}

    def __init__(
        self,
        prices: PriceTable,
        file: AutoHistoryFile | None,
        announce: Callable[[str, str], None],
        carries_over: Callable[[str | None], bool] = lambda _: False,
    ) -> None:
        """
        Args:
            prices: what tokens cost.
            file: the file with each person's history; None keeps it in memory.
            announce: receives an event and a text if the file cannot be used.
            carries_over: whether an experiment has shown that a model also reads a warm prefix that was written with the
                other TTL.
        """
        self._carries_over = carries_over
        self._may_keep_warm: Callable[[Caller, Facts], bool] = lambda _caller, _known: False
        self._prices = prices
        self._rates = RequestRates(prices)
        self._persons: dict[str, _Person] = {}
        self._choices: OrderedDict[_Lane, LaneChoice] = OrderedDict()
        self._saver: Saver[PersonRun] = Saver("auto_history", None if file is None else file.add, announce)
        self._learned = 0
        with self._saver.telling_trouble():
            for person, history in ({} if file is None else file.read()).items():
                self._person(person).history = history

    def allow_keep_warm(self, may_keep_warm: Callable[[Caller, Facts], bool]) -> None:
        """
        Take keep-warm as a third choice.

        Args:
            may_keep_warm: whether keep-warm requests can be sent for the conversation of a request.
        """
        self._may_keep_warm = may_keep_warm

    def pauses(self) -> dict[str, Pauses]:
        """
        How the pauses of each person ended, as far as that is known now.
        """
        return {who: person.history.pauses() for who, person in self._persons.items()}

    def decide(self, caller: Caller, known: Facts, session: str, body_bytes: int, now: datetime) -> Decision:
        """
        Choose the TTL of a request.

        Args:
            caller: who sends the request.
            known: the facts of its body.
            session: the key of its session.
            body_bytes: the length of its body, from which the cost of writing its prompt is estimated.
            now: the time.
        """
        who = caller.person or ""
        person = self._person(who)
        self._learn(who, person.learner.known(now))
        lane = session, caller.agent_id or "", known.model or ""
        before = self._choices.get(lane)
        prompt_nusd = self._prompt_nusd(known, body_bytes, now)
        decision = choose(
            before,
            person.history,
            now,
            is_agent=caller.agent_id is not None,
            prompt_nusd=prompt_nusd,
            keep_warm=KeepWarmTerms() if self._may_keep_warm(caller, known) else None,
        )
        if before is not None and decision is before.decision and self._may_upgrade_warm(decision, known, body_bytes):
            decision = warm_upgrade(decision)
        self._choices[lane] = LaneChoice(decision, now if before is None else max(now, before.last_ended_at))
        self._choices.move_to_end(lane)
        if len(self._choices) > _MAX_LANES:
            self._choices.popitem(last=False)
        return decision

    def _may_upgrade_warm(self, decision: Decision, known: Facts, body_bytes: int) -> bool:
        """
        Whether a conversation that is warm at 5 minutes goes on with 1 hour.
        """
        if decision.ttl != "5m" or decision.situation == "agent" or not self._carries_over(known.model):
            return False
        size = prompt_size(known, body_bytes, 0, context_tokens(known.model))
        return size.likely_tokens > CARRIES_OVER_ABOVE_TOKENS

    def keep(self, observed: Observed) -> None:
        """
        Learn from a billed exchange.

        Args:
            observed: the exchange, without content.
        """
        exchange, caller = observed.exchange, observed.caller
        session, usage, settled = exchange.call.session, exchange.bill.usage, exchange.bill.settlement
        if caller is None or session is None or usage is None or settled is None or settled.basis != "reported":
            return
        agent, model = caller.agent_id or "", exchange.call.model or ""
        lane = session, agent, model
        choice = self._choices.get(lane)
        if choice is not None:
            self._choices[lane] = replace(choice, last_ended_at=max(choice.last_ended_at, observed.ended_at))
        if exchange.call.keep_warm:
            return  # it keeps the lane warm, and says nothing about its pauses
        request = Recorded(
            session,
            agent,
            exchange.answer.answered_by or model,
            exchange.started_at,
            max(observed.ended_at, exchange.started_at),
            usage,
            exchange.call.opens_turn,
        )
        who = caller.person or ""
        self._learn(who, self._person(who).learner.answered(request))
        self._saver.save_soon()

    def close(self) -> None:
        """
        Save what was learned. The open segments end with the proxy.
        """
        for who, person in self._persons.items():
            self._learn(who, person.learner.rest())
        self._saver.save_now()

    def _person(self, who: str) -> _Person:
        return self._persons.setdefault(who, _Person(LaneLearner(self._rates)))

    def _learn(self, who: str, runs: Sequence[Run]) -> None:
        for run in runs:
            self._person(who).history.put(run)
        self._saver.add((who, run) for run in runs)
        self._learned += len(runs)

    def _prompt_nusd(self, known: Facts, body_bytes: int, now: datetime) -> int | None:
        """
        The cost of writing the prompt with a TTL of 5 minutes; None if the model has no price.
        """
        price = self._prices.find(known.model, now)
        if price.state == "unpriced":
            return None
        tokens = prompt_size(known, body_bytes, 0, context_tokens(known.model)).likely_tokens
        return cost_nusd(Usage(Tokens(write_5m=tokens)), price.price)
