"""
The table of telemetry sinks.

Rule of this file: a sink is one file and one line here.
"""

from typing import TYPE_CHECKING

from savemode_cli.telemetry.definition import SinkDefinition
from savemode_cli.telemetry.jsonl import EVENTS_FILE
from savemode_cli.telemetry.otel import OPENTELEMETRY
from savemode_cli.telemetry.posthog import POSTHOG
from savemode_cli.telemetry.printed import PRINTED_EVENTS

if TYPE_CHECKING:
    from savemode_cli.config import Settings

SINKS: dict[str, SinkDefinition] = {
    definition.name: definition
    for definition in (
        POSTHOG,
        EVENTS_FILE,
        PRINTED_EVENTS,
        OPENTELEMETRY,
    )
}
"""By name, in the order in which they are opened, printed and looked at."""


def configured_sinks(settings: "Settings") -> list[SinkDefinition]:
    """
    The sinks that the settings ask for.
    """
    return [definition for definition in SINKS.values() if definition.is_configured(settings)]
