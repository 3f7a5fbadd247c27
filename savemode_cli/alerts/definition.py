"""
What is known of a channel for alerts, stated once.

Rule of this file: a `ChannelDefinition` is a row of the table `ALERT_CHANNELS`. From it come the channel of a proxy, its row
when the proxy starts, its row in `savemode alerts test`, and its counters in `/-/health`.

To add a channel: write a file in this folder with a function that delivers an alert and its definition, and add the definition
to `ALERT_CHANNELS`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from savemode_cli.core.budget.alerts import Deliver

if TYPE_CHECKING:
    from savemode_cli.config import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelDefinition:
    """
    A channel as savemode knows it before it is used.
    """

    name: str
    """What it is called in `savemode alerts test` and in announcements."""

    is_configured: Callable[["Settings"], bool]
    """Whether the settings ask for it."""

    destination: Callable[["Settings"], str]
    """Where alerts go, for people; without what may be a password. Asked only if it is configured."""

    open: Callable[["Settings"], Deliver]
    """Makes the function that delivers. Called only if it is configured."""
