"""
The parts of a proxy that its settings ask for: the till with its ledger, the sinks, and what chooses TTLs.

Rule of this file: a part that was not asked for is not imported. It prints nothing.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TextIO, cast

from savemode_cli.cli.screen import say
from savemode_cli.views.printable import printable_json

if TYPE_CHECKING:
    from savemode_cli.alerts.raised import Alerts
    from savemode_cli.config import Settings
    from savemode_cli.core.budget.ledger import AsyncLedger, Ledger
    from savemode_cli.core.budget.scopes import Process
    from savemode_cli.core.exchange.observed import Sink
    from savemode_cli.proxy.auto_ttl import AutoTtl
    from savemode_cli.proxy.keep_warm import KeepWarm
    from savemode_cli.proxy.relay_settings import RelaySettings
    from savemode_cli.proxy.till import Till
    from savemode_cli.proxy.ttl_key import TtlKeyExperiment
    from savemode_cli.telemetry.flags import Flags


_OPENING_S = 0.5


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
def opened_sinks(settings: "Settings", announce: Callable[[str, str], None], out: TextIO) -> "Iterator[Sequence[Sink]]":
    """
    What receives every exchange, except for the terminal. The sinks are closed at the end of the block.
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
    The sink that stores requests and answers, if the user asked for it.

    Raises:
        ConfigError: its folder cannot be used.
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
    Sends alerts when money runs out; None without a channel.
    """
    from savemode_cli.alerts.channels import configured_channels
    from savemode_cli.alerts.raised import Alerts
    from savemode_cli.alerts.sender import Sender
    from savemode_cli.core.budget.alerts import Crossings

    senders = [Sender(one.name, one.open(settings), announce) for one in configured_channels(settings)]
    claims = settings.alert_claims_folder if settings.ledger_id else None
    return Alerts(senders, Crossings(settings.alerts_at), settings.ledger_id, claims) if senders else None


def open_till_with_alerts(
    settings: "Settings", announce: Callable[[str, str], None], alerts: "Alerts | None"
) -> "Till":
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

    If the ledger cannot be opened, that is announced, and the proxy starts if requests are allowed without a ledger.

    Raises:
        LedgerUnavailable: they are not allowed (see `fail_for`).
    """
    from savemode_cli.core.budget.without_ledger import fail_for
    from savemode_cli.core.errors import LedgerUnavailable
    from savemode_cli.ledgers import connected_ledger, open_ledger
    from savemode_cli.ledgers.unavailable import UnavailableLedger
    from savemode_cli.prices import load_prices
    from savemode_cli.proxy.local_ledger import LocalLedger
    from savemode_cli.proxy.till import Till

    def opened() -> "Ledger":
        # Its calls are made on the event loop, so they do not wait. Opening waits, because other processes may be opening it.
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
    The run and the project of this process, for their budgets.
    """
    import os
    from datetime import datetime
    from pathlib import Path

    from savemode_cli.core.budget.scopes import Process

    here = Path.cwd()
    root = next((folder for folder in (here, *here.parents) if (folder / ".git").exists()), here)
    return Process(f"{datetime.now(UTC):%y%m%d-%H%M%S}-{os.getpid()}", str(root))


def open_ttl_key(settings: "Settings", announce: Callable[[str, str], None]) -> "TtlKeyExperiment | None":
    """
    The experiment on the key of the cache, and its verdicts; None with a simulated upstream.
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
    The policy `auto`, if it is chosen or if keep-warm learns from it, and the experiment that it may need. With a simulated
    upstream, no history is read or written.
    """
    experiment = open_ttl_key(settings, announce)
    if settings.ttl_policy != "auto" and not settings.keep_warm:
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
    settings: "Settings",
    now: "Callable[[], datetime]",
    announce: Callable[[str, str], None],
    auto: "AutoTtl | None",
) -> "KeepWarm | None":
    """
    Sends keep-warm requests; None if none are allowed. It uses the pauses that `auto` has learned, and is a choice of `auto`.
    """
    if not settings.keep_warm:
        return None
    from savemode_cli.proxy.keep_warm import KeepWarm

    pauses = {} if auto is None else auto.pauses()
    keep_warm = KeepWarm(settings.keep_warm, settings.keep_warm_hourly, now, announce, pauses)
    if auto is not None:
        auto.allow_keep_warm(keep_warm.may)
    return keep_warm


def open_trial(settings: "Settings", announce: Callable[[str, str], None]) -> "list[Sink]":
    """
    The sink that records what the sessions of a trial cost, if there is a trial. With a simulated upstream, nothing is recorded.
    """
    if not settings.hold_out or settings.is_simulated:
        return []
    from savemode_cli.proxy.trial import TrialSink
    from savemode_cli.proxy.trial_file import TrialFile

    return [TrialSink(TrialFile(settings.trial_file), announce)]


def relay_settings(settings: "Settings", upstream: str) -> "RelaySettings":
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
