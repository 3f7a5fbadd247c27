"""
Builds of savemode to measure side by side: the working tree, and commits, each in an environment of its own.

Rule of this file: a commit is checked out and installed once, in a folder for temporary files, and found there again.
"""

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.processes import ROOT

PINNED = "75806ab"
"""The commit that figures are compared with."""


@dataclass(frozen=True, slots=True)
class Build:
    """
    One version of savemode that can be started.
    """

    name: str
    root: Path
    interpreter: Path

    @property
    def environ(self) -> Mapping[str, str]:
        """
        What a process of this build needs besides a clean environment. Hashes are the same in each run: what a
        dictionary costs depends on them.
        """
        return {"PYTHONPATH": str(self.root), "PYTHONHASHSEED": "0", "COST_CONTROLS_ENABLED": "true"}

    def serve(self, port: int, upstream_port: int, verdicts: bool | None = None) -> list[str]:
        """
        The command of a proxy with everything on: upgrades, a budget and its ledger on a disk, receipts, request lines.

        A proxy judges what a request missed in the cache as long as that takes a twentieth of the time. How many requests
        that is depends on the speed of the machine; *verdicts* judges all of them or none.
        """
        address = ("--port", str(port), "--upstream", f"http://127.0.0.1:{upstream_port}")
        everything = ("--ttl-policy", "always", "--debug", "--budget", "1000000")
        module = ["-m", "savemode_cli"] if verdicts is None else ["-c", _WITH_TIME.format(seconds=1e9 * verdicts)]
        return [str(self.interpreter), *module, "serve", *address, *everything]


_WITH_TIME = """
import runpy
try:
    from savemode_cli.proxy import time_share
except ImportError:  # an older build, which judges none
    pass
else:
    time_share.SHARE = time_share.BURST_S = {seconds}
runpy.run_module("savemode_cli", run_name="__main__", alter_sys=True)
"""


def working_tree() -> Build:
    """
    This checkout, with the Python that runs the benchmark.
    """
    return Build("working tree", ROOT, Path(sys.executable))


def build_of(commit: str) -> Build:
    """
    A commit of this repository, checked out and installed unless it is already.

    Raises:
        SystemExit: there is no such commit, or it cannot be installed.
    """
    full = _run("git", "-C", str(ROOT), "rev-parse", "--verify", f"{commit}^{{commit}}").strip()
    root = Path(tempfile.gettempdir(), "savemode-benchmark-builds", full)
    interpreter = root / ".venv" / "bin" / "python"
    installed = root / ".installed"
    if not installed.exists():
        root.mkdir(parents=True, exist_ok=True)
        archive = root / "commit.tar"
        _run("git", "-C", str(ROOT), "archive", f"--output={archive}", full)
        _run("tar", "-xf", str(archive), "-C", str(root))
        archive.unlink()
        _run(sys.executable, "-m", "venv", str(root / ".venv"))
        lock = str(root / "requirements.lock")
        _run(str(interpreter), "-m", "pip", "install", "--quiet", "-c", lock, "-e", str(root))
        installed.touch()
    return Build(commit, root, interpreter)


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return done.stdout
