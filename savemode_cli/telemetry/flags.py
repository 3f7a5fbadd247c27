"""
The gate's flag as PostHog evaluates it, for each person who calls.

Rule of this file: only the first request of a person waits for PostHog, for two seconds at most. Every later request uses
the last answer. A failure means off.

The first request waits because its cache would otherwise be written for 5 minutes, and a session with a warm cache keeps
its TTL: one early request would cost the whole session its upgrade. PostHog is asked about the configured person when the
proxy starts. With a personal key the definitions are loaded then, and nobody's first request waits.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from savemode_cli.core.upgrade.gate import FLAG
from savemode_cli.core.wire.caller import Caller
from savemode_cli.telemetry.posthog import DEFAULT_HOST, silence_sdk

LIMIT_S = 2.0
FRESH_S = 60.0
OFF = "false"
_MAX_PEOPLE = 10_000


@dataclass(frozen=True, slots=True)
class _Answer:
    value: str
    at_s: float


class Flags:
    """
    The flag's value for each person, asked of PostHog when it is needed.
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
        Args:
            evaluate: the flag's value for a person. It is called in a thread, and raises if it fails.
            distinct_id: the person, for requests that do not name one. PostHog is asked for this person at once.
            announce: tells the person at the terminal; takes the name of an event and a sentence.
            clock: a time that only grows, in seconds.
            limit_s: how long a person's first request waits, in seconds.
        """
        self.trouble = ""
        self._evaluate = evaluate
        self._distinct_id = distinct_id
        self._announce = announce
        self._clock = clock
        self._limit_s = limit_s
        self._answers: dict[str, _Answer] = {}
        self._requests: dict[str, Future[None]] = {}
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(2, "savemode-flags")
        self._ask(distinct_id)

    async def __call__(self, caller: Caller) -> str:
        """
        The flag's value for a caller, as a header would spell it.
        """
        who = caller.distinct_id or self._distinct_id
        answer = self._answers.get(who)
        if answer is None:
            await asyncio.wait([asyncio.wrap_future(self._ask(who))], timeout=self._limit_s)
            answer = self._answers.get(who)
            if answer is None:
                return self._failed(who, f"PostHog did not answer within {self._limit_s:g} s")
        elif self._clock() - answer.at_s > FRESH_S:
            self._ask(who)
        return answer.value

    def close(self) -> None:
        """
        Stop asking. A request to PostHog that is running is not waited for: the SDK limits its time.
        """
        self._threads.shutdown(wait=False, cancel_futures=True)
        if isinstance(self._evaluate, Evaluation):
            self._evaluate.close()

    def _ask(self, who: str) -> "Future[None]":
        """
        The request to PostHog that is running for this person, or a new one.
        """
        with self._lock:
            request = self._requests.get(who)
            if request is None:
                request = self._requests[who] = self._threads.submit(self._evaluate_for, who)
            return request

    def _evaluate_for(self, who: str) -> None:
        try:
            value = self._evaluate(who)
        except Exception as error:  # noqa: BLE001 - whatever fails at PostHog, the flag is off
            self._failed(who, f"PostHog could not be asked ({type(error).__name__})")
        else:
            self._note(who, value)
            if self.trouble:
                self.trouble = ""
                self._announce("flags_back", "PostHog evaluates flags again")
        finally:
            with self._lock:
                self._requests.pop(who, None)

    def _failed(self, who: str, reason: str) -> str:
        self._note(who, OFF)
        before, self.trouble = self.trouble, f"{reason}: {FLAG} is off"
        if not before:
            self._announce("flags_unavailable", self.trouble)
        return OFF

    def _note(self, who: str, value: str) -> None:
        if len(self._answers) >= _MAX_PEOPLE:
            self._answers.clear()
        self._answers[who] = _Answer(value, self._clock())


class Evaluation:
    """
    PostHog's answer for one person: evaluated here, from the definitions that a personal key can read; otherwise by PostHog.
    """

    def __init__(self, api_key: str, host: str = DEFAULT_HOST, personal_api_key: str | None = None) -> None:
        """
        Args:
            api_key: the key of the project.
            host: the address of PostHog.
            personal_api_key: a key that can read the definitions of flags; None: PostHog evaluates them.
        """
        self._api_key = api_key
        self._host = host
        self._personal_api_key = personal_api_key
        self._client: Any = None
        self._starting = threading.Lock()

    def __call__(self, distinct_id: str) -> str:
        """
        The value as text: `true`, `false`, or a variant. A flag that does not exist is `false`.

        Raises:
            Exception: whatever the SDK raises if PostHog does not answer, or could not evaluate the flag.
        """
        value = self._evaluated_here(distinct_id) if self._personal_api_key is not None else None
        if value is None:
            value = self._evaluated_by_posthog(distinct_id)
        return value if isinstance(value, str) else str(value).lower()

    def close(self) -> None:
        """
        Stop fetching definitions.
        """
        client = self._client
        if client is not None and client.poller is not None:
            client.poller.stopped.set()  # `shutdown` would wait for a fetch that is running

    def _evaluated_here(self, distinct_id: str) -> str | bool | None:
        with self._starting:
            if self._client is None:
                self._client = self._started_client()
        flags = self._client.evaluate_flags(distinct_id, flag_keys=[FLAG], only_evaluate_locally=True)
        value: str | bool | None = flags.get_flag(FLAG)
        return value

    def _started_client(self) -> Any:
        from posthog import Posthog  # noqa: PLC0415 - in the thread that asks, and only if flags are evaluated

        silence_sdk()
        # It sends nothing: the SDK would send each evaluation as an event.
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

    def _evaluated_by_posthog(self, distinct_id: str) -> str | bool:
        from posthog.request import determine_server_host, flags  # noqa: PLC0415
        from posthog.types import normalize_flags_response  # noqa: PLC0415

        silence_sdk()
        # The client's method returns no flags after a failure, as if there were none.
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
        flag = answer["flags"].get(FLAG)
        if flag is None and answer.get("errorsWhileComputingFlags"):
            raise LookupError("PostHog could not evaluate the flag")
        return False if flag is None else flag.get_value()
