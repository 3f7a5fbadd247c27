"""
The table of channels.
"""

from savemode_cli.alerts.channels import ALERT_CHANNELS, configured_channels
from savemode_cli.config import Settings

SETTINGS = Settings(
    alerts_desktop=True,
    alerts_webhook="https://user:pass@hooks.example:8443/made-up-secret",
    alerts_webhook_secret="made-up-secret-16",
    alerts_command="my-alert --made-up",
    alerts_apprise=("tgram://made-up/1",),
)


def test_nothing_is_configured_by_default() -> None:
    """
    Nobody is told anything.
    """
    assert configured_channels(Settings()) == []


def test_destinations_hold_no_password() -> None:
    """
    They are printed when a proxy starts.
    """
    shown = {one.name: one.destination(SETTINGS) for one in configured_channels(SETTINGS)}

    assert list(shown) == list(ALERT_CHANNELS)
    assert shown == {
        "desktop": "notifications of the desktop",
        "webhook": "hooks.example:8443, signed",
        "command": "the command my-alert",
        "apprise": "tgram://",
    }
    assert "made-up" not in repr(SETTINGS).replace("my-alert --made-up", "")
