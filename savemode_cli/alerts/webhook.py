"""
Alerts as HTTP requests: JSON, signed where there is a secret.

Rule of this file: nothing of the address but its host is repeated, because its path may be a password.

The signature is that of Standard Webhooks, so that receivers can check it with a library. Source:
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md (checked 2026-11-29).
"""

import base64
import binascii
import hashlib
import hmac
import json
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from savemode_cli.alerts.definition import ChannelDefinition
from savemode_cli.core.budget.alerts import Alert, AlertFailed, Deliver

if TYPE_CHECKING:
    from savemode_cli.config import Settings

_PREFIX = "whsec_"


def webhook(settings: "Settings") -> Deliver:
    """
    The function that sends.
    """
    url, secret = settings.alerts_webhook or "", settings.alerts_webhook_secret

    def deliver(alert: Alert, timeout_s: float) -> None:
        import httpx  # noqa: PLC0415 - takes time, and most proxies never send an alert

        body = json.dumps(alert.to_json(), separators=(",", ":")).encode()
        headers = {"content-type": "application/json", **signed(alert.id, body, secret, int(time.time()))}
        try:
            answer = httpx.post(url, content=body, headers=headers, timeout=timeout_s)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise AlertFailed(f"{host(url)} cannot be reached ({type(error).__name__})") from None
        if not answer.is_success:
            final = 300 <= answer.status_code < 500 and answer.status_code not in (408, 429)
            raise AlertFailed(f"{host(url)} answers HTTP {answer.status_code}", final=final)

    return deliver


def signed(message_id: str, body: bytes, secret: str | None, timestamp: int) -> dict[str, str]:
    """
    The headers of a message. A receiver drops a message whose ID it has, or whose time is too far from its own.

    Args:
        message_id: the ID of the alert; the same at each try.
        body: what is sent.
        secret: with `whsec_` before it, in Base64; else the bytes of the text. None: the message is not signed.
        timestamp: the time in seconds since 1970.
    """
    headers = {"webhook-id": message_id, "webhook-timestamp": str(timestamp)}
    if secret is not None:
        content = f"{message_id}.{timestamp}.".encode() + body
        digest = hmac.new(_key(secret), content, hashlib.sha256).digest()
        headers["webhook-signature"] = f"v1,{base64.b64encode(digest).decode()}"
    return headers


def _key(secret: str) -> bytes:
    if secret.startswith(_PREFIX):
        try:
            return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
        except binascii.Error:
            pass
    return secret.encode()


def host(url: str) -> str:
    """
    The host of an address, with its port.
    """
    return urlsplit(url).netloc.rpartition("@")[2]


WEBHOOK = ChannelDefinition(
    name="webhook",
    is_configured=lambda settings: settings.alerts_webhook is not None,
    destination=lambda settings: (
        f"{host(settings.alerts_webhook or '')}" + ("" if settings.alerts_webhook_secret is None else ", signed")
    ),
    open=webhook,
)
