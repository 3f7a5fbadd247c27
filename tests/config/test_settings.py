"""
What follows from the settings.
"""

import pytest

from savemode_cli.config import Settings, load, with_base_url
from savemode_cli.core.upgrade.policy import Policy
from tests.support.configured import loaded


def test_policy() -> None:
    """
    The settings that concern the transform reach it.
    """
    settings = loaded({"ttl_policy": "always", "compat": "upstream", "allow_bedrock": True, "allow_oauth_edits": True})

    assert settings.policy == Policy(ttl="always", compat=True, allow_bedrock=True, allow_oauth=True)
    assert loaded().policy == Policy(ttl="product")


def test_simulated_upstream_has_a_ledger_of_its_own() -> None:
    """
    What it bills is no money: unless a ledger is named, it is kept in memory, and the user's own is not opened.
    """
    settings = loaded({"upstream": " Simulated "})

    assert (settings.upstream, settings.is_simulated, settings.ledger_url) == ("simulated", True, "memory:")
    assert loaded({"upstream": "simulated", "ledger": "sqlite:////a/b"}).ledger_url == "sqlite:////a/b"
    assert not Settings().is_simulated
    assert with_base_url(settings, {"ANTHROPIC_BASE_URL": "https://gateway.example"}).is_simulated


def test_posthog_hears_nothing_without_a_key_or_against_a_no() -> None:
    """
    A person to ask flags for is no key, `telemetry = false` is a no to both, and what is simulated is nobody's cost.
    """
    full = {"POSTHOG_API_KEY": "phc_012345", "SAVEMODE_POSTHOG_DISTINCT_ID": "me"}

    assert (loaded({}, full).sends_events, loaded({}, full).asks_flags) == (True, True)
    assert not loaded({}, {"SAVEMODE_POSTHOG_DISTINCT_ID": "me"}).asks_flags
    assert not loaded({}, {"POSTHOG_API_KEY": "phc_012345"}).asks_flags
    for flags in ({"telemetry": False}, {"upstream": "simulated"}):
        no = loaded(flags, full)
        assert (no.sends_events, no.asks_flags) == (False, False)


def test_settings_do_not_show_the_token() -> None:
    """
    Neither in a log nor in a traceback.
    """
    assert "0123456789abcdef" not in repr(load({}, {"SAVEMODE_ACCESS_TOKEN": "0123456789abcdef"}))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "auto"),
        ({"compat": "upstream"}, "429"),
        ({"compat": "upstream", "refusal": "402"}, "402"),
        ({"refusal": "429"}, "429"),
    ],
)
def test_refusal_of_the_other_gateway(options: dict[str, str], expected: str) -> None:
    """
    What is reproduced answers 429 to everybody; who asks for a status gets it.
    """
    assert loaded(options).refusal_in_force == expected
