"""
The parts of a request, without a server: cases that a socket would show only by chance.
"""

import asyncio
from typing import Any

import pytest

from savemode_cli.simulated.call import Call, ClientGone


def call(*messages: dict[str, Any], headers: tuple[tuple[bytes, bytes], ...] = (), query: bytes = b"") -> Call:
    """
    A call whose body comes in these messages.
    """
    left = list(messages)

    async def receive() -> dict[str, Any]:
        return left.pop(0)

    async def send(_message: dict[str, Any]) -> None:
        raise AssertionError("nothing is to be sent")

    scope = {"method": "POST", "path": "/v1/messages", "headers": headers, "query_string": query}
    return Call(scope, receive, send, "req_1", may_gzip=False)


def test_a_body_in_pieces() -> None:
    """
    The pieces are joined.
    """
    pieces = ({"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.request", "body": b"}"})

    assert asyncio.run(call(*pieces).body()) == b"{}"


def test_a_client_that_leaves_in_the_middle() -> None:
    """
    An incomplete body is not a request.
    """
    pieces = ({"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"})

    with pytest.raises(ClientGone):
        asyncio.run(call(*pieces).body())


def test_a_pause_ends_when_the_client_disconnects() -> None:
    """
    The pause ends when the client disconnects; a late message of the body does not end it.
    """
    with pytest.raises(ClientGone):
        asyncio.run(call({"type": "http.request"}, {"type": "http.disconnect"}).pause(60))


def test_headers() -> None:
    """
    One value, or the items of all values.
    """
    one = call(headers=((b"anthropic-beta", b"a, b"), (b"anthropic-beta", b"c"), (b"x-api-key", b"k")))

    assert one.header(b"x-api-key") == "k"
    assert one.header(b"other") == ""
    assert one.values(b"anthropic-beta") == {"a", "b", "c"}
    assert one.values(b"other") == frozenset()


def test_query() -> None:
    """
    A parameter, decoded.
    """
    assert call(query=b"after_id=a%20b&limit=3").query("after_id") == "a b"
    assert call(query=b"").query("limit") == ""


def test_a_reset_on_a_server_without_the_transport_extension() -> None:
    """
    Another server than savemode's cannot reset the connection, but the answer still ends there.
    """
    with pytest.raises(ClientGone):
        asyncio.run(call().reset())
