"""
The simulated upstream: an ASGI application that answers like the Messages API.

Rule of this file: it routes requests and builds an answer in the order of the API: authentication, validation, cache
look-up, content, usage. Other modules decide each of these.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

import msgspec

from savemode_cli.core.cache.model import Lookup, PromptCache
from savemode_cli.core.cache.prompt import Prompt, prompt_of
from savemode_cli.core.cache.tokens import DEFAULT_ESTIMATE, TokenEstimate
from savemode_cli.core.errors import BadInput, ConfigError
from savemode_cli.core.wire.encodings import Undecodable
from savemode_cli.core.wire.messages import BATCHES_PATH, COUNT_TOKENS_PATH, MESSAGES_PATH
from savemode_cli.core.wire.usage import Tokens
from savemode_cli.simulated import models
from savemode_cli.simulated.answers import Answer, Billed, error_event, events, message
from savemode_cli.simulated.call import Call, ClientGone, RawHeaders
from savemode_cli.simulated.clock import Clock
from savemode_cli.simulated.diagnostics import Diagnostics
from savemode_cli.simulated.faults import ERROR_TYPES, Fault, Faults
from savemode_cli.simulated.pages import PAGES, page
from savemode_cli.simulated.script import Script, answer_to
from savemode_cli.simulated.usage_totals import UsageTotals
from savemode_cli.simulated.validation import validation_error

FAULT_HEADER = b"x-savemode-fault"
_MODELS_PATH = "/v1/models"
_GARBAGE_PAGE = b"<html><body>This is not the API.</body></html>"
_GARBAGE_EVENT = b'event: message_start\ndata: {"type": "mess\n\n'
_LARGE_BYTES = 1024 * 1024
_BY_A_FAULT = "simulated by a fault"

_decode = msgspec.json.Decoder().decode


@dataclass(frozen=True, slots=True)
class Behaviour:
    """
    How the simulated upstream answers.

    Attributes:
        script: the turns of the answers.
        faults: the configured faults.
        answer_s: the time before the head of an answer, in seconds.
        token_s: the time for each token of a stream, in seconds.
        gzip: whether answers are compressed, if the client accepts that.
        ttl_in_key: whether a breakpoint only finds entries that were written with the same TTL. How the API does this is
            not public.
        models: model names that are accepted besides those of the API, such as names of deployments.
        estimate: estimates the tokens of a prompt and of an answer.
    """

    script: Script = ()
    faults: tuple[Fault, ...] = ()
    answer_s: float = 0.0
    token_s: float = 0.0
    gzip: bool = False
    ttl_in_key: bool = False
    models: frozenset[str] = frozenset()
    estimate: TokenEstimate = DEFAULT_ESTIMATE


@dataclass(frozen=True, slots=True)
class Served:
    """
    One request that has ended, for the log of requests. `status` is None if no head was sent.
    """

    at: datetime
    method: str
    path: str
    status: int | None
    note: str


class SimulatedUpstream:
    """
    One workspace of the API, with its cache and its usage totals.
    """

    def __init__(
        self,
        behaviour: Behaviour | None = None,
        *,
        clock: Clock | None = None,
        served: Callable[[Served], None] = lambda _request: None,
    ) -> None:
        """
        Args:
            behaviour: how it answers; None for the defaults.
            clock: its clock; None for real time.
            served: called with each request that has ended.
        """
        self.behaviour = behaviour or Behaviour()
        self.clock = clock or Clock()
        self.script = self.behaviour.script
        self.faults = Faults(self.behaviour.faults)
        self._served = served
        self._requests = 0
        self.reset()

    def reset(self) -> None:
        """
        Empty the cache and the usage totals. The clock, the script and the faults stay.
        """
        self.cache = PromptCache(ttl_in_key=self.behaviour.ttl_in_key)
        self.diagnostics = Diagnostics()
        self.usage_totals = UsageTotals()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """
        Serve one request.
        """
        if scope["type"] != "http":
            return
        self._requests += scope["path"] not in PAGES
        call = Call(scope, receive, send, f"req_sim_{self._requests:08d}", may_gzip=self.behaviour.gzip)
        try:
            if call.path in PAGES:
                await page(self, call)
            else:
                await self._answer(call)
        except ClientGone:
            call.note = call.note or "the client left"
        except OverflowError:
            await call.refuse(413, "request_too_large", "Request exceeds the maximum size")
        except Undecodable as error:
            await call.refuse(400, "invalid_request_error", f"the body cannot be decoded: {error}")
        if call.path not in PAGES:
            if call.status is not None:
                self.usage_totals.statuses[call.status] += 1
            self._served(Served(self.clock(), call.method, call.path, call.status, call.note))

    async def _answer(self, call: Call) -> None:
        if call.method in ("GET", "HEAD") and (call.path == "/" or call.path.startswith("/api/")):
            return await call.answer(200, b"{}", [])  # probes that only open a connection
        refused = _refusal(call)
        if refused is not None:
            return await call.refuse(*refused)
        if _is_about_models(call.path):
            return await self._models(call)
        return await self._messages(call)

    async def _models(self, call: Call) -> None:
        if call.path == _MODELS_PATH:
            result: Any = models.page(call.query("limit"), call.query("after_id"))
        else:
            model = call.path.removeprefix(f"{_MODELS_PATH}/")
            result = models.row(model)
            if result is None:
                return await call.refuse(404, "not_found_error", f"model: {model}")
        return await call.answer(200, msgspec.json.encode(result), [])

    async def _messages(self, call: Call) -> None:
        raw = await call.body()
        counting = call.path == COUNT_TOKENS_PATH
        try:
            faults = {} if counting else self.faults.for_request(call.header(FAULT_HEADER))
        except ConfigError as error:
            return await call.refuse(400, "invalid_request_error", f"{error.message}; {error.hint}")
        call.note = " ".join(f"fault={name}" for name in faults)
        if await self._failed(call, faults):
            return None
        validate = partial(
            validation_error,
            betas=call.values(b"anthropic-beta"),
            counting=counting,
            accepts_ttl="no-ttl" not in faults,
        )
        reading = partial(_read, raw, validate, self.behaviour.estimate)
        # A thread reads large bodies, so that other requests in this process do not wait for the whole read.
        body, prompt, refused = reading() if len(raw) <= _LARGE_BYTES else await asyncio.to_thread(reading)
        if prompt is None:
            return await call.refuse(400, "invalid_request_error", refused)
        if prompt.model not in self.behaviour.models and not models.is_known(prompt.model):
            return await call.refuse(404, "not_found_error", f"model: {prompt.model}")
        if counting:
            return await call.answer(200, msgspec.json.encode({"input_tokens": prompt.total_tokens}), [])
        diagnosed = self.diagnostics.diagnose(raw, body, f"msg_{call.request_id.removeprefix('req_')}")
        return await _Exchange(self, call, faults, body, prompt, diagnosed).run()

    async def _failed(self, call: Call, faults: dict[str, Fault]) -> bool:
        """
        Whether a fault has answered instead of the API.
        """
        stall, status = faults.get("stall"), faults.get("status")
        if stall is not None and stall.after is None:
            await call.pause(stall.seconds)
        if "drop" in faults:
            await call.reset()
        if status is None:
            return False
        headers: RawHeaders = self.usage_totals.rate_limits(self.clock())
        for name, value in ((b"retry-after", status.retry_after), (b"x-should-retry", status.should_retry)):
            if value:
                headers.append((name, value.encode()))
        await call.refuse(status.status, status.api_type, f"status {status.status}, {_BY_A_FAULT}", headers)
        return True


def _read(raw: bytes, validate: Callable[[Any], str | None], estimate: TokenEstimate) -> tuple[Any, Prompt | None, str]:
    """
    Returns:
        The decoded body, its prompt, and the validation error. The prompt is None if there is an error.
    """
    try:
        body = _decode(raw)
        refused = validate(body)
        return body, None if refused else prompt_of(raw, estimate), refused or ""
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, BadInput) as error:
        return None, None, f"The request body is not valid JSON: {error}"


def _refusal(call: Call) -> tuple[int, str, str] | None:
    """
    The error that the API sends before it reads a body: status, type and message.
    """
    if not call.header(b"x-api-key") and not call.header(b"authorization").startswith("Bearer "):
        return 401, "authentication_error", "x-api-key header is required"
    if call.path.startswith(BATCHES_PATH):
        return 501, "api_error", "the simulated upstream has no batches"
    if call.path not in (MESSAGES_PATH, COUNT_TOKENS_PATH) and not _is_about_models(call.path):
        return 404, "not_found_error", "Not Found"
    if call.method != ("GET" if _is_about_models(call.path) else "POST"):
        return 405, "invalid_request_error", "Method Not Allowed"
    if not call.header(b"anthropic-version"):
        return 400, "invalid_request_error", "anthropic-version: header is required"
    return None


def _is_about_models(path: str) -> bool:
    return path == _MODELS_PATH or path.startswith(f"{_MODELS_PATH}/")


class _Exchange:
    """
    A messages call and its answer.
    """

    def __init__(
        self,
        upstream: SimulatedUpstream,
        call: Call,
        faults: dict[str, Fault],
        body: dict[str, Any],
        prompt: Prompt,
        diagnosed: dict[str, Any] | None,
    ) -> None:
        self._upstream = upstream
        self._behaviour = upstream.behaviour
        self._call = call
        self._faults = faults
        self._body = body
        self._diagnosed = diagnosed
        self._prompt = prompt if "downgrade" not in faults else _downgraded(prompt)
        self._id = call.request_id.removeprefix("req_")
        self._sent_tokens = 0
        self._streams = body.get("stream") is True

    async def run(self) -> None:
        """
        Answer the call, or apply the fault that replaces the answer.
        """
        error = self._faults.get("error")
        if "garbage" in self._faults:
            await self._garbage()
        elif error is not None and not self._streams:
            status = next(status for status, name in ERROR_TYPES.items() if name == error.api_type)
            await self._call.refuse(status, error.api_type, f"{error.api_type}, {_BY_A_FAULT}")
        else:
            await self._answer()

    async def _garbage(self) -> None:
        if not self._streams:
            return await self._call.answer(200, _GARBAGE_PAGE, [])
        await self._call.begin_stream([])
        await self._call.write(_GARBAGE_EVENT)
        return await self._call.end_stream()

    async def _answer(self) -> None:
        upstream, body = self._upstream, self._body
        lookup = upstream.cache.look_up(self._prompt, upstream.clock())
        answer = answer_to(body, upstream.script, self._tokens, self._id)
        billed = _billed(lookup, body)
        await self._call.pause(self._behaviour.answer_s)
        began = upstream.clock()
        upstream.cache.answered(lookup, began)
        headers = upstream.usage_totals.rate_limits(began)
        try:
            if self._streams:
                await self._stream(answer, billed, headers)
            else:
                whole = message(answer, billed, f"msg_{self._id}", self._prompt.model, self._diagnosed)
                self._sent_tokens = answer.output_tokens
                await self._call.answer(200, msgspec.json.encode(whole), headers, cut="truncate" in self._faults)
        finally:
            # If the client left or the answer was cut off, the prompt and the output sent so far are billed.
            upstream.cache.answered(lookup, began, upstream.clock())
            upstream.usage_totals.bill(self._prompt.model, billed, self._sent_tokens)
            self._call.note = f"{_log_note(self._prompt.model, billed, self._sent_tokens)} {self._call.note}".strip()

    async def _stream(self, answer: Answer, billed: Billed, headers: RawHeaders) -> None:
        call, faults = self._call, self._faults
        truncate, error, stall = (faults.get(name) for name in ("truncate", "error", "stall"))
        await call.begin_stream(headers)
        for number, event in enumerate(events(answer, billed, f"msg_{self._id}", self._prompt.model, self._diagnosed)):
            if stall is not None and stall.after == number:
                await call.pause(stall.seconds)
            if truncate is not None and truncate.after == number:
                return  # the stream has no end, so the server closes the connection
            if error is not None and error.after == number:
                await call.write(error_event(error.api_type, _BY_A_FAULT, call.request_id))
                break
            await call.pause(self._behaviour.token_s * (event.output_tokens - self._sent_tokens))
            await call.write(event.data)
            self._sent_tokens = event.output_tokens
        await call.end_stream()

    def _tokens(self, text: str) -> int:
        return self._behaviour.estimate.tokens("text", len(text.encode("utf-8", "surrogatepass")))


def _downgraded(prompt: Prompt) -> Prompt:
    return replace(prompt, marks=tuple(replace(mark, lifetime="5m") for mark in prompt.marks))


def _billed(lookup: Lookup, body: dict[str, Any]) -> Billed:
    return Billed(
        Tokens(lookup.input_tokens, lookup.write_5m_tokens, lookup.write_1h_tokens, lookup.read_tokens),
        geo="us" if body.get("inference_geo") == "us" else "global",
        fast=body.get("speed") == "fast",
    )


def _log_note(model: str, billed: Billed, output_tokens: int) -> str:
    counts = {
        "read": billed.tokens.read,
        "write_5m": billed.tokens.write_5m,
        "write_1h": billed.tokens.write_1h,
        "input": billed.tokens.input,
        "output": output_tokens,
    }
    return " ".join([f"model={model}", *(f"{name}={count}" for name, count in counts.items()), "tokens=estimated"])
