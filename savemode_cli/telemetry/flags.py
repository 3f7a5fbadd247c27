"""
The gate's flag as PostHog evaluates it, for each person who calls.

Rule of this file: after the first time a person calls, a request waits for no more than a look into a dictionary; a failure
means off.

Why the first request of a person waits at all, two seconds at most: were it judged off meanwhile, its cache would be
written for 5 minutes, and a session whose cache is warm stays as it is. One early request would cost the whole session
its upgrade. With a personal key, or for the configured person, PostHog is asked before anybody calls.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from savemode_cli.core.caller import Caller
from savemode_cli.core.gate import FLAG
from savemode_cli.telemetry.posthog import DEFAULT_HOST, silence_sdk

LIMIT_S = 2.0
FRESH_S = 60.0
OFF = "false"
_MOST_PERSONS = 10_000


@dataclass(frozen=True, slots=True)
class _Known:
    value: str
    at_s: float


class Flags:
    """
    What was answered for each person, and the asking. `evaluate` is called in a thread, and raises where it fails.
    """

    name = "flags"

    def __init__(
        self,
        evaluate: Callable[[str], str],
        distinct_id: str,
        announce: Callable[[str, str], None],
        *,
        clock: Callable[[], float] = time.monotonic,
        limit_s: float = LIMIT_S,
    ) -> None:
        """
        `distinct_id` is who calls where a request does not say; PostHog is asked for it at once.
        """
        self.trouble = ""
        self._evaluate = evaluate
        self._distinct_id = distinct_id
        self._announce = announce
        self._clock = clock
        self._limit_s = limit_s
        self._known: dict[str, _Known] = {}
        self._asking: dict[str, Future[None]] = {}
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(2, "savemode-flags")
        self._ask(distinct_id)

    async def __call__(self, caller: Caller) -> str:
        """
        The flag's value for a caller, as a header would spell it.
        """
        who = caller.distinct_id or self._distinct_id
        known = self._known.get(who)
        if known is None:
            await asyncio.wait([asyncio.wrap_future(self._ask(who))], timeout=self._limit_s)
            known = self._known.get(who)
            if known is None:
                return self._failed(who, f"PostHog did not answer within {self._limit_s:g} s")
        elif self._clock() - known.at_s > FRESH_S:
            self._ask(who)
        return known.value

    def close(self) -> None:
        """
        Ask nobody any more. An answer that is under way is not waited for: the SDK bounds it.
        """
        self._threads.shutdown(wait=False, cancel_futures=True)
        if isinstance(self._evaluate, Evaluation):
            self._evaluate.close()

    def _ask(self, who: str) -> "Future[None]":
        """
        The asking that is under way, or a new one.
        """
        with self._lock:
            asked = self._asking.get(who)
            if asked is None:
                asked = self._asking[who] = self._threads.submit(self._answer, who)
            return asked

    def _answer(self, who: str) -> None:
        try:
            value = self._evaluate(who)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with PostHog, the answer is off
            self._failed(who, f"PostHog could not be asked ({type(error).__name__})")
        else:
            self._note(who, value)
            if self.trouble:
                self.trouble = ""
                self._announce("flags_back", "PostHog evaluates flags again")
        finally:
            with self._lock:
                self._asking.pop(who, None)

    def _failed(self, who: str, why: str) -> str:
        self._note(who, OFF)
        before, self.trouble = self.trouble, f"{why}: {FLAG} is off"
        if not before:
            self._announce("flags_unavailable", self.trouble)
        return OFF

    def _note(self, who: str, value: str) -> None:
        if len(self._known) >= _MOST_PERSONS:
            self._known.clear()
        self._known[who] = _Known(value, self._clock())


class Evaluation:
    """
    PostHog's answer for one person: here, from definitions that a personal key gives access to, else there.
    """

    def __init__(self, api_key: str, host: str = DEFAULT_HOST, personal_api_key: str | None = None) -> None:
        """
        Nothing is asked, and nothing imported, before the first call.
        """
        self._api_key = api_key
        self._host = host
        self._personal_api_key = personal_api_key
        self._client: Any = None
        self._beginning = threading.Lock()

    def __call__(self, distinct_id: str) -> str:
        """
        The value as text: `true`, `false`, or a variant; a flag that does not exist is `false`.

        Raises:
            Exception: whatever the SDK raises where PostHog does not answer, or could not evaluate the flag.
        """
        value = self._here(distinct_id) if self._personal_api_key is not None else None
        if value is None:
            value = self._there(distinct_id)
        return value if isinstance(value, str) else str(value).lower()

    def close(self) -> None:
        """
        Fetch no more definitions.
        """
        client = self._client
        if client is not None and client.poller is not None:
            client.poller.stopped.set()  # not `shutdown`, which waits for a fetch that may be under way

    def _here(self, distinct_id: str) -> str | bool | None:
        with self._beginning:
            if self._client is None:
                self._client = self._begun()
        found = self._client.evaluate_flags(distinct_id, flag_keys=[FLAG], only_evaluate_locally=True)
        value: str | bool | None = found.get_flag(FLAG)
        return value

    def _begun(self) -> Any:
        from posthog import Posthog  # noqa: PLC0415 - in the thread that asks, and only where flags are evaluated

        silence_sdk()
        # It sends nothing: events are the sinks' business, and the SDK would report each evaluation as one.
        client: Any = Posthog(
            self._api_key,
            host=self._host,
            secret_key=self._personal_api_key,
            send=False,
            poll_interval=int(FRESH_S),
            feature_flags_request_timeout_seconds=LIMIT_S,
            feature_flags_request_max_retries=0,
        )
        client.load_feature_flags()
        return client

    def _there(self, distinct_id: str) -> str | bool:
        from posthog.request import determine_server_host, flags  # noqa: PLC0415
        from posthog.types import normalize_flags_response  # noqa: PLC0415

        silence_sdk()
        # Not the client's method: it answers a failure with no flags, which is what it answers where there are none.
        answer = normalize_flags_response(
            flags(
                self._api_key,
                determine_server_host(self._host),
                timeout=LIMIT_S,
                max_retries=0,
                distinct_id=distinct_id,
                groups={},
                person_properties={},
                group_properties={},
                geoip_disable=True,
                flag_keys_to_evaluate=[FLAG],
            )
        )
        found = answer["flags"].get(FLAG)
        if found is None and answer.get("errorsWhileComputingFlags"):
            raise LookupError("PostHog could not evaluate the flag")
        return False if found is None else found.get_value()
