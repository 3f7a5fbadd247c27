"""
What is known of a telemetry sink, stated once.

Rule of this file: a `SinkDefinition` is a row of the table `SINKS`. From it come the sink of a proxy, its row when the proxy
starts, its findings in `savemode doctor`, and its counters in `/-/health`.

To add a sink: write a file in this folder with an outlet and its definition, and add the definition to `SINKS`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from savemode_cli.core.exchange.observed import Sink
from savemode_cli.telemetry.background import Background
from savemode_cli.telemetry.event import Origin, ai_generation
from savemode_cli.telemetry.outlet import Outlet

if TYPE_CHECKING:
    from savemode_cli.config import Settings


@dataclass(frozen=True, slots=True)
class SinkFinding:
    """
    What `savemode doctor` says about a sink.
    """

    level: Literal["OK", "INFO", "WARN"]
    text: str
    advice: str = ""
    """What to do about it; empty if there is nothing to do."""


class Answer(Protocol):
    """
    What came back from an address.
    """

    @property
    def status(self) -> int | None:
        """
        The HTTP status; None if there was no answer.
        """

    @property
    def problem(self) -> str:
        """
        Why there was no answer.
        """

    @property
    def fix(self) -> str:
        """
        What to do about the problem; may be empty.
        """


class Probe(Protocol):
    """
    How a definition looks at the world outside. It changes nothing there.
    """

    def reach(self, url: str) -> Answer:
        """
        Ask an address for any answer.
        """

    def why_not_writable(self, path: Path, *, makes_folders: bool = True) -> str:
        """
        Why nothing could be written to a place; empty if something could be.
        """


@dataclass(frozen=True, slots=True)
class SinkContext:
    """
    What a sink is opened with.
    """

    settings: "Settings"
    version: str
    """The version of savemode, which each event names."""

    announce: Callable[[str, str], None]
    """Tells the person at the terminal; takes the name of an event and a sentence."""

    write_line: Callable[[str], None]
    """Writes a line to the output of the command."""

    is_terminal: bool
    """Whether a person reads that output."""

    def background(self, name: str, outlet: Outlet, **options: Any) -> Background:
        """
        A sink that makes events and delivers them to an outlet, in a thread.

        Args:
            name: the name of the sink.
            outlet: where the events go.
            **options: further arguments of `Background`.
        """
        settings = self.settings
        origin = Origin(
            settings.upstream,
            self.version,
            settings.posthog_distinct_id,
            settings.posthog_project,
            settings.team_id,
        )
        make = partial(ai_generation, origin=origin)
        return Background(name, make, outlet, self.announce, wants_content=settings.telemetry_content, **options)


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkDefinition:
    """
    A sink as savemode knows it before it is opened.
    """

    name: str
    """What the sink is called in `/-/health` and in announcements."""

    is_configured: Callable[["Settings"], bool]
    """Whether the settings ask for it."""

    destination: Callable[["Settings"], str]
    """Where its events go, for people. Asked only if it is configured."""

    open: Callable[[SinkContext], Sink]
    """Makes the sink. Called only if it is configured."""

    about: str = "events"
    """The name of its findings in `savemode doctor`."""

    check: Callable[["Settings", Probe], Iterator[SinkFinding]] | None = None
    """
    What `savemode doctor` finds, also where the sink is not configured. None: that it is configured, and nothing otherwise.
    """

    def row(self, settings: "Settings") -> str:
        """
        What is printed about it when a proxy starts.
        """
        content = "with prompts and answers" if settings.telemetry_content else "without prompts and answers"
        return f"{self.destination(settings)}, {content}"

    def findings(self, settings: "Settings", probe: Probe) -> Iterator[SinkFinding]:
        """
        What `savemode doctor` finds.
        """
        if self.check is not None:
            yield from self.check(settings, probe)
        elif self.is_configured(settings):
            yield SinkFinding("OK", f"events go to {self.row(settings)}")
