"""
Real traffic, where it is at hand: request bodies of Claude Code in order, with the usage that was billed.

Rule of this file: nothing of it is copied into the project. It lies beside it in `../shared`, or where
SAVEMODE_TEST_TRACES points; what reads it is skipped where there is none.

In the recording every text is replaced by `t_<hash>_<length>`: equal texts have equal tokens. Here each gets its length
back, filled with its hash. Tool definitions were dropped and signatures cut to a word: both get a stand-in of one length,
whose rate calibration then finds. Bare markers are raised to an hour, as the recorder did before it sent them. Inputs of
tools read "REDACTED" and stay so: their true length is lost.
"""

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from savemode_cli.core.cache.model import Lookup, PromptCache
from savemode_cli.core.cache.prompt import Prompt, prompt_of
from savemode_cli.core.cache.tokens import DEFAULT_ESTIMATE, TokenEstimate
from tests.support.calibrated import Sizes, stretch_of

TRACES = Path(os.environ.get("SAVEMODE_TEST_TRACES", Path(__file__).parents[3] / "shared" / "traces"))
CAPTURE = TRACES / "bodies" / "claude-code" / "capture.jsonl"

_TEXT = re.compile(r"t_([0-9a-f]{12})_(\d+)")
_TOOL_BYTES = 3000
_SIGNATURE_BYTES = 600
_FIRST_BYTE = timedelta(seconds=2)  # not recorded; after this an entry is taken to be usable
_UNRECORDED = timedelta(seconds=5)  # how long an answer is taken to last where nobody wrote it down: the median is 4.9


@dataclass(frozen=True, slots=True)
class Billed:
    """
    The usage of one answer.
    """

    input_tokens: int
    read_tokens: int
    write_tokens: int


@dataclass(frozen=True, slots=True)
class Recorded:
    """
    One request; `billed` is None where the recording has no usage. `line` counts from 1.
    """

    line: int
    at: datetime
    ended: datetime
    body: bytes
    billed: Billed | None


def recorded(path: Path = CAPTURE) -> list[Recorded]:
    """
    The requests of the recording, in the order in which they were sent.
    """
    return [_request(number, json.loads(line)) for number, line in enumerate(path.read_text().splitlines(), 1)]


Outcome = Literal["full", "partial", "cold", "none"]
"""
What became of a request, by what it read. The goal is the last breakpoint of the earlier request that shares the most.

full: it read up to its goal, all that could be hoped for. partial: it read something, but not that, or had no goal and
read a head that others share. cold: it read nothing, and wrote. none: neither.
"""


@dataclass(frozen=True, slots=True)
class Graded:
    """
    One billed request beside what the model of the cache says of it.
    """

    request: Recorded
    billed: Billed
    prompt: Prompt
    lookup: Lookup
    happened: Outcome
    predicted: Outcome

    @property
    def right(self) -> bool:
        """
        Whether the kind of the outcome was foreseen; token counts are another matter.
        """
        return self.happened == self.predicted

    def stretches(self) -> Iterator[tuple[Literal["read", "write"], Sizes, int]]:
        """
        What was read and what was written, each with the tokens billed: where the outcome was foreseen, so that it is
        known which blocks they are, and where no length was lost. An answer with thinking comes with lost lengths.
        """
        if not self.right or not self.prompt.marks:
            return
        read, end = self.lookup.read_blocks, self.prompt.marks[-1].block + 1
        parts: tuple[tuple[Literal["read", "write"], int, int, int], ...] = (
            ("read", 0, read, self.billed.read_tokens),
            ("write", read, end, self.billed.write_tokens),
        )
        for what, first, last, tokens in parts:
            stretch = stretch_of(self.prompt, first, last)
            if tokens and not stretch.blocks["thinking"]:
                yield what, stretch, tokens


def graded(requests: Sequence[Recorded], estimate: TokenEstimate = DEFAULT_ESTIMATE) -> list[Graded]:
    """
    Play the requests to an empty cache, in order, and grade those whose usage was recorded.
    """
    cache = PromptCache()
    billed_at: dict[bytes, int | None] = {}  # what was cached up to the last breakpoint of each request so far
    grades = []
    for request in requests:
        prompt = prompt_of(request.body, estimate)
        lookup = cache.look_up(prompt, request.at)
        cache.answered(lookup, min(request.at + _FIRST_BYTE, request.ended), request.ended)
        billed = request.billed
        goals = [block for block, digest in enumerate(prompt.chain) if digest in billed_at]
        if billed is not None:
            known = [billed_at[prompt.chain[block]] for block in goals]
            happened, predicted = _happened(billed, known), _predicted(lookup, goals)
            grades.append(Graded(request, billed, prompt, lookup, happened, predicted))
        if prompt.marks:
            total = None if billed is None else billed.read_tokens + billed.write_tokens
            billed_at[prompt.chain[prompt.marks[-1].block]] = total
    return grades


def _happened(billed: Billed, known: Sequence[int | None]) -> Outcome:
    """
    The outcome that was billed. A goal whose own usage is missing counts as reached by what read more than any other.
    """
    if billed.read_tokens == 0:
        return "cold" if billed.write_tokens else "none"
    if not known:
        return "partial"
    if known[-1] is None:
        return "full" if billed.read_tokens > max((one for one in known if one is not None), default=0) else "partial"
    return "full" if billed.read_tokens == known[-1] else "partial"


def _predicted(lookup: Lookup, goals: Sequence[int]) -> Outcome:
    if lookup.read_blocks == 0:
        return "cold" if lookup.writes else "none"
    return "full" if goals and lookup.read_blocks == goals[-1] + 1 else "partial"


def _request(number: int, row: dict[str, Any]) -> Recorded:
    at = datetime.fromisoformat(row["started_at"])
    lasted = _UNRECORDED if row["duration_ms"] is None else timedelta(milliseconds=row["duration_ms"])
    usage = row["usage"]
    billed = None
    if usage is not None:
        billed = Billed(usage["input_tokens"], usage["cache_read_input_tokens"], usage["cache_creation_input_tokens"])
    for tool in row["body"].get("tools", []):
        tool["description"] = _filled(tool["name"], _TOOL_BYTES)
    return Recorded(number, at, at + lasted, json.dumps(_restored(row["body"])).encode(), billed)


def _restored(value: Any) -> Any:
    if value == {"type": "ephemeral"}:
        return {"type": "ephemeral", "ttl": "1h"}
    if isinstance(value, dict):
        return {key: _restored(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_restored(inner) for inner in value]
    if isinstance(value, str):
        if value.startswith("sig_"):
            return _filled(value, _SIGNATURE_BYTES)
        return _TEXT.sub(lambda match: _filled(match[1], int(match[2])), value)
    return value


def _filled(word: str, length: int) -> str:
    return (word * (length // len(word) + 1))[:length]
