"""
Options: which events are sent to PostHog or written to a file.
"""

from dataclasses import dataclass
from pathlib import Path

from savemode_cli.config import addresses, values
from savemode_cli.config.option import option


@dataclass(frozen=True, kw_only=True)
class TelemetryOptions:
    """
    Nothing is sent to PostHog without a key.
    """

    posthog_host: str = option(
        addresses.DEFAULT_POSTHOG_HOST,
        addresses.posthog_host,
        other_variables=("POSTHOG_HOST",),
        help="The address of PostHog.",
        risk="sends",
        effect="events about your requests go to this address",
    )
    posthog_api_key: str | None = option(
        None,
        values.key,
        secret=True,
        other_variables=("POSTHOG_API_KEY",),
        help="The key of the PostHog project that events go to. Without one nothing is sent.",
        risk="sends",
        effect="events about your requests go to this PostHog project",
    )
    posthog_personal_api_key: str | None = option(
        None,
        values.key,
        secret=True,
        other_variables=("POSTHOG_PERSONAL_API_KEY",),
        help="A key with which flags are evaluated here, without a request to PostHog for each person.",
        risk="sends",
        effect="flags are read from PostHog with this key",
    )
    telemetry: bool = option(
        default=True,
        help="Send nothing to PostHog, whatever key is configured.",
        doc="Whether events are sent to PostHog, if there is a key.",
        commands=("serve", "run"),
        risk="sends",
        effect="whether events are sent to PostHog at all",
    )
    telemetry_content: bool = option(
        default=False,
        help="Put prompts and answers into the events, without media.",
        commands=("serve", "run"),
        risk="sends",
        effect="prompts and answers are put into the events",
    )
    events_file: Path | None = option(
        None,
        values.path,
        metavar="FILE",
        help="Append each event to a file, as a JSON line.",
        commands=("serve", "run"),
        risk="reveals",
        effect="events are appended to this file",
    )
    print_events: bool = option(
        default=False,
        help="Print each event to stdout as it would be sent.",
        commands=("serve",),
        risk="reveals",
        effect="events are printed",
    )
    otel_endpoint: str | None = option(
        None,
        addresses.collector,
        metavar="URL",
        help="Send spans and metrics to an OpenTelemetry collector, without prompts and answers.",
        commands=("serve", "run"),
        risk="sends",
        effect="spans about your requests go to this address",
    )
    posthog_distinct_id: str | None = option(
        None,
        values.text,
        help="Who calls, where a request has no x-posthog-distinct-id. With it, PostHog decides on the flag of the gate.",
        risk="sends",
        effect="events and flags are about this person",
    )
    posthog_project: str | None = option(
        None,
        values.text,
        help="The group `project` of each event.",
        risk="sends",
        effect="events name this project",
    )
    team_id: int | None = option(
        None,
        values.team,
        help="The property `team_id` of each event.",
        risk="sends",
        effect="events name this team",
    )
