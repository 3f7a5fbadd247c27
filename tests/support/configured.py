"""
Settings loaded from what a test gives, and from nothing else; and a value for every option.
"""

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from savemode_cli.config import OPTIONS, Settings, load
from savemode_cli.config.option import Option
from savemode_cli.config.trust import FILE_NAME
from savemode_cli.core.budget.window import Window
from savemode_cli.core.errors import ConfigError
from tests.support.trusting import trust

TABLES: Mapping[str, str] = {
    "products": "{ p = { idle_prone = true } }",
    "aliases": '{ a = "wizard" }',
    "tokens": f'{{ alice = "sha256:{"0" * 64}" }}',
    "budgets": '{ b = { limit_usd = "7", window = "day" }, default = { limit_usd = "900" } }',
}
"""The options that stand in config files only, as TOML."""

VALUES: Mapping[str, tuple[str, str, Any]] = {
    "host": ("::1", '"::1"', "::1"),
    "port": ("0", "0", 0),
    "upstream": ("https://host:8/a/", '"https://host:8/a/"', "https://host:8/a"),
    "forward_posthog_headers": ("true", "true", True),
    "connect_timeout_s": ("1.5", "1.5", 1.5),
    "incoming_mb": ("64", "64", 64),
    "read_timeout_s": ("7", "7", 7.0),
    "grace_s": ("3", "3", 3.0),
    "allow_remote": ("TRUE", "true", True),
    "allow_host": ("a.example, B.example", '["a.example", "B.example"]', ("a.example", "b.example")),
    "access_token": ("0123456789abcdef", '"0123456789abcdef"', "0123456789abcdef"),
    "budget": ("5.40", '"5.40"', 5_400_000_000),
    "budget_window": ("month:15", '"month:15"', Window("month", 15)),
    "budget_zone": ("Europe/Berlin", '"Europe/Berlin"', "Europe/Berlin"),
    "budget_scope": ("user", '"user"', "user"),
    "strict": ("true", "true", True),
    "budget_allow_override": ("false", "false", False),
    "budget_refusal_hint": ("ask Maria", '"ask Maria"', "ask Maria"),
    "budget_unknown": ("refuse", '"refuse"', "refuse"),
    "guard_identical_calls": ("7", "7", 7),
    "guard_usd_per_minute": ("1.50", '"1.50"', 1_500_000_000),
    "guard_agents": ("0", "0", 0),
    "alerts_at": ("0.9, 0.5", '[0.9, "0.5"]', (Decimal("0.5"), Decimal("0.9"))),
    "alerts_webhook": ("https://a.example/x?y", '"https://a.example/x?y"', "https://a.example/x?y"),
    "alerts_webhook_secret": ("0123456789abcdef", '"0123456789abcdef"', "0123456789abcdef"),
    "alerts_command": ("my-alert 'a b'", "\"my-alert 'a b'\"", "my-alert 'a b'"),
    "alerts_apprise": ("tgram://X/1, json://h", '["tgram://X/1", "json://h"]', ("tgram://X/1", "json://h")),
    "run_budget": ("1.50", '"1.50"', 1_500_000_000),
    "warn_at": ("0.5", "0.5", Decimal("0.5")),
    "engage_at": ("0.9", "0.9", Decimal("0.9")),
    "fail": ("closed", '"closed"', "closed"),
    "refusal": ("402", "402", "402"),
    "allow_uncounted": ("yes", "true", True),
    "ledger": ("sqlite:///l.db", '"sqlite:///l.db"', "sqlite:///l.db"),
    "ledger_password": ("s3cret word", '"s3cret word"', "s3cret word"),
    "ledger_password_file": ("password.txt", '"password.txt"', Path("password.txt")),
    "price_file": ("prices.toml", '"prices.toml"', Path("prices.toml")),
    "capture": ("some/folder", '"some/folder"', Path("some/folder")),
    "keep": (" 2D ", '"48h"', timedelta(days=2)),
    "log_format": ("json", '"json"', "json"),
    "quiet": ("true", "true", True),
    "verbose": ("true", "true", True),
    "posthog_host": ("https://eu.i.posthog.com/", '"https://eu.i.posthog.com"', "https://eu.i.posthog.com"),
    "posthog_api_key": ("phc_012345", '"phc_012345"', "phc_012345"),
    "posthog_personal_api_key": ("phx_012345", '"phx_012345"', "phx_012345"),
    "telemetry": ("off", "false", False),
    "telemetry_content": ("true", "true", True),
    "events_file": ("events.jsonl", '"events.jsonl"', Path("events.jsonl")),
    "print_events": ("true", "true", True),
    "otel_endpoint": ("http://127.0.0.1:4318", '"http://127.0.0.1:4318"', "http://127.0.0.1:4318"),
    "posthog_distinct_id": ("me@example.com", '"me@example.com"', "me@example.com"),
    "posthog_project": ("p", '"p"', "p"),
    "team_id": ("7", "7", 7),
    "product": ("wizard", '"wizard"', "wizard"),
    "ttl_policy": (" Always ", '"always"', "always"),
    "hold_out": ("0.25", "0.25", 0.25),
    "keep_warm": ("4", "4", 4),
    "keep_warm_hourly": ("0.50", '"0.50"', 500_000_000),
    "debug": ("true", "true", True),
    "observe": ("1", "true", True),
    "compat": ("upstream", '"upstream"', "upstream"),
    "beta_header": ("no", "false", False),
    "allow_bedrock": ("yes", "true", True),
    "allow_oauth_edits": ("on", "true", True),
}
"""
By the name of an option: a value as the text of a variable, the same as TOML, and what is read from both. An option that is
true or false, or that has choices, needs no line here.
"""


def value_of(option: Option) -> tuple[str, str, Any]:
    """
    A value that is not the default, as in `VALUES`.
    """
    if option.name in VALUES:
        return VALUES[option.name]
    if option.kind == "flag":
        value = not option.default
        return str(value).lower(), str(value).lower(), value
    choice = next(choice for choice in option.choices if choice != option.default)
    return choice, f'"{choice}"', choice


AS_TOML: Mapping[str, str] = {
    **TABLES,
    **{name: value_of(option)[1] for name, option in OPTIONS.items() if option.kind != "table"},
}
"""Every option as TOML."""


def loaded(flags: dict[str, Any] | None = None, environ: dict[str, str] | None = None, **sources: Any) -> Settings:
    """
    Load the settings.
    """
    return load(flags or {}, environ or {}, **sources)


def toml(text: str, name: str = FILE_NAME) -> Path:
    """
    Write a config file; one with the usual name is trusted.
    """
    path = Path(name)
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    if path.name == FILE_NAME:
        trust(path.parent)
    return path


def refused(
    flags: dict[str, Any] | None = None, environ: dict[str, str] | None = None, **sources: Any
) -> tuple[str, str]:
    """
    The message and the hint of the error that loading raises.
    """
    with pytest.raises(ConfigError) as raised:
        loaded(flags, environ, **sources)
    return raised.value.message, raised.value.hint


def check_sources(option: Option) -> None:
    """
    Check that an option is read from its variable and from a config file. Tables stand in files only.
    """
    toml(f"{option.name} = {AS_TOML[option.name]}\n")
    from_file = getattr(loaded(user_folder=Path() if option.only_own else None), option.attribute)
    Path(FILE_NAME).unlink()
    if option.kind == "table":
        assert from_file != getattr(loaded(), option.attribute)
        return
    text, _, expected = value_of(option)

    assert from_file == expected
    assert getattr(loaded(environ={option.variable: text}), option.attribute) == expected
