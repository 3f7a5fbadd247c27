"""
The table of options.

Rule of this folder: an option is one field of one class, and everything that is known of it stands in that field. The switches
of rules that edit requests are made from the table `RULES`.
"""

from savemode_cli.config.option import RISKS, Option, options_of
from savemode_cli.config.options.address import AddressOptions
from savemode_cli.config.options.alerts import AlertOptions
from savemode_cli.config.options.budget import BudgetOptions
from savemode_cli.config.options.captures import CaptureOptions
from savemode_cli.config.options.guard import GuardOptions
from savemode_cli.config.options.output import OutputOptions
from savemode_cli.config.options.telemetry import TelemetryOptions
from savemode_cli.config.options.upgrade import UpgradeOptions, switch_of
from savemode_cli.core.upgrade.rules import switched_rules

SECTIONS: dict[str, type] = {
    "Upgrades": UpgradeOptions,
    "Budgets": BudgetOptions,
    "Guard": GuardOptions,
    "Alerts": AlertOptions,
    "Address": AddressOptions,
    "Events": TelemetryOptions,
    "Captures": CaptureOptions,
    "Output": OutputOptions,
}
"""The headings of help and of the reference, each with its options."""

OPTIONS: dict[str, Option] = {
    option.name: option
    for options in (
        *(options_of(group, section) for section, group in SECTIONS.items()),
        map(switch_of, switched_rules()),
    )
    for option in options
}
"""All options by name. A config file has these names as keys, and the environment has them as `SAVEMODE_NAME`."""


def by_risk() -> list[Option]:
    """
    All options; what can send stands first, and what is harmless last.
    """
    return sorted(OPTIONS.values(), key=lambda option: (option.harmless, RISKS.index(option.risk)))
