"""
Decodes content encodings chunk by chunk.

Rule of this file: the output is bounded, per piece and in total, whatever the input is. Bytes that cannot be decoded
raise `Undecodable` and nothing else. The decoded bytes are only read: a client receives what the upstream sent.

A gzip body may be a series of members (RFC 1952, section 2.2), and a Zstandard body a series of frames, some of which
have no content (RFC 8878, section 3). Servers that compress each event separately send such bodies. All of them are
decoded.

Brotli and Zstandard are packages (httpx's `brotli` and `zstd` extras). They are imported when the first answer needs
them.
"""

import zlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Protocol

Decode = Callable[[bytes], Iterator[bytes]]
"""
Takes the next chunk and yields the pieces that can be decoded so far, each at most about 8 MB. It raises `Undecodable`.
"""

_PIECE_BYTES = 256 * 1024
_SLICE_BYTES = 4096  # the rest of a slice is copied at the end of each member, and a member may have 20 bytes
_ZSTD_SLICE_BYTES = 256  # a block of 4 bytes may stand for 128 KiB, so a slice for 8 MiB at most
_ZSTD_WINDOW_BYTES = 8 * 1024 * 1024  # the most that RFC 9659 allows for this content encoding
_MOST_CODINGS = 3  # one is usual, two happen where a gateway compresses an answer that was compressed already


class Undecodable(Exception):
    """
    The bytes are not in the encoding that their header names, the encoding is unknown, or there are more bytes than
    allowed.
    """


class _Member(Protocol):
    """
    One gzip member, zlib stream or Zstandard frame.
    """

    def decompress(self, chunk: bytes) -> Iterator[bytes]:
        """
        Yield the decoded bytes of a chunk.
        """

    @property
    def rest(self) -> bytes | None:
        """
        The bytes after its end; None until the end is reached.
        """


def decoder(encoding: str, max_bytes: int) -> Decode | None:
    """
    Make a decoder for a `content-encoding` header.

    Args:
        encoding: The header's value. Several codings are undone in reverse order (RFC 9110, section 8.4).
        max_bytes: How many bytes each coding may decode to in total.

    Returns:
        The decoder; None if there is nothing to decode.

    Raises:
        Undecodable: A coding is unknown, its package is missing, or there are more than three.
    """
    names = [name for one in encoding.split(",") if (name := one.strip().lower()) not in ("", "identity")]
    if len(names) > _MOST_CODINGS:
        raise Undecodable(f"content-encoding names {len(names)} codings")
    found: Decode | None = None
    for name in reversed(names):
        made = _bounded(_made(name), max_bytes)
        found = made if found is None else _chained(found, made)
    return found


_PLAIN_STARTS = (b"{", b"event:", b"data:", b"id:", b"retry:", b":")
"""How a JSON object and an event stream begin."""


def decoded_if_encoded(body: bytes, encoding: str, max_bytes: int) -> bytes:
    """
    Decode a whole recorded body.

    Some recorders store a decoded body and keep its `content-encoding` header, so the bytes themselves are examined
    first.

    Args:
        body: the bytes, encoded or already decoded.
        encoding: the value of the header.
        max_bytes: how many bytes each coding may decode to in total.

    Returns:
        The decoded bytes; the same object if there is nothing to decode, or if it cannot be decoded.
    """
    if body[:256].removeprefix(b"\xef\xbb\xbf").lstrip().startswith(_PLAIN_STARTS):
        return body
    try:
        decode = decoder(encoding, max_bytes)
        return body if decode is None else b"".join(decode(body)) or body
    except Undecodable:
        return body


def _made(name: str) -> Decode:
    make = _DECODERS.get(name)
    if make is None:
        raise Undecodable(f"content-encoding {name} is unknown")
    try:
        return make()
    except ImportError as error:
        raise Undecodable(f"content-encoding {name} needs a package: {error}") from error


def _chained(first: Decode, second: Decode) -> Decode:
    def chained(chunk: bytes) -> Iterator[bytes]:
        for piece in first(chunk):
            yield from second(piece)

    return chained


def _bounded(decode: Decode, max_bytes: int) -> Decode:
    left = max_bytes

    def bounded(chunk: bytes) -> Iterator[bytes]:
        nonlocal left
        for piece in decode(chunk):
            left -= len(piece)
            if left < 0:
                raise Undecodable(f"more than {max_bytes} bytes when decoded")
            yield piece

    return bounded


class _Members:
    """
    Decodes a series of members. Bytes after the last member are not part of the body and are ignored.
    """

    def __init__(
        self, make: Callable[[], _Member], starts: Callable[[bytes], bool | None], slice_bytes: int = _SLICE_BYTES
    ) -> None:
        """
        Wait for the first member, which needs no check: a wrong one fails to decode.

        Args:
            make: Makes a decoder for one member.
            starts: Whether bytes begin a member; None if there are too few of them to tell.
            slice_bytes: How many encoded bytes to decode at a time.
        """
        self._make = make
        self._starts = starts
        self._slice_bytes = slice_bytes
        self._member: _Member | None = make()
        self._head = b""
        self._over = False

    def __call__(self, chunk: bytes) -> Iterator[bytes]:
        for start in range(0, len(chunk), self._slice_bytes):
            if self._over:
                return
            yield from self._decode(chunk[start : start + self._slice_bytes])

    def _decode(self, left: bytes) -> Iterator[bytes]:
        while left:
            if self._member is None:
                left = self._next(left)
                continue
            yield from self._member.decompress(left)
            rest = self._member.rest
            if rest is None:
                return
            self._member, left = None, rest

    def _next(self, found: bytes) -> bytes:
        """
        The bytes of the next member, which is then started; empty if there is none, or if that is not known yet.
        """
        self._head = (self._head + found).lstrip(b"\0")  # zeros may fill up a gzip file
        begins = self._starts(self._head)
        if begins is None:
            return b""
        self._over = not begins
        head, self._head = self._head, b""
        if self._over:
            return b""
        self._member = self._make()
        return head


class _Inflate:
    """
    One gzip member, zlib stream or bare deflate stream.
    """

    def __init__(self, wbits: int) -> None:
        self._stream = zlib.decompressobj(wbits)

    def decompress(self, chunk: bytes) -> Iterator[bytes]:
        while chunk and not self._stream.eof:
            try:
                yield self._stream.decompress(chunk, _PIECE_BYTES)
            except zlib.error as error:
                raise Undecodable(str(error)) from error
            chunk = self._stream.unconsumed_tail

    @property
    def rest(self) -> bytes | None:
        return self._stream.unused_data if self._stream.eof else None


def _gzip() -> Decode:
    return _Members(partial(_Inflate, zlib.MAX_WBITS | 16), partial(_begins, (b"\x1f\x8b",)))


def _begins(magics: tuple[bytes, ...], head: bytes) -> bool | None:
    """
    Whether a member with one of these magic numbers begins here; None if there are too few bytes to tell.
    """
    if head.startswith(magics):
        return True
    return None if any(one.startswith(head) for one in magics) else False


def _deflate() -> Decode:
    """
    Decode deflate. Some servers leave out the zlib wrapper that the name requires; its first two bytes show whether it
    is there (RFC 1950, section 2.2).

    There is only one stream: unlike gzip and Zstandard, this coding has no series of them.
    """
    head = b""
    inflate: _Inflate | None = None

    def decode(chunk: bytes) -> Iterator[bytes]:
        nonlocal head, inflate
        if inflate is None:
            head += chunk
            if len(head) < 2:
                return
            wrapped = head[0] & 0x0F == zlib.DEFLATED and int.from_bytes(head[:2], "big") % 31 == 0
            inflate, chunk = _Inflate(zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS), head
        yield from inflate.decompress(chunk)

    return decode


def _brotli() -> Decode:
    import brotli  # noqa: PLC0415 - only the first brotli answer pays for it

    stream = brotli.Decompressor()
    failure: type[Exception] = brotli.error
    if not hasattr(stream, "can_accept_more_data"):
        raise ImportError("brotli 1.2 or later, whose output can be bounded")

    def decode(chunk: bytes) -> Iterator[bytes]:
        if stream.is_finished():
            return
        try:
            piece = stream.process(chunk, output_buffer_limit=_PIECE_BYTES)
            yield piece
            # It takes all of its input and keeps output back: only a piece below the limit says that there is no more.
            while len(piece) >= _PIECE_BYTES and not stream.is_finished():
                piece = stream.process(b"", output_buffer_limit=_PIECE_BYTES)
                yield piece
        except failure as error:
            raise Undecodable(str(error)) from error

    return decode


_ZSTD_MAGICS = (b"\x28\xb5\x2f\xfd", *(bytes((0x50 + n, 0x2A, 0x4D, 0x18)) for n in range(16)))
"""
The magic numbers of a frame, and of the 16 kinds of skippable frames, which have no content (RFC 8878, section 3.1).
"""


class _ZstdFrame:
    """
    One Zstandard frame, skippable or not.
    """

    def __init__(self, stream: Any, failure: type[Exception]) -> None:
        self._stream = stream
        self._failure = failure

    def decompress(self, chunk: bytes) -> Iterator[bytes]:
        try:
            yield self._stream.decompress(chunk)
        except self._failure as error:
            raise Undecodable(str(error)) from error

    @property
    def rest(self) -> bytes | None:
        return self._stream.unused_data if self._stream.eof else None


def _zstd() -> Decode:
    import zstandard  # noqa: PLC0415 - only the first zstd answer pays for it

    # Frames are decoded one after another, so they can share a context.
    context = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES)

    def frame() -> _ZstdFrame:
        return _ZstdFrame(context.decompressobj(), zstandard.ZstdError)

    return _Members(frame, partial(_begins, _ZSTD_MAGICS), _ZSTD_SLICE_BYTES)


_DECODERS: dict[str, Callable[[], Decode]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "br": _brotli,
    "zstd": _zstd,
}
