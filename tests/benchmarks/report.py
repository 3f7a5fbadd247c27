"""
The CPU time of `savemode report` over transcripts, beside ccusage (a native binary that prints sums only), in turns.

    npm install --prefix FOLDER ccusage@20.0.24
    scripts/bench report ~/.claude/projects --ccusage FOLDER

Without --ccusage it is compared with a Python that counts the lines.
"""

import os
import resource
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.benchmarks.processes import clean_environment, python
from tests.benchmarks.tables import columns, fixed, median, options, show_json, times

_COUNT_LINES = (
    "import sys, pathlib; sum(1 for path in pathlib.Path(sys.argv[1]).rglob('*.jsonl') for _ in path.open('rb'))"
)


def main() -> None:
    """
    Run the programs in turn and print the table.
    """
    parser = options(__doc__)
    parser.add_argument("projects", type=Path, help="a folder of transcripts")
    parser.add_argument("--ccusage", type=Path, help="the folder in which npm installed ccusage")
    chosen = parser.parse_args()
    projects: Path = chosen.projects.resolve()
    commands = {"savemode report": python("-m", "savemode_cli", "report", str(projects), "--by", "day", "--json")}
    if chosen.ccusage is None:
        commands = {"counting the lines": python("-c", _COUNT_LINES, str(projects)), **commands}
    else:
        commands = {"ccusage daily": [str(_binary(chosen.ccusage)), "daily", "--offline", "--json"], **commands}
    with tempfile.TemporaryDirectory(prefix="savemode-benchmark-") as home:
        environment = clean_environment(Path(home)) | {"CLAUDE_CONFIG_DIR": str(_config_folder(Path(home), projects))}
        taken = interleaved(commands, environment, rounds=3 if chosen.quick else 9)
    yardstick = next(iter(taken.values()))
    if chosen.json:
        show_json({"median_cpu_s": taken})
        return
    rows = [(name, fixed(seconds), times(seconds, yardstick)) for name, seconds in taken.items()]
    print(columns("CPU seconds, median", ("program", "seconds", "ratio"), rows))


def interleaved(
    commands: Mapping[str, Sequence[str]], environment: Mapping[str, str], *, rounds: int
) -> dict[str, float]:
    """
    The median CPU seconds of each command, run in turns.
    """
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            before = _cpu_s()
            subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
            taken[name].append(_cpu_s() - before)
    return {name: median(seconds) for name, seconds in taken.items()}


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _config_folder(home: Path, projects: Path) -> Path:
    """
    A folder of Claude Code's layout, which is where ccusage looks.
    """
    folder = home / "claude"
    folder.mkdir()
    (folder / "projects").symlink_to(projects, target_is_directory=True)
    return folder


def _binary(folder: Path) -> Path:
    found = next((path for path in folder.rglob("@ccusage/*/bin/ccusage*") if path.is_file()), None)
    if found is None:
        raise SystemExit(f"no ccusage in {folder}: npm install --prefix {folder} ccusage@20.0.24")
    if not os.access(found, os.X_OK):
        found.chmod(0o755)
    return found


if __name__ == "__main__":
    main()
