"""
The options of the file `budget`: each is read from its variable and from a config file.
"""

import pytest

from savemode_cli.config.option import Option, options_of
from savemode_cli.config.options.budget import BudgetOptions
from tests.support.configured import check_sources


@pytest.mark.parametrize("option", options_of(BudgetOptions, ""), ids=lambda option: option.name)
def test_sources(option: Option) -> None:
    """
    Text in a variable, and typed in a file.
    """
    check_sources(option)
