"""
Services of apprise, of which one is a plain HTTP request.
"""

import json
import sys
from datetime import UTC, datetime

import pytest

from savemode_cli.alerts.services import services
from savemode_cli.config import Settings
from savemode_cli.core.budget.alerts import AlertFailed, sample_alert
from tests.support.receiver import receiving

ALERT = sample_alert(datetime(2026, 11, 24, tzinfo=UTC))


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    It says what to install.
    """
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(AlertFailed, match=r"pip install 'savemode-cli\[alerts\]'") as failed:
        services(Settings(alerts_apprise=("json://127.0.0.1",)))(ALERT, 20)

    assert failed.value.final


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_title_and_text() -> None:
    """
    Arrive as a notification.
    """
    pytest.importorskip("apprise")
    with receiving() as receiver:
        services(Settings(alerts_apprise=(receiver.webhook.replace("http:", "json:"),)))(ALERT, 20)

    sent = json.loads(receiver.posts[0].raw)
    assert (sent["title"], sent["message"]) == (ALERT.title, ALERT.text)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_failures() -> None:
    """
    An address that apprise does not know, and a service that does not answer; neither repeats the address.
    """
    pytest.importorskip("apprise")
    with pytest.raises(AlertFailed, match=r"apprise knows no service nothing://$"):
        services(Settings(alerts_apprise=("nothing://made-up",)))(ALERT, 20)
    with receiving() as receiver:
        receiver.statuses = [500]
        with pytest.raises(AlertFailed, match="a service of apprise refused it, or cannot be reached") as failed:
            services(Settings(alerts_apprise=(receiver.webhook.replace("http:", "json:"),)))(ALERT, 20)
    assert not failed.value.final
