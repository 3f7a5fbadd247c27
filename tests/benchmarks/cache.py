"""
The model of the prompt cache: how fast it is, and where recorded traffic is at hand, how right.

    python -m tests.benchmarks.cache

Speed: a conversation that grows to 1 MB in 400 blocks, each request read from its bytes and looked up. Accuracy: see
`tests/support/recorded.py` for the recording, what is lost in it, and what the kinds of outcome mean. Rates are fitted to its
first half; the second half was not looked at for anything but the last table.
"""

import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any

from savemode_cli.core.cache.model import PromptCache
from savemode_cli.core.cache.prompt import prompt_of
from savemode_cli.core.cache.tokens import DEFAULT_ESTIMATE, TokenEstimate
from tests.benchmarks.bodies import KB, MB, agent_body
from tests.support.calibrated import calibrated, tokens_of
from tests.support.recorded import CAPTURE, Graded, graded, recorded

START = datetime(2026, 11, 24, 12, tzinfo=UTC)


def main() -> None:
    """
    Print both; nothing is asserted.
    """
    print("from bytes to Lookup, one body again and again, ms: median of 50")
    for size in (2 * KB, 50 * KB, 200 * KB, MB):
        print(f"  {_named(agent_body(size))}{_body_ms(agent_body(size)):>8.2f}")
    print(f"  {_named(_blocks(MB, 400))}{_body_ms(_blocks(MB, 400)):>8.2f}")
    print("a conversation growing to 1 MB, every request once")
    print(f"  {_growing_per_s(_blocks(MB, 400)):,.0f} requests/s from bytes")
    print(f"  {_look_ups_per_s(_blocks(MB, 400)):,.0f} requests/s of look_up and answered, prompts read before")
    if CAPTURE.exists():
        _accuracy()
    else:
        print("no recorded traffic beside the project: accuracy not measured", file=sys.stderr)


def _named(body: bytes) -> str:
    return f"{len(body) / KB:7.0f} KB, {len(prompt_of(body).chain):4} blocks"


def _blocks(size: int, count: int) -> bytes:
    """
    A body of so many blocks of one length, a third each of text, calls and results, with three markers.
    """
    body = json.loads(agent_body(200 * KB))
    text = "\n".join(str(block) for message in body["messages"] for block in message["content"])
    each = size // count - 90
    messages: list[dict[str, Any]] = [{"role": "user", "content": [{"type": "text", "text": text[:each]}]}]
    for at in range(count // 3):
        words = text[at : at + each]
        call = {"type": "tool_use", "id": f"toolu_{at}", "name": "run", "input": {"command": words}}
        answer = {"type": "tool_result", "tool_use_id": f"toolu_{at}", "content": words}
        messages.append({"role": "assistant", "content": [{"type": "text", "text": words}, call]})
        messages.append({"role": "user", "content": [answer]})
    messages[-1]["content"][-1]["cache_control"] = messages[-3]["content"][-1]["cache_control"] = {"type": "ephemeral"}
    system = [{"type": "text", "text": "s" * 9000, "cache_control": {"type": "ephemeral"}}]
    return json.dumps(
        {"model": "claude-opus-5-5", "system": system, "messages": messages}, separators=(",", ":")
    ).encode()


def _body_ms(body: bytes) -> float:
    cache, took = PromptCache(), []
    for at in range(50):
        begun = time.perf_counter()
        lookup = cache.look_up(prompt_of(body), START + timedelta(seconds=at))
        cache.answered(lookup, START + timedelta(seconds=at))
        took.append((time.perf_counter() - begun) * 1e3)
    return median(took)


def _turns(body: bytes) -> list[bytes]:
    """
    The bodies of the requests that led to this one.
    """
    read = json.loads(body)
    turns = []
    for end in range(1, len(read["messages"]) + 1, 2):
        messages = json.loads(json.dumps(read["messages"][:end]))
        messages[-1]["content"][-1]["cache_control"] = {"type": "ephemeral"}
        turns.append(json.dumps(read | {"messages": messages}, separators=(",", ":")).encode())
    return turns


def _growing_per_s(body: bytes) -> float:
    cache, turns = PromptCache(), _turns(body)
    begun = time.perf_counter()
    for at, turn in enumerate(turns):
        now = START + timedelta(seconds=at)
        cache.answered(cache.look_up(prompt_of(turn), now), now)
    return len(turns) / (time.perf_counter() - begun)


def _look_ups_per_s(body: bytes) -> float:
    prompts = [prompt_of(turn) for turn in _turns(body)] * 100
    cache = PromptCache()
    begun = time.perf_counter()
    for at, prompt in enumerate(prompts):
        now = START + timedelta(seconds=at)
        cache.answered(cache.look_up(prompt, now), now)
    return len(prompts) / (time.perf_counter() - begun)


def _accuracy() -> None:
    requests = recorded()
    half = len(requests) // 2
    grades = graded(requests)
    first = [one for one in grades if one.request.line <= half]
    second = [one for one in grades if one.request.line > half]
    print(f"recorded traffic: {len(requests)} requests, {len(grades)} with usage")
    for name, part in (("first half", first), ("second half", second)):
        right = sum(one.right for one in part)
        seen = ", ".join(f"{kind} {count}" for kind, count in sorted(Counter(one.happened for one in part).items()))
        print(f"  {name}: {right} of {len(part)} outcomes right ({seen})")
    for one in grades:
        if not one.right:
            print(f"  line {one.request.line}: {one.happened}, predicted {one.predicted}: {_why(one, grades)}")
    estimate = calibrated((stretch, tokens) for one in first for _, stretch, tokens in one.stretches())
    print(f"  bytes per token, fitted to the first half: text {estimate.text:.2f}, data {estimate.data:.2f}")
    for name, rates in (("default rates", DEFAULT_ESTIMATE), ("fitted rates", estimate)):
        for what in ("read", "write"):
            print(f"  second half, {name}, {what:5}: {_errors(second, rates, what)}")
    print(f"  second half, all requests, lost lengths included: {_all_errors(requests, half, estimate)}")


def _why(one: Graded, grades: Sequence[Graded]) -> str:
    twin = next((other for other in grades if other is not one and other.billed == one.billed), None)
    if twin is not None:
        return f"its usage is that of line {twin.request.line}, which started in the same millisecond"
    return "not explained"


def _errors(part: Sequence[Graded], estimate: TokenEstimate, what: str) -> str:
    pairs = [
        (tokens_of(estimate, one), tokens) for item in part for kind, one, tokens in item.stretches() if kind == what
    ]
    return _summed(pairs)


def _all_errors(requests: Sequence[Any], half: int, estimate: TokenEstimate) -> str:
    part = [one for one in graded(requests, estimate) if one.request.line > half and one.right]
    pairs = [
        (float(one.lookup.total_tokens), one.billed.input_tokens + one.billed.read_tokens + one.billed.write_tokens)
        for one in part
    ]
    return _summed(pairs)


def _summed(pairs: Sequence[tuple[float, int]]) -> str:
    off = sorted(abs(estimated - tokens) / tokens for estimated, tokens in pairs)
    sum_off = sum(estimated for estimated, _ in pairs) / sum(tokens for _, tokens in pairs) - 1
    return f"{len(pairs):3} stretches, median off {median(off):6.1%}, worst {off[-1]:6.1%}, sum {sum_off:+.1%}"


if __name__ == "__main__":
    main()
