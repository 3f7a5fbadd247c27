"""
The cache miss of each model call, judged while the proxy runs.

Rule of this file: nothing is computed before a request was forwarded. No text of a prompt is kept; see
`core.diagnosis.fingerprint`.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta

from savemode_cli.core.diagnosis.causes import Verdict
from savemode_cli.core.diagnosis.history import Asked, History, Prices, betas_of
from savemode_cli.core.diagnosis.splices import NO_SPLICES, Splice, Splices
from savemode_cli.core.errors import BadInput
from savemode_cli.core.upgrade.edits import Edit
from savemode_cli.core.wire.reading_work import TooMuchWork
from savemode_cli.core.wire.sessions import named_session
from savemode_cli.core.wire.usage import Usage
from savemode_cli.proxy.call import CallInProgress
from savemode_cli.proxy.progress import ExchangeInProgress
from savemode_cli.proxy.time_share import TimeShare

MAX_BYTES = 2 * 1024 * 1024
"""
The largest body that is judged, about 500,000 tokens of text. Judging takes about 12 ms a megabyte, less if it goes on from
what was seen, and `TimeShare` limits the total.
"""


MAX_STEPS = 10_000
"""
How many parts of a body are read; see `read_blocks`. Without this limit, a body of many tiny blocks would block every
other request for seconds. A body within both limits takes at most about 60 ms.
"""


class CacheMisses:
    """
    The verdicts of one proxy.
    """

    def __init__(
        self, prices: Prices, tell_failure: Callable[[Exception, str], None], time_share: TimeShare | None = None
    ) -> None:
        """
        Args:
            prices: what tokens cost.
            tell_failure: called with an exception in this code and the ID of the request. The request continues normally.
            time_share: how much time judging may take from other requests.
        """
        self._time_share = time_share or TimeShare()
        self._history = History(prices)
        self._tell_failure = tell_failure

    def forwarded(self, exchange: ExchangeInProgress, body: object) -> Asked | None:
        """
        Remember a model call that the upstream has begun to answer.

        Args:
            exchange: the exchange so far.
            body: the body that was sent.

        Returns:
            The request; None if it is not a successful model call, cannot be read, or no time is left.
        """
        status = exchange.answer.status
        if exchange.bill.reservation is None or not isinstance(body, bytes) or exchange.call.facts.problem:
            return None
        if status is None or status >= 300 or len(body) > MAX_BYTES:
            return None
        if not self._time_share.is_left():
            return None
        with self._time_share:
            return self._asked(exchange.call, body, exchange.upgrade.on_wire)

    def _asked(self, call: CallInProgress, body: bytes, edits: Sequence[Edit]) -> Asked | None:
        caller = call.caller
        named = named_session(caller, call.facts)
        only_inserts = not any(edit.removed for edit in edits)
        splices = Splices(sorted([Splice(edit.at, edit.inserted) for edit in edits])) if only_inserts else NO_SPLICES
        try:
            return self._history.asked(
                call.id,
                body,
                named or call.session or "",
                started_at=call.started_at,
                named=named is not None,
                agent=caller.agent_id or "",
                payer=caller.key_fingerprint,
                betas=betas_of(call.inbound.headers),
                most_steps=MAX_STEPS,
                beginning=call.beginning if only_inserts else None,
                splices=splices,
            )
        except (BadInput, TooMuchWork):
            return None
        except Exception as error:  # noqa: BLE001 - the answer continues
            self._tell_failure(error, call.id)
            return None

    def verdict(self, exchange: ExchangeInProgress, usage: Usage | None) -> Verdict | None:
        """
        The verdict on a request with a complete answer; None if the request was not remembered, or if its bill is not
        known.

        Args:
            exchange: the exchange.
            usage: what it was billed for.
        """
        asked, answer, call = exchange.asked, exchange.answer, exchange.call
        ended = answer.ended_at
        if asked is None or ended is None:
            return None
        began = None if answer.first_byte_ms is None else timedelta(milliseconds=answer.first_byte_ms)
        try:
            return self._history.answered(
                asked, usage, began_at=None if began is None else call.started_at + began, ended_at=ended
            )
        except Exception as error:  # noqa: BLE001 - the bill is recorded without it
            self._tell_failure(error, call.id)
            return None
