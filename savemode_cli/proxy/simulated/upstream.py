"""
The simulated upstream: an ASGI application that answers as the Messages API does.

Rule of this file: it routes, and puts an answer together in the order in which the API would: who asks, what is asked,
what the cache holds, what is said, what it costs. Each of these is decided elsewhere.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import msgspec

from savemode_cli.core.encodings import Undecodable
from savemode_cli.core.errors import BadInput, ConfigError
from savemode_cli.core.messages import BATCHES_PATH, COUNT_TOKENS_PATH, MESSAGES_PATH
from savemode_cli.core.prompt import Prompt, prompt_of
from savemode_cli.core.prompt_cache import Lookup, PromptCache
from savemode_cli.core.tokens import DEFAULT_ESTIMATE, TokenEstimate
from savemode_cli.core.validation import objection
from savemode_cli.proxy.simulated import models
from savemode_cli.proxy.simulated.answers import Answer, Billed, error_event, events, message
from savemode_cli.proxy.simulated.books import Books
from savemode_cli.proxy.simulated.call import Call, Gone, RawHeaders
from savemode_cli.proxy.simulated.clock import Clock
from savemode_cli.proxy.simulated.faults import ERROR_TYPES, Fault, Faults
from savemode_cli.proxy.simulated.pages import PAGES, page
from savemode_cli.proxy.simulated.script import Script, answer_to

FAULT_HEADER = b"x-savemode-fault"
_MODELS_PATH = "/v1/models"
_PAGE = b"<html><body>This is not the API.</body></html>"
_NO_EVENT = b'event: message_start\ndata: {"type": "mess\n\n'
_ON_REQUEST = "as a fault asked for"

_decode = msgspec.json.Decoder().decode


@dataclass(frozen=True, slots=True)
class Behaviour:
    """
    How it answers. `answer_s` is how long it thinks before the head, `token_s` how long one token of a stream takes.

    `ttl_in_key` is about what nobody outside knows: whether a breakpoint finds only what was cached for the same TTL.
    """

    script: Script = ()
    faults: tuple[Fault, ...] = ()
    answer_s: float = 0.0
    token_s: float = 0.0
    gzip: bool = False
    ttl_in_key: bool = False
    estimate: TokenEstimate = DEFAULT_ESTIMATE


@dataclass(frozen=True, slots=True)
class Served:
    """
    One request that is over, for whoever prints them. `status` is None if no head went out.
    """

    at: datetime
    method: str
    path: str
    status: int | None
    note: str


class SimulatedUpstream:
    """
    One workspace of the API, its cache and its books. `served` is told of each request that is over.
    """

    def __init__(
        self,
        behaviour: Behaviour | None = None,
        *,
        clock: Clock | None = None,
        served: Callable[[Served], None] = lambda _one: None,
    ) -> None:
        """
        An empty cache.
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
        Forget what was cached and billed. The clock stays, and so do script and faults.
        """
        self.cache = PromptCache(ttl_in_key=self.behaviour.ttl_in_key)
        self.books = Books()

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
        except Gone:
            call.note = call.note or "the client left"
        except OverflowError:
            await call.refuse(413, "request_too_large", "Request exceeds the maximum size")
        except Undecodable as error:
            await call.refuse(400, "invalid_request_error", f"the body cannot be decoded: {error}")
        if call.path not in PAGES:
            if call.status is not None:
                self.books.statuses[call.status] += 1
            self._served(Served(self.clock(), call.method, call.path, call.status, call.note))

    async def _answer(self, call: Call) -> None:
        if call.method in ("GET", "HEAD") and (call.path == "/" or call.path.startswith("/api/")):
            return await call.answer(200, b"{}", [])  # probes that only warm a connection
        refused = _refusal(call)
        if refused is not None:
            return await call.refuse(*refused)
        if _is_about_models(call.path):
            return await self._models(call)
        return await self._messages(call)

    async def _models(self, call: Call) -> None:
        if call.path == _MODELS_PATH:
            found: Any = models.page(call.query("limit"), call.query("after_id"))
        else:
            model = call.path.removeprefix(f"{_MODELS_PATH}/")
            found = models.row(model)
            if found is None:
                return await call.refuse(404, "not_found_error", f"model: {model}")
        return await call.answer(200, msgspec.json.encode(found), [])

    async def _messages(self, call: Call) -> None:
        raw = await call.body()
        counting = call.path == COUNT_TOKENS_PATH
        try:
            faults = {} if counting else self.faults.meet(call.header(FAULT_HEADER))
        except ConfigError as error:
            return await call.refuse(400, "invalid_request_error", f"{error.message}; {error.hint}")
        call.note = " ".join(f"fault={name}" for name in faults)
        if await self._failed(call, faults):
            return None
        try:
            body = _decode(raw)
            refused = objection(
                body, call.values(b"anthropic-beta"), counting=counting, knows_ttl="no-ttl" not in faults
            )
            prompt = None if refused else prompt_of(raw, self.behaviour.estimate)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, BadInput) as error:
            refused, prompt = f"The request body is not valid JSON: {error}", None
        if prompt is None:
            return await call.refuse(400, "invalid_request_error", refused or "")
        if not models.is_known(prompt.model):
            return await call.refuse(404, "not_found_error", f"model: {prompt.model}")
        if counting:
            return await call.answer(200, msgspec.json.encode({"input_tokens": prompt.total_tokens}), [])
        return await _Exchange(self, call, faults, body, prompt).run()

    async def _failed(self, call: Call, faults: dict[str, Fault]) -> bool:
        """
        Whether a fault has answered in place of the API.
        """
        stall, status = faults.get("stall"), faults.get("status")
        if stall is not None and stall.after is None:
            await call.pause(stall.seconds)
        if "drop" in faults:
            await call.reset()
        if status is None:
            return False
        headers: RawHeaders = self.books.rate_limits(self.clock())
        for name, value in ((b"retry-after", status.retry_after), (b"x-should-retry", status.should_retry)):
            if value:
                headers.append((name, value.encode()))
        await call.refuse(status.status, status.api_type, f"status {status.status}, {_ON_REQUEST}", headers)
        return True


def _refusal(call: Call) -> tuple[int, str, str] | None:
    """
    What the API says before it looks at a body: status, type and text.
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
    A messages call that is answered.
    """

    def __init__(
        self, upstream: SimulatedUpstream, call: Call, faults: dict[str, Fault], body: dict[str, Any], prompt: Prompt
    ) -> None:
        self._upstream = upstream
        self._behaviour = upstream.behaviour
        self._call = call
        self._faults = faults
        self._body = body
        self._prompt = prompt if "downgrade" not in faults else _downgraded(prompt)
        self._id = call.request_id.removeprefix("req_")
        self._said_tokens = 0
        self._streams = body.get("stream") is True

    async def run(self) -> None:
        """
        Answer it, unless a fault makes something else of it.
        """
        error = self._faults.get("error")
        if "garbage" in self._faults:
            await self._garbage()
        elif error is not None and not self._streams:
            status = next(status for status, name in ERROR_TYPES.items() if name == error.api_type)
            await self._call.refuse(status, error.api_type, f"{error.api_type}, {_ON_REQUEST}")
        else:
            await self._answer()

    async def _garbage(self) -> None:
        if not self._streams:
            return await self._call.answer(200, _PAGE, [])
        await self._call.begin_stream([])
        await self._call.write(_NO_EVENT)
        return await self._call.end_stream()

    async def _answer(self) -> None:
        upstream, body = self._upstream, self._body
        lookup = upstream.cache.look_up(self._prompt, upstream.clock())
        answer = answer_to(body, upstream.script, self._tokens, self._id)
        billed = _billed(lookup, body)
        await self._call.pause(self._behaviour.answer_s)
        began = upstream.clock()
        upstream.cache.answered(lookup, began)
        headers = upstream.books.rate_limits(began)
        try:
            if self._streams:
                await self._stream(answer, billed, headers)
            else:
                whole = message(answer, billed, f"msg_{self._id}", self._prompt.model)
                self._said_tokens = answer.output_tokens
                await self._call.answer(200, msgspec.json.encode(whole), headers, cut="truncate" in self._faults)
        finally:
            # Also of one who left or was cut off: what was read, written and said until then is billed.
            upstream.cache.answered(lookup, began, upstream.clock())
            upstream.books.bill(self._prompt.model, billed, self._said_tokens)
            self._call.note = f"{_words(self._prompt.model, billed, self._said_tokens)} {self._call.note}".strip()

    async def _stream(self, answer: Answer, billed: Billed, headers: RawHeaders) -> None:
        call, faults = self._call, self._faults
        truncate, error, stall = (faults.get(name) for name in ("truncate", "error", "stall"))
        await call.begin_stream(headers)
        for number, event in enumerate(events(answer, billed, f"msg_{self._id}", self._prompt.model)):
            if stall is not None and stall.after == number:
                await call.pause(stall.seconds)
            if truncate is not None and truncate.after == number:
                return  # without an end: the server closes the connection
            if error is not None and error.after == number:
                await call.write(error_event(error.api_type, _ON_REQUEST, call.request_id))
                break
            await call.pause(self._behaviour.token_s * (event.output_tokens - self._said_tokens))
            await call.write(event.data)
            self._said_tokens = event.output_tokens
        await call.end_stream()

    def _tokens(self, text: str) -> int:
        return self._behaviour.estimate.tokens("text", len(text.encode("utf-8", "surrogatepass")))


def _downgraded(prompt: Prompt) -> Prompt:
    return replace(prompt, marks=tuple(replace(mark, lifetime="5m") for mark in prompt.marks))


def _billed(lookup: Lookup, body: dict[str, Any]) -> Billed:
    return Billed(
        lookup.input_tokens,
        lookup.read_tokens,
        lookup.write_5m_tokens,
        lookup.write_1h_tokens,
        geo="us" if body.get("inference_geo") == "us" else "global",
        fast=body.get("speed") == "fast",
    )


def _words(model: str, billed: Billed, output_tokens: int) -> str:
    counts = {
        "read": billed.read_tokens,
        "write_5m": billed.write_5m_tokens,
        "write_1h": billed.write_1h_tokens,
        "input": billed.input_tokens,
        "output": output_tokens,
    }
    return " ".join([f"model={model}", *(f"{name}={count}" for name, count in counts.items()), "tokens=estimated"])
