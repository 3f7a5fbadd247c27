"""
What `savemode --help` costs, beside a Python that does nothing, and which heavy modules it loads.
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

from tests.benchmarks.processes import clean_environment, python
from tests.benchmarks.tables import columns, fixed, median, note, options, show_json, times

HEAVY = ("aiohttp", "anyio", "asyncio", "httpx", "msgspec", "posthog", "rich", "starlette", "uvicorn")
COMMANDS = {
    "python -c pass": python("-c", "pass"),
    "savemode --help": python("-m", "savemode_cli", "--help"),
}
_LOADED = f"""
import runpy, sys
sys.argv = ["savemode", "--help"]
try:
    runpy.run_module("savemode_cli", run_name="__main__", alter_sys=True)
except SystemExit:
    pass
print(*[name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)
"""


def main() -> None:
    """
    Run both in turn and print the table.
    """
    chosen = options(__doc__).parse_args()
    with tempfile.TemporaryDirectory(prefix="savemode-benchmark-") as home:
        taken = interleaved(Path(home), rounds=5 if chosen.quick else 21)
        loaded = _run(python("-c", _LOADED), Path(home)).split()
    empty, ours = taken.values()
    if chosen.json:
        show_json({"median_ms": taken, "ratio": ours / empty, "heavy_modules_loaded": loaded})
        return
    rows = [[name, fixed(value, 1), fixed(value - empty, 1, "+"), times(value, empty)] for name, value in taken.items()]
    print(columns("Start-up", ["", "ms", "over Python", "ratio"], rows))
    print()
    print(note(f"Medians of interleaved runs. Heavy modules that --help loads: {', '.join(loaded) or 'none'}."))
    print(note(f"Looked for: {', '.join(HEAVY)}."))


def interleaved(home: Path, rounds: int) -> dict[str, float]:
    """
    The median milliseconds of each command; the first round, which fills the disk's cache, is not counted.
    """
    taken: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for number in range(rounds + 1):
        for name, command in COMMANDS.items():
            start = perf_counter()
            _run(command, home)
            if number:
                taken[name].append((perf_counter() - start) * 1000)
    return {name: median(values) for name, values in taken.items()}


def _run(command: list[str], home: Path) -> str:
    """
    What the command wrote to stderr.

    Raises:
        SystemExit: it failed.
    """
    run = subprocess.run(command, cwd=home, env=clean_environment(home), capture_output=True, check=False, timeout=30)
    words = run.stderr.decode(errors="replace")
    if run.returncode:
        sys.exit(f"{' '.join(command[1:4])} ended with {run.returncode}:\n{words[-2000:]}")
    return words


if __name__ == "__main__":
    main()
