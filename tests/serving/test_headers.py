"""
Which headers are forwarded, and which headers savemode makes.
"""

import pytest

from savemode_cli.core.wire.messages import EXTENDED_TTL_BETA
from savemode_cli.serving.headers import RawHeaders, forwardable, header_value, own_headers, with_beta_named

BETA = EXTENDED_TTL_BETA.encode()


@pytest.mark.parametrize("connection", [b"keep-alive", b"Close", b"x-own", b"keep-alive, X-Own"])
def test_hop_by_hop_headers_are_dropped(connection: bytes) -> None:
    """
    Hop-by-hop headers are dropped: those with a known name and those that the connection header lists.
    """
    headers = [(b"Connection", connection), (b"TE", b"trailers"), (b"x-savemode-token", b"t"), (b"x-own", b"1")]
    left = [] if b"own" in connection.lower() else [(b"x-own", b"1")]

    assert forwardable([*headers, (b"x-kept", b"2")]) == [*left, (b"x-kept", b"2")]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([], [BETA]),
        ([b"a-1"], [b"a-1," + BETA]),
        ([b"a-1", b"b-2"], [b"a-1", b"b-2," + BETA]),
        ([BETA, b"b-2"], [BETA, b"b-2"]),
    ],
)
def test_the_beta_is_named_once(before: list[bytes], after: list[bytes]) -> None:
    """
    The beta is appended to the last such header, unless a header already names it; other headers keep their place.
    """
    other = (b"x-app", b"cli")
    headers: RawHeaders = [*((b"anthropic-beta", value) for value in before), other]
    got = with_beta_named(headers)

    assert [value for name, value in got if name == b"anthropic-beta"] == after
    assert other in got


def test_a_value_is_found_by_its_name() -> None:
    """
    The name matches in any case; the first value wins; a missing header gives an empty value.
    """
    headers = own_headers(b"{}", "req_1")

    assert header_value([(b"Request-Id", b"req_0"), *headers], b"request-id") == b"req_0"
    assert (header_value(headers, b"content-length"), header_value(headers, b"x")) == (b"2", b"")
