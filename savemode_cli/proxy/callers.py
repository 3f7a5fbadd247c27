"""
Remembers what was read from headers, because a client sends the same headers with each request.

Rule of this file: what it remembers is bounded. This includes the credentials for the upstream, which are sent to nobody else.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from savemode_cli.core.wire.caller import Caller
from savemode_cli.serving.headers import RawHeaders, forwardable, with_beta_named

MOST = 256
LONGEST_BYTES = 8 * 1024
"""Longer headers are read again each time, so that at most 2 MB are remembered."""

_LENGTH = b"content-length"


@dataclass(slots=True)
class KnownHeaders:
    """
    What was read from the headers of a request.
    """

    caller: Caller
    forwarded: RawHeaders
    """The headers for the upstream, without the length of the body."""
    forwarded_with_beta: RawHeaders
    """The same headers, for a body with an upgraded TTL."""


class Callers:
    """
    The headers that were read recently.
    """

    def __init__(self, read: Callable[[RawHeaders, str], Caller], forward: Callable[[RawHeaders], RawHeaders]) -> None:
        """
        Args:
            read: reads the caller from the headers and the product of the path; raises `BadHeader`.
            forward: removes the headers that are not for the upstream.
        """
        self._read = read
        self._forward = forward
        self._known: OrderedDict[tuple[str, bytes], KnownHeaders] = OrderedDict()

    def known(self, headers: RawHeaders, product: str) -> KnownHeaders:
        """
        What is read from the headers of a request.

        Args:
            headers: all headers, with names in lower case.
            product: the product of the path.

        Raises:
            BadHeader: one of savemode's own headers has a value that is not allowed.
        """
        # A digest, because access tokens are never stored. No HTTP header contains a zero byte.
        key = sha256(b"\0".join([part for one in headers if one[0] != _LENGTH for part in one])).digest()
        found = self._known.get((product, key))
        if found is not None:
            self._known.move_to_end((product, key))
            return found
        forwarded = [header for header in self._forward(forwardable(headers)) if header[0] != _LENGTH]
        found = KnownHeaders(self._read(headers, product), forwarded, with_beta_named(forwarded))
        if sum(len(name) + len(value) for name, value in headers) <= LONGEST_BYTES:
            self._known[product, key] = found
            if len(self._known) > MOST:
                self._known.popitem(last=False)
        return found
