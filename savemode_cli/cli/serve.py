"""
`savemode serve`: the proxy.

Rule of this file: the composition root. Transport, relay, server and the sinks of an exchange meet here; `run` and
`demo` use the same composition.

Longer than most: every part of the proxy is opened, said in the banner and closed here, and each change touches all three.
"""

import contextlib
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, TextIO, cast

import typer

from savemode_cli.cli import options

if TYPE_CHECKING:
    import socket
    from datetime import timedelta

    import httpx

    from savemode_cli.config import Settings
    from savemode_cli.core.exchange import Exchange
    from savemode_cli.core.gate import GateState
    from savemode_cli.core.ledger import Ledger
    from savemode_cli.core.record import Part, Record, Sink
    from savemode_cli.proxy.accounts import Accounts
    from savemode_cli.proxy.relay import Relay
    from savemode_cli.proxy.server import Server
    from savemode_cli.proxy.simulated.clock import Clock
    from savemode_cli.proxy.simulated.serving import Serving
    from savemode_cli.telemetry.flags import Flags

_RECENT_EXCHANGES = 200  # what `/-/exchanges` can show


def serve(
    host: options.Host = None,
    port: options.Port = None,
    upstream: options.Upstream = None,
    product: options.Product = None,
    ttl_policy: options.TtlPolicy = None,
    debug: options.Debug = None,
    observe: options.Observe = None,
    compat: options.Compat = None,
    no_beta_header: options.NoBetaHeader = None,
    allow_bedrock: options.AllowBedrock = None,
    allow_oauth_edits: options.AllowOauthEdits = None,
    forward_posthog_headers: options.ForwardPosthog = None,
    allow_remote: Annotated[
        bool | None, typer.Option("--allow-remote", help="Permit an address that other machines can reach.")
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option("--allow-host", metavar="NAME", help="A further name under which we may be addressed."),
    ] = None,
    grace_s: Annotated[
        float | None, typer.Option("--grace-s", help="Seconds that running requests get at the end.  [default: 30]")
    ] = None,
    budget: options.BudgetUsd = None,
    budget_window: options.BudgetWindow = None,
    strict: options.Strict = None,
    fail: options.Fail = None,
    ledger: options.LedgerUrl = None,
    price_file: options.PriceFile = None,
    no_telemetry: options.NoTelemetry = None,
    telemetry_content: options.TelemetryContent = None,
    events_file: options.EventsFile = None,
    print_events: options.PrintEvents = None,
    capture: options.Capture = None,
    keep: options.Keep = None,
    config: options.Config = None,
    log_format: options.LogFormat = None,
    quiet: options.Quiet = None,
    verbose: options.Verbose = None,
) -> None:
    """
    Run the proxy and print every request and each transform.
    """
    flags = options.flags(locals())
    from savemode_cli.config import load
    from savemode_cli.proxy.server import run_in_loop

    settings = load(flags, config=config)
    announce = announcer(sys.stderr)
    with opened_sinks(settings, announce, sys.stdout) as sinks:
        proxy = compose(settings, printer(settings, sys.stdout), announce, sinks=sinks)
        try:
            say_hello(settings, proxy, sys.stderr)
            run_in_loop(proxy.serve)
        finally:
            proxy.close()
    say(sys.stderr, "savemode stopped")
    if proxy.server.signal == signal.SIGINT:
        raise typer.Exit(130)


class Proxy:
    """
    A proxy that is put together and listens, but does not serve yet.
    """

    def __init__(
        self,
        server: "Server",
        listener: "socket.socket",
        transport: "httpx.AsyncBaseTransport",
        relay: "Relay",
        url: str,
        sinks: "Sequence[Sink]" = (),
        simulated: "Serving | None" = None,
        now: "Callable[[], datetime]" = lambda: datetime.now(UTC),
        flags: "Flags | None" = None,
    ) -> None:
        """
        `url` is what a client's base URL must be. `sinks` are told of every exchange. `simulated` is the upstream, where
        it is one of our own. `now` is the time by which budgets are judged, `flags` who decides on the gate's flag, where
        that is not the caller.
        """
        self.server = server
        self.listener = listener
        self.transport = transport
        self.relay = relay
        self.url = url
        self.simulated = simulated
        self.now = now
        self.sinks = sinks
        self._flags = flags

    async def serve(self) -> None:
        """
        Serve until the server is told to stop; an upstream of our own begins before it and ends behind it.
        """
        from savemode_cli.proxy.server import serve as serve_until_stopped

        async with self.simulated or contextlib.nullcontext():
            await serve_until_stopped(self.server, self.listener, self.transport)

    def close(self) -> None:
        """
        Finish what is still to be written: the bills first, then what the sinks have taken.
        """
        self.relay.desk.close()
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
) -> Proxy:
    """
    Put transport, relay and server together and open the port. `now` is the time that all of it goes by, `sinks` are
    told of every exchange besides `record`, in this order. A simulated upstream goes by the same time: give a `Clock`, or
    it and the proxy get one of their own, which can be turned.

    Raises:
        ConfigError: the address is not allowed, the port is taken, or the upstream is this proxy itself.
    """
    from functools import partial
    from urllib.parse import urlsplit

    from savemode_cli.config import override_value, proxy_for
    from savemode_cli.core.exchange import shortened
    from savemode_cli.proxy.door import Door, is_loopback
    from savemode_cli.proxy.relay import Relay, RelaySettings
    from savemode_cli.proxy.server import Gateway, Server, listen
    from savemode_cli.proxy.simulated.pages import PAGES
    from savemode_cli.proxy.transport import AiohttpTransport

    _check_address(settings, loopback=is_loopback(settings.host))
    listener = listen(settings.host, settings.port)
    port = listener.getsockname()[1]
    simulated, upstream, pages = None, settings.upstream, {}
    if settings.is_simulated:
        simulated, now = _simulated(now)
        upstream, pages = simulated.url, dict.fromkeys(PAGES, simulated.app)
    _check_upstream(settings, upstream, port, listener)
    transport = AiohttpTransport(
        upstream,
        connect_timeout_s=settings.connect_timeout_s,
        read_timeout_s=settings.read_timeout_s,
        proxy=proxy_for(upstream),
    )
    relay_settings = RelaySettings(
        policy=settings.policy,
        upstream_path=urlsplit(upstream).path.encode(),
        products=settings.products,
        debug=settings.debug,
        observe=settings.observe,
        beta_header=settings.beta_header,
        forward_posthog_headers=settings.forward_posthog_headers,
    )
    recent: deque[Exchange] = deque(maxlen=_RECENT_EXCHANGES)

    hearers: list[Callable[[Record], None]] = [
        lambda told: record(told.exchange),
        *(partial(_tell_sink, sink) for sink in sinks),
    ]

    def tell(told: "Record") -> None:
        recent.append(shortened(told.exchange))
        for hear in hearers:
            try:
                hear(told)
            except Exception as error:  # noqa: BLE001 - one who cannot hear must not keep the others from it
                relay.tell_failure(error, told.exchange.id)

    accounts = open_accounts(settings, announce)
    flags = open_flags(settings, announce)
    relay = Relay(
        relay_settings,
        transport,
        accounts,
        tell,
        keep_content=any(sink.wants_content for sink in sinks),
        flags=flags,
        announce=announce,
        env_value=override_value,
        now=now,
    )
    hosts = frozenset({settings.host.lower(), *settings.allow_host})
    door = Door(hosts, any_address=settings.allow_remote, token=settings.access_token)
    parts: list[Part] = [*sinks, *([] if flags is None else [flags])]
    gateway = Gateway(relay, door, recent, parts=parts, pages=pages)
    server = Server(gateway, grace_s=settings.grace_s, handle_signals=handle_signals)
    url = f"http://{_shown_host(settings.host)}:{port}"
    return Proxy(server, listener, transport, relay, url, sinks, simulated, now, flags)


def _tell_sink(sink: "Sink", told: "Record") -> None:
    sink.keep(told if sink.wants_content else told.without_content())


def _simulated(now: "Callable[[], datetime]") -> "tuple[Serving, Clock]":
    from savemode_cli.proxy.simulated.clock import Clock
    from savemode_cli.proxy.simulated.serving import Serving
    from savemode_cli.proxy.simulated.upstream import SimulatedUpstream

    clock = now if isinstance(now, Clock) else Clock()
    return Serving(SimulatedUpstream(clock=clock)), clock


@contextlib.contextmanager
def opened_sinks(settings: "Settings", announce: Callable[[str, str], None], out: TextIO) -> "Iterator[Sequence[Sink]]":
    """
    Whoever is told of every exchange besides the terminal. They are closed at the end, whether or not a proxy began.
    """
    sinks: list[Sink] = []
    try:
        sinks += open_captures(settings, announce)
        sinks += open_telemetry(settings, announce, out)
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


def open_telemetry(settings: "Settings", announce: Callable[[str, str], None], out: TextIO) -> "list[Sink]":
    """
    The outlets of events: PostHog, a file, `out`. Nothing leaves without a key of PostHog's.
    """
    if not (settings.sends_events or settings.events_file or settings.print_events):
        return []
    from functools import partial

    from savemode_cli import __version__
    from savemode_cli.core.event import Origin, ai_generation
    from savemode_cli.telemetry.background import Background

    origin = Origin(
        settings.upstream,
        __version__,
        settings.posthog_distinct_id,
        settings.posthog_project,
        settings.team_id,
    )
    make = partial(ai_generation, origin=origin)
    sink = partial(Background, make=make, announce=announce, wants_content=settings.telemetry_content)
    sinks: list[Sink] = []
    if settings.sends_events and settings.posthog_api_key is not None:
        from savemode_cli.telemetry.posthog import PostHog
        from savemode_cli.telemetry.spool import Spool

        key, host = settings.posthog_api_key, settings.posthog_host
        spool = Spool(settings.spool_folder, f"{host} {key}")
        sinks.append(sink("telemetry", outlet=PostHog(key, host, compress=settings.telemetry_content), store=spool))
    if settings.events_file is not None:
        from savemode_cli.telemetry.jsonl import File

        sinks.append(sink("events_file", outlet=File(settings.events_file), batch_s=0.2))
    if settings.print_events:
        from savemode_cli.telemetry.printed import Printed

        printed = Printed(lambda text: say(out, text), pretty=out.isatty())
        sinks.append(sink("print_events", outlet=printed, batch_s=0.0))
    return sinks


def open_flags(settings: "Settings", announce: Callable[[str, str], None]) -> "Flags | None":
    """
    PostHog's evaluation of the gate's flag, where it is configured; else the callers' headers count.
    """
    if not settings.asks_flags or settings.posthog_api_key is None or settings.posthog_distinct_id is None:
        return None
    from savemode_cli.telemetry.flags import Evaluation, Flags

    evaluate = Evaluation(settings.posthog_api_key, settings.posthog_host, settings.posthog_personal_api_key)
    return Flags(evaluate, settings.posthog_distinct_id, announce)


def open_accounts(settings: "Settings", announce: Callable[[str, str], None]) -> "Accounts":
    """
    The ledger, the configured budgets and the prices, joined.

    A ledger that cannot be opened is told, and with `--fail open` the proxy starts all the same.

    Raises:
        LedgerUnavailable: with `--fail closed` only.
    """
    from savemode_cli.core.errors import LedgerUnavailable
    from savemode_cli.ledgers import open_ledger
    from savemode_cli.ledgers.unavailable import UnavailableLedger
    from savemode_cli.prices import load_prices
    from savemode_cli.proxy.accounts import Accounts

    def opened() -> "Ledger":
        # Every stream waits with it, so not for long; eight processes that never pause wait 0.02 s at the 99th percentile.
        return open_ledger(settings.ledger_url, busy_s=0.5)

    table = load_prices(settings.price_file)
    ledger: Ledger
    trouble = ""
    try:
        ledger = opened()
    except LedgerUnavailable as error:
        if settings.fail == "closed":
            raise
        announce("ledger_unavailable", f"{error.message}; until it answers, requests go on uncounted")
        trouble = error.message
        ledger = cast("Ledger", UnavailableLedger(error, opened))
    accounts = Accounts(ledger, table, announce, budgets=settings.budgets(), fail=settings.fail)
    accounts.ledger_trouble = trouble  # told already
    return accounts


def printer(settings: "Settings", out: TextIO) -> "Callable[[Exchange], None]":
    """
    The sink that prints each exchange, as text or as one JSON object a line.
    """
    import json

    from savemode_cli.core.exchange import shortened
    from savemode_cli.views.terminal import Ink, detail_lines, request_line

    ink = Ink(colour=wants_colour(out))

    def show(exchange: "Exchange") -> None:
        exchange = shortened(exchange)
        if settings.log_format == "json":
            lines = [json.dumps(exchange.to_json(), separators=(",", ":"))]
        else:
            lines = [request_line(exchange, ink)]
            if not settings.quiet:
                lines += detail_lines(exchange, ink, verbose=settings.verbose)
        say(out, "\n".join(lines))

    return show


def say(out: TextIO, text: str) -> None:
    """
    Write lines at once. If the reader has left (`savemode serve | head`), that is all right: the requests matter more.
    """
    with contextlib.suppress(OSError, ValueError):
        out.write(f"{text}\n")
        out.flush()


def announcer(out: TextIO) -> Callable[[str, str], None]:
    """
    Says what cannot wait for a report: a constant name to grep for, then a sentence.
    """
    from savemode_cli.views.terminal import Ink, printable

    ink = Ink(colour=wants_colour(out))

    def announce(event: str, text: str) -> None:
        say(out, f"{ink('WARNING', 'yellow')} {event}: {printable(text)}")

    return announce


def wants_colour(out: TextIO) -> bool:
    """
    Colour only on a terminal, and never against NO_COLOR (https://no-color.org).
    """
    import os

    return out.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def say_hello(settings: "Settings", proxy: Proxy, out: TextIO) -> None:
    """
    The banner and, before it, the warnings about the gate and the address.
    """
    from savemode_cli import __version__
    from savemode_cli.config import override_value
    from savemode_cli.core.gate import gate_warning
    from savemode_cli.views.terminal import Ink, banner, gate_words

    announce = announcer(out)
    url, gate = proxy.url, proxy.relay.gate()
    warning = gate_warning(override_value(), debug=settings.debug)
    if warning is not None:
        announce(warning.event, warning.text)
    if settings.allow_remote:
        announce("listening_beyond_loopback", f"whoever can reach {url} and has the token can send requests here")
    products = settings.products
    prone = products.idle_prone[settings.product]
    everyone = ", ".join(sorted(name for name, is_prone in products.idle_prone.items() if is_prone))
    policy = {"off": "off: nothing is edited", "always": "always: every product"}.get(
        settings.ttl_policy, f"product: {everyone}"
    )
    if settings.observe:
        policy += "; observing only, the original bytes are sent"
    if settings.compat != "none":
        policy += "; compat upstream"
    product = f"{settings.product} ({'' if prone else 'not '}idle-prone)"
    rows = [
        *(("config", file) for file in settings.files),
        ("upstream", _upstream_words(settings, proxy)),
        ("gate", gate_words(gate)),
        ("policy", policy),
        ("product", product),
        *(("budget", words) for words in _budget_rows(settings, proxy)),
        *(("events", words) for words in _telemetry_rows(settings)),
        *(("captures", words) for words in capture_rows(settings, proxy.sinks)),
    ]
    hints = _hints(settings, gate, prone)
    if settings.is_simulated:
        hints.append(f"turn its clock: curl -d '{{\"advance_s\": 600}}' {url}/-/clock")
    say(out, banner(__version__, url, rows, hints, Ink(colour=wants_colour(out))))


def _upstream_words(settings: "Settings", proxy: Proxy) -> str:
    if proxy.simulated is None:
        return settings.upstream
    return f"simulated ({proxy.simulated.url}); its tokens are estimates"


def capture_rows(settings: "Settings", sinks: "Sequence[Sink]") -> list[str]:
    """
    Where captures go, said to everybody who asked for them; and that they do not, as long as they cannot.
    """
    if settings.capture is None:
        return []
    if any(sink.name == "captures" and sink.trouble for sink in sinks):
        return [f"{settings.capture}, which cannot be written: nothing is captured"]
    days = "for ever" if settings.keep is None else f"for {span_words(settings.keep)}"
    return [f"{settings.capture}, kept {days}; captures hold your prompts"]


def span_words(span: "timedelta") -> str:
    """
    A time span as `--keep` takes it.
    """
    hours = int(span.total_seconds()) // 3600
    return f"{hours}h" if hours % 24 else f"{hours // 24}d"


def _budget_rows(settings: "Settings", proxy: Proxy) -> list[str]:
    from savemode_cli.core.errors import LedgerUnavailable
    from savemode_cli.core.tiers import dollars
    from savemode_cli.views.terminal import standing_words

    none = "none: spend is counted, and nothing is refused (--budget USD)"
    try:
        standings = proxy.relay.desk.standings(proxy.now())
        return [line for one in standings for line in standing_words(one)] or [none]
    except LedgerUnavailable:
        word = "NOT ENFORCED" if settings.fail == "open" else "everything is refused"
        named = [f"{one.name} {dollars(one.limit_nusd)}" for one in settings.budgets()] or ["spend is not counted"]
        return [f"{name}: {word}, the ledger is unavailable" for name in named]


def _telemetry_rows(settings: "Settings") -> list[str]:
    content = "with prompts and answers" if settings.telemetry_content else "without prompts and answers"
    where = [f"PostHog, {settings.posthog_host}"] if settings.sends_events else []
    if settings.events_file is not None:
        where.append(str(settings.events_file))
    return [f"{one}, {content}" for one in where]


def _hints(settings: "Settings", gate: "GateState", idle_prone: bool) -> list[str]:
    hints = []
    if not gate.on and not settings.observe:
        other = "let PostHog's flag" if settings.asks_flags else "send"
        hints.append(f"open the gate: COST_CONTROLS_ENABLED=true savemode serve --debug, or {other}")
        name = "llm-gateway-cost-controls"
        whose = f"{name} be true for {settings.posthog_distinct_id}"
        hints.append(whose if settings.asks_flags else f"x-posthog-flag-{name}: true with each request")
    if settings.ttl_policy == "product" and not idle_prone:
        hints.append("nothing on /v1/messages is upgraded: --product posthog_code or --ttl-policy always")
    return hints


def _check_address(settings: "Settings", *, loopback: bool) -> None:
    from savemode_cli.core.errors import ConfigError

    if loopback:
        return
    if settings.debug:
        raise ConfigError(
            f"debug listens on loopback only, not on {settings.host}", hint="leave out --debug, or --host"
        )
    if not settings.allow_remote:
        raise ConfigError(
            f"{settings.host} can be reached from other machines", hint="add --allow-remote if that is what you want"
        )
    if settings.access_token is None:
        raise ConfigError(
            "--allow-remote needs an access token",
            hint="set SAVEMODE_ACCESS_TOKEN to 16 characters or more; clients send it as x-savemode-token",
        )


def _check_upstream(settings: "Settings", upstream: str, port: int, listener: Any) -> None:
    from urllib.parse import urlsplit

    from savemode_cli.core.errors import ConfigError
    from savemode_cli.proxy.door import is_loopback

    parts = urlsplit(upstream)
    theirs = parts.port or {"http": 80, "https": 443}[parts.scheme]
    if theirs == port and (is_loopback(parts.hostname or "") or parts.hostname == settings.host):
        listener.close()
        raise ConfigError(f"the upstream {upstream} is this proxy itself", hint="give another --port or --upstream")


def _shown_host(host: str) -> str:
    return f"[{host}]" if ":" in host else host
