"""
Alerts by any of the services that the library apprise knows: mail, chat, telephone.

Rule of this file: the addresses of apprise hold passwords, so nothing of them but their schemes is repeated.
"""

from typing import TYPE_CHECKING

from savemode_cli.alerts.definition import ChannelDefinition
from savemode_cli.core.budget.alerts import Alert, AlertFailed, Deliver

if TYPE_CHECKING:
    from savemode_cli.config import Settings


def services(settings: "Settings") -> Deliver:
    """
    The function that sends.
    """

    def deliver(alert: Alert, timeout_s: float) -> None:  # noqa: ARG001 - each service has time limits of its own
        try:
            import apprise  # noqa: PLC0415 - an extra, and it takes time
        except ImportError:
            raise AlertFailed("apprise is not installed: pip install 'savemode-cli[alerts]'", final=True) from None
        import logging  # noqa: PLC0415

        logging.getLogger("apprise").setLevel(logging.CRITICAL)  # its log lines hold addresses
        sender = apprise.Apprise()
        for url in settings.alerts_apprise:
            if not sender.add(url):
                raise AlertFailed(f"apprise knows no service {_scheme(url)}", final=True)
        if not sender.notify(title=alert.title, body=alert.text):
            raise AlertFailed("a service of apprise refused it, or cannot be reached")

    return deliver


def _scheme(url: str) -> str:
    return f"{url.partition(':')[0]}://"


SERVICES = ChannelDefinition(
    name="apprise",
    is_configured=lambda settings: bool(settings.alerts_apprise),
    destination=lambda settings: ", ".join(map(_scheme, settings.alerts_apprise)),
    open=services,
)
