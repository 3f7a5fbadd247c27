"""
The options of the file `captures`: each is read from its variable and from a config file.
"""

from datetime import timedelta
from pathlib import Path

import pytest

from savemode_cli.config import user_captures
from savemode_cli.config.option import Option, options_of
from savemode_cli.config.options.captures import CaptureOptions
from tests.support.configured import check_sources, loaded


@pytest.mark.parametrize("option", options_of(CaptureOptions, ""), ids=lambda option: option.name)
def test_sources(option: Option) -> None:
    """
    Text in a variable, and typed in a file.
    """
    check_sources(option)


@pytest.mark.parametrize(("value", "on"), [("true", True), ("1", True), ("", False), ("off", False)])
def test_captures_are_on_or_off_or_somewhere(value: str, on: bool) -> None:
    """
    A word for yes is the user's own folder, one for no is off; anything else is a folder.
    """
    own = user_captures()

    assert loaded(environ={"SAVEMODE_CAPTURE": value}).capture == (own if on else None)
    assert own.name == "captures"
    assert loaded({"capture": "~/x"}).capture == Path("~/x").expanduser()
    assert loaded({"capture": Path("x")}).capture == Path("x")


def test_captures_may_be_kept_for_ever() -> None:
    """
    A month unless somebody says otherwise: they hold prompts.
    """
    assert loaded({"keep": "forever"}).keep is None
    assert loaded().keep == timedelta(days=30)
