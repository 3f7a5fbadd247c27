"""
The settings of a relay are those that the user has chosen.
"""

from dataclasses import fields

from savemode_cli.cli.opening import relay_settings
from savemode_cli.config import Settings
from savemode_cli.core.wire.access_tokens import AccessTokens, digest_of
from savemode_cli.proxy.relay_settings import RelaySettings

CHOSEN = Settings(
    ttl_policy="always",
    debug=True,
    save=True,
    observe=True,
    beta_header=False,
    hold_out=0.5,
    forward_posthog_headers=True,
    allow_uncounted=True,
    refusal="402",
    guard_action="refuse",
    ledger="memory:",
    tokens=AccessTokens({"alice": digest_of("t" * 32)}),
)


def test_every_option_reaches_the_relay() -> None:
    """
    None of its values is the default, if the user has chosen others.
    """
    plain = relay_settings(Settings(), "http://127.0.0.1:1")
    chosen = relay_settings(CHOSEN, "http://127.0.0.1:1/base")
    same = [field.name for field in fields(RelaySettings) if getattr(plain, field.name) == getattr(chosen, field.name)]

    assert same == ["products", "refusal_statuses"]
    assert chosen.upstream_path == b"/base"
