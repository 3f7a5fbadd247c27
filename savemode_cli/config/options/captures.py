"""
Options: which requests are captured, and for how long.
"""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from savemode_cli.config import values
from savemode_cli.config.option import option


@dataclass(frozen=True, kw_only=True)
class CaptureOptions:
    """
    Captures hold prompts and answers.
    """

    capture: Path | None = option(
        None,
        values.capture,
        metavar="[DIR]",
        bare="true",
        help="Keep requests and answers, your prompts included, in this folder; without DIR, in your data folder.",
        doc="The folder that keeps requests and answers, your prompts included. `true` is a folder in your data folder, "
        "and without a value nothing is kept.",
        commands=("serve", "run"),
        risk="reveals",
        effect="prompts and answers are written to this folder",
    )
    keep: timedelta | None = option(
        timedelta(days=30),
        values.keep_for,
        metavar="TIME",
        suggestions=("12h", "7d", "30d", "forever"),
        shown_default="30d",
        help="How long captures are kept: 12h, 7d, or forever.",
        commands=("serve", "run"),
        risk="reveals",
        effect="captures older than this are removed",
    )
