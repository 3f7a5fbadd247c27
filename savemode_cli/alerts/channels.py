"""
The table of channels for alerts.

Rule of this file: a channel is one file and one line here.
"""

from typing import TYPE_CHECKING

from savemode_cli.alerts.command import COMMAND
from savemode_cli.alerts.definition import ChannelDefinition
from savemode_cli.alerts.desktop import DESKTOP
from savemode_cli.alerts.services import SERVICES
from savemode_cli.alerts.webhook import WEBHOOK

if TYPE_CHECKING:
    from savemode_cli.config import Settings

ALERT_CHANNELS: dict[str, ChannelDefinition] = {
    definition.name: definition
    for definition in (
        DESKTOP,
        WEBHOOK,
        COMMAND,
        SERVICES,
    )
}
"""By name, in the order in which they are printed and tested."""


def configured_channels(settings: "Settings") -> list[ChannelDefinition]:
    """
    The channels that the settings ask for.
    """
    return [definition for definition in ALERT_CHANNELS.values() if definition.is_configured(settings)]
