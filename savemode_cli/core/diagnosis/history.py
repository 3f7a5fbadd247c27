"""
Judges requests one after another: it turns a body and a bill into a priced verdict.

Rule of this file: traffic of the proxy and recorded traffic are judged in the same way.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from savemode_cli.core.cache.blocks import UNBOUNDED
from savemode_cli.core.cache.prompt import Prompt
from savemode_cli.core.diagnosis.causes import Verdict
from savemode_cli.core.diagnosis.fingerprint import Fingerprint
from savemode_cli.core.diagnosis.lanes import Lane, Lanes, SentPrompt
from savemode_cli.core.diagnosis.price import priced
from savemode_cli.core.diagnosis.prompt_memory import PromptMemory
from savemode_cli.core.diagnosis.splices import NO_SPLICES, Splices
from savemode_cli.core.diagnosis.verdict import all_read, diagnose
from savemode_cli.core.money.pricing import InputRates
from savemode_cli.core.wire.prefixes import Beginning
from savemode_cli.core.wire.usage import Usage

_BETA = b"anthropic-beta"


class Prices(Protocol):
    """
    Knows what tokens cost: a price table, or an object that contains one.
    """

    def input_rates(self, usage: Usage, model: str | None, when: datetime) -> InputRates:
        """
        The rates at which the prompt of an answer is billed.
        """


@dataclass(frozen=True, slots=True)
class Asked:
    """
    A request that was sent and has no answer yet.
    """

    sent: SentPrompt
    prompt: Prompt


class History:
    """
    Remembers recent requests and judges each one by them.
    """

    def __init__(self, prices: Prices, lanes: Lanes | None = None) -> None:
        """
        Create an empty history.

        Args:
            prices: knows what tokens cost.
            lanes: where requests are remembered.
        """
        self.lanes = Lanes() if lanes is None else lanes
        self._prompts = PromptMemory()
        self._prices = prices

    def asked(
        self,
        id: str,  # noqa: A002 - what it is called everywhere else
        body: bytes,
        session: str,
        *,
        started_at: datetime,
        named: bool = True,
        agent: str = "",
        payer: str = "",
        betas: Iterable[str] = (),
        most_steps: int = UNBOUNDED,
        beginning: Beginning | None = None,
        splices: Splices = NO_SPLICES,
    ) -> Asked | None:
        """
        Remember a request. The time is linear in the length of its body.

        Args:
            id: the ID of the request.
            body: its body as it was sent, without a content encoding.
            session: the key of its session.
            started_at: when it was sent.
            named: whether the client has named the session.
            agent: the ID of a sub-agent, "" for the main conversation.
            payer: identifies the key with which it was sent; "" if unknown.
            betas: the values of its `anthropic-beta` header.
            most_steps: see `read_blocks`.
            beginning: how the body began before it was edited; None if nobody has looked.
            splices: the edits in the body; they do not count if its beginning is not known.

        Returns:
            The request; None if it has too many blocks to be remembered.

        Raises:
            BadInput: it is not the body of a messages call.
            TooMuchWork: it takes more steps than allowed.
        """

        def earlier(model: str) -> list[Fingerprint]:
            return self.lanes.fingerprints(Lane(session, agent, model))

        read = self._prompts.read(body, (session, agent), most_steps, earlier, beginning, splices)
        if read.fingerprint is None:
            return None
        lane = Lane(session, agent, read.model)
        sent = SentPrompt(id, lane, read.fingerprint, started_at, named, payer, frozenset(betas))
        self.lanes.add(sent)
        return Asked(sent, read.prompt)

    def answered(
        self, asked: Asked, usage: Usage | None, *, began_at: datetime | None, ended_at: datetime
    ) -> Verdict | None:
        """
        The priced verdict on a request that was answered; None if its bill is unknown.

        Args:
            asked: the request.
            usage: the usage that it was billed for.
            began_at: when its answer began; None if unknown.
            ended_at: when its answer was complete.
        """
        sent = asked.sent
        sent.usage, sent.began_at, sent.ended_at = usage, began_at, ended_at
        if usage is None:
            return None
        if (whole := all_read(sent)) is not None:
            return whole
        earlier = self.lanes.before(sent)
        verdict = diagnose(sent, asked.prompt, earlier)
        if verdict is None:
            return None
        base = next((other for other in earlier if other.id == verdict.base), None)
        if base is not None:
            self.lanes.used(base)
        if not verdict.misses:
            return verdict
        return priced(verdict, usage.tokens, self._prices.input_rates(usage, sent.lane.model, sent.started_at))

    def failed(self, asked: Asked) -> None:
        """
        Record that a request was refused, or ended before an answer.
        """
        asked.sent.failed = True


def betas_of(headers: Iterable[tuple[bytes, bytes]]) -> frozenset[str]:
    """
    The beta features that a request's headers ask for.
    """
    values = ",".join(value.decode("latin-1") for name, value in headers if name.lower() == _BETA)
    return frozenset(filter(None, (value.strip() for value in values.split(","))))
