"""
Run one target for a while: `python -m tests.fuzz upgrade 600`.

A crash is written to the current folder as libFuzzer does, and ends the run.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import atheris

with atheris.instrument_imports(include=["savemode_cli"]):
    from tests.fuzz.targets import TARGETS, seeds


def main(name: str = "", seconds: str = "60", corpus: str = "") -> None:
    """
    Fuzz until the time is over.
    """
    if name not in TARGETS:
        sys.exit(f"usage: python -m tests.fuzz {'|'.join(TARGETS)} [SECONDS] [CORPUS]")
    with TemporaryDirectory() as folder:
        for number, seed in enumerate(seeds(name)):
            (Path(folder) / f"seed-{number}").write_bytes(seed)
        words = [sys.argv[0], *([corpus] if corpus else []), folder, f"-max_total_time={seconds}", "-max_len=4096"]
        atheris.Setup([*words, "-rss_limit_mb=2048", "-print_final_stats=1"], TARGETS[name])
        atheris.Fuzz()


main(*sys.argv[1:])
