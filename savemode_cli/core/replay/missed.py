"""
Recorded calls, each with the verdict on what it did not read from the cache.

Rule of this file: calls that cannot be judged are counted by the reason, as in `bodies`.
"""

from savemode_cli.core.diagnosis.history import History, betas_of
from savemode_cli.core.diagnosis.lanes import Lanes
from savemode_cli.core.diagnosis.report import Diagnosed
from savemode_cli.core.errors import BadInput
from savemode_cli.core.money.pricing import PriceTable
from savemode_cli.core.replay.bodies import FIRST_BYTE, UNRECORDED, caller_of
from savemode_cli.core.replay.recording import Call
from savemode_cli.core.wire.facts import facts
from savemode_cli.core.wire.products import PRODUCTS, Products
from savemode_cli.core.wire.sessions import named_session, session_key

_MOST_LANES, _MOST_PROMPTS, _MOST_BYTES = 1024, 128, 200_000_000


class CallHistory:
    """
    Judges recorded calls in the order in which they were sent.
    """

    def __init__(self, prices: PriceTable, product: str, products: Products = PRODUCTS) -> None:
        """
        Create an empty history.

        Args:
            prices: what tokens cost.
            product: the product of requests that do not name one.
            products: the configured products.
        """
        lanes = Lanes(max_lanes=_MOST_LANES, max_prompts=_MOST_PROMPTS, max_bytes=_MOST_BYTES)
        self.unusable: dict[str, int] = {}
        self._history = History(prices, lanes)
        self._prices = prices
        self._product, self._products = product, products
        self._sessions: dict[str, str] = {}
        self._joined: dict[str, str] = {}

    def feed(self, call: Call) -> Diagnosed | None:
        """
        Judge the next call; None if it cannot be judged.
        """
        found = self._judged(call)
        if isinstance(found, str):
            self.unusable[found] = self.unusable.get(found, 0) + 1
            return None
        return found

    def _judged(self, call: Call) -> Diagnosed | str:
        """
        The call with its verdict, or the reason why it cannot be judged.
        """
        if not call.answered:
            return "failed"
        if call.started_at is None:
            return "no time"
        caller, known = caller_of(call, self._product, self._products), facts(call.body)
        key = call.session or session_key(caller, known)
        named = named_session(caller, known)
        session = named or key
        # A capture has no header of an agent, but a key of its own for each.
        lane = key if call.session is not None else session
        try:
            asked = self._history.asked(
                call.place,
                call.body,
                lane,
                started_at=call.started_at,
                named=named is not None,
                agent=caller.agent_id or "",
                payer=caller.key_fingerprint,
                betas=betas_of(call.headers),
            )
        except BadInput:
            return "no messages body"
        if asked is None:
            return "too many blocks"
        ended = call.ended_at or call.started_at + UNRECORDED
        began = min(call.started_at + FIRST_BYTE, ended)
        verdict = self._history.answered(asked, call.usage, began_at=began, ended_at=ended)
        if verdict is None or call.usage is None:
            return "no usage"
        model = asked.sent.lane.model
        cost = self._prices.bill(call.usage, model, call.started_at).cost.total_nusd
        if named is None:
            session = self._same_session(session, call.place, verdict.base)
        return Diagnosed(call.place, session, model, call.started_at, verdict, cost, key, diagnosis=call.diagnosis)

    def _same_session(self, session: str, place: str, base: str) -> str:
        """
        The session to which a request belongs. If its own key is new, this is the session of the request that it
        continues.

        The key of a client that names no session is made from its system prompt, and changes with it.
        """
        joined = self._joined.setdefault(session, self._sessions.get(base, session))
        self._sessions[place] = joined
        return joined
