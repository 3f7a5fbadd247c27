"""
What the edit of a request body costs, beside a copy of the body and one search through it.

Each row runs in a fresh Python, twice: with glibc's allocator as it ships, which after the first few large buffers
keeps what is freed, so nothing is faulted in; and with `MALLOC_MMAP_THRESHOLD_` pinned to where glibc starts, 128 KB, so
that each larger buffer is mapped anew and its pages are faulted in on every use, which is what a request pays on a cold
heap. Both sides of a ratio run in the same process, one after the other, again and again.
"""

import os
import subprocess
from collections.abc import Callable, Mapping
from functools import partial
from importlib.util import find_spec
from time import perf_counter

import msgspec

from savemode_cli.core.upgrade.edits import apply
from savemode_cli.core.upgrade.policy import Policy
from savemode_cli.core.upgrade.transform import transform
from savemode_cli.core.wire.breakpoints import (
    Holders,
    may_have_breakpoints,
    read_breakpoint,
    section_holders,
    stray_breakpoints,
)
from savemode_cli.core.wire.caller import Caller
from savemode_cli.core.wire.facts import MAX_CONTAINERS
from savemode_cli.core.wire.reading_work import ReadingWork
from savemode_cli.core.wire.request_body import decode_body, number_keys
from tests.benchmarks.bodies import KB, MB, agent_body, tiny_blocks_body
from tests.benchmarks.processes import ROOT, python
from tests.benchmarks.tables import columns, fixed, median, note, options, show_json, times

ALWAYS = Policy(ttl="always")
CALLER = Caller("posthog_code", idle_prone=True)
ABSENT = b'"cache_kontrol'
"""As long as what the transform searches for, and in no body."""

BODIES: dict[str, Callable[[], bytes]] = {
    "2 KB, 4 markers": partial(agent_body, 2 * KB),
    "200 KB, 4 markers": partial(agent_body, 200 * KB),
    "1 MB, 4 markers": partial(agent_body, MB),
    "10 MB, 4 markers": partial(agent_body, 10 * MB),
    "2 KB, none": partial(agent_body, 2 * KB, markers=False),
    "200 KB, none": partial(agent_body, 200 * KB, markers=False),
    "1 MB, none": partial(agent_body, MB, markers=False),
    "10 MB, none": partial(agent_body, 10 * MB, markers=False),
    "1 MB, 10,000 decoys": partial(agent_body, MB, decoys=10_000),
    "1 MB, decoys alone": partial(agent_body, MB, markers=False, decoys=10_000),
    "100,000 tiny blocks": partial(tiny_blocks_body, 100_000),
}
SPLIT_UP = "1 MB, 4 markers"

ALLOCATORS: dict[str, dict[str, str]] = {"shipped": {}, "mapped": {"MALLOC_MMAP_THRESHOLD_": str(128 * KB)}}

Measured = dict[str, float]


def main() -> None:
    """
    Measure every body under both allocators and print the tables.
    """
    parser = options(__doc__)
    parser.add_argument("--one", nargs=2, metavar=("WHAT", "BODY"), help="measure one body in this very process")
    chosen = parser.parse_args()
    seconds = 0.15 if chosen.quick else 0.7
    if chosen.one:
        what, body = chosen.one
        show_json(MEASURES[what](BODIES[body](), seconds))
        return
    whole = {
        name: {kind: _in_fresh_python("whole", name, chosen.quick, kind) for kind in ALLOCATORS} for name in BODIES
    }
    parts = {kind: _in_fresh_python("parts", SPLIT_UP, chosen.quick, kind) for kind in ALLOCATORS}
    if chosen.json:
        show_json({"unit": "ms, median", "transform": whole, "parts_of_1_mb": parts})
    else:
        _print_whole(whole)
        _print_parts(parts)


def interleaved(functions: Mapping[str, Callable[[], object]], seconds: float) -> Measured:
    """
    The median milliseconds of each function; called in turn until the time is up, five times at least.
    """
    taken: dict[str, list[float]] = {name: [] for name in functions}
    end = perf_counter() + seconds
    rounds = 0
    while rounds < 5 or perf_counter() < end:
        for name, function in functions.items():
            start = perf_counter()
            function()  # the result is freed inside the time, as a server would have to
            taken[name].append((perf_counter() - start) * 1000)
        rounds += 1
    return {name: median(values) for name, values in taken.items()}


def copy_and_find(body: bytes) -> int:
    """
    The yardstick: one copy of the body, joined from two halves, and one search that finds nothing.
    """
    view = memoryview(body)
    half = len(body) // 2
    b"".join((view[:half], view[half:]))
    return body.find(ABSENT)


def measure_whole(body: bytes, seconds: float) -> Measured:
    """
    The transform and its yardstick.
    """
    return interleaved(
        {"copy_and_find_ms": partial(copy_and_find, body), "transform_ms": partial(transform, body, ALWAYS, CALLER)},
        seconds,
    )


def measure_parts(body: bytes, seconds: float) -> Measured:
    """
    The stages of the transform one by one, and the parsers it could have used instead of the typed decode.
    """
    keys = number_keys(body)
    assert keys is not None
    numbered, offsets = keys
    read = decode_body(numbered)
    done = transform(body, ALWAYS, CALLER)

    def walk() -> None:
        work = ReadingWork(MAX_CONTAINERS, quick=False)
        found: Holders = []
        for section in ("tools", "system", "messages"):
            section_holders(section, getattr(read, section), found, work, [])
        stray_breakpoints(numbered, found, len(offsets), work)
        for path, holder in found:
            read_breakpoint(path, holder, body, offsets)

    functions: dict[str, Callable[[], object]] = {
        "transform_ms": partial(transform, body, ALWAYS, CALLER),
        "first_search_ms": partial(may_have_breakpoints, body),
        "number_ms": partial(number_keys, body),
        "typed_decode_ms": partial(decode_body, numbered),
        "walk_ms": walk,
        "splice_ms": partial(apply, body, done.edits),
        "copy_and_find_ms": partial(copy_and_find, body),
        "msgspec_full_ms": partial(msgspec.json.decode, body),
    }
    if find_spec("orjson"):
        import orjson

        functions["orjson_full_ms"] = partial(orjson.loads, body)
    return interleaved(functions, seconds * 4)


MEASURES = {"whole": measure_whole, "parts": measure_parts}


def _in_fresh_python(what: str, name: str, quick: bool, allocator: str) -> Measured:
    command = python("-m", "tests.benchmarks.transform", "--one", what, name, *(["--quick"] if quick else []))
    environ = {key: value for key, value in os.environ.items() if not key.startswith("MALLOC_")}
    run = subprocess.run(command, env=environ | ALLOCATORS[allocator], cwd=ROOT, check=True, stdout=subprocess.PIPE)
    return msgspec.json.decode(run.stdout, type=Measured)


def _print_whole(whole: dict[str, dict[str, Measured]]) -> None:
    rows = []
    for name, by_kind in whole.items():
        row = [name]
        for one in by_kind.values():
            edit, copy = one["transform_ms"], one["copy_and_find_ms"]
            row += [fixed(copy, 3), fixed(edit, 3), times(edit, copy)]
        rows.append(row)
    heads = ["body", "copy+find", "edit", "ratio", "| copy+find", "edit", "ratio"]
    print(columns("Transform of a body, ms (left: warm heap, right: each buffer mapped anew)", heads, rows))
    print()
    print(
        note(
            f"""copy+find is one copy of the body, joined from two halves, and one bytes.find of {len(ABSENT)} bytes
            that are not there. Both sides of a ratio ran in turn in one fresh process per cell; medians. Left: glibc as
            shipped, which soon keeps freed buffers (no page faults on either side). Right: its mmap threshold pinned to
            128 KB, so that on both sides each larger buffer is mapped, faulted in and unmapped again."""
        )
    )


def _print_parts(parts: dict[str, Measured]) -> None:
    def row(label: str, value: Callable[[Measured], float]) -> list[str]:
        cells = [label]
        for one in parts.values():
            cells += [fixed(value(one), 3), f"{value(one) / one['transform_ms']:.0%}"]
        return cells

    rows = [
        row("first search (to the first hit)", _get("first_search_ms")),
        row("search and number keys", _get("number_ms")),
        row("typed decode", _get("typed_decode_ms")),
        row("walk and markers", _get("walk_ms")),
        row("splice", _get("splice_ms")),
        row("whole transform", _get("transform_ms")),
        row("copy+find", _get("copy_and_find_ms")),
        row("full parse, msgspec", _get("msgspec_full_ms")),
    ]
    if all("orjson_full_ms" in one for one in parts.values()):
        rows.append(row("full parse, orjson", _get("orjson_full_ms")))
    print()
    print(columns("Where the time goes at 1 MB, ms", ["stage", "warm", "share", "| mapped", "share"], rows))
    print()
    print(
        note(
            """Each stage alone, in turn with the others, so they need not add up: a stage that runs by itself may get
            its buffers back warm. The full parses are what the typed decode stands in for: it reads every byte
            too, but builds only the blocks' outlines and steps over the rest."""
        )
    )


def _get(name: str) -> Callable[[Measured], float]:
    return lambda one: one[name]


if __name__ == "__main__":
    main()
