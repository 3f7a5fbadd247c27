"""
The values between the relay and the transport. What a transport does with them is in `test_transport`.
"""

from savemode_cli.proxy.upstream import UpstreamRequest


def test_a_request_has_no_body_and_no_callback_by_default() -> None:
    """
    A request for a page needs neither.
    """
    request = UpstreamRequest("GET", b"/v1/models", [])
    request.on_connected()

    assert request.body == b""
