"""
The table of telemetry sinks.
"""

from pathlib import Path
from typing import Any

import pytest

from savemode_cli.config import Settings
from savemode_cli.telemetry.sinks import SINKS, configured_sinks


@pytest.mark.parametrize(
    ("options", "names", "rows"),
    [
        ({}, [], []),
        ({"posthog_api_key": "phc_012345", "telemetry": False}, [], []),
        (
            {"posthog_api_key": "phc_012345"},
            ["telemetry"],
            ["PostHog, https://us.i.posthog.com, without prompts and answers"],
        ),
        (
            {"events_file": Path("e.jsonl"), "telemetry_content": True},
            ["events_file"],
            ["e.jsonl, with prompts and answers"],
        ),
        ({"print_events": True}, ["print_events"], ["stdout, without prompts and answers"]),
    ],
)
def test_configured(options: dict[str, Any], names: list[str], rows: list[str]) -> None:
    """
    Which options ask for which sink, and what is printed about it when a proxy starts.
    """
    settings = Settings(**options)
    found = configured_sinks(settings)

    assert [one.name for one in found] == names
    assert [one.row(settings) for one in found] == rows


def test_names() -> None:
    """
    A sink is found by its name.
    """
    assert all(name == definition.name for name, definition in SINKS.items())
