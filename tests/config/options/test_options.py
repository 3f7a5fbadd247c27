"""
The table of options as a whole.
"""

from savemode_cli.cli.commands import COMMANDS
from savemode_cli.config.options import OPTIONS, SECTIONS, by_risk
from savemode_cli.config.settings import Settings


def test_risks_in_order() -> None:
    """
    What can send stands first, and what is harmless last.
    """
    order = by_risk()
    sending = [option.name for option in order if option.risk == "sends"]

    assert [option.name for option in order[: len(sending)]] == sending
    assert "upstream" in sending
    assert {option.name for option in order} == set(OPTIONS)
    assert [option.harmless for option in order] == sorted(option.harmless for option in order)


def test_commands_exist() -> None:
    """
    A row that names a command which is not there would be a flag of nothing.
    """
    named = {command for option in OPTIONS.values() for command in option.commands}

    assert named <= {line.name for line in COMMANDS}
    assert all(set(option.other_help) <= set(option.commands) for option in OPTIONS.values())


def test_settings_have_every_section() -> None:
    """
    A class of options that the settings do not inherit would be read and dropped.
    """
    assert set(SECTIONS.values()) <= set(Settings.__mro__)


def test_run_takes_what_serve_takes() -> None:
    """
    All but what is about other machines, and about the terminal, which belongs to the command.
    """
    elsewhere = {"host", "allow_remote", "allow_host", "print_events", "quiet"}
    taken = {
        command: {name for name, row in OPTIONS.items() if command in row.commands} for command in ("serve", "run")
    }

    assert taken["serve"] - taken["run"] == elsewhere
    assert taken["run"] <= taken["serve"]
