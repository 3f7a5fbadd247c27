"""
Decides which lines are one answer, and which answers were billed once.

Rule of this file: an ID is evidence. It is proof only as long as nothing contradicts it.

A client writes an answer over several lines. It writes the answer again in the file of a resumed or forked session, in a
side chain that begins with its parent's history, and in records of a sub-agent's progress. A relay may give all of its
answers the same message ID. So IDs alone would count some answers twice, and others not at all.

A lane is one conversation in one file. Two lines of a lane with the same message ID are one answer if they have

    the same record ID
    the same request ID, unless another turn began and the prompt differs
    no different request IDs, and the second follows the first directly, or has the same prompt in the same turn

Answers of two lanes of one session with the same message ID are one answer if they have

    a common record ID
    the same request ID, unless a lane has several answers with both IDs
    no such proof, but nothing contradicts the message ID: it occurs once in each lane, all of these answers have the same
    prompt, and those with different request IDs have common content

Between sessions the last rule also requires the same time. A prompt of no tokens is not evidence: a fork of Claude Code
2.1.332 writes the part that it kept of its origin without usage.
"""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b

from msgspec import Struct

from savemode_cli.core.replay.recording import Recorded
from savemode_cli.core.wire.usage import Usage

Lane = Hashable


class Answer(Struct, gc=False, eq=False):
    """
    One answer, built from the lines read so far. A single line is an answer too.
    """

    session: str
    """The ID of its session."""
    agent: str
    """The ID of its sub-agent, "" for the main conversation."""
    model: str
    started_at: datetime
    """When the request was sent, as far as the lines show it."""
    ended_at: datetime
    """The time of its last line."""
    usage: Usage
    opens_turn: bool
    """Whether a person's message precedes it."""
    is_partial: bool
    """Whether every line was written before the answer was complete."""
    message_id: str | None
    request_id: str | None
    lane: Lane
    turn: str
    """The ID of the person's message that it answers, "" if unknown."""
    timed: bool
    """Whether its start is known from a record before it."""
    written_at: datetime
    """The time of its first line."""
    content: int | None
    """A checksum of its first line's content; None without content."""
    records: tuple[str, ...] = ()
    """The IDs of its lines."""
    aliases: tuple[str, ...] = ()
    """The request IDs under which it was repeated."""
    contents: tuple[int, ...] = ()
    """A checksum of the content of each line that has one."""
    thinks: bool | None = None
    """Whether a line has thinking; None if no line has content."""
    instructed: bool = False
    """Whether text of the client precedes it directly."""
    restarted: bool = False
    """Whether the client was started again since the answer before it."""

    @property
    def name(self) -> str:
        """
        The ID under which answers are compared, "" without one.
        """
        return self.message_id or self.request_id or ""

    @property
    def prompt(self) -> tuple[object, ...] | None:
        """
        The model, and the prompt's tokens as billed; None if no token of a prompt was reported.
        """
        used = self.usage.tokens
        counts = used.input, used.write_5m, used.write_1h, used.read
        return (self.model, *counts) if any(counts) else None

    def recorded(self, *, copy: bool) -> Recorded:
        """
        The request of this answer.

        Args:
            copy: whether it is counted elsewhere.
        """
        return Recorded(
            self.session,
            self.agent,
            self.model,
            self.started_at,
            self.ended_at,
            self.usage,
            self.opens_turn,
            copy,
            self.is_partial,
            self.thinks,
            self.instructed,
            self.restarted,
        )

    def extend(
        self, start: datetime, at: datetime, record: str, content: int | None, *, is_partial: bool, thinks: bool | None
    ) -> None:
        """
        Add a line of the same lane with the same IDs and usage.

        Args:
            start: when the request was sent, as far as the line shows it.
            at: the time of the line.
            record: the ID of the line.
            content: the checksum of its content.
            is_partial: whether it was written before the answer was complete.
            thinks: whether it has thinking; None without content.
        """
        timed = start < at
        if (timed and not self.timed) or (timed == self.timed and start < self.started_at):
            self.started_at = start
        self.timed = self.timed or timed
        self.ended_at = max(self.ended_at, at)
        self.is_partial = self.is_partial and is_partial
        self._add_thinking(thinks=thinks)
        self.records += (record,)
        if content is not None:
            self.contents += (content,)

    def _add_thinking(self, *, thinks: bool | None) -> None:
        if thinks is not None:
            self.thinks = self.thinks or thinks

    def take(self, other: "Answer") -> None:
        """
        Add another line, or the same answer from another lane. The larger output counts, and the copy in the main
        conversation counts for everything else.

        The times of all lines count, except the times of another agent's copy, which may have been written later.
        """
        if self.agent == other.agent:
            if self.timed != other.timed:
                self.started_at = self.started_at if self.timed else other.started_at
            elif other.started_at < self.started_at:
                self.started_at = other.started_at
            self.timed = self.timed or other.timed
            self.ended_at = max(self.ended_at, other.ended_at)
        elif self.agent != "" and other.agent == "":
            self.session, self.agent, self.model = other.session, other.agent, other.model
            self.started_at, self.ended_at, self.timed = other.started_at, other.ended_at, other.timed
        if self.usage is not other.usage and _amount(other.usage) >= _amount(self.usage):
            self.usage = other.usage
        self.is_partial = self.is_partial and other.is_partial
        self._add_thinking(thinks=other.thinks)
        if self.request_id is None:
            self.request_id = other.request_id
        elif other.request_id is not None and other.request_id != self.request_id:
            self.aliases += (other.request_id,)
        self.aliases += other.aliases
        self.records += other.records
        self.contents += other.contents


def _amount(usage: Usage) -> tuple[int, int]:
    return usage.tokens.output, usage.tokens.prompt


class Answers:
    """
    The answers of one session: collected line by line, then each once.
    """

    def __init__(self) -> None:
        self._all: list[Answer] = []
        self._by_record: dict[str, Answer] = {}
        self._by_request: dict[tuple[Lane, str, str], Answer] = {}
        self._last: dict[tuple[Lane, str], Answer] = {}

    def add(self, line: Answer, parent: str | None) -> None:
        """
        Add a line.

        Args:
            line: the line as an answer.
            parent: the ID of the record before the line.
        """
        answer = self._answer_so_far(line, parent)
        if answer is None:
            answer = line
            self._all.append(line)
        else:
            answer.take(line)
        for record in line.records:
            self._by_record.setdefault(record, answer)
        if line.name:
            self._last[line.lane, line.name] = answer
            if line.request_id is not None:
                self._by_request[line.lane, line.name, line.request_id] = answer

    def continued(self, lane: Lane, name: str, request_id: str | None, record: str | None) -> Answer | None:
        """
        The earlier answer of a lane with the same IDs; None if there is none, or if another line has this record ID.

        It is the answer to which a line belongs if both have the same model and the same prompt. Most lines are such
        lines, and `again` adds them without a value of their own.
        """
        if request_id is None or not name or record is None or record in self._by_record:
            return None
        return self._by_request.get((lane, name, request_id))

    def again(self, answer: Answer, record: str) -> None:
        """
        Remember a line that was added to its answer.
        """
        self._by_record[record] = self._last[answer.lane, answer.name] = answer

    def _answer_so_far(self, line: Answer, parent: str | None) -> Answer | None:
        """
        The earlier answer of the same lane to which a line belongs; None if the line begins a new answer.
        """
        for record in line.records:
            found = self._by_record.get(record)
            if found is not None and found.lane == line.lane and found.message_id == line.message_id:
                return found
        if not line.name:
            return None
        if line.request_id is not None:
            found = self._by_request.get((line.lane, line.name, line.request_id))
            if found is not None:
                return None if _another_turn(found, line) and not _same_prompt(found, line) else found
        found = self._last.get((line.lane, line.name))
        return found if found is not None and _continues(found, line, parent) else None

    def settled(self) -> "Settled":
        """
        Each answer once.
        """
        named: dict[str, list[Answer]] = {}
        for answer in self._all:
            named.setdefault(answer.name, []).append(answer)
        settled = Settled()
        for name, answers in named.items():
            if name and len(answers) > 1:
                settled.take(answers)
            else:
                settled.keep(answers)
        return settled


def _another_turn(answer: Answer, line: Answer) -> bool:
    """
    Whether the two certainly answer different messages of a person.
    """
    return bool(answer.turn and line.turn) and answer.turn != line.turn


def _same_prompt(answer: Answer, line: Answer) -> bool:
    """
    Whether the two may have the same prompt.
    """
    return answer.prompt is None or line.prompt is None or answer.prompt == line.prompt


def _continues(answer: Answer, line: Answer, parent: str | None) -> bool:
    """
    Whether a line of the same lane and message ID continues the answer, if no request ID proves it.

    A tool's result may be between two lines of an answer, because newer clients run a tool before the answer is complete.
    """
    same_prompt = answer.prompt is not None and answer.prompt == line.prompt
    if same_prompt and line.content in answer.contents and answer.written_at <= line.written_at <= answer.ended_at:
        return True  # the same line, written twice
    if answer.request_id is not None and line.request_id is not None:
        return False
    return parent in answer.records or (same_prompt and not _another_turn(answer, line))


@dataclass(slots=True)
class Settled:
    """
    The answers of a session, each once.
    """

    answers: list[tuple[Answer, tuple[str, ...]]] = field(default_factory=list)
    """Each answer with the keys by which another session recognises it; one of them is enough."""
    repeated: int = 0
    """How many copies in other lanes were left out."""
    sharing: int = 0
    """How many answers have the same message ID as another, different answer."""

    def keep(self, answers: Iterable[Answer], *, pair: bool = True, alone: bool = True) -> None:
        """
        Add answers that are not copies of each other.

        Args:
            answers: some answers.
            pair: whether nothing contradicts their message IDs together with their request IDs.
            alone: whether nothing contradicts their message IDs.
        """
        self.answers += [(answer, _keys(answer, pair=pair, alone=alone)) for answer in answers]

    def take(self, answers: Sequence[Answer]) -> None:
        """
        Add all answers of one message ID, without copies, in the order in which they were read.
        """
        pair = _all_differ([(answer.lane, answer.request_id) for answer in answers if answer.request_id is not None])
        prompts = {answer.prompt for answer in answers} - {None}
        alone = _all_differ([answer.lane for answer in answers]) and len(prompts) <= 1
        kept: list[Answer] = []
        by_proof: dict[str, Answer] = {}
        for answer in answers:
            proofs = [*answer.records, *([f"request {answer.request_id}"] if pair and answer.request_id else [])]
            origin = next((by_proof[proof] for proof in proofs if proof in by_proof), None)
            if origin is None and alone:
                origin = next((earlier for earlier in kept if _same_content(earlier, answer)), None)
            if origin is None:
                origin = answer
                kept.append(answer)
            else:
                origin.take(answer)
                self.repeated += 1
            by_proof.update(dict.fromkeys(proofs, origin))
        self.sharing += len(kept) if len(kept) > 1 else 0
        self.keep(kept, pair=pair, alone=len(kept) == 1)


def _all_differ(values: Sequence[Hashable]) -> bool:
    """
    Whether no two values are equal.
    """
    return len({*values}) == len(values)


def _same_content(one: Answer, other: Answer) -> bool:
    """
    Whether nothing proves that two answers of different lanes are different answers.
    """
    if (one.request_id is None) != (other.request_id is None):
        return True
    return not {*one.contents}.isdisjoint(other.contents) or not (one.contents or other.contents)


def _keys(answer: Answer, *, pair: bool, alone: bool) -> tuple[str, ...]:
    name = answer.message_id
    record = f"record {name} {answer.records[0]}" if answer.records else ""
    if answer.request_id is not None:
        requests = (answer.request_id, *answer.aliases) if pair else ()
        return record, *(f"request {name} {request}" for request in requests)
    if alone and answer.prompt is not None:
        return record, f"message {name} {answer.prompt} {answer.written_at.timestamp()} {answer.content}"
    return (record,)


@dataclass(frozen=True, slots=True)
class SessionIds:
    """
    The answers of one session by their digests, and what was known of them when it was read.
    """

    added: dict[int, str]
    """The digests that were new, each with the session that counts as the first one with this answer."""
    known: dict[int, str]
    """The digests that other sessions had, each with the first of them."""


@dataclass(slots=True)
class Ids:
    """
    The answers that were read, and the session of each, by 64-bit digests that are the same in every process.
    """

    known: dict[int, str] = field(default_factory=dict)
    """The session in which each digest was read first."""
    _added: dict[int, str] = field(default_factory=dict)
    _met: dict[int, str] = field(default_factory=dict)

    def origin(self, keys: Iterable[str], session: str) -> str | None:
        """
        The session in which this answer was read before; None if it is new. The answer is remembered.

        Args:
            keys: the keys by which the answer is recognised.
            session: the session that is being read.
        """
        digests = [_digest(key) for key in keys if key]
        origin = next((self.known[digest] for digest in digests if digest in self.known), None)
        for digest in digests:
            if digest not in self.known:
                self.known[digest] = self._added[digest] = origin or session
            elif digest not in self._added:
                self._met[digest] = self.known[digest]
        return origin

    def taken(self) -> SessionIds:
        """
        The digests of the session that was read since the last call.
        """
        session = SessionIds(self._added, self._met)
        self._added, self._met = {}, {}
        return session

    def agree(self, session: SessionIds) -> bool:
        """
        Whether a session that another process read would be read the same here, with what is known here.
        """
        if not self.known.keys().isdisjoint(session.added):
            return False
        return all(self.known.get(digest) == origin for digest, origin in session.known.items())

    def add(self, session: SessionIds) -> None:
        """
        Remember the answers of a session that another process read.
        """
        self.known.update(session.added)


def _digest(text: str) -> int:
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest())
