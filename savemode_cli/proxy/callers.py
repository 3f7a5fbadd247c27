"""
Who calls and what goes on to the upstream, remembered by the headers: a client sends the same ones with each request.

Rule of this file: it reads nothing itself, and what it keeps is bounded. The credentials for the upstream are in it, and
leave it only for the upstream.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from savemode_cli.core.wire.caller import Caller
from savemode_cli.serving.headers import RawHeaders, forwardable, with_beta_named

MOST = 256
LONGEST_BYTES = 8 * 1024
"""Longer headers are read anew each time, so that 2 MB are kept at most."""

_LENGTH = b"content-length"


@dataclass(slots=True)
class KnownHeaders:
    """
    What the headers of a request say.
    """

    caller: Caller
    forwarded: RawHeaders
    """Those that go on to the upstream, without the length of the body."""
    forwarded_with_beta: RawHeaders
    """The same where the body has an upgraded TTL."""


class Callers:
    """
    The headers that were read lately.
    """

    def __init__(self, read: Callable[[RawHeaders, str], Caller], forward: Callable[[RawHeaders], RawHeaders]) -> None:
        """
        Args:
            read: says who calls by the headers and the product of the path, and raises where a header is wrong.
            forward: leaves out the headers that no upstream is to see.
        """
        self._read = read
        self._forward = forward
        self._known: OrderedDict[tuple[str, bytes], KnownHeaders] = OrderedDict()

    def known(self, headers: RawHeaders, product: str) -> KnownHeaders:
        """
        What the headers of a request say.

        Args:
            headers: all of them, their names in lower case.
            product: that of the path.

        Raises:
            BadHeader: a header of ours has a value that is not one of the allowed ones.
        """
        # A digest, because a token of ours is never kept. No header of HTTP has a zero byte in it.
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
