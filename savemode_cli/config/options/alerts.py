"""
Options: who is told when money runs out. In a config file they can stand in a table `[alerts]`.
"""

from dataclasses import dataclass
from decimal import Decimal

from savemode_cli.config import addresses, values
from savemode_cli.config.option import option

_SHARES = tuple(map(Decimal, ("0.5", "0.8", "0.95", "1")))


@dataclass(frozen=True, kw_only=True)
class AlertOptions:
    """
    Nothing is told without a channel: the desktop, a webhook, a command, or a service of apprise.
    """

    alerts_at: tuple[Decimal, ...] = option(
        _SHARES,
        values.fractions,
        metavar="SHARES",
        shown_default="0.5, 0.8, 0.95, 1",
        help="The shares of a budget at which alerts are sent.",
        risk="other",
        effect="at which shares of a budget alerts are sent",
    )
    alerts_desktop: bool = option(
        default=False,
        help="Show alerts as notifications of the desktop.",
        commands=("serve", "run"),
        risk="other",
        effect="alerts are shown as notifications of the desktop",
    )
    alerts_webhook: str | None = option(
        None,
        addresses.webhook,
        secret=True,
        help="The address to which alerts are sent as JSON.",
        risk="sends",
        effect="alerts about your spend go to this address",
    )
    alerts_webhook_secret: str | None = option(
        None,
        values.token,
        secret=True,
        help="The secret with which alerts to the webhook are signed.",
        risk="sends",
        effect="alerts are signed with this secret",
    )
    alerts_command: str | None = option(
        None,
        values.command,
        only_own=True,
        help="A command that gets each alert as JSON on stdin.",
        risk="sends",
        effect="this command is run",
    )
    alerts_apprise: tuple[str, ...] = option(
        (),
        values.texts,
        secret=True,
        help="Addresses of apprise, for mail, chat and other services.",
        risk="sends",
        effect="alerts about your spend go to these services",
    )
