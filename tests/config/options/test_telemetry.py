"""
The options of the file `telemetry`: each is read from its variable and from a config file.
"""

import pytest

from savemode_cli.config import load
from savemode_cli.config.option import Option, options_of
from savemode_cli.config.options.telemetry import TelemetryOptions
from savemode_cli.core.errors import ConfigError
from tests.support.configured import check_sources, refused


@pytest.mark.parametrize("option", options_of(TelemetryOptions, ""), ids=lambda option: option.name)
def test_sources(option: Option) -> None:
    """
    Text in a variable, and typed in a file.
    """
    check_sources(option)


@pytest.mark.parametrize("name", ["POSTHOG_API_KEY", "SAVEMODE_POSTHOG_PERSONAL_API_KEY"])
def test_a_key_is_never_shown(name: str) -> None:
    """
    Neither a good one in the settings nor a bad one in an error.
    """
    with pytest.raises(ConfigError) as raised:
        load({}, {name: "phc bad one"})

    assert "bad" not in raised.value.message + raised.value.hint
    assert "phc_012345" not in repr(load({}, {name: "phc_012345"}))


@pytest.mark.parametrize("team", ["-1", "x", "1.5", "9" * 19, "9" * 5000])
def test_a_team_is_a_number(team: str) -> None:
    """
    Of those that PostHog gives out.
    """
    message, hint = refused({}, {"SAVEMODE_TEAM_ID": team})

    assert "SAVEMODE_TEAM_ID" in message
    assert hint == "give the number of a team"
