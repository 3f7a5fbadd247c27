"""
The options of the file `guard`: each is read from its variable and from a config file, and from the table `[guard]`.
"""

import pytest

from savemode_cli.config.option import Option, options_of
from savemode_cli.config.options.guard import GuardOptions
from savemode_cli.core.budget.choices import GuardLimits
from tests.support.configured import check_sources, loaded, refused, toml


@pytest.mark.parametrize("option", options_of(GuardOptions, ""), ids=lambda option: option.name)
def test_sources(option: Option) -> None:
    """
    Text in a variable, and typed in a file.
    """
    check_sources(option)


def test_table() -> None:
    """
    A row of `[guard]` is the option of that name; a variable overrides it as any other.
    """
    toml('[guard]\naction = "refuse"\nidentical_calls = 7\nusd_per_minute = "2.50"\nagents = 0\n')

    assert loaded().guard_limits == GuardLimits("refuse", 7, 2_500_000_000, 0)
    assert loaded(environ={"SAVEMODE_GUARD_AGENTS": "5"}).guard_limits.agents == 5


def test_errors() -> None:
    """
    They name the option and say what can be given.
    """
    toml("[guard]\nidentical_cals = 7\n")
    assert refused() == (
        "savemode.toml: guard_identical_cals: there is no such option",
        "did you mean guard_identical_calls?",
    )
    twice = toml("guard_agents = 5\n[guard]\nagents = 7\n", "my.toml")
    assert refused(config=twice) == ("my.toml: guard_agents is also in [guard]", "leave out one of them")
    toml("[guard]\nagents = -1\n")
    assert refused() == ("savemode.toml: guard_agents is -1", "give a whole number, like 10 (0: no limit)")
    toml("guard = 7\n")
    assert refused()[0] == "savemode.toml: guard: there is no such option"
