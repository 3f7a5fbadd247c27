"""
Events to PostHog, by its own SDK.

Rule of this file: the SDK is imported in the thread that sends, and what it raises becomes a sentence without a key.
"""

import importlib.util
import logging
from collections.abc import Callable, Sequence
from typing import Any

from savemode_cli.core.event import Event
from savemode_cli.telemetry.background import Undelivered

DEFAULT_HOST = "https://us.i.posthog.com"

_HOPELESS = frozenset({400, 413, 422})  # of the events; every other refusal is of the key, the address or the moment
_REFUSED_PAUSE_S = 60.0


class PostHog:
    """
    The outlet to one PostHog project. What is not delivered may be tried again: an event has the same uuid each time, and
    PostHog keeps one of those that share it.
    """

    def __init__(self, api_key: str, host: str = DEFAULT_HOST, *, compress: bool = False) -> None:
        """
        `host` may be the address of the app, as the SDK allows. To `compress` a batch costs as much as to write it: it is
        for what is large.
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
            Undelivered: PostHog did not take it.
        """
        try:
            self._send(batch, timeout_s)
        except Undelivered:
            raise
        except Exception as error:  # noqa: BLE001 - telemetry must not end because a library raises what it never did
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
        import requests  # noqa: PLC0415 - 0.3 s with the SDK, and only needed where events are sent
        from posthog.request import batch_post, determine_server_host  # noqa: PLC0415

        silence_sdk()
        self._host = determine_server_host(self._host)
        self._session = requests.Session()
        # A redirected POST becomes a GET: its answer is a 200 that has taken nothing.
        self._session.max_redirects = 0
        self._post = batch_post

    def _undelivered(self, error: Exception) -> Undelivered:
        status = getattr(error, "status", None)
        if isinstance(status, int):
            refused = 400 <= status < 500 and status not in (408, 429)
            return Undelivered(
                f"{self.where} answers HTTP {status}" + (_advice(status) if refused else ""),
                final=status in _HOPELESS,
                after_s=_REFUSED_PAUSE_S if refused else getattr(error, "retry_after", None),
            )
        if isinstance(error, TypeError | UnicodeError | RecursionError):
            return Undelivered(f"an event cannot be written as JSON ({type(error).__name__})", final=True)
        return Undelivered(f"{self.where} {_what_failed(error)}")


def _advice(status: int) -> str:
    return ": is the key that of a project there?" if status in (401, 403) else ""


def _what_failed(error: Exception) -> str:
    """
    Of the SDK's and its HTTP library's exceptions; their texts hold addresses and may hold more.
    """
    kinds = {one.__name__ for one in type(error).__mro__}
    if "Timeout" in kinds:
        return "does not answer in time"
    if "TooManyRedirects" in kinds:
        return "redirects elsewhere: give the address that takes events"
    if "ConnectionError" in kinds:
        return "cannot be reached"
    return f"cannot be asked ({type(error).__name__})"


def silence_sdk() -> None:
    """
    Keep the SDK's own log lines from the terminal: they repeat, and what they say we say once.
    """
    log = logging.getLogger("posthog")
    log.addHandler(logging.NullHandler())
    log.propagate = False
