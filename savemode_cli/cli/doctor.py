"""
`savemode doctor`: whether everything that a proxy needs is there, and what to do where it is not.

Rule of this file: a check looks, changes nothing, and answers with findings. To add one: a function below, its name in
`_CHECKS`. What is read of the environment are names, never values.
"""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from savemode_cli.cli import options

if TYPE_CHECKING:
    from savemode_cli.config import Settings
    from savemode_cli.views.doctor import Finding, Level

_PATIENCE_S = 5.0
_OLD_DAYS = 60
"""Prices change every month or two; older ones than this have likely missed a change."""


def doctor(
    host: options.Host = None,
    port: options.Port = None,
    upstream: options.Upstream = None,
    debug: options.Debug = None,
    ledger: options.LedgerUrl = None,
    price_file: options.PriceFile = None,
    config: options.Config = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings for machines.")] = False,
) -> None:
    """
    Look at config, port, upstream, gate, prices, ledger and clients; say what to mend. Exit 1 if anything.
    """
    from savemode_cli import __version__
    from savemode_cli.views.doctor import show, to_json, warnings

    flags = {"host": host, "port": port, "upstream": upstream, "debug": debug, "ledger": ledger}
    found = list(_findings({**flags, "price_file": price_file}, config))
    if as_json:
        typer.echo(json.dumps(to_json(found, __version__), indent=2))
    else:
        from savemode_cli.cli.screen import console

        show(found, __version__, console())
    if warnings(found):
        raise typer.Exit(1)


def _findings(flags: dict[str, object], config: Path | None) -> "Iterator[Finding]":
    from savemode_cli.config import load, sources
    from savemode_cli.core.errors import ConfigError
    from savemode_cli.views.doctor import Finding

    try:
        settings = load(flags, config=config)
    except ConfigError as error:
        # Nothing else can be looked at: what the other checks would say is true of settings that nobody asked for.
        yield Finding("WARN", "config", error.message, error.hint)
        return
    named = sources(config)
    yield Finding("OK", "config", ", ".join(named) if named else "defaults: no file, no SAVEMODE_ variable")
    for check in _CHECKS:
        yield from check(settings)


def _port(settings: "Settings") -> "Iterator[Finding]":
    """
    Free, ours already, or somebody else's.
    """
    from savemode_cli.core.errors import ConfigError
    from savemode_cli.proxy.server import listen
    from savemode_cli.views.doctor import Finding

    place = f"{settings.host}:{settings.port}"
    try:
        listen(settings.host, settings.port).close()
    except ConfigError as error:
        health = _health(settings)
        if health is None:
            yield Finding("WARN", "port", error.message, error.hint)
            return
        yield Finding("OK", "port", f"{place}: a savemode serves there, {health['requests']} requests so far")
        for name, state in health.items():
            if name in ("ledger", "captures", "telemetry", "events_file", "flags") and state != "ok":
                yield Finding("WARN", "proxy", f"its {name}: {state}", "what it said when it happened has the details")
    else:
        yield Finding("OK", "port", f"{place} is free")


def _health(settings: "Settings") -> dict[str, object] | None:
    import httpx

    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    try:
        url = f"http://{host}:{settings.port}/-/health"
        shown = {"x-savemode-token": settings.access_token} if settings.access_token else {}
        answer = httpx.get(url, headers=shown, timeout=_PATIENCE_S, trust_env=False)
        found = answer.json()
    except (httpx.HTTPError, ValueError):
        return None
    return found if isinstance(found, dict) and "ttl_policy" in found else None


def _upstream(settings: "Settings") -> "Iterator[Finding]":
    """
    Any answer will do: without a key there is nothing but errors to be had.
    """
    from savemode_cli.config import proxy_for
    from savemode_cli.views.doctor import Finding

    if settings.is_simulated:
        yield Finding("OK", "upstream", f"{settings.upstream}: it comes with the proxy")
        return
    via = proxy_for(settings.upstream)
    began = datetime.now(UTC)
    status = _status_of(settings.upstream)
    if isinstance(status, str):
        fix = "check the network, --upstream" + (", and the HTTP proxy that the environment names" if via else "")
        yield Finding("WARN", "upstream", f"{settings.upstream}: {status}", fix)
        return
    took_ms = (datetime.now(UTC) - began).total_seconds() * 1000
    if status >= 500:
        text = f"{settings.upstream} answers with status {status}"
        yield Finding("WARN", "upstream", text, "it is there, and not well: try again later, or another --upstream")
        return
    through = " through an HTTP proxy" if via else ""
    yield Finding("OK", "upstream", f"{settings.upstream} answers{through} ({took_ms:.0f} ms with the connection)")


def _status_of(url: str) -> int | str:
    """
    The status of an answer without a key, or why there is none: the words of an exception may hold a password.
    """
    import httpx

    from savemode_cli.config import proxy_for

    try:
        with httpx.Client(proxy=proxy_for(url), trust_env=False, timeout=_PATIENCE_S) as client:
            return client.head(url).status_code
    except httpx.TimeoutException:
        return "it did not answer in time"
    except httpx.HTTPError:
        return "no connection"


def _gate(settings: "Settings") -> "Iterator[Finding]":
    from savemode_cli.config import override_value
    from savemode_cli.core.gate import FLAG, gate, gate_warning
    from savemode_cli.views.doctor import Finding

    state = gate(None, override_value(), debug=settings.debug)
    warning = gate_warning(override_value(), debug=settings.debug)
    if state.on:
        yield Finding("INFO", "gate", f"open for every request: {state.why}")
    elif warning is not None:
        yield Finding("WARN", "gate", warning.text, "add --debug, or unset the variable")
    else:
        yield Finding("OK", "gate", f"closed but for requests whose flag {FLAG} is true: {state.why}")
    products = settings.products
    if settings.ttl_policy == "product" and not products.idle_prone[settings.product]:
        text = f"/v1/messages counts as {settings.product}, which is not idle-prone: nothing there is upgraded"
        yield Finding("INFO", "policy", text, "--product posthog_code, or --ttl-policy always")
    else:
        yield Finding("OK", "policy", f"ttl policy {settings.ttl_policy}, product {settings.product}")


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
        yield Finding("INFO", "prices", f"{len(lines)} models; nobody says when they were checked", "savemode prices")
    elif youngest > _OLD_DAYS:
        text = f"{len(lines)} models, last checked {_days(youngest)} ago"
        yield Finding("WARN", "prices", text, "pip install --upgrade savemode genai-prices, or --price-file")
    else:
        yield Finding("OK", "prices", f"{len(lines)} models, the youngest checked {_days(youngest)} ago")


def _days(count: int) -> str:
    return "1 day" if count == 1 else f"{count} days"


def _ledger(settings: "Settings") -> "Iterator[Finding]":
    """
    Opened only if it is there: a doctor leaves no files behind.
    """
    from savemode_cli.cli.budget import budgets_in_force
    from savemode_cli.config import shown_url
    from savemode_cli.core.errors import SavemodeError
    from savemode_cli.core.overview import overview
    from savemode_cli.ledgers import file_of, open_ledger
    from savemode_cli.views.doctor import Finding

    shown = shown_url(settings.ledger_url)
    try:
        file = file_of(settings.ledger_url)
        if file is not None and not file.exists():
            yield from _no_ledger(settings, shown, file)
            return
        ledger = open_ledger(settings.ledger_url)
        try:
            seen = overview(budgets_in_force(settings, ledger), ledger, datetime.now(UTC))
        finally:
            ledger.close()
    except SavemodeError as error:
        yield Finding("WARN", "ledger", error.message, error.hint)
        return
    yield Finding("OK", "ledger", shown)
    lost = sum(one.unsettled for one in seen.holds)
    if lost:
        text = f"{lost} holds were never settled, and count as spent"
        yield Finding("WARN", "holds", text, "savemode budget show, then savemode budget release")
    if seen.refuses:
        yield Finding("WARN", "budget", "new requests are refused: a cap is reached", "savemode budget show")
    elif any(line.standing.limit.capped for line in seen.lines):
        yield Finding("OK", "budget", "new requests may start", "savemode budget show")
    else:
        yield Finding("INFO", "budget", "no cap: spend is counted, and nothing is refused", "savemode budget set 20")


def _no_ledger(settings: "Settings", shown: str, file: Path) -> "Iterator[Finding]":
    import os

    from savemode_cli.views.doctor import Finding

    folder = next(one for one in file.absolute().parents if one.exists())
    if not os.access(folder, os.W_OK):
        text = f"{shown} does not exist, and {folder} cannot be written"
        yield Finding("WARN", "ledger", text, "give --ledger a place of your own, or make the folder writable")
        return
    yield Finding("OK", "ledger", f"{shown}: none yet, the first savemode serve makes it")
    if not settings.budgets():
        yield Finding("INFO", "budget", "no cap: spend is counted, and nothing is refused", "savemode budget set 20")


def _telemetry(settings: "Settings") -> "Iterator[Finding]":
    """
    Where events go, whether somebody is there, and what waits for the next start.
    """
    from savemode_cli.views.doctor import Finding

    if not settings.sends_events:
        if settings.posthog_api_key is None:
            yield Finding("INFO", "telemetry", "no key: nothing is sent to PostHog", "export POSTHOG_API_KEY=phc_...")
        else:
            yield Finding("INFO", "telemetry", "switched off: nothing is sent to PostHog")
        return
    status = _status_of(settings.posthog_host)
    content = "prompts and answers included" if settings.telemetry_content else "without prompts and answers"
    if isinstance(status, str):
        fix = "events wait in a file meanwhile; check POSTHOG_HOST and the network"
        yield Finding("WARN", "telemetry", f"{settings.posthog_host}: {status}", fix)
    else:
        yield Finding("OK", "telemetry", f"events go to {settings.posthog_host}, {content}")
    waiting = sum(path.stat().st_size for path in settings.spool_folder.glob("events-*.jsonl"))
    if waiting:
        yield Finding("INFO", "telemetry", f"{waiting:,} bytes of events wait for the next savemode serve")


def _captures(settings: "Settings") -> "Iterator[Finding]":
    """
    What is kept of what was said; looked at only, so a folder that is not there is not made.
    """
    from savemode_cli.captures.file import file_of
    from savemode_cli.captures.store import CaptureStore
    from savemode_cli.config import user_captures
    from savemode_cli.core.errors import SavemodeError
    from savemode_cli.views.doctor import Finding

    folder = settings.capture or user_captures()
    if not file_of(folder).exists():
        said = "on, nothing was kept yet" if settings.capture else "off: nothing that is said is kept"
        yield Finding("OK", "captures", said)
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
    said = f"{stats.exchanges:,} calls, prompts included, in {folder}"
    yield Finding(level, "captures", said, "savemode captures list; savemode captures prune")


def _clients(_settings: "Settings") -> "Iterator[Finding]":
    """
    What clients started from this shell would do to the cache themselves.
    """
    from savemode_cli.config import CLIENT_VARIABLES, client_variables
    from savemode_cli.views.doctor import Finding

    for name in client_variables():
        yield Finding("INFO", "client", f"{name} is set: {CLIENT_VARIABLES[name]}")


_CHECKS: tuple[Callable[["Settings"], "Iterator[Finding]"], ...] = (
    _port,
    _upstream,
    _gate,
    _prices,
    _ledger,
    _captures,
    _telemetry,
    _clients,
)
