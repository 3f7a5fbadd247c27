"""
The composition root: transport, relay, server and sinks are built and joined here.

Rule of this file: it opens every part of the proxy and closes it; it prints nothing.
"""

import contextlib
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO, cast

from savemode_cli.cli.screen import say
from savemode_cli.views.printable import printable_json

if TYPE_CHECKING:
    import socket

    from savemode_cli.alerts.raised import Alerts
    from savemode_cli.config import Settings
    from savemode_cli.core.budget.ledger import AsyncLedger, Ledger
    from savemode_cli.core.budget.scopes import Process
    from savemode_cli.core.exchange.exchange import Exchange
    from savemode_cli.core.exchange.observed import Observed, Part, Sink
    from savemode_cli.network import Network
    from savemode_cli.proxy.auto_ttl import AutoTtl
    from savemode_cli.proxy.gateway import Gateway
    from savemode_cli.proxy.keep_warm import KeepWarm
    from savemode_cli.proxy.live_pages import Watch
    from savemode_cli.proxy.relay import Relay
    from savemode_cli.proxy.relay_settings import RelaySettings
    from savemode_cli.proxy.till import Till
    from savemode_cli.proxy.ttl_key import TtlKeyExperiment
    from savemode_cli.proxy.upstream import Transport
    from savemode_cli.serving.access import AccessPolicy
    from savemode_cli.serving.connections import Connections
    from savemode_cli.serving.server import Server
    from savemode_cli.simulated.clock import Clock
    from savemode_cli.simulated.serving import Serving
    from savemode_cli.telemetry.flags import Flags

_OPENING_S = 0.5
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
        sinks: "Sequence[Sink]" = (),
        simulated: "Serving | None" = None,
        now: "Callable[[], datetime]" = lambda: datetime.now(UTC),
        flags: "Flags | None" = None,
        network: "Network | None" = None,
        keep_warm: "KeepWarm | None" = None,
    ) -> None:
        """
        `url` is what a client's base URL must be. `sinks` are told of every exchange. `simulated` is the upstream, where
        it is one of our own. `now` is the time by which budgets are judged, `flags` who decides on the gate's flag, where
        that is not the caller. `network` is how the upstream is reached, `keep_warm` what sends keep-warm requests.
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

    async def serve(self) -> None:
        """
        Serve until the server is told to stop; an upstream of our own begins before it and ends behind it.
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
        Finish what is still to be written: the bills first, then what the sinks have taken.
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
        settings: what was asked for.
        record: is told of every exchange.
        announce: tells the person at the terminal what cannot wait for a report.
        handle_signals: whether SIGINT and SIGTERM stop the server.
        now: the time that all of it goes by. A simulated upstream goes by the same time: give a `Clock`, or it and the
            proxy get one of their own, which can be turned.
        sinks: are told of every exchange besides `record`, in this order.
        prepare: is called when everything is loaded and opened, before the port opens.

    Returns:
        The proxy. Clients can connect, and are answered once it serves.

    Raises:
        ConfigError: the address is not allowed, the port is taken, the upstream is this proxy itself, or the environment
            names a proxy or certificates that cannot be used.
        LedgerUnavailable: the ledger cannot be opened, and every request would be refused without one.
    """
    from savemode_cli.config import override_value
    from savemode_cli.proxy.relay import Relay
    from savemode_cli.proxy.transport import AiohttpTransport
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
    transport = AiohttpTransport(
        upstream,
        connect_timeout_s=settings.connect_timeout_s,
        read_timeout_s=settings.read_timeout_s,
        proxy=network.proxy,
        tls=network.tls,
    )
    recent: deque[Exchange] = deque(maxlen=_RECENT_EXCHANGES)

    def tell(observed: "Observed") -> None:
        recent.append(observed.exchange.shortened())
        for hear in hearers:
            try:
                hear(observed)
            except Exception as error:  # noqa: BLE001 - a sink that fails must not keep the exchange from the others
                relay.tell_failure(error, observed.exchange.id)

    alerts = open_alerts(settings, announce)
    try:
        till = _till_with_alerts(settings, announce, alerts)
    except BaseException:
        listener.close()
        raise
    flags = open_flags(settings, announce)
    auto, ttl_key = open_auto(settings, announce)
    sinks = [*sinks, *(one for one in (auto, alerts) if one is not None), *open_trial(settings, announce)]
    keep_warm = open_keep_warm(settings, now, announce)
    watch = _watch(now())
    hearers = _hearers(record, watch, sinks)
    relay = Relay(
        _relay_settings(settings, upstream),
        transport,
        till,
        tell,
        keep_content=any(sink.wants_content for sink in sinks),
        flags=flags,
        announce=announce,
        env_value=override_value,
        now=now,
        auto=auto,
        keep_warm=keep_warm,
        ttl_key=ttl_key,
    )
    access = AccessPolicy(hosts, any_address=settings.allow_remote, token=settings.access_token, tokens=settings.tokens)
    parts: list[Part] = [part for part in (flags, keep_warm) if part is not None]
    connections = Connections(announce=announce)
    gateway = _gateway(relay, recent, watch, sinks, parts, pages, connections)
    server = Server(
        gateway,
        access,
        grace_s=settings.grace_s,
        handle_signals=handle_signals,
        connections=connections,
        on_stop=watch.broadcast.close,
    )
    url = f"http://{_shown_host(settings.host)}:{port}"
    prepare()
    open_port(listener)
    return Proxy(server, listener, transport, relay, url, sinks, simulated, now, flags, network, keep_warm)


def _relay_settings(settings: "Settings", upstream: str) -> "RelaySettings":
    """
    The settings of the relay, which forwards to this upstream.
    """
    from urllib.parse import urlsplit

    from savemode_cli.clients.table import refusal_statuses
    from savemode_cli.proxy.relay_settings import RelaySettings

    return RelaySettings(
        policy=settings.policy,
        upstream_path=urlsplit(upstream).path.encode(),
        products=settings.products,
        debug=settings.debug,
        save=settings.save,
        observe=settings.observe,
        beta_header=settings.beta_header,
        hold_out=settings.hold_out,
        forward_posthog_headers=settings.forward_posthog_headers,
        allow_uncounted=settings.allow_uncounted,
        tokens=settings.tokens,
        ledger_options=ledger_options(settings),
        guard=settings.guard_limits,
        refusal=settings.refusal_in_force,
        refusal_statuses=refusal_statuses(),
    )


def _network(settings: "Settings", announce: Callable[[str, str], None]) -> "Network":
    """
    How the upstream is reached; what variables of the environment change about that is told.
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
    Who is told of an exchange: the screen first, then the sums, then the sinks.
    """
    from functools import partial

    return [lambda observed: record(observed.exchange), watch.hear, *(partial(_tell_sink, sink) for sink in sinks)]


def _watch(now: datetime) -> "Watch":
    """
    Who adds up the exchanges from now on.
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
) -> "Gateway":
    """
    The application, with the pages about what it does.
    """
    from savemode_cli.proxy.gateway import Gateway
    from savemode_cli.proxy.live_pages import LivePages, Look
    from savemode_cli.views.live_page import POLICY, page, read_files

    look = Look(page, POLICY, read_files())
    pages = {**LivePages(watch, relay, recent, look).pages, **pages}
    return Gateway(relay, recent, sinks=sinks, parts=parts, pages=pages, connections=connections)


def _tell_sink(sink: "Sink", observed: "Observed") -> None:
    sink.keep(observed if sink.wants_content else observed.without_content())


def _simulated(settings: "Settings", now: "Callable[[], datetime]", access: "AccessPolicy") -> "tuple[Serving, Clock]":
    """
    An upstream of our own. Its policy has the names of the proxy's, which passes Origin headers on, and no token. It
    answers the models of the price file too.
    """
    from savemode_cli.prices import read_price_file
    from savemode_cli.simulated.clock import Clock
    from savemode_cli.simulated.serving import Serving
    from savemode_cli.simulated.upstream import Behaviour, SimulatedUpstream

    rows = [] if settings.price_file is None else read_price_file(settings.price_file)
    behaviour = Behaviour(models=frozenset(row.model for row in rows))
    clock = now if isinstance(now, Clock) else Clock()
    return Serving(SimulatedUpstream(behaviour, clock=clock), access=access), clock


def ledger_options(settings: "Settings") -> str | None:
    """
    What `savemode budget` needs to reach the ledger of a proxy with these settings, whatever folder and environment it is
    run in; None for a ledger that only the proxy has.
    """
    import shlex

    from savemode_cli.config import shown_url
    from savemode_cli.ledgers import file_of

    if not settings.ledger_id:
        return None
    if settings.uses_own_ledger:
        return ""
    file = file_of(settings.ledger_url)
    url = shown_url(settings.ledger_url) if file is None else f"sqlite:///{file.absolute()}"
    return f" --ledger {shlex.quote(url)}"


@contextlib.contextmanager
def findable(settings: "Settings", proxy: Proxy) -> Iterator[None]:
    """
    Let other commands of this user, like `savemode budget show`, find a proxy until the end of the block.
    """
    import os

    from savemode_cli.serving.running import RunningProxy, registered

    with registered(settings.proxies_folder, RunningProxy(proxy.url, os.getpid(), settings.ledger_id)):
        yield


@contextlib.contextmanager
def opened_sinks(settings: "Settings", announce: Callable[[str, str], None], out: TextIO) -> "Iterator[Sequence[Sink]]":
    """
    Whoever is told of every exchange besides the terminal. They are closed at the end, whether or not a proxy began.
    """
    sinks: list[Sink] = []
    try:
        sinks += open_captures(settings, announce)
        for sink in open_telemetry(settings, announce, out):
            sinks.append(sink)
        yield sinks
    finally:
        for sink in sinks:
            sink.close()


def open_captures(settings: "Settings", announce: Callable[[str, str], None]) -> "list[Sink]":
    """
    The sink that keeps what is said, where that was asked for.

    Raises:
        ConfigError: its folder is not one to keep such things in.
    """
    if settings.capture is None:
        return []
    from savemode_cli.captures.sink import CaptureSink

    return [CaptureSink(settings.capture, announce, upstream=settings.upstream, keep=settings.keep)]


def open_telemetry(settings: "Settings", announce: Callable[[str, str], None], out: TextIO) -> "Iterator[Sink]":
    """
    The sinks of the table `SINKS` that the settings ask for, each opened when it is taken.
    """
    from savemode_cli import __version__
    from savemode_cli.telemetry.definition import SinkContext
    from savemode_cli.telemetry.sinks import configured_sinks

    context = SinkContext(
        settings, __version__, announce, lambda text: say(out, printable_json(text)), is_terminal=out.isatty()
    )
    for definition in configured_sinks(settings):
        yield definition.open(context)


def open_alerts(settings: "Settings", announce: Callable[[str, str], None]) -> "Alerts | None":
    """
    Who tells a person that money runs out; None without a channel.
    """
    from savemode_cli.alerts.channels import configured_channels
    from savemode_cli.alerts.raised import Alerts
    from savemode_cli.alerts.sender import Sender
    from savemode_cli.core.budget.alerts import Crossings

    senders = [Sender(one.name, one.open(settings), announce) for one in configured_channels(settings)]
    return Alerts(senders, Crossings(settings.alerts_at), settings.ledger_id) if senders else None


def _till_with_alerts(settings: "Settings", announce: Callable[[str, str], None], alerts: "Alerts | None") -> "Till":
    """
    The till, whose crossings and troubles raise alerts.

    Raises:
        LedgerUnavailable: as `open_till`.
    """
    if alerts is None:
        return open_till(settings, announce)
    till = open_till(settings, alerts.listening(announce))
    alerts.claim_with(till)
    till.observe(alerts.settled)
    return till


def open_flags(settings: "Settings", announce: Callable[[str, str], None]) -> "Flags | None":
    """
    PostHog's evaluation of the gate's flag, where it is configured; else the callers' headers count.
    """
    if not settings.asks_flags or settings.posthog_api_key is None or settings.posthog_distinct_id is None:
        return None
    from savemode_cli.telemetry.flags import Evaluation, Flags

    evaluate = Evaluation(settings.posthog_api_key, settings.posthog_host, settings.posthog_personal_api_key)
    return Flags(evaluate, settings.posthog_distinct_id, announce)


def open_till(settings: "Settings", announce: Callable[[str, str], None]) -> "Till":
    """
    The ledger, the configured budgets and the prices, joined.

    A ledger that cannot be opened is told, and the proxy starts all the same if its requests pass without one.

    Raises:
        LedgerUnavailable: they do not (`fail_for`).
    """
    from savemode_cli.core.budget.without_ledger import fail_for
    from savemode_cli.core.errors import LedgerUnavailable
    from savemode_cli.ledgers import connected_ledger, open_ledger
    from savemode_cli.ledgers.unavailable import UnavailableLedger
    from savemode_cli.prices import load_prices
    from savemode_cli.proxy.local_ledger import LocalLedger
    from savemode_cli.proxy.till import Till

    def opened() -> "Ledger":
        # The event loop makes its calls, so they do not wait. Opening does, for other processes may be opening it too.
        return open_ledger(settings.ledger_url, busy_s=0, opening_s=_OPENING_S)

    table, password = load_prices(settings.price_file), settings.password_of_ledger()
    connected = connected_ledger(settings.ledger_url, password=password)
    edge: AsyncLedger
    trouble = None
    try:
        edge = LocalLedger(opened()) if connected is None else connected
        if connected is not None:
            _check(connected)
    except LedgerUnavailable as error:
        if fail_for(settings.budgets(), settings.fail) == "closed":
            raise type(error)(error.message, hint=f"{error.hint}; --fail open starts without the ledger") from error
        trouble = error
        edge = connected or LocalLedger(cast("Ledger", UnavailableLedger(opened)))
    return Till(
        edge,
        table,
        announce,
        budgets=settings.budgets(),
        fail=settings.fail,
        trouble=trouble,
        process=_process(),
    )


def _check(ledger: "AsyncLedger") -> None:
    """
    Whether a ledger over a network answers and can be written.

    Raises:
        LedgerUnavailable: it does not, or cannot.
    """
    import asyncio

    async def check() -> None:
        try:
            await ledger.check()
        finally:
            await ledger.disconnect()

    asyncio.run(check())


def _process() -> "Process":
    """
    What this process is to budgets of a run or a project.
    """
    import os
    from datetime import UTC, datetime
    from pathlib import Path

    from savemode_cli.core.budget.scopes import Process

    here = Path.cwd()
    root = next((folder for folder in (here, *here.parents) if (folder / ".git").exists()), here)
    return Process(f"{datetime.now(UTC):%y%m%d-%H%M%S}-{os.getpid()}", str(root))


def open_ttl_key(settings: "Settings", announce: Callable[[str, str], None]) -> "TtlKeyExperiment | None":
    """
    The experiment on the key of the cache, and its verdicts; with a simulated upstream there are none.
    """
    if settings.is_simulated or (settings.ttl_policy != "auto" and not settings.hold_out):
        return None
    from savemode_cli.proxy.ttl_key import TtlKeyExperiment
    from savemode_cli.proxy.ttl_key_file import TtlKeyFile

    return TtlKeyExperiment(TtlKeyFile(settings.ttl_key_file), announce)


def open_auto(
    settings: "Settings", announce: Callable[[str, str], None]
) -> "tuple[AutoTtl | None, TtlKeyExperiment | None]":
    """
    The policy `auto`, if it is the one, and the experiment that it may need; with a simulated upstream it begins without a
    history, and leaves none.
    """
    experiment = open_ttl_key(settings, announce)
    if settings.ttl_policy != "auto":
        return None, experiment
    from savemode_cli.prices import load_prices
    from savemode_cli.proxy.auto_history import AutoHistoryFile
    from savemode_cli.proxy.auto_ttl import AutoTtl

    prices = load_prices(settings.price_file)
    file = None if settings.is_simulated else AutoHistoryFile(settings.auto_file)
    if experiment is None:
        return AutoTtl(prices, file, announce), None
    return AutoTtl(prices, file, announce, experiment.carries_over), experiment


def open_keep_warm(
    settings: "Settings", now: "Callable[[], datetime]", announce: Callable[[str, str], None]
) -> "KeepWarm | None":
    """
    What sends keep-warm requests, if any are allowed.
    """
    if not settings.keep_warm:
        return None
    from savemode_cli.proxy.keep_warm import KeepWarm

    return KeepWarm(settings.keep_warm, settings.keep_warm_hourly, now, announce)


def open_trial(settings: "Settings", announce: Callable[[str, str], None]) -> "list[Sink]":
    """
    The sink that notes what the sessions of a trial cost, if there is a trial; with a simulated upstream nothing is noted.
    """
    if not settings.hold_out or settings.is_simulated:
        return []
    from savemode_cli.proxy.trial import TrialSink
    from savemode_cli.proxy.trial_file import TrialFile

    return [TrialSink(TrialFile(settings.trial_file), announce)]


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
