"""
What metering costs: microseconds per small event of a stream, per pricing of an answer.

Run it from the repository: python -m tests.benchmarks.usage
"""

import timeit
from datetime import UTC, datetime
from functools import partial

from savemode_cli.core.wire.meter import UsageMeter
from savemode_cli.core.wire.usage import Tokens, Usage
from savemode_cli.prices import load_prices

START = (
    b'event: message_start\ndata: {"type":"message_start","message":{"model":"claude-opus-5-5",'
    b'"usage":{"input_tokens":10,"output_tokens":1}}}\n\n'
)
DELTA = (
    b"event: content_block_delta\n"
    b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hello wor"}}\n\n'
)
WHOLE = b'{"model":"m","content":[{"type":"text","text":"%b"}],"usage":{"input_tokens":10,"output_tokens":1}}' % (
    b"x" * 10_000
)
TIMES = 20_000


def per_event(events: int) -> float:
    """
    Microseconds per event where each chunk holds so many.
    """
    meter = UsageMeter()
    meter.feed(START)
    chunk = DELTA * events
    return min(timeit.repeat(lambda: meter.feed(chunk), number=TIMES // events, repeat=7)) / TIMES * 1e6


def whole() -> None:
    """
    Meter a JSON answer.
    """
    meter = UsageMeter()
    meter.feed(WHOLE)
    meter.close()
    assert meter.final


def main() -> None:
    """
    Print the best of seven.
    """
    for events in (1, 8, 40):
        print(f"stream, {events} events a chunk: {per_event(events):.2f} us per event")
    once = min(timeit.repeat(whole, number=TIMES, repeat=7)) / TIMES * 1e6
    print(f"a JSON answer of 10 kB: {once:.2f} us")
    table, now = load_prices(), datetime(2026, 11, 24, tzinfo=UTC)
    usage = Usage(Tokens(10, 200, 3000, 15_000, 700), service_tier="standard", inference_geo="us")
    for model in ("claude-opus-5-5", "us.anthropic.claude-opus-5-5-20261001-v1:0", "claude-unknown-9"):
        once = min(timeit.repeat(partial(table.bill, usage, model, now), number=2000, repeat=7)) / 2000 * 1e6
        print(f"bill of {model}: {once:.1f} us")


if __name__ == "__main__":
    main()
