"""
Events to PostHog, sent by its own SDK.

Rule of this file: the SDK is imported in the thread that sends. What the SDK raises becomes a sentence without a key.
"""

import importlib.util
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from savemode_cli.core.errors import ConfigError
from savemode_cli.telemetry.background import Background
from savemode_cli.telemetry.definition import Probe, SinkContext, SinkDefinition, SinkFinding
from savemode_cli.telemetry.event import Event
from savemode_cli.telemetry.outlet import Undelivered
from savemode_cli.telemetry.session import session_for
from savemode_cli.telemetry.spool import Spool

if TYPE_CHECKING:
    from savemode_cli.config import Settings

DEFAULT_HOST = "https://us.i.posthog.com"

_FINAL_STATUSES = frozenset({400, 413, 422})
"""Statuses that refuse the events themselves. Others are about the key, the address or the moment, and are tried again."""

_REFUSED_PAUSE_S = 60.0


class PostHog:
    """
    The outlet to one PostHog project. A batch can be sent again: an event has the same uuid each time, and PostHog keeps
    one event of each uuid.
    """

    def __init__(self, api_key: str, host: str = DEFAULT_HOST, *, compress: bool = False) -> None:
        """
        Args:
            api_key: the key of the project.
            host: the address of PostHog. It may be the address of the app, as for the SDK.
            compress: whether to compress batches. That takes as long as to write the JSON, and is for large events.
        """
        self.where = f"PostHog ({host})"
        self._api_key = api_key
        self._host = host
        self._compress = compress
        self._post: Callable[..., Any] | None = None
        self._session: Any = None

    def deliver(self, batch: Sequence[Event], timeout_s: float) -> None:
        """
        Post a batch to `/batch/`.

        Raises:
            Undelivered: PostHog did not accept it.
        """
        try:
            self._send(batch, timeout_s)
        except Undelivered:
            raise
        except Exception as error:  # noqa: BLE001 - no exception of a library may end the telemetry
            raise self._undelivered(error) from None

    def _send(self, batch: Sequence[Event], timeout_s: float) -> None:
        if self._post is None:
            self._begin()
        assert self._post is not None  # noqa: S101 - for the type checker
        self._post(
            self._api_key,
            host=self._host,
            gzip=self._compress,
            timeout=timeout_s,
            batch=list(batch),
            historical_migration=False,
            session=self._session,
        )

    def _begin(self) -> None:
        if importlib.util.find_spec("posthog") is None:
            raise Undelivered("the posthog package is not installed", after_s=_REFUSED_PAUSE_S)
        from posthog.request import batch_post, determine_server_host  # noqa: PLC0415 - see savemode_cli/telemetry/session.py

        silence_sdk()
        self._host = determine_server_host(self._host)
        try:
            self._session = session_for(self._host)
        except ConfigError as error:
            raise Undelivered(f"{self.where} cannot be reached: {error.message}", after_s=_REFUSED_PAUSE_S) from error
        # A redirected POST becomes a GET, whose answer would be a 200 although no event arrived.
        self._session.max_redirects = 0
        self._post = batch_post

    def _undelivered(self, error: Exception) -> Undelivered:
        status = getattr(error, "status", None)
        if isinstance(status, int):
            refused = 400 <= status < 500 and status not in (408, 429)
            return Undelivered(
                f"{self.where} answers HTTP {status}" + (_advice(status) if refused else ""),
                final=status in _FINAL_STATUSES,
                after_s=_REFUSED_PAUSE_S if refused else getattr(error, "retry_after", None),
            )
        if isinstance(error, TypeError | UnicodeError | RecursionError):
            return Undelivered(f"an event cannot be written as JSON ({type(error).__name__})", final=True)
        return Undelivered(f"{self.where} {_failure_words(error)}")


def _advice(status: int) -> str:
    return ": is the key that of a project there?" if status in (401, 403) else ""


def _failure_words(error: Exception) -> str:
    """
    What failed, by the names of the exception's classes. Its text is not used: it holds addresses, and may hold more.
    """
    names = {kind.__name__ for kind in type(error).__mro__}
    if "Timeout" in names:
        return "does not answer in time"
    if "TooManyRedirects" in names:
        return "redirects to another address: set POSTHOG_HOST to that address"
    if "ConnectionError" in names:
        return "cannot be reached"
    return f"cannot be asked ({type(error).__name__})"


def silence_sdk() -> None:
    """
    Keep the log lines of the SDK from the terminal. They repeat what savemode announces once.
    """
    log = logging.getLogger("posthog")
    log.addHandler(logging.NullHandler())
    log.propagate = False


def _open(context: SinkContext) -> Background:
    settings = context.settings
    key, host = settings.posthog_api_key, settings.posthog_host
    assert key is not None  # noqa: S101 - it is configured
    outlet = PostHog(key, host, compress=settings.telemetry_content)
    return context.background("telemetry", outlet, store=Spool(settings.spool_folder, f"{host} {key}"))


def _check(settings: "Settings", probe: Probe) -> Iterator[SinkFinding]:
    """
    Where events go, whether an answer comes from there, and how many bytes wait for the next start.
    """
    if not settings.sends_events:
        yield _why_nothing_is_sent(settings)
        return
    answer = probe.reach(settings.posthog_host)
    if answer.status is None:
        advice = f"events wait in a file until then; {answer.fix or 'check POSTHOG_HOST and the network'}"
        yield SinkFinding("WARN", f"{settings.posthog_host}: {answer.problem}", advice)
    else:
        yield SinkFinding("OK", f"events go to {POSTHOG.row(settings)}")
    reason = probe.why_not_writable(settings.spool_folder)
    if reason:
        text = f"events that cannot be sent are lost, because {settings.spool_folder} cannot be created: {reason}"
        yield SinkFinding("WARN", text, "make the folder writable, or set XDG_DATA_HOME")
    waiting = sum(path.stat().st_size for path in settings.spool_folder.glob("events-*.jsonl"))
    if waiting:
        yield SinkFinding("INFO", f"{waiting:,} bytes of events wait for the next savemode serve")


def _why_nothing_is_sent(settings: "Settings") -> SinkFinding:
    if settings.posthog_api_key is None:
        return SinkFinding("INFO", "no key: nothing is sent to PostHog", "export POSTHOG_API_KEY=phc_...")
    return SinkFinding("INFO", "switched off: nothing is sent to PostHog")


POSTHOG = SinkDefinition(
    name="telemetry",
    about="telemetry",
    is_configured=lambda settings: settings.sends_events,
    destination=lambda settings: f"PostHog, {settings.posthog_host}",
    open=_open,
    check=_check,
)
