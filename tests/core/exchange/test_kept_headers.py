"""
Which headers are stored.
"""

import pytest

from savemode_cli.core.exchange.kept_headers import REQUEST_HEADERS, RESPONSE_HEADERS, kept_headers

HEADERS = [
    (b"X-Api-Key", b"sk-ant-api-planted"),
    (b"authorization", b"Bearer planted"),
    (b"cookie", b"planted"),
    (b"set-cookie", b"planted"),
    (b"proxy-authorization", b"Basic planted"),
    (b"x-savemode-token", b"planted"),
    (b"anthropic-organization-id", b"planted"),
    (b"x-posthog-distinct-id", b"planted"),
    (b"x-posthog-property-email", b"planted"),
    (b"x-claude-code-session-id", b"planted"),
    (b"traceparent", b"planted"),
    (b"user-agent", b"sk-ant-api-planted"),
    (b"x-app", b"bearer planted"),
]


@pytest.mark.parametrize("listed", [REQUEST_HEADERS, RESPONSE_HEADERS], ids=["request", "response"])
def test_no_header_is_kept_that_is_not_listed(listed: frozenset[str]) -> None:
    """
    Credentials, cookies and personal headers are not stored, and neither is a listed header that contains a key.
    """
    assert kept_headers([*HEADERS, (b"Content-Type", b"application/json")], listed) == (
        ("content-type", "application/json"),
    )
