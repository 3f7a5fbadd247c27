"""
How often the guard would have given a false alarm in recorded sessions: none of them had run away.

Run it from the repository: python -m tests.benchmarks.guard [FOLDER...]. Without folders it takes the recorded traffic that
tests/support/recorded.py knows of, which is no part of the project; without it there is nothing to measure.

Texts were removed from these transcripts. Two tool calls count as identical here if name and length of the input are the
same, which finds more than there are. The answers' tokens are placeholders, so dollars are those of the prompts.
"""

import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from savemode_cli.config import Settings
from savemode_cli.core.budget.choices import GuardLimits
from savemode_cli.core.budget.guard import MINUTES, Guard
from savemode_cli.core.exchange.totals import BilledRequest
from savemode_cli.core.wire.repeats import NO_ROW, RepeatedCall
from savemode_cli.prices import load_prices
from savemode_cli.readers.billed import BilledRequests
from savemode_cli.readers.files import reader_of, walk
from savemode_cli.readers.registry import TRANSCRIPTS
from tests.benchmarks.tables import columns, fixed, note, options, show_json
from tests.support.recorded import TRACES

_NUSD = 1_000_000_000


@dataclass(slots=True)
class Seen:
    """
    The most of each sign in one session.
    """

    identical_calls: int = 0
    rounds: int = 0
    """Of the identical calls those in rounds of two or three calls."""
    nusd_per_minute: int = 0
    agents: int = 0
    signs: set[str] = field(default_factory=set)
    """The signs of which the guard would have warned."""


def rows_of_calls(path: Path) -> Iterator[RepeatedCall]:
    """
    For each tool call of a transcript: the round of calls that look the same, and how often it was made up to there.
    """
    row = NO_ROW
    for line in path.read_text().splitlines():
        record = json.loads(line)
        content = record.get("message", {}).get("content")
        blocks = content if isinstance(content, list) else []
        if record.get("type") == "user" and not any(block.get("type") == "tool_result" for block in blocks):
            row = NO_ROW
        for block in blocks if record.get("type") == "assistant" else ():
            if block.get("type") == "tool_use":
                row = row.after(f"{block.get('name')} {block.get('chars')}".encode(), str(block.get("name")))
                yield row.last


def session_of(path: Path) -> str:
    """
    The session that a transcript belongs to: its folder names it for sub-agents.
    """
    return path.stem if path.parent.name != "subagents" else path.parent.parent.name


def watched(requests: list[BilledRequest], limits: GuardLimits, seen: Seen) -> None:
    """
    Give the requests of one session to a guard, in their order.
    """
    guard = Guard(limits)
    requests.sort(key=lambda request: request.at)
    for number, request in enumerate(requests):
        agent = request.agent or ""
        alarm = guard.judge("session", agent, 0, "", request.at)
        if alarm is not None:
            seen.signs.add(alarm.sign)
            guard.accept("session", alarm, request.at)
        guard.begin(str(number), "session", agent, request.at)
        guard.end(str(number), request.cost_nusd, request.at)
        window = [one for one in requests[: number + 1] if one.at > request.at - timedelta(minutes=MINUTES)]
        seen.nusd_per_minute = max(seen.nusd_per_minute, sum(one.cost_nusd for one in window) // MINUTES)
        minute = {one.agent for one in window if one.agent and one.at > request.at - timedelta(minutes=1)}
        seen.agents = max(seen.agents, len(minute))


def measured(folders: list[Path]) -> dict[str, Seen]:
    """
    What each session shows, at the defaults.
    """
    limits = Settings().guard_limits
    paths = [path for path in walk(list(map(str, folders))) if reader_of(path) is TRANSCRIPTS]
    sessions: dict[str, Seen] = defaultdict(Seen)
    for path in paths:
        seen = sessions[session_of(path)]
        for row in rows_of_calls(path):
            seen.identical_calls = max(seen.identical_calls, row.count)
            if ", " in row.tool:
                seen.rounds = max(seen.rounds, row.count)
        if seen.identical_calls >= limits.identical_calls:
            seen.signs.add("identical_calls")
    table = load_prices(None)
    by_session: dict[str, list[BilledRequest]] = defaultdict(list)
    for request in BilledRequests(table, table).of_files([(path, TRANSCRIPTS) for path in paths]):
        by_session[request.session or ""].append(request)
    for session, requests in by_session.items():
        watched(requests, limits, sessions[session])
    return sessions


def show(sessions: dict[str, Seen]) -> None:
    """
    A row for each sign.
    """
    limits = Settings().guard_limits
    seen = sessions.values()
    per_minute = limits.nusd_per_minute / _NUSD
    signs: list[tuple[str, str, list[float], float]] = [
        ("identical calls in a row", "identical_calls", [one.identical_calls for one in seen], limits.identical_calls),
        ("of them in rounds of 2 or 3", "rounds", [one.rounds for one in seen], limits.identical_calls),
        ("dollars per minute", "usd_per_minute", [one.nusd_per_minute / _NUSD for one in seen], per_minute),
        ("sub-agents at once", "agents", [one.agents for one in seen], limits.agents),
    ]
    rows = []
    for words, sign, values, limit in signs:
        highest, second = sorted([0.0, *values])[-1:-3:-1]
        digits = 2 if sign == "usd_per_minute" else 0
        alarms = sum(sign in one.signs for one in sessions.values())
        rows.append((words, fixed(limit, digits), fixed(highest, digits), fixed(second, digits), f"{alarms}"))
    heads = ("sign", "limit", "highest", "second", "sessions with an alarm")
    print(columns(f"The guard on {len(sessions)} recorded sessions", heads, rows))
    total = sum(bool(one.signs) for one in sessions.values())
    print(note(f"False alarms: {total} of {len(sessions)} sessions; the target is at most 1 of 200."))


def main() -> None:
    """
    Measure, and print.
    """
    parser = options(__doc__)
    parser.add_argument("folders", nargs="*", type=Path)
    given = parser.parse_args()
    folders = given.folders or [TRACES / "transcripts"]
    if not all(folder.exists() for folder in folders):
        sys.exit("there is no recorded traffic here; give a folder with transcripts")
    sessions = measured(folders)
    if given.json:
        shown: dict[str, Any] = {
            "sessions": len(sessions),
            "alarms": sum(bool(one.signs) for one in sessions.values()),
            "most_identical_calls": max(one.identical_calls for one in sessions.values()),
            "most_rounds": max(one.rounds for one in sessions.values()),
            "most_usd_per_minute": max(one.nusd_per_minute for one in sessions.values()) / _NUSD,
            "most_agents": max(one.agents for one in sessions.values()),
        }
        show_json(shown)
    else:
        show(sessions)


if __name__ == "__main__":
    main()
