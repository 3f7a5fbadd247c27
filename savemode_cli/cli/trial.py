"""
`savemode report --trial`: what upgraded sessions cost beside those that were held out.

Rule of this file: it finds the file and prints. `core.exchange.trial` judges.
"""

from datetime import datetime, tzinfo
from typing import TYPE_CHECKING

from savemode_cli.cli.screen import console, echo, echo_json

if TYPE_CHECKING:
    from savemode_cli.config import Settings


def show_trial(
    settings: "Settings", since: datetime | None, until: datetime | None, zone: tzinfo | None, *, as_json: bool
) -> None:
    """
    Print the result of the trial.

    Args:
        settings: where the file is.
        since: only sessions that began then or later.
        until: only sessions that began before.
        zone: the time zone of the days that are shown; None for that of the system.
        as_json: whether to print JSON.
    """
    from savemode_cli.core.exchange.trial import judge_trial
    from savemode_cli.proxy.trial_file import TrialFile
    from savemode_cli.views.trial import show, to_json

    file = TrialFile(settings.trial_file)
    result = judge_trial(file.read(), since, until)
    if as_json:
        echo_json(to_json(result, file.malformed))
        return
    show(result, console(), zone)
    if file.malformed:
        echo(f"{file.malformed:,} damaged lines of {file.path} are left out", err=True)
