"""
What is kept of an exchange on disk: everything its receipt was made from, the bodies, and headers picked by name.

Rule of this file: what is kept is listed here, and what is not listed is not kept: no credential, cookie or query is.
A record says which schema it has; an older one is converted step by step, a newer one is refused with a word.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from savemode_cli.core.charge import Outcome, Settlement
from savemode_cli.core.errors import BadInput, CaptureTooNew
from savemode_cli.core.exchange import Exchange, budget_json
from savemode_cli.core.gate import GateState
from savemode_cli.core.messages import MESSAGES_PATH, Path
from savemode_cli.core.pricing import Cost, State, Usage
from savemode_cli.core.receipt import Receipt
from savemode_cli.core.record import Content, Record
from savemode_cli.core.transform import ABSENT, Edit, Skip, apply

SCHEMA = 1
"""The schema of the records written now."""

Converter = Callable[[dict[str, Any]], dict[str, Any]]
CONVERTERS: Mapping[int, Converter] = {}
"""By the schema they read; each gives the next one. One that was released is never edited."""

REQUEST_HEADERS = frozenset(
    {
        "accept",
        "accept-encoding",
        "anthropic-beta",
        "anthropic-version",
        "content-encoding",
        "content-length",
        "content-type",
        "user-agent",
        "x-app",
        "x-posthog-budget-override",
        "x-posthog-flag-llm-gateway-cost-controls",
        "x-posthog-provider",
        "x-posthog-use-bedrock-fallback",
        "x-stainless-arch",
        "x-stainless-helper-method",
        "x-stainless-lang",
        "x-stainless-os",
        "x-stainless-package-version",
        "x-stainless-retry-count",
        "x-stainless-runtime",
        "x-stainless-runtime-version",
        "x-stainless-timeout",
    }
)
RESPONSE_HEADERS = frozenset(
    {
        "anthropic-ratelimit-input-tokens-limit",
        "anthropic-ratelimit-input-tokens-remaining",
        "anthropic-ratelimit-input-tokens-reset",
        "anthropic-ratelimit-output-tokens-limit",
        "anthropic-ratelimit-output-tokens-remaining",
        "anthropic-ratelimit-output-tokens-reset",
        "anthropic-ratelimit-requests-limit",
        "anthropic-ratelimit-requests-remaining",
        "anthropic-ratelimit-requests-reset",
        "anthropic-ratelimit-tokens-limit",
        "anthropic-ratelimit-tokens-remaining",
        "anthropic-ratelimit-tokens-reset",
        "content-encoding",
        "content-length",
        "content-type",
        "date",
        "request-id",
        "retry-after",
        "retry-after-ms",
        "server",
        "x-should-retry",
    }
)

_CREDENTIAL = re.compile(r"sk-ant-|\bbearer |\bbasic ", re.IGNORECASE)
"""A listed header whose value has this in it is not kept: somebody put a key in the wrong place."""

_HAS_BODIES = re.compile(rf"(?:/[^/]+)?{re.escape(MESSAGES_PATH)}(?:/.*)?")
"""Of everything else that passes through (files, keys, logins) the bodies are not kept."""

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Capture:
    """
    One exchange as it is kept: what `serve` printed of it, and what was said.

    `exchange` has no decisions and no `told`: `budget` and `budget_after` are what they came to. `ended_at` is when the
    bill was made, by the clock that `started_at` is by; captures are kept in that order. `answered_by` is the model that
    answered, whose prices count, None for the one asked for. `request_body` is as the client sent it and `response_body`
    as the upstream gave it, each in its own content encoding; None where it was not kept.
    """

    exchange: Exchange
    ended_at: datetime
    answered_by: str | None = None
    upstream: str = ""
    budget: Mapping[str, Any] | None = None
    budget_after: Mapping[str, Any] | None = None
    request_headers: Headers = ()
    response_headers: Headers = ()
    request_body: bytes | None = field(repr=False, default=None)
    response_body: bytes | None = field(repr=False, default=None)

    @property
    def sent_edits(self) -> tuple[Edit, ...]:
        """
        The edits that were on the wire: none if they were only observed, or the original was sent after all.
        """
        return self.exchange.edits if self.exchange.upgraded else ()

    @property
    def sent_body(self) -> bytes | None:
        """
        The request's body as it was on the wire.
        """
        return None if self.request_body is None else apply(self.request_body, self.sent_edits)


def capture_of(told: Record, upstream: str = "") -> Capture:
    """
    What is kept of a record. `upstream` is the address that requests went to, without a user or a query.
    """
    exchange = told.exchange
    content = told.content or Content((), None)
    has_bodies = _HAS_BODIES.fullmatch(exchange.path) is not None
    return Capture(
        exchange,
        told.ended_at or exchange.started_at + timedelta(milliseconds=exchange.duration_ms),
        told.answered_by,
        upstream,
        None if exchange.decision is None else budget_json(exchange.decision, exchange.told),
        None if exchange.decision_after is None else budget_json(exchange.decision_after),
        kept_headers(content.request_headers, REQUEST_HEADERS),
        kept_headers(content.response_headers, RESPONSE_HEADERS),
        content.request_body if has_bodies else None,
        content.response_body if has_bodies else None,
    )


def kept_headers(headers: Iterable[tuple[bytes, bytes]], listed: Collection[str]) -> Headers:
    """
    The headers on a list, names in lower case, in their order.
    """
    named = ((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in headers)
    return tuple((name, value) for name, value in named if name in listed and not _CREDENTIAL.search(value))


class _Edit(Struct, omit_defaults=True):
    """
    An edit as data. A value that is absent is left out; bytes are Base64.
    """

    path: Path
    rule: str
    why: str
    at: int
    removed: bytes
    inserted: bytes
    was: str
    becomes: str
    before: Any = UNSET
    after: Any = UNSET


class _Record(Struct, omit_defaults=True):
    """
    Everything but the bodies. `schema` is always written.
    """

    id: str
    started_at: datetime
    ended_at: datetime
    duration_ms: float
    method: str
    path: str
    product: str
    outcome: Outcome
    gate: GateState
    request_bytes: int
    response_bytes: int
    schema: int | UnsetType = UNSET
    first_byte_ms: float | None = None
    model: str | None = None
    answered_by: str | None = None
    upstream: str = ""
    edits: tuple[_Edit, ...] = ()
    skips: tuple[Skip, ...] = ()
    status: int | None = None
    session: str | None = None
    trace_id: str | None = None
    upstream_request_id: str | None = None
    observed: bool = False
    resent: bool = False
    error: str = ""
    usage: Usage | None = None
    settlement: Settlement | None = None
    receipt: Receipt | None = None
    price_state: State | None = None
    edits_left_out: int = 0
    skips_left_out: int = 0
    cost: Cost | None = None
    stream: bool = False
    stop_reason: str | None = None
    first_token_ms: float | None = None
    budget: dict[str, Any] | None = None
    budget_after: dict[str, Any] | None = None
    request_headers: Headers = ()
    response_headers: Headers = ()


class _Schema(Struct):
    schema: int


_SAME = tuple(
    name
    for name in _Record.__struct_fields__
    if name in Exchange.__dataclass_fields__ and name not in ("edits", "skips")
)
_OWN = ("ended_at", "answered_by", "upstream", "budget", "budget_after", "request_headers", "response_headers")


def encode(capture: Capture) -> bytes:
    """
    A capture as JSON, without its bodies.
    """
    exchange = capture.exchange
    record = _Record(
        **{name: getattr(exchange, name) for name in _SAME},
        **{name: getattr(capture, name) for name in _OWN},
        edits=tuple(_edit_data(one) for one in exchange.edits),
        skips=exchange.skips,
        schema=SCHEMA,
    )
    return msgspec.json.encode(record)


def decode(
    text: bytes,
    request_body: bytes | None = None,
    response_body: bytes | None = None,
    *,
    schema: int = SCHEMA,
    converters: Mapping[int, Converter] = CONVERTERS,
) -> Capture:
    """
    A capture from its JSON and its bodies. `schema` and `converters` are for tests.

    Raises:
        CaptureTooNew: a newer savemode wrote it.
        BadInput: it is none, or damaged.
    """
    try:
        found = msgspec.json.decode(text, type=_Schema).schema
        if found == SCHEMA == schema:
            record = msgspec.json.decode(text, type=_Record)
        else:
            record = msgspec.convert(converted(msgspec.json.decode(text), found, schema, converters), _Record)
        return _capture(record, request_body, response_body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadInput(f"a capture cannot be read: {error}", hint="the store or the file is damaged") from error


def converted(
    record: dict[str, Any], found: int, wanted: int = SCHEMA, converters: Mapping[int, Converter] = CONVERTERS
) -> dict[str, Any]:
    """
    A record of an older schema as the wanted one, step by step.

    Raises:
        CaptureTooNew: it is of a newer one.
        BadInput: it is of one that never was.
    """
    if found > wanted:
        raise CaptureTooNew(
            f"this capture was written by a newer savemode: its schema is {found}, this one knows {wanted}",
            hint="upgrade savemode; nothing was changed",
        )
    for step in range(found, wanted):
        if step not in converters:
            raise BadInput(f"a capture has schema {found}, which no savemode wrote", hint="the file is damaged")
        record = converters[step](record)
    return record


_EDIT = tuple(name for name in _Edit.__struct_fields__ if name not in ("before", "after"))


def _edit_data(edit: Edit) -> _Edit:
    named: dict[str, Any] = {name: getattr(edit, name) for name in _EDIT}
    before, after = (UNSET if value is ABSENT else value for value in (edit.before, edit.after))
    return _Edit(**named, before=before, after=after)


def _edit(data: _Edit) -> Edit:
    named: dict[str, Any] = {name: getattr(data, name) for name in _EDIT}
    before, after = (ABSENT if value is UNSET else value for value in (data.before, data.after))
    return Edit(**named, before=before, after=after)


def _capture(record: _Record, request_body: bytes | None, response_body: bytes | None) -> Capture:
    exchange = Exchange(
        **{name: getattr(record, name) for name in _SAME},
        edits=tuple(_edit(one) for one in record.edits),
        skips=record.skips,
    )
    own = {name: getattr(record, name) for name in _OWN}
    return Capture(exchange, **own, request_body=request_body, response_body=response_body)
