"""
The request to the upstream and its answer, as the relay and the transport exchange them.

Rule of this file: it only defines values and protocols. Heads and bodies are bytes, as they are sent.
"""

from collections.abc import AsyncIterable, AsyncIterator, Callable
from typing import Protocol

from msgspec import Struct

from savemode_cli.serving.headers import RawHeaders


def _nothing() -> None:
    pass


class UpstreamRequest(Struct):
    """
    A request to the upstream.
    """

    method: str
    target: bytes
    """The path and the query. They are sent unchanged on the request line."""
    headers: RawHeaders
    """The headers without `host`, and without content-length if the body is complete: the transport adds both."""
    body: bytes | AsyncIterable[bytes] = b""
    on_connected: Callable[[], None] = _nothing
    """
    Called as soon as there is a connection to write the request to. If anything fails before, the request was not sent.
    """


class Pieces(Protocol):
    """
    A body, in the pieces in which it arrives.
    """

    def __aiter__(self) -> AsyncIterator[bytes]:
        """
        The pieces, up to the end of the body.

        Raises:
            UpstreamTimeout: no byte came in time.
            UpstreamUnreachable: the body is incomplete.
        """

    async def aclose(self) -> None:
        """
        Release the connection; if the body was not read completely, close it. More calls do nothing.
        """


class UpstreamAnswer(Struct):
    """
    The head of an answer, and its body as it arrives.
    """

    status: int
    headers: RawHeaders
    """The headers in their order and spelling."""
    pieces: Pieces


class Transport(Protocol):
    """
    Sends requests to one upstream.
    """

    async def send(self, request: UpstreamRequest) -> UpstreamAnswer:
        """
        Send a request, and return as soon as the head of the answer has come.

        Raises:
            UpstreamTimeout: there was no connection, or no byte, in time.
            UpstreamUnreachable: any other reason why there is no answer.
        """

    async def aclose(self) -> None:
        """
        Close the connections; running requests end with an error.
        """
