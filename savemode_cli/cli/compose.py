"""
The composition root: transport, relay, server and sinks are built and joined here.

Rule of this file: it opens every part of the proxy and closes it; it prints nothing.
"""

import contextlib
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from savemode_cli.cli.opening import (
    open_alerts,
    open_auto,
    open_flags,
    open_keep_warm,
    open_till_with_alerts,
    open_trial,
    relay_settings,
)

if TYPE_CHECKING:
    import socket

    from savemode_cli.config import Settings
    from savemode_cli.core.budget.ledger import Charge
    from savemode_cli.core.exchange.exchange import Exchange
    from savemode_cli.core.exchange.observed import Observed, Part, Sink
    from savemode_cli.core.exchange.summary import Summary
    from savemode_cli.network import Network
    from savemode_cli.proxy.gateway import Gateway
    from savemode_cli.proxy.keep_warm import KeepWarm
    from savemode_cli.proxy.live_pages import Watch
    from savemode_cli.proxy.relay import Relay
    from savemode_cli.proxy.upstream import Transport
    from savemode_cli.serving.access import AccessPolicy
    from savemode_cli.serving.connections import Connections
    from savemode_cli.serving.server import Server
    from savemode_cli.simulated.clock import Clock
    from savemode_cli.simulated.serving import Serving
    from savemode_cli.telemetry.flags import Flags

_RECENT_EXCHANGES = 200  # what `/-/exchanges` can show


class Proxy:
    """
    A proxy that is put together and listens, but does not serve yet.
    """

    def __init__(
        self,
        server: "Server",
        listener: "socket.socket",
        transport: "Transport",
        relay: "Relay",
        url: str,
        watch: "Watch",
        sinks: "Sequence[Sink]" = (),
        simulated: "Serving | None" = None,
        now: "Callable[[], datetime]" = lambda: datetime.now(UTC),
        flags: "Flags | None" = None,
        network: "Network | None" = None,
        keep_warm: "KeepWarm | None" = None,
    ) -> None:
        """
        Args:
            server: serves HTTP.
            listener: the socket that listens.
            transport: sends requests to the upstream.
            relay: forwards requests.
            url: the base URL for clients.
            watch: adds up the exchanges.
            sinks: receive every exchange.
            simulated: the simulated upstream; None with another one.
            now: the clock by which budgets are judged.
            flags: evaluates the gate's flag; None if the flags of the caller count.
            network: how the upstream is reached.
            keep_warm: sends keep-warm requests; None if none are allowed.
        """
        self.server = server
        self.listener = listener
        self.transport = transport
        self.relay = relay
        self.url = url
        self.simulated = simulated
        self.now = now
        self.sinks = sinks
        self.network = network
        self.keep_warm = keep_warm
        self._flags = flags
        self._watch = watch

    @property
    def summary(self) -> "Summary":
        """
        The sum of all exchanges so far.
        """
        return self._watch.running.summary

    async def serve(self) -> None:
        """
        Serve until the server is stopped. A simulated upstream starts before the server and ends after it.
        """
        import asyncio

        from savemode_cli.serving.server import serve as serve_until_stopped

        warming = None if self.keep_warm is None else asyncio.create_task(self.keep_warm.run())
        try:
            async with self.simulated or contextlib.nullcontext():
                await serve_until_stopped(self.server, self.listener, self.transport.aclose)
        finally:
            if warming is not None:
                warming.cancel()
            self.relay.upgrading.bodies.close()
            await self.relay.till.disconnect()

    def close(self) -> None:
        """
        Write everything that is not written yet: first the bills, then what the sinks have received.
        """
        till = self.relay.till
        till.outside_loop(till.shut())
        if self._flags is not None:
            self._flags.close()
        for sink in self.sinks:
            sink.close()


def compose(
    settings: "Settings",
    record: "Callable[[Exchange], None]",
    announce: Callable[[str, str], None],
    *,
    handle_signals: bool = True,
    now: "Callable[[], datetime]" = lambda: datetime.now(UTC),
    sinks: "Sequence[Sink]" = (),
    prepare: Callable[[], object] = lambda: None,
) -> Proxy:
    """
    Put transport, relay and server together and, when everything else is done, open the port.

    Args:
        settings: the configured options.
        record: receives every exchange.
        announce: receives an event and a text that the user must see at once.
        handle_signals: whether SIGINT and SIGTERM stop the server.
        now: the clock. A simulated upstream uses the same one: if it is not a `Clock`, which can be set, both get a new
            `Clock`.
        sinks: receive every exchange after `record`, in this order.
        prepare: called after everything is loaded and opened, before the port opens.

    Returns:
        The proxy. Clients can connect, and are answered once it serves.

    Raises:
        ConfigError: the address is not allowed, the port is taken, the upstream is this proxy itself, or the environment
            names a proxy or certificates that cannot be used.
        LedgerUnavailable: the ledger cannot be opened, and every request would be refused without one.
    """
    from savemode_cli.config import override_value
    from savemode_cli.proxy.relay import Relay
    from savemode_cli.serving.access import AccessPolicy, is_loopback
    from savemode_cli.serving.connections import Connections
    from savemode_cli.serving.server import Server, bind, open_port
    from savemode_cli.simulated.pages import PAGES

    _check_address(settings, loopback=is_loopback(settings.host))
    network = _network(settings, announce)
    listener = bind(settings.host, settings.port)
    port = listener.getsockname()[1]
    hosts = frozenset({settings.host.lower(), *settings.allow_host})
    simulated, upstream, pages = None, settings.upstream, {}
    if settings.is_simulated:
        simulated, now = _simulated(settings, now, AccessPolicy(hosts, any_address=settings.allow_remote))
        upstream, pages = simulated.url, dict.fromkeys(PAGES, simulated.app)
    _check_upstream(settings, upstream, port, listener)
    transport = _transport(settings, upstream, network)
    recent: deque[Exchange] = deque(maxlen=_RECENT_EXCHANGES)
    alerts = open_alerts(settings, announce)
    with _closed_on_error(listener):
        till = open_till_with_alerts(settings, announce, alerts)
    flags = open_flags(settings, announce)
    auto, ttl_key = open_auto(settings, announce)
    keep_warm = open_keep_warm(settings, now, announce, auto)
    sinks = [*sinks, *(sink for sink in (auto, alerts) if sink is not None), *open_trial(settings, announce)]
    watch = _watch(now())
    relay = Relay(
        relay_settings(settings, upstream),
        transport,
        till,
        partial(_record, recent, _hearers(record, watch, sinks), announce),
        keep_content=any(sink.wants_content for sink in sinks),
        flags=flags,
        announce=announce,
        env_value=override_value,
        now=now,
        auto=auto if settings.ttl_policy == "auto" else None,
        keep_warm=keep_warm,
        ttl_key=ttl_key,
    )
    parts: list[Part] = [part for part in (flags, keep_warm) if part is not None]
    connections = Connections(announce=announce, incoming_mb=settings.incoming_mb)
    server = Server(
        _gateway(relay, recent, watch, sinks, parts, pages, connections, settings),
        AccessPolicy(hosts, any_address=settings.allow_remote, token=settings.access_token, tokens=settings.tokens),
        grace_s=settings.grace_s,
        handle_signals=handle_signals,
        connections=connections,
        on_stop=watch.broadcast.close,
    )
    url = f"http://{_shown_host(settings.host)}:{port}"
    prepare()
    open_port(listener)
    return Proxy(server, listener, transport, relay, url, watch, sinks, simulated, now, flags, network, keep_warm)


@contextlib.contextmanager
def _closed_on_error(listener: "socket.socket") -> Iterator[None]:
    try:
        yield
    except BaseException:
        listener.close()
        raise


def _record(
    recent: "deque[Exchange]",
    hearers: "Sequence[Callable[[Observed], None]]",
    announce: Callable[[str, str], None],
    observed: "Observed",
) -> None:
    """
    Keep an exchange for `/-/exchanges`, and give it to everything that receives exchanges.
    """
    from savemode_cli.proxy.failures import tell_failure

    recent.append(observed.exchange.shortened())
    for hear in hearers:
        try:
            hear(observed)
        except Exception as error:  # noqa: BLE001 - a sink that fails must not keep the exchange from the others
            tell_failure(announce, error, observed.exchange.id)


def _transport(settings: "Settings", upstream: str, network: "Network") -> "Transport":
    from savemode_cli.proxy.transport import AiohttpTransport

    return AiohttpTransport(
        upstream,
        connect_timeout_s=settings.connect_timeout_s,
        read_timeout_s=settings.read_timeout_s,
        proxy=network.proxy,
        tls=network.tls,
    )


def _network(settings: "Settings", announce: Callable[[str, str], None]) -> "Network":
    """
    How the upstream is reached. What the variables of the environment change is announced.
    """
    from savemode_cli.network import Network, network_for

    network = Network() if settings.is_simulated else network_for(settings.upstream)
    for note in network.notes:
        announce("environment", note)
    return network


def _hearers(
    record: "Callable[[Exchange], None]", watch: "Watch", sinks: "Sequence[Sink]"
) -> "list[Callable[[Observed], None]]":
    """
    What receives an exchange: first the screen, then the sums, then the sinks.
    """
    return [lambda observed: record(observed.exchange), watch.hear, *(partial(_tell_sink, sink) for sink in sinks)]


def _watch(now: datetime) -> "Watch":
    """
    Adds up the exchanges from now on.
    """
    from savemode_cli.core.exchange.running import RunningSummary
    from savemode_cli.proxy.live_pages import Watch

    return Watch(RunningSummary(now))


def _gateway(
    relay: "Relay",
    recent: "Collection[Exchange]",
    watch: "Watch",
    sinks: "Sequence[Sink]",
    parts: "Sequence[Part]",
    pages: "Mapping[str, Any]",
    connections: "Connections",
    settings: "Settings",
) -> "Gateway":
    """
    The application, with its own pages.
    """
    from functools import partial

    from savemode_cli.proxy.forecasts import Forecasts
    from savemode_cli.proxy.gateway import Gateway
    from savemode_cli.proxy.live_pages import LivePages, Look
    from savemode_cli.views.live_page import POLICY, page, read_files

    look = Look(page, POLICY, read_files())
    forecasts = Forecasts(partial(_charges, settings)) if settings.ledger_id else None
    pages = {**LivePages(watch, relay, recent, look, forecasts).pages, **pages}
    return Gateway(relay, recent, sinks=sinks, parts=parts, pages=pages, connections=connections)


def _charges(settings: "Settings", since: datetime) -> "tuple[Charge, ...]":
    """
    What was charged since a time, read beside the event loop.
    """
    from savemode_cli.ledgers import open_ledger

    ledger = open_ledger(settings.ledger_url, password=settings.password_of_ledger())
    try:
        return ledger.charges(since)
    finally:
        ledger.close()


def _tell_sink(sink: "Sink", observed: "Observed") -> None:
    sink.keep(observed if sink.wants_content else observed.without_content())


def _simulated(settings: "Settings", now: "Callable[[], datetime]", access: "AccessPolicy") -> "tuple[Serving, Clock]":
    """
    The simulated upstream and its clock. Its access policy allows the names of the proxy and needs no token. It also knows
    the models of the price file.
    """
    from savemode_cli.prices import read_price_file
    from savemode_cli.simulated.clock import Clock
    from savemode_cli.simulated.serving import Serving
    from savemode_cli.simulated.upstream import Behaviour, SimulatedUpstream

    rows = [] if settings.price_file is None else read_price_file(settings.price_file)
    behaviour = Behaviour(models=frozenset(row.model for row in rows))
    clock = now if isinstance(now, Clock) else Clock()
    return Serving(SimulatedUpstream(behaviour, clock=clock), access=access), clock


@contextlib.contextmanager
def findable(settings: "Settings", proxy: Proxy) -> Iterator[None]:
    """
    Let other commands of this user, like `savemode budget show`, find a proxy until the end of the block.
    """
    import os

    from savemode_cli.serving.running import RunningProxy, registered

    with registered(settings.proxies_folder, RunningProxy(proxy.url, os.getpid(), settings.ledger_id)):
        yield


def _check_address(settings: "Settings", *, loopback: bool) -> None:
    from savemode_cli.core.errors import ConfigError

    if loopback:
        return
    if settings.save:
        raise ConfigError(
            f"--save listens on loopback only, not on {settings.host}",
            hint="omit --host, or turn it off: omit --save, or set SAVEMODE_SAVE=false if your config file has it",
        )
    if settings.debug:
        raise ConfigError(f"debug listens on loopback only, not on {settings.host}", hint="omit --debug or --host")
    if not settings.allow_remote:
        raise ConfigError(
            f"{settings.host} can be reached from other machines", hint="add --allow-remote if that is what you want"
        )
    if settings.access_token is None and not settings.tokens:
        raise ConfigError(
            "--allow-remote needs an access token",
            hint="one for each person: savemode tokens add NAME; or one for all: set SAVEMODE_ACCESS_TOKEN to 16 characters "
            "or more; clients send it as x-savemode-token",
        )


def _check_upstream(settings: "Settings", upstream: str, port: int, listener: Any) -> None:
    from urllib.parse import urlsplit

    from savemode_cli.core.errors import ConfigError
    from savemode_cli.serving.access import is_loopback

    parts = urlsplit(upstream)
    theirs = parts.port or {"http": 80, "https": 443}[parts.scheme]
    if theirs == port and (is_loopback(parts.hostname or "") or parts.hostname == settings.host):
        listener.close()
        raise ConfigError(f"the upstream {upstream} is this proxy itself", hint="give another --port or --upstream")


def _shown_host(host: str) -> str:
    return f"[{host}]" if ":" in host else host
