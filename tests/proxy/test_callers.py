"""
What headers say is remembered. What they say is in `test_caller` and `test_headers`.
"""

from savemode_cli.core.wire.caller import Caller
from savemode_cli.proxy.callers import LONGEST_BYTES, MOST, Callers
from savemode_cli.serving.headers import RawHeaders

HEADERS: RawHeaders = [(b"host", b"h"), (b"x-api-key", b"k"), (b"content-length", b"2")]


class Reading:
    """
    Counts how often headers are read.
    """

    def __init__(self) -> None:
        """
        Nothing was read.
        """
        self.asked = 0
        self.callers = Callers(self._read, lambda headers: headers)

    def _read(self, headers: RawHeaders, product: str) -> Caller:
        self.asked += 1
        return Caller(product, idle_prone=False, distinct_id=dict(headers).get(b"x-api-key", b"").decode())


def test_the_same_headers_are_read_once() -> None:
    """
    This does not depend on the length of the body, which does not identify the caller.
    """
    reading = Reading()
    first = reading.callers.known(HEADERS, "p")
    second = reading.callers.known([*HEADERS[:2], (b"content-length", b"3")], "p")

    assert first is second
    assert (reading.asked, first.caller.distinct_id) == (1, "k")


def test_other_headers_are_another_caller() -> None:
    """
    Other headers are those in another order, with another value, for another product, or with one more header.
    """
    reading = Reading()
    others = [HEADERS[::-1], [(b"x-api-key", b"other")], [*HEADERS, (b"x-api-key", b"k")], HEADERS[1:]]
    for headers in (HEADERS, *others):
        reading.callers.known(headers, "p")
    reading.callers.known(HEADERS, "q")

    assert reading.asked == 6
    assert reading.callers.known(others[1], "p").caller.distinct_id == "other"
    assert reading.asked == 6


def test_forwarded_headers_have_no_length_and_may_have_the_beta() -> None:
    """
    The transport adds the length of the body that is sent, because an edit changes it.
    """
    known = Reading().callers.known(HEADERS, "p")

    assert known.forwarded == [(b"x-api-key", b"k")]
    assert [name for name, _ in known.forwarded_with_beta] == [b"x-api-key", b"anthropic-beta"]


def test_memory_of_callers_is_bounded() -> None:
    """
    The headers that were sent last are kept, and none that are long.
    """
    reading = Reading()
    long: RawHeaders = [(b"x", b"l" * LONGEST_BYTES)]
    for _ in range(2):
        reading.callers.known(long, "p")
    assert reading.asked == 2

    for number in range(MOST + 1):
        reading.callers.known([(b"x", b"%d" % number)], "p")
    reading.callers.known([(b"x", b"%d" % MOST)], "p")
    reading.callers.known([(b"x", b"0")], "p")
    assert reading.asked == 2 + MOST + 2
