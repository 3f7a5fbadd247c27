"""
How often what was spent lay inside the interval of the forecast.

Run it from the repository: python -m tests.benchmarks.pace [FOLDER...]. Without folders it takes the recorded traffic that
tests/support/recorded.py knows of, which is no part of the project; without it there is nothing to measure.

Each day is forecast from the days before it, at its beginning and at noon, and so are the 3 and the 7 days that begin with it.
The target for days is 75 to 85 %.
"""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from savemode_cli.core.budget.pace import LEAST_DAYS, Pace
from savemode_cli.core.errors import BadInput
from savemode_cli.prices import load_prices
from savemode_cli.readers.billed import BilledRequests
from savemode_cli.readers.files import reader_of, walk
from savemode_cli.readers.registry import TRANSCRIPTS
from tests.benchmarks.tables import columns, options, show_json
from tests.support.recorded import TRACES

Charges = Sequence[tuple[datetime, int]]
ASKED = {"a day, at its beginning": (0, 0), "the rest of a day, at noon": (12, 0), "3 days": (0, 2), "7 days": (0, 6)}
"""The hour at which a forecast is made, and how many days it looks beyond that day."""


def charges_of(folder: Path) -> Charges:
    """
    What the transcripts below a folder cost, and when.
    """
    table = load_prices(None)
    files = [(path, TRANSCRIPTS) for path in walk([str(folder)]) if reader_of(path) is TRANSCRIPTS]
    return sorted((one.at, one.cost_nusd) for one in BilledRequests(table, table).of_files(files))


def walked(charges: Charges, hour: int, days: int) -> tuple[int, int, int]:
    """
    How many forecasts were right, too high and too low, as far as the record tells what came.
    """
    right = below = above = 0
    first, last = charges[0][0].date(), charges[-1][0].date()
    for number in range(LEAST_DAYS, (last - first).days - days + 1):
        now = datetime.combine(first + timedelta(days=number), datetime.min.time(), UTC) + timedelta(hours=hour)
        end = (now + timedelta(days=days + 1)).replace(hour=0)
        try:
            interval = Pace(charges, now).coming(days)
        except BadInput:
            continue
        came = sum(nusd for at, nusd in charges if now < at < end)
        right += interval.low <= came <= interval.high
        below += came < interval.low
        above += came > interval.high
    return right, below, above


def main() -> None:
    """
    Measure, and print.
    """
    parser = options(__doc__)
    parser.add_argument("folders", nargs="*", type=Path)
    given = parser.parse_args()
    folders = given.folders or sorted((TRACES / "transcripts").glob("*"))
    if not folders or not all(folder.exists() for folder in folders):
        sys.exit("there is no recorded traffic here; give a folder with transcripts")
    rows = []
    measured: dict[str, dict[str, int]] = {}
    for folder in folders:
        charges = charges_of(folder)
        for what, (hour, days) in ASKED.items() if charges else ():
            right, below, above = walked(charges, hour, days)
            total = right + below + above
            if total:
                share = f"{right * 100 / total:.0f} %"
                rows.append((f"{folder.name}: {what}", f"{right} of {total}", share, f"{below}", f"{above}"))
                measured[f"{folder.name}: {what}"] = {"right": right, "below": below, "above": above}
    if given.json:
        show_json(measured)
        return
    heads = ("", "inside", "share", "below", "above")
    print(columns("What came, and the interval of 80 % before it", heads, rows))


if __name__ == "__main__":
    main()
