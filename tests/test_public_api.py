"""
What the package offers, and what importing it costs.
"""

import re

import pytest

import savemode_cli
from tests.support.processes import python


def test_names() -> None:
    """
    The package itself offers its version and nothing else.
    """
    assert savemode_cli.__all__ == ["__version__"]


def test_version() -> None:
    """
    The version is looked up when it is asked for.
    """
    assert re.match(r"\d+\.\d+\.\d+", savemode_cli.__version__)


def test_other_names_are_missing_as_usual() -> None:
    """
    A name that is not there is an AttributeError that says so.
    """
    with pytest.raises(AttributeError, match="module 'savemode_cli' has no attribute 'nope'"):
        savemode_cli.nope  # noqa: B018 - reading it is the test


def test_import_loads_no_third_party_module() -> None:
    """
    `import savemode_cli` costs next to nothing: every module it loads is its own or the standard library's.
    """
    code = """
import sys
before = set(sys.modules)
import savemode_cli
roots = {name.partition(".")[0] for name in set(sys.modules) - before}
print(sorted(roots - set(sys.stdlib_module_names)))
"""
    assert python(code).strip() == "['savemode_cli']"


def test_core_needs_its_parser_only() -> None:
    """
    The judgement can be imported without the proxy: no network, no terminal.
    """
    code = """
import sys, zoneinfo  # the standard library's, which loads what the interpreter's build left behind
before = set(sys.modules)
import savemode_cli.core.exchange.summary, savemode_cli.core.upgrade.transform, savemode_cli.core.wire.caller
roots = {name.partition(".")[0] for name in set(sys.modules) - before}
print(sorted(roots - set(sys.stdlib_module_names)))
"""
    # msgspec itself takes typing_extensions along where it finds it.
    assert python(code).replace(", 'typing_extensions'", "").strip() == "['msgspec', 'savemode_cli']"
