"""
Which headers are stored in a capture.

Rule of this file: headers are selected by name. A header that is not listed is not stored, and no header with a
credential is listed.
"""

import re
from collections.abc import Collection, Iterable

from savemode_cli.core.exchange.credentials import NO_CREDENTIALS, Credentials

Headers = tuple[tuple[str, str], ...]

REQUEST_HEADERS = frozenset(
    {
        "accept",
        "accept-encoding",
        "anthropic-beta",
        "anthropic-version",
        "content-encoding",
        "content-length",
        "content-type",
        "user-agent",
        "x-app",
        "x-posthog-budget-override",
        "x-posthog-flag-llm-gateway-cost-controls",
        "x-posthog-provider",
        "x-posthog-use-bedrock-fallback",
        "x-stainless-arch",
        "x-stainless-helper-method",
        "x-stainless-lang",
        "x-stainless-os",
        "x-stainless-package-version",
        "x-stainless-retry-count",
        "x-stainless-runtime",
        "x-stainless-runtime-version",
        "x-stainless-timeout",
    }
)
RESPONSE_HEADERS = frozenset(
    {
        "anthropic-ratelimit-input-tokens-limit",
        "anthropic-ratelimit-input-tokens-remaining",
        "anthropic-ratelimit-input-tokens-reset",
        "anthropic-ratelimit-output-tokens-limit",
        "anthropic-ratelimit-output-tokens-remaining",
        "anthropic-ratelimit-output-tokens-reset",
        "anthropic-ratelimit-requests-limit",
        "anthropic-ratelimit-requests-remaining",
        "anthropic-ratelimit-requests-reset",
        "anthropic-ratelimit-tokens-limit",
        "anthropic-ratelimit-tokens-remaining",
        "anthropic-ratelimit-tokens-reset",
        "content-encoding",
        "content-length",
        "content-type",
        "date",
        "request-id",
        "retry-after",
        "retry-after-ms",
        "server",
        "x-should-retry",
    }
)

_CREDENTIAL = re.compile(r"sk-ant-|\bbearer |\bbasic ", re.IGNORECASE)
"""
If the value of a listed header matches this, the header is not stored: it contains a key that belongs in another
header.
"""


def kept_headers(
    headers: Iterable[tuple[bytes, bytes]], listed: Collection[str], found: Credentials = NO_CREDENTIALS
) -> Headers:
    """
    The headers on a list, in their order, with lower-case names.

    Args:
        headers: all headers of a message.
        listed: the names of the headers to store, in lower case.
        found: the credentials of the request, which are masked in the values.
    """
    named = ((name.decode("latin-1").lower(), value) for name, value in headers)
    kept = ((name, found.masked(value, in_error=False).decode("latin-1")) for name, value in named if name in listed)
    return tuple((name, value) for name, value in kept if not _CREDENTIAL.search(value))
