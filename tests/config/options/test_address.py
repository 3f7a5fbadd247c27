"""
The options of the file `address`: each is read from its variable and from a config file.
"""

import pytest

from savemode_cli.config import load
from savemode_cli.config.option import Option, options_of
from savemode_cli.config.options.address import AddressOptions
from savemode_cli.core.errors import ConfigError
from tests.support.configured import check_sources


@pytest.mark.parametrize("option", options_of(AddressOptions, ""), ids=lambda option: option.name)
def test_sources(option: Option) -> None:
    """
    Text in a variable, and typed in a file.
    """
    check_sources(option)


@pytest.mark.parametrize("token", ["", "short", "with a blank in it", "\u00e9" * 16, "x" * 257])
def test_a_poor_token_is_not_repeated(token: str) -> None:
    """
    It may be half of a good one.
    """
    with pytest.raises(ConfigError) as raised:
        load({}, {"SAVEMODE_ACCESS_TOKEN": token})

    assert "SAVEMODE_ACCESS_TOKEN is not usable" in raised.value.message
    assert not token or token not in raised.value.message
