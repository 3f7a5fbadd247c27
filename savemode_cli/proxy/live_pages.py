"""
`/-/`, `/-/summary`, `/-/events` and `/-/metrics`: the state of the proxy, for people and programs.

Rule of this file: it writes HTTP. All numbers come from `RunningSummary` and from the ledger.
"""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from savemode_cli.core.budget.admission import Standing
from savemode_cli.core.budget.forecast import Forecast
from savemode_cli.core.budget.overview import standing_json
from savemode_cli.core.errors import LedgerUnavailable
from savemode_cli.core.exchange.exchange import Exchange
from savemode_cli.core.exchange.observed import Observed
from savemode_cli.core.exchange.running import RunningSummary
from savemode_cli.proxy.broadcast import Broadcast
from savemode_cli.proxy.forecasts import Forecasts
from savemode_cli.proxy.metrics import exposition
from savemode_cli.proxy.relay import Relay

_LONGEST_NAME = 200
_HEADERS = {"cache-control": "no-store", "x-content-type-options": "nosniff"}


class PrintableJson(JSONResponse):
    """
    JSON in ASCII without control characters, because it contains text from clients and curl prints it to a terminal.
    """

    def render(self, content: Any) -> bytes:
        """
        Encode the content.
        """
        return json.dumps(content, separators=(",", ":")).replace("\x7f", "\\u007f").encode()


class Watch:
    """
    Adds every exchange to the totals and sends it to the readers of `/-/events`.
    """

    def __init__(self, running: RunningSummary) -> None:
        """
        Args:
            running: the totals.
        """
        self.running = running
        self.broadcast = Broadcast()

    def hear(self, observed: Observed) -> None:
        """
        Add an exchange.
        """
        exchange = observed.exchange
        self.running.add(exchange, observed.ended_at, observed.caller)
        if self.broadcast.is_heard:
            self.broadcast.publish("exchange", exchange.to_json())


@dataclass(frozen=True, slots=True)
class Look:
    """
    What the page for people needs from the views.
    """

    page: Callable[..., str]
    """Renders the page; see `savemode_cli.views.live_page.page`."""
    policy: str
    """The Content-Security-Policy of the page."""
    files: Mapping[str, tuple[bytes, str]]
    """The files that the page loads: content and media type, by path."""


class LivePages:
    """
    The pages about the running proxy.
    """

    def __init__(
        self,
        watch: Watch,
        relay: Relay,
        recent: Collection[Exchange],
        look: Look,
        forecasts: Forecasts | None = None,
    ) -> None:
        """
        Args:
            watch: has the totals and the readers of events.
            relay: has the budgets and the number of running requests.
            recent: the last exchanges, oldest first.
            look: what the page for people needs from the views.
            forecasts: makes the forecasts of budgets; None without any.
        """
        self._forecasts = forecasts
        self._watch = watch
        self._relay = relay
        self._recent = recent
        self._look = look

    @property
    def pages(self) -> Mapping[str, Any]:
        """
        The pages by their paths.
        """
        pages = {
            "/-/": self.page,
            "/-/summary": self.summary,
            "/-/events": self.events,
            "/-/metrics": self.metrics,
        }
        return {**pages, **dict.fromkeys(self._look.files, self.file)}

    async def page(self, request: Request) -> Response:
        """
        The page for people; `?sort=NAME` sorts its sessions.
        """
        standings = await self._standings()
        text = self._look.page(
            self._watch.running,
            standings,
            list(self._recent),
            self._relay.now(),
            in_flight=self._relay.in_flight,
            sort=request.query_params.get("sort", ""),
            forecasts=self._forecasts_of(standings),
        )
        headers = {**_HEADERS, "content-security-policy": self._look.policy, "referrer-policy": "no-referrer"}
        return Response(text, media_type="text/html", headers=headers)

    async def file(self, request: Request) -> Response:
        """
        A file that the page loads.
        """
        content, media_type = self._look.files[request.url.path]
        return Response(content, headers={**_HEADERS, "content-type": media_type})

    async def summary(self, request: Request) -> Response:
        """
        The totals since the proxy started; `?session=ID` selects one session.
        """
        # Read the budgets first: that call waits until all finished requests are charged and in the totals.
        budgets = await self._budgets()
        now = self._relay.now()
        session = request.query_params.get("session")
        running = self._watch.running
        sums = running.to_json(now) if session is None else running.session_json(session[:_LONGEST_NAME], now)
        return PrintableJson({**sums, "in_flight": self._relay.in_flight, "budgets": budgets}, headers=_HEADERS)

    async def _budgets(self) -> list[dict[str, Any]] | None:
        standings = await self._standings()
        if standings is None:
            return None
        forecasts = self._forecasts_of(standings)
        return [
            {
                **standing_json(standing),
                "forecast": forecasts[standing.limit.key].to_json() if standing.limit.key in forecasts else None,
            }
            for standing in standings
        ]

    def _forecasts_of(self, standings: Sequence[Standing] | None) -> Mapping[str, Forecast]:
        """
        The last forecasts by the key of the budget.
        """
        if self._forecasts is None or not standings:
            return {}
        return self._forecasts.of(standings, self._relay.now())

    async def _standings(self) -> Sequence[Standing] | None:
        """
        The shared budgets; None if the ledger does not answer.
        """
        try:
            return await self._relay.till.standings(self._relay.now())
        except LedgerUnavailable:
            return None

    async def metrics(self, _request: Request) -> Response:
        """
        The totals in the text format of Prometheus.
        """
        standings = await self._standings()
        text, media_type = exposition(self._watch.running, standings, self._relay.in_flight)
        return Response(text, headers={**_HEADERS, "content-type": media_type})

    async def events(self, _request: Request) -> Response:
        """
        Every exchange from now on, as server-sent events of the type `exchange`.
        """
        broadcast = self._watch.broadcast
        if broadcast.is_full:
            return PrintableJson({"error": "too many readers of events; close one"}, 503, headers=_HEADERS)
        return StreamingResponse(broadcast.events(), media_type="text/event-stream", headers=_HEADERS)
