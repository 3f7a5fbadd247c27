"""
The errors: one tree, stable codes, a message and what to do.
"""

import inspect
import re
from typing import Any

import pytest

from savemode_cli.core import errors
from savemode_cli.core.errors import (
    SavemodeError,
    UpstreamTimeout,
    UpstreamUnreachable,
)

ALL: list[Any] = [one for _, one in inspect.getmembers(errors, inspect.isclass)]


def test_one_tree() -> None:
    """
    Whoever catches SavemodeError catches all of them, and nothing else: each is an Exception.
    """
    assert all(issubclass(one, SavemodeError) for one in ALL)
    assert SavemodeError.__mro__[1] is Exception


def test_codes_are_stable_and_distinct() -> None:
    """
    The codes are what machines hold on to.
    """
    assert {one.__name__: one.code for one in ALL} == {
        "SavemodeError": "error",
        "BadInput": "bad_input",
        "ConfigError": "config_error",
        "LedgerUnavailable": "ledger_unavailable",
        "LedgerBusy": "ledger_busy",
        "CaptureUnavailable": "capture_unavailable",
        "CaptureTooNew": "capture_too_new",
        "ServiceUnavailable": "service_unavailable",
        "BadHeader": "bad_header",
        "BodyTooLarge": "body_too_large",
        "UnknownModel": "unknown_model",
        "UpstreamUnreachable": "upstream_unreachable",
        "UpstreamTimeout": "upstream_timeout",
    }


@pytest.mark.parametrize("kind", [one for one in ALL if one is not SavemodeError])
def test_message_and_hint(kind: type[SavemodeError]) -> None:
    """
    An error is its message; the hint is apart, and empty where there is nothing to do.
    """
    error = kind("what was found", hint="what to do")

    assert (str(error), error.message, error.hint) == ("what was found", "what was found", "what to do")
    assert kind("x").hint == ""


def test_status_of_the_upstreams_errors() -> None:
    """
    No answer is 502, a late one 504, each with the API's own type.
    """
    assert (UpstreamUnreachable.status, UpstreamUnreachable.api_type) == (502, "api_error")
    assert (UpstreamTimeout.status, UpstreamTimeout.api_type) == (504, "timeout_error")


def test_tree_in_the_docstring_is_complete() -> None:
    """
    The picture at the top of the file shows every class, indented under its parent.
    """
    drawn = re.findall(r"^ *(?:\| +)?(?:\|- )?(\w+)", (errors.__doc__ or "").partition("\n\n")[2], re.MULTILINE)

    assert {one.__name__ for one in ALL} <= set(drawn)
