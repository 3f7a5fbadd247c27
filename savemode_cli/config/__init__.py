"""
What a person configured: flags, files and environment, merged into one `Settings`.

Rule of this file: the only reader of environment variables and of config files; what a value may be is in `values`. The
order, first match wins: flags, `--config FILE`, environment, `./savemode.toml`, the user's config directory, defaults.

Longer than most: each option has its line in the settings and in the checks, and what becomes of them is read beside it.

A config file is TOML with the names of the options (`ttl_policy = "always"`), a `[products]` table
(`ide = { idle_prone = true }`) and an `[aliases]` table (`editor = "ide"`) that add to the built-in ones.

The options `budget`, `budget_window`, `budget_zone`, `budget_scope` and `strict` describe the budget named "default".
Further ones have a table each:

    [budgets.team]
    limit_usd = "50"       # US dollars
    window = "week"        # optional; month, week, day or month:N
    zone = "Europe/Berlin" # optional; UTC
    scope = "team"         # optional; all
    strict = true          # optional; false
"""

import difflib
import os
import tomllib
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from savemode_cli.config import values
from savemode_cli.core.budget import ALL, Budget, Window
from savemode_cli.core.caller import ALIASES, KNOWN_PRODUCTS, PRODUCTS, Products
from savemode_cli.core.errors import ConfigError
from savemode_cli.core.gate import DEBUG_ENV, ENV
from savemode_cli.core.tiers import ENGAGE_AT, WARN_AT, Fail
from savemode_cli.core.transform import TTL_POLICIES, Policy, TtlPolicy

PREFIX = "SAVEMODE_"
FILE_NAME = "savemode.toml"
CAPTURES_NAME = "captures"
LEDGER_NAME = "ledger.sqlite3"
DEFAULT_BUDGET = "default"
MONTH = Window()
POSTHOG_VARIABLES = ("POSTHOG_API_KEY", "POSTHOG_HOST", "POSTHOG_PERSONAL_API_KEY")
"""What PostHog's own SDKs read; the same with `SAVEMODE_` before it wins."""

POSTHOG = "PostHog's variables"
DEFAULT_POSTHOG_HOST = values.DEFAULT_POSTHOG_HOST
KEEP = timedelta(days=30)
DEFAULT_UPSTREAM = "https://api.anthropic.com"
LOG_FORMATS = ("text", "json")
COMPATS = ("none", "upstream")

CLIENT_VARIABLES = {
    "ANTHROPIC_BASE_URL": "clients go there; savemode run goes on to it",
    "ENABLE_PROMPT_CACHING_1H": "Claude Code asks for 1h itself, and savemode leaves that as it is",
    "FORCE_PROMPT_CACHING_5M": "Claude Code stays at 5m",
    "DISABLE_PROMPT_CACHING": "Claude Code sets no breakpoints, so there is nothing to upgrade",
}
"""
Variables of other programs that change what reaches us, and how.

Source: https://code.claude.com/docs/en/settings#environment-variables (checked 2026-11-24).
"""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Settings:
    """
    Everything that can be configured, checked. Times are seconds.
    """

    host: str = "127.0.0.1"
    port: int = 8787
    upstream: str = DEFAULT_UPSTREAM
    product: str = PRODUCTS.default
    ttl_policy: TtlPolicy = "product"
    compat: str = "none"
    debug: bool = False
    observe: bool = False
    beta_header: bool = True
    allow_bedrock: bool = False
    allow_oauth_edits: bool = False
    allow_remote: bool = False
    access_token: str | None = field(default=None, repr=False)
    allow_host: tuple[str, ...] = ()
    forward_posthog_headers: bool = False
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 900.0
    grace_s: float = 30.0
    log_format: str = "text"
    quiet: bool = False
    verbose: bool = False
    products: Products = PRODUCTS
    budget_nusd: int | None = None
    budget_window: Window = MONTH
    budget_zone: str = "UTC"
    budget_scope: str = ALL
    strict: bool = False
    warn_at: Decimal = WARN_AT
    engage_at: Decimal = ENGAGE_AT
    fail: Fail = "open"
    ledger: str | None = None
    price_file: Path | None = None
    further_budgets: tuple[Budget, ...] = ()
    files: tuple[str, ...] = field(default=(), compare=False)
    """The config files that had a say, the nearest first: one that lies in a folder that is not yours speaks too."""
    telemetry: bool = True
    telemetry_content: bool = False
    events_file: Path | None = None
    print_events: bool = False
    posthog_api_key: str | None = field(default=None, repr=False)
    posthog_personal_api_key: str | None = field(default=None, repr=False)
    posthog_host: str = DEFAULT_POSTHOG_HOST
    posthog_distinct_id: str | None = None
    posthog_project: str | None = None
    team_id: int | None = None
    capture: Path | None = None
    keep: timedelta | None = KEEP

    @property
    def is_simulated(self) -> bool:
        """
        Whether no request leaves this process.
        """
        return self.upstream == values.SIMULATED

    @property
    def ledger_url(self) -> str:
        """
        The ledger's address; without one, a file in the user's data folder, which is looked up here and not before. What
        a simulated upstream bills is no money, and is kept apart from it: in memory, unless a ledger is named.
        """
        if self.ledger is not None:
            return self.ledger
        return "memory:" if self.is_simulated else _user_ledger()

    @property
    def sends_events(self) -> bool:
        """
        Whether anything leaves for PostHog: not without a key, not against `telemetry = false`, and nothing that is
        simulated, for it would stand among real costs.
        """
        return self.telemetry and self.posthog_api_key is not None and not self.is_simulated

    @property
    def asks_flags(self) -> bool:
        """
        Whether PostHog decides on the gate's flag: it has to know whose.
        """
        return self.sends_events and self.posthog_distinct_id is not None

    @property
    def spool_folder(self) -> Path:
        """
        Where events wait for the next start; looked up here and not before.
        """
        return _user_data() / "telemetry"

    def budgets(self) -> tuple[Budget, ...]:
        """
        The budgets configured: the one that the plain options describe, if they give an amount, then the tables'.
        """
        own = () if self.budget_nusd is None else (self.default_budget(self.budget_nusd),)
        return own + self.further_budgets

    def default_budget(self, limit_nusd: int) -> Budget:
        """
        The budget that the plain options describe, at some limit.
        """
        return Budget(
            DEFAULT_BUDGET,
            limit_nusd,
            self.budget_window,
            self.budget_zone,
            self.budget_scope,
            self.strict,
            self.warn_at,
            self.engage_at,
        )

    @property
    def policy(self) -> Policy:
        """
        What the transform may change.
        """
        return Policy(
            ttl=self.ttl_policy,
            compat=self.compat == "upstream",
            allow_bedrock=self.allow_bedrock,
            allow_oauth=self.allow_oauth_edits,
        )


def load(
    flags: Mapping[str, Any],
    environ: Mapping[str, str] | None = None,
    *,
    config: Path | None = None,
    folder: Path | None = None,
    user_folder: Path | None = None,
) -> Settings:
    """
    Merge all sources. A flag that is None was not given. `folder` and `user_folder` are for tests.

    Raises:
        ConfigError: naming the source, the option, what was found and what is allowed.
    """
    environ = os.environ if environ is None else environ
    layers: list[tuple[str, dict[str, Any]]] = [("flag", {key: v for key, v in flags.items() if v is not None})]
    if config is not None:
        layers.append((str(config), _read_file(config, must_exist=True)))
    layers += [("environment", _from_environment(environ)), (POSTHOG, _from_posthogs(environ))]
    files = ((folder or Path()) / FILE_NAME, (user_folder or _user_folder()) / FILE_NAME)
    layers += [(str(file), _read_file(file, must_exist=False)) for file in files]
    merged: dict[str, Any] = {}
    places: dict[str, str] = {}
    for source, layer in reversed(layers):
        for name, value in layer.items():
            merged[name] = _checked(source, name, value)
            places[name] = _place(source, name)
    tables = [layer for _, layer in reversed(layers)]
    merged["products"] = _products(merged, tables)
    merged["product"] = merged["products"].default
    merged.pop("aliases", None)
    merged.pop("budgets", None)
    merged["budget_nusd"] = merged.pop("budget", None)
    _check_fractions(merged, places)
    said = tuple(source for source, layer in layers if source not in ("flag", "environment", POSTHOG) and layer)
    return Settings(**merged, further_budgets=_further_budgets(merged, places, layers), files=said)


def sources(config: Path | None = None, environ: Mapping[str, str] | None = None) -> list[str]:
    """
    Where options are given, nearest first: files by their path, variables by their name. No values.
    """
    environ = os.environ if environ is None else environ
    variables = sorted(key for key in environ if key.startswith(PREFIX) or key == DEBUG_ENV)
    files = [Path() / FILE_NAME, _user_folder() / FILE_NAME]
    return [*([str(config)] if config else []), *variables, *(str(file) for file in files if file.exists())]


def client_variables(environ: Mapping[str, str] | None = None) -> list[str]:
    """
    Those of `CLIENT_VARIABLES` that are set here, and so for whatever is started from here.
    """
    environ = os.environ if environ is None else environ
    return [name for name in CLIENT_VARIABLES if environ.get(name)]


def shown_url(url: str) -> str:
    """
    A ledger's address to be shown: one with a user in it may have a password too.
    """
    return f"{url.partition(':')[0]}:..." if "@" in url else url


def override_value(environ: Mapping[str, str] | None = None) -> str | None:
    """
    What `COST_CONTROLS_ENABLED` holds at this moment; None if it is not set.
    """
    return (os.environ if environ is None else environ).get(ENV)


def with_base_url(settings: Settings, environ: Mapping[str, str] | None = None) -> Settings:
    """
    The settings with the upstream that `ANTHROPIC_BASE_URL` names, unless another was configured.

    A command that already goes through a gateway must go on to it, and not with the gateway's token to the real API.

    Raises:
        ConfigError: it is no address.
    """
    url = (os.environ if environ is None else environ).get("ANTHROPIC_BASE_URL", "").strip()
    if not url or settings.upstream != DEFAULT_UPSTREAM:
        return settings
    try:
        return replace(settings, upstream=values.upstream(url))
    except ValueError as error:
        raise ConfigError(f"ANTHROPIC_BASE_URL is {_shown(url)}", hint=f"give {error}, or --upstream") from None


def proxy_for(upstream: str) -> str | None:
    """
    The HTTP proxy that the environment (`HTTPS_PROXY`, `NO_PROXY`) names for an upstream.
    """
    parts = urlsplit(upstream)
    if parts.hostname in ("127.0.0.1", "localhost", "::1") or urllib.request.proxy_bypass(parts.hostname or ""):
        return None
    return urllib.request.getproxies().get(parts.scheme)


def _user_folder() -> Path:
    import platformdirs  # noqa: PLC0415 - only when a file may be there; it costs start-up time

    return Path(platformdirs.user_config_dir("savemode", appauthor=False))


def _user_data() -> Path:
    import platformdirs  # noqa: PLC0415 - see above

    return Path(platformdirs.user_data_dir("savemode", appauthor=False))


def _user_ledger() -> str:
    return f"sqlite:///{_user_data() / LEDGER_NAME}"


def user_captures() -> Path:
    """
    The folder that captures go to where none is named.
    """
    return _user_data() / CAPTURES_NAME


def _read_file(path: Path, *, must_exist: bool) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except FileNotFoundError as error:
        if must_exist:
            raise ConfigError(f"no such config file: {path}", hint="give --config the path of a TOML file") from error
        return {}
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}", hint="see the README for an example") from error


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if environ.get(DEBUG_ENV, "").strip().lower() == "true":
        found["debug"] = True
    for key, value in environ.items():
        if key.startswith(PREFIX):
            found[key.removeprefix(PREFIX).lower()] = value
    return found


def _from_posthogs(environ: Mapping[str, str]) -> dict[str, Any]:
    return {key.lower(): environ[key] for key in POSTHOG_VARIABLES if environ.get(key, "").strip()}


def _capture(value: object) -> Path | None:
    """
    A folder; the user's own one for "true", as for the bare flag; none for "false".
    """
    if isinstance(value, Path):
        return value
    try:
        return user_captures() if values.boolean(value) else None
    except ValueError:
        return values.path(value)


_CHECKS: dict[str, Callable[[object], object]] = {
    "host": values.text,
    "port": values.port,
    "upstream": values.upstream,
    "product": values.text,
    "ttl_policy": values.one_of(*TTL_POLICIES),
    "compat": values.one_of(*COMPATS),
    "allow_host": values.words,
    "access_token": values.token,
    "connect_timeout_s": values.seconds,
    "read_timeout_s": values.seconds,
    "grace_s": values.seconds,
    "log_format": values.one_of(*LOG_FORMATS),
    "products": values.table,
    "aliases": values.table,
    "budget": values.usd,
    "budget_window": values.window,
    "budget_zone": values.zone,
    "budget_scope": values.scope,
    "warn_at": values.fraction,
    "engage_at": values.fraction,
    "fail": values.one_of("open", "closed"),
    "ledger": values.text,
    "price_file": values.path,
    "budgets": values.table,
    "events_file": values.path,
    "posthog_api_key": values.key,
    "posthog_personal_api_key": values.key,
    "posthog_host": values.posthog_host,
    "posthog_distinct_id": values.text,
    "posthog_project": values.text,
    "team_id": values.team,
    "capture": _capture,
    "keep": values.keep_for,
}
_CHECKS |= {one.name: values.boolean for one in fields(Settings) if one.type is bool}

OPTIONS = tuple(sorted(_CHECKS))
"""The names of all options, as a config file and, in capitals behind `SAVEMODE_`, the environment spell them."""


def _place(source: str, name: str) -> str:
    """
    An option as the person who gave it spelled it.
    """
    names = {"flag": f"--{name.replace('_', '-')}", "environment": f"{PREFIX}{name.upper()}", POSTHOG: name.upper()}
    return names.get(source, f"{source}: {name}")


def _checked(source: str, name: str, value: object) -> object:
    place = _place(source, name)
    if name not in _CHECKS:
        near = difflib.get_close_matches(name, OPTIONS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"options: {', '.join(OPTIONS)}"
        raise ConfigError(f"{place}: there is no such option", hint=hint)
    return _asked(place, _CHECKS[name], value)


def _asked(place: str, check: Callable[[object], T], value: object) -> T:
    try:
        return check(value)
    except ValueError as error:
        shown = "not usable" if check in (values.token, values.key) else _shown(value)
        raise ConfigError(f"{place} is {shown}", hint=f"give {error}") from None


def _shown(value: object) -> str:
    """
    A value in an error, unless it looks as if it held a credential: `http://user:password@host`, `?key=...`, `#token=...`.
    """
    text = repr(value)
    return "not usable" if any(sign in text for sign in ("@", "?", "#", "sk-")) else text


def _check_fractions(merged: Mapping[str, Any], places: Mapping[str, str]) -> None:
    """
    The client's second boundary is not below its first; either may come from another source than the other.
    """
    warn_at, engage_at = merged.get("warn_at", WARN_AT), merged.get("engage_at", ENGAGE_AT)
    if warn_at > engage_at:
        place = places.get("warn_at") or places["engage_at"]
        raise ConfigError(f"{place}: warn_at {warn_at} is above engage_at {engage_at}", hint="give both, in order")


_BUDGET_KEYS = ("limit_usd", "window", "zone", "scope", "strict")


def _further_budgets(
    merged: Mapping[str, Any], places: Mapping[str, str], layers: list[tuple[str, dict[str, Any]]]
) -> tuple[Budget, ...]:
    """
    The budgets of the tables, by name; of two tables of one name the nearer source's counts, as a whole.
    """
    found: dict[str, Budget] = {}
    fractions = {name: merged[name] for name in ("warn_at", "engage_at") if name in merged}
    for source, layer in reversed(layers):
        for name, row in layer.get("budgets", {}).items():
            place = f"{source}: budgets.{name}"
            if name == DEFAULT_BUDGET and "budget" in places:
                raise ConfigError(
                    f"{place} and {places['budget']} are both the budget {name}", hint="leave out one, or rename it"
                )
            found[name] = _budget(place, name, row, fractions)
    return tuple(found[name] for name in sorted(found))


def _budget(place: str, name: str, row: object, fractions: Mapping[str, Any]) -> Budget:
    if not isinstance(row, dict) or "limit_usd" not in row:
        raise ConfigError(f"{place} has no limit_usd", hint='like limit_usd = "20"')
    unknown = sorted(set(row) - set(_BUDGET_KEYS))
    if unknown:
        raise ConfigError(f"{place}.{unknown[0]}: there is no such option", hint=f"options: {', '.join(_BUDGET_KEYS)}")
    checks: dict[str, Callable[[object], Any]] = {
        "window": values.window,
        "zone": values.zone,
        "scope": values.scope,
        "strict": values.boolean,
    }
    limit_nusd = _asked(f"{place}.limit_usd", values.usd, row["limit_usd"])
    given = {key: _asked(f"{place}.{key}", check, row[key]) for key, check in checks.items() if key in row}
    try:
        return Budget(name, limit_nusd, **given, **fractions)
    except ConfigError as error:
        raise ConfigError(f"{place}: {error.message}", hint=error.hint) from None


def _products(merged: Mapping[str, Any], layers: list[dict[str, Any]]) -> Products:
    idle_prone = dict(KNOWN_PRODUCTS)
    aliases = dict(ALIASES)
    for layer in layers:
        for name, row in layer.get("products", {}).items():
            if not isinstance(row, dict) or not isinstance(row.get("idle_prone"), bool):
                raise ConfigError(f"product {name} needs idle_prone", hint=f"{name} = {{ idle_prone = true }}")
            idle_prone[name] = row["idle_prone"]
        for name, target in layer.get("aliases", {}).items():
            aliases[name] = str(target)
    table = Products(idle_prone, aliases, PRODUCTS.default)
    for name, target in aliases.items():
        if target not in idle_prone:
            raise ConfigError(f"alias {name} names no known product: {target}", hint=_known(table))
    default = table.resolve(merged.get("product", PRODUCTS.default))
    if default is None:
        raise ConfigError(f"unknown product {merged['product']!r}", hint=_known(table))
    return Products(idle_prone, aliases, default)


def _known(table: Products) -> str:
    return f"known products: {', '.join(sorted({*table.idle_prone, *table.aliases}))}"
