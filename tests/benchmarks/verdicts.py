"""
What a verdict on a cache miss costs, request by request of a conversation that grows, and the memory of many conversations.

CPU time of this process, medians, so that other load of the machine counts little. `asked`: reading the prompt, after the
request was forwarded; where the body begins as an earlier one is known from its facts. `answered`: the verdict, on a bill
that read what the request before it had written.
"""

import gc
import re
import tracemalloc
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from time import process_time

from savemode_cli.core.diagnosis.history import Asked, History
from savemode_cli.core.diagnosis.splices import Splice, Splices
from savemode_cli.core.money.pricing import InputRates
from savemode_cli.core.wire.facts_memory import FactsMemory
from savemode_cli.core.wire.usage import Tokens, Usage
from tests.benchmarks.bodies import KB, MB, conversation
from tests.benchmarks.tables import columns, fixed, median, note, options, show_json

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
SIZES = {"2 KB": 2 * KB, "20 KB": 20 * KB, "200 KB": 200 * KB, "1 MB": MB - 120 * KB}
REQUESTS, SKIPPED = 32, 4
MEASURED_LANES, LANES = 8, 64
_MARKER = re.compile(rb'"cache_control":\{"type":"ephemeral"')
_TTL = b',"ttl":"1h"'


class Rates:
    """
    Prices that are the same for all.
    """

    def input_rates(self, _usage: Usage, _model: str | None, _when: datetime) -> InputRates:
        """
        See `Prices`.
        """
        return InputRates(1, 1, 1, 1, "exact")


class Judge:
    """
    What a proxy remembers.
    """

    def __init__(self) -> None:
        """
        Nothing yet.
        """
        self.facts = FactsMemory()
        self.history = History(Rates())
        self.spent_us: dict[str, list[float]] = {"facts": [], "asked": [], "answered": []}

    def ask(self, number: int, body: bytes, session: str, read_tokens: int) -> Asked:
        """
        One request of a session, and its answer.
        """
        splices = Splices([Splice(found.end(), _TTL) for found in _MARKER.finditer(body)])
        sent = _MARKER.sub(lambda found: found[0] + _TTL, body)
        at = NOON + timedelta(seconds=10 * number)
        began = process_time()
        _, beginning = self.facts.read(body, 4 * MB)
        known = process_time()
        asked = self.history.asked(
            f"{session} {number}", sent, session, started_at=at, beginning=beginning, splices=splices
        )
        read = process_time()
        assert asked is not None
        total = asked.prompt.total_tokens
        usage = Usage(tokens=Tokens(input=2, write_1h=total - read_tokens - 2, read=read_tokens))
        billed = process_time()
        self.history.answered(asked, usage, began_at=at + timedelta(seconds=1), ended_at=at + timedelta(seconds=2))
        for name, seconds in (("facts", known - began), ("asked", read - known), ("answered", process_time() - billed)):
            self.spent_us[name].append(seconds * 1e6)
        return asked


def measure_time(size: int) -> dict[str, float]:
    """
    Microseconds of each step, of a conversation that has begun.
    """
    judge, read_tokens = Judge(), 0
    for number, body in enumerate(islice(conversation(size, "session"), REQUESTS)):
        prompt = judge.ask(number, body, "session", read_tokens).prompt
        read_tokens = prompt.prefix_tokens[prompt.marks[-1].block]
    return {name: median(values[SKIPPED:]) for name, values in judge.spent_us.items()}


def measure_memory(bodies: Sequence[Sequence[bytes]]) -> float:
    """
    Bytes that are kept of each lane.
    """
    judge = Judge()
    gc.collect()
    tracemalloc.start()
    try:
        for lane, requests in enumerate(bodies):
            for number, body in enumerate(requests):
                judge.ask(number, body, f"session {lane}", 0)
        gc.collect()
        return tracemalloc.get_traced_memory()[0] / len(bodies)
    finally:
        tracemalloc.stop()


def main() -> None:
    """
    Measure, and print a table.
    """
    chosen = options(__doc__).parse_args()
    sizes = list(SIZES)[:2] if chosen.quick else list(SIZES)
    spent = {name: measure_time(SIZES[name]) for name in sizes}
    lanes = 1 if chosen.quick else MEASURED_LANES
    bodies = [list(islice(conversation(SIZES["1 MB"], f"session {lane}"), REQUESTS)) for lane in range(lanes)]
    kept = measure_memory(bodies) * LANES
    if chosen.json:
        show_json({"cpu_us": spent, "bytes_of_64_lanes": kept})
        return
    rows = [
        [name, *(fixed(steps[step], 0) for step in ("facts", "asked", "answered"))] for name, steps in spent.items()
    ]
    print(columns("CPU per request, us", ["", "facts", "asked", "answered"], rows))
    print()
    print(
        note(
            f"""{LANES} lanes of {REQUESTS} prompts of 1 MB keep {kept / MB:.1f} MB, from {lanes} that were measured, before
            the bounds of the memories."""
        )
    )


if __name__ == "__main__":
    main()
