"""
What `serve` prints when it starts, and what `run` prints of it.

Rule of this file: it reads settings and a composed proxy, and prints. It decides nothing.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TextIO

from savemode_cli.cli.compose import Proxy
from savemode_cli.cli.screen import announcer, say, width_of
from savemode_cli.cli.settings import upstream_words
from savemode_cli.core.upgrade.rules import switched_rules

if TYPE_CHECKING:
    from datetime import timedelta

    from savemode_cli.config import Settings
    from savemode_cli.core.exchange.observed import Sink
    from savemode_cli.core.upgrade.gate import GateState


def say_hello(settings: "Settings", proxy: Proxy, out: TextIO) -> None:
    """
    Print the banner, and before it the warnings about the override of upgrades and about the address.
    """
    from savemode_cli import __version__
    from savemode_cli.config import override_value
    from savemode_cli.core.upgrade.gate import gate_warning
    from savemode_cli.views.banner import banner

    announce = announcer(out)
    warning = gate_warning(override_value(), debug=settings.debug, save=settings.save)
    if warning is not None:
        announce(warning.event, warning.text)
    if settings.allow_remote:
        announce("listening_beyond_loopback", f"whoever can reach {proxy.url} and has the token can send requests here")
    rows = [*banner_rows(settings, proxy), *_hints(settings, proxy.relay.gate(), proxy.url)]
    base_url = _client_url(proxy.url, settings.host)
    say(out, banner(__version__, proxy.url, rows, base_url=base_url, width=width_of(out)))


def banner_rows(settings: "Settings", proxy: Proxy) -> list[tuple[str, str]]:
    """
    What is in force: the name of each fact, and the fact. A row with an empty name continues the row above it.
    """
    from savemode_cli.alerts.channels import configured_channels
    from savemode_cli.telemetry.sinks import configured_sinks
    from savemode_cli.views.banner import gate_words

    return [
        *(("config", str(file)) for file in settings.files),
        ("upstream", _upstream_words(settings, proxy)),
        *_network_rows(proxy),
        ("upgrades", gate_words(proxy.relay.gate())),
        ("policy", _policy_words(settings)),
        ("product", _product_words(settings)),
        *_rule_rows(settings),
        *_budget_rows(settings, proxy),
        *(("events", definition.row(settings)) for definition in configured_sinks(settings)),
        *(("alerts", f"{one.name}: {one.destination(settings)}") for one in configured_channels(settings)),
        *(("captures", words) for words in capture_rows(settings, proxy.sinks)),
    ]


def _client_url(url: str, host: str) -> str:
    """
    The URL for clients. An address that stands for all addresses of this machine is not one that a client can use.
    """
    if host not in _ALL_ADDRESSES:
        return url
    import socket

    port = url.rpartition(":")[2]
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(("192.0.2.1", 9))  # chooses the address of the default route; a datagram socket sends nothing
            return f"http://{probe.getsockname()[0]}:{port}"
    except OSError:
        return f"http://127.0.0.1:{port}"


_ALL_ADDRESSES = ("0.0.0.0", "::")  # noqa: S104 - compared with, not listened on


def _policy_words(settings: "Settings") -> str:
    """
    Which requests are upgraded, if upgrades are on.
    """
    products = ", ".join(sorted(name for name, is_prone in settings.products.idle_prone.items() if is_prone))
    words = {
        "off": "off: nothing is upgraded",
        "main": "main: every product is upgraded, except for its sub-agents",
        "always": "always: every product is upgraded",
        "auto": "auto: 5m or 1h for each conversation, by what was cheaper (savemode auto show)",
    }.get(settings.ttl_policy, f"product: only products whose users pause often (idle-prone): {products}")
    if settings.hold_out:
        words += f"; {settings.hold_out * 100:g} % of the sessions stay at 5m (savemode report --trial)"
    if settings.observe:
        words += "; observing only: the original bytes are sent"
    if settings.compat != "none":
        words += f"; like PostHog's gateway (--compat {settings.compat})"
    return words


def _rule_rows(settings: "Settings") -> list[tuple[str, str]]:
    """
    The rules that are on, except for the upgrade of cache TTLs, which the row of the policy describes.
    """
    policy = settings.policy
    return [("rule", f"{rule.name}: {rule.description}") for rule in switched_rules() if rule.is_on_under(policy)]


def _is_upgraded(settings: "Settings") -> bool:
    """
    Whether the policy upgrades requests that name no product.
    """
    if settings.ttl_policy == "product":
        return settings.products.idle_prone[settings.product]
    return settings.ttl_policy != "off"


def _product_words(settings: "Settings") -> str:
    covered = "covered" if _is_upgraded(settings) else "not covered"
    return f"{settings.product}, of requests to /v1/messages: {covered} by the policy"


def _upstream_words(settings: "Settings", proxy: Proxy) -> str:
    words = upstream_words(settings)
    return words if proxy.simulated is None else f"{words} ({proxy.simulated.url}); its tokens are estimates"


def _network_rows(proxy: Proxy) -> list[tuple[str, str]]:
    """
    How variables of the environment change the way to the upstream.
    """
    network = proxy.network
    if network is None:
        return []
    through = [] if network.proxy is None else [("via proxy", str(network.proxy))]
    return [*through, *(("CA file", f"{path} ({name})") for name, path in network.trusts)]


def capture_rows(settings: "Settings", sinks: "Sequence[Sink]") -> list[str]:
    """
    Where captures are written, or that they cannot be written; nothing if none were asked for.
    """
    if settings.capture is None:
        return []
    if any(sink.name == "captures" and sink.trouble for sink in sinks):
        return [f"{settings.capture}, which cannot be written: nothing is captured"]
    days = "forever" if settings.keep is None else f"for {span_words(settings.keep)}"
    return [f"{settings.capture}, kept {days}; captures contain your prompts"]


def span_words(span: "timedelta") -> str:
    """
    A time span as `--keep` takes it.
    """
    hours = int(span.total_seconds()) // 3600
    return f"{hours}h" if hours % 24 else f"{hours // 24}d"


def _budget_rows(settings: "Settings", proxy: Proxy) -> Iterator[tuple[str, str]]:
    from savemode_cli.core.budget.scopes import ALL
    from savemode_cli.core.budget.without_ledger import fail_for
    from savemode_cli.core.errors import LedgerUnavailable
    from savemode_cli.core.money.amounts import dollars
    from savemode_cli.views.receipt import standing_words

    budgets = settings.budgets()
    own = [budget for budget in budgets if budget.scope != ALL and budget.limit_nusd > 0]
    try:
        till = proxy.relay.till
        standings = till.outside_loop(till.standings(proxy.now()))
    except LedgerUnavailable:
        fails = fail_for(budgets, settings.fail)
        word = "NOT ENFORCED" if fails == "open" else "every request is refused"
        for name in [f"{budget.name} {dollars(budget.limit_nusd)}" for budget in budgets] or ["spend is not counted"]:
            yield "budget", f"{name}: {word}: the ledger is unavailable"
        return
    for standing in standings:
        words, resets = standing_words(standing)
        yield "budget", words
        yield "", resets
    for budget in own:
        yield "budget", f"{budget.name} {dollars(budget.limit_nusd)} ({budget.window.words()}) for each {budget.scope}"
    if not standings and not own:
        yield "budget", "none: spend is counted, nothing is refused (--budget USD sets a cap)"


def _hints(settings: "Settings", gate: "GateState", url: str) -> Iterator[tuple[str, str]]:
    from savemode_cli.core.upgrade.gate import FLAG

    if not gate.on and not settings.observe:
        yield "hint", "to upgrade your own conversations, start it like this:"
        yield "", "savemode serve --save"
        if settings.asks_flags:
            yield "", f"or switch PostHog's flag {FLAG} on for {settings.posthog_distinct_id}"
        else:
            yield "", "or send this header with a request:"
            yield "", f"x-posthog-flag-{FLAG}: true"
    if settings.ttl_policy == "product" and not _is_upgraded(settings):
        yield "hint", "to upgrade requests to /v1/messages: --save, --product posthog_code or --ttl-policy always"
    if settings.is_simulated:
        yield "hint", "to advance the clock of the simulated API:"
        yield "", f"curl -d '{{\"advance_s\": 600}}' {url}/-/clock"
