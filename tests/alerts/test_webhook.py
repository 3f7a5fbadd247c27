"""
Webhooks, to a real server on loopback.
"""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime

import pytest

from savemode_cli.alerts.webhook import signed, webhook
from savemode_cli.config import Settings
from savemode_cli.core.budget.alerts import AlertFailed, sample_alert
from tests.support.receiver import receiving

ALERT = sample_alert(datetime(2026, 11, 24, tzinfo=UTC))
SECRET = "made-up-secret-16"


def test_json_and_signature() -> None:
    """
    A receiver with the secret can check what it got.
    """
    with receiving() as receiver:
        webhook(Settings(alerts_webhook=receiver.webhook, alerts_webhook_secret=SECRET))(ALERT, 20)
    headers, body = receiver.posts[0].headers, receiver.posts[0].raw

    assert json.loads(body) == ALERT.to_json()
    assert (headers["content-type"], headers["webhook-id"]) == ("application/json", ALERT.id)
    content = f"{ALERT.id}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(SECRET.encode(), content, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"


def test_without_a_secret() -> None:
    """
    It is not signed.
    """
    with receiving() as receiver:
        webhook(Settings(alerts_webhook=receiver.webhook))(ALERT, 20)

    assert "webhook-signature" not in receiver.posts[0].headers


def test_signature_of_the_specification() -> None:
    """
    The example of Standard Webhooks.
    """
    body = b'{"test": 2432232314}'
    headers = signed("msg_p5jXN8AQM9LWM0D4loKWxJek", body, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", 1614265330)

    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert signed("m", b"", "whsec_no base64", 1)["webhook-signature"].startswith("v1,")


@pytest.mark.parametrize(("status", "final"), [(500, False), (429, False), (408, False), (404, True), (302, True)])
def test_answers(status: int, final: bool) -> None:
    """
    Whether another try may help. Nothing of the address but its host is said.
    """
    with receiving() as receiver:
        receiver.statuses = [status]
        with pytest.raises(AlertFailed) as failed:
            webhook(Settings(alerts_webhook=receiver.webhook))(ALERT, 20)

    assert (failed.value.final, "made-up" in failed.value.reason) == (final, False)
    assert failed.value.reason.endswith(f"answers HTTP {status}")


def test_nobody_there() -> None:
    """
    Another try may help.
    """
    with receiving() as receiver:
        pass
    with pytest.raises(AlertFailed, match=r"127\.0\.0\.1:\d+ cannot be reached \(ConnectError\)") as failed:
        webhook(Settings(alerts_webhook=receiver.webhook))(ALERT, 20)

    assert not failed.value.final
