"""
`savemode doctor`: check everything that a proxy needs, and print what to do about each problem.

Rule of this file: a check changes nothing and yields findings. To add a check, write a function below and add its name to
`_CHECKS`. Checks read the names of environment variables, never print their values.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from savemode_cli.cli.flags import Flags
from savemode_cli.cli.screen import console, echo_json

if TYPE_CHECKING:
    from savemode_cli.config import Settings
    from savemode_cli.core.errors import ConfigError
    from savemode_cli.views.doctor import Finding, Level

_PATIENCE_S = 5.0
_OLD_DAYS = 60
"""In days. Prices change every month or two, so an older price list has probably missed a change."""


def doctor(
    flags: Flags,
    as_json: Annotated[bool, typer.Option("--json", help="Output JSON.")] = False,
) -> None:
    """
    Check config, port, upstream, gate, prices, ledger and clients. Exit with 1 if there is a problem.
    """
    from savemode_cli import __version__
    from savemode_cli.views.doctor import show, to_json, warnings

    findings = list(_findings(flags))
    if as_json:
        echo_json(to_json(findings, __version__))
    else:
        show(findings, __version__, console())
    if warnings(findings):
        raise typer.Exit(1)


def _findings(flags: Flags) -> "Iterator[Finding]":
    from savemode_cli.config import load, variables
    from savemode_cli.core.errors import SavemodeError
    from savemode_cli.views.doctor import Finding

    faults: list[ConfigError] = []
    settings = load(flags.given, config=flags.config, faults=faults)
    for fault in faults:
        yield Finding("WARN", "config", fault.message, fault.hint)
    if faults:
        yield Finding("INFO", "config", "the checks below ignore the options that cannot be used")
    else:
        named = [str(file) for file in settings.files] + variables()
        defaults = "defaults (no config file and no SAVEMODE_ variable sets an option)"
        yield Finding("OK", "config", "; ".join(named) or defaults)
    if settings.untrusted is not None:
        yield Finding("WARN", "trust", str(settings.untrusted), settings.untrusted.advice)
    for check in _CHECKS:
        try:
            yield from check(settings)
        except SavemodeError as error:
            yield Finding("WARN", check.__name__.strip("_"), error.message, error.hint)


def _port(settings: "Settings") -> "Iterator[Finding]":
    """
    Whether the port is free, used by savemode, or used by another program.
    """
    from savemode_cli.core.errors import ConfigError
    from savemode_cli.serving.server import listen
    from savemode_cli.views.doctor import Finding

    place = f"{settings.host}:{settings.port}"
    try:
        listen(settings.host, settings.port).close()
    except ConfigError as error:
        health = _health(settings)
        if health is None:
            yield Finding("WARN", "port", error.message, error.hint)
            return
        yield Finding("OK", "port", f"{place}: savemode is already running there, {health['requests']} requests so far")
        yield from _proxy(health)
    else:
        yield Finding("OK", "port", f"{place} is free")


def _proxy(health: Mapping[str, Any]) -> "Iterator[Finding]":
    """
    The state of the running proxy: its ledger, its flags and its sinks.
    """
    from savemode_cli.views.doctor import Finding

    counters: dict[str, dict[str, int]] = health.get("counters", {})
    for name in ("ledger", "flags", *counters):
        state = health.get(name, "ok")
        if state != "ok":
            yield Finding("WARN", "proxy", f"its {name}: {state}", "the proxy printed the details when it happened")
        elif name in counters:
            counts = ", ".join(f"{count:,} {what}" for what, count in counters[name].items())
            yield Finding("OK", "proxy", f"its {name}: {counts}")


def _health(settings: "Settings") -> dict[str, Any] | None:
    from savemode_cli.serving.running import RunningProxy, health_of

    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    health = health_of(RunningProxy(f"http://{host}:{settings.port}", 0, ""), settings.access_token)
    return health if health is not None and "ttl_policy" in health else None


def _upstream(settings: "Settings") -> "Iterator[Finding]":
    """
    Any response is enough: without a key the API only returns errors. The request is a GET, because some servers send a
    body in response to a HEAD.
    """
    from savemode_cli.cli.reach import reach
    from savemode_cli.views.doctor import Finding

    if settings.is_simulated:
        yield Finding("OK", "upstream", f"{settings.upstream}: starts with the proxy")
        return
    reached = reach(settings.upstream)
    for note in reached.notes:
        yield Finding("WARN", "network", note)
    for name, path in reached.trusts:
        yield Finding("OK", "network", f"trusts the certificates in {path} ({name})")
    if reached.status is None:
        fix = reached.fix or "check the network and --upstream"
        yield Finding("WARN", "upstream", f"{settings.upstream}: {reached.problem}", fix)
    elif reached.status >= 500:
        text = f"{settings.upstream} answers with status {reached.status}{reached.way}"
        yield Finding(
            "WARN", "upstream", text, "the server has a problem: try again later, or use a different --upstream"
        )
    else:
        text = f"{settings.upstream} answers{reached.way} ({reached.took_ms:.0f} ms with the connection)"
        yield Finding("OK", "upstream", text)


def _gate(settings: "Settings") -> "Iterator[Finding]":
    from savemode_cli.config import override_value
    from savemode_cli.core.upgrade.gate import FLAG, gate, gate_warning
    from savemode_cli.views.doctor import Finding

    state = gate(None, override_value(), debug=settings.debug, save=settings.save)
    warning = gate_warning(override_value(), debug=settings.debug, save=settings.save)
    if state.on:
        yield Finding("INFO", "gate", f"open for every request: {state.why}")
    elif warning is not None:
        yield Finding("WARN", "gate", warning.text, "use --save or --debug, or unset the variable")
    else:
        yield Finding("OK", "gate", f"open only for requests whose flag {FLAG} is true: {state.why}")
    products = settings.products
    if settings.ttl_policy == "product" and not products.idle_prone[settings.product]:
        text = f"/v1/messages counts as {settings.product}, which is not idle-prone: its requests are not upgraded"
        advice = "--product posthog_code, or --ttl-policy always"
        if not state.on:
            advice = f"--save upgrades your own requests; for requests with the flag: {advice}"
        yield Finding("INFO", "policy", text, advice)
    else:
        yield Finding("OK", "policy", f"ttl policy {settings.ttl_policy}, product {settings.product}")


def _rules(settings: "Settings") -> "Iterator[Finding]":
    """
    Whether each rule of the table `RULES` is on. The check of the gate describes the one that upgrades cache TTLs.
    """
    from savemode_cli.config import OPTIONS
    from savemode_cli.core.upgrade.rules import switched_rules
    from savemode_cli.views.doctor import Finding

    for rule in switched_rules():
        if rule.is_on_under(settings.policy):
            yield Finding("OK", "rules", f"{rule.name} is on: {rule.description}")
        else:
            flag = OPTIONS[rule.switch].flag
            yield Finding("INFO", "rules", f"{rule.name} is off: {rule.description}", f"{flag} turns it on")


def _prices(settings: "Settings") -> "Iterator[Finding]":
    from savemode_cli.core.errors import ConfigError
    from savemode_cli.prices import load_prices, price_lines
    from savemode_cli.views.doctor import Finding

    try:
        lines = price_lines(load_prices(settings.price_file), datetime.now(UTC))
    except ConfigError as error:
        yield Finding("WARN", "prices", error.message, error.hint)
        return
    ages = [line.age_days for line in lines if line.age_days is not None]
    youngest = min(ages, default=None)
    if youngest is None:
        yield Finding("INFO", "prices", f"{len(lines)} models; last checked: unknown", "savemode prices")
    elif youngest > _OLD_DAYS:
        text = f"{len(lines)} models, last checked {_days(youngest)} ago"
        yield Finding("WARN", "prices", text, "pip install --upgrade savemode-cli genai-prices, or --price-file")
    else:
        yield Finding("OK", "prices", f"{len(lines)} models, last checked {_days(youngest)} ago")


def _days(count: int) -> str:
    return "1 day" if count == 1 else f"{count} days"


def _ledger(settings: "Settings") -> "Iterator[Finding]":
    """
    The ledger is opened only if it exists, because doctor creates no files.
    """
    from savemode_cli.cli.opened_ledger import ask_proxies
    from savemode_cli.cli.places import why_not_writable
    from savemode_cli.config import shown_url
    from savemode_cli.core.budget.overview import overview
    from savemode_cli.core.errors import SavemodeError
    from savemode_cli.ledgers import file_of, open_ledger
    from savemode_cli.ledgers.remote.blocking import RemoteLedger
    from savemode_cli.views.doctor import Finding

    url = shown_url(settings.ledger_url)
    try:
        file = file_of(settings.ledger_url)
        if file is not None and not file.exists():
            yield from _no_ledger(settings, url, file)
            return
        ledger = open_ledger(settings.ledger_url, password=settings.password_of_ledger())
        try:
            in_force = ask_proxies(settings, ledger).in_force
            seen = overview(in_force, ledger, datetime.now(UTC) + ledger.clock_offset)
            if file is None:
                ledger.check()
            concerns = ledger.concerns() if isinstance(ledger, RemoteLedger) else ()
        finally:
            ledger.close()
    except SavemodeError as error:
        yield Finding("WARN", "ledger", error.message, error.hint)
        return
    reason = "" if file is None else why_not_writable(file.parent) or why_not_writable(file, makes_folders=False)
    if reason:
        yield Finding("WARN", "ledger", f"{url} can be read but not written: {reason}", "make it writable")
    else:
        yield Finding("OK", "ledger", url)
    for what, fix in concerns:
        yield Finding("WARN", "ledger", what, fix)
    lost = sum(hold.unsettled for hold in seen.holds)
    if lost:
        text = f"{lost} holds were never settled and count as spent"
        yield Finding("WARN", "holds", text, "savemode budget show, then savemode budget release")
    if seen.refuses:
        yield Finding("WARN", "budget", "new requests are refused: a cap is reached", "savemode budget show")
    elif any(line.standing.limit.capped for line in seen.lines):
        yield Finding("OK", "budget", "new requests may start", "savemode budget show")
    else:
        # No command can reach a ledger that is in the memory of the proxy.
        fix = "savemode budget set 20" if settings.ledger_id else "savemode serve --budget 20"
        yield Finding("INFO", "budget", "no cap: spend is counted, and no request is refused", fix)


def _no_ledger(settings: "Settings", url: str, file: Path) -> "Iterator[Finding]":
    from savemode_cli.cli.places import why_not_writable
    from savemode_cli.views.doctor import Finding

    reason = why_not_writable(file.parent)
    if reason:
        text = f"{url} does not exist and cannot be created: {reason}"
        yield Finding("WARN", "ledger", text, "give --ledger a different path, or make the folder writable")
        return
    yield Finding("OK", "ledger", f"{url}: does not exist yet; the first savemode serve creates it")
    if not settings.budgets():
        yield Finding("INFO", "budget", "no cap: spend is counted, and no request is refused", "savemode budget set 20")


def _telemetry(settings: "Settings") -> "Iterator[Finding]":
    """
    The findings of each sink in the table `SINKS`.
    """
    from types import SimpleNamespace

    from savemode_cli.cli.places import why_not_writable
    from savemode_cli.cli.reach import reach
    from savemode_cli.telemetry.sinks import SINKS
    from savemode_cli.views.doctor import Finding

    probe = SimpleNamespace(reach=reach, why_not_writable=why_not_writable)
    for definition in SINKS.values():
        for finding in definition.findings(settings, probe):
            yield Finding(finding.level, definition.about, finding.text, finding.advice)


def _captures(settings: "Settings") -> "Iterator[Finding]":
    """
    Whether exchanges are captured, and how many. A folder that does not exist is not created.
    """
    from savemode_cli.captures.file import file_of
    from savemode_cli.captures.store import CaptureStore
    from savemode_cli.cli.places import why_not_writable
    from savemode_cli.config import user_captures
    from savemode_cli.core.errors import SavemodeError
    from savemode_cli.views.doctor import Finding

    folder = settings.capture or user_captures()
    reason = why_not_writable(folder) if settings.capture else ""
    if reason:
        text = f"cannot capture to {folder}: {reason}"
        yield Finding("WARN", "captures", text, "give --capture a different folder, or make it writable")
        return
    if not file_of(folder).exists():
        text = "on, no exchange was stored yet" if settings.capture else "off: no prompt or response is stored"
        yield Finding("OK", "captures", text)
        return
    try:
        store = CaptureStore.open(folder)
        try:
            stats = store.stats()
        finally:
            store.close()
    except SavemodeError as error:
        yield Finding("WARN", "captures", error.message, error.hint)
        return
    level: Level = "OK" if settings.capture else "INFO"
    text = f"{stats.exchanges:,} calls, prompts included, in {folder}"
    yield Finding(level, "captures", text, "savemode captures list; savemode captures prune")


def _clients(settings: "Settings") -> "Iterator[Finding]":
    """
    What makes clients that are started from this shell bypass the proxy, and which cache settings they have.
    """
    import os

    from savemode_cli.config import CLIENT_VARIABLES, client_variables
    from savemode_cli.config.bypasses import bypasses
    from savemode_cli.serving.running import running_proxies
    from savemode_cli.views.doctor import Finding

    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    own = [f"http://{host}:{settings.port}", *(proxy.url for proxy in running_proxies(settings.proxies_folder))]
    yield from _installed_clients(own)
    for bypass in bypasses(os.environ, own):
        yield Finding("WARN", "client", f"{bypass.what}; no budget limits them", bypass.fix)
    for name in client_variables():
        yield Finding("INFO", "client", f"{name} is set: {CLIENT_VARIABLES[name]}")


def _installed_clients(own: list[str]) -> "Iterator[Finding]":
    """
    The known clients that are on the PATH, and their config files that contain a different address.
    """
    import os
    import shutil

    from savemode_cli.clients.setup import Place, settings_that_win
    from savemode_cli.clients.table import clients
    from savemode_cli.views.doctor import Finding

    installed = [client for client in clients() if any(shutil.which(command) for command in client.commands)]
    if installed:
        names = ", ".join(client.title for client in installed)
        yield Finding("INFO", "clients", f"installed: {names}", "savemode clients NAME shows how to connect one")
    for client in installed:
        for words in settings_that_win(client, own, Place(os.environ, Path(), Path())):
            yield Finding("WARN", "client", words, "remove the address from that file, or replace it with savemode's")


_CHECKS: tuple[Callable[["Settings"], "Iterator[Finding]"], ...] = (
    _port,
    _upstream,
    _gate,
    _rules,
    _prices,
    _ledger,
    _captures,
    _telemetry,
    _clients,
)
