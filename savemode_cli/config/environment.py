"""
The variables of the environment: those that set options, and those of other programs that change what reaches the proxy.

Rule of this file: it reads variables at the moment in which it is called, and checks no value.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace

from savemode_cli.config import addresses, values
from savemode_cli.config.option import PREFIX
from savemode_cli.config.options import OPTIONS
from savemode_cli.config.settings import Settings
from savemode_cli.config.sources import Layer
from savemode_cli.core.errors import ConfigError
from savemode_cli.core.upgrade.gate import DEBUG_ENV, ENV

ENVIRONMENT = "environment"
"""The name of the source that the variables `SAVEMODE_...` are."""

OTHER_VARIABLES = "other variables"
"""The name of the source that variables of other programs are."""

BASE_URL = "ANTHROPIC_BASE_URL"

CLIENT_VARIABLES = {
    BASE_URL: "clients send their requests there; savemode run passes its requests on to it",
    "ENABLE_PROMPT_CACHING_1H": "Claude Code asks for 1h itself, and savemode does not change that",
    "FORCE_PROMPT_CACHING_5M": "Claude Code asks for 5m",
    "DISABLE_PROMPT_CACHING": "Claude Code sets no breakpoints, so there is nothing to upgrade",
}
"""
Variables of other programs that change what reaches us, and how.

Source: https://code.claude.com/docs/en/settings#environment-variables (checked 2026-11-24).
"""


def variables(environ: Mapping[str, str] | None = None) -> list[str]:
    """
    The names of the variables of savemode that are set, without their values.
    """
    environ = os.environ if environ is None else environ
    return sorted(name for name in environ if name.startswith(PREFIX) or name == DEBUG_ENV)


def client_variables(environ: Mapping[str, str] | None = None) -> list[str]:
    """
    The variables of `CLIENT_VARIABLES` that are set. Clients that are started here get them too.
    """
    environ = os.environ if environ is None else environ
    return [name for name in CLIENT_VARIABLES if environ.get(name)]


def shown_url(url: str) -> str:
    """
    The address of a ledger as it may be printed. Of one that may hold a password only the scheme is printed.
    """
    user, at, _ = url.partition("://")[2].rpartition("@")
    holds_password = (at and any(one in user for one in ":@")) or ("@" in url and not at) or "password" in url.lower()
    return f"{url.partition(':')[0]}:..." if holds_password else url


def override_value(environ: Mapping[str, str] | None = None) -> str | None:
    """
    The present value of `COST_CONTROLS_ENABLED`; None if it is not set.
    """
    return (os.environ if environ is None else environ).get(ENV)


def with_base_url(settings: Settings, environ: Mapping[str, str] | None = None) -> Settings:
    """
    The settings with the upstream that `ANTHROPIC_BASE_URL` names. This variable overrides every file. `--upstream` and
    `SAVEMODE_UPSTREAM` override the variable.

    The requests of a command that uses a gateway must go on to that gateway, because the key in its environment is for the
    gateway.

    Args:
        settings: the settings.
        environ: the variables; None: those of this process.

    Raises:
        ConfigError: the value of the variable is not an address.
    """
    url = (os.environ if environ is None else environ).get(BASE_URL, "").strip()
    if not url or settings.upstream_from in (OPTIONS["upstream"].flag, OPTIONS["upstream"].variable):
        return settings
    try:
        upstream = addresses.upstream(url)
    except ValueError as error:
        raise ConfigError(f"{BASE_URL} is {values.shown(url)}", hint=f"give {error}, or --upstream") from None
    files = (
        replace(file, options=tuple(name for name in file.options if name != "upstream")) for file in settings.files
    )
    decided = tuple(file for file in files if file.options)
    return replace(settings, upstream=upstream, upstream_from=BASE_URL, files=decided)


def variable_layers(environ: Mapping[str, str]) -> list[Layer]:
    """
    The options that variables set: those of savemode, and after them those of other programs.
    """
    own = {name.removeprefix(PREFIX).lower(): value for name, value in environ.items() if name.startswith(PREFIX)}
    return [Layer(ENVIRONMENT, own), Layer(OTHER_VARIABLES, dict(_from_others(environ)))]


def _from_others(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """
    The options that variables of other programs set. Of PostHog's gateway only the value "true" switches its debug mode on.
    """
    for option in OPTIONS.values():
        for variable in option.other_variables:
            value = environ.get(variable, "").strip()
            if value and (variable != DEBUG_ENV or value.lower() == "true"):
                yield option.name, value
