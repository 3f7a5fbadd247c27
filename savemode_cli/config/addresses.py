"""
The checks of options whose value is an address: of an upstream, of PostHog, of a collector, of a webhook.

Rule of this file: as in `values`: a check returns the value of the option, or raises a `ValueError` whose text completes the
sentence "give ...".
"""

import re
from urllib.parse import urlsplit

from savemode_cli.config import values

SIMULATED = "simulated"
"""The value of the option `upstream` for the simulated upstream, which runs in this process."""


DEFAULT_POSTHOG_HOST = "https://us.i.posthog.com"


def upstream(value: object) -> str:
    """
    The address of an upstream without its `/v1`, or `SIMULATED`.
    """
    if isinstance(value, str) and value.strip().lower() == SIMULATED:
        return SIMULATED
    address = _address(value, "an http:// or https:// address, without user, query or fragment, or: simulated")
    # The paths of requests begin with /v1. Some programs want it in their base URL, so people write it here too.
    return _ENDPOINT.sub("", address)


_ENDPOINT = re.compile(r"(?<=[^/])(?:/v1)+(?:/messages)?$")


def posthog_host(value: object) -> str:
    """
    The address of PostHog.
    """
    return _address(
        value, f"an http:// or https:// address, without user, query or fragment, like {DEFAULT_POSTHOG_HOST}"
    )


def collector(value: object) -> str:
    """
    The address of an OpenTelemetry collector.
    """
    return _address(
        value, "an http:// or https:// address, without user, query or fragment, like http://127.0.0.1:4318"
    )


def _address(value: object, wanted: str) -> str:
    try:
        parts = urlsplit(value.strip()) if isinstance(value, str) else urlsplit("")
    except ValueError:
        raise ValueError(wanted) from None
    bare = not (parts.username or parts.password or parts.query or parts.fragment)
    if parts.scheme not in ("http", "https") or not parts.hostname or not bare:
        raise ValueError(wanted)
    try:
        _ = parts.port
    except ValueError:
        raise ValueError("an address whose port is a number up to 65535") from None
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def webhook(value: object) -> str:
    """
    The address of a webhook. Its path and its query may be a password.
    """
    address = values.text(value)
    try:
        parts = urlsplit(address)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_address = False
    if not is_address:
        raise ValueError("an http:// or https:// address")
    return address
