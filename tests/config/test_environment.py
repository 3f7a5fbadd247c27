"""
Variables: those of savemode, and those of other programs.
"""

from typing import Any

import pytest

from savemode_cli.config import DEFAULT_UPSTREAM, Settings, override_value, with_base_url
from savemode_cli.core.errors import ConfigError
from tests.support.configured import loaded, refused, toml


@pytest.mark.parametrize(("value", "expected"), [("true", True), (" TRUE ", True), ("1", False), ("", False)])
def test_debug_of_the_gateway(value: str, expected: bool) -> None:
    """
    The original's own variable switches debug on, with its own strictness; ours wins over it.
    """
    assert loaded(environ={"LLM_GATEWAY_DEBUG": value}).debug is expected
    assert not loaded(environ={"LLM_GATEWAY_DEBUG": value, "SAVEMODE_DEBUG": "false"}).debug


def test_override_is_read_anew() -> None:
    """
    `COST_CONTROLS_ENABLED` is read as it stands at each call; unset is None, and it is no option of ours.
    """
    assert override_value({"COST_CONTROLS_ENABLED": " True "}) == " True "
    assert override_value({}) is None
    assert override_value() is None


def test_base_url_wins_over_every_file() -> None:
    """
    `run` goes on to where the command would have gone: the key is for there. An option or our own variable says otherwise.
    """
    environ = {"ANTHROPIC_BASE_URL": "https://gateway.example/anthropic/"}
    user = toml('upstream = "https://user.example"', "user/savemode.toml").parent
    here = toml('upstream = "https://here.example"\nquiet = true', "here/savemode.toml").parent
    given = toml('upstream = "https://given.example"', "given.toml")
    sets: list[dict[str, Any]] = [
        {"user_folder": user},
        {"user_folder": user, "folder": here},
        {"config": given, "folder": here},
        {},
    ]
    for files in sets:
        settings = loaded(**files)
        found = with_base_url(settings, environ)
        assert (found.upstream, found.upstream_from) == ("https://gateway.example/anthropic", "ANTHROPIC_BASE_URL")
        assert not any("upstream" in one.options for one in found.files)
        assert with_base_url(settings, {}) == settings
        assert with_base_url(settings, {"ANTHROPIC_BASE_URL": " "}) == settings
        flag = loaded({"upstream": "https://flag.example"}, **files)
        own = loaded({}, {"SAVEMODE_UPSTREAM": "https://own.example"}, **({} if "config" in files else files))
        assert with_base_url(flag, environ).upstream == "https://flag.example"
        assert with_base_url(own, environ).upstream == "https://own.example"
    assert with_base_url(Settings(), {}).upstream == DEFAULT_UPSTREAM
    with pytest.raises(ConfigError) as caught:
        with_base_url(Settings(), {"ANTHROPIC_BASE_URL": "user:secret@x"})
    assert "secret" not in caught.value.message


def test_posthogs_own_variables_are_read_and_ours_win() -> None:
    """
    Who has set up PostHog has set it up for us; an empty variable is none.
    """
    theirs = {"POSTHOG_API_KEY": "phc_theirs", "POSTHOG_HOST": "https://eu.i.posthog.com"}

    read = loaded({}, theirs)
    assert (read.posthog_api_key, read.posthog_host) == ("phc_theirs", "https://eu.i.posthog.com")
    assert loaded({}, {**theirs, "SAVEMODE_POSTHOG_API_KEY": "phc_ours00"}).posthog_api_key == "phc_ours00"
    assert loaded({}, {"POSTHOG_API_KEY": " "}).posthog_api_key is None


@pytest.mark.parametrize("name", ["POSTHOG_HOST", "SAVEMODE_POSTHOG_HOST"])
def test_posthogs_address_is_refused_under_the_name_it_was_given(name: str) -> None:
    """
    Whoever set PostHog's own variable finds it in the error; and no PostHog is simulated.
    """
    message, hint = refused({}, {name: "nope"})

    assert message == f"{name} is 'nope'"
    assert "simulated" not in hint
    assert "https://us.i.posthog.com" in hint
