"""
Rebuilds the requests of a session from its transcript. Claude Code 2.1.332 and later record each request by the hashes of
its parts.

Rule of this file: a message is only used if its hash is the recorded one. A session is rebuilt completely or not at all.
Bodies are built one at a time, on demand; memory contains each message once.

The records (observed with Claude Code 2.1.332):

    api-request-shape   the system prompt and the tools, by their hash
    api-request-blob    a message that is in no other line, by its hash
    api-request         a request: its parameters, its breakpoints, and its messages: the first `keep` of the request
                        `base`, then `tail`, all as hashes
    requestRef          in a line of an answer: the request that it answers

The hash of a message is the SHA-256 of its JSON with sorted keys, without whitespace and without `cache_control`; a
content that is a string counts as one block of text.

Two things are not recorded. `metadata` and `stream` have no effect on the cache. The first block of the system prompt is
the client's attribution, which the API does not cache; a constant replaces it, so that block positions are those of the
request.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import repeat
from typing import Any

from savemode_cli.core.replay.recording import Call
from savemode_cli.core.wire.messages import CONTROL
from savemode_cli.core.wire.usage import NO_TOKENS, Tokens
from savemode_cli.readers.recorded_requests import (
    Object,
    Recorded,
    RecordedAnswer,
    RecordedRequest,
    RequestsOfFile,
    decode_json,
    encode_json,
    records_requests,
)
from savemode_cli.readers.transcript_files import Group

_ATTRIBUTION = {"type": "text", "text": "x-anthropic-billing-header: (not recorded)"}


@dataclass(frozen=True, slots=True)
class Response:
    """
    An answer as it is recorded.
    """

    body: bytes
    """The message, as it would be if it had not been streamed."""
    model: str | None
    stop_reason: str | None
    request_id: str | None
    """The API's ID of the request; None if it was not recorded."""


@dataclass(slots=True)
class RebuiltSession:
    """
    A session, and the requests that it records.
    """

    group: Group
    problem: str = ""
    """Why its requests are not known; "" if they all are."""
    is_recorded: bool = True
    """Whether it records any request: older versions of the client do not."""
    _requests: list[RecordedRequest] = field(default_factory=list)
    _answers: dict[str, RecordedAnswer] = field(default_factory=dict)
    _recorded: Recorded = field(default_factory=Recorded)

    @property
    def times(self) -> list[datetime]:
        """
        When each request was sent, in order.
        """
        return [request.started_at for request in self._requests]

    @property
    def bill(self) -> tuple[int, Tokens]:
        """
        How many answers it has, and the tokens of all of them.
        """
        return len(self._answers), sum((answer.usage.tokens for answer in self._answers.values()), NO_TOKENS)

    def call(self, number: int) -> Call:
        """
        A request with its body.

        Args:
            number: its number in `times`.
        """
        request = self._requests[number]
        return _call(request, self._answers.get(request.record["id"]), self.group.session, self._recorded)

    def request_id(self, number: int) -> str:
        """
        The client's own ID of a request.

        Args:
            number: its number in `times`.
        """
        identifier: str = self._requests[number].record["id"]
        return identifier

    def response(self, number: int) -> Response | None:
        """
        The answer to a request; None if none was recorded.

        Args:
            number: the number of the request in `times`.
        """
        answered = self._answers.get(self.request_id(number))
        if answered is None:
            return None
        content = decode_json(self._recorded.messages[answered.digest])["content"]
        body = encode_json({**answered.message, "content": content})
        return Response(body, answered.message.get("model"), answered.message.get("stop_reason"), answered.request_id)

    def calls(self) -> Iterator[Call]:
        """
        The requests in the order in which they were sent; none if they are not known.
        """
        return map(self.call, range(len(self._requests)))


def rebuilt_sessions(groups: Iterable[Group], are_recorded: Iterable[bool] | None = None) -> Iterator[RebuiltSession]:
    """
    Each session with the requests that it records. A request that is in several files, for example in a copy of a folder,
    counts once.

    Args:
        groups: the sessions, an origin before its forks.
        are_recorded: whether each session records any request, for sessions that were read before; None: their files are
            searched.
    """
    family: tuple[str, str] | None = None
    recorded = Recorded()
    known: set[str] = set()
    unknown: Iterable[bool | None] = repeat(None)
    for group, is_recorded in zip(groups, are_recorded or unknown, strict=False):
        if family != (group.project, group.family):
            # Other conversations cannot refer to these messages any more.
            family, recorded = (group.project, group.family), Recorded()
        try:
            searched = any(map(records_requests, group.sources)) if is_recorded is None else is_recorded
            yield _rebuilt(group, recorded, known) if searched else _not_recorded(group)
        except OSError:
            yield RebuiltSession(group, "a file cannot be read")


def _not_recorded(group: Group) -> RebuiltSession:
    return RebuiltSession(group, "it does not record its requests", is_recorded=False)


def _rebuilt(group: Group, recorded: Recorded, known: set[str]) -> RebuiltSession:
    """
    A session with its requests.

    Args:
        group: the files of the session.
        recorded: what the earlier sessions of its family record; what this session records is added.
        known: the IDs of the requests of all earlier sessions; those of this session are added.
    """
    requests: list[RecordedRequest] = []
    answers: dict[str, RecordedAnswer] = {}
    problem = ""
    for source in group.sources:
        reading = RequestsOfFile(source, recorded)
        reading.read()
        requests += reading.requests
        answers |= reading.answers
        problem = problem or reading.problem
    own = {request.record["id"] for request in requests}
    if not own.issuperset(answers.keys() - recorded.hashes.keys()):
        problem = problem or "an answer names a request that is not there"
    problem = problem or next(filter(None, (_problem(request, recorded) for request in requests)), "")
    if problem:
        return RebuiltSession(group, problem)
    fresh = sorted((request for request in requests if request.record["id"] not in known), key=_started)
    new = own - known
    known |= own
    return RebuiltSession(
        group,
        _requests=fresh,
        _answers={reference: answer for reference, answer in answers.items() if reference in new},
        _recorded=recorded,
    )


def _started(request: RecordedRequest) -> datetime:
    return request.started_at


def _problem(request: RecordedRequest, recorded: Recorded) -> str:
    """
    What is missing of a request; "" if nothing is.
    """
    if request.record["shapeHash"] not in recorded.shapes:
        return f"{request.place}: the system prompt and the tools of the request are not there"
    if not request.hashes or any(digest not in recorded.messages for digest in request.hashes):
        return f"{request.place}: a message of the request is not there"
    try:
        _marked(request, recorded)
    except (LookupError, TypeError):
        return f"{request.place}: a breakpoint of the request has no place"
    return ""


def _marked(request: RecordedRequest, recorded: Recorded) -> tuple[Object, Mapping[int, Object]]:
    """
    A request without its messages, and those of its messages that hold a breakpoint, by their number.

    Recorded places of breakpoints count the system prompt without the attribution.

    Raises:
        LookupError: there is nothing at the place of a breakpoint.
        TypeError: the same.
    """
    record = request.record
    shape = recorded.shapes[record["shapeHash"]]
    body: Object = {name: value for name, value in record["params"].items() if name != "betas"}
    body |= {**shape, "system": [dict(block) for block in shape.get("system", ())]}
    body["tools"] = [dict(tool) for tool in shape.get("tools", ())]
    marked: dict[int, Object] = {}
    for mark in record.get("cacheControl", ()):
        first, *steps = mark["path"] or [None]
        place: Any = body
        if first == "messages":
            number = steps.pop(0)
            place = marked.setdefault(number, decode_json(recorded.messages[request.hashes[number]]))
        elif first is not None:
            place = body[first]
        for step in steps:
            place = place[step]
        place[CONTROL] = mark["value"]
    body["system"].insert(0, dict(_ATTRIBUTION))
    return body, marked


def _body(request: RecordedRequest, recorded: Recorded) -> bytes:
    body, marked = _marked(request, recorded)
    messages = (
        encode_json(marked[number]) if number in marked else recorded.messages[digest]
        for number, digest in enumerate(request.hashes)
    )
    return b'%s,"messages":[%s]}' % (encode_json(body)[:-1], b",".join(messages))


def _call(request: RecordedRequest, answered: RecordedAnswer | None, session: str, recorded: Recorded) -> Call:
    betas = ",".join(request.record["params"].get("betas", ()))
    headers = [("x-claude-code-session-id", session), ("anthropic-beta", betas)]
    headers += [("x-claude-code-agent-id", request.agent)] if request.agent else []
    return Call(
        request.place,
        _body(request, recorded),
        headers=tuple((name.encode(), value.encode("latin-1", "replace")) for name, value in headers),
        started_at=request.started_at,
        ended_at=None if answered is None else answered.ended_at,
        usage=None if answered is None else answered.usage,
        session=session,
        answered=answered is not None,
    )
